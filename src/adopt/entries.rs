//! The live workers of one child, numbered: those that it was born with, and behind them those that came at run time.

use std::ops::Index;
use std::sync::atomic::{AtomicUsize, Ordering};

use once_cell::sync::OnceCell;

use super::entry::Entry;

/// Entries keep their number and their place in memory as long as the child lives; there are only ever more.
#[derive(Debug)]
pub struct Entries {
    /// Those that the child was born with.
    base: Vec<Entry>,
    /// Boxed: few of them come, if any.
    late: OnceCell<Box<[OnceCell<Box<Entry>>]>>,
    /// Room for so many late ones.
    room: usize,
    late_count: AtomicUsize,
}

impl Entries {
    /// `room`: how many can be added.
    pub fn new(base: Vec<Entry>, room: usize) -> Self {
        Self {
            base,
            late: OnceCell::new(),
            room,
            late_count: AtomicUsize::new(0),
        }
    }

    #[inline]
    pub fn get(&self, at: usize) -> Option<&Entry> {
        match self.base.get(at) {
            Some(entry) => Some(entry),
            None => self.get_late(at),
        }
    }

    #[cold]
    fn get_late(&self, at: usize) -> Option<&Entry> {
        let cell = self.late.get()?.get(at - self.base.len())?;
        cell.get().map(Box::as_ref)
    }

    /// Those that came at run time, with their numbers.
    pub fn late(&self) -> impl Iterator<Item = (usize, &Entry)> {
        let late = self.late.get().into_iter().flatten();
        let entries = late.map_while(OnceCell::get).map(Box::as_ref);
        (self.base.len()..).zip(entries)
    }

    /// In the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.base.iter().chain(self.late().map(|(_, entry)| entry))
    }

    /// How many there are by now.
    pub fn count(&self) -> usize {
        self.base.len() + self.late_count()
    }

    /// How many came at run time by now.
    #[inline]
    pub fn late_count(&self) -> usize {
        self.late_count.load(Ordering::Acquire)
    }

    /// Adds an entry and returns its number; None when there is no room. By one thread only.
    pub fn push(&self, entry: Entry) -> Option<usize> {
        let late = self
            .late
            .get_or_init(|| (0..self.room).map(|_| OnceCell::new()).collect());
        let at = self.late_count();
        late.get(at)?.set(Box::new(entry)).ok()?;
        self.late_count.store(at + 1, Ordering::Release);
        Some(self.base.len() + at)
    }
}

impl Index<usize> for Entries {
    type Output = Entry;

    #[inline]
    fn index(&self, at: usize) -> &Entry {
        self.get(at).expect("a number that an entry was given")
    }
}

#[cfg(test)]
mod tests {
    use super::Entries;

    #[test]
    fn none_without_any() {
        let entries = Entries::new(Vec::new(), 3);
        assert_eq!((entries.count(), entries.iter().count()), (0, 0));
        assert!(entries.get(0).is_none() && entries.get(usize::MAX).is_none());
    }
}
