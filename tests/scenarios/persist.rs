//! State that outlives a process: BalancerPersist, and reloads.

use crate::common::pool::*;
use crate::common::*;
use live_kit::{Httpd, Mpm, World, eventually, pause, scenario_within};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(150);

/// httpd stores that a member was out when it stopped: at the next start what is true then counts.
#[test]
fn balancer_persist() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        let text = format!("BalancerPersist On\n{}", pool(""));
        let builder = troubled(w.httpd().live(&text)).expect("unknown -> down");
        let mut httpd = start_pool(builder, &[&a, &b]);
        a.kill();
        wait_down(&httpd, ONE);
        httpd.stop();
        // Up again when it starts: used at once.
        a.revive();
        httpd.start_again();
        eventually(BACK, || used(&httpd) == ["A", "B"]);
        a.kill();
        let before = downs(&httpd, ONE);
        eventually(PATIENCE, || downs(&httpd, ONE) > before);
        httpd.stop();
        // Still down: out soon, and not for good.
        httpd.start_again();
        eventually(PATIENCE, || downs(&httpd, ONE) > before + 1);
        pause(0.5);
        let tried = attempts(&httpd, IP_A);
        assert_eq!(used(&httpd), ["B"]);
        assert_eq!(attempts(&httpd, IP_A), tried);
        a.revive();
        eventually(BACK, || used(&httpd) == ["A", "B"]);
    });
}

/// The probes are taken away before the next start: the stored mark is nobody's any more.
#[test]
fn balancer_persist_without_probes() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        let text = |more: &str| format!("BalancerPersist On\n{}", pool(more));
        let mut httpd = start_pool(troubled(w.httpd().live(&text(""))), &[&a, &b]);
        a.kill();
        wait_down(&httpd, ONE);
        httpd.stop();
        a.revive();
        httpd.rewrite(&text("liveprobe=off"));
        httpd.start_again();
        wait_known(&httpd, "one.test");
        assert_eq!(used(&httpd), ["A", "B"]);
    });
}

/// A member and a plain worker are down: after a reload no request meets them, not even for an instant; the probes
/// go on in their time.
fn reloads(w: &mut World, mpm: Mpm, reload: impl Fn(&mut Httpd)) {
    let (a, b) = backends();
    set_members(w);
    let text = format!(
        "ProxyPass /plain http://one.test:9000/plain live=on\n{}",
        pool("")
    );
    let mut httpd = start_pool(troubled(w.httpd().mpm(mpm).live(&text)), &[&a, &b]);
    a.kill();
    wait_down(&httpd, ONE);
    pause(1.5);
    let tried = attempts(&httpd, IP_A);
    let (probes, start) = (b.probed(), Instant::now());
    for _ in 0..3 {
        reload(&mut httpd);
        for _ in 0..10 {
            assert_eq!(httpd.get("/").backend, "B");
            assert_eq!(httpd.get("/plain").status, 503);
        }
        httpd.load().clients(4).run(Duration::from_secs(1));
        assert_eq!(
            attempts(&httpd, IP_A),
            tried,
            "a request met it after a reload"
        );
    }
    let (probes, time) = (b.probed() - probes, start.elapsed().as_secs_f64());
    // one in two seconds; each takeover may bring the next one forward by a part of that
    let most = (time / 1.9).ceil() as usize + 2;
    assert!(probes <= most, "{probes} probes in {time} s");
    // unknown nothing: it is still the same outage
    assert_eq!(httpd.logged("unknown -> down"), 0);
    a.revive();
    eventually(BACK, || httpd.get("/plain").backend == "A");
    eventually(BACK, || used(&httpd) == ["A", "B"]);
    assert_eq!(downs(&httpd, TWO), 0);
}

#[test]
fn graceful_event() {
    scenario_within(LIMIT, |w: &mut World| {
        reloads(w, Mpm::Event, Httpd::graceful)
    });
}

#[test]
fn graceful_prefork() {
    scenario_within(LIMIT, |w: &mut World| {
        reloads(w, Mpm::Prefork, Httpd::graceful)
    });
}

#[test]
fn hard_restart() {
    scenario_within(LIMIT, |w: &mut World| {
        reloads(w, Mpm::Event, Httpd::restart)
    });
}

/// A reload that takes the worker out of the configuration and back, that changes its thresholds, that switches its
/// probes off: nothing gets stuck.
#[test]
fn settings_change_at_reloads() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        let mut httpd = start_pool(troubled(w.httpd().live(&pool(""))), &[&a, &b]);
        a.kill();
        wait_down(&httpd, ONE);
        // other thresholds: the same outage
        httpd.rewrite(&pool("liveinterval=500ms liverise=4"));
        httpd.graceful();
        pause(1.0);
        let tried = attempts(&httpd, IP_A);
        assert_eq!(used(&httpd), ["B"]);
        assert_eq!(attempts(&httpd, IP_A), tried);
        // no probes: as stock httpd, which finds out by itself
        httpd.rewrite(&pool("liveprobe=off retry=0"));
        httpd.graceful();
        pause(1.0);
        httpd.load().run(Duration::from_millis(500));
        assert!(attempts(&httpd, IP_A) > tried, "it is still marked");
        // and back
        httpd.rewrite(&pool("liveinterval=500ms"));
        httpd.graceful();
        pause(3.0);
        let tried = attempts(&httpd, IP_A);
        assert_eq!(used(&httpd), ["B"]);
        assert_eq!(attempts(&httpd, IP_A), tried);
        a.revive();
        eventually(BACK, || used(&httpd) == ["A", "B"]);
    });
}
