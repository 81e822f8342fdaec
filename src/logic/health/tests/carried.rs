//! Kicks, new leaders, changed sets of addresses.

use super::*;

#[test]
fn a_kick_brings_the_next_probe_forward() {
    let mut health = AddrHealth::new(addr(1));
    health.due_ms = 5_000;
    assert_eq!(kicked(&health, 4_000), Some(4_000));
    (health.last_ms, health.due_ms) = (10_000, 12_000);
    assert_eq!(kicked(&health, 10_030), Some(10_100));
    assert_eq!(kicked(&health, 10_500), Some(10_500));
    assert_eq!(kicked(&health, 12_000), None);
    health.due_ms = 10_080;
    assert_eq!(kicked(&health, 10_030), None);
    // A last probe in the future cannot be.
    (health.last_ms, health.due_ms) = (u64::MAX, u64::MAX);
    assert_eq!(kicked(&health, 10_000), Some(10_100));
}

#[test]
fn a_new_leader_goes_on_where_the_last_one_was() {
    let resumed = |change: fn(&mut AddrHealth), rnd| {
        let mut run = Run::up();
        run.health.last_ms = 99_000;
        run.health.due_ms = 101_000;
        change(&mut run.health);
        resume(&mut run.health, &RULES, 100_000, rnd);
        run.health
    };
    assert_eq!(resumed(|_| (), 7).due_ms, 101_000);
    assert_eq!(resumed(|h| h.due_ms = 99_500, 7).due_ms, 99_500);
    assert_eq!(resumed(|h| h.due_ms = u64::MAX, 7).due_ms, 102_000);
    assert_eq!(resumed(|h| h.last_ms = 0, 7).due_ms, 100_000);
    // Long overdue: spread over half an interval, the urgent ones less.
    let late = |h: &mut AddrHealth| h.due_ms = 50_000;
    assert_eq!(resumed(late, 0).due_ms, 100_000);
    assert_eq!(resumed(late, MIDDLE).due_ms, 100_500);
    assert!(resumed(late, u32::MAX).due_ms <= 101_000);
    let urgent = |h: &mut AddrHealth| (h.due_ms, h.state) = (0, State::Down);
    assert_eq!(resumed(urgent, MIDDLE).due_ms, 100_050);
    // What cannot be is put right, the rest stays.
    let health = resumed(|h| (h.held_ms, h.last_ms) = (u64::MAX, 200_000), 7);
    assert_eq!((health.held_ms, health.last_ms), (100_000, 100_000));
    assert_eq!((health.oks, health.state), (3, State::Up));
}

#[test]
fn a_changed_set_keeps_what_is_known() {
    let mut known = AddrHealth::new(addr(1));
    (known.state, known.due_ms, known.fails) = (State::Down, 9_000, 4);
    let other = |wanted: &Addr| {
        (*wanted == addr(3)).then(|| AddrHealth {
            state: State::Up,
            held_ms: 5,
            ..AddrHealth::new(addr(3))
        })
    };
    let old = [AddrHealth::new(addr(2)), known.clone()];
    let merged = merge(&old, &[addr(1), addr(3), addr(4)], other, 7_000);
    assert_eq!(merged[0], known);
    let seen: Vec<_> = merged[1..]
        .iter()
        .map(|h| (h.addr, h.state, h.due_ms, h.held_ms))
        .collect();
    let wanted = [
        (addr(3), State::Up, 7_000, 0),
        (addr(4), State::Unknown, 7_000, 0),
    ];
    assert_eq!(seen, wanted);
    let many = vec![addr(9); 1_000];
    let most = crate::logic::record::MAX_ADDRS;
    assert_eq!(merge(&[], &many, |_| None, 1).len(), most);
}

#[test]
fn failures_of_long_ago_are_no_series() {
    let mut run = Run::up();
    run.next(Err(Reason::Timeout));
    // Nobody probed for a while; then one packet is lost.
    run.health.due_ms += 6_000;
    let step = run.next(Err(Reason::Timeout));
    assert_eq!((step.health.fails, step.change), (1, None));
    assert!(step.first_failure || step.health.state == State::Up);
    // The ordinary pause counts on.
    let step = run.next(Err(Reason::Timeout));
    assert_eq!(step.health.fails, 2);
}

#[test]
fn old_verdicts_are_forgotten() {
    let mut down = Run::up();
    down.next(Err(Reason::Refused));
    down.next(Err(Reason::Refused));
    assert_eq!(down.health.state, State::Down);
    let last = down.health.last_ms;
    assert!(!is_stale(&down.health, &RULES, last + 16_000));
    assert!(is_stale(&down.health, &RULES, last + 17_000));
    let mut health = down.health.clone();
    resume(&mut health, &RULES, last + 17_000, MIDDLE);
    assert_eq!((health.state, health.reason), (State::Unknown, None));
    assert_eq!(health.due_ms, last + 17_000);
    assert_eq!(
        health.flaps, down.health.flaps,
        "it may be flapping all the same"
    );
    // What is good stays good.
    let up = Run::up().health;
    assert!(!is_stale(&up, &RULES, up.last_ms + 1_000_000));
}
