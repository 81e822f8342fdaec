//! What is evidence about a backend and what is not.

use crate::common::pool::*;
use crate::common::*;
use live_kit::{Backend, Httpd, Mode, Type, World, answers, eventually, pause, scenario_within};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(90);
const APP: &str = "http://app.test:9000";
/// The next regular probe is an hour away: every probe is somebody's doing.
const NEVER: &str = "liveinterval=1h";

/// A plain worker whose only backend has been probed once.
fn one(w: &mut World, a: &Backend, more: &str) -> Httpd {
    w.dns.set("app.test", answers(&[IP_A], 600));
    let text = format!("{FOLLOW} {NEVER}\n{more}");
    let builder = w.httpd().log_level("warn proxy_live:trace2").live(&text);
    let httpd = start_following(troubled(builder));
    wait_probed(&[a]);
    httpd
}

fn questions(w: &World) -> usize {
    w.dns.count("app.test", Type::A)
}

/// AAAA records on a machine that has no way to IPv6: the IPv4 address decides alone.
#[test]
fn ipv6_without_a_route() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        w.dns.set("one.test", answers(&[IP_A, "2001:db8::1"], 600));
        let builder = w.httpd().live(&pool("")).expect("cannot be probed");
        let httpd = start_pool(troubled(builder.expect("target one.test")), &[&a, &b]);
        a.kill();
        wait_down(&httpd, ONE);
        assert_eq!(used(&httpd), ["B"]);
        a.revive();
        wait_up(&httpd, ONE);
        eventually(BACK, || used(&httpd) == ["A", "B"]);
        assert_eq!(downs(&httpd, ONE), 1);
    });
}

/// Requests that a worker which is out refuses at once are no news: they cause no probes and no questions.
#[test]
fn requests_to_a_worker_that_is_out() {
    scenario_within(LIMIT, |w: &mut World| {
        let a = backend("A", IP_A);
        let httpd = one(w, &a, "");
        a.kill();
        assert_eq!(httpd.get("/").status, 503);
        eventually(PATIENCE, || downs(&httpd, APP) == 1);
        pause(1.5);
        let before = (questions(w), httpd.logged("app.test:9000: 127.0.0.2"));
        let records = httpd.load().clients(4).run(Duration::from_secs(4));
        assert!(records.len() > 100, "{}", records.len());
        assert_eq!(records.by_status().into_keys().collect::<Vec<_>>(), [503]);
        assert_eq!(questions(w), before.0, "questions");
        // A thread that a busy machine does not run for long looks like a connect that hangs.
        let probes = httpd.logged("app.test:9000: 127.0.0.2") - before.1;
        assert!(probes <= 2, "{probes} probes");
    });
}

/// A backend's own 503 is an answer, also when ProxyErrorOverride has httpd write the page.
#[test]
fn an_overridden_answer() {
    scenario_within(LIMIT, |w: &mut World| {
        let a = backend("A", IP_A);
        let httpd = one(w, &a, "ProxyErrorOverride On");
        a.mode(Mode::Status(503));
        pause(1.5);
        let before = (questions(w), a.probed());
        let records = httpd.load().clients(4).run(Duration::from_secs(4));
        assert_eq!(records.by_status().into_keys().collect::<Vec<_>>(), [503]);
        assert!(a.requests() > 100, "{}", a.requests());
        assert_eq!(questions(w), before.0, "questions");
        // A busy machine may let a request wait for 250 ms.
        let probes = a.probed() - before.1;
        assert!(probes <= 2, "{probes} probes");
        assert_eq!(downs(&httpd, APP), 0);
    });
}

/// The only backend accepts no new connections for a while, and serves the ones it has: they stay open.
#[test]
fn the_last_resort_keeps_its_connections() {
    scenario_within(LIMIT, |w: &mut World| {
        let a = backend("A", IP_A);
        w.dns.set("app.test", answers(&[IP_A], 600));
        let builder = w.httpd().children(1).live(FOLLOW);
        let httpd = start_following(troubled(builder));
        wait_probed(&[&a]);
        let load = httpd.load().clients(4).start();
        pause(1.0);
        a.mode(Mode::Full);
        eventually(PATIENCE, || told(&httpd, APP, "last resort") == 1);
        let open = a.open();
        let from = Instant::now();
        pause(3.0);
        assert!(open > 0 && a.open() >= open, "{open} -> {}", a.open());
        let records = load.stop().since(from);
        let good = records.by_status().get(&200).copied().unwrap_or(0);
        assert!(good > 20, "{:?}", records.by_status());
        a.revive();
        eventually(BACK, || httpd.logged("127.0.0.2 down -> up") == 1);
        assert_eq!(downs(&httpd, APP), 0);
    });
}
