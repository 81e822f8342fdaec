//! The board in one process: all calls and their limits.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};

use super::layout::{
    CHILDREN_AT, LAYOUT_AT, MAGIC_AT, NAMES_AT, SLOT_VERSION, TARGETS_AT, WORKERS_AT,
};
use super::*;
use crate::logic::addr::Addr;

pub const SMALL: Capacity = Capacity {
    names: 4,
    targets: 3,
    workers: 5,
    children: 3,
    late: 0,
};
const ID: NameId = NameId(1);

/// Zeroed words that live for ever, as a mapping does.
pub fn words(n: usize) -> &'static [AtomicU64] {
    Box::leak((0..n).map(|_| AtomicU64::new(0)).collect())
}

pub fn make(capacity: Capacity) -> Board {
    Board::format(words(Board::words_needed(capacity)), capacity).unwrap()
}

pub fn board() -> Board {
    make(SMALL)
}

pub fn record(n: u32, addrs: usize) -> NameRecord {
    let addr = |i: usize| match i % 3 {
        0 => Addr::v4(Ipv4Addr::from_bits(n + i as u32)),
        1 => Addr::v6(Ipv6Addr::from_bits(u128::MAX - u128::from(n)), 0),
        _ => Addr::v6("fe80::1".parse().unwrap(), n),
    };
    let family = |error| FamilyState {
        good_ms: u64::from(n) + 1,
        failing_since_ms: u64::MAX,
        failures: n,
        retry_ms: 3,
        error,
        error_ms: 4,
    };
    NameRecord {
        addrs: (0..addrs).map(addr).collect(),
        v4: family(1),
        v6: family(u32::MAX),
        ttl_s: n,
        expires_ms: 1 << 40,
        source: Source::Dns,
        asked_ms: 5,
        server: Some(match n % 2 {
            0 => "192.0.2.1:53".parse().unwrap(),
            _ => "[fe80::1%3]:5353".parse().unwrap(),
        }),
    }
}

#[test]
fn format_and_open_agree() {
    let words = words(Board::words_needed(SMALL) + 1);
    assert!(Board::open(words).is_none(), "not formatted yet");
    assert!(Board::format(&words[..words.len() - 2], SMALL).is_none());
    let made = Board::format(words, SMALL).unwrap();
    let tag = Tag::new("a.test", 1);
    made.assign(ID, tag, "a.test");
    made.write(ID, tag, &record(1, 2)).unwrap();
    let opened = Board::open(words).unwrap();
    assert_eq!(opened.layout.capacity, SMALL);
    assert_eq!(opened.read(ID, tag).unwrap().record, record(1, 2));
    assert!(
        Board::open(&words[..words.len() - 2]).is_none(),
        "too short"
    );
    assert!(Board::open(&[]).is_none());
}

#[test]
fn open_refuses_other_layouts() {
    for (at, wrong) in [
        (MAGIC_AT, 1),
        (LAYOUT_AT, LAYOUT + 1),
        (NAMES_AT, u64::from(SMALL.names) + 1),
        (TARGETS_AT, u64::from(SMALL.targets) + 1),
        (TARGETS_AT, u32::MAX.into()),
        (WORKERS_AT, u64::MAX),
        (WORKERS_AT, u32::MAX.into()),
        (NAMES_AT, u64::MAX),
        (NAMES_AT, u32::MAX.into()),
        (CHILDREN_AT, u32::MAX.into()),
        (CHILDREN_AT, 1 << 32),
    ] {
        let words = words(Board::words_needed(SMALL));
        Board::format(words, SMALL).unwrap();
        words[at].store(wrong, Ordering::Relaxed);
        assert!(Board::open(words).is_none(), "word {at} = {wrong}");
    }
}

#[test]
fn a_record_comes_back_as_it_was_written() {
    let board = board();
    let tag = Tag::new("a.test", 1);
    board.assign(ID, tag, "a.test");
    for source in [Source::None, Source::Dns, Source::Hosts] {
        for addrs in [0, 1, 10, 11, 12, MAX_ADDRS] {
            let wanted = NameRecord {
                source,
                ..record(addrs as u32, addrs)
            };
            let version = board.write(ID, tag, &wanted).unwrap();
            assert_eq!(board.version(ID), version);
            let read = board.read(ID, tag).unwrap();
            assert_eq!((read.version, read.record), (version, wanted));
        }
    }
}

#[test]
fn too_many_addresses_are_cut() {
    let board = board();
    let tag = Tag::new("a.test", 1);
    board.assign(ID, tag, "a.test");
    board.write(ID, tag, &record(1, MAX_ADDRS + 50)).unwrap();
    assert_eq!(board.read(ID, tag).unwrap().record, record(1, MAX_ADDRS));
}

#[test]
fn a_slot_changes_hands() {
    let board = board();
    let (old, new) = (Tag::new("a.test", 1), Tag::new("b.test", 2));
    assert_eq!(board.read(ID, old), None);
    assert_eq!(board.owner(ID), None);
    board.assign(ID, old, "a.test");
    let empty = board.read(ID, old).unwrap();
    assert_eq!(empty.record, NameRecord::default());
    let version = board.write(ID, old, &record(1, 1)).unwrap();
    assert!(version > empty.version);

    board.assign(ID, new, "b.test");
    assert!(board.version(ID) > version);
    assert_eq!(board.owner(ID), Some((new, "b.test".to_owned())));
    assert_eq!(board.read(ID, old), None);
    assert_eq!(board.read(ID, new).unwrap().record, NameRecord::default());
    let late = board.write(ID, old, &record(2, 1));
    assert_eq!(late, Err(WriteError::OtherTag));
    board.write(ID, new, &record(3, 1)).unwrap();
    assert_eq!(board.read(ID, new).unwrap().record, record(3, 1));

    let version = board.version(ID);
    board.free(ID);
    assert_ne!(board.version(ID), version);
    assert_eq!(board.owner(ID), None);
    assert_eq!(board.read(ID, new), None);
    assert_eq!(
        board.write(ID, new, &record(4, 1)),
        Err(WriteError::OtherTag)
    );
}

#[test]
fn slots_do_not_touch_each_other() {
    let board = board();
    let ids: Vec<_> = (0..SMALL.names)
        .map(|n| (NameId(n), Tag(u64::from(n) + 1)))
        .collect();
    for (id, tag) in &ids {
        board.assign(*id, *tag, &"x".repeat(300));
    }
    let seats: Vec<_> = (1..=SMALL.children)
        .filter_map(|pid| board.join(pid, 1))
        .collect();
    for round in 0..2 {
        for (id, tag) in &ids {
            board
                .write(*id, *tag, &record(round + id.0, MAX_ADDRS))
                .unwrap();
        }
    }
    for (id, tag) in &ids {
        let read = board.read(*id, *tag).unwrap();
        assert_eq!(read.record, record(1 + id.0, MAX_ADDRS));
        assert_eq!(board.owner(*id), Some((*tag, "x".repeat(255))));
    }
    assert_eq!(seats.len(), 3);
    assert_eq!(board.children().count(), 3);
    let opened = Board::open(board.words).unwrap();
    assert_eq!(opened.layout.capacity, SMALL);
}

#[test]
fn no_slot_of_that_number() {
    let board = board();
    for id in [NameId(SMALL.names), NameId(u32::MAX)] {
        board.assign(id, Tag(7), "a.test");
        board.free(id);
        assert_eq!(board.version(id), 0);
        assert_eq!(board.read(id, Tag(7)), None);
        assert_eq!(board.owner(id), None);
        let written = board.write(id, Tag(7), &NameRecord::default());
        assert_eq!(written, Err(WriteError::OutOfRange));
    }
}

#[test]
fn a_writer_that_died_half_way_is_not_seen() {
    let board = board();
    let tag = Tag::new("a.test", 1);
    board.assign(ID, tag, "a.test");
    let version = board.write(ID, tag, &record(1, MAX_ADDRS)).unwrap();
    // What a writer leaves that died before it published.
    let spare = &board.name_region().slot(ID.0).unwrap().copies[(version & 1 ^ 1) as usize];
    for word in spare.near.iter().chain(spare.far) {
        word.store(u64::MAX, Ordering::Relaxed);
    }
    assert_eq!(board.read(ID, tag).unwrap().record, record(1, MAX_ADDRS));
    board.write(ID, tag, &record(2, 1)).unwrap();
    assert_eq!(board.read(ID, tag).unwrap().record, record(2, 1));
}

#[test]
fn each_damaged_word_of_a_record_is_noticed() {
    let board = board();
    let tag = Tag::new("a.test", 1);
    board.assign(ID, tag, "a.test");
    let version = board.write(ID, tag, &record(1, 20)).unwrap();
    let copy = &board.name_region().slot(ID.0).unwrap().copies[(version & 1) as usize];
    let used = slot::COPY_HEAD + 10 + 3 * 20;
    for word in copy.near.iter().chain(copy.far).take(used) {
        let good = word.fetch_xor(1 << 17, Ordering::Relaxed);
        let read = board.read(ID, tag).map(|read| read.record);
        assert!(read.is_none_or(|record| record == NameRecord::default()));
        word.store(good, Ordering::Relaxed);
    }
    assert_eq!(board.read(ID, tag).unwrap().record, record(1, 20));
}

#[test]
fn numbers_wrap() {
    let board = board();
    assert_eq!((board.generation(), board.epoch()), (0, 0));
    assert_eq!(board.bump_generation(), 1);
    board
        .generation_word()
        .store(u64::from(u32::MAX), Ordering::Relaxed);
    assert_eq!(board.bump_generation(), 0);
    assert_eq!(board.generation(), 0);
    assert_eq!(board.bump_generation(), 1);
    board.announce_epoch(1, 1);
    assert_eq!(board.epoch(), 1);
    assert_eq!(board.epoch(), 1);

    let tag = Tag::new("a.test", 1);
    board.assign(ID, tag, "a.test");
    board.name_region().near(ID.0).unwrap()[SLOT_VERSION].store(u64::MAX, Ordering::Relaxed);
    assert_eq!(board.write(ID, tag, &record(1, 1)), Ok(0));
    assert_eq!(board.read(ID, tag).unwrap().record, record(1, 1));
}

#[test]
fn leader_comes_and_goes() {
    let board = board();
    assert_eq!(board.leader(), Leader::default());
    board.set_leader(10, 1000);
    board.heartbeat(1500);
    let leader = Leader {
        pid: 10,
        since_ms: 1000,
        heartbeat_ms: 1500,
    };
    assert_eq!(board.leader(), leader);
    board.clear_leader(9);
    assert_eq!(board.leader(), leader);
    board.set_leader(11, 2000);
    board.clear_leader(10);
    assert_eq!(board.leader().pid, 11);
    board.clear_leader(11);
    assert_eq!(board.leader().pid, 0);
}

#[test]
fn counters_and_tickets() {
    let board = board();
    for (n, counter) in (1..).zip(Counter::ALL) {
        board.add(counter, n);
        board.add(counter, 10);
    }
    for (n, counter) in (1..).zip(Counter::ALL) {
        assert_eq!(board.get(counter), n + 10);
    }
    assert_eq!([board.ticket(), board.ticket(), board.ticket()], [0, 1, 2]);
}

#[test]
fn seats() {
    let board = board();
    assert!(board.join(0, 1).is_none());
    let first = board.join(100, 1).unwrap();
    let second = board.join(200, 2).unwrap();
    let third = board.join(300, u64::MAX).unwrap();
    assert_eq!((second.index(), second.pid()), (1, 200));
    assert!(board.join(400, 2).is_none(), "all seats are taken");
    let living = board.living();
    assert!(living.any_of(1, 1) && living.any_of(2, 2) && !living.any_of(3, 9));
    let children: Vec<_> = board.children().collect();
    let high = u64::from(u32::MAX);
    assert_eq!(children, [(0, 100, 1), (1, 200, 2), (2, 300, high)]);

    second.leave();
    let fourth = board.join(400, 2).unwrap();
    assert_eq!(fourth.index(), 1);
    board.clear_seat(1, 200);
    assert_eq!(board.children().count(), 3, "the seat has another owner");
    board.clear_seat(0, 100);
    board.clear_seat(99, 100);
    assert_eq!(board.children().count(), 2);
    // A seat that its owner lost is not freed under the next one.
    let fifth = board.join(500, 3).unwrap();
    assert_eq!(fifth.index(), 0);
    first.leave();
    assert_eq!(board.children().next(), Some((0, 500, 3)));
    // A killed child's pid comes again.
    let again = board.join(300, 4).unwrap();
    assert_eq!(again.index(), third.index());
    assert_eq!(board.children().last(), Some((2, 300, 4)));
}

#[test]
fn seats_are_taken_once() {
    let board = make(Capacity {
        children: 8,
        ..Capacity::default()
    });
    std::thread::scope(|scope| {
        for thread in 0..4_u32 {
            scope.spawn(move || {
                for round in 0..2000 {
                    let pid = 1 + thread * 10_000 + round;
                    let seat = board.join(pid, 1).expect("twice as many seats as children");
                    let here = board.children().filter(|(_, owner, _)| *owner == pid);
                    assert_eq!(here.count(), 1);
                    seat.leave();
                }
            });
        }
    });
    assert_eq!(board.children().count(), 0);
}

#[test]
fn tags_differ() {
    let mut seen = std::collections::HashSet::new();
    for epoch in 0..50 {
        for name in 0..200 {
            assert!(seen.insert(Tag::new(&format!("app{name}.test"), epoch)));
        }
    }
    assert!(!seen.contains(&Tag(0)));
    assert_ne!(Tag::new("", 1), Tag::new("\0", 1));
    assert_eq!(Tag::new("a.test", 1), Tag::new("a.test", 1));
}
