//! Any sequence of probes, from any state: no panic, and what must always hold does.

use super::*;
use crate::logic::history::History;

/// A small generator (xorshift), so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// Often small, sometimes at the edge.
    fn wild(&mut self) -> u64 {
        match self.below(6) {
            0 => 0,
            1 => u64::MAX - self.below(3),
            2 => self.next(),
            _ => self.below(200_000),
        }
    }

    fn reason(&mut self) -> Reason {
        match self.below(8) {
            0 | 1 => Reason::Refused,
            2 => Reason::Reset,
            3 => Reason::Unreachable(113),
            4 => Reason::Local(24),
            _ => Reason::Timeout,
        }
    }

    fn rules(&mut self) -> Rules {
        Rules {
            interval_ms: [50, 500, 2_000, 60_000][self.below(4) as usize],
            timeout_ms: [50, 500, 3_000][self.below(3) as usize],
            fall: 1 + self.below(4) as u32,
            rise: 1 + self.below(4) as u32,
        }
    }
}

fn check(before: &AddrHealth, probe: &Probe, rules: &Rules, step: &Step) {
    let after = &step.health;
    assert_eq!(step.change.is_some(), before.state != after.state);
    assert_eq!(step.class_changed, before.class() != after.class());
    assert!(after.due_ms >= probe.ended_ms + 20);
    let longest = rules.interval_ms + rules.interval_ms / 10 + 1;
    assert!(
        after.due_ms <= probe.ended_ms + longest.max(20),
        "{after:?}"
    );
    assert!(after.held_ms == 0 || after.state != State::Down);
    assert!(after.fails == 0 || after.oks == 0);
    assert!(after.flaps <= 10_000);
    if after.state == State::Up && !after.is_failing() {
        assert!(after.reason.is_none_or(Reason::is_local));
        assert_eq!(after.hard_fails, 0);
    }
    match (step.change, probe.result) {
        (Some((_, State::Down)), Err(reason)) => {
            assert!(!reason.is_local());
            assert!(reason.is_hard() || probe.ended_ms - before.series_began(probe) >= 1_000);
            assert!(before.held_ms != 0 || after.fails >= rules.fall);
        }
        (Some((from, State::Up)), Ok(())) => {
            assert!(from == State::Unknown || after.oks >= rules.rise);
        }
        (Some(change), result) => panic!("{change:?} by {result:?}"),
        (None, Err(reason)) if reason.is_local() => {
            // Unless they were too old to count.
            assert!(after.fails == before.fails || after.fails == 0);
            assert_eq!(after.oks, before.oks);
        }
        (None, _) => {}
    }
}

#[test]
fn invariants_hold_in_any_sequence() {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    for _ in 0..300 {
        let rules = random.rules();
        let mut health = AddrHealth::new(addr(1));
        health.due_ms = 10_000;
        // Some are bad most of the time, some seldom.
        let bad = random.below(10);
        for _ in 0..400 {
            let late = random.below(3) * random.below(500);
            let begun_ms = health.due_ms + late;
            let took = random.below(rules.timeout_ms + 100);
            let result = if random.below(10) < bad {
                Err(random.reason())
            } else {
                Ok(())
            };
            let probe = Probe {
                begun_ms,
                ended_ms: begun_ms + took,
                took_us: took as u32 * 1_000,
                result,
            };
            let storm = random.below(3) == 0;
            let due = verdict_due(&health, &probe, &rules);
            let with = step(&health, &probe, &rules, true, random.next() as u32);
            let without = step(&health, &probe, &rules, false, random.next() as u32);
            assert_eq!(due, with.change != without.change);
            let step = if storm { with } else { without };
            check(&health, &probe, &rules, &step);
            health = step.health;
            if let Some(due) = kicked(&health, probe.ended_ms + random.below(300)) {
                assert!(due < health.due_ms && due >= health.last_ms + 100);
                health.due_ms = due;
            }
            if random.below(50) == 0 {
                let now = health.last_ms + random.below(10_000);
                resume(&mut health, &rules, now, random.next() as u32);
                assert!(health.due_ms <= now + rules.interval_ms);
            }
        }
    }
}

/// What stands on the board may be anything.
#[test]
fn no_record_makes_a_step_panic() {
    let mut random = Random(7);
    for _ in 0..20_000 {
        let reason = (random.below(2) == 0).then(|| random.reason());
        let mut health = AddrHealth {
            addr: addr(1),
            state: [State::Unknown, State::Up, State::Down][random.below(3) as usize],
            since_ms: random.wild(),
            reason,
            held_ms: random.wild(),
            fails: random.wild() as u32,
            hard_fails: random.wild() as u32,
            first_fail_ms: random.wild(),
            oks: random.wild() as u32,
            ok_total: random.wild() as u32,
            last_ms: random.wild(),
            last_us: random.wild() as u32,
            due_ms: random.wild(),
            flaps: random.wild() as u32,
            flaps_ms: random.wild(),
            history: History(std::array::from_fn(|_| random.wild())),
        };
        let rules = Rules {
            interval_ms: random.wild(),
            timeout_ms: random.wild(),
            fall: random.wild() as u32,
            rise: random.wild() as u32,
        };
        let result = match random.below(2) {
            0 => Ok(()),
            _ => Err(random.reason()),
        };
        let probe = Probe {
            begun_ms: random.wild(),
            ended_ms: random.wild(),
            took_us: random.wild() as u32,
            result,
        };
        let storm = random.below(2) == 0;
        verdict_due(&health, &probe, &rules);
        let stepped = step(&health, &probe, &rules, storm, random.next() as u32).health;
        assert!(stepped.due_ms >= probe.ended_ms);
        kicked(&health, random.wild());
        let now = random.wild();
        resume(&mut health, &rules, now, random.next() as u32);
        assert!(health.last_ms <= now && health.held_ms <= now);
    }
}
