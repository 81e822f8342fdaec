//! The board: what the leading child tells all children of a server, in one
//! shared mapping. Only atomic words; no pointers, no locks, no unsafe code.
//!
//! - The parent makes it ([`Board::format`]) and gives slots to names, targets
//!   and workers ([`Ledger`], [`Board::apply`], [`Board::apply_targets`],
//!   [`Board::apply_workers`]).
//! - The leader writes the addresses of names ([`Board::write`]) and the health of
//!   targets ([`Board::write_target`]), then counts the generation up.
//! - It also gives slots to what came at run time ([`Board::claim_late`]).
//! - All children read ([`Board::read`], [`Board::read_target`]); a reader never
//!   waits for a writer.
//! - Any child asks the leader for a probe ([`Board::kick`]), and counts the requests
//!   it rescues ([`Board::count_rescue`]) within a budget of all ([`Board::spend_rescue`]).
//!
//! - Whoever sees a change notes it ([`Board::note`]); the leader says what it has decided of workers
//!   ([`Board::set_known`]): both for the status page.
//!
//! Whatever the words say, reading them neither panics nor allocates more than
//! one record: the parent runs as root and children are less trusted than it.

mod children;
mod events;
mod header;
mod health;
mod ids;
mod kicks;
mod known;
mod late;
mod layout;
pub mod ledger;
mod observed;
mod record;
mod region;
mod slot;
mod targets;
mod usage;
mod workers;

#[cfg(test)]
mod kind_tests;
#[cfg(test)]
mod late_tests;
#[cfg(test)]
mod observed_tests;
#[cfg(test)]
mod reload_tests;
#[cfg(test)]
mod rescue_tests;
#[cfg(test)]
mod slot_tests;
#[cfg(test)]
mod target_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod wild_tests;

use std::sync::atomic::{AtomicU64, Ordering};

pub use crate::logic::health::TargetRecord;
pub use crate::logic::record::{FamilyState, MAX_ADDRS, NameRecord, Source};
pub use crate::logic::rescues::Rescues;
pub use children::Seat;
pub use events::Noted;
pub use header::{Counter, Leader};
pub use ids::{NameId, SlotId, Tag, TargetId, WorkerId};
pub use kicks::Kick;
pub use known::Known;
pub use late::LateId;
pub use layout::Capacity;
pub use ledger::{Full, Ledger, Plan};
pub use observed::Would;
pub use slot::WriteError;
pub use usage::{Share, Usage};
pub use workers::RescueCount;

use layout::{
    CHILDREN_AT, LATE_AT, LAYOUT, LAYOUT_AT, Layout, MAGIC, MAGIC_AT, NAMES_AT, SEATS_AT,
    TARGETS_AT, WORKERS_AT,
};
use record::RECORD_WORDS;
use region::Region;

/// A record as it was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Versioned<R = NameRecord> {
    /// To be compared with [`Board::version`] or [`Board::target_version`].
    pub version: u64,
    pub record: R,
}

/// A target's record as it was read.
pub type VersionedTarget = Versioned<TargetRecord>;

/// A view of the board; as cheap to copy as a slice.
#[derive(Clone, Copy, Debug)]
pub struct Board {
    words: &'static [AtomicU64],
    /// Capacities as they were checked once, never read again.
    layout: Layout,
}

impl Board {
    /// Words that a board of this capacity takes.
    pub fn words_needed(capacity: Capacity) -> usize {
        Layout::new(capacity).total
    }

    /// Makes a board of zeroed words. `None` when there are too few of them.
    pub fn format(words: &'static [AtomicU64], capacity: Capacity) -> Option<Self> {
        let layout = Layout::new(capacity);
        if words.len() < layout.total {
            return None;
        }
        for (at, value) in [
            (LAYOUT_AT, LAYOUT),
            (NAMES_AT, capacity.names.into()),
            (TARGETS_AT, capacity.targets.into()),
            (WORKERS_AT, capacity.workers.into()),
            (CHILDREN_AT, capacity.children.into()),
            (LATE_AT, capacity.late.into()),
        ] {
            words[at].store(value, Ordering::Relaxed);
        }
        words[MAGIC_AT].store(MAGIC, Ordering::Release);
        Some(Self { words, layout })
    }

    /// Looks at a board that was made before. `None` when the words are none, or
    /// one of another layout, or too few for what they claim to hold.
    pub fn open(words: &'static [AtomicU64]) -> Option<Self> {
        let word = |at: usize| words.get(at).map(|word| word.load(Ordering::Acquire));
        if word(MAGIC_AT)? != MAGIC || word(LAYOUT_AT)? != LAYOUT {
            return None;
        }
        let count = |at: usize| u32::try_from(word(at)?).ok();
        let layout = Layout::new(Capacity {
            names: count(NAMES_AT)?,
            targets: count(TARGETS_AT)?,
            workers: count(WORKERS_AT)?,
            children: count(CHILDREN_AT)?,
            late: count(LATE_AT)?,
        });
        (words.len() >= layout.total).then_some(Self { words, layout })
    }

    /// Number of the parent's name slots.
    pub const fn name_capacity(&self) -> u32 {
        self.layout.capacity.names
    }

    /// Frees and assigns what the ledger decided. Parent only.
    pub fn apply(&self, plan: &Plan) {
        for id in &plan.freed {
            self.free(*id);
        }
        for (id, tag, name) in &plan.assigned {
            self.assign(*id, *tag, name);
        }
    }

    /// Gives a slot to a name: its record is "never answered", its version goes
    /// on. Parent only. Does nothing when there is no such slot.
    pub fn assign(&self, id: NameId, tag: Tag, name: &str) {
        self.name_region().give(id.0, tag.0, name);
    }

    /// Takes a slot from its name. Parent only.
    pub fn free(&self, id: NameId) {
        self.name_region().give(id.0, 0, "");
    }

    /// Version of a slot: changes with each record and each assignment. 0 when
    /// there is no such slot.
    pub fn version(&self, id: NameId) -> u64 {
        self.name_region().version(id.0)
    }

    /// The record of a name. `None` (unknown: keep what you have) when the slot
    /// belongs to another tag, does not exist, is damaged, or did not stand still
    /// during a bounded number of attempts.
    pub fn read(&self, id: NameId, tag: Tag) -> Option<Versioned> {
        self.name_region().read(id.0, tag)
    }

    /// Publishes a record and returns its version. Leader only: one writer at a
    /// time; it may die at any instruction.
    ///
    /// # Errors
    /// When the slot does not exist or was given to another name. Nothing is
    /// published then.
    pub fn write(&self, id: NameId, tag: Tag, record: &NameRecord) -> Result<u64, WriteError> {
        self.name_region().write(id.0, tag, record)
    }

    /// Whom a slot belongs to now, with its name, for the status page. Names are
    /// cut after 255 bytes. `None` for a free slot.
    pub fn owner(&self, id: NameId) -> Option<(Tag, String)> {
        self.name_region().owner(id.0)
    }

    fn name_region(&self) -> Region<RECORD_WORDS> {
        Region {
            words: self.words,
            place: self.layout.names,
        }
    }

    fn seats(&self) -> &'static [AtomicU64] {
        &self.words[SEATS_AT..][..self.layout.capacity.children as usize]
    }
}
