//! `ProxyLiveTemplate`: whose values are in force for which worker, as its backend sees them; edits and reloads.

use crate::common::pool::*;
use crate::common::*;
use live_kit::{Backend, Httpd, Say, Seen, World, answers, eventually, pause, scenario};
use std::time::Duration;

/// Every worker has a name and an address of its own, all of one backend.
struct Everywhere(Backend);

impl Everywhere {
    fn start(w: &World, names: &[&str]) -> Everywhere {
        for (name, ip) in names.iter().zip(addresses()) {
            w.dns.set(&format!("{name}.test"), answers(&[&ip], 600));
        }
        Everywhere(Backend::start("A", "0.0.0.0:9000"))
    }

    /// The HTTP probes of this worker.
    fn probes(&self, names: &[&str], name: &str) -> Vec<Seen> {
        let at = names.iter().position(|n| *n == name).expect("a name");
        let ip = addresses().nth(at).expect("an address");
        let mut probes = self.0.probes();
        probes.retain(|p| p.local.to_string() == ip);
        probes
    }
}

fn addresses() -> impl Iterator<Item = String> {
    (1..).map(|n| format!("127.0.1.{n}"))
}

/// Worker, path and host that its probes must ask for; no path: nothing.
const WANTED: &[(&str, &str, &str)] = &[
    ("server", "/server", "from.server:9000"),
    ("own", "/own", "from.server:9000"),
    ("line", "/line?a=b", "line.test:9000"),
    ("tcp", "", ""),
    ("plain", "/", "plain.test:9000"),
    ("section", "/section", "from.server:9000"),
    ("member", "/own", "from.server:9000"),
    ("vhost", "/vhost", "from.vhost:9000"),
    ("nothing-new", "/vhost", "from.vhost:9000"),
    ("inside", "/section", "from.vhost:9000"),
    ("other", "/server", "from.server:9000"),
    ("off", "", ""),
    ("on", "/server", "from.server:9000"),
    ("watched", "/server", "from.server:9000"),
];

/// Templates stand before, between and behind the lines that name them.
const LEVELS: &str = "
    ProxyLive on SERVER
    ProxyPass /server http://server.test:9000/
    ProxyPass /own http://own.test:9000/ livetemplate=own
    ProxyPass /line http://line.test:9000/ livetemplate=own liveuri=/line?a=b livehost=line.test
    ProxyPass /tcp http://tcp.test:9000/ liveprobe=tcp
    ProxyPass /plain http://plain.test:9000/ liveuri=/ livehost=plain.test
    <Proxy balancer://pool>
        ProxyLive on section
        BalancerMember http://section.test:9000
        BalancerMember http://member.test:9000 livetemplate=own
    </Proxy>
    ProxyPass /pool balancer://pool/
    ProxyLiveTemplate own liveuri=/own liveinterval=200ms
    <VirtualHost *:81>
        ProxyLive on vhost
        ProxyLiveTemplate section liveuri=/section
        ProxyPass /vhost http://vhost.test:9000/
        <Proxy balancer://inside>
            ProxyLive on
            BalancerMember http://nothing-new.test:9000
        </Proxy>
        <Proxy balancer://deep>
            ProxyLive on section
            BalancerMember http://inside.test:9000
        </Proxy>
        ProxyPass /inside balancer://inside/
        ProxyPass /deep balancer://deep/
    </VirtualHost>
    <VirtualHost *:82>
        ProxyPass /other http://other.test:9000/
    </VirtualHost>
    <VirtualHost *:83>
        ProxyLive off
        ProxyPass /off http://off.test:9000/
        ProxyPass /on http://on.test:9000/ live=on
        ProxyPass /watched http://watched.test:9000/ live=observe
    </VirtualHost>
    ProxyLiveTemplate vhost liveuri=/vhost livehost=from.vhost live=off
    ProxyLiveTemplate Server liveprobe=http liveuri=/server livehost=from.server liveinterval=1s";

/// What each worker's probes ask for tells whose values are in force for it. Virtual hosts have copies of the main
/// server's plain workers, and their probes are the same.
#[test]
fn every_level() {
    scenario(|w: &mut World| {
        let names: Vec<&str> = WANTED.iter().map(|(name, ..)| *name).collect();
        let backend = Everywhere::start(w, &names);
        let _httpd = w.httpd().live(LEVELS).start();
        let asked = WANTED.iter().filter(|(_, path, _)| !path.is_empty());
        for (name, path, host) in asked {
            eventually(PATIENCE, || backend.probes(&names, name).len() > 1);
            for probe in backend.probes(&names, name) {
                let seen = (probe.path.as_str(), probe.host.as_str());
                assert_eq!(seen, (*path, *host), "{name}");
                assert_eq!(probe.method, "GET");
                let agent = format!("mod_proxy_live/{}", env!("CARGO_PKG_VERSION"));
                assert_eq!(probe.agent, agent);
            }
        }
        for (name, ..) in WANTED.iter().filter(|(_, path, _)| path.is_empty()) {
            assert!(backend.probes(&names, name).is_empty(), "{name}");
        }
        // 200 ms between probes, or 1 s
        let count = |name| backend.probes(&names, name).len();
        let before = ["own", "member", "server"].map(count);
        eventually(PATIENCE, || count("server") >= before[2] + 3);
        for (name, before) in ["own", "member"].into_iter().zip(before) {
            let probes = count(name) - before;
            assert!(probes >= 6, "{name}: {probes}");
        }
    });
}

/// `live=` in a worker's template is as good as on its line; in a template of `ProxyLive` it is overruled.
#[test]
fn live_in_templates() {
    scenario(|w: &mut World| {
        let names = ["off", "on", "line", "covered", "told"];
        let backend = Everywhere::start(w, &names);
        let text = "
            ProxyLiveTemplate off live=off liveprobe=http
            ProxyLiveTemplate on live=on liveprobe=http
            ProxyLive on off
            ProxyPass /off http://off.test:9000/ livetemplate=off
            ProxyPass /covered http://covered.test:9000/
            <VirtualHost *:81>
                ProxyLive off on
                ProxyPass /on http://on.test:9000/ livetemplate=on
                ProxyPass /line http://line.test:9000/ livetemplate=off live=on
                ProxyPass /told http://told.test:9000/
            </VirtualHost>";
        let _httpd = w.httpd().live(text).start();
        for name in ["on", "line", "covered"] {
            eventually(PATIENCE, || !backend.probes(&names, name).is_empty());
        }
        pause(0.5);
        for name in ["off", "told"] {
            assert!(backend.probes(&names, name).is_empty(), "{name}");
        }
    });
}

/// The pool with a template; `values` are its values.
fn with_template(values: &str) -> String {
    let members = pool("").replace("live=on ", "");
    let members = members.replace(
        "<Proxy balancer://pool>",
        "<Proxy balancer://pool>\nProxyLive on web",
    );
    format!("{FRESH}\n{members}\nProxyLiveTemplate web liveprobe=http {values}")
}

fn asked(backend: &Backend, path: &str) -> usize {
    backend.probes().iter().filter(|p| p.path == path).count()
}

/// The template asks for another path, which fails where the first one does: a member that is down stays so through
/// the reload, the other one serves, and from then on the new path decides.
fn edit(httpd: &mut Httpd, a: &Backend, b: &Backend) {
    a.say("/new", Say::Status(503));
    a.say("/old", Say::Status(503));
    wait_down(httpd, ONE);
    pause(0.3);
    let (served, changed) = (a.requests(), changes(httpd));
    httpd.rewrite(&with_template("liveuri=/new liveinterval=300ms"));
    let load = httpd.load().clients(4);
    let load = load.pause(Duration::from_millis(20)).start();
    httpd.graceful();
    let old = asked(a, "/old") + asked(b, "/old");
    eventually(PATIENCE, || asked(a, "/new") > 3 && asked(b, "/new") > 3);
    load.stop().assert_clean(PATIENCE);
    // For an instant of a reload httpd itself has members' status as it was configured.
    let requests = a.requests() - served;
    assert!(
        requests <= 4,
        "{requests} requests to a member that is down"
    );
    assert_eq!(changes(httpd), changed, "a change without a reason");
    // A last round of the old leader may have been under way.
    assert!(asked(a, "/old") + asked(b, "/old") <= old + 2);
    a.say("/new", Say::Status(204));
    wait_up(httpd, ONE);
    assert!(used_by(httpd, Duration::from_secs(1)).contains(&"A".to_owned()));
}

#[test]
fn an_edited_template() {
    scenario(|w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        let builder = w
            .httpd()
            .live(&with_template("liveuri=/old liveinterval=300ms"));
        let mut httpd = start_pool(troubled(builder), &[&a, &b]);
        assert!(asked(&a, "/old") > 0);
        edit(&mut httpd, &a, &b);
        // other values of the same probes: nothing is forgotten, and they are in force
        a.say("/new", Say::Status(503));
        wait_down(&httpd, ONE);
        let changed = changes(&httpd);
        httpd.rewrite(&with_template(
            "liveuri=/new liveinterval=300ms liverise=100",
        ));
        httpd.graceful();
        a.say_usual("/new");
        let before = asked(&a, "/new");
        eventually(PATIENCE, || asked(&a, "/new") >= before + 6);
        assert_eq!(changes(&httpd), changed, "back before liverise=100");
        assert_eq!(used_by(&httpd, Duration::from_millis(500)), ["B"]);
    });
}

/// A bad edit is found by `-t`; the server that runs does not care.
#[test]
fn a_bad_edit() {
    scenario(|w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        let good = with_template("liveuri=/old liveinterval=300ms");
        let builder = w.httpd().live(&good);
        let httpd = start_pool(troubled(builder.clone()), &[&a, &b]);
        let vhost = "<VirtualHost *:81>\nProxyLive on wep\n</VirtualHost>";
        let (ok, said) = builder.live(vhost).check();
        assert!(
            !ok && said.contains("is called 'wep' (known: web)"),
            "{said}"
        );
        let before = asked(&a, "/old");
        eventually(PATIENCE, || asked(&a, "/old") > before + 1);
        let used = used_by(&httpd, Duration::from_millis(500));
        assert_eq!(used, ["A", "B"]);
    });
}
