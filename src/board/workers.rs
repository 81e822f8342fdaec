//! The slots of the workers: what children tell each other of a worker that
//! httpd's own record of it has no place for. They keep their owner through reloads.

use std::hint;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use super::ids::{Tag, WorkerId};
use super::layout::{
    RESCUE_COUNTS, WORKER_FAILS, WORKER_KEPT, WORKER_PROVOKED, WORKER_RESCUES, WORKER_TAG,
    WORKER_TOLD, WORKER_WORDS,
};
use super::{Board, Plan};
use crate::logic::rescues::Rescues;

/// What is counted of requests whose attempts failed: see [`Rescues`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub enum RescueCount {
    Ended,
    Retried,
    Failed,
}

const _: () = assert!(WORKER_TOLD + RESCUE_COUNTS <= WORKER_WORDS);

/// In the word of [`Board::provoke`], above a count of 16 bits and 32 bits of seconds: the last request is taking
/// back, others wait.
const CLEARING: u64 = 1 << 63;
/// So long: clearing is three stores.
const CLEARING_SPINS: u32 = 100_000;
/// A count that nobody has touched for longer was left by a child that was killed.
const PROVOKED_S: u32 = 5;

/// How many requests the word counts.
fn provoked(word: u64, now_s: u64) -> u64 {
    if age(word, now_s) <= PROVOKED_S {
        word & 0xffff
    } else {
        0
    }
}

/// Seconds since the word was written; another child may just have seen the clock tick.
fn age(word: u64, now_s: u64) -> u32 {
    let age = (now_s as u32).wrapping_sub((word >> 16) as u32);
    if age >= u32::MAX - 1 { 0 } else { age }
}

fn pack_provoked(count: u64, now_s: u64) -> u64 {
    u64::from(now_s as u32) << 16 | count.min(0xffff)
}

impl Board {
    /// Number of the parent's worker slots.
    pub const fn worker_capacity(&self) -> u32 {
        self.layout.capacity.workers
    }

    /// Frees and assigns what the ledger of the workers decided. Parent only.
    pub fn apply_workers(&self, plan: &Plan<WorkerId>) {
        for id in &plan.freed {
            self.free_worker(*id);
        }
        for (id, tag, _) in &plan.assigned {
            self.assign_worker(*id, *tag);
        }
    }

    /// Gives a slot to a worker, all zero. The parent its own ones, the leader those of run time. Does nothing when there is no such slot.
    pub fn assign_worker(&self, id: WorkerId, tag: Tag) {
        self.give_worker(id, tag.0);
    }

    /// Takes a slot from its worker. Parent only.
    pub fn free_worker(&self, id: WorkerId) {
        self.give_worker(id, 0);
    }

    /// Until when (monotonic milliseconds) mod_proxy's own error of a worker is
    /// to be kept; 0 when nothing was said or the slot is another's.
    ///
    /// The time comes from shared memory, and a child that was late may have set
    /// it for the former owner of the slot: the reader bounds it by the longest
    /// time that the worker's own settings allow.
    pub fn kept_until(&self, id: WorkerId, tag: Tag) -> u64 {
        self.owned(id, tag, |words| words[WORKER_KEPT].load(Ordering::Relaxed))
            .unwrap_or(0)
    }

    /// Says until when an error is to be kept; an earlier time than the one known
    /// changes nothing, nor does one for a slot that is another's. When the slot
    /// is reassigned in this very moment, the time may be left to its new owner:
    /// see [`Board::kept_until`].
    pub fn keep_until(&self, id: WorkerId, tag: Tag, until_ms: u64) {
        if let Some(words) = self.worker(id)
            && words[WORKER_TAG].load(Ordering::Acquire) == tag.0
        {
            words[WORKER_KEPT].fetch_max(until_ms, Ordering::AcqRel);
        }
    }

    /// Counts requests whose attempts failed at a worker; nothing when the slot is another's.
    pub fn count_rescue(&self, id: WorkerId, tag: Tag, what: RescueCount, n: u64) {
        if let Some(words) = self.worker(id)
            && words[WORKER_TAG].load(Ordering::Acquire) == tag.0
        {
            words[WORKER_RESCUES + what as usize].fetch_add(n, Ordering::Relaxed);
        }
    }

    /// What was counted since the worker got its slot; `None` when the slot is another's.
    pub fn rescues(&self, id: WorkerId, tag: Tag) -> Option<Rescues> {
        self.owned(id, tag, |words| load(words, WORKER_RESCUES))
    }

    /// How much of it leaders have told in the log; `None` when the slot is another's.
    pub fn told(&self, id: WorkerId, tag: Tag) -> Option<Rescues> {
        self.owned(id, tag, |words| load(words, WORKER_TOLD))
    }

    /// Notes how much was told. Leader only; nothing when the slot is another's.
    pub fn tell(&self, id: WorkerId, tag: Tag, told: Rescues) {
        if let Some(words) = self.worker(id)
            && words[WORKER_TAG].load(Ordering::Acquire) == tag.0
        {
            let counts = [told.ended, told.retried, told.failed];
            for (word, count) in words[WORKER_TOLD..].iter().zip(counts) {
                word.store(count, Ordering::Relaxed);
            }
        }
    }

    /// A request is about to make mod_proxy put this member into error, for nothing: [`Board::take_back`]
    /// must follow. While such requests are under way the error stays, because each of them is led to another
    /// member by it. Waits for a moment while the last one of others takes back. True for the first of them.
    /// `now_s` is monotonic.
    pub fn provoke(&self, id: WorkerId, tag: Tag, now_s: u64) -> bool {
        let Some(word) = self.provoked_word(id, tag) else {
            return true;
        };
        for _ in 0..CLEARING_SPINS {
            let seen = word.load(Ordering::Acquire);
            let count = provoked(seen, now_s);
            let next = pack_provoked(count + 1, now_s);
            let free = seen & CLEARING == 0;
            if free
                && word
                    .compare_exchange(seen, next, Ordering::AcqRel, Ordering::Relaxed)
                    .is_ok()
            {
                return count == 0;
            }
            hint::spin_loop();
        }
        // Whoever was clearing has been killed.
        word.store(pack_provoked(1, now_s), Ordering::Release);
        true
    }

    /// Whether requests are between [`Board::provoke`] and [`Board::take_back`].
    pub fn is_provoked(&self, id: WorkerId, tag: Tag, now_s: u64) -> bool {
        self.provoked_word(id, tag)
            .is_some_and(|word| provoked(word.load(Ordering::Acquire), now_s) != 0)
    }

    /// The same, or they were until a moment ago.
    pub fn was_provoked(&self, id: WorkerId, tag: Tag, now_s: u64) -> bool {
        let recent = |word: u64| word != 0 && age(word, now_s) <= 1;
        self.provoked_word(id, tag)
            .is_some_and(|word| recent(word.load(Ordering::Acquire) & !CLEARING))
    }

    /// The request has its other member (or none was found). The last one calls `clear`, which ends the error.
    pub fn take_back(&self, id: WorkerId, tag: Tag, now_s: u64, clear: impl FnOnce()) {
        let Some(word) = self.provoked_word(id, tag) else {
            return clear();
        };
        let less = |seen: u64| match provoked(seen, now_s) {
            0 | 1 => Some(CLEARING | pack_provoked(0, now_s)),
            n => Some(pack_provoked(n - 1, now_s) | (seen & CLEARING)),
        };
        let last = word
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, less)
            .is_ok_and(|seen| provoked(seen, now_s) <= 1);
        if last {
            clear();
            word.fetch_and(!CLEARING, Ordering::AcqRel);
        }
    }

    /// Counts attempts at a worker that failed since one succeeded, this one included.
    pub fn count_fail(&self, id: WorkerId, tag: Tag) -> u64 {
        self.fails(id, tag).map_or(0, |word| {
            word.fetch_add(1, Ordering::Relaxed).saturating_add(1)
        })
    }

    /// The word of [`Board::count_fail`], for those who set it to 0.
    pub fn fails(&self, id: WorkerId, tag: Tag) -> Option<&'static AtomicU64> {
        let words = self.worker(id)?;
        let owned = words[WORKER_TAG].load(Ordering::Acquire) == tag.0;
        owned.then(|| &words[WORKER_FAILS])
    }

    fn provoked_word(&self, id: WorkerId, tag: Tag) -> Option<&'static AtomicU64> {
        let words = self.worker(id)?;
        let owned = words[WORKER_TAG].load(Ordering::Acquire) == tag.0;
        owned.then(|| &words[WORKER_PROVOKED])
    }

    /// Reads from the slot of this owner; `None` when it is, or has just become, another's.
    fn owned<R>(&self, id: WorkerId, tag: Tag, read: impl FnOnce(&[AtomicU64]) -> R) -> Option<R> {
        let words = self.worker(id)?;
        if words[WORKER_TAG].load(Ordering::Acquire) != tag.0 {
            return None;
        }
        let found = read(words);
        fence(Ordering::Acquire);
        (words[WORKER_TAG].load(Ordering::Relaxed) == tag.0).then_some(found)
    }

    /// Whom a slot belongs to; None when it is free.
    pub(super) fn worker_tag(&self, id: WorkerId) -> Option<Tag> {
        let tag = self.worker(id)?[WORKER_TAG].load(Ordering::Acquire);
        (tag != 0).then_some(Tag(tag))
    }

    fn give_worker(&self, id: WorkerId, tag: u64) {
        let Some(words) = self.worker(id) else {
            return;
        };
        words[WORKER_TAG].store(0, Ordering::Release);
        fence(Ordering::Release);
        for word in &words[WORKER_TAG + 1..] {
            word.store(0, Ordering::Relaxed);
        }
        words[WORKER_TAG].store(tag, Ordering::Release);
    }

    pub(super) fn worker(&self, id: WorkerId) -> Option<&'static [AtomicU64]> {
        let place = |id: WorkerId| self.layout.workers_at + id.0 as usize * WORKER_WORDS;
        let count = self.worker_capacity().saturating_add(self.late_capacity());
        let at = (id.0 < count).then(|| place(id))?;
        self.words.get(at..at + WORKER_WORDS)
    }
}

fn load(words: &[AtomicU64], at: usize) -> Rescues {
    let [ended, retried, failed] =
        std::array::from_fn::<_, RESCUE_COUNTS, _>(|i| words[at + i].load(Ordering::Relaxed));
    Rescues {
        ended,
        retried,
        failed,
    }
}
