//! The leading child falls silent, or dies, while members are marked.

use crate::common::pool::*;
use crate::common::processes::{leader, numbers, takeover};
use crate::common::*;
use live_kit::{Httpd, MANAGER, Mpm, Request, Signal, World, eventually, pause, scenario_within};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(150);
const DOWN: &str = "HcFl";
const PLAIN: &str = "ProxyPass /plain http://one.test:9000/plain live=on";

fn text() -> String {
    format!("{MANAGER}\n{PLAIN}\n{}", pool(""))
}

/// The leader is stopped for more than 3 s: nobody knows what is true any more, so the module's marks are taken
/// away, and httpd finds out by itself as ever. When the leader is back, so are they.
#[test]
fn the_leader_falls_silent() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        let builder = troubled(w.httpd().live(&text())).expect("has been silent");
        let httpd = start_pool(builder, &[&a, &b]);
        let manager = httpd.manager("pool");
        a.kill();
        eventually(PATIENCE, || manager.has(ONE, DOWN));
        pause(1.0);
        let tried = attempts(&httpd, IP_A);
        assert_eq!(used(&httpd), ["B"]);
        assert_eq!(httpd.get("/plain").status, 503);
        assert_eq!(attempts(&httpd, IP_A), tried);
        let old = leader(&httpd);
        httpd.signal(old, Signal::STOP);
        eventually(PATIENCE, || httpd.logged("has been silent") == 1);
        eventually(PATIENCE, || !manager.has(ONE, DOWN));
        pause(1.0);
        // as stock httpd: each request that picks it dials, and goes to the other one
        let tried = attempts(&httpd, IP_A);
        assert_eq!(used(&httpd), ["B"]);
        let members = attempts(&httpd, IP_A);
        assert!(members > tried, "nobody tried it");
        let plain = (0..12)
            .filter(|_| httpd.get("/plain").status == 503)
            .count();
        assert_eq!(plain, 12);
        assert!(attempts(&httpd, IP_A) >= members + 12, "not dialled");
        httpd.signal(old, Signal::CONT);
        eventually(PATIENCE, || manager.has(ONE, DOWN));
        pause(1.5);
        let tried = attempts(&httpd, IP_A);
        assert_eq!(used(&httpd), ["B"]);
        assert_eq!(httpd.get("/plain").status, 503);
        assert_eq!(attempts(&httpd, IP_A), tried);
        a.revive();
        eventually(BACK, || used(&httpd) == ["A", "B"]);
        eventually(BACK, || httpd.get("/plain").backend == "A");
    });
}

/// A backend that returns while the leader is silent is used, and stays in use when the leader is heard again.
#[test]
fn a_return_while_the_leader_is_silent() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        let builder = troubled(w.httpd().live(&text())).expect("has been silent");
        let httpd = start_pool(builder, &[&a, &b]);
        let manager = httpd.manager("pool");
        a.kill();
        eventually(PATIENCE, || manager.has(ONE, DOWN));
        let old = leader(&httpd);
        httpd.signal(old, Signal::STOP);
        eventually(PATIENCE, || !manager.has(ONE, DOWN));
        a.revive();
        eventually(PATIENCE, || used(&httpd) == ["A", "B"]);
        httpd.signal(old, Signal::CONT);
        // It may believe for some probes what it last knew.
        pause(5.0);
        assert!(!manager.has(ONE, DOWN), "{:?}", manager.flags(ONE));
        assert_eq!(used(&httpd), ["A", "B"]);
        assert_eq!(downs(&httpd, TWO), 0);
    });
}

/// The leader is killed at any time while A comes and goes: the mark follows the truth each time, B is never
/// touched.
fn killed_while_verdicts_change(w: &mut World, mpm: Mpm) {
    let (a, b) = backends();
    set_members(w);
    let builder = troubled(w.httpd().mpm(mpm).live(&text())).expect("exit signal Killed");
    let httpd = start_pool(builder.expect("unknown -> down"), &[&a, &b]);
    let manager = httpd.manager("pool");
    let mut next = numbers(11);
    for round in 0..6 {
        let dies = round % 2 == 0;
        if dies {
            a.kill();
        } else {
            a.revive();
        }
        pause(next(400) as f64 / 1000.0);
        let old = leader(&httpd);
        httpd.kill9(old);
        let took = takeover(&httpd, old);
        println!("figure: {mpm:?}: takeover in {took:?}");
        eventually(PATIENCE, || manager.has(ONE, DOWN) == dies);
        served(&httpd, if dies { &["B"] } else { &["A", "B"] });
        let plain = if dies { 503 } else { 200 };
        eventually(PATIENCE, || status(&httpd, "/plain") == plain);
    }
    assert_eq!(downs(&httpd, TWO), 0);
}

/// Requests may meet the end of the child that was killed.
fn status(httpd: &Httpd, path: &str) -> u16 {
    httpd.send(&Request::get(path)).map_or(0, |r| r.status)
}

fn served(httpd: &Httpd, by: &[&str]) {
    eventually(PATIENCE, || {
        let records = httpd.load().clients(4).run(Duration::from_millis(400));
        records.failed().is_empty() && records.by_backend().into_keys().eq(by.iter().copied())
    });
}

#[test]
fn killed_while_verdicts_change_event() {
    scenario_within(LIMIT, |w: &mut World| {
        killed_while_verdicts_change(w, Mpm::Event);
    });
}

#[test]
fn killed_while_verdicts_change_prefork() {
    scenario_within(LIMIT, |w: &mut World| {
        killed_while_verdicts_change(w, Mpm::Prefork);
    });
}
