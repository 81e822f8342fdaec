//! What a child's keeper and the end of the child agree on: while the keeper sleeps, the child may end without it.
//!
//! The end of an idle child of prefork decides how a reload goes: the parent replaces at once those that have ended
//! when it looks, and sleeps a second when it finds none. One word, so that neither side can miss the other; no
//! waking, because the word on which keepers sleep is the machine's: each end would wake the keepers of all children.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::SeqCst;

/// The keeper may touch what is httpd's.
const AT_WORK: u32 = 1;
/// The child's pool is being destroyed.
const CLOSED: u32 = 2;
/// The keeper leads: it is at work in its sleep, too, for the monitor is to be stopped.
const LEADS: u32 = 4;

/// All operations are async-signal-safe: a child of prefork may end inside a handler.
#[derive(Debug, Default)]
pub struct Gate(AtomicU32);

impl Gate {
    /// The keeper begins to work; false, for ever, when the child has been closed.
    #[must_use]
    pub fn enter(&self) -> bool {
        let open = |word| (word & CLOSED == 0).then_some(word | AT_WORK);
        self.0.fetch_update(SeqCst, SeqCst, open).is_ok()
    }

    /// The keeper is about to sleep and gives up what is httpd's; false when the child has been closed meanwhile and
    /// waits for [`Gate::end`].
    #[must_use]
    pub fn rest(&self) -> bool {
        let open = |word| (word & CLOSED == 0).then_some(word & !AT_WORK);
        self.0.fetch_update(SeqCst, SeqCst, open).is_ok()
    }

    /// The keeper's last word.
    pub fn end(&self) {
        self.0.fetch_and(!(AT_WORK | LEADS), SeqCst);
    }

    /// From now on the keeper does not begin to work.
    pub fn close(&self) {
        self.0.fetch_or(CLOSED, SeqCst);
    }

    pub fn is_closed(&self) -> bool {
        self.has(CLOSED)
    }

    pub fn is_at_work(&self) -> bool {
        self.has(AT_WORK)
    }

    pub fn set_leads(&self, leads: bool) {
        if leads {
            self.0.fetch_or(LEADS, SeqCst);
        } else {
            self.0.fetch_and(!LEADS, SeqCst);
        }
    }

    pub fn leads(&self) -> bool {
        self.has(LEADS)
    }

    fn has(&self, bit: u32) -> bool {
        self.0.load(SeqCst) & bit != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleeping_keeper_is_not_waited_for_and_stays_out() {
        let gate = Gate::default();
        assert!(gate.enter() && gate.is_at_work());
        assert!(gate.rest() && !gate.is_at_work());
        gate.close();
        assert!(!gate.is_at_work() && !gate.enter() && !gate.is_at_work());
    }

    #[test]
    fn one_at_work_is_waited_for() {
        let gate = Gate::default();
        assert!(gate.enter());
        gate.close();
        assert!(!gate.rest() && gate.is_at_work() && gate.is_closed());
        gate.end();
        assert!(!gate.is_at_work() && !gate.enter());
    }

    #[test]
    fn leading_is_work() {
        let gate = Gate::default();
        assert!(gate.enter());
        gate.set_leads(true);
        gate.close();
        assert!(!gate.enter() && gate.is_at_work() && gate.leads());
        gate.end();
        assert!(!gate.is_at_work() && !gate.leads());
    }

    /// Whatever the order, a child that found nobody at work is not touched afterwards.
    #[test]
    fn neither_misses_the_other() {
        for _ in 0..2_000 {
            let gate = Gate::default();
            let touched = AtomicU32::new(0);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    while gate.enter() {
                        touched.fetch_add(1, SeqCst);
                        if !gate.rest() {
                            break;
                        }
                    }
                    gate.end();
                });
                gate.close();
                while gate.is_at_work() {
                    std::hint::spin_loop();
                }
                let then = touched.load(SeqCst);
                std::thread::yield_now();
                assert_eq!(touched.load(SeqCst), then);
            });
        }
    }
}
