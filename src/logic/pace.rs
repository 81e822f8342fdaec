//! How often requests in trouble may have one target looked at: probes are cheap, but not at the pace of
//! requests, and DNS is asked less and less when asking changes nothing.

/// Milliseconds between looks because of silence, or because of failures that no probe confirms.
const UNCONFIRMED_MS: u64 = 500;
/// Milliseconds between looks while probes fail as well.
const CONFIRMED_MS: u64 = 100;
/// The first and the longest pause between two questions to DNS, in milliseconds; it doubles in between.
const FIRST_ASK_MS: u64 = 1_000;
const LAST_ASK_MS: u64 = 30_000;
/// After so many milliseconds without trouble the pause is the first one again.
const FORGET_MS: u64 = 60_000;

/// The state of one target. Times are monotonic milliseconds, 0 for never.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Pace {
    silent_ms: u64,
    failed_ms: u64,
    /// When the name was asked for, and the pause that followed.
    asked_ms: u64,
    pause_ms: u64,
}

impl Pace {
    /// A request has waited for long without an answer: probe now?
    pub fn silent(&mut self, now_ms: u64) -> bool {
        passed(&mut self.silent_ms, now_ms, UNCONFIRMED_MS)
    }

    /// A request failed: probe now? `confirmed`: a probe has just failed too.
    pub fn failed(&mut self, now_ms: u64, confirmed: bool) -> bool {
        let pause = if confirmed {
            CONFIRMED_MS
        } else {
            UNCONFIRMED_MS
        };
        passed(&mut self.failed_ms, now_ms, pause)
    }

    /// A request failed: ask DNS now?
    pub fn ask(&mut self, now_ms: u64) -> bool {
        if self.asked_ms == 0 || now_ms >= self.asked_ms.saturating_add(FORGET_MS) {
            self.pause_ms = FIRST_ASK_MS;
        } else if now_ms < self.asked_ms.saturating_add(self.pause_ms) {
            return false;
        } else {
            self.pause_ms = (2 * self.pause_ms).min(LAST_ASK_MS);
        }
        self.asked_ms = now_ms;
        true
    }

    /// Something about the target has changed: the pause is the first one again.
    pub fn changed(&mut self) {
        self.pause_ms = FIRST_ASK_MS;
    }
}

fn passed(last_ms: &mut u64, now_ms: u64, pause_ms: u64) -> bool {
    let due = *last_ms == 0 || now_ms >= last_ms.saturating_add(pause_ms);
    if due {
        *last_ms = now_ms;
    }
    due
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Times at which `step` says yes, tried every 10 ms.
    fn times(mut step: impl FnMut(u64) -> bool, until_ms: u64) -> Vec<u64> {
        let tries = (1_000..=until_ms).step_by(10);
        tries.filter(|now| step(*now)).collect()
    }

    #[test]
    fn looks_are_bounded() {
        let mut pace = Pace::default();
        assert_eq!(times(|now| pace.silent(now), 2_000), [1_000, 1_500, 2_000]);
        assert_eq!(times(|now| pace.failed(now, false), 1_990), [1_000, 1_500]);
        let mut pace = Pace::default();
        assert_eq!(
            times(|now| pace.failed(now, true), 1_200),
            [1_000, 1_100, 1_200]
        );
    }

    #[test]
    fn dns_is_asked_less_and_less() {
        let mut pace = Pace::default();
        let asked = times(|now| pace.ask(now), 100_000);
        assert_eq!(
            asked,
            [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 62_000, 92_000]
        );
        pace.changed();
        assert!(pace.ask(93_000), "at once again after a change");
        assert!(!pace.ask(93_100) && pace.ask(95_000));
        assert!(
            pace.ask(200_000) && pace.ask(202_000),
            "long ago is forgotten"
        );
        assert!(!pace.ask(203_000));
    }
}
