use std::net::Ipv4Addr;

use super::*;
use crate::logic::health::{Layer, TlsFault, step, verdict_due};

const RULES: Rules = Rules {
    interval_ms: 2_000,
    timeout_ms: 500,
    fall: 2,
    rise: 2,
};

fn health(n: u8, reason: Option<Reason>, last_ms: u64) -> AddrHealth {
    AddrHealth {
        state: State::Up,
        reason,
        fails: u32::from(reason.is_some_and(|r| !r.is_local())),
        first_fail_ms: 10_000,
        last_ms,
        ..AddrHealth::new(Addr::v4(Ipv4Addr::new(192, 0, 2, n)))
    }
}

fn down(n: u8, reason: Reason, since_ms: u64) -> AddrHealth {
    AddrHealth {
        state: State::Down,
        since_ms,
        ..health(n, Some(reason), since_ms)
    }
}

/// The time-out at 11,120 ms that ends the first address's series, begun at 10,000.
fn probe() -> Probe {
    Probe {
        begun_ms: 10_620,
        ended_ms: 11_120,
        took_us: 500_000,
        result: Err(Reason::Timeout),
    }
}

fn counted(others: &[AddrHealth]) -> (usize, usize) {
    let judged = health(1, Some(Reason::Timeout), 10_500);
    let all = others.iter().chain([&judged]);
    let census = census(all, &judged, &probe(), &RULES);
    assert_eq!(
        census.is_storm(),
        census.bad >= 2 && 2 * census.bad > census.known
    );
    (census.bad, census.known)
}

#[test]
fn one_that_vanishes_is_no_storm() {
    assert_eq!(counted(&[]), (1, 1));
    assert_eq!(counted(&[health(2, None, 10_600)]), (1, 2));
    assert!(!Census { bad: 1, known: 1 }.is_storm());
    assert!(!Census { bad: 2, known: 4 }.is_storm());
    assert!(Census { bad: 2, known: 3 }.is_storm());
    assert!(!Census::default().is_storm());
}

#[test]
fn only_results_since_the_series_began_count() {
    let timeout = Some(Reason::Timeout);
    let unreachable = Some(Reason::Unreachable(113));
    let cases = [
        (health(2, None, 9_999), (1, 1)),
        (health(2, None, 10_000), (1, 2)),
        (health(2, timeout, 10_000), (2, 2)),
        (health(2, timeout, 9_999), (1, 1)),
        (health(2, unreachable, 11_000), (2, 2)),
        (health(2, Some(Reason::Refused), 11_000), (1, 2)),
        (health(2, Some(Reason::Silent(Layer::Tls)), 11_000), (2, 2)),
        (health(2, Some(Reason::Silent(Layer::Http)), 11_000), (2, 2)),
        (health(2, Some(Reason::Status(503)), 11_000), (1, 2)),
        (
            health(2, Some(Reason::Tls(TlsFault::Closed)), 11_000),
            (1, 2),
        ),
        (health(2, Some(Reason::Local(24)), 11_000), (1, 1)),
        (AddrHealth::new(health(2, None, 0).addr), (1, 1)),
        (down(2, Reason::Timeout, 10_900), (2, 2)),
        (down(2, Reason::Timeout, 5_000), (1, 1)),
        (down(2, Reason::Refused, 10_900), (1, 1)),
        (down(2, Reason::Silent(Layer::Http), 10_900), (2, 2)),
        // The network is well there.
        (down(2, Reason::Status(503), 10_900), (1, 2)),
        (down(2, Reason::Tls(TlsFault::Closed), 10_900), (1, 2)),
        (down(2, Reason::Status(503), 9_999), (1, 1)),
    ];
    for (other, wanted) in cases {
        assert_eq!(counted(std::slice::from_ref(&other)), wanted, "{other:?}");
    }
    // On its way back: an answer.
    let mut back = down(2, Reason::Timeout, 5_000);
    (back.fails, back.reason, back.last_ms) = (0, None, 11_000);
    assert_eq!(counted(&[back]), (1, 2));
}

#[test]
fn ports_of_one_address_are_one() {
    let timeout = Some(Reason::Timeout);
    // Five ports of the host that vanished.
    let same = vec![health(1, timeout, 11_000); 5];
    assert_eq!(counted(&same), (1, 1));
    let other = [health(2, timeout, 11_000), health(2, None, 11_000)];
    assert_eq!(counted(&other), (1, 2));
    let other = [health(2, timeout, 11_000), health(2, timeout, 11_000)];
    assert_eq!(counted(&other), (2, 2));
}

#[test]
fn a_census_is_bounded() {
    let many: Vec<AddrHealth> = (0..5_000u32)
        .map(|n| AddrHealth {
            addr: Addr::v4(Ipv4Addr::from(0x0A00_0000 + n)),
            ..health(1, None, 11_000)
        })
        .collect();
    assert_eq!(counted(&many), (1, SAMPLE + 1));
}

#[test]
fn the_control_group_is_small_and_mixed() {
    let suspect = health(1, None, 8_000);
    let first = Probe {
        begun_ms: 10_000,
        ended_ms: 10_500,
        ..probe()
    };
    let mut all: Vec<AddrHealth> = (1..=100).map(|n| health(n, None, 9_000)).collect();
    // Two ports each.
    all.extend(all.clone());
    let group = |rnd, at: u64| {
        let all = all.iter().enumerate();
        Storm::default().control_group(all, &suspect, &first, at, rnd)
    };
    let picked = group(7, 10_500);
    assert_eq!(picked.len(), 16);
    assert!(picked.windows(2).all(|w| w[0] < w[1]));
    assert!(!picked.contains(&0), "the suspect itself");
    assert!(picked[15] < 100, "one port each");
    assert!(picked[15] - picked[0] > 50, "{picked:?}");
    assert_ne!(group(8, 10_500), picked);
    assert_eq!(group(u32::MAX, 10_500).len(), 16);
}

#[test]
fn the_control_group_leaves_out_who_tells_nothing_new() {
    let suspect = health(1, None, 8_000);
    let first = Probe {
        begun_ms: 10_000,
        ended_ms: 10_500,
        ..probe()
    };
    let mut slow = health(4, None, 10_100);
    slow.last_us = 200_000;
    let all = [
        health(2, None, 10_200),
        down(3, Reason::Refused, 8_000),
        slow,
        AddrHealth::new(health(5, None, 0).addr),
        health(6, None, 9_000),
    ];
    let mut storm = Storm::default();
    let mut group = |now| storm.control_group(all.iter().enumerate(), &suspect, &first, now, 0);
    assert_eq!(group(10_500), [2, 3, 4]);
    assert!(group(10_599).is_empty(), "one group at a time");
    assert_eq!(group(10_600).len(), 3);
}

#[test]
fn begin_and_end_of_a_storm_are_told_once() {
    let free = health(1, Some(Reason::Timeout), 11_000);
    let held = AddrHealth {
        held_ms: 11_120,
        ..free.clone()
    };
    let up = health(1, None, 14_000);
    let dead = down(1, Reason::Timeout, 14_500);
    let mut storm = Storm::default();
    assert_eq!(storm.note(&free, &free, 11_000), None);
    assert_eq!(storm.note(&free, &held, 11_120), Some(Event::Begun));
    assert_eq!(storm.note(&free, &held, 11_130), None);
    assert_eq!(storm.note(&free, &held, 11_130), None);
    assert_eq!(storm.note(&held, &held, 12_000), None);
    assert_eq!(storm.held(), 3);
    assert_eq!(storm.note(&held, &up, 14_000), None);
    assert_eq!(storm.note(&held, &dead, 14_500), None);
    let over = Event::Over {
        took_ms: 3_400,
        recovered: 1,
        down: 1,
    };
    assert_eq!(storm.forget(&held, 14_520), Some(over));
    assert_eq!(storm.forget(&held, 14_520), None);
    assert_eq!(storm.forget(&up, 14_520), None);
    assert_eq!(storm.note(&held, &up, 14_600), None);
    assert_eq!(storm.note(&free, &held, 15_000), Some(Event::Begun));
    let over = Event::Over {
        took_ms: 10,
        recovered: 1,
        down: 0,
    };
    assert_eq!(storm.note(&held, &up, 15_010), Some(over));
}

#[test]
fn a_new_leader_goes_on_with_the_storm() {
    let held = |n, held_ms| AddrHealth {
        held_ms,
        ..health(n, Some(Reason::Timeout), 11_000)
    };
    let all = [held(1, 11_200), health(2, None, 11_000), held(3, 11_120)];
    let mut storm = Storm::resume(&all);
    assert_eq!(storm.held(), 2);
    let up = health(1, None, 12_000);
    assert_eq!(storm.note(&all[0], &up, 12_000), None);
    let over = storm.note(&all[2], &up, 12_120);
    let wanted = Event::Over {
        took_ms: 1_000,
        recovered: 2,
        down: 0,
    };
    assert_eq!(over, Some(wanted));
}

/// A leader with addresses whose network is away for a while.
struct Leader {
    all: Vec<AddrHealth>,
    storm: Storm,
    events: Vec<Event>,
    downs: usize,
    /// Probes under way and whose they are.
    flying: Vec<(usize, Probe)>,
}

impl Leader {
    fn begin(&mut self, i: usize, now: u64, lost: bool) {
        let took = if lost { 500 } else { 1 };
        let probe = Probe {
            begun_ms: now,
            ended_ms: now + took,
            took_us: took as u32 * 1_000,
            result: if lost { Err(Reason::Timeout) } else { Ok(()) },
        };
        self.all[i].due_ms = u64::MAX;
        self.flying.push((i, probe));
    }

    fn end(&mut self, i: usize, probe: &Probe) {
        let now = probe.ended_ms;
        let before = self.all[i].clone();
        let storming = verdict_due(&before, probe, &RULES)
            && census(&self.all, &before, probe, &RULES).is_storm();
        let stepped = step(&before, probe, &RULES, storming, 1 << 31);
        self.downs += usize::from(matches!(stepped.change, Some((_, State::Down))));
        self.all[i] = stepped.health;
        self.events
            .extend(self.storm.note(&before, &self.all[i], now));
        if stepped.first_failure {
            let others = self.all.iter().enumerate();
            for k in self.storm.control_group(others, &before, probe, now, 3) {
                if self.all[k].due_ms != u64::MAX {
                    self.all[k].due_ms = now;
                }
            }
        }
    }
}

/// The first `affected` of `n` addresses are away for `away_ms`. How many went down, and the events.
fn outage(n: u8, affected: usize, away_ms: u64) -> (usize, Vec<Event>) {
    let mut leader = Leader {
        all: (0..n).map(|i| health(i, None, 1)).collect(),
        storm: Storm::default(),
        events: Vec::new(),
        downs: 0,
        flying: Vec::new(),
    };
    for (i, one) in leader.all.iter_mut().enumerate() {
        one.due_ms = 10_000 + i as u64 * 2_000 / u64::from(n);
    }
    for now in 10_000..30_000 {
        let away = (11_000..11_000 + away_ms).contains(&now);
        for i in 0..leader.all.len() {
            if leader.all[i].due_ms <= now {
                leader.begin(i, now, away && i < affected);
            }
        }
        let flying = std::mem::take(&mut leader.flying);
        for (i, probe) in flying {
            if probe.ended_ms == now {
                leader.end(i, &probe);
            } else {
                leader.flying.push((i, probe));
            }
        }
    }
    assert_eq!(leader.storm.held(), 0);
    (leader.downs, leader.events)
}

#[test]
fn a_link_down_for_three_seconds_takes_nothing_down() {
    for n in [2, 3, 7, 40] {
        let (downs, events) = outage(n, n.into(), 3_000);
        assert_eq!(downs, 0, "{n} addresses");
        assert_eq!(events.len(), 2, "{n} addresses: {events:?}");
        assert_eq!(events[0], Event::Begun);
        assert!(matches!(events[1], Event::Over { down: 0, .. }));
    }
}

#[test]
fn a_minority_that_vanishes_goes_down_at_once() {
    let (downs, events) = outage(7, 2, 60_000);
    assert_eq!((downs, events), (2, vec![]));
    let (downs, events) = outage(2, 1, 60_000);
    assert_eq!((downs, events), (1, vec![]));
}

#[test]
fn a_storm_that_lasts_takes_all_down() {
    let (downs, events) = outage(5, 5, 60_000);
    assert_eq!(downs, 5);
    assert_eq!(events.len(), 2, "{events:?}");
    let Event::Over {
        recovered, down, ..
    } = events[1]
    else {
        panic!("{events:?}");
    };
    assert_eq!((recovered, down), (0, 5));
}
