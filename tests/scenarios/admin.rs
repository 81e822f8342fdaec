//! Beside the administrator, `failonstatus` and mod_proxy_hcheck: what others set is theirs.

use crate::common::pool::*;
use crate::common::*;
use live_kit::{Backend, Builder, Httpd, MANAGER, Mode, World, eventually, pause, scenario_within};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(150);
const DOWN: &str = "HcFl";

fn managed(parameters: &str) -> String {
    format!("{MANAGER}\n{}", pool(parameters))
}

/// The pool, whose members are in error when they answer 503.
fn failing(parameters: &str) -> String {
    let pool = pool_of(parameters, parameters, "ProxySet failonstatus=503");
    format!("{MANAGER}\n{pool}")
}

/// What the administrator has set stays while the member goes down and returns, whatever came first.
#[test]
fn flags_of_the_administrator_stay() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        let httpd = start_pool(troubled(w.httpd().live(&managed(""))), &[&a, &b]);
        let manager = httpd.manager("pool");
        let wait = |down: bool| {
            eventually(PATIENCE, || manager.has(ONE, DOWN) == down);
        };
        for (letter, flag) in [("D", "Dis"), ("N", "Drn"), ("H", "Stby")] {
            let (set, clear) = (
                format!("w_status_{letter}=1"),
                format!("w_status_{letter}=0"),
            );
            manager.edit(ONE, &set);
            a.kill();
            wait(true);
            assert!(manager.has(ONE, flag), "{:?}", manager.flags(ONE));
            a.revive();
            wait(false);
            assert!(manager.has(ONE, flag), "{:?}", manager.flags(ONE));
            assert_eq!(used(&httpd), ["B"], "{flag}");
            manager.edit(ONE, &clear);
            eventually(BACK, || used(&httpd) == ["A", "B"]);
            // set and cleared while it is down
            a.kill();
            wait(true);
            manager.edit(ONE, &set);
            a.revive();
            wait(false);
            assert_eq!(used(&httpd), ["B"], "{flag}");
            manager.edit(ONE, &clear);
            eventually(BACK, || used(&httpd) == ["A", "B"]);
            // let what the flapping has cost run down
            pause(8.0);
        }
        assert_eq!(manager.flags(ONE), manager.flags(TWO));
    });
}

/// Whoever clears the module's mark by hand, while the backend is down: it is set again.
#[test]
fn a_mark_that_was_cleared_is_set_again() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        let httpd = start_pool(troubled(w.httpd().live(&managed(""))), &[&a, &b]);
        let manager = httpd.manager("pool");
        a.kill();
        eventually(PATIENCE, || manager.has(ONE, DOWN));
        for _ in 0..3 {
            manager.edit(ONE, "w_status_C=0");
            eventually(BACK, || manager.has(ONE, DOWN));
        }
        assert_eq!(used(&httpd), ["B"]);
        a.revive();
        eventually(BACK, || !manager.has(ONE, DOWN));
        assert_eq!(used(&httpd), ["A", "B"]);
        assert_eq!((downs(&httpd, ONE), ups(&httpd, ONE)), (1, 1));
    });
}

/// A member in error by its answers (not by its connections) keeps its `retry` of 5 s, though every probe
/// succeeds: so often with answers like this.
fn keeps_its_retry(w: &mut World, text: &str, rounds: usize, bad: Mode) {
    let (a, b) = backends();
    set_members(w);
    let httpd = start_pool(troubled(w.httpd().live(text)), &[&a, &b]);
    let manager = httpd.manager("pool");
    for _ in 0..rounds {
        a.mode(bad);
        // The client may see nothing of it: a GET that met a time-out is answered by the other member.
        eventually(PATIENCE, || {
            httpd.get("/");
            manager.has(ONE, "Err")
        });
        let since = Instant::now();
        a.revive();
        a.forget();
        let load = httpd.load().clients(2).start();
        eventually(Duration::from_secs(15), || !a.seen().is_empty());
        let kept = since.elapsed();
        load.stop().assert_clean(PROMPT);
        println!("figure: {bad:?} with retry=5: used again after {kept:?}");
        assert!(
            kept > Duration::from_millis(4500),
            "released after {kept:?}"
        );
        assert!(!manager.has(ONE, "Err"), "{:?}", manager.flags(ONE));
    }
    assert_eq!(changes(&httpd), 0);
}

#[test]
fn failonstatus_keeps_its_retry() {
    let text = failing("retry=5");
    scenario_within(LIMIT, |w: &mut World| {
        keeps_its_retry(w, &text, 2, Mode::Status(503))
    });
}

/// Answers that take too long.
#[test]
fn failontimeout_keeps_its_retry() {
    let pool = pool_of(
        "timeout=1 retry=5",
        "timeout=1",
        "ProxySet failontimeout=On",
    );
    let text = format!("{MANAGER}\n{pool}");
    scenario_within(LIMIT, |w: &mut World| {
        keeps_its_retry(w, &text, 1, Mode::Hang)
    });
}

/// It goes down by itself while it is in error by its answers: it is back with its backend, not before `retry` ends.
#[test]
fn failonstatus_and_then_down() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        let text = failing("retry=60");
        let httpd = start_pool(troubled(w.httpd().live(&text)), &[&a, &b]);
        let manager = httpd.manager("pool");
        a.mode(Mode::Status(503));
        eventually(PATIENCE, || httpd.get("/").status == 503);
        assert!(manager.has(ONE, "Err"));
        pause(4.0);
        assert!(
            manager.has(ONE, "Err"),
            "probes succeed, its answers do not"
        );
        a.kill();
        eventually(PATIENCE, || manager.has(ONE, DOWN));
        a.revive();
        eventually(BACK, || !manager.has(ONE, DOWN));
        assert_eq!((downs(&httpd, ONE), ups(&httpd, ONE)), (1, 1));
        assert!(manager.has(ONE, "Err"), "its `retry` is not over");
        assert_eq!(used(&httpd), ["B"]);
    });
}

/// The members of the pool have a port for probes of their own; A's is [`HEALTH`].
const HEALTH: &str = "127.0.0.2:9100";

fn checked(w: &mut World, b: &Backend) -> (Backend, Httpd) {
    let health = Backend::start("HEALTH", HEALTH);
    set_members(w);
    let text = format!("{MANAGER}\n{}", pool_of("liveport=9100", "", ""));
    let builder: Builder = w.httpd().module("proxy_hcheck").live(&text);
    let builder = troubled(builder).expect("HCOH: ");
    let httpd = start_pool(builder.expect("[proxy_hcheck:"), &[&health, b]);
    (health, httpd)
}

/// balancer-manager switches mod_proxy_hcheck on at run time: from then on the state is its business alone.
#[test]
fn hcheck_switched_on_at_run_time() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, b) = backends();
        let (health, httpd) = checked(w, &b);
        let manager = httpd.manager("pool");
        // The module has marked it.
        health.kill();
        eventually(PATIENCE, || manager.has(ONE, DOWN));
        manager.edit(ONE, "w_hm=TCP&w_hi=300&w_hp=1&w_hf=1");
        // hcheck finds the backend well, and nobody contradicts.
        eventually(PATIENCE, || !manager.has(ONE, DOWN));
        for _ in 0..30 {
            assert!(!manager.has(ONE, DOWN), "marked again");
            pause(0.1);
        }
        assert_eq!(used(&httpd), ["A", "B"]);
        // The other way round: the probes succeed, hcheck fails.
        health.revive();
        pause(1.0);
        a.kill();
        eventually(PATIENCE, || manager.has(ONE, DOWN));
        for _ in 0..30 {
            assert!(manager.has(ONE, DOWN), "the mark of hcheck was cleared");
            pause(0.1);
        }
        assert_eq!(used(&httpd), ["B"]);
        a.revive();
        eventually(PATIENCE, || !manager.has(ONE, DOWN));
        assert_eq!(used(&httpd), ["A", "B"]);
        // Switched off again: the module's.
        manager.edit(ONE, "w_hm=NONE");
        pause(1.0);
        health.kill();
        eventually(PATIENCE, || manager.has(ONE, DOWN));
        health.revive();
        eventually(PATIENCE, || !manager.has(ONE, DOWN));
    });
}

/// A member that balancer-manager has added at run time is not live, and serves beside the others, also when they
/// are out.
#[test]
fn a_member_added_at_run_time() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, b) = backends();
        let _c = backend("C", "127.0.0.4");
        set_members(w);
        let pool = pool_of("timeout=2", "timeout=2", "ProxySet growth=5");
        let text = format!("{MANAGER}\n{pool}\n{FRESH}");
        let httpd = start_pool(troubled(w.httpd().live(&text)), &[&a, &b]);
        let manager = httpd.manager("pool");
        let added = "http://127.0.0.4:9000";
        manager.edit("", &format!("b_wyes=1&b_nwrkr={added}"));
        manager.edit(added, "w_status_D=0");
        eventually(BACK, || used(&httpd) == ["A", "B", "C"]);
        // every child knows it by then
        pause(1.0);
        a.kill();
        wait_down(&httpd, ONE);
        pause(1.0);
        b.kill();
        wait_down(&httpd, TWO);
        pause(1.5);
        let tried = attempts(&httpd, IP_B);
        assert_eq!(used(&httpd), ["C"]);
        assert_eq!(attempts(&httpd, IP_B), tried);
        assert_eq!(httpd.logged("last resort"), 0);
        a.revive();
        b.revive();
        eventually(BACK, || used(&httpd) == ["A", "B", "C"]);
    });
}
