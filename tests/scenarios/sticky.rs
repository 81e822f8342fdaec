//! Sticky routes, redirects, sets, hot standbys and spares: a member that is out is one that mod_proxy itself
//! found unusable.

use crate::common::pool::*;
use crate::common::*;
use live_kit::{
    Backend, Httpd, Reply, Request, World, answers, eventually, pause, scenario_within,
};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(120);
const IP_C: &str = "127.0.0.4";
const STICKY: &str = "ProxySet stickysession=ROUTE";

/// A third member behind both.
fn third(w: &World) -> Backend {
    w.dns.set("three.test", answers(&[IP_C], 600));
    backend("C", IP_C)
}

#[track_caller]
fn with_route(httpd: &Httpd, route: &str) -> Reply {
    let request = Request::get("/").header("Cookie", &format!("ROUTE=x.{route}"));
    httpd.send(&request).expect("an answer")
}

/// `n` requests of a client of this route are answered by `backend`, without a wait.
#[track_caller]
fn sticks(httpd: &Httpd, route: &str, n: usize, backend: &str) {
    for _ in 0..n {
        let start = Instant::now();
        let reply = with_route(httpd, route);
        assert_eq!((reply.status, reply.backend.as_str()), (200, backend));
        assert!(start.elapsed() < PROMPT, "{:?}", start.elapsed());
    }
}

#[test]
fn a_sticky_client_moves_and_returns() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        let text = pool_of("route=one", "route=two", STICKY);
        let httpd = start_pool(troubled(w.httpd().live(&text)), &[&a, &b]);
        sticks(&httpd, "one", 8, "A");
        sticks(&httpd, "two", 8, "B");
        w.vanish(IP_A);
        wait_down(&httpd, ONE);
        pause(0.2);
        sticks(&httpd, "one", 8, "B");
        w.appear_all();
        wait_up(&httpd, ONE);
        pause(0.2);
        sticks(&httpd, "one", 8, "A");
        sticks(&httpd, "two", 8, "B");
        assert_eq!(attempts(&httpd, IP_A), 0);
    });
}

/// `nofailover=On`: the session is lost, and its client is told at once.
#[test]
fn nofailover_refuses_at_once() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        let text = pool_of("route=one", "route=two", &format!("{STICKY} nofailover=On"));
        let httpd = start_pool(troubled(w.httpd().live(&text)), &[&a, &b]);
        sticks(&httpd, "one", 4, "A");
        w.vanish(IP_A);
        wait_down(&httpd, ONE);
        pause(0.2);
        for _ in 0..8 {
            let start = Instant::now();
            assert_eq!(with_route(&httpd, "one").status, 503);
            assert!(start.elapsed() < PROMPT, "{:?}", start.elapsed());
        }
        sticks(&httpd, "two", 8, "B");
        assert_eq!(attempts(&httpd, IP_A), 0, "a request dialled it");
        w.appear_all();
        wait_up(&httpd, ONE);
        pause(0.2);
        sticks(&httpd, "one", 8, "A");
    });
}

/// `redirect`: the named member takes the sessions of the one that is out.
#[test]
fn redirect_names_the_heir() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, b) = backends();
        let c = third(w);
        set_members(w);
        let more = format!("BalancerMember http://three.test:9000 live=on route=three\n{STICKY}");
        let text = pool_of("route=one redirect=three", "route=two", &more);
        let httpd = start_pool(troubled(w.httpd().live(&text)), &[&a, &b, &c]);
        sticks(&httpd, "one", 6, "A");
        a.kill();
        wait_down(&httpd, ONE);
        pause(0.2);
        sticks(&httpd, "one", 12, "C");
        a.revive();
        wait_up(&httpd, ONE);
        pause(0.2);
        sticks(&httpd, "one", 6, "A");
    });
}

/// Kills A, then waits for those who are used instead, revives it and waits for the first ones.
fn takes_over(httpd: &Httpd, a: &Backend, ordinary: &[&str], instead: &[&str]) {
    for round in 1..=2 {
        assert_eq!(used(httpd), ordinary);
        a.kill();
        wait_down(httpd, ONE);
        pause(0.2);
        assert_eq!(used(httpd), instead);
        a.revive();
        eventually(BACK, || ups(httpd, ONE) == round);
        pause(0.2);
    }
    assert_eq!(used(httpd), ordinary);
    assert_eq!(downs(httpd, TWO), 0);
}

#[test]
fn a_set_behind_takes_over() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        let text = pool_of("lbset=0", "lbset=1", "");
        let httpd = start_pool(troubled(w.httpd().live(&text)), &[&a, &b]);
        takes_over(&httpd, &a, &["A"], &["B"]);
    });
}

#[test]
fn a_hot_standby_takes_over() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        let text = pool_of("", "status=+H", "");
        let httpd = start_pool(troubled(w.httpd().live(&text)), &[&a, &b]);
        takes_over(&httpd, &a, &["A"], &["B"]);
    });
}

#[test]
fn a_hot_spare_takes_over() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, b) = backends();
        let c = third(w);
        set_members(w);
        let more = "BalancerMember http://three.test:9000 live=on";
        let text = pool_of("", "status=+R", more);
        let httpd = start_pool(troubled(w.httpd().live(&text)), &[&a, &b, &c]);
        takes_over(&httpd, &a, &["A", "C"], &["B", "C"]);
    });
}

/// The standby itself is down while nobody needs it; then it is needed, and the first one is no longer there: the
/// pool answers at once.
#[test]
fn a_dead_standby() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        let text = pool_of("", "status=+H", "");
        let httpd = start_pool(troubled(w.httpd().live(&text)), &[&a, &b]);
        b.kill();
        wait_down(&httpd, TWO);
        assert_eq!(used(&httpd), ["A"]);
        a.kill();
        wait_down(&httpd, ONE);
        pause(0.5);
        let tried = (attempts(&httpd, IP_A), attempts(&httpd, IP_B));
        let records = httpd.load().run(Duration::from_secs(1));
        assert_eq!(records.by_status().into_keys().collect::<Vec<_>>(), [503]);
        assert!(records.slowest() < PROMPT, "{:?}", records.slowest());
        assert_eq!((attempts(&httpd, IP_A), attempts(&httpd, IP_B)), tried);
        b.revive();
        eventually(BACK, || httpd.get("/").backend == "B");
        a.revive();
        eventually(BACK, || used(&httpd) == ["A"]);
    });
}
