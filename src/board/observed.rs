//! What is worked out for a worker that is only observed (`live=observe`): kept apart from what is really done.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Board;
use super::ids::{Tag, WorkerId};
use super::layout::{
    WORKER_IMAGINED, WORKER_TAG, WORKER_WORDS, WORKER_WOULD, WORKER_WOULD_CAUSES, WORKER_WOULD_TOLD,
};
use crate::logic::rescues::Rescues;

const _: () = assert!(WORKER_IMAGINED < WORKER_WORDS);

/// What would have been done with a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Would {
    End,
    /// For these reasons, one bit each.
    Retry(u64),
}

impl Board {
    /// Counts what would have been done with requests; nothing when the slot is another's.
    pub fn count_would(&self, id: WorkerId, tag: Tag, what: Would) {
        let Some(words) = self.worker_of(id, tag) else {
            return;
        };
        let at = match what {
            Would::End => WORKER_WOULD,
            Would::Retry(causes) => {
                words[WORKER_WOULD_CAUSES].fetch_or(causes, Ordering::Relaxed);
                WORKER_WOULD + 1
            }
        };
        words[at].fetch_add(1, Ordering::Relaxed);
    }

    /// What was counted since the worker got its slot (nothing ever fails); `None` when the slot is another's.
    pub fn would(&self, id: WorkerId, tag: Tag) -> Option<Rescues> {
        self.two_counts(id, tag, WORKER_WOULD)
    }

    /// How much of it leaders have told in the log; `None` when the slot is another's.
    pub fn would_told(&self, id: WorkerId, tag: Tag) -> Option<Rescues> {
        self.two_counts(id, tag, WORKER_WOULD_TOLD)
    }

    /// Notes how much was told, and takes the reasons. Leader only; nothing when the slot is another's.
    pub fn tell_would(&self, id: WorkerId, tag: Tag, told: Rescues) -> u64 {
        let Some(words) = self.worker_of(id, tag) else {
            return 0;
        };
        for (word, count) in words[WORKER_WOULD_TOLD..]
            .iter()
            .zip([told.ended, told.retried])
        {
            word.store(count, Ordering::Relaxed);
        }
        words[WORKER_WOULD_CAUSES].swap(0, Ordering::Relaxed)
    }

    /// What mod_proxy would know of the worker, as leaders have told it; 0 for nothing.
    pub fn imagined(&self, id: WorkerId, tag: Tag) -> u64 {
        self.worker_of(id, tag)
            .map_or(0, |words| words[WORKER_IMAGINED].load(Ordering::Relaxed))
    }

    /// The same, written by the leader, and by the parent when the worker is no longer observed.
    pub fn imagine(&self, id: WorkerId, tag: Tag, word: u64) {
        if let Some(words) = self.worker_of(id, tag) {
            words[WORKER_IMAGINED].store(word, Ordering::Relaxed);
        }
    }

    fn two_counts(&self, id: WorkerId, tag: Tag, at: usize) -> Option<Rescues> {
        let words = self.worker_of(id, tag)?;
        let count = |at: usize| words[at].load(Ordering::Relaxed);
        Some(Rescues {
            ended: count(at),
            retried: count(at + 1),
            failed: 0,
        })
    }

    pub(super) fn worker_of(&self, id: WorkerId, tag: Tag) -> Option<&'static [AtomicU64]> {
        let words = self.worker(id)?;
        (words[WORKER_TAG].load(Ordering::Acquire) == tag.0).then_some(words)
    }
}
