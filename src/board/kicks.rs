//! Kicks: a request found a target suspicious, and the leader is to probe it now.
//! One bit per target and kind.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Board;
use super::ids::TargetId;
use super::layout::KICK_BITS;

/// What made a request suspicious of a target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub enum Kick {
    /// Connecting failed, a connection was reset, or not even the peer's system answers on it.
    Failed,
    /// No byte of an answer came for a while.
    Silent,
}

impl Board {
    /// Asks for a probe of a target. True when nobody had asked yet: the caller
    /// then wakes the leader. A caller that dies in between leaves the bit
    /// without a wake-up, so the leader looks also when it wakes for other reasons.
    /// A kick of a free slot is harmless, of one that does not exist nothing.
    pub fn kick(&self, id: TargetId, kick: Kick) -> bool {
        if id.0 >= self.all_targets() {
            return false;
        }
        let word = &self.kicks(kick)[(id.0 / KICK_BITS) as usize];
        let bit = 1 << (id.0 % KICK_BITS);
        // Usually somebody else was faster: then the cache line stays shared.
        word.load(Ordering::Relaxed) & bit == 0 && word.fetch_or(bit, Ordering::AcqRel) & bit == 0
    }

    /// Takes all kicks of one kind. Some may be of targets that have no slot any more.
    pub fn take_kicks(&self, kick: Kick) -> Vec<TargetId> {
        let mut taken = Vec::new();
        let words = self.kicks(kick);
        let given = self.given_targets();
        let part = |ids: &Range<u32>| ids.start / KICK_BITS..ids.end.div_ceil(KICK_BITS);
        for at in given.iter().flat_map(part) {
            let word = &words[at as usize];
            if word.load(Ordering::Relaxed) == 0 {
                continue;
            }
            let bits = word.swap(0, Ordering::AcqRel);
            let set = (0..KICK_BITS).filter(|bit| bits >> bit & 1 != 0);
            let ids = set.map(|bit| TargetId(at * KICK_BITS + bit));
            taken.extend(ids.filter(|id| given.iter().any(|ids| ids.contains(&id.0))));
        }
        taken
    }

    fn kicks(&self, kick: Kick) -> &'static [AtomicU64] {
        let words = self.all_targets().div_ceil(KICK_BITS) as usize;
        &self.words[self.layout.kicks_at[kick as usize]..][..words]
    }
}
