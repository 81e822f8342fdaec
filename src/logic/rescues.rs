//! Counts of rescues at one worker, and when the log tells of them: one line for one event.

/// So long without a change an event is over, in milliseconds.
const QUIET_MS: u64 = 1_000;
/// An event that goes on is told after this time, in milliseconds.
const LONGEST_MS: u64 = 5_000;

/// What became of requests whose attempts failed.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Rescues {
    /// Ended by the module, because their peer was gone.
    pub ended: u64,
    /// Tried once more.
    pub retried: u64,
    /// Not tried again: the client got an error.
    pub failed: u64,
}

impl Rescues {
    /// What has come since `earlier`. The numbers come from shared memory: never less than nothing.
    #[must_use]
    pub const fn since(&self, earlier: &Self) -> Self {
        Self {
            ended: self.ended.saturating_sub(earlier.ended),
            retried: self.retried.saturating_sub(earlier.retried),
            failed: self.failed.saturating_sub(earlier.failed),
        }
    }

    /// Whether nothing was counted.
    pub const fn is_none(&self) -> bool {
        self.ended == 0 && self.retried == 0 && self.failed == 0
    }

    /// Whether it is more than retries of which nobody noticed anything.
    pub const fn is_serious(&self) -> bool {
        self.ended != 0 || self.failed != 0
    }
}

/// Waits for the end of an event at one worker.
#[derive(Clone, Copy, Default, Debug)]
pub struct Teller(Option<Event>);

#[derive(Clone, Copy, Debug)]
struct Event {
    seen: Rescues,
    /// When it began, and when it changed last (monotonic milliseconds).
    began_ms: u64,
    moved_ms: u64,
}

impl Teller {
    /// Looks at what has not been told. True when it is to be told now.
    pub fn step(&mut self, now_ms: u64, untold: &Rescues) -> bool {
        if untold.is_none() {
            self.0 = None;
            return false;
        }
        let event = self.0.get_or_insert(Event {
            seen: *untold,
            began_ms: now_ms,
            moved_ms: now_ms,
        });
        if event.seen != *untold {
            (event.seen, event.moved_ms) = (*untold, now_ms);
        }
        let due = now_ms.saturating_sub(event.moved_ms) >= QUIET_MS
            || now_ms.saturating_sub(event.began_ms) >= LONGEST_MS;
        if due {
            self.0 = None;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn counts(ended: u64, retried: u64, failed: u64) -> Rescues {
        Rescues {
            ended,
            retried,
            failed,
        }
    }

    #[test]
    fn differences() {
        let (before, after) = (counts(1, 2, 3), counts(5, 2, 4));
        assert_eq!(after.since(&before), counts(4, 0, 1));
        assert_eq!(before.since(&after), Rescues::default(), "wild numbers");
        assert!(after.since(&after).is_none());
        for (some, serious) in [
            (counts(1, 0, 0), true),
            (counts(0, 1, 0), false),
            (counts(0, 0, 1), true),
        ] {
            assert!(!some.is_none());
            assert_eq!(some.is_serious(), serious);
        }
    }

    /// Follows counters every 400 ms for 20 s as the keeper does; returns what was told, and when.
    fn told(counted: impl Fn(u64) -> Rescues) -> Vec<(u64, Rescues)> {
        let (mut teller, mut told, mut lines) = (Teller::default(), Rescues::default(), vec![]);
        for now in (0..20_000).step_by(400) {
            let all = counted(now);
            let untold = all.since(&told);
            if teller.step(now, &untold) {
                lines.push((now, untold));
                told = all;
            }
        }
        lines
    }

    #[test]
    fn one_event_is_one_line() {
        assert_eq!(told(|_| Rescues::default()), []);
        // All within the first 1.5 s.
        let burst = |now: u64| counts(now.min(1_500), 3, 0);
        assert_eq!(told(burst), [(2_800, counts(1_500, 3, 0))]);
        // A second event later.
        let two = |now: u64| counts(0, 1 + u64::from(now > 10_000), 0);
        assert_eq!(
            told(two),
            [(1_200, counts(0, 1, 0)), (11_600, counts(0, 1, 0))]
        );
    }

    #[test]
    fn an_event_without_end_is_told_now_and_then() {
        let lines = told(|now| counts(0, 0, now + 1));
        let times: Vec<u64> = lines.iter().map(|(now, _)| *now).collect();
        assert_eq!(times, [5_200, 10_800, 16_400]);
        let sum: u64 = lines.iter().map(|(_, n)| n.failed).sum();
        assert_eq!(sum, 16_401, "each is told once");
    }

    /// Another leader has told it meanwhile.
    #[test]
    fn what_is_told_is_forgotten() {
        let mut teller = Teller::default();
        assert!(!teller.step(1_000, &counts(1, 0, 0)));
        assert!(!teller.step(1_400, &Rescues::default()));
        assert!(!teller.step(9_000, &counts(1, 0, 0)), "a new event");
        assert!(teller.step(10_000, &counts(1, 0, 0)));
    }
}
