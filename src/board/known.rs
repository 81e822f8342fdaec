//! What leaders have decided of a worker, for those who look: the status page and the readiness URL.

use std::sync::atomic::Ordering;

use super::Board;
use super::ids::{Tag, WorkerId};
use super::layout::{WORKER_EPOCH, WORKER_KNOWN, WORKER_RESCUED, WORKER_WORDS};

const _: () = assert!(WORKER_EPOCH < WORKER_WORDS);

/// A leader's last word about a worker.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Known {
    /// DNS or the first probe has not answered yet.
    #[default]
    Nothing,
    In,
    Out,
    LastResort,
    /// Out because `livestale` has run out.
    Expired,
    /// This machine has no route to any of its addresses: no verdict about the backend, but no request gets there.
    NoRoute,
    /// Out because DNS was asked and has never given an address.
    Unresolved,
}

const ALL: [Known; 7] = [
    Known::Nothing,
    Known::In,
    Known::Out,
    Known::LastResort,
    Known::Expired,
    Known::NoRoute,
    Known::Unresolved,
];
const BITS: u32 = 8;
/// Beside [`Known::Nothing`]: requests may meet it nevertheless, see [`Board::let_in`].
const LET_IN: u64 = 0x80;
const CODE: u64 = LET_IN - 1;

impl Board {
    /// What is known of a worker, and since when (monotonic milliseconds); nothing when the slot is another's.
    pub fn known(&self, id: WorkerId, tag: Tag) -> (Known, u64) {
        let word = self.worker_of(id, tag);
        let word = word.map_or(0, |words| words[WORKER_KNOWN].load(Ordering::Relaxed));
        let known = ALL.get((word & CODE) as usize);
        (known.copied().unwrap_or_default(), word >> BITS)
    }

    /// Says what is known now; the time of what is said again stays. Leader only; of workers that only older
    /// configurations have, who marks their members.
    pub fn set_known(&self, id: WorkerId, tag: Tag, known: Known, now_ms: u64) {
        if self.known(id, tag).0 == known {
            return;
        }
        if let Some(words) = self.worker_of(id, tag) {
            let code = ALL.iter().position(|k| *k == known).unwrap_or(0) as u64;
            words[WORKER_KNOWN].store(now_ms << BITS | code, Ordering::Relaxed);
        }
    }

    /// A request had no member but ones that await DNS: this one is not kept out any more until DNS has answered. Any
    /// child; nothing changes when something is known of it.
    pub fn let_in(&self, id: WorkerId, tag: Tag) {
        let nothing = |word: u64| (word & CODE == 0).then_some(word | LET_IN);
        if let Some(words) = self.worker_of(id, tag) {
            let _ = words[WORKER_KNOWN].fetch_update(Ordering::Relaxed, Ordering::Relaxed, nothing);
        }
    }

    /// Whether [`Board::let_in`] was called since nothing is known of it.
    pub fn is_let_in(&self, id: WorkerId, tag: Tag) -> bool {
        let word = self.worker_of(id, tag);
        word.is_some_and(|words| words[WORKER_KNOWN].load(Ordering::Relaxed) & LET_IN != 0)
    }

    /// Whether the configuration `epoch` has this worker. Of one of run time: a leader has taken it up then, and its
    /// other slots are there as well.
    pub fn is_taken_up(&self, id: WorkerId, tag: Tag, epoch: u64) -> bool {
        self.worker_of(id, tag)
            .is_some_and(|words| words[WORKER_EPOCH].load(Ordering::Acquire) == epoch)
    }

    /// Says so. The parent for its workers, the leader for those of run time.
    pub fn take_up(&self, id: WorkerId, tag: Tag, epoch: u64) {
        if let Some(words) = self.worker_of(id, tag) {
            words[WORKER_EPOCH].store(epoch, Ordering::Release);
        }
    }

    /// Counts a request of this worker that was answered by another attempt.
    pub fn count_rescued(&self, id: WorkerId, tag: Tag) {
        if let Some(words) = self.worker_of(id, tag) {
            words[WORKER_RESCUED].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many they are.
    pub fn rescued(&self, id: WorkerId, tag: Tag) -> u64 {
        self.worker_of(id, tag)
            .map_or(0, |words| words[WORKER_RESCUED].load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::board;
    use super::*;

    /// Until something is known of it.
    #[test]
    fn let_in() {
        let (board, id, tag) = (board(), WorkerId(0), Tag(7));
        board.assign_worker(id, tag);
        assert!(!board.is_let_in(id, tag));
        board.let_in(id, tag);
        board.let_in(id, Tag(8));
        board.set_known(id, tag, Known::Nothing, 3);
        assert!(board.is_let_in(id, tag) && !board.is_let_in(id, Tag(8)));
        assert_eq!(board.known(id, tag), (Known::Nothing, 0));
        for known in [Known::Unresolved, Known::In, Known::Nothing] {
            board.set_known(id, tag, known, 5);
            assert!(!board.is_let_in(id, tag), "{known:?}");
        }
        board.set_known(id, tag, Known::In, 6);
        board.let_in(id, tag);
        assert!(!board.is_let_in(id, tag), "something is known");
    }

    #[test]
    fn what_is_known_and_since_when() {
        let (board, id, tag) = (board(), WorkerId(0), Tag(7));
        board.assign_worker(id, tag);
        assert_eq!(board.known(id, tag), (Known::Nothing, 0));
        for (n, known) in (1..).zip(ALL.into_iter().rev()) {
            board.set_known(id, tag, known, n);
            board.set_known(id, tag, known, n + 100);
            assert_eq!(board.known(id, tag), (known, n), "the first time counts");
        }
        board.set_known(id, tag, Known::Out, 5);
        assert_eq!(board.known(id, Tag(8)), (Known::Nothing, 0), "another's");
        board.set_known(id, Tag(8), Known::In, 9);
        assert_eq!(board.known(id, tag), (Known::Out, 5));
        board.take_up(id, tag, 3);
        board.take_up(id, Tag(8), 4);
        assert!(board.is_taken_up(id, tag, 3) && !board.is_taken_up(id, tag, 4));
        board.count_rescued(id, tag);
        board.count_rescued(id, Tag(8));
        assert_eq!((board.rescued(id, tag), board.rescued(id, Tag(8))), (1, 0));
        // Another owner begins afresh.
        board.assign_worker(id, Tag(8));
        assert_eq!(board.known(id, Tag(8)), (Known::Nothing, 0));
        assert_eq!(board.rescued(id, Tag(8)), 0);
    }
}
