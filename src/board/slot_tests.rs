//! All interleavings of the slot's protocol, by the loom model checker: what the
//! memory model allows, not only what this machine does.

use std::cell::Cell;
use std::sync::atomic::Ordering;

use loom::model::Builder;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, fence};
use loom::thread;

use super::slot::{COPY_HEAD, Content, Copy, Miss, Slot, Word, WriteError};

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

/// The words of a mortal writer: after `life` changes nothing it does has an
/// effect any more, as if it had been killed there.
struct Mortal<'a> {
    word: &'a AtomicU64,
    life: &'a Cell<usize>,
}

impl Mortal<'_> {
    fn alive(&self) -> bool {
        let left = self.life.get();
        self.life.set(left.saturating_sub(1));
        left > 0
    }
}

impl Word for Mortal<'_> {
    fn load(&self, order: Ordering) -> u64 {
        self.word.load(order)
    }

    fn store(&self, value: u64, order: Ordering) {
        if self.alive() {
            self.word.store(value, order);
        }
    }

    fn replace(&self, current: u64, new: u64) -> bool {
        self.alive() && self.word.replace(current, new)
    }

    fn add(&self, n: u64) -> u64 {
        if self.alive() { self.word.add(n) } else { 0 }
    }

    fn fence(order: Ordering) {
        fence(order);
    }
}

/// Words of a record in the models: its checksum is a second one, so that a
/// mixture of two records is a damaged one.
const LEN: usize = 1;
/// Changes that one write makes: a whole copy and the version.
const STEPS: usize = COPY_HEAD + LEN + 1;
const OLD: u64 = 11;
const NEW: u64 = 22;

/// A slot of `OLD`, small enough to try everything.
struct Memory {
    version: AtomicU64,
    tag: AtomicU64,
    copies: [[AtomicU64; COPY_HEAD + LEN]; 2],
}

impl Memory {
    fn new() -> Arc<Self> {
        let copy = || std::array::from_fn(|_| AtomicU64::new(0));
        Arc::new(Self {
            version: AtomicU64::new(0),
            tag: AtomicU64::new(OLD),
            copies: [copy(), copy()],
        })
    }

    fn slot(&self) -> Slot<'_, AtomicU64> {
        let copy = |index: usize| {
            let (near, far) = self.copies[index].split_at(COPY_HEAD);
            Copy { near, far }
        };
        Slot {
            version: &self.version,
            tag: &self.tag,
            copies: [copy(0), copy(1)],
        }
    }

    /// Writes like [`Slot::write`], but dies after `steps` changes.
    fn write_and_die(&self, tag: u64, n: u64, steps: usize) {
        let life = Cell::new(steps);
        let mortal = |word| Mortal { word, life: &life };
        let copies = self
            .copies
            .each_ref()
            .map(|copy| copy.each_ref().map(mortal));
        let copy = |index: usize| {
            let (near, far) = copies[index].split_at(COPY_HEAD);
            Copy { near, far }
        };
        let slot = Slot {
            version: &mortal(&self.version),
            tag: &mortal(&self.tag),
            copies: [copy(0), copy(1)],
        };
        let published = slot.write(tag, &record(n)).is_ok();
        assert_eq!(published, steps >= STEPS);
    }

    /// Number of the record read, 0 for an empty one; `None` for another tag or
    /// a slot that did not stand still. A damaged record fails the test.
    fn read(&self, tag: u64, retries: usize) -> Option<(u64, u64)> {
        let mut out = [0; LEN];
        match self.slot().read(tag, &mut out, retries) {
            Ok((version, Content::Empty)) => Some((version, 0)),
            Ok((version, Content::Words(len))) => {
                assert_eq!(len, LEN);
                Some((version, out[0]))
            }
            Err(Miss::Damaged) => panic!("a damaged record"),
            Err(Miss::OtherTag | Miss::Unstable) => None,
        }
    }
}

/// Runs a model; three preemptions are what bugs of this kind need, says loom.
fn model(run: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(run);
}

/// Record number `n` of a model.
fn record(n: u64) -> [u64; LEN] {
    [n]
}

/// Reads twice while `work` runs; the second time nothing older than the first.
fn while_reading(memory: &Arc<Memory>, tag: u64, work: impl FnOnce(&Memory) + Send + 'static) {
    let shared = memory.clone();
    let worker = thread::spawn(move || work(&shared));
    let first = memory.read(tag, 1);
    let second = memory.read(tag, 0);
    if let (Some((v1, n1)), Some((v2, n2))) = (first, second) {
        assert!(v1 <= v2 && n1 <= n2, "older than what was seen before");
        assert_eq!(v1 == v2, n1 == n2);
    }
    worker.join().unwrap();
}

#[test]
fn reader_sees_whole_records_in_order() {
    model(|| {
        let memory = Memory::new();
        while_reading(&memory, OLD, |memory| {
            memory.slot().write(OLD, &record(1)).unwrap();
            memory.slot().write(OLD, &record(2)).unwrap();
        });
        assert_eq!(memory.read(OLD, 0), Some((2, 2)));
    });
}

#[test]
fn next_writer_goes_on_after_one_that_died() {
    for steps in 0..=STEPS {
        model(move || {
            let memory = Memory::new();
            memory.slot().write(OLD, &record(1)).unwrap();
            while_reading(&memory, OLD, move |memory| {
                memory.write_and_die(OLD, 2, steps);
                memory.slot().write(OLD, &record(3)).unwrap();
            });
            assert_eq!(memory.read(OLD, 0).map(|(_, n)| n), Some(3));
        });
    }
}

#[test]
fn late_writer_never_lands_in_a_reassigned_slot() {
    model(|| {
        let memory = Memory::new();
        memory.slot().write(OLD, &record(1)).unwrap();
        let shared = memory.clone();
        let late = thread::spawn(move || shared.slot().write(OLD, &record(2)));
        let shared = memory.clone();
        let reader = thread::spawn(move || {
            if let Some((_, n)) = shared.read(NEW, 0) {
                assert_eq!(n, 0, "a record of another name");
            }
        });
        memory.slot().give(NEW, || {});
        reader.join().unwrap();
        // In time or not, but never anything else.
        match late.join().unwrap() {
            Ok(version) => assert_eq!(version, 2),
            Err(e) => assert!(matches!(e, WriteError::OtherTag | WriteError::Overtaken)),
        }
        assert_eq!(memory.read(OLD, 0), None);
        assert_eq!(memory.read(NEW, 0).map(|(_, n)| n), Some(0));
        memory.slot().write(NEW, &record(3)).unwrap();
        assert_eq!(memory.read(NEW, 0).map(|(_, n)| n), Some(3));
    });
}

#[test]
fn slot_is_whole_for_its_former_reader_too() {
    model(|| {
        let memory = Memory::new();
        memory.slot().write(OLD, &record(1)).unwrap();
        while_reading(&memory, OLD, |memory| {
            memory.slot().give(NEW, || {});
            memory.slot().write(NEW, &record(5)).unwrap();
            memory.slot().write(NEW, &record(6)).unwrap();
        });
        assert_eq!(memory.read(OLD, 0), None);
        assert_eq!(memory.read(NEW, 0).map(|(_, n)| n), Some(6));
    });
}
