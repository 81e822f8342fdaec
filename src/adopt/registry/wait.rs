//! A request that waits for the first byte of its answer, and what comes first: the byte, or the end of the
//! patience with a backend that hangs (`liverescue=eager`). One compare-and-swap decides.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// The request must stay.
const NO_WAIT: u8 = 0;
/// It may be taken away until its answer begins.
const WAITS: u8 = 1;
/// Its answer has begun.
const BEGUN: u8 = 2;
/// It was taken away: what comes now is thrown away.
const MOVED: u8 = 3;

/// The wait of the request on one connection.
#[derive(Default, Debug)]
pub struct Wait {
    state: AtomicU8,
    /// Monotonic milliseconds.
    since_ms: AtomicU64,
}

impl Wait {
    /// A request begins to wait at monotonic `now_ms`; None: it must stay whatever happens.
    pub fn begin(&self, now_ms: Option<u64>) {
        self.since_ms.store(now_ms.unwrap_or(0), Ordering::Relaxed);
        let state = if now_ms.is_some() { WAITS } else { NO_WAIT };
        self.state.store(state, Ordering::Release);
    }

    /// The first byte of an answer is there; false: too late, the request was taken away.
    #[inline]
    pub fn answer(&self) -> bool {
        match self.state.load(Ordering::Acquire) {
            NO_WAIT | BEGUN => true,
            WAITS => self.leave(BEGUN),
            _ => false,
        }
    }

    /// Takes the request away; false: its answer has begun.
    pub fn take_away(&self) -> bool {
        self.leave(MOVED)
    }

    fn leave(&self, to: u8) -> bool {
        let (good, bad) = (Ordering::AcqRel, Ordering::Acquire);
        let left = self.state.compare_exchange(WAITS, to, good, bad);
        left.is_ok()
    }

    /// The request was taken away.
    pub fn is_over(&self) -> bool {
        self.state.load(Ordering::Acquire) == MOVED
    }

    /// How long the request has waited at monotonic `now_ms`, in milliseconds, if it may be taken away.
    pub fn lasts_ms(&self, now_ms: u64) -> Option<u64> {
        let since = self.since_ms.load(Ordering::Relaxed);
        let waits = self.state.load(Ordering::Acquire) == WAITS;
        waits.then(|| now_ms.saturating_sub(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_begins_first_stays() {
        let wait = Wait::default();
        wait.begin(Some(100));
        assert_eq!(wait.lasts_ms(1_200), Some(1_100));
        assert_eq!(wait.lasts_ms(99), Some(0), "another child's clock");
        assert!(wait.answer() && wait.answer());
        assert!(!wait.take_away() && !wait.is_over());
        assert_eq!(wait.lasts_ms(1_200), None);
    }

    #[test]
    fn what_was_taken_away_gets_no_answer() {
        let wait = Wait::default();
        wait.begin(Some(100));
        assert!(wait.take_away() && !wait.take_away());
        assert!(wait.is_over() && !wait.answer());
        assert_eq!(wait.lasts_ms(9_999), None);
        // The connection's next request.
        wait.begin(Some(200));
        assert!(!wait.is_over() && wait.answer());
    }

    #[test]
    fn what_must_stay_stays() {
        let wait = Wait::default();
        assert!(!wait.take_away() && wait.answer());
        wait.begin(None);
        assert_eq!(wait.lasts_ms(9_999), None);
        assert!(!wait.take_away() && wait.answer() && !wait.is_over());
    }
}
