//! The board: what the leading child tells all children of a server, in one
//! shared mapping. Only atomic words; no pointers, no locks, no unsafe code.
//!
//! - The parent makes it ([`Board::format`]) and gives slots to names
//!   ([`Ledger`], [`Board::apply`]).
//! - The leader writes records ([`Board::write`]), then counts the generation up.
//! - All children read ([`Board::read`]); a reader never waits for a writer.
//!
//! Whatever the words say, reading them neither panics nor allocates more than
//! one record: the parent runs as root and children are less trusted than it.

mod children;
mod header;
mod layout;
pub mod ledger;
mod record;
mod slot;

#[cfg(test)]
mod reload_tests;
#[cfg(test)]
mod slot_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod wild_tests;

use std::sync::atomic::{AtomicU64, Ordering, fence};

pub use crate::logic::record::{FamilyState, MAX_ADDRS, NameRecord, Source};
pub use children::Seat;
pub use header::{Counter, Leader};
pub use ledger::{Full, Ledger, Plan};
pub use slot::WriteError;

use layout::{
    CHILDREN_AT, COPY_FAR, COPY_NEAR, LAYOUT, LAYOUT_AT, Layout, MAGIC, MAGIC_AT, NAME_BYTES,
    NAMES_AT, SEATS_AT, SLOT_COPIES, SLOT_FAR, SLOT_NAME, SLOT_NAME_LEN, SLOT_NAME_WORDS,
    SLOT_NEAR, SLOT_TAG, SLOT_VERSION,
};
use record::RECORD_WORDS;
use slot::{Content, Copy as RecordCopy, RETRIES, Slot, mix};

/// Number of a name's slot.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct NameId(pub u32);

/// Whom a slot belongs to: identity of the name and epoch of its assignment; never 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Tag(pub u64);

impl Tag {
    /// The tag of a name (with all that makes its identity) that got its slot in `epoch`.
    pub fn new(name: &str, epoch: u64) -> Self {
        let seed = mix(epoch, name.len() as u64);
        let hash = name.bytes().fold(seed, |hash, byte| mix(hash, byte.into()));
        Self(hash.max(1))
    }
}

/// A record as it was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Versioned {
    /// To be compared with [`Board::version`].
    pub version: u64,
    pub record: NameRecord,
}

/// A view of the board; as cheap to copy as a slice.
#[derive(Clone, Copy, Debug)]
pub struct Board {
    words: &'static [AtomicU64],
    /// Capacities as they were checked once, never read again.
    layout: Layout,
}

impl Board {
    /// Words that a board for so many names and children takes.
    pub fn words_needed(names: u32, children: u32) -> usize {
        Layout { names, children }.total()
    }

    /// Makes a board of zeroed words. `None` when there are too few of them.
    pub fn format(words: &'static [AtomicU64], names: u32, children: u32) -> Option<Self> {
        let layout = Layout { names, children };
        if words.len() < layout.total() {
            return None;
        }
        words[LAYOUT_AT].store(LAYOUT, Ordering::Relaxed);
        words[NAMES_AT].store(names.into(), Ordering::Relaxed);
        words[CHILDREN_AT].store(children.into(), Ordering::Relaxed);
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
        let layout = Layout {
            names: u32::try_from(word(NAMES_AT)?).ok()?,
            children: u32::try_from(word(CHILDREN_AT)?).ok()?,
        };
        (words.len() >= layout.total()).then_some(Self { words, layout })
    }

    /// Number of name slots.
    pub const fn name_capacity(&self) -> u32 {
        self.layout.names
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
        self.give(id, tag.0, name);
    }

    /// Takes a slot from its name. Parent only.
    pub fn free(&self, id: NameId) {
        self.give(id, 0, "");
    }

    /// Version of a slot: changes with each record and each assignment. 0 when
    /// there is no such slot.
    pub fn version(&self, id: NameId) -> u64 {
        self.near(id)
            .map_or(0, |near| near[SLOT_VERSION].load(Ordering::Acquire))
    }

    /// The record of a name. `None` (unknown: keep what you have) when the slot
    /// belongs to another tag, does not exist, is damaged, or did not stand still
    /// during a bounded number of attempts.
    pub fn read(&self, id: NameId, tag: Tag) -> Option<Versioned> {
        let mut words = [0; RECORD_WORDS];
        let (version, content) = self.slot(id)?.read(tag.0, &mut words, RETRIES).ok()?;
        let record = match content {
            Content::Empty => NameRecord::default(),
            Content::Words(len) => NameRecord::decode(words.get(..len)?)?,
        };
        Some(Versioned { version, record })
    }

    /// Publishes a record and returns its version. Leader only: one writer at a
    /// time; it may die at any instruction.
    ///
    /// # Errors
    /// When the slot does not exist or was given to another name. Nothing is
    /// published then.
    pub fn write(&self, id: NameId, tag: Tag, record: &NameRecord) -> Result<u64, WriteError> {
        let slot = self.slot(id).ok_or(WriteError::OutOfRange)?;
        let mut words = [0; RECORD_WORDS];
        let len = record.encode(&mut words);
        slot.write(tag.0, &words[..len])
    }

    /// Whom a slot belongs to now, with its name, for the status page. Names are
    /// cut after 255 bytes. `None` for a free slot.
    pub fn owner(&self, id: NameId) -> Option<(Tag, String)> {
        let near = self.near(id)?;
        for _ in 0..=RETRIES {
            let tag = near[SLOT_TAG].load(Ordering::Acquire);
            let name = read_name(near);
            fence(Ordering::Acquire);
            if near[SLOT_TAG].load(Ordering::Relaxed) == tag {
                return (tag != 0).then_some((Tag(tag), name));
            }
        }
        None
    }

    fn give(&self, id: NameId, tag: u64, name: &str) {
        if let (Some(slot), Some(near)) = (self.slot(id), self.near(id)) {
            slot.give(tag, || write_name(near, name));
        }
    }

    fn near(&self, id: NameId) -> Option<&'static [AtomicU64]> {
        let at = (id.0 < self.layout.names).then(|| self.layout.near(id.0))?;
        self.words.get(at..at + SLOT_NEAR)
    }

    fn slot(&self, id: NameId) -> Option<Slot<'static, AtomicU64>> {
        let near = self.near(id)?;
        let at = self.layout.far(id.0);
        let far = self.words.get(at..at + SLOT_FAR)?;
        let copy = |index: usize| RecordCopy {
            near: &near[SLOT_COPIES + index * COPY_NEAR..][..COPY_NEAR],
            far: &far[index * COPY_FAR..][..COPY_FAR],
        };
        Some(Slot {
            version: &near[SLOT_VERSION],
            tag: &near[SLOT_TAG],
            copies: [copy(0), copy(1)],
        })
    }

    fn seats(&self) -> &'static [AtomicU64] {
        &self.words[SEATS_AT..][..self.layout.children as usize]
    }
}

fn write_name(near: &[AtomicU64], name: &str) {
    let name = &name.as_bytes()[..name.len().min(NAME_BYTES)];
    near[SLOT_NAME_LEN].store(name.len() as u64, Ordering::Relaxed);
    for (word, bytes) in near[SLOT_NAME..].iter().zip(name.chunks(8)) {
        let mut padded = [0; 8];
        padded[..bytes.len()].copy_from_slice(bytes);
        word.store(u64::from_le_bytes(padded), Ordering::Relaxed);
    }
}

fn read_name(near: &[AtomicU64]) -> String {
    let len = near[SLOT_NAME_LEN].load(Ordering::Relaxed);
    let len = usize::try_from(len).map_or(0, |len| len.min(NAME_BYTES));
    let words = near[SLOT_NAME..].iter().take(SLOT_NAME_WORDS);
    let bytes: Vec<u8> = words
        .flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes())
        .take(len)
        .collect();
    String::from_utf8_lossy(&bytes).into_owned()
}
