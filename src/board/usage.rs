//! How much of the board is in use, for the status page.

use std::sync::atomic::Ordering;

use super::layout::{Shape, USED_AT, WORKER_WORDS};
use super::{Board, NameId, TargetId, WorkerId};

/// Bytes of a word.
const WORD: u64 = 8;

/// How many slots of one kind are in use, of how many; those given away at run time included.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Share {
    pub used: u64,
    pub capacity: u64,
}

/// Use of the whole board.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Usage {
    pub names: Share,
    pub targets: Share,
    pub workers: Share,
    pub children: Share,
    /// Address space of the board, in bytes; what is not used takes no memory.
    pub reserved_bytes: u64,
    /// Bytes of the slots in use and of what is there once.
    pub used_bytes: u64,
}

impl Board {
    /// Says how many names, targets and workers have slots. Parent only, which counts them in its own memory.
    pub fn set_used(&self, counts: [usize; 3]) {
        for (at, count) in USED_AT.into_iter().zip(counts) {
            self.words[at].store(count as u64, Ordering::Relaxed);
        }
    }

    /// How much is in use. Looks at no slot: what was never used must not be touched.
    pub fn usage(&self) -> Usage {
        let capacity = self.layout.capacity;
        let [names, targets, workers] = USED_AT;
        let names = self.share(names, capacity.names, self.late_used::<NameId>());
        let targets = self.share(targets, capacity.targets, self.late_used::<TargetId>());
        let workers = self.share(workers, capacity.workers, self.late_used::<WorkerId>());
        let bytes = |share: Share, words: usize| share.used.saturating_mul(words as u64 * WORD);
        let slots = [
            bytes(names, Shape::NAME.near),
            bytes(targets, Shape::TARGET.near),
            bytes(workers, WORKER_WORDS),
        ];
        Usage {
            names,
            targets,
            workers,
            children: Share {
                used: self.children().count() as u64,
                capacity: capacity.children.into(),
            },
            reserved_bytes: (self.layout.total as u64).saturating_mul(WORD),
            used_bytes: (self.layout.workers_at as u64 * WORD).saturating_add(slots.iter().sum()),
        }
    }

    fn share(&self, at: usize, capacity: u32, late: u32) -> Share {
        let used = self.words[at].load(Ordering::Relaxed);
        Share {
            used: used.min(capacity.into()) + u64::from(late),
            capacity: u64::from(capacity) + u64::from(self.late_capacity()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{SMALL, board};
    use super::super::{LateId, Tag};
    use super::*;

    #[test]
    fn what_is_used() {
        let board = board();
        assert_eq!(board.usage().names.used, 0);
        board.set_used([2, 1, 3]);
        let _: Option<NameId> = board.claim_late(Tag(5), "late.test");
        let usage = board.usage();
        assert_eq!(usage.names.used, 2 + u64::from(SMALL.late));
        assert_eq!((usage.targets.used, usage.workers.used), (1, 3));
        assert_eq!(usage.names.capacity, u64::from(SMALL.names + SMALL.late));
        assert!(usage.used_bytes < usage.reserved_bytes);
        // From shared memory: anything may stand there.
        board.set_used([usize::MAX; 3]);
        let usage = board.usage();
        assert!(usage.names.used <= usage.names.capacity);
        assert!(NameId::first(&board) == SMALL.names);
    }
}
