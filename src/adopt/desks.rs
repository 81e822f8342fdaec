//! Attempts that have no connection yet, for the keeper to see when one takes long: a connect that nobody
//! answers hangs inside httpd. (fcgi, ajp and scgi make no connection records: theirs never end here.)

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

/// No attempt.
const NONE: u64 = 0;

/// The attempt of one thread.
#[derive(Default, Debug)]
pub struct Desk {
    attempt: AtomicU64,
    entry: AtomicU32,
    /// A request is under way, with a connection or not.
    busy: AtomicBool,
}

impl Desk {
    /// An attempt at this entry begins.
    pub fn begin(&self, attempt: u64, entry: u32) {
        self.entry.store(entry, Ordering::Relaxed);
        self.busy.store(true, Ordering::Relaxed);
        self.attempt.store(attempt, Ordering::Release);
    }

    /// It has a connection now.
    pub fn clear(&self) {
        self.attempt.store(NONE, Ordering::Release);
    }

    /// It is over.
    pub fn leave(&self) {
        self.busy.store(false, Ordering::Relaxed);
        self.clear();
    }
}

/// What the keeper knows of one thread.
#[derive(Debug)]
struct Seen {
    desk: Weak<Desk>,
    /// The attempt it saw last, and since when (monotonic milliseconds).
    attempt: u64,
    since_ms: u64,
    told: bool,
}

/// The desks of all threads of one child.
#[derive(Default, Debug)]
pub struct Desks(Mutex<Vec<Seen>>);

impl Desks {
    /// A desk for a thread; it goes when the thread drops it.
    pub fn add(&self) -> Arc<Desk> {
        let desk = Arc::default();
        self.0.lock().push(Seen {
            desk: Arc::downgrade(&desk),
            attempt: NONE,
            since_ms: 0,
            told: false,
        });
        desk
    }

    /// How many threads have a request under way.
    pub fn busy(&self) -> u64 {
        let seats = self.0.lock();
        let desks = seats.iter().filter_map(|seen| seen.desk.upgrade());
        desks
            .filter(|desk| desk.busy.load(Ordering::Relaxed))
            .count() as u64
    }

    /// Whether any attempt has no connection, and the entries of those that have had none for `patience_ms`
    /// as far as the keeper has looked; each attempt is told once.
    pub fn hanging(&self, now_ms: u64, patience_ms: u64) -> (bool, Vec<u32>) {
        let (mut waiting, mut entries) = (false, Vec::new());
        self.0.lock().retain_mut(|seen| {
            let Some(desk) = seen.desk.upgrade() else {
                return false;
            };
            let attempt = desk.attempt.load(Ordering::Acquire);
            waiting |= attempt != NONE;
            if attempt != seen.attempt {
                (seen.attempt, seen.since_ms, seen.told) = (attempt, now_ms, false);
            } else if attempt != NONE
                && !seen.told
                && now_ms.saturating_sub(seen.since_ms) >= patience_ms
            {
                seen.told = true;
                entries.push(desk.entry.load(Ordering::Relaxed));
            }
            true
        });
        entries.sort_unstable();
        entries.dedup();
        (waiting, entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_attempts_are_told_once() {
        let desks = Desks::default();
        let (slow, quick) = (desks.add(), desks.add());
        slow.begin(2, 7);
        quick.begin(3, 8);
        assert_eq!(desks.hanging(1_000, 200), (true, vec![]));
        quick.clear();
        quick.begin(4, 8);
        assert_eq!(desks.hanging(1_250, 200), (true, vec![7]));
        assert_eq!(desks.hanging(1_300, 200), (true, vec![]), "told");
        assert_eq!(desks.hanging(1_500, 200), (true, vec![8]));
        slow.clear();
        quick.clear();
        assert_eq!(desks.hanging(2_000, 200), (false, vec![]));
    }

    #[test]
    fn requests_under_way_are_counted() {
        let desks = Desks::default();
        let (one, other) = (desks.add(), desks.add());
        assert_eq!(desks.busy(), 0);
        one.begin(2, 7);
        other.begin(3, 7);
        other.clear();
        assert_eq!(desks.busy(), 2, "a connection is no end");
        one.leave();
        assert_eq!(desks.busy(), 1);
        drop(other);
        assert_eq!(desks.busy(), 0);
    }

    #[test]
    fn the_desks_of_ended_threads_go() {
        let desks = Desks::default();
        let desk = desks.add();
        desk.begin(2, 7);
        drop(desk);
        assert_eq!(desks.hanging(1_000, 0), (false, vec![]));
        assert!(desks.0.lock().is_empty());
    }
}
