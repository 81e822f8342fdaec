//! Requests that meet trouble have the backend probed at once, long before the next regular probe.

use crate::common::pool::*;
use crate::common::*;
use live_kit::{Dns, Mode, Type, World, answers, eventually, pause, scenario_within};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(120);
/// The next regular probe is an hour away.
const SELDOM: &str = "liveinterval=1h";

#[test]
fn a_refused_connect() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        let httpd = start_pool(troubled(w.httpd().live(&pool(SELDOM))), &[&a, &b]);
        let load = httpd.load().clients(4).start();
        pause(1.0);
        let probed = b.probed();
        a.kill();
        let took = wait_down(&httpd, ONE);
        println!("figure: kicked by a request: down after {took:?}");
        pause(0.5);
        load.stop();
        assert_eq!(used(&httpd), ["B"]);
        // B gave no reason, unless the machine was slow
        let others = b.probed() - probed;
        assert!(others <= 6, "{others} probes of B");
    });
}

/// A backend that reads requests and answers none of them in time: probed, and found alive.
#[test]
fn no_byte_for_250_ms() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        let httpd = start_pool(troubled(w.httpd().live(&pool(SELDOM))), &[&a, &b]);
        used(&httpd);
        pause(0.5);
        let before = (a.probed(), b.probed());
        a.mode(Mode::Slow(Duration::from_secs(2)));
        let start = Instant::now();
        let load = httpd.load().clients(6).start();
        eventually(PATIENCE, || a.probed() > before.0);
        pause(4.0);
        let (probes, time) = (a.probed() - before.0, start.elapsed().as_secs_f64());
        a.revive();
        let records = load.stop();
        assert!(records.failed().is_empty(), "{:?}", records.failed()[0]);
        // at most one in half a second, however many requests wait
        let most = (time / 0.5).ceil() as usize + 1;
        assert!(probes <= most, "{probes} probes in {time} s");
        let others = b.probed() - before.1;
        assert!(others < probes, "{others} probes of B, {probes} of A");
        assert_eq!(changes(&httpd), 0);
    });
}

/// Connections that end instead of an answer.
#[test]
fn a_reset_request() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        let httpd = start_pool(troubled(w.httpd().live(&pool(SELDOM))), &[&a, &b]);
        used(&httpd);
        pause(0.5);
        let before = a.probed();
        a.mode(Mode::ResetRequest);
        let load = httpd.load().clients(4).start();
        eventually(PATIENCE, || a.probed() > before);
        pause(2.0);
        load.stop();
        let probes = a.probed() - before;
        assert!(probes <= 60, "{probes} probes");
        a.revive();
        assert_eq!(changes(&httpd), 0, "it accepts connections");
    });
}

/// A vanished machine is found by the requests that wait for it.
#[test]
fn a_vanished_backend() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        let text = pool(&format!("{SELDOM} timeout=5"));
        let httpd = start_pool(troubled(w.httpd().live(&text)), &[&a, &b]);
        let load = httpd.load().clients(4).start();
        pause(1.0);
        w.vanish(IP_A);
        let took = wait_down(&httpd, ONE);
        println!("figure: kicked by requests that wait: down after {took:?}");
        pause(0.3);
        load.stop();
        assert_eq!(used(&httpd), ["B"]);
    });
}

/// However many requests fail, the module asks DNS at most once a second per name and family.
#[test]
fn kicks_are_limited() {
    scenario_within(LIMIT, |w: &mut World| {
        let a = backend("A", IP_A);
        // httpd's own look-ups go elsewhere: it asks when every address of a worker has failed.
        let own = Dns::start("127.0.0.8:53");
        own.set("app.test", answers(&[IP_A], 600));
        w.dns.set("app.test", answers(&[IP_A], 600));
        // The last resort is tried by every request, and each fails.
        let worker = format!("{FOLLOW} {SELDOM} connectiontimeout=100ms");
        let text = format!("ProxyLiveResolver 127.0.0.8\n{worker}");
        let httpd = start_following(troubled(w.httpd().live(&text)));
        wait_probed(&[&a]);
        pause(1.0);
        w.vanish(IP_A);
        own.forget();
        let start = Instant::now();
        let load = httpd.load().clients(16).start();
        pause(6.0);
        let (asked, time) = (own.count("app.test", Type::A), start.elapsed());
        load.stop();
        println!("figure: {asked} queries in {time:?}");
        assert!(asked >= 1, "not asked though its address fails");
        assert!(
            asked as f64 <= time.as_secs_f64() + 2.0,
            "{asked} in {time:?}"
        );
        assert!(attempts(&httpd, IP_A) > 20);
    });
}
