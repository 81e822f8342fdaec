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
    /// The pause before the next look because of silence; 0 for the first one.
    silent_pause_ms: u64,
    failed_ms: u64,
    /// When the name was asked for, and the pause that followed.
    asked_ms: u64,
    pause_ms: u64,
}

impl Pace {
    /// A request has waited for long without an answer at `now_ms`: when to probe. Where probes are dear (they ask
    /// the application for something) and find nothing, the pause doubles up to `most_ms`: pages are just slow.
    /// `confirmed`: a probe has just failed.
    pub fn silent(&mut self, now_ms: u64, confirmed: bool, most_ms: u64) -> u64 {
        let last = self.silent_ms;
        if confirmed || now_ms >= last.saturating_add(FORGET_MS) {
            self.silent_pause_ms = 0;
        }
        let pause = self.silent_pause_ms.max(UNCONFIRMED_MS);
        let at = next(&mut self.silent_ms, now_ms, pause);
        if at != last {
            self.silent_pause_ms = (2 * pause).min(most_ms);
        }
        at
    }

    /// A request failed at `now_ms`: when to probe. `confirmed`: a probe has just failed too.
    pub fn failed(&mut self, now_ms: u64, confirmed: bool) -> u64 {
        let pause = if confirmed {
            CONFIRMED_MS
        } else {
            UNCONFIRMED_MS
        };
        next(&mut self.failed_ms, now_ms, pause)
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

    /// Something about the target has changed: the pauses are the first ones again.
    pub fn changed(&mut self) {
        self.pause_ms = FIRST_ASK_MS;
        self.silent_pause_ms = 0;
    }
}

/// Now, or when the pause after the last look is over: put off, but never lost.
fn next(last_ms: &mut u64, now_ms: u64, pause_ms: u64) -> u64 {
    let free = last_ms.saturating_add(pause_ms);
    if *last_ms == 0 || now_ms >= free {
        *last_ms = now_ms;
    } else if now_ms >= *last_ms {
        *last_ms = free;
    }
    *last_ms
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The looks that come of trouble every 10 ms, each once.
    fn looks(mut step: impl FnMut(u64) -> u64, until_ms: u64) -> Vec<u64> {
        let mut looks: Vec<u64> = (1_000..=until_ms).step_by(10).map(&mut step).collect();
        looks.dedup();
        looks
    }

    #[test]
    fn looks_are_put_off_and_not_lost() {
        let mut pace = Pace::default();
        assert_eq!(
            looks(|now| pace.silent(now, false, 500), 2_400),
            [1_000, 1_500, 2_000, 2_500]
        );
        let confirmed = false;
        assert_eq!(
            looks(|now| pace.failed(now, confirmed), 1_010),
            [1_000, 1_500]
        );
        assert_eq!(pace.failed(1_490, confirmed), 1_500, "planned already");
        assert_eq!(pace.failed(1_510, confirmed), 2_000);
        let mut pace = Pace::default();
        assert_eq!(
            looks(|now| pace.failed(now, true), 1_190),
            [1_000, 1_100, 1_200]
        );
    }

    #[test]
    fn slow_pages_have_dear_probes_less_and_less() {
        let mut pace = Pace::default();
        let mut confirmed = false;
        assert_eq!(
            looks(|now| pace.silent(now, confirmed, 2_000), 9_000),
            [1_000, 2_000, 4_000, 6_000, 8_000, 10_000]
        );
        confirmed = true;
        assert_eq!(pace.silent(10_010, confirmed, 2_000), 10_500);
        pace.changed();
        assert_eq!(pace.silent(10_510, false, 2_000), 11_000);
        assert_eq!(pace.silent(11_010, false, 2_000), 12_000);
        assert_eq!(pace.silent(80_000, false, 2_000), 80_000, "long ago");
        assert_eq!(pace.silent(80_010, false, 2_000), 81_000);
    }

    #[test]
    fn dns_is_asked_less_and_less() {
        let mut pace = Pace::default();
        let asked: Vec<u64> = (1_000..=100_000)
            .step_by(10)
            .filter(|now| pace.ask(*now))
            .collect();
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
