//! The seats of the children: who is alive, with which epoch, and how many requests it has under way.
//!
//! Pid and epoch are in one word, so they are always of the same child.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Board;
use super::layout::LINE;
use super::record::{pack, unpack};
use crate::logic::epochs::Living;

const FREE: u64 = 0;
/// More requests than that no child has under way.
const RUNNING_MOST: u64 = 65_536;

/// A child's place on the board. A child that is killed leaves it taken; the
/// parent clears it then.
#[derive(Debug)]
pub struct Seat {
    board: Board,
    index: usize,
    word: u64,
}

impl Seat {
    /// Index of the seat.
    pub const fn index(&self) -> usize {
        self.index
    }

    /// Process id of the child that took it.
    pub const fn pid(&self) -> u32 {
        unpack(self.word).0
    }

    /// Tells how many requests are under way in this child.
    pub fn running(&self, n: u64) {
        self.board.set_running(self.index, n);
    }

    /// Gives the seat back.
    pub fn leave(&self) {
        self.running(0);
        self.board.empty_seat(self.index, self.word);
    }
}

impl Board {
    /// Takes a seat for a child. `None` when all are taken (or `pid` is 0): the
    /// child works as well without one, only its slots may be freed before it ends.
    /// Epochs beyond 32 bits are held at the highest.
    pub fn join(&self, pid: u32, epoch: u64) -> Option<Seat> {
        if pid == 0 {
            return None;
        }
        let word = pack(pid, u32::try_from(epoch).unwrap_or(u32::MAX));
        let board = *self;
        // A seat with this pid was left by a child that was killed.
        self.take_seat(word, |old| unpack(old).0 == pid)
            .or_else(|| self.take_seat(word, |old| old == FREE))
            .map(|index| {
                board.set_running(index, 0);
                Seat { board, index, word }
            })
    }

    /// The children that are alive as far as the board knows: seat, process id, epoch.
    pub fn children(&self) -> impl Iterator<Item = (usize, u32, u64)> + use<> {
        let seats = self.seats();
        seats.iter().enumerate().filter_map(|(index, seat)| {
            let (pid, epoch) = unpack(seat.load(Ordering::Acquire));
            (pid != 0).then_some((index, pid, u64::from(epoch)))
        })
    }

    /// The epochs of the children that are alive as far as the board knows.
    pub fn living(&self) -> Living {
        self.children().map(|(_, _, epoch)| epoch).collect()
    }

    /// Requests under way in all children, as they told last. Each counts with 65,536 at most, whatever its
    /// word says. A child that was killed counts until its seat is cleared.
    pub fn running(&self) -> u64 {
        let told = |(index, _, _): (usize, u32, u64)| {
            let told = self.running_word(index)?.load(Ordering::Relaxed);
            Some(told.min(RUNNING_MOST))
        };
        self.children().filter_map(told).sum()
    }

    /// Frees the seat of a process that no longer exists; nothing happens when
    /// another process has it meanwhile.
    pub fn clear_seat(&self, index: usize, pid: u32) {
        let Some(seat) = self.seats().get(index) else {
            return;
        };
        let word = seat.load(Ordering::Acquire);
        if unpack(word).0 == pid {
            self.empty_seat(index, word);
        }
    }

    fn set_running(&self, index: usize, n: u64) {
        if let Some(word) = self.running_word(index) {
            word.store(n, Ordering::Relaxed);
        }
    }

    fn running_word(&self, index: usize) -> Option<&'static AtomicU64> {
        let at = (index < self.seats().len()).then(|| self.layout.running_at + index * LINE)?;
        self.words.get(at)
    }

    fn take_seat(&self, word: u64, fits: impl Fn(u64) -> bool) -> Option<usize> {
        self.seats().iter().position(|seat| {
            let old = seat.load(Ordering::Acquire);
            fits(old)
                && seat
                    .compare_exchange(old, word, Ordering::AcqRel, Ordering::Relaxed)
                    .is_ok()
        })
    }

    fn empty_seat(&self, index: usize, word: u64) {
        if let Some(seat) = self.seats().get(index) {
            // Failure means that somebody else has it: then it is not ours to free.
            let _ = seat.compare_exchange(word, FREE, Ordering::AcqRel, Ordering::Relaxed);
        }
    }
}
