//! Where everything lies on the board, counted in 64-bit words.
//!
//! ```text
//! header | seats of the children | requests under way in each | kick bits | events | worker slots
//!        | near parts of the names | near parts of the targets
//!        | far parts of the names  | far parts of the targets
//! ```
//! The near part of a slot holds its words of control, the name or key, and the
//! first words of both copies of the record: enough for eight addresses of a name
//! and of a target. The far part holds the rest of both copies. Few names
//! have more addresses than that, so the far pages are hardly ever touched and
//! cost nothing.

use super::events::{EVENT_WORDS, EVENTS};
use super::health::TARGET_WORDS;
use super::record::RECORD_WORDS;
use super::slot::COPY_HEAD;

/// First word of a formatted board: "LIVEBORD".
pub const MAGIC: u64 = u64::from_be_bytes(*b"LIVEBORD");
/// Number of the layout; raised with every change to what this file, `record.rs`
/// or `health.rs` says, so that old and new code never share a board.
pub const LAYOUT: u64 = 8;

pub const MAGIC_AT: usize = 0;
pub const LAYOUT_AT: usize = 1;
pub const NAMES_AT: usize = 2;
pub const CHILDREN_AT: usize = 3;
pub const TARGETS_AT: usize = 4;
pub const WORKERS_AT: usize = 5;
pub const LATE_AT: usize = 6;
// Each request reads the generation: it has a cache line of its own.
pub const GENERATION_AT: usize = 8;
pub const EPOCH_AT: usize = 16;
pub const TICKET_AT: usize = 17;
/// One more than the highest target slot that the parent ever gave away.
pub const TARGETS_USED_AT: usize = 18;
/// How many slots were given away at run time: see `late.rs`.
pub const NAMES_LATE_AT: usize = 19;
pub const TARGETS_LATE_AT: usize = 20;
pub const WORKERS_LATE_AT: usize = 21;
/// When the newest epoch began, and whether this server was ever ready.
pub const EPOCH_SINCE_AT: usize = 22;
pub const READY_AT: usize = 23;
pub const LEADER_PID_AT: usize = 24;
pub const LEADER_SINCE_AT: usize = 25;
pub const LEADER_HEARTBEAT_AT: usize = 26;
/// The budget of rescues: see `logic::budget`.
pub const BUDGET_AT: usize = 27;
/// Events ever noted: see `events.rs`.
pub const EVENTS_AT: usize = 28;
/// Slots that the parent has given to names, targets and workers.
pub const USED_AT: [usize; 3] = [29, 30, 31];
pub const COUNTERS_AT: usize = 32;
/// Room for counters; more than there are today.
pub const COUNTERS_MAX: usize = 32;
/// The seats begin here, one word each.
pub const SEATS_AT: usize = COUNTERS_AT + COUNTERS_MAX;

/// Words of one cache line.
pub const LINE: usize = 8;

// Inside the near part of a slot.
pub const SLOT_VERSION: usize = 0;
pub const SLOT_TAG: usize = 1;
pub const SLOT_NAME_LEN: usize = 2;
pub const SLOT_NAME: usize = 8;
/// Bytes of a name or key that are kept for the status page.
pub const NAME_BYTES: usize = 255;
pub const SLOT_NAME_WORDS: usize = NAME_BYTES.div_ceil(8);
pub const SLOT_COPIES: usize = SLOT_NAME + SLOT_NAME_WORDS;

// Inside a worker's slot: three cache lines.
pub const WORKER_TAG: usize = 0;
pub const WORKER_KEPT: usize = 1;
/// Counts of rescues, and after them how much of each was told.
pub const WORKER_RESCUES: usize = 2;
pub const WORKER_TOLD: usize = WORKER_RESCUES + RESCUE_COUNTS;
pub const RESCUE_COUNTS: usize = 3;
/// Requests on their way to another member, see [`super::Board::provoke`].
pub const WORKER_PROVOKED: usize = WORKER_TOLD + RESCUE_COUNTS;
/// Attempts that failed since one succeeded.
pub const WORKER_FAILS: usize = WORKER_PROVOKED + 1;
/// Of a worker that is only observed: requests that would have been ended and retried, how much of each was told, why
/// those were retried, and what was told of its state.
pub const WORKER_WOULD: usize = WORKER_FAILS + 1;
pub const WORKER_WOULD_TOLD: usize = WORKER_WOULD + 2;
pub const WORKER_WOULD_CAUSES: usize = WORKER_WOULD_TOLD + 2;
pub const WORKER_IMAGINED: usize = WORKER_WOULD_CAUSES + 1;
/// Requests that another attempt has answered.
pub const WORKER_RESCUED: usize = WORKER_IMAGINED + 1;
/// What leaders have decided of the worker, and since when: see [`super::Known`].
pub const WORKER_KNOWN: usize = WORKER_RESCUED + 1;
/// The last epoch in which a leader has taken a worker of run time up.
pub const WORKER_EPOCH: usize = WORKER_KNOWN + 1;
pub const WORKER_WORDS: usize = 3 * LINE;

/// Bits of one word of kicks.
pub const KICK_BITS: u32 = u64::BITS;

/// How many slots of each kind a board has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Capacity {
    pub names: u32,
    pub targets: u32,
    pub workers: u32,
    pub children: u32,
    /// Further slots of each of the three kinds, which are given away at run time.
    pub late: u32,
}

/// How large the slots of one kind are.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Words of the longest record.
    pub record: usize,
    /// Words of the near part.
    pub near: usize,
}

impl Shape {
    /// Name slots: 1 KiB each.
    pub const NAME: Self = Self {
        record: RECORD_WORDS,
        near: 128,
    };
    /// Target slots: 3 KiB each.
    pub const TARGET: Self = Self {
        record: TARGET_WORDS,
        near: 384,
    };

    /// Words of one copy that lie in the near part.
    pub const fn copy_near(self) -> usize {
        (self.near - SLOT_COPIES) / 2
    }

    /// Words of one copy that lie in the far part.
    pub const fn copy_far(self) -> usize {
        COPY_HEAD + self.record - self.copy_near()
    }

    /// Words of the far part.
    pub const fn far(self) -> usize {
        2 * self.copy_far()
    }
}

/// Where the slots of one kind lie.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub count: u32,
    pub shape: Shape,
    near_at: usize,
    far_at: usize,
}

impl Place {
    /// First word of the near part of slot `index`.
    pub const fn near(&self, index: u32) -> usize {
        self.near_at + index as usize * self.shape.near
    }

    /// First word of the far part of slot `index`.
    pub const fn far(&self, index: u32) -> usize {
        self.far_at + index as usize * self.shape.far()
    }
}

/// Positions that depend on the capacities.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    pub capacity: Capacity,
    pub names: Place,
    pub targets: Place,
    pub workers_at: usize,
    /// Requests under way: one word for each seat, in a cache line of its own.
    pub running_at: usize,
    /// First words of the two bitmaps of kicks.
    pub kicks_at: [usize; 2],
    /// The last events.
    pub events_at: usize,
    /// Words of the whole board; saturates where an address space is too small.
    pub total: usize,
}

impl Layout {
    pub fn new(capacity: Capacity) -> Self {
        let Capacity {
            names,
            targets,
            workers,
            children,
            late,
        } = capacity;
        let [names, targets, workers] = [names, targets, workers].map(|n| n.saturating_add(late));
        let mut end = SEATS_AT;
        let mut take = |count: u32, words: usize| {
            let at = end;
            let words = (count as usize).saturating_mul(words);
            end = at
                .saturating_add(words)
                .checked_next_multiple_of(LINE)
                .unwrap_or(usize::MAX);
            at
        };
        take(children, 1);
        let running_at = take(children, LINE);
        let kicks_at = [(); 2].map(|()| take(targets.div_ceil(KICK_BITS), 1));
        let events_at = take(EVENTS, EVENT_WORDS);
        let workers_at = take(workers, WORKER_WORDS);
        let names_near = take(names, Shape::NAME.near);
        let targets_near = take(targets, Shape::TARGET.near);
        let place = |count, shape, near_at, far_at| Place {
            count,
            shape,
            near_at,
            far_at,
        };
        Self {
            capacity,
            names: place(
                names,
                Shape::NAME,
                names_near,
                take(names, Shape::NAME.far()),
            ),
            targets: place(
                targets,
                Shape::TARGET,
                targets_near,
                take(targets, Shape::TARGET.far()),
            ),
            workers_at,
            running_at,
            kicks_at,
            events_at,
            total: end,
        }
    }
}
