//! A member of a pair dies under steady load, with requests waiting for it: no GET fails, no POST is sent twice, no
//! client is left without an answer.

use crate::common::pool::*;
use crate::common::rescue::*;
use crate::common::*;
use live_kit::{Backend, Death, Failure, Mode, Mpm, Request, World, eventually, pause, scenario};
use std::time::Instant;

/// How member A dies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Dies {
    /// Its machine loses its power.
    Vanished,
    /// Its process is killed while requests wait.
    Killed,
    /// The next request kills it, after this much of the answer.
    By(Death),
}

/// Lets A die with requests under way; when it happened.
fn die(w: &mut World, a: &Backend, how: Dies) -> Instant {
    wait_busy(a, RESCUABLE);
    match how {
        Dies::Vanished => w.vanish(IP_A),
        Dies::Killed => a.kill(),
        Dies::By(death) => {
            a.mode(Mode::Kill(death));
            // the request that did it has waited for its answer before
            eventually(PATIENCE, || a.open() == 0);
        }
    }
    // whatever its threads had in hand is written down
    pause(0.1);
    Instant::now()
}

/// Two deaths of A under load, with a return in between.
fn dies(w: &mut World, mpm: Mpm, scheme: Scheme, how: Dies) {
    let (a, b, httpd) = start_pair(w, mpm, scheme, "");
    let worker = scheme.worker("one.test");
    let loads = Loads::start(&httpd);
    for round in 1..=2 {
        let died = die(w, &a, how);
        eventually(PATIENCE, || downs(&httpd, &worker) == round);
        pause(1.0);
        let after: Vec<_> = a.seen().into_iter().filter(|s| s.at > died).collect();
        assert!(after.is_empty(), "executed by the dead: {after:?}");
        w.appear_all();
        a.revive();
        eventually(BACK, || a.last_request().is_some_and(|at| at > died));
        pause(0.5);
    }
    let outcome = loads.stop();
    outcome.figure(&format!("{mpm:?}, {scheme:?}, {how:?}"), &[&a, &b]);
    outcome.judge(&[&a, &b]);
    assert!(
        !twice(&[&a, &b]).is_empty(),
        "no request was rescued: nothing was shown"
    );
    assert_eq!(downs(&httpd, &scheme.worker("two.test")), 0);
}

#[test]
fn vanished_event() {
    scenario(|w: &mut World| dies(w, Mpm::Event, Scheme::Http, Dies::Vanished));
}

#[test]
fn vanished_event_tls() {
    scenario(|w: &mut World| dies(w, Mpm::Event, Scheme::Https, Dies::Vanished));
}

#[test]
fn vanished_prefork() {
    scenario(|w: &mut World| dies(w, Mpm::Prefork, Scheme::Http, Dies::Vanished));
}

#[test]
fn vanished_prefork_tls() {
    scenario(|w: &mut World| dies(w, Mpm::Prefork, Scheme::Https, Dies::Vanished));
}

#[test]
fn killed_event() {
    scenario(|w: &mut World| dies(w, Mpm::Event, Scheme::Http, Dies::Killed));
}

#[test]
fn killed_event_tls() {
    scenario(|w: &mut World| dies(w, Mpm::Event, Scheme::Https, Dies::Killed));
}

#[test]
fn killed_prefork() {
    scenario(|w: &mut World| dies(w, Mpm::Prefork, Scheme::Http, Dies::Killed));
}

#[test]
fn killed_prefork_tls() {
    scenario(|w: &mut World| dies(w, Mpm::Prefork, Scheme::Https, Dies::Killed));
}

#[test]
fn killed_by_a_request_event() {
    scenario(|w: &mut World| dies(w, Mpm::Event, Scheme::Http, Dies::By(Death::Reset)));
}

#[test]
fn killed_by_a_request_event_tls() {
    scenario(|w: &mut World| dies(w, Mpm::Event, Scheme::Https, Dies::By(Death::Reset)));
}

#[test]
fn killed_by_a_request_prefork() {
    scenario(|w: &mut World| dies(w, Mpm::Prefork, Scheme::Http, Dies::By(Death::Reset)));
}

#[test]
fn half_a_header_event() {
    scenario(|w: &mut World| dies(w, Mpm::Event, Scheme::Http, Dies::By(Death::Header)));
}

#[test]
fn half_a_header_event_tls() {
    scenario(|w: &mut World| dies(w, Mpm::Event, Scheme::Https, Dies::By(Death::Header)));
}

#[test]
fn half_a_header_prefork() {
    scenario(|w: &mut World| dies(w, Mpm::Prefork, Scheme::Http, Dies::By(Death::Header)));
}

/// The client has half of the answer already: it sees the truncation, and nothing is asked again for it. The
/// requests that waited beside it are rescued.
fn half_a_body(w: &mut World, mpm: Mpm, scheme: Scheme) {
    let (a, b, httpd) = start_pair(w, mpm, scheme, "");
    let loads = Loads::start(&httpd);
    // Nobody else is answered by A in the same instant.
    let victim = bound(Request::get("/?delay=300&die=body"), "a");
    let cut = httpd.send(&victim).expect_err("half an answer");
    assert_eq!(cut, Failure::Cut);
    wait_busy(&a, RESCUABLE);
    a.kill();
    pause(2.0);
    let outcome = loads.stop();
    outcome.figure(&format!("{mpm:?}, {scheme:?}, half a body"), &[&a, &b]);
    outcome.judge(&[&a, &b]);
    let seen = [a.seen(), b.seen()].concat();
    let times = seen.iter().filter(|s| s.path.contains("die=body")).count();
    assert_eq!(times, 1, "asked again for half an answer");
    assert!(!twice(&[&a, &b]).is_empty(), "nobody was rescued beside it");
}

#[test]
fn half_a_body_event() {
    scenario(|w: &mut World| half_a_body(w, Mpm::Event, Scheme::Http));
}

#[test]
fn half_a_body_event_tls() {
    scenario(|w: &mut World| half_a_body(w, Mpm::Event, Scheme::Https));
}

#[test]
fn half_a_body_prefork() {
    scenario(|w: &mut World| half_a_body(w, Mpm::Prefork, Scheme::Http));
}

/// The host vanishes in the middle of an answer: the client sees its end soon, not after the time-out.
#[test]
fn vanished_in_the_middle_of_a_body() {
    scenario(|w: &mut World| {
        let (a, b, httpd) = start_pair(w, Mpm::Event, Scheme::Http, "");
        let loads = Loads::start(&httpd);
        let dripping = bound(Request::get("/?bytes=1000&drip=100"), "a");
        let pending = in_background(&httpd, &dripping);
        let begun = || a.seen().iter().any(|s| s.path.contains("drip"));
        eventually(PATIENCE, begun);
        pause(1.0);
        let died = die(w, &a, Dies::Vanished);
        let cut = pending.join().expect("a client thread");
        assert_eq!(cut.expect_err("half an answer"), Failure::Cut);
        let took = died.elapsed();
        assert!(took < GIVEN_UP, "the client waited for {took:?}");
        let outcome = loads.stop();
        outcome.figure("vanished in the middle of a body", &[&a, &b]);
        outcome.judge(&[&a, &b]);
        let seen = b.seen();
        assert!(!seen.iter().any(|s| s.path.contains("drip")), "asked again");
    });
}
