//! The parent's book of slots: which name has which slot, since and until when.
//! One book for each kind of slot; a name is whatever text makes the identity there.
//!
//! It lives in the parent's own memory and outlives reloads; nothing in it comes
//! from shared memory, where a child could have changed it.

use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::fmt;
use std::marker::PhantomData;

use super::ids::{NameId, SlotId, Tag};
use crate::logic::epochs::Living;

/// The book of the slots numbered by `I`.
#[derive(Clone, Debug)]
pub struct Ledger<I = NameId> {
    kind: PhantomData<I>,
    capacity: u32,
    /// One entry per slot that was ever used.
    slots: Vec<Option<Entry>>,
    by_name: HashMap<String, u32>,
}

#[derive(Clone, Debug)]
struct Entry {
    name: String,
    tag: Tag,
    /// The first epoch that wanted the name.
    first_epoch: u64,
    /// The last one that did.
    last_epoch: u64,
}

/// What a new epoch needs done on the board: first `freed`, then `assigned`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan<I = NameId> {
    /// The slot of each name asked for, in the same order.
    pub slots: Vec<(I, Tag)>,
    /// Slots that get a new name.
    pub assigned: Vec<(I, Tag, String)>,
    /// Slots that nobody uses any more; some may be assigned again at once.
    pub freed: Vec<I>,
}

impl<I> Default for Plan<I> {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            assigned: Vec::new(),
            freed: Vec::new(),
        }
    }
}

/// The board is too small.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Full {
    /// What the slots are for, in the plural.
    pub what: &'static str,
    /// Slots needed, those of children still alive included.
    pub needed: usize,
    pub capacity: u32,
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            what,
            needed,
            capacity,
        } = self;
        write!(
            f,
            "{needed} {what} are needed at once, but there is room for {capacity}"
        )
    }
}

impl Error for Full {}

impl<I: SlotId> Ledger<I> {
    /// An empty book for a board of `capacity` slots.
    pub fn new(capacity: u32) -> Self {
        Self {
            kind: PhantomData,
            capacity,
            slots: Vec::new(),
            by_name: HashMap::new(),
        }
    }

    /// Finds slots for the names that `epoch` wants. A name that has a slot keeps
    /// it and its tag, so its addresses survive the reload. A slot is freed when
    /// neither `epoch` nor the one before wanted its name and no child of the epochs
    /// that did is `living`.
    ///
    /// # Errors
    /// [`Full`] when there are not enough slots; the book is unchanged then.
    pub fn plan(&mut self, epoch: u64, names: &[&str], living: &Living) -> Result<Plan<I>, Full> {
        let mut next = self.clone();
        next.mark_used(epoch, names);
        let mut plan = Plan {
            freed: next.sweep(epoch, living),
            ..Plan::default()
        };
        let mut from = 0;
        for name in names {
            if !next.by_name.contains_key(*name) {
                let index = next.vacant(from).ok_or_else(|| next.full(names))?;
                let tag = next.enter(index, name, epoch);
                plan.assigned.push((I::new(index), tag, (*name).to_owned()));
                from = index + 1;
            }
            plan.slots.extend(next.find(name));
        }
        *self = next;
        Ok(plan)
    }

    /// Names that have a slot now.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// The slot of a name.
    fn find(&self, name: &str) -> Option<(I, Tag)> {
        let index = *self.by_name.get(name)?;
        let entry = self.slots.get(index as usize)?.as_ref()?;
        Some((I::new(index), entry.tag))
    }

    fn mark_used(&mut self, epoch: u64, names: &[&str]) {
        for name in names {
            let index = self.by_name.get(*name);
            let entry = index.and_then(|index| self.slots[*index as usize].as_mut());
            if let Some(entry) = entry {
                entry.last_epoch = epoch;
            }
        }
    }

    /// Takes out what nobody can still use.
    fn sweep(&mut self, epoch: u64, living: &Living) -> Vec<I> {
        let unused = |entry: &mut Entry| {
            entry.last_epoch.saturating_add(1) < epoch
                && !living.any_of(entry.first_epoch, entry.last_epoch)
        };
        let mut freed = Vec::new();
        for (index, slot) in (0..).zip(&mut self.slots) {
            if let Some(entry) = slot.take_if(unused) {
                self.by_name.remove(&entry.name);
                freed.push(I::new(index));
            }
        }
        freed
    }

    /// The lowest vacant slot that is not below `from`: used pages stay together.
    fn vacant(&self, from: u32) -> Option<u32> {
        (from..self.capacity).find(|index| {
            let slot = self.slots.get(*index as usize);
            slot.is_none_or(Option::is_none)
        })
    }

    fn enter(&mut self, index: u32, name: &str, epoch: u64) -> Tag {
        let at = index as usize;
        if self.slots.len() <= at {
            self.slots.resize_with(at + 1, || None);
        }
        let tag = Tag::new(name, epoch);
        self.slots[at] = Some(Entry {
            name: name.to_owned(),
            tag,
            first_epoch: epoch,
            last_epoch: epoch,
        });
        self.by_name.insert(name.to_owned(), index);
        tag
    }

    fn full(&self, names: &[&str]) -> Full {
        let new: HashSet<&str> = names
            .iter()
            .copied()
            .filter(|name| !self.by_name.contains_key(*name))
            .collect();
        Full {
            what: I::WHAT,
            needed: self.by_name.len() + new.len(),
            capacity: self.capacity,
        }
    }
}
