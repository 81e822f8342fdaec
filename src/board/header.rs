//! The words that are there once: generation, epoch, leader, budget of rescues, counters.

use std::sync::atomic::{AtomicU64, Ordering, fence};

use super::Board;
use super::layout::{
    BUDGET_AT, COUNTERS_AT, COUNTERS_MAX, EPOCH_AT, EPOCH_SINCE_AT, GENERATION_AT,
    LEADER_HEARTBEAT_AT, LEADER_PID_AT, LEADER_SINCE_AT, READY_AT, TICKET_AT,
};
use super::slot::RETRIES;
use crate::logic::budget;

/// Tries to count a rescue while other children count theirs.
const BUDGET_TRIES: usize = 64;

/// Who leads. Times are monotonic milliseconds, from shared memory: subtract
/// them with saturation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Leader {
    /// Process id; 0 for nobody.
    pub pid: u32,
    pub since_ms: u64,
    pub heartbeat_ms: u64,
}

/// What is counted for the status page, since the board was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub enum Counter {
    /// DNS questions sent.
    Queries,
    /// Look-ups that gave no usable answer.
    LookupFailures,
    /// Changed sets of addresses.
    AddressChanges,
    /// Children that became leader.
    Takeovers,
    /// Probes that ended.
    Probes,
    /// Probes that failed, those by local trouble not among them.
    ProbeFailures,
    /// Addresses that changed their state.
    HealthChanges,
    /// Probes that began much later than they were due.
    ProbesLate,
    /// Times that as many probes were under way as are allowed, and others waited.
    InFlightBound,
    /// Probes that this machine could not even try.
    LocalErrors,
    /// Kicks from the request path that woke the leader.
    Kicks,
    /// Times that so many addresses timed out at once that verdicts were held.
    Storms,
    /// Workers in error by mod_proxy's own doing that were put back.
    Releases,
    /// Things that would have been done, had workers not been observed only.
    Observed,
}

impl Counter {
    /// All counters, in the order of their numbers.
    pub const ALL: [Self; 14] = [
        Self::Queries,
        Self::LookupFailures,
        Self::AddressChanges,
        Self::Takeovers,
        Self::Probes,
        Self::ProbeFailures,
        Self::HealthChanges,
        Self::ProbesLate,
        Self::InFlightBound,
        Self::LocalErrors,
        Self::Kicks,
        Self::Storms,
        Self::Releases,
        Self::Observed,
    ];
}

const _: () = assert!(Counter::ALL.len() <= COUNTERS_MAX);

impl Board {
    /// The word that children wait on; its low 32 bits are the futex.
    pub fn generation_word(&self) -> &'static AtomicU64 {
        &self.words[GENERATION_AT]
    }

    /// Counts with each change that children must look at; wraps.
    pub fn generation(&self) -> u32 {
        self.generation_word().load(Ordering::Acquire) as u32
    }

    /// Counts the generation up and returns it. The caller wakes the futex.
    pub fn bump_generation(&self) -> u32 {
        let before = self.generation_word().fetch_add(1, Ordering::AcqRel);
        before.wrapping_add(1) as u32
    }

    /// The newest configuration's number; 0 before the first.
    pub fn epoch(&self) -> u64 {
        self.words[EPOCH_AT].load(Ordering::Acquire)
    }

    /// Announces a new configuration. Parent only, which counts epochs in its own memory. `now_ms` is monotonic.
    pub fn announce_epoch(&self, epoch: u64, now_ms: u64) {
        self.words[EPOCH_SINCE_AT].store(now_ms, Ordering::Relaxed);
        self.words[EPOCH_AT].store(epoch, Ordering::Release);
    }

    /// When the newest configuration was announced, in monotonic milliseconds.
    pub fn epoch_since_ms(&self) -> u64 {
        self.words[EPOCH_SINCE_AT].load(Ordering::Relaxed)
    }

    /// Whether this server has been ready since it was started.
    pub fn was_ready(&self) -> bool {
        self.words[READY_AT].load(Ordering::Relaxed) != 0
    }

    /// It is ready.
    pub fn set_ready(&self) {
        if !self.was_ready() {
            self.words[READY_AT].store(1, Ordering::Relaxed);
        }
    }

    /// Who leads now.
    pub fn leader(&self) -> Leader {
        let word = |at: usize| self.words[at].load(Ordering::Acquire);
        let mut leader = Leader::default();
        // Not all of one leader only when two took over during the attempts.
        for _ in 0..=RETRIES {
            let pid = word(LEADER_PID_AT);
            leader = Leader {
                pid: pid as u32,
                since_ms: word(LEADER_SINCE_AT),
                heartbeat_ms: word(LEADER_HEARTBEAT_AT),
            };
            fence(Ordering::Acquire);
            if self.words[LEADER_PID_AT].load(Ordering::Relaxed) == pid {
                break;
            }
        }
        leader
    }

    /// Enters the new leader, whose lock makes it the only one.
    pub fn set_leader(&self, pid: u32, now_ms: u64) {
        self.words[LEADER_PID_AT].store(0, Ordering::Release);
        fence(Ordering::Release);
        self.words[LEADER_SINCE_AT].store(now_ms, Ordering::Relaxed);
        self.words[LEADER_HEARTBEAT_AT].store(now_ms, Ordering::Relaxed);
        self.words[LEADER_PID_AT].store(pid.into(), Ordering::Release);
    }

    /// The leader is alive and well at `now_ms`.
    pub fn heartbeat(&self, now_ms: u64) {
        self.words[LEADER_HEARTBEAT_AT].store(now_ms, Ordering::Release);
    }

    /// Nobody leads, unless somebody other than `pid` does already.
    pub fn clear_leader(&self, pid: u32) {
        let leader = &self.words[LEADER_PID_AT];
        let _ = leader.compare_exchange(pid.into(), 0, Ordering::AcqRel, Ordering::Relaxed);
    }

    /// Takes one rescue from the budget that all children share. `running` are the requests under way in
    /// all of them ([`Board::running`]). False when the budget is spent, and when many others are at it.
    pub fn spend_rescue(&self, now_s: u64, running: u64) -> bool {
        let budget = &self.words[BUDGET_AT];
        let mut word = budget.load(Ordering::Relaxed);
        for _ in 0..BUDGET_TRIES {
            let Some(next) = budget::allows(word, now_s, running) else {
                return false;
            };
            match budget.compare_exchange_weak(word, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
        false
    }

    /// Counts `n` events.
    pub fn add(&self, counter: Counter, n: u64) {
        self.words[COUNTERS_AT + counter as usize].fetch_add(n, Ordering::Relaxed);
    }

    /// Events counted.
    pub fn get(&self, counter: Counter) -> u64 {
        self.words[COUNTERS_AT + counter as usize].load(Ordering::Relaxed)
    }

    /// A number that nobody else got: each child's own starting offset.
    pub fn ticket(&self) -> u64 {
        self.words[TICKET_AT].fetch_add(1, Ordering::Relaxed)
    }
}
