//! The ledger, and ledger and board together through reloads.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::tests::make;
use super::*;
use crate::logic::epochs::Living;

fn ledger(capacity: u32) -> Ledger {
    Ledger::new(capacity)
}

fn living<const N: usize>(epochs: [u64; N]) -> Living {
    Living::from_iter(epochs)
}

fn ids(plan: &Plan) -> Vec<u32> {
    plan.slots.iter().map(|(id, _)| id.0).collect()
}

#[test]
fn names_keep_their_slots() {
    let mut ledger = ledger(8);
    let first = ledger
        .plan(1, &["a", "b", "c"], &Living::default())
        .unwrap();
    assert_eq!(ids(&first), [0, 1, 2]);
    assert_eq!(first.assigned.len(), 3);
    assert_eq!(
        first.assigned[1],
        (NameId(1), Tag::new("b", 1), "b".to_owned())
    );
    assert!(first.freed.is_empty());
    let second = ledger.plan(2, &["d", "c", "a"], &living([1])).unwrap();
    assert_eq!(ids(&second), [3, 2, 0]);
    assert_eq!(second.slots[1], first.slots[2]);
    assert_eq!(
        second.assigned,
        [(NameId(3), Tag::new("d", 2), "d".to_owned())]
    );
    assert!(second.freed.is_empty(), "children of epoch 1 may use b");
    assert_eq!(ledger.len(), 4);
}

#[test]
fn a_slot_is_freed_only_when_nobody_can_use_it() {
    // Epochs 2 and 3 want "a", others do not: (epoch, those of the children alive, freed).
    let cases: [(u64, &[u64], bool); 9] = [
        (4, &[], false),
        (4, &[4], false),
        (5, &[], true),
        (5, &[4], true),
        (5, &[3], false),
        (5, &[2, 4], false),
        (9, &[1, 3, 9], false),
        // One that is older never knew it.
        (9, &[1, 9], true),
        (9, &[9], true),
    ];
    for (epoch, alive, freed) in cases {
        let mut ledger = ledger(8);
        ledger.plan(2, &["a", "b"], &Living::default()).unwrap();
        ledger.plan(3, &["a", "b"], &living([2])).unwrap();
        let alive = Living::from_iter(alive.iter().copied());
        let plan = ledger.plan(epoch, &["b"], &alive).unwrap();
        let expected: &[NameId] = if freed { &[NameId(0)] } else { &[] };
        assert_eq!(plan.freed, expected, "epoch {epoch}, {alive:?}");
        assert_eq!(ledger.len(), if freed { 1 } else { 2 });
    }
}

#[test]
fn a_freed_slot_is_used_again_with_another_tag() {
    let mut ledger = ledger(2);
    let first = ledger.plan(1, &["a", "b"], &Living::default()).unwrap();
    ledger.plan(2, &["b"], &living([1])).unwrap();
    let third = ledger.plan(3, &["b", "a"], &living([3])).unwrap();
    assert_eq!(third.freed, [], "wanted again before anybody took it");
    assert_eq!(third.slots[1], first.slots[0]);
    ledger.plan(4, &["b"], &living([4])).unwrap();
    ledger.plan(5, &["b"], &living([5])).unwrap();
    let sixth = ledger.plan(6, &["b", "a"], &living([6])).unwrap();
    assert_eq!(ids(&sixth), [1, 0]);
    assert_ne!(sixth.slots[1].1, first.slots[0].1);
}

#[test]
fn a_full_book_is_unchanged() {
    let mut ledger = ledger(3);
    ledger.plan(1, &["a", "b"], &Living::default()).unwrap();
    let before = format!("{ledger:?}");
    let full = ledger
        .plan(2, &["c", "d", "c", "e"], &living([1]))
        .unwrap_err();
    assert_eq!((full.needed, full.capacity), (5, 3));
    assert_eq!(
        full.to_string(),
        "5 names are needed at once, but there is room for 3"
    );
    assert_eq!(format!("{ledger:?}"), before);
    // The same when slots would have been freed.
    let full = ledger
        .plan(7, &["c", "d", "e", "f"], &Living::default())
        .unwrap_err();
    assert_eq!(full.needed, 4);
    assert_eq!(format!("{ledger:?}"), before);
    assert_eq!(ids(&ledger.plan(2, &["c"], &living([1])).unwrap()), [2]);
}

#[test]
fn empty_and_repeated_names() {
    let mut ledger = ledger(1);
    assert!(ledger.is_empty());
    assert_eq!(ledger.plan(1, &[], &Living::default()), Ok(Plan::default()));
    let plan = ledger.plan(2, &["a", "a"], &Living::default()).unwrap();
    assert_eq!((ids(&plan), plan.assigned.len()), (vec![0, 0], 1));
    assert_eq!(
        self::ledger(0)
            .plan(1, &["a"], &Living::default())
            .unwrap_err()
            .needed,
        1
    );
}

/// The names of an epoch: the set grows and shrinks, some stay for ever.
fn names(epoch: u64) -> Vec<String> {
    let size = [3, 9, 1, 12, 5, 0, 7][epoch as usize % 7];
    let moving = (0..size).map(|i| format!("n{}.test", (epoch * 5 + i) % 40));
    let mut names: Vec<_> = ["stays1.test".to_owned(), "stays2.test".to_owned()]
        .into_iter()
        .chain(moving)
        .collect();
    names.dedup();
    names
}

/// A record that says for whom and when it was written.
fn mark(name: &str, n: u64) -> NameRecord {
    NameRecord {
        expires_ms: n,
        v4: FamilyState {
            good_ms: Tag::new(name, 0).0,
            ..FamilyState::default()
        },
        ..NameRecord::default()
    }
}

fn belongs_to(record: &NameRecord, name: &str) -> bool {
    *record == NameRecord::default() || *record == mark(name, record.expires_ms)
}

fn small_board(names: u32, children: u32) -> Board {
    make(Capacity {
        names,
        targets: names,
        workers: names,
        children,
        late: 0,
    })
}

/// The names of each epoch and their slots.
type Views = HashMap<u64, Vec<(String, (NameId, Tag))>>;

/// 200 reloads. Children of the two epochs before live on, read, and write late.
#[test]
fn reloads_shrink_and_grow() {
    let board = small_board(64, 4);
    let mut ledger = ledger(64);
    let mut seats = std::collections::VecDeque::new();
    let mut views = Views::new();
    let mut freed = 0;
    for epoch in 1..=200 {
        board.announce_epoch(epoch, 1);
        let names = names(epoch);
        let wanted: Vec<&str> = names.iter().map(String::as_str).collect();
        let plan = ledger.plan(epoch, &wanted, &board.living()).unwrap();
        board.apply(&plan);
        freed += plan.freed.len();
        let before = views.insert(epoch, names.into_iter().zip(plan.slots).collect());
        assert!(before.is_none());
        seats.push_back(board.join(epoch as u32, epoch).unwrap());
        if seats.len() > 3 {
            seats.pop_front().unwrap().leave();
        }
        check_epoch(&board, &views, epoch);
    }
    assert!(freed > 100, "{freed} slots freed");
    assert!(ledger.len() <= 40);
}

fn check_epoch(board: &Board, views: &Views, epoch: u64) {
    for (name, (id, tag)) in &views[&epoch] {
        let read = board.read(*id, *tag).expect("a slot of the newest epoch");
        assert!(belongs_to(&read.record, name));
        if name.starts_with("stays") && epoch > 1 {
            assert_eq!(read.record.expires_ms, epoch - 1, "survives the reload");
        }
        board.write(*id, *tag, &mark(name, epoch)).unwrap();
    }
    // Epochs whose children live still find all their names.
    for old in epoch.saturating_sub(2).max(1)..epoch {
        for (name, (id, tag)) in &views[&old] {
            let read = board.read(*id, *tag).expect("a slot of a living child");
            assert!(belongs_to(&read.record, name));
        }
    }
    // Much older writers come late: they find their name or nothing.
    for old in 1..epoch.saturating_sub(4) {
        for (name, (id, tag)) in &views[&old] {
            let owner = board.owner(*id).is_some_and(|(now, _)| now == *tag);
            let newest = board
                .read(*id, *tag)
                .map_or(0, |read| read.record.expires_ms);
            let late = board.write(*id, *tag, &mark(name, newest));
            assert_eq!(late.is_ok(), owner);
        }
    }
    for (name, (id, tag)) in &views[&epoch] {
        assert_eq!(board.read(*id, *tag).unwrap().record, mark(name, epoch));
    }
}

/// A leader of an old epoch writes all the time while the parent reassigns its
/// slot and readers of both names look.
#[test]
fn a_late_writer_at_full_speed() {
    let board = small_board(1, 1);
    let id = NameId(0);
    let tags: Vec<_> = (0..400).map(|epoch| Tag::new("x", epoch)).collect();
    let current = AtomicU64::new(0);
    let done = AtomicBool::new(false);
    board.assign(id, tags[0], "x");
    let name = |epoch: usize| format!("name{epoch}");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut n = 0;
            // Reads the epoch now and then: in between it is late.
            while !done.load(Ordering::Relaxed) {
                let epoch = current.load(Ordering::Relaxed) as usize;
                for _ in 0..50 {
                    n += 1;
                    let _ = board.write(id, tags[epoch], &mark(&name(epoch), n));
                }
            }
        });
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let now = current.load(Ordering::Relaxed) as usize;
                for epoch in [now.saturating_sub(1), now] {
                    if let Some(read) = board.read(id, tags[epoch]) {
                        assert!(belongs_to(&read.record, &name(epoch)));
                    }
                }
            }
        });
        for (epoch, tag) in tags.iter().enumerate().skip(1) {
            board.assign(id, *tag, &name(epoch));
            let read = board.read(id, *tag);
            assert!(read.is_none_or(|read| read.record == NameRecord::default()));
            assert_eq!(board.owner(id), Some((*tag, name(epoch))));
            current.store(epoch as u64, Ordering::Relaxed);
            std::thread::sleep(std::time::Duration::from_micros(500));
        }
        done.store(true, Ordering::Relaxed);
    });
    let last = tags.len() - 1;
    board.write(id, tags[last], &mark(&name(last), 1)).unwrap();
    let read = board.read(id, tags[last]).unwrap();
    assert_eq!(read.record, mark(&name(last), 1));
}
