//! The slots of one kind, names or targets: the same protocol, other records.

use std::sync::atomic::{AtomicU64, Ordering, fence};

use super::Versioned;
use super::ids::Tag;
use super::layout::{
    NAME_BYTES, Place, SLOT_COPIES, SLOT_NAME, SLOT_NAME_LEN, SLOT_NAME_WORDS, SLOT_TAG,
    SLOT_VERSION,
};
use super::slot::{Content, Copy as RecordCopy, RETRIES, Slot, WriteError};

/// What a slot holds, as words. The default is the record of a slot just assigned.
pub trait Record: Default {
    /// Writes the record into `out`, which has room for the longest one, and
    /// returns the number of words.
    fn encode(&self, out: &mut [u64]) -> usize;

    /// Reads a record; `None` when the words are not one. Never panics.
    fn decode(words: &[u64]) -> Option<Self>;
}

/// All slots of one kind. `N` is the number of words of the longest record.
#[derive(Clone, Copy, Debug)]
pub struct Region<const N: usize> {
    pub words: &'static [AtomicU64],
    pub place: Place,
}

impl<const N: usize> Region<N> {
    /// See [`super::Board::version`].
    pub fn version(&self, index: u32) -> u64 {
        self.near(index)
            .map_or(0, |near| near[SLOT_VERSION].load(Ordering::Acquire))
    }

    /// See [`super::Board::read`].
    pub fn read<R: Record>(&self, index: u32, tag: Tag) -> Option<Versioned<R>> {
        let mut words = [0; N];
        let (version, content) = self.slot(index)?.read(tag.0, &mut words, RETRIES).ok()?;
        let record = match content {
            Content::Empty => R::default(),
            Content::Words(len) => R::decode(words.get(..len)?)?,
        };
        Some(Versioned { version, record })
    }

    /// See [`super::Board::write`].
    pub fn write(&self, index: u32, tag: Tag, record: &impl Record) -> Result<u64, WriteError> {
        let slot = self.slot(index).ok_or(WriteError::OutOfRange)?;
        let mut words = [0; N];
        let len = record.encode(&mut words);
        slot.write(tag.0, &words[..len])
    }

    /// The tag of whom a slot belongs to now.
    pub fn tag(&self, index: u32) -> Option<Tag> {
        let tag = self.near(index)?[SLOT_TAG].load(Ordering::Acquire);
        (tag != 0).then_some(Tag(tag))
    }

    /// See [`super::Board::owner`].
    pub fn owner(&self, index: u32) -> Option<(Tag, String)> {
        let near = self.near(index)?;
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

    /// Gives a slot to `name`; tag 0 frees it. False when there is no such slot.
    pub fn give(&self, index: u32, tag: u64, name: &str) -> bool {
        let (Some(slot), Some(near)) = (self.slot(index), self.near(index)) else {
            return false;
        };
        slot.give(tag, || write_name(near, name));
        true
    }

    pub fn near(&self, index: u32) -> Option<&'static [AtomicU64]> {
        let at = (index < self.place.count).then(|| self.place.near(index))?;
        self.words.get(at..at + self.place.shape.near)
    }

    pub fn slot(&self, index: u32) -> Option<Slot<'static, AtomicU64>> {
        let near = self.near(index)?;
        let shape = self.place.shape;
        let at = self.place.far(index);
        let far = self.words.get(at..at + shape.far())?;
        let (copy_near, copy_far) = (shape.copy_near(), shape.copy_far());
        let copy = |index: usize| RecordCopy {
            near: &near[SLOT_COPIES + index * copy_near..][..copy_near],
            far: &far[index * copy_far..][..copy_far],
        };
        Some(Slot {
            version: &near[SLOT_VERSION],
            tag: &near[SLOT_TAG],
            copies: [copy(0), copy(1)],
        })
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
