//! Workers that the module leaves to httpd, and some that only look like them.

use crate::common::*;
use live_kit::{Backend, Dns, World, answers, scenario};
use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::time::Instant;

/// The module asks a name server of its own, which sends every name to a backend that nobody else knows: a
/// request that arrives there used an address that the module has set.
struct Mark {
    dns: Dns,
    touched: Backend,
}

impl Mark {
    const RESOLVER: &str = "ProxyLive on\nProxyLiveResolver 127.0.0.8";

    fn new() -> Mark {
        let dns = Dns::start("127.0.0.8:53");
        dns.set("*.test", short(&["127.0.0.4"]));
        Mark {
            dns,
            touched: backend("TOUCHED", "127.0.0.4"),
        }
    }

    /// Names the module has asked for.
    fn asked(&self) -> BTreeSet<String> {
        self.dns.queries().into_iter().map(|q| q.name).collect()
    }
}

/// A HTTP server on a unix socket that everybody may use; lives as long as the scenario.
fn unix_backend(w: &World) -> String {
    let path = w.dir.join("socket");
    let listener = UnixListener::bind(&path).expect("a unix socket");
    fs::set_permissions(&path, Permissions::from_mode(0o777)).expect("permissions of the socket");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if stream.read_exact(&mut byte).is_err() {
                    break;
                }
                head.push(byte[0]);
            }
            let answer = "HTTP/1.1 200 OK\r\nX-Backend: SOCKET\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    path.display().to_string()
}

const NOTHING_TO_DO: &str =
    "its host is an address, there is no DNS to follow, and it is neither probed nor rescued";

/// Path, who answers there with a stock httpd, and a part of the module's reason.
pub const LEFT_ALONE: [(&str, &str, &str); 10] = [
    ("/remote/x", "REMOTE", "a ProxyRemote takes its requests"),
    ("/socket/x", "SOCKET", "it uses a unix socket"),
    ("/host/one", "A", "its host is substituted"),
    ("/port/0", "A", "asks DNS for each connection itself"),
    ("/path/x", "A", "a ProxyPassMatch with substitution"),
    ("/noreuse/x", "A", "remove disablereuse=on"),
    ("/nottl/x", "A", "addressttl=0"),
    ("/numeric/x", "A", NOTHING_TO_DO),
    ("/six/x", "SIX", NOTHING_TO_DO),
    ("/member/x", "A", NOTHING_TO_DO),
];

/// The line with a substituted host stands last: others behind it would share its worker.
pub fn left_alone(socket: &str) -> String {
    format!(
        "ProxyRemote http://far.test:9000/ http://remote.test:9000
         ProxyPass /remote/ http://far.test:9000/
         ProxyPass /socket/ unix:{socket}|http://socket.test/
         ProxyPassMatch ^/port/([0-9])$ http://port.test:900$1/
         ProxyPassMatch ^/path/(.*)$ http://path.test:9000/$1
         ProxyPass /noreuse/ http://noreuse.test:9000/ disablereuse=on
         ProxyPass /nottl/ http://nottl.test:9000/ addressttl=0
         ProxyPass /numeric/ http://127.0.0.2:9000/ OFF
         ProxyPass /six/ http://[::1]:9000/ OFF
         <Proxy balancer://numbers>
             BalancerMember http://127.0.0.2:9000 OFF
         </Proxy>
         ProxyPass /member/ balancer://numbers/
         ProxyPassMatch ^/host/([a-z]+)$ http://$1.test:9000/"
    )
}

#[test]
fn hands_off() {
    scenario(|w: &mut World| {
        let mark = Mark::new();
        let (_a, _b) = backends();
        let (_remote, _six) = (backend("REMOTE", "127.0.0.5"), backend("SIX", "::1"));
        w.dns.set("*.test", answers(&[IP_A], 600));
        w.dns.set("remote.test", answers(&["127.0.0.5"], 600));
        let text = left_alone(&unix_backend(w));
        let stock = w.httpd().config(&text.replace("OFF", "")).start();
        let text = text.replace("OFF", "liveprobe=off liverescue=off");
        let text = format!(
            "{}\nProxyPass /followed/ http://followed.test:9000/\n{text}",
            Mark::RESOLVER
        );
        let httpd = w.httpd().live(&text).start();
        wait_known(&httpd, "followed.test");
        for (path, backend, reason) in LEFT_ALONE {
            assert_eq!(
                stock.get(path).backend,
                backend,
                "{path} with a stock httpd"
            );
            all_children_use(&httpd, path, backend);
            assert!(
                httpd.logged(reason) >= 1,
                "{path}: {:?}",
                httpd.live_lines()
            );
        }
        // the mark works: a worker that is followed goes there
        all_children_use(&httpd, "/followed/", "TOUCHED");
        assert_eq!(
            mark.asked().into_iter().collect::<Vec<_>>(),
            ["followed.test"]
        );
        // one line each, at info
        let lines = httpd.live_lines();
        let said = lines
            .iter()
            .filter(|l| l.text.contains("live has no effect"));
        let said: Vec<_> = said
            .map(|l| {
                (
                    l.level.as_str(),
                    l.text.split("worker ").nth(1).unwrap_or(""),
                )
            })
            .collect();
        assert_eq!(said.len(), LEFT_ALONE.len(), "{said:#?}");
        assert!(said.iter().all(|(level, _)| *level == "info"), "{said:#?}");
        assert_eq!(
            said.iter()
                .map(|(_, text)| text)
                .collect::<BTreeSet<_>>()
                .len(),
            said.len(),
            "{said:#?}"
        );
    });
}

/// With `disablereuse=on` httpd asks DNS for each request: a move is in force at once, as with a stock httpd.
#[test]
fn without_reuse_httpd_asks_itself() {
    scenario(|w: &mut World| {
        let mark = Mark::new();
        let _backends = backends();
        w.dns.set("app.test", answers(&[IP_A], 600));
        let text = "ProxyPass / http://app.test:9000/ disablereuse=on";
        let stock = w.httpd().config(text).start();
        let httpd = w
            .httpd()
            .live(&format!("{}\n{text}", Mark::RESOLVER))
            .start();
        for server in [&stock, &httpd] {
            all_children_use(server, "/", "A");
        }
        w.dns.set("app.test", answers(&[IP_B], 600));
        for server in [&stock, &httpd] {
            w.dns.forget();
            all_children_use(server, "/", "B");
            assert!(w.dns.queries().len() >= 32, "a look-up for each request");
        }
        assert_eq!((mark.touched.accepted(), mark.asked().len()), (0, 0));
    });
}

/// Every worker goes through the other proxy.
#[test]
fn a_remote_for_everything() {
    scenario(|w: &mut World| {
        let mark = Mark::new();
        let remote = backend("REMOTE", "127.0.0.5");
        w.dns.set("remote.test", answers(&["127.0.0.5"], 600));
        let text = "ProxyRemote * http://remote.test:9000
            ProxyPass /one http://one.test:9000/
            <Proxy balancer://pool>
                BalancerMember http://two.test:9000
            </Proxy>
            ProxyPass /two balancer://pool/";
        let httpd = w
            .httpd()
            .live(&format!("{}\n{text}", Mark::RESOLVER))
            .start();
        all_children_use(&httpd, "/one", "REMOTE");
        all_children_use(&httpd, "/two", "REMOTE");
        // the remote proxy is asked with the whole URL
        let paths: BTreeSet<String> = remote.seen().into_iter().map(|s| s.path).collect();
        assert!(
            paths.contains("http://one.test:9000/?delay=150"),
            "{paths:?}"
        );
        assert!(
            paths.contains("http://two.test:9000/?delay=150"),
            "{paths:?}"
        );
        assert_eq!(httpd.logged("a ProxyRemote takes its requests"), 2);
        assert_eq!((mark.touched.accepted(), mark.asked().len()), (0, 0));
    });
}

/// Virtual hosts have copies of the main server's workers; a line stands for all of them.
#[test]
fn copies_in_virtual_hosts_have_one_line() {
    scenario(|w: &mut World| {
        let _backends = backends();
        set_app(w, &[IP_A]);
        let mut text =
            "ProxyLive on\nProxyPass /number/ http://127.0.0.2:9000/ liveprobe=off liverescue=off\n".to_owned();
        for n in 1..=4 {
            text += &format!(
                "<VirtualHost *:8080>\nServerName v{n}.front\nProxyPass /app/ http://app.test:9000/\n</VirtualHost>\n"
            );
        }
        let httpd = start_following(w.httpd().live(&text));
        all_children_use(&httpd, "http://v3.front/number/", "A");
        all_children_use(&httpd, "http://v3.front/app/", "A");
        assert_eq!(httpd.logged("live has no effect"), 1);
    });
}

/// Workers that look like those above and are followed all the same.
#[test]
fn near_misses_are_followed() {
    scenario(|w: &mut World| {
        let _backends = backends();
        let names = ["match.test", "fixed.test", "ttl.test"];
        let move_to =
            |w: &World, ip: &str| names.iter().for_each(|name| w.dns.set(name, short(&[ip])));
        move_to(w, IP_A);
        let text = "ProxyLive on
            ProxyPassMatch ^/match/(.*)$ http://match.test:9000/$1 enablereuse=on
            ProxyPassMatch ^/fixed/ http://fixed.test:9000
            ProxyPass /ttl/ http://ttl.test:9000/ addressttl=600 disablereuse=on
            ProxyRemote http://elsewhere.test/ http://remote.test:9000
            ProxyRemote ftp http://remote.test:9000";
        let httpd = w.httpd().live(text).start();
        names.iter().for_each(|name| wait_known(&httpd, name));
        let paths = ["/match/x", "/fixed/x", "/ttl/x"];
        paths
            .iter()
            .for_each(|path| all_children_use(&httpd, path, "A"));
        move_to(w, IP_B);
        after_ttl(Instant::now(), 1);
        paths
            .iter()
            .for_each(|path| all_children_use(&httpd, path, "B"));
        assert_eq!(httpd.logged("live has no effect"), 0);
    });
}

/// Numeric hosts are probed: nothing is said of them, and DNS is not asked. With an `hcmethod` they are
/// mod_proxy_hcheck's.
#[test]
fn numeric_hosts_are_probed() {
    scenario(|w: &mut World| {
        let mark = Mark::new();
        let (a, b) = backends();
        let six = backend("SIX", "::1");
        let text = "ProxyPass /four http://127.0.0.2:9000/
            ProxyPass /six http://[::1]:9000/
            <Proxy balancer://numbers>
                BalancerMember http://127.0.0.3:9000 hcmethod=TCP hcinterval=30 liverescue=off
            </Proxy>
            ProxyPass /member balancer://numbers/";
        let text = format!("{}\n{text}", Mark::RESOLVER);
        let httpd = w.httpd().module("proxy_hcheck").live(&text).start();
        for (backend, path, name) in [(&a, "/four", "A"), (&six, "/six", "SIX")] {
            live_kit::eventually(std::time::Duration::from_secs(9), || backend.probed() > 1);
            all_children_use(&httpd, path, name);
        }
        all_children_use(&httpd, "/member", "B");
        let said = httpd.logged("live has no effect");
        assert_eq!((said, httpd.logged(NOTHING_TO_DO)), (1, 1));
        assert_eq!((mark.asked().len(), mark.touched.accepted()), (0, 0));
        assert!(b.probed() <= 1, "probed by both: {}", b.probed());
    });
}
