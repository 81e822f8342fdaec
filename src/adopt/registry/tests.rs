use super::*;
use std::cell::Cell;
use std::net::Ipv4Addr;

fn addr(last: u8) -> Addr {
    Addr::v4(Ipv4Addr::new(127, 0, 0, last))
}

fn conn(last: u8, attempt: Option<u64>) -> Arc<Conn> {
    Arc::new(Conn::new(0, addr(last), 80, -1, attempt, 0))
}

#[test]
fn only_idle_unwanted_connections_are_shut_down() {
    let registry = Registry::default();
    let (kept, idle, busy) = (conn(1, Some(5)), conn(2, Some(6)), conn(2, Some(7)));
    for c in [&kept, &idle, &busy] {
        registry.add(c.clone());
    }
    kept.rest(5);
    idle.rest(6);
    let sweep = || registry.sweep(|_, a| *a == addr(1), |c| assert_eq!(c.peer, addr(2)));
    let first = sweep();
    assert_eq!((first.closed, first.in_use), (1, 1));
    assert_eq!(idle.touch(Some(8)), Err(Ended));
    assert_eq!(kept.touch(Some(9)), Ok(true));
    busy.rest(7);
    assert_eq!(
        sweep(),
        Swept {
            closed: 1,
            in_use: 0
        }
    );
    assert_eq!(sweep(), Swept::default());
}

#[test]
fn the_next_attempt_is_not_put_to_rest_by_the_last() {
    let c = conn(1, Some(5));
    assert_eq!(c.touch(Some(5)), Ok(false));
    assert_eq!(c.touch(Some(6)), Ok(true));
    c.rest(5);
    assert!(!c.close_if_idle());
    c.rest(6);
    assert!(c.close_if_idle());
}

/// The last user's `rest` comes after the next user has taken the connection from the pool.
#[test]
fn the_next_user_takes_over_before_the_last_one_rests() {
    let c = conn(1, Some(5));
    assert!(c.is_used_by(5) && !c.is_used_by(6), "6 must touch it");
    assert_eq!(c.touch(Some(6)), Ok(true));
    c.rest(5);
    assert!(c.is_used_by(6) && !c.close_if_idle());
}

#[test]
fn no_attempt_uses_nothing() {
    let c = conn(1, None);
    assert!(!c.is_used_by(NO_ATTEMPT), "unknown");
    c.touch(Some(7)).unwrap();
    c.rest(7);
    assert!(!c.is_used_by(NO_ATTEMPT), "idle");
    assert!(c.close_if_idle() && !c.is_used_by(NO_ATTEMPT), "closed");
}

#[test]
fn unknown_users_are_never_shut_down() {
    let c = conn(1, None);
    assert!(!c.close_if_idle());
    c.rest(FIRST_ATTEMPT);
    assert!(!c.close_if_idle());
}

#[test]
fn each_silent_attempt_is_told_once() {
    let registry = Registry::default();
    let (waiting, idle) = (conn(1, Some(5)), conn(2, Some(6)));
    for c in [&waiting, &idle] {
        registry.add(c.clone());
    }
    idle.rest(6);
    let look = |silence| registry.silent(move |_| silence);
    let none = (true, vec![]);
    let news = |degree| (true, vec![(0, degree)]);
    assert_eq!(look(Silence::None), none);
    assert_eq!(look(Silence::Answer), news(Silence::Answer));
    assert_eq!(look(Silence::Answer), none, "told");
    assert_eq!(look(Silence::Total), news(Silence::Total), "worse");
    assert_eq!(look(Silence::Total), none, "told");
    assert_eq!(look(Silence::Answer), none, "heard again");
    assert_eq!(look(Silence::None), none);
    assert_eq!(look(Silence::Answer), none, "still the same request");
    assert_eq!(look(Silence::Total), news(Silence::Total), "once more");
    waiting.rest(5);
    assert_eq!(look(Silence::Total), (false, vec![]));
    waiting.touch(Some(7)).unwrap();
    assert_eq!(
        look(Silence::Answer),
        news(Silence::Answer),
        "another attempt"
    );
}

#[test]
fn attempts_at_a_peer_that_is_gone_are_ended_once() {
    let registry = Registry::default();
    let (gone, idle, well) = (conn(1, Some(5)), conn(1, Some(6)), conn(2, Some(7)));
    for c in [&gone, &idle, &well] {
        registry.add(c.clone());
    }
    idle.rest(6);
    let end = || registry.end(|c| c.peer == addr(1), |c| assert_eq!(c.peer, addr(1)));
    assert_eq!(end(), [0]);
    assert!(gone.is_ended() && !idle.is_ended() && !well.is_ended());
    assert!(end().is_empty(), "once");
    // Whoever picks up the idle one now meets the dead peer as well.
    idle.touch(Some(8)).unwrap();
    assert_eq!(end(), [0]);
}

#[test]
fn removed_connections_are_gone_and_opened_ones_counted_once() {
    let registry = Registry::default();
    let all: Vec<_> = (0..200).map(|i| conn(i as u8, Some(2))).collect();
    all.iter().for_each(|c| registry.add(c.clone()));
    assert_eq!(registry.take_opened().len(), 200);
    assert!(registry.take_opened().is_empty());
    all.iter().for_each(|c| c.rest(2));
    all.iter().take(50).for_each(|c| registry.remove(c));
    let swept = registry.sweep(|_, _| false, |_| ());
    assert_eq!(swept.closed, 150);
}

#[test]
fn what_goes_on_for_long_is_looked_at_seldom() {
    let registry = Registry::default();
    let tunnel = conn(1, Some(5));
    registry.add(tunnel.clone());
    let looks = Cell::new(0);
    let look = || {
        registry.silent(|_| {
            looks.set(looks.get() + 1);
            Silence::None
        })
    };
    (0..400).for_each(|_| assert!(look().0));
    assert_eq!(looks.replace(0), OFTEN + (400 - OFTEN) / SELDOM);
    tunnel.rest(5);
    tunnel.touch(Some(6)).unwrap();
    (0..OFTEN).for_each(|_| assert!(look().0));
    assert_eq!(looks.get(), OFTEN, "another attempt");
}
