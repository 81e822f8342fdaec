//! keepalived on two hosts, each with an instance; the front is an address that moves between them.

use super::*;
use live_kit::{Host, Program, all_at_once, eventually, pause, scenario_within};

const LIMIT: Duration = Duration::from_secs(150);
const VIRTUAL: &str = "192.0.2.10/24";

/// A machine with an instance and keepalived, as in the sample.
struct Machine {
    host: Host,
    httpd: Httpd,
    keepalived: Option<Keepalived>,
    apps: Apps,
}

impl Machine {
    fn start(w: &mut World, name: &str, addr: &str, apps: u8) -> Machine {
        let host = w.host(name, addr);
        host.sysctl("net.ipv4.conf.all.arp_ignore", "1");
        host.sysctl("net.ipv4.conf.all.arp_announce", "2");
        let apps = Apps::start(w, name, apps);
        let wrapper = host.wrapper();
        let httpd = instance(w, name)
            .listen_everywhere(&format!("{addr}:80"))
            .wrapper(&[&wrapper[0], &wrapper[1]])
            .start();
        let keepalived = Some(keepalived(w, &host));
        Machine {
            host,
            httpd,
            keepalived,
            apps,
        }
    }

    /// It has the address of the front.
    fn holds(&self) -> bool {
        let said = self.host.output(&["ip", "-4", "addr", "show", "eth0"]);
        said.contains(VIRTUAL)
    }

    /// What keepalived has said of itself.
    fn entered(&self, state: &str) -> usize {
        let said = self.keepalived.as_ref().map(|k| k.program.said());
        let state = format!("Entering {state} STATE");
        said.unwrap_or_default().matches(&state).count()
    }
}

/// keepalived, and what runs its script when it cannot.
struct Keepalived {
    program: Program,
    _script: Option<Program>,
}

/// keepalived cannot run scripts for a user who is not root: it wants to change groups, and in the namespaces of
/// such a user nobody may. Then a loop runs the command of the sample's script, and keepalived reads the outcome
/// from a file.
fn without_scripts(w: &World, host: &Host, text: &str) -> (String, Program) {
    let (before, rest) = text.split_once("vrrp_script ready {").expect("the script");
    let (script, after) = rest.split_once("\n}\n").expect("its end");
    let command = script.split('"').nth(1).expect("its command");
    let file = w.file(&format!("{}-outcome", host.name()), "0\n");
    let file = file.display();
    let track = format!("track_file ready {{\n    file \"{file}\"\n    weight -50\n}}\n");
    let after = after.replace("track_script", "track_file");
    let round = format!("{command}; if [ $? = 0 ]; then echo 0; else echo 1; fi >{file}");
    let end = "trap 'kill $! 2>/dev/null; exit' TERM";
    let round = format!("{end}; while :; do sleep 1 & wait $!; {round}; done");
    let text = format!("{before}{track}{after}");
    (text, host.start(&["sh", "-c", &round]))
}

fn is_root() -> bool {
    let me = std::fs::metadata("/proc/self").expect("this process");
    std::os::unix::fs::MetadataExt::uid(&me) == 0
}

/// keepalived with the sample configuration, in the foreground.
fn keepalived(w: &World, host: &Host) -> Keepalived {
    let (text, script) = match (sample("keepalived.conf"), is_root()) {
        (text, true) => (text, None),
        (text, false) => {
            let (text, script) = without_scripts(w, host, &text);
            (text, Some(script))
        }
    };
    let name = format!("{}-keepalived.conf", host.name());
    let conf = w.file(&name, &text).display().to_string();
    let [own, vrrp] = ["pid", "vrrp-pid"].map(|end| {
        let path = w.dir.join(format!("{}-keepalived.{end}", host.name()));
        path.display().to_string()
    });
    let foreground = [
        "keepalived",
        "--dont-fork",
        "--log-console",
        "--log-detail",
        "--vrrp",
    ];
    let files = ["-i", host.name(), "-f", &conf, "-p", &own, "-r", &vrrp];
    Keepalived {
        program: host.start(&[&foreground[..], &files[..]].concat()),
        _script: script,
    }
}

/// web1 holds the address, web2 stands by.
fn pair(w: &mut World) -> [Machine; 2] {
    let web1 = Machine::start(w, "web1", "192.0.2.11", 111);
    eventually(Duration::from_secs(15), || web1.holds() && who() == "web1");
    let web2 = Machine::start(w, "web2", "192.0.2.12", 121);
    eventually(Duration::from_secs(10), || readiness(&web2.httpd) == 200);
    pause(3.0);
    assert_eq!(who(), "web1");
    assert!(web1.holds() && !web2.holds());
    [web1, web2]
}

/// Users with a new connection for each request; they wait 1 s for an answer.
fn passers_by() -> LoadBuilder {
    users().per_connection(1).timeout(Duration::from_secs(1))
}

/// The front has moved to `to` since `since` and stays there: how long it took, and what failed.
#[track_caller]
fn moved(what: &str, load: live_kit::Load, since: Instant, to: &str) -> Records {
    eventually(LOST, || who() == to);
    let took = since.elapsed();
    pause(1.5);
    assert_eq!(who(), to);
    let records = load.stop();
    let (failed, last) = (records.failed().len(), last_failure(&records, since));
    println!(
        "figure: {what}: {to} answers after {took:?}; {failed} of {} requests failed, the last after {last:?}",
        records.len()
    );
    let later = records.since(since + took + Duration::from_millis(300));
    later.assert_clean(Duration::from_secs(1));
    assert_eq!(later.by_backend().into_keys().collect::<Vec<_>>(), [to]);
    records
}

/// What the move of the address itself costs: a request that was just being sent to the old machine, at most one of
/// each user. Nothing else has failed.
#[track_caller]
fn only_at_the_move(records: &Records, since: Instant) {
    let (failed, after) = (records.failed(), records.since(since).from("web2"));
    let moment = after.0.first().expect("an answer of web2").start;
    let near = |r: &&&live_kit::Record| {
        let span = Duration::from_millis(300);
        r.failure == Some(Failure::ClosedWithoutAnswer)
            && r.start + span > moment
            && r.start < moment + span
    };
    let lost = failed.iter().filter(near).count();
    assert!(lost <= 4 && lost == failed.len(), "{failed:?}");
}

/// The holder drains: the address moves, then the instance is stopped. Requests that waited for their answer when it
/// moved are answered by the old machine, new ones by the other.
#[test]
fn an_instance_drains() {
    scenario_within(LIMIT, |w: &mut World| {
        let [mut web1, web2] = pair(w);
        let load = passers_by().timeout(Duration::from_secs(5)).start();
        pause(0.5);
        let request = Request::get("/slow?delay=8000");
        let slow = all_at_once(front(), &request, 3, Duration::from_secs(20));
        eventually(Duration::from_secs(5), || {
            web1.apps.seen("/slow?delay=8000") == 3
        });
        let drained = Instant::now();
        let script = drain(w, "web1", &web1.httpd, 6);
        let records = moved("web1 drained", load, drained, "web2");
        only_at_the_move(&records, drained);
        for one in slow {
            let reply = one.join().expect("a client thread").expect("an answer");
            assert_eq!(reply.header(WHO), Some("web1"));
        }
        web1.httpd.wait_end();
        ended(script);
        // It comes back, and the address stays where it is.
        std::fs::remove_file(drain_file(w, "web1")).expect("the drain file");
        web1.httpd.start_again();
        eventually(NOTICED, || readiness(&web1.httpd) == 200);
        pause(4.0);
        assert_eq!(who(), "web2");
        assert!(!web1.holds() && web2.holds());
        assert_eq!(web2.entered("MASTER"), 1);
    });
}

/// httpd is killed and keepalived lives on.
#[test]
fn httpd_is_killed() {
    scenario_within(LIMIT, |w: &mut World| {
        let [mut web1, web2] = pair(w);
        let load = passers_by().start();
        pause(0.5);
        let killed = Instant::now();
        web1.httpd.kill_all();
        moved("httpd of web1 killed", load, killed, "web2");
        web1.httpd.expect(UNCLEAN);
        web1.httpd.start_again();
        eventually(NOTICED, || readiness(&web1.httpd) == 200);
        pause(4.0);
        assert!(!web1.holds() && web2.holds());
        // And it is good for the next time.
        let load = passers_by().start();
        pause(0.5);
        let drained = Instant::now();
        std::fs::write(drain_file(w, "web2"), "").expect("the drain file");
        moved("web2 drained", load, drained, "web1");
    });
}

/// The whole machine dies, and comes back.
#[test]
fn a_machine_dies() {
    scenario_within(LIMIT, |w: &mut World| {
        let [mut web1, web2] = pair(w);
        let load = passers_by().start();
        pause(0.5);
        let died = Instant::now();
        web1.host.power_off();
        moved("machine of web1 died", load, died, "web2");
        web1.httpd.kill_all();
        web1.keepalived = None;
        // After the boot nothing of it is left on the interfaces.
        for dev in ["eth0", "lo"] {
            let gone = ["addr", "flush", "to", "192.0.2.10", "dev", dev];
            web1.host.run("ip", &gone);
        }
        web1.host.plug(true);
        web1.httpd.expect(UNCLEAN);
        web1.httpd.start_again();
        web1.keepalived = Some(keepalived(w, &web1.host));
        eventually(NOTICED, || readiness(&web1.httpd) == 200);
        pause(4.0);
        assert_eq!(who(), "web2");
        assert!(!web1.holds() && web2.holds());
    });
}

/// The backends of the holder die: the address moves. When those of the other die, too, one of them keeps it, and
/// users get httpd's answer. Then web1's come back, and so does the address.
#[test]
fn backends_die() {
    scenario_within(LIMIT, |w: &mut World| {
        let [web1, web2] = pair(w);
        let load = passers_by().start();
        pause(0.5);
        let lost = Instant::now();
        web1.apps.kill();
        moved("backends of web1 killed", load, lost, "web2");
        web2.apps.kill();
        eventually(NOTICED, || readiness(&web2.httpd) == 503);
        pause(5.0);
        assert_eq!(who(), "status 503");
        assert_eq!([&web1, &web2].iter().filter(|m| m.holds()).count(), 1);
        let load = passers_by().start();
        let given = Instant::now();
        web1.apps.revive();
        moved("backends of web1 are back", load, given, "web1");
    });
}

/// A host that has lost the way to its backends, not they their life.
#[test]
fn backends_vanish() {
    scenario_within(LIMIT, |w: &mut World| {
        let [web1, _web2] = pair(w);
        let load = passers_by().start();
        pause(0.5);
        let lost = Instant::now();
        web1.apps.vanish(w);
        moved("backends of web1 vanished", load, lost, "web2");
        w.appear_all();
        eventually(NOTICED, || readiness(&web1.httpd) == 200);
        pause(4.0);
        assert!(!web1.holds());
    });
}
