//! A plain worker whose only backend is down: 503 at once, without a connect, and back within seconds.

use crate::common::pool::*;
use crate::common::*;
use live_kit::{
    AjpBackend, FcgiBackend, Httpd, Mpm, World, answers, eventually, pause, scenario,
    scenario_within,
};
use std::collections::BTreeSet;
use std::time::Duration;

const APP: &str = "http://app.test:9000";
const LIMIT: Duration = Duration::from_secs(120);

/// Every one of these children answers with this status and backend, and nothing else.
#[track_caller]
fn all_answer(httpd: &Httpd, children: &[u32], status: u16, backend: &str) {
    // One request per connection: refusals are too quick to keep a child from taking the next one.
    let load = httpd
        .load()
        .per_connection(1)
        .pause(Duration::from_millis(2));
    let records = load.run(Duration::from_millis(800));
    let wrong = records
        .0
        .iter()
        .find(|r| (r.status, r.backend.as_str()) != (status, backend));
    assert!(wrong.is_none(), "not {status} by {backend:?}: {wrong:?}");
    let answered: BTreeSet<u32> = records.0.iter().map(|r| r.child).collect();
    assert_eq!(answered, children.iter().copied().collect());
}

/// The only backend is killed, in every child no request dials it any more; then it serves again in every child.
fn down_and_back(w: &mut World, mpm: Mpm, line: &str, worker: &str) {
    let a = backend("A", IP_A);
    w.dns.set("app.test", answers(&[IP_A], 600));
    let httpd = troubled(w.httpd().mpm(mpm).live(line)).start();
    wait_probed(&[&a]);
    let children = httpd.children();
    all_answer(&httpd, &children, 200, "A");
    for round in 1..=2 {
        a.kill();
        let down = wait_down(&httpd, worker);
        // the other children have seen it, and what was under way is through
        pause(1.0);
        let tried = attempts(&httpd, IP_A);
        all_answer(&httpd, &children, 503, "");
        let records = httpd.load().run(Duration::from_secs(1));
        assert!(records.slowest() < PROMPT, "{:?}", records.slowest());
        assert_eq!(attempts(&httpd, IP_A), tried, "dialled after the verdict");
        a.revive();
        let back = eventually(BACK, || httpd.get("/").backend == "A");
        println!("figure: {mpm:?}: down after {down:?}, serves again after {back:?}");
        eventually(BACK, || ups(&httpd, worker) == round);
        pause(0.5);
        all_answer(&httpd, &children, 200, "A");
    }
    // one child tells it for all
    assert_eq!((downs(&httpd, worker), ups(&httpd, worker)), (2, 2));
}

#[test]
fn down_and_back_event() {
    scenario_within(LIMIT, |w: &mut World| {
        down_and_back(w, Mpm::Event, FOLLOW, APP);
    });
}

#[test]
fn down_and_back_worker() {
    scenario_within(LIMIT, |w: &mut World| {
        down_and_back(w, Mpm::Worker, FOLLOW, APP);
    });
}

#[test]
fn down_and_back_prefork() {
    scenario_within(LIMIT, |w: &mut World| {
        down_and_back(w, Mpm::Prefork, FOLLOW, APP);
    });
}

/// A host that is an address has no DNS to follow; it is probed all the same.
#[test]
fn a_numeric_host() {
    scenario_within(LIMIT, |w: &mut World| {
        let line = "ProxyPass / http://127.0.0.2:9000/ live=on";
        down_and_back(w, Mpm::Event, line, "http://127.0.0.2:9000");
        assert_eq!(w.dns.queries().len(), 0);
    });
}

#[test]
fn a_numeric_host_of_ipv6() {
    scenario(|w: &mut World| {
        let a = backend("A", "::1");
        let line = "ProxyPass / http://[::1]:9000/ live=on";
        let httpd = troubled(w.httpd().live(line)).start();
        wait_probed(&[&a]);
        assert_eq!(httpd.get("/").backend, "A");
        a.kill();
        eventually(PATIENCE, || httpd.logged("up -> down (::1 ") == 1);
        pause(0.5);
        let tried = httpd.logged("attempt to connect to ");
        let records = httpd.load().run(Duration::from_secs(1));
        assert_eq!(records.by_status().into_keys().collect::<Vec<_>>(), [503]);
        assert_eq!(httpd.logged("attempt to connect to "), tried);
        a.revive();
        eventually(BACK, || httpd.get("/").backend == "A");
    });
}

/// The backend is down when httpd starts, and comes later.
#[test]
fn down_from_the_start() {
    scenario(|w: &mut World| {
        w.dns.set("app.test", answers(&[IP_A], 600));
        let builder = troubled(w.httpd().live(FOLLOW)).expect("unknown -> down");
        let httpd = start_following(builder);
        eventually(PATIENCE, || httpd.logged("-> down (127.0.0.2") >= 1);
        pause(1.0);
        let tried = attempts(&httpd, IP_A);
        let records = httpd.load().run(Duration::from_secs(1));
        assert_eq!(records.by_status().into_keys().collect::<Vec<_>>(), [503]);
        assert!(records.slowest() < PROMPT, "{:?}", records.slowest());
        assert_eq!(attempts(&httpd, IP_A), tried);
        let _a = backend("A", IP_A);
        eventually(BACK, || httpd.get("/").backend == "A");
        pause(0.5);
        all_answer(&httpd, &httpd.children(), 200, "A");
    });
}

/// `liveprobe=off` is stock httpd: every request dials.
#[test]
fn without_probes() {
    scenario(|w: &mut World| {
        let a = backend("A", IP_A);
        w.dns.set("app.test", answers(&[IP_A], 600));
        let line = format!("{FOLLOW} liveprobe=off");
        let httpd = start_following(
            w.httpd()
                .live(&line)
                .expect("[proxy:error]")
                .expect("[proxy_http:error]"),
        );
        assert_eq!(httpd.get("/").backend, "A");
        pause(2.5);
        assert_eq!(a.probed(), 0);
        a.kill();
        for n in 1..=3 {
            assert_eq!(httpd.get("/").status, 503);
            assert_eq!(attempts(&httpd, IP_A), n);
        }
        a.revive();
        assert_eq!(httpd.get("/").backend, "A");
        assert_eq!((changes(&httpd), a.probed()), (0, 0));
    });
}

/// FastCGI and AJP workers are probed and marked like the others.
#[test]
fn other_schemes() {
    scenario_within(LIMIT, |w: &mut World| {
        let start = || {
            (
                FcgiBackend::start("F", "127.0.0.2:9001"),
                AjpBackend::start("J", "127.0.0.3:9002"),
            )
        };
        w.dns.set("f.test", answers(&[IP_A], 600));
        w.dns.set("j.test", answers(&[IP_B], 600));
        let text = "ProxyPass /f fcgi://f.test:9001/ live=on enablereuse=on
            ProxyPass /j ajp://j.test:9002/ live=on";
        let builder = w
            .httpd()
            .module("proxy_fcgi")
            .module("proxy_ajp")
            .live(text);
        let builder = builder
            .expect("[proxy_fcgi:error]")
            .expect("[proxy_ajp:error]");
        let workers = [
            ("/f/x", "F", "fcgi://f.test:9001"),
            ("/j/x", "J", "ajp://j.test:9002"),
        ];
        let mut servers = Some(start());
        let httpd = troubled(builder).start();
        wait_known(&httpd, "f.test");
        wait_known(&httpd, "j.test");
        for round in 1..=2 {
            for (path, backend, _) in workers {
                eventually(BACK, || httpd.get(path).backend == backend);
            }
            drop(servers.take());
            for (path, _, worker) in workers {
                eventually(PATIENCE, || downs(&httpd, worker) == round);
                pause(1.0);
                let tried = httpd.logged("attempt to connect to ");
                for _ in 0..8 {
                    assert_eq!(httpd.get(path).status, 503, "{path}");
                }
                assert_eq!(httpd.logged("attempt to connect to "), tried, "{path}");
            }
            servers = Some(start());
            for (_, _, worker) in workers {
                eventually(BACK, || ups(&httpd, worker) == round);
            }
            pause(0.5);
        }
    });
}
