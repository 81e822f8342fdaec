//! A name with several addresses, one of which is dead.

use crate::common::pool::*;
use crate::common::*;
use live_kit::{
    Backend, Dns, Mpm, Request, World, all_at_once, answers, eventually, pause, scenario,
    scenario_within,
};
use std::time::{Duration, Instant};

const IP_C: &str = "127.0.0.4";
const ALL: [&str; 3] = [IP_A, IP_B, IP_C];
const LIMIT: Duration = Duration::from_secs(120);

fn three() -> [Backend; 3] {
    [backend("A", IP_A), backend("B", IP_B), backend("C", IP_C)]
}

fn requests(backends: &[Backend; 3]) -> [usize; 3] {
    [0, 1, 2].map(|n| backends[n].requests())
}

/// B's machine vanishes: after the verdict no request dials it, so none is slow, and A and C share the work. When
/// it is back, it gets its share again.
fn one_of_three_vanishes(w: &mut World, mpm: Mpm) {
    let all = three();
    w.dns.set("app.test", answers(&ALL, 600));
    let text = format!("{FOLLOW} timeout=2\n{FRESH}");
    let httpd = start_following(troubled(w.httpd().mpm(mpm).live(&text)));
    wait_probed(&[&all[0], &all[1], &all[2]]);
    let load = httpd.load().per_connection(5).start();
    pause(0.5);
    w.vanish(IP_B);
    let down = eventually(PATIENCE, || {
        httpd.logged("target app.test:9000: 127.0.0.3 up -> down") == 1
    });
    // The children adopt the new order, and those that dial are through.
    pause(1.5);
    let (from, before) = (Instant::now(), requests(&all));
    let tried = attempts(&httpd, IP_B);
    pause(4.0);
    let (to, after) = (Instant::now(), requests(&all));
    assert_eq!(attempts(&httpd, IP_B), tried, "dialled after the verdict");
    w.appear(IP_B);
    let up = eventually(BACK, || {
        httpd.logged("target app.test:9000: 127.0.0.3 down -> up") == 1
    });
    let again = eventually(BACK, || all[1].requests() > after[1]);
    pause(2.0);
    let (mixed, start) = (requests(&all), Instant::now());
    pause(3.0);
    let last = requests(&all);
    let records = load.stop();
    println!("figure: {mpm:?}: down after {down:?}, up after {up:?}, used {again:?} later");
    records.since(from).before(to).assert_clean(PROMPT);
    let got = [0, 1, 2].map(|n| (after[n] - before[n]) as f64);
    assert!(got[1] == 0.0 && got[0] + got[2] > 200.0, "{got:?}");
    let share = got[0] / (got[0] + got[2]);
    assert!((0.4..=0.6).contains(&share), "A and C share: {got:?}");
    records.since(start).assert_clean(PROMPT);
    let got = [0, 1, 2].map(|n| (last[n] - mixed[n]) as f64);
    let sum: f64 = got.iter().sum();
    let shares = got.map(|n| n / sum);
    assert!(shares.iter().all(|s| (0.25..=0.42).contains(s)), "{got:?}");
    // the worker itself was never out of service; requests may have been under way at B
    let worker = "http://app.test:9000";
    let out = downs(&httpd, worker) + told(&httpd, worker, "last resort");
    assert_eq!(out, 0);
}

#[test]
fn one_of_three_vanishes_event() {
    scenario_within(LIMIT, |w: &mut World| one_of_three_vanishes(w, Mpm::Event));
}

#[test]
fn one_of_three_vanishes_worker() {
    scenario_within(LIMIT, |w: &mut World| one_of_three_vanishes(w, Mpm::Worker));
}

#[test]
fn one_of_three_vanishes_prefork() {
    scenario_within(LIMIT, |w: &mut World| {
        one_of_three_vanishes(w, Mpm::Prefork)
    });
}

/// Idle pooled connections to an address that went down are shut down; those to the others stay.
#[test]
fn idle_connections_to_a_dead_address_are_closed() {
    scenario(|w: &mut World| {
        let all = three();
        w.dns.set("app.test", answers(&ALL, 600));
        let builder = w.httpd().children(1).threads(16).live(FOLLOW);
        let httpd = start_following(troubled(builder));
        wait_probed(&[&all[0], &all[1], &all[2]]);
        // Each round needs one connection more than the last, and each turns the list.
        for round in 1..=12 {
            let request = Request::get("/?delay=150");
            for one in all_at_once(httpd.addr(), &request, round, LIMIT) {
                one.join().expect("a client").expect("an answer");
            }
        }
        let open = || [0, 1, 2].map(|n: usize| all[n].open());
        let before = open();
        assert!(before.iter().all(|n| *n > 0), "{before:?}");
        // The port refuses, connections that exist would go on.
        all[1].mode(live_kit::Mode::Refuse);
        eventually(PATIENCE, || {
            httpd.logged("127.0.0.3 up -> down (connection refused") == 1
        });
        eventually(Duration::from_secs(2), || all[1].open() == 0);
        let after = open();
        assert_eq!((after[0], after[2]), (before[0], before[2]));
        let records = httpd.load().run(Duration::from_secs(1));
        records.assert_clean(PROMPT);
        assert_eq!(records.by_backend().get("B"), None);
        all[1].revive();
        eventually(BACK, || httpd.logged("127.0.0.3 down -> up") == 1);
    });
}

/// All addresses of a worker go, one after the other; with the last of them the worker does.
#[test]
fn all_addresses_go_one_by_one() {
    scenario_within(LIMIT, |w: &mut World| {
        let all = three();
        w.dns.set("app.test", answers(&ALL, 600));
        let httpd = start_following(troubled(w.httpd().live(FOLLOW)));
        wait_probed(&[&all[0], &all[1], &all[2]]);
        let worker = "http://app.test:9000";
        for (n, backend) in all.iter().enumerate() {
            assert_eq!(downs(&httpd, worker), 0, "{n} down");
            backend.kill();
            eventually(PATIENCE, || {
                httpd.logged("target app.test:9000: 127.0.0.") == n + 1
            });
            if n < 2 {
                pause(1.0);
                used(&httpd);
            }
        }
        wait_down(&httpd, worker);
        pause(0.5);
        let tried = httpd.logged("attempt to connect to ");
        let records = httpd.load().run(Duration::from_secs(1));
        assert_eq!(records.by_status().into_keys().collect::<Vec<_>>(), [503]);
        assert_eq!(httpd.logged("attempt to connect to "), tried);
        all[2].revive();
        eventually(BACK, || httpd.get("/").backend == "C");
        wait_up(&httpd, worker);
        all[0].revive();
        eventually(BACK, || httpd.logged("127.0.0.2 down -> up") == 1);
        // Connections that work are kept: the one that returned is used when the other one goes.
        all[2].kill();
        eventually(BACK, || httpd.try_get("/").is_ok_and(|r| r.backend == "A"));
    });
}

/// DNS wins: a dead address is replaced by DNS, asked as soon as the address fails, in spite of its long TTL.
#[test]
fn dns_is_asked_when_an_address_fails() {
    scenario(|w: &mut World| {
        let (a, _b) = backends();
        // httpd's own look-ups go elsewhere.
        let own = Dns::start("127.0.0.8:53");
        let set = |w: &World, ip: &str| {
            own.set("app.test", answers(&[ip], 600));
            w.dns.set("app.test", answers(&[ip], 600));
        };
        set(w, IP_A);
        let text = format!("ProxyLiveResolver 127.0.0.8\n{FOLLOW}");
        let httpd = start_following(troubled(w.httpd().live(&text)));
        wait_probed(&[&a]);
        assert_eq!(httpd.get("/").backend, "A");
        own.forget();
        set(w, IP_B);
        pause(3.0);
        assert_eq!(own.queries().len(), 0, "asked before the TTL without need");
        a.kill();
        let took = eventually(PATIENCE, || {
            httpd.logged("addresses 127.0.0.2 -> 127.0.0.3") == 1
        });
        println!("figure: the new address is known {took:?} after the end of the old one");
        pause(0.5);
        let tried = attempts(&httpd, IP_A);
        all_children_use(&httpd, "/", "B");
        assert_eq!(attempts(&httpd, IP_A), tried);
        let asked = own.queries().len();
        assert!((1..=6).contains(&asked), "{asked} queries");
    });
}

/// A name gains an address where nobody is: it is dialled at most until the first probes are through, and no
/// request fails for it. When somebody comes, it is used.
#[test]
fn a_new_address_is_dead() {
    scenario_within(LIMIT, |w: &mut World| {
        let a = backend("A", IP_A);
        w.dns.set("app.test", answers(&[IP_A], 1));
        let text = format!("{FOLLOW}\n{FRESH}");
        let builder = troubled(w.httpd().live(&text)).expect("unknown -> down");
        let httpd = start_following(builder);
        wait_probed(&[&a]);
        let load = httpd.load().start();
        pause(0.5);
        w.dns.set("app.test", answers(&[IP_A, IP_B], 1));
        eventually(PATIENCE, || {
            httpd.logged("127.0.0.3 unknown -> down (connection refused") == 1
        });
        pause(1.0);
        let tried = attempts(&httpd, IP_B);
        pause(2.0);
        assert_eq!(attempts(&httpd, IP_B), tried, "dialled after the verdict");
        let b = backend("B", IP_B);
        eventually(BACK, || b.requests() > 0);
        load.stop().assert_clean(PROMPT);
        assert_eq!(downs(&httpd, "http://app.test:9000"), 0);
    });
}
