//! A member of a balancer is killed or vanishes, and returns.

use crate::common::pool::*;
use crate::common::*;
use live_kit::{Backend, Mpm, World, eventually, pause, scenario_within};
use std::time::{Duration, Instant};

/// Requests that wait for a backend that vanished while they were under way give up.
const SOON: &str = "timeout=2";
const LIMIT: Duration = Duration::from_secs(150);
/// An interval, a second for the verdict, and what a machine under load adds.
const SOON_DOWN: Duration = Duration::from_secs(6);
/// A request that had picked the member at the instant of the verdict is not judged.
const INSTANT: Duration = Duration::from_millis(200);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum How {
    Killed,
    Vanished,
}

fn gone(w: &mut World, a: &Backend, how: How) {
    match how {
        How::Killed => a.kill(),
        How::Vanished => w.vanish(IP_A),
    }
}

fn back(w: &mut World, a: &Backend, how: How) {
    match how {
        How::Killed => a.revive(),
        How::Vanished => w.appear(IP_A),
    }
}

/// Under load: no request is sent to the member any more after the verdict, all are answered at once, and it is
/// used again within seconds of its return.
fn leaves_and_returns(w: &mut World, mpm: Mpm, how: How) {
    let (a, b) = backends();
    set_members(w);
    let text = format!("{}\n{FRESH}", pool(SOON));
    let httpd = start_pool(troubled(w.httpd().mpm(mpm).live(&text)), &[&a, &b]);
    assert_eq!(used(&httpd), ["A", "B"]);
    let load = httpd.load().start();
    pause(0.5);
    let mut judged = Vec::new();
    for round in 1..=2 {
        gone(w, &a, how);
        let down = wait_down(&httpd, ONE);
        assert!(down < SOON_DOWN, "down after {down:?}");
        let verdict = Instant::now() + INSTANT;
        // what was under way at the verdict has been written down
        pause(1.5);
        let tried = attempts(&httpd, IP_A);
        a.forget();
        pause(2.0);
        assert_eq!(attempts(&httpd, IP_A), tried, "dialled after the verdict");
        assert_eq!(a.seen().len(), 0, "used after the verdict");
        back(w, &a, how);
        let again = eventually(BACK, || !a.seen().is_empty());
        eventually(BACK, || ups(&httpd, ONE) == round);
        judged.push((verdict, Instant::now()));
        println!(
            "figure: {mpm:?}, {how:?} under load: down after {down:?}, used again after {again:?}"
        );
        pause(0.5);
    }
    let records = load.stop();
    for (from, to) in judged {
        records.since(from).before(to).assert_clean(PROMPT);
    }
    assert_eq!((downs(&httpd, ONE), ups(&httpd, ONE)), (2, 2));
    assert_eq!(downs(&httpd, TWO), 0);
}

#[test]
fn killed_event() {
    scenario_within(LIMIT, |w: &mut World| {
        leaves_and_returns(w, Mpm::Event, How::Killed);
    });
}

#[test]
fn killed_worker() {
    scenario_within(LIMIT, |w: &mut World| {
        leaves_and_returns(w, Mpm::Worker, How::Killed);
    });
}

#[test]
fn killed_prefork() {
    scenario_within(LIMIT, |w: &mut World| {
        leaves_and_returns(w, Mpm::Prefork, How::Killed);
    });
}

#[test]
fn vanished_event() {
    scenario_within(LIMIT, |w: &mut World| {
        leaves_and_returns(w, Mpm::Event, How::Vanished);
    });
}

#[test]
fn vanished_worker() {
    scenario_within(LIMIT, |w: &mut World| {
        leaves_and_returns(w, Mpm::Worker, How::Vanished);
    });
}

#[test]
fn vanished_prefork() {
    scenario_within(LIMIT, |w: &mut World| {
        leaves_and_returns(w, Mpm::Prefork, How::Vanished);
    });
}

/// Nobody asks for anything: no request ever meets the dead member.
fn idle(w: &mut World, how: How) {
    let (a, b) = backends();
    set_members(w);
    // The module alone says something: no request fails.
    let builder = w.httpd().live(&pool("")).expect("up -> down");
    let httpd = start_pool(builder, &[&a, &b]);
    for round in 1..=2 {
        assert_eq!(used(&httpd), ["A", "B"]);
        gone(w, &a, how);
        let down = wait_down(&httpd, ONE);
        assert!(down < SOON_DOWN, "down after {down:?}");
        pause(0.1);
        assert_eq!(used(&httpd), ["B"]);
        back(w, &a, how);
        let up = eventually(BACK, || ups(&httpd, ONE) == round);
        println!("figure: {how:?} idle: down after {down:?}, up after {up:?}");
        pause(0.1);
    }
    assert_eq!(used(&httpd), ["A", "B"]);
    assert_eq!(attempts(&httpd, IP_A), 0);
}

#[test]
fn killed_idle() {
    scenario_within(LIMIT, |w: &mut World| idle(w, How::Killed));
}

#[test]
fn vanished_idle() {
    scenario_within(LIMIT, |w: &mut World| idle(w, How::Vanished));
}

/// A name that several balancers and a plain worker use: each notices, and it is probed once for all of them.
#[test]
fn one_stream_of_probes_for_all_users() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        let other = "<Proxy balancer://other>
                BalancerMember http://ONE.test:9000/x live=on
                BalancerMember http://two.test:9000/x live=on
            </Proxy>
            ProxyPass /other balancer://other/
            ProxyPass /plain http://one.test:9000/plain live=on";
        let hosts: String = (1..=3)
            .map(|n| format!("<VirtualHost *:8080>\nServerName v{n}.front\n</VirtualHost>\n"))
            .collect();
        let text = format!("{other}\n{}\n{hosts}", pool(""));
        let httpd = start_pool(troubled(w.httpd().live(&text)), &[&a, &b]);
        pause(1.0);
        let (before, start) = (a.probed(), Instant::now());
        pause(8.0);
        let (probes, time) = (a.probed() - before, start.elapsed().as_secs_f64());
        // one in two seconds, some milliseconds more or less
        let most = (time / 1.9).ceil() as usize + 1;
        assert!((2..=most).contains(&probes), "{probes} probes in {time} s");
        a.kill();
        eventually(PATIENCE, || httpd.logged("up -> down (127.0.0.2") >= 3);
        pause(0.2);
        assert_eq!(httpd.get("http://v2.front/plain").status, 503);
        for path in ["/", "/other"] {
            for _ in 0..4 {
                assert_eq!(httpd.get(path).backend, "B", "{path}");
            }
        }
        a.revive();
        eventually(BACK, || httpd.get("/plain").backend == "A");
        eventually(BACK, || httpd.get("/other").backend == "A");
        eventually(BACK, || httpd.get("/").backend == "A");
    });
}
