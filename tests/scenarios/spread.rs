//! `livespread`: new connections of the machine go evenly to all addresses of a name, pooled ones stay.

use crate::common::*;
use live_kit::{Backend, Mpm, Request, World, all_at_once, answers, scenario};
use std::time::{Duration, Instant};

const IP_C: &str = "127.0.0.4";
const ALL: [&str; 3] = [IP_A, IP_B, IP_C];
/// A new connection to the backend for each request.
const FRESH: &str = "SetEnv proxy-nokeepalive 1";

/// Between two requests of one client.
const STEADY: Duration = Duration::from_millis(10);

fn three() -> [Backend; 3] {
    [backend("A", IP_A), backend("B", IP_B), backend("C", IP_C)]
}

fn accepted(backends: &[Backend]) -> Vec<usize> {
    backends.iter().map(Backend::accepted).collect()
}

/// 3,000 connections (at least, and for `least`) of 4 children to 3 addresses, `pause` between two of one client.
fn spreads(w: &mut World, mpm: Mpm, clients: usize, pause: Duration, least: Duration) {
    let backends = three();
    set_app(w, &ALL);
    let builder = w.httpd().mpm(mpm).live(&format!("{FOLLOW}\n{FRESH}"));
    let httpd = start_following(builder);
    let before: usize = accepted(&backends).iter().sum();
    let load = httpd.load().clients(clients).per_connection(1).pause(pause);
    // A kept connection may be closed by httpd when all its threads are busy.
    let load = load.start();
    std::thread::sleep(least);
    live_kit::eventually(Duration::from_secs(60), || {
        accepted(&backends).iter().sum::<usize>() >= before + 3000
    });
    let records = load.stop();
    assert!(records.failed().is_empty(), "{:?}", records.failed()[0]);
    let children = records.by_child();
    assert_eq!(children.len(), 4, "every child took part: {children:?}");
    let counts = accepted(&backends);
    let all: usize = counts.iter().sum();
    let share = |n: &usize| *n as f64 * 100.0 / all as f64;
    let shares: Vec<f64> = counts.iter().map(share).collect();
    println!("figure: {mpm:?}, {clients} clients: {all} connections, {counts:?}, {shares:.1?} %");
    let even = |s: &f64| (s - 100.0 / 3.0).abs() <= 5.0;
    assert!(
        shares.iter().all(even),
        "{shares:.1?} % of {all} connections"
    );
}

#[test]
fn even_event() {
    scenario(|w: &mut World| spreads(w, Mpm::Event, 8, STEADY, Duration::ZERO));
}

#[test]
fn even_prefork() {
    scenario(|w: &mut World| spreads(w, Mpm::Prefork, 8, STEADY, Duration::ZERO));
}

/// As fast as it goes: hundreds of connections between two rotations, so it takes some rotations to even out.
#[test]
fn even_at_full_speed() {
    scenario(|w: &mut World| spreads(w, Mpm::Event, 16, Duration::ZERO, Duration::from_secs(4)));
}

/// Slow enough for a rotation after every connection or two.
#[test]
fn even_at_low_rate() {
    scenario(|w: &mut World| {
        let backends = three();
        set_app(w, &ALL);
        let httpd = start_following(w.httpd().children(1).live(&format!("{FOLLOW}\n{FRESH}")));
        for _ in 0..30 {
            httpd.get("/");
            live_kit::pause(0.12);
        }
        // Each rotation names the least used: after 30 of them no address is far behind.
        let counts = accepted(&backends);
        assert!(counts.iter().all(|n| (8..=12).contains(n)), "{counts:?}");
    });
}

/// One request more at the same time in each round: exactly one new connection per round, if the rotation in
/// between closes none of the pooled ones.
#[test]
fn pooled_connections_survive_rotation() {
    scenario(|w: &mut World| {
        const ROUNDS: usize = 24;
        let backends = three();
        set_app(w, &ALL);
        let httpd = start_following(w.httpd().children(1).threads(ROUNDS + 4).live(FOLLOW));
        let request = Request::get("/?delay=150");
        for round in 1..=ROUNDS {
            let pending = all_at_once(httpd.addr(), &request, round, Duration::from_secs(10));
            for one in pending {
                let reply = one.join().expect("client").expect("an answer");
                assert_eq!(reply.status, 200);
            }
        }
        let counts = accepted(&backends);
        let all: usize = counts.iter().sum();
        let open: usize = backends.iter().map(Backend::open).sum();
        println!("figure: {ROUNDS} rounds: connections {counts:?}, open {open}");
        assert!(all <= ROUNDS, "a rotation closed connections: {counts:?}");
        assert!(
            all > ROUNDS / 2,
            "no new connections, so no rotation: {counts:?}"
        );
        assert_eq!(open, all);
        assert!(
            counts.iter().all(|n| *n >= all / 3 - 2),
            "no rotation: {counts:?}"
        );
        // All of them are used again.
        backends.iter().for_each(Backend::forget);
        let pending = all_at_once(httpd.addr(), &request, all, Duration::from_secs(10));
        for one in pending {
            one.join().expect("client").expect("an answer");
        }
        assert_eq!(accepted(&backends), counts);
        assert!(backends.iter().all(|b| !b.seen().is_empty()));
    });
}

/// `livespread=off`: all children dial the same address, in whatever order DNS names them.
#[test]
fn off_keeps_the_order() {
    scenario(|w: &mut World| {
        let backends = three();
        set_app(w, &[IP_B, IP_A, IP_C]);
        let text = format!("{FOLLOW} livespread=off\n{FRESH}");
        let httpd = start_following(w.httpd().live(&text));
        let load = httpd.load().clients(8).per_connection(5).start();
        live_kit::pause(1.0);
        set_app(w, &[IP_C, IP_B, IP_A]);
        live_kit::pause(2.5);
        let records = load.stop();
        records.assert_clean(QUICK);
        assert_eq!(records.by_child().len(), 4);
        let mut counts = accepted(&backends);
        counts.sort_unstable();
        assert!(
            counts[0] == 0 && counts[1] == 0 && counts[2] > 500,
            "{counts:?}"
        );
        // When it refuses, httpd dials the next of the list.
        let first = backends.iter().find(|b| b.accepted() > 0).expect("used");
        first.mode(live_kit::Mode::Refuse);
        assert_ne!(httpd.get("/").backend, first.name());
        first.revive();
    });
}

/// One of three addresses is gone, and there are no probes: httpd dials it first only now and then, and the others stay even.
#[test]
fn a_dead_address_goes_behind() {
    scenario(|w: &mut World| {
        let backends = three();
        set_app(w, &ALL);
        let text = format!("{FOLLOW} connectiontimeout=1 retry=0 liveprobe=off\n{FRESH}");
        let httpd = start_following(w.httpd().live(&text));
        w.vanish(IP_B);
        let load = httpd.load().clients(8).per_connection(1).pause(STEADY);
        let began = Instant::now();
        let records = load.run(Duration::from_secs(12));
        assert!(records.failed().is_empty(), "{:?}", records.failed()[0]);
        // While it is the head, all users of a child meet it; that happens ever more seldom.
        let records = records.since(began + Duration::from_secs(6));
        let slow = |r: &&live_kit::Record| r.took > Duration::from_millis(900);
        let (all, slow) = (records.len(), records.0.iter().filter(slow).count());
        let counts = accepted(&backends);
        println!("figure: {slow} of {all} requests dialled the dead address first, {counts:?}");
        assert!(
            slow * 10 < all,
            "{slow} of {all} dialled the dead address first"
        );
        let (a, c) = (counts[0] as f64, counts[2] as f64);
        assert!(
            (a / (a + c) - 0.5).abs() < 0.08,
            "the living share evenly: {counts:?}"
        );
    });
}

/// A name with an IPv6 address that this machine has no route to: the IPv4 addresses share evenly.
#[test]
fn an_unreachable_family_does_not_disturb() {
    scenario(|w: &mut World| {
        let backends = three();
        let mut set = answers(&ALL, 1);
        set.aaaa = vec!["2001:db8::1".parse().expect("an address")];
        w.dns.set("app.test", set);
        let builder = w.httpd().live(&format!("{FOLLOW}\n{FRESH}"));
        let httpd = start_following(builder.expect("2001:db8::1 cannot be probed: no route here"));
        let load = httpd.load().clients(8).per_connection(1).pause(STEADY);
        let records = load.run(Duration::from_secs(5));
        records.assert_clean(QUICK);
        let counts = accepted(&backends);
        let all: usize = counts.iter().sum();
        let share = |n: &usize| *n as f64 * 100.0 / all as f64;
        let shares: Vec<f64> = counts.iter().map(share).collect();
        println!("figure: {all} connections, {shares:.1?} %");
        assert!(
            shares.iter().all(|s| (s - 100.0 / 3.0).abs() <= 5.0),
            "{shares:.1?} %"
        );
    });
}
