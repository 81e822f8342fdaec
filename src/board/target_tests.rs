//! Target slots: their records and who has them.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::health::PER_ADDR;
use super::layout::TARGETS_USED_AT;
use super::slot::COPY_HEAD;
use super::tests::{SMALL, board, make};
use super::*;
use crate::logic::addr::Addr;
use crate::logic::health::{AddrHealth, Flaw, Layer, Reason, State, TlsFault};

const ID: TargetId = TargetId(1);
pub const KEY: &str = "tcp app.test:8080";

const REASONS: [Option<Reason>; 13] = [
    None,
    Some(Reason::Refused),
    Some(Reason::Reset),
    Some(Reason::Timeout),
    Some(Reason::Unreachable(0)),
    Some(Reason::Unreachable(113)),
    Some(Reason::Unreachable(u16::MAX)),
    Some(Reason::Local(24)),
    Some(Reason::Local(u16::MAX)),
    Some(Reason::Silent(Layer::Tls)),
    Some(Reason::Tls(TlsFault::Closed)),
    Some(Reason::Status(503)),
    Some(Reason::Malformed(Flaw::NotHttp)),
];

/// A record in which no two numbers of an address are the same.
pub fn record(n: u32, addrs: usize) -> TargetRecord {
    let long = |x: u32| u64::from(n) << 40 | u64::from(x);
    let health = |i: usize| {
        let at = n.wrapping_add(100 * i as u32);
        AddrHealth {
            state: [State::Unknown, State::Up, State::Down][i % 3],
            since_ms: long(1),
            reason: REASONS[i % REASONS.len()],
            held_ms: long(2),
            fails: at + 3,
            hard_fails: at + 4,
            first_fail_ms: long(5),
            oks: at + 6,
            ok_total: u32::MAX - at,
            last_ms: long(7),
            last_us: at + 8,
            due_ms: long(9),
            flaps: at + 10,
            flaps_ms: u64::MAX - long(11),
            ..AddrHealth::new(match i % 2 {
                0 => Addr::v4(Ipv4Addr::from_bits(at)),
                _ => Addr::v6(Ipv6Addr::from_bits(u128::MAX - u128::from(at)), at),
            })
        }
    };
    TargetRecord {
        port: u16::MAX - n as u16,
        addrs: (0..addrs).map(health).collect(),
    }
}

#[test]
fn a_record_comes_back_as_it_was_written() {
    let board = board();
    let tag = Tag::new(KEY, 1);
    board.assign_target(ID, tag, KEY);
    for addrs in [0, 1, 8, 9, 27, MAX_ADDRS] {
        let wanted = record(addrs as u32, addrs);
        let version = board.write_target(ID, tag, &wanted).unwrap();
        assert_eq!(board.target_version(ID), version);
        let read = board.read_target(ID, tag).unwrap();
        assert_eq!((read.version, read.record), (version, wanted));
    }
    board
        .write_target(ID, tag, &record(1, MAX_ADDRS + 5))
        .unwrap();
    let read = board.read_target(ID, tag).unwrap();
    assert_eq!(read.record, record(1, MAX_ADDRS), "what is too much is cut");
}

#[test]
fn every_reason_comes_back() {
    let mut reasons = REASONS.to_vec();
    reasons.extend([Layer::Tls, Layer::Http].map(|layer| Some(Reason::Silent(layer))));
    let faults = [
        TlsFault::Closed,
        TlsFault::Reset,
        TlsFault::NotTls,
        TlsFault::Unsupported,
    ];
    let alerts = (0..=u8::MAX).map(TlsFault::Alert);
    let faults = faults.into_iter().chain(alerts);
    reasons.extend(faults.map(|fault| Some(Reason::Tls(fault))));
    reasons.extend((100..=599).map(|status| Some(Reason::Status(status))));
    let flaws = [
        Flaw::Closed,
        Flaw::Reset,
        Flaw::NotHttp,
        Flaw::Version,
        Flaw::Http2,
        Flaw::IsTls,
        Flaw::StatusLine,
        Flaw::HeaderLine,
        Flaw::TooLong,
        Flaw::Interim,
    ];
    reasons.extend(flaws.map(|flaw| Some(Reason::Malformed(flaw))));
    let board = board();
    let tag = Tag::new(KEY, 1);
    board.assign_target(ID, tag, KEY);
    for some in reasons.chunks(MAX_ADDRS) {
        let mut wanted = record(1, some.len());
        for (health, reason) in wanted.addrs.iter_mut().zip(some) {
            health.reason = *reason;
        }
        board.write_target(ID, tag, &wanted).unwrap();
        assert_eq!(board.read_target(ID, tag).unwrap().record, wanted);
    }
}

#[test]
fn a_target_slot_changes_hands() {
    let board = board();
    let (old, new) = (Tag::new(KEY, 1), Tag::new("tcp 192.0.2.1:80", 2));
    assert_eq!(board.read_target(ID, old), None);
    assert_eq!(board.target_owner(ID), None);
    board.assign_target(ID, old, KEY);
    assert_eq!(board.target_owner(ID), Some((old, KEY.to_owned())));
    let empty = board.read_target(ID, old).unwrap();
    assert_eq!(empty.record, TargetRecord::default());
    let version = board.write_target(ID, old, &record(1, 1)).unwrap();

    board.assign_target(ID, new, "tcp 192.0.2.1:80");
    assert!(board.target_version(ID) > version);
    assert_eq!(board.read_target(ID, old), None);
    let empty = board.read_target(ID, new).unwrap();
    assert_eq!(empty.record, TargetRecord::default());
    let late = board.write_target(ID, old, &record(2, 1));
    assert_eq!(late, Err(WriteError::OtherTag));
    board.write_target(ID, new, &record(3, 9)).unwrap();
    board.free_target(ID);
    assert_eq!(board.target_owner(ID), None);
    assert_eq!(board.read_target(ID, new), None);
}

#[test]
fn nothing_of_that_number() {
    let board = board();
    let tag = Tag(7);
    for index in [SMALL.targets, SMALL.workers, u32::MAX] {
        let id = TargetId(index);
        board.assign_target(id, tag, KEY);
        board.free_target(id);
        assert_eq!(board.target_version(id), 0);
        assert_eq!(board.read_target(id, tag), None);
        assert_eq!(board.target_owner(id), None);
        let written = board.write_target(id, tag, &TargetRecord::default());
        assert_eq!(written, Err(WriteError::OutOfRange));
        assert!(!board.kick(id, Kick::Failed));
    }
    assert_eq!(board.targets().count(), 0);
    for id in [WorkerId(SMALL.workers), WorkerId(u32::MAX)] {
        board.assign_worker(id, tag);
        board.keep_until(id, tag, 5);
        assert_eq!(board.kept_until(id, tag), 0);
        board.free_worker(id);
    }
}

#[test]
fn each_damaged_word_of_a_target_is_noticed() {
    let board = board();
    let tag = Tag::new(KEY, 1);
    board.assign_target(ID, tag, KEY);
    let version = board.write_target(ID, tag, &record(1, 20)).unwrap();
    let slot = board.target_region().slot(ID.0).unwrap();
    let copy = &slot.copies[(version & 1) as usize];
    let used = COPY_HEAD + 1 + PER_ADDR * 20;
    for word in copy.near.iter().chain(copy.far).take(used) {
        let good = word.fetch_xor(1 << 17, Ordering::Relaxed);
        let read = board.read_target(ID, tag).map(|read| read.record);
        assert!(read.is_none_or(|record| record == TargetRecord::default()));
        word.store(good, Ordering::Relaxed);
    }
    assert_eq!(board.read_target(ID, tag).unwrap().record, record(1, 20));
}

/// Only one probe kind is known: a record of a later one is not taken for it.
#[test]
fn words_that_are_no_record_of_a_target() {
    let board = board();
    let tag = Tag::new(KEY, 1);
    board.assign_target(ID, tag, KEY);
    let slot = board.target_region().slot(ID.0).unwrap();
    let mut good = [0; 1 + PER_ADDR];
    good[0] = 1 << 16 | 80;
    good[3] = 4 << 32;
    let read = |words: &[u64]| {
        slot.write(tag.0, words).unwrap();
        board.read_target(ID, tag)
    };
    assert!(read(&good).is_some());
    assert!(read(&good[..PER_ADDR]).is_none(), "too short");
    assert!(read(&[]).is_none());
    // State, reason and error number lie in word 4.
    for (at, wrong) in [
        (0, 1 << 48 | 1 << 16),
        (0, 1 << 32 | 1 << 16),
        (0, 2 << 16),
        (0, 0),
        (3, 5 << 32),
        (4, 3 << 32),
        (4, 1 << 16 | 111),
        (4, 6 << 16 | 2),
        (4, 7 << 16 | 4),
        (4, 7 << 16 | 255),
        (4, 7 << 16 | 512),
        (4, 9 << 16 | 10),
        (4, 9 << 16 | 0xffff),
        (4, 10 << 16),
        (4, 111),
    ] {
        let mut words = good;
        words[at] = wrong;
        assert!(read(&words).is_none(), "word {at} = {wrong:#x}");
    }
}

#[test]
fn all_targets_for_inheritance() {
    let board = make(Capacity {
        targets: 200,
        ..SMALL
    });
    let tag = |index: u32| Tag::new(KEY, u64::from(index));
    for index in [3, 5, 9, 150] {
        board.assign_target(TargetId(index), tag(index), KEY);
    }
    for index in [3, 5, 9] {
        let written = board.write_target(TargetId(index), tag(index), &record(index, 2));
        written.unwrap();
    }
    board.free_target(TargetId(5));
    let seen: Vec<_> = board.targets().collect();
    let expected = [3, 9].map(|n| (TargetId(n), tag(n), record(n, 2)));
    assert_eq!(seen[..2], expected);
    let last = (TargetId(150), tag(150), TargetRecord::default());
    assert_eq!(seen[2..], [last]);
    // The mark is what ends the search, and a wild one reaches no further than the slots.
    for (used, count) in [(0, 0), (9, 1), (10, 2), (u64::MAX, 3), (1 << 32, 3)] {
        board.words[TARGETS_USED_AT].store(used, Ordering::Relaxed);
        assert_eq!(board.targets().count(), count, "{used} used");
    }
}
