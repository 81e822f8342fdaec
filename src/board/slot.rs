//! The protocol of one slot: a version, a tag and two copies of a record.
//!
//! The lowest bit of the version selects the copy in force. A writer fills the
//! other copy and then publishes it by counting the version up, so a writer that
//! dies at any instruction leaves the old copy in force, and the next writer
//! starts again on the spare one.
//!
//! Giving the slot to another name touches no copy: the tag changes and the
//! version goes on by two, which leaves the selection as it is. Each copy carries
//! the tag it was written for, so the copy of the former name counts as empty,
//! and a late writer of the former name can neither publish (the version is not
//! the one it began with) nor be read.
//!
//! Generic over [`Word`], so that a model checker can run the same code.

use std::error::Error;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering, fence};

/// How often a reader starts again before it says "unknown".
pub const RETRIES: usize = 16;

/// Words in front of the record in each copy: tag, checksum, number of words.
pub const COPY_HEAD: usize = 3;
const COPY_TAG: usize = 0;
const COPY_SUM: usize = 1;
const COPY_LEN: usize = 2;

/// One shared 64-bit word.
pub trait Word {
    fn load(&self, order: Ordering) -> u64;
    fn store(&self, value: u64, order: Ordering);
    /// Stores `new` (release) when the word is still `current`.
    fn replace(&self, current: u64, new: u64) -> bool;
    /// Adds and wraps (acquire and release); the value before.
    fn add(&self, n: u64) -> u64;
    fn fence(order: Ordering);
}

impl Word for AtomicU64 {
    fn load(&self, order: Ordering) -> u64 {
        Self::load(self, order)
    }

    fn store(&self, value: u64, order: Ordering) {
        Self::store(self, value, order);
    }

    fn replace(&self, current: u64, new: u64) -> bool {
        self.compare_exchange(current, new, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    fn add(&self, n: u64) -> u64 {
        self.fetch_add(n, Ordering::AcqRel)
    }

    fn fence(order: Ordering) {
        fence(order);
    }
}

/// Why a read gave nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Miss {
    /// The slot belongs to another tag.
    OtherTag,
    /// The slot changed under the reader each time.
    Unstable,
    /// The copy in force is not what any one writer wrote.
    Damaged,
}

/// What a read found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Content {
    /// Nothing was written yet for this tag.
    Empty,
    /// This many words of the buffer were filled.
    Words(usize),
}

/// Why a record was not written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WriteError {
    /// There is no slot of that number.
    OutOfRange,
    /// The slot belongs to somebody else now.
    OtherTag,
    /// Somebody else changed the slot meanwhile.
    Overtaken,
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OutOfRange => "no such slot",
            Self::OtherTag => "the slot belongs to somebody else now",
            Self::Overtaken => "somebody else changed the slot meanwhile",
        })
    }
}

impl Error for WriteError {}

/// One copy of the record, in two pieces.
pub struct Copy<'a, W> {
    pub near: &'a [W],
    pub far: &'a [W],
}

impl<W: Word> Copy<'_, W> {
    fn words(&self) -> impl Iterator<Item = &W> {
        self.near.iter().chain(self.far)
    }

    /// Reads the record into `out`; nothing is sure before the version is checked again.
    fn read(&self, tag: u64, out: &mut [u64]) -> Result<Content, Miss> {
        let mut words = self.words().map(|word| word.load(Ordering::Relaxed));
        let mut head = [0; COPY_HEAD];
        for (to, word) in head.iter_mut().zip(&mut words) {
            *to = word;
        }
        if head[COPY_TAG] != tag {
            return Ok(Content::Empty);
        }
        let len = usize::try_from(head[COPY_LEN]).map_err(|_| Miss::Damaged)?;
        let record = out.get_mut(..len).ok_or(Miss::Damaged)?;
        for to in record.iter_mut() {
            *to = words.next().ok_or(Miss::Damaged)?;
        }
        if head[COPY_SUM] == checksum(tag, record) {
            Ok(Content::Words(len))
        } else {
            Err(Miss::Damaged)
        }
    }

    fn fill(&self, tag: u64, record: &[u64]) {
        let head = [tag, checksum(tag, record), record.len() as u64];
        for (word, value) in self.words().zip(head.iter().chain(record)) {
            word.store(*value, Ordering::Relaxed);
        }
    }
}

/// One slot.
pub struct Slot<'a, W> {
    pub version: &'a W,
    pub tag: &'a W,
    pub copies: [Copy<'a, W>; 2],
}

impl<W: Word> Slot<'_, W> {
    /// Reads the record of `tag` into `out`: its version and what was found.
    /// Gives up after `retries` + 1 attempts; never waits.
    pub fn read(&self, tag: u64, out: &mut [u64], retries: usize) -> Result<(u64, Content), Miss> {
        for _ in 0..=retries {
            let version = self.version.load(Ordering::Acquire);
            if self.tag.load(Ordering::Acquire) != tag {
                return Err(Miss::OtherTag);
            }
            let found = self.copies[(version & 1) as usize].read(tag, out);
            // Pairs with the fence in `write`: a word of a later record implies
            // that the version below is a later one.
            W::fence(Ordering::Acquire);
            if self.version.load(Ordering::Relaxed) == version
                && self.tag.load(Ordering::Relaxed) == tag
            {
                return found.map(|content| (version, content));
            }
            std::hint::spin_loop();
        }
        Err(Miss::Unstable)
    }

    /// Publishes `record` (at most as long as a copy) and returns its version.
    /// One writer at a time; the owner may reassign the slot meanwhile.
    pub fn write(&self, tag: u64, record: &[u64]) -> Result<u64, WriteError> {
        let version = self.version.load(Ordering::Acquire);
        if self.tag.load(Ordering::Acquire) != tag {
            return Err(WriteError::OtherTag);
        }
        let next = version.wrapping_add(1);
        // Pairs with the fence in `read`.
        W::fence(Ordering::Release);
        self.copies[(next & 1) as usize].fill(tag, record);
        if self.tag.load(Ordering::Acquire) != tag {
            return Err(WriteError::OtherTag);
        }
        if self.version.replace(version, next) {
            Ok(next)
        } else {
            Err(WriteError::Overtaken)
        }
    }

    /// Takes the slot from whom it belonged to; `reset` may then change what
    /// readers look at only while the tag is steady (the name); `tag` 0 leaves
    /// the slot free. Only the owner of all slots calls this.
    pub fn give(&self, tag: u64, reset: impl FnOnce()) {
        self.tag.store(0, Ordering::Release);
        self.version.add(2);
        W::fence(Ordering::Release);
        reset();
        self.tag.store(tag, Ordering::Release);
    }
}

/// Detects what the protocol cannot exclude: two writers at once after a
/// failure of the leader's lock, or a process writing wild.
fn checksum(tag: u64, record: &[u64]) -> u64 {
    let seed = mix(tag, record.len() as u64);
    record.iter().fold(seed, |sum, word| mix(sum, *word))
}

/// One step of a 64-bit hash (the finisher of splitmix64).
pub fn mix(state: u64, word: u64) -> u64 {
    let mut z = (state.rotate_left(5) ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
