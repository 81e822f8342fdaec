//! HAProxy in front of two instances.

use super::*;
use crate::common::QUICK;
use live_kit::{Pending, Program, all_at_once, eventually, pause, scenario, scenario_within};
use std::thread::JoinHandle;

pub const LIMIT: Duration = Duration::from_secs(150);

/// HAProxy with the sample configuration, in the foreground.
fn haproxy(w: &World) -> Program {
    haproxy_with(w, &sample("haproxy.cfg"))
}

fn haproxy_with(w: &World, text: &str) -> Program {
    let general = w.file("haproxy-global.cfg", "global\n    maxconn 4000\n");
    let fleet = w.file("haproxy.cfg", text);
    let [general, fleet] = [general, fleet].map(|p| p.display().to_string());
    let words = ["haproxy", "-db", "-f", &general, "-f", &fleet];
    let mut program = Program::start(&w.dir, "haproxy", &words);
    eventually(Duration::from_secs(10), || {
        assert!(program.alive(), "{}", program.said());
        ask().is_ok()
    });
    program
}

/// Addresses of the front and of the instances, the backends of both.
fn places(w: &World) -> [Apps; 2] {
    for n in [10, 11, 12] {
        w.add_address(&format!("192.0.2.{n}"));
    }
    [Apps::start(w, "web1", 111), Apps::start(w, "web2", 121)]
}

fn web1(w: &mut World) -> Builder {
    instance(w, "web1").listen("192.0.2.11:80")
}

fn web2(w: &mut World) -> Builder {
    instance(w, "web2").listen("192.0.2.12:80")
}

#[track_caller]
fn wait_ready(httpd: &Httpd) {
    eventually(Duration::from_secs(10), || readiness(httpd) == 200);
}

/// Both are ready and HAProxy uses both.
pub struct Fleet {
    pub web1: Httpd,
    pub web2: Httpd,
    pub apps: [Apps; 2],
    _front: Program,
}

impl Fleet {
    pub fn start(w: &mut World) -> Fleet {
        let apps = places(w);
        let (web1, web2) = (web1(w).start(), web2(w).start());
        wait_ready(&web1);
        wait_ready(&web2);
        let fleet = Fleet {
            web1,
            web2,
            apps,
            _front: haproxy(w),
        };
        for name in ["web1", "web2"] {
            eventually(NOTICED, || who() == name);
        }
        fleet
    }

    /// Slow requests of so many seconds, some at each instance; how many at web1.
    fn slow(&self, seconds: u32) -> (Vec<Pending>, usize) {
        let path = format!("/slow?delay={}", seconds * 1000);
        let request = Request::get(&path);
        let pending = all_at_once(front(), &request, 6, Duration::from_secs(60));
        let there = || self.apps.iter().map(|apps| apps.seen(&path)).sum::<usize>();
        eventually(Duration::from_secs(5), || there() == 6);
        let at_web1 = self.apps[0].seen(&path);
        assert!(at_web1 > 0, "no slow request at web1");
        (pending, at_web1)
    }
}

/// Users with kept connections, and users with a new one for each request.
pub struct Users {
    kept: live_kit::Load,
    fresh: live_kit::Load,
}

impl Users {
    pub fn start() -> Users {
        // Alone at first, so that half of them are given to each instance.
        let kept = users().per_connection(usize::MAX).start();
        pause(0.3);
        Users {
            kept,
            fresh: users().per_connection(1).start(),
        }
    }

    /// Records of kept and of new connections.
    pub fn stop(self) -> [Records; 2] {
        [self.kept.stop(), self.fresh.stop()]
    }
}

/// The answers of slow requests: 200s of each instance, and the failures.
fn answered(pending: Vec<Pending>) -> ([usize; 2], Vec<Failure>) {
    let (mut by, mut failures) = ([0, 0], Vec::new());
    for one in pending {
        match one.join().expect("a client thread") {
            Ok(reply) => {
                assert_eq!(reply.status, 200, "{reply:?}");
                by[usize::from(reply.header(WHO) == Some("web2"))] += 1;
            }
            Err(failure) => failures.push(failure),
        }
    }
    (by, failures)
}

/// web1 leaves: nobody notices. Requests under way end well, also those that outlast the stop; kept connections are
/// ended by an answer that says so (`Connection: close`). What is counted as a failure: every request that got no whole
/// answer, or a status of 400 and above. (A connection that httpd closes while it is idle is none; clients look
/// before they use it again, as browsers do.)
#[test]
fn an_instance_drains() {
    scenario_within(LIMIT, |w: &mut World| {
        let mut fleet = Fleet::start(w);
        let load = Users::start();
        pause(1.0);
        let (slow, at_web1) = fleet.slow(9);
        let drained = Instant::now();
        let script = drain(w, "web1", &fleet.web1, 5);
        eventually(Duration::from_secs(2), || readiness(&fleet.web1) == 503);
        fleet.web1.wait_end();
        let stopped = drained.elapsed();
        ended(script);
        pause(1.0);
        std::fs::remove_file(drain_file(w, "web1")).expect("the drain file");
        fleet.web1.start_again();
        let back = eventually(NOTICED * 2, || who() == "web1");
        pause(0.5);
        let [kept, fresh] = load.stop();
        let until = |records: &Records| {
            let old = records.before(drained + stopped);
            last_of(&old, "web1", drained)
        };
        println!(
            "figure: web1 drained: its last new connection after {:?}, its last request on a kept one after {:?}; {} slow requests of 9 s ended there, stopped after {stopped:?}; back in use {back:?} after its start; 0 of {} requests failed",
            until(&fresh),
            until(&kept),
            at_web1,
            kept.len() + fresh.len(),
        );
        assert!(!kept.before(drained).from("web1").is_empty());
        assert!(!fresh.from("web1").since(drained + stopped).is_empty());
        let (by, failures) = answered(slow);
        assert_eq!((by, failures), ([at_web1, 6 - at_web1], Vec::new()));
        assert!(stopped > Duration::from_secs(8), "{stopped:?}");
        assert!(until(&fresh) < NOTICED && until(&kept) < NOTICED);
        for records in [kept, fresh] {
            records.assert_clean(Duration::from_secs(3));
        }
    });
}

/// web1 is killed: only what was under way there is lost. A new connection that meets the closed port before the check
/// has noticed is made to web2.
#[test]
fn an_instance_is_killed() {
    scenario_within(LIMIT, |w: &mut World| {
        let mut fleet = Fleet::start(w);
        let load = Users::start();
        pause(1.0);
        let (slow, at_web1) = fleet.slow(6);
        let killed = Instant::now();
        fleet.web1.kill_all();
        // The kernel may still be closing its listener.
        let dead = Instant::now() + Duration::from_millis(100);
        pause(3.0);
        fleet.web1.expect(UNCLEAN);
        fleet.web1.start_again();
        let back = eventually(NOTICED * 2, || who() == "web1");
        let [kept, fresh] = load.stop();
        let (by, failures) = answered(slow);
        assert!(!kept.before(killed).from("web1").is_empty());
        println!(
            "figure: web1 killed: lost {} of {} requests on kept connections, {} of {} on new ones, the last {:?} after the kill, and {} slow ones; back in use {back:?} after its start",
            kept.failed().len(),
            kept.len(),
            fresh.failed().len(),
            fresh.len(),
            last_failure(&kept, killed).max(last_failure(&fresh, killed)),
            failures.len(),
        );
        assert_eq!((by, failures.len()), ([0, 6 - at_web1], at_web1));
        for records in [kept, fresh] {
            // One at a time for each of four clients.
            assert!(records.failed().len() <= 4, "{:?}", records.failed());
            records.since(dead).assert_clean(Duration::from_secs(3));
        }
    });
}

/// DNS takes 1.5 s for each answer. The fresh instance is asked by nobody before it knows its backends, and its first
/// request does not wait.
#[test]
fn a_fresh_instance() {
    scenario(|w: &mut World| {
        let _apps = places(w);
        let web2 = web2(w).start();
        wait_ready(&web2);
        let _front = haproxy(w);
        let slow = Duration::from_millis(1500);
        w.dns.delay("app1.web1.test", slow);
        w.dns.delay("app2.web1.test", slow);
        let load = Users::start();
        pause(0.5);
        let started = Instant::now();
        let web1 = web1(w).start();
        assert_eq!(readiness(&web1), 503);
        let ready = watch_readiness(&web1);
        eventually(NOTICED * 2, || who() == "web1");
        pause(1.0);
        let [kept, fresh] = load.stop();
        let ready = ready.join().expect("the watcher");
        let of_web1 = fresh.from("web1");
        let first = of_web1.0.first().expect("a request at web1");
        let asked = w.dns.queries();
        let asked = asked.iter().find(|q| q.name == "app1.web1.test");
        let known = asked.expect("a query").at + slow;
        println!(
            "figure: fresh instance: DNS answers after {:?}, ready after {:?}, first request after {:?}; it took {:?}, the slowest of {} there {:?}",
            known - started,
            ready - started,
            first.start - started,
            first.took,
            of_web1.len(),
            of_web1.slowest(),
        );
        for records in [kept, fresh] {
            let early = records.before(known).from("web1");
            assert!(early.is_empty(), "{:?}", early.0.first());
            records.assert_clean(QUICK);
        }
        assert!(first.took < slow / 3, "{:?}", first.took);
    });
}

/// When its readiness page first said 200.
fn watch_readiness(httpd: &Httpd) -> JoinHandle<Instant> {
    let mut client = httpd.client();
    std::thread::spawn(move || {
        for _ in 0..2000 {
            let reply = client.send(&Request::get("/live-ready"));
            if reply.is_ok_and(|r| r.status == 200) {
                return Instant::now();
            }
            pause(0.01);
        }
        panic!("not ready");
    })
}

/// With the PROXY protocol, as the comments say, httpd knows who the user is; and with the commented lines for HTTPS
/// HAProxy starts.
#[test]
fn the_users_address() {
    scenario(|w: &mut World| {
        let _apps = places(w);
        let made_real = [("#RemoteIPProxyProtocol", "RemoteIPProxyProtocol")];
        let builder = instance_with(w, "web1", &made_real).listen("192.0.2.11:80");
        let log = "LogFormat \"%a %{c}a %U\" user\nCustomLog logs/user.log user";
        let httpd = builder.module("remoteip").config(log).start();
        let text = sample("haproxy.cfg").replace("#default-server", "default-server");
        let lines = text.lines().map(|l| match l.strip_prefix('#') {
            Some(rest) if !rest.starts_with(' ') || rest.starts_with("    ") => rest,
            _ => l,
        });
        let text: String = lines.map(|l| format!("{l}\n")).collect();
        assert!(text.contains("\nfrontend web-tls"), "{text}");
        let _front = haproxy_with(w, &text);
        eventually(NOTICED, || who() == "web1");
        let log =
            || std::fs::read_to_string(httpd.root().join("logs/user.log")).unwrap_or_default();
        // The test and HAProxy come from the address they connect to.
        eventually(NOTICED, || log().contains("192.0.2.10 192.0.2.11 /\n"));
        assert!(!log().contains("192.0.2.11 192.0.2.11 /\n"), "{}", log());
    });
}

/// The machine of web1 loses its power: nothing there says so. New connections are made to web2 instead, those that
/// wait for web1 end within seconds.
#[test]
fn a_machine_vanishes() {
    scenario_within(LIMIT, |w: &mut World| {
        let fleet = Fleet::start(w);
        let load = Users::start();
        pause(1.0);
        let (slow, at_web1) = fleet.slow(20);
        let gone = Instant::now();
        w.vanish("192.0.2.11");
        let ended = || slow.iter().filter(|one| one.is_finished()).count();
        let ended = eventually(Duration::from_secs(12), || ended() == at_web1);
        pause(1.0);
        w.appear("192.0.2.11");
        let back = eventually(NOTICED * 2, || who() == "web1");
        let [kept, fresh] = load.stop();
        println!(
            "figure: machine of web1 vanished: its last new connection after {:?}, the slowest new one took {:?}; lost {} of {} requests on kept connections, the last after {:?}, {} on new ones, and {at_web1} slow ones after {ended:?}; back in use after {back:?}",
            last_of(&fresh.before(gone + Duration::from_secs(4)), "web1", gone),
            fresh.since(gone + Duration::from_millis(100)).slowest(),
            kept.failed().len(),
            kept.len(),
            last_failure(&kept, gone),
            fresh.failed().len(),
        );
        assert!(!kept.before(gone).from("web1").is_empty());
        let (by, failures) = answered(slow);
        assert_eq!((by, failures.len()), ([0, 6 - at_web1], at_web1));
        // One at a time for each of four clients; what began later is answered.
        for records in [&kept, &fresh] {
            assert!(records.failed().len() <= 4, "{:?}", records.failed());
            assert!(last_failure(records, gone) < Duration::from_secs(12));
        }
        let later = fresh.since(gone + Duration::from_millis(100));
        later.assert_clean(Duration::from_secs(4));
    });
}
