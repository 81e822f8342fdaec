//! Wild words in the shared memory: a child may have written anything there.

use std::sync::atomic::Ordering;

use super::health::{PER_ADDR, TARGET_WORDS};
use super::layout::{
    CHILDREN_AT, LATE_AT, LAYOUT, LAYOUT_AT, MAGIC, MAGIC_AT, NAMES_AT, SEATS_AT, SLOT_VERSION,
    TARGETS_AT, WORKERS_AT,
};
use super::record::HEAD;
use super::tests::{SMALL, board};
use super::*;
use crate::logic::event::Event;

/// Wild words everywhere, with and without a plausible head, never make a reader
/// panic; what it reads, if anything, keeps the limits.
#[test]
fn wild_bytes() {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let board = board();
    let (mut opened, mut known, mut targets) = (0, 0, 0);
    for round in 0..3000 {
        // Small values as well: they pass for lengths and tags.
        let mask = if round % 2 == 0 { u64::MAX } else { 0x1ff };
        for word in &board.words[SEATS_AT..] {
            word.store(random() & mask, Ordering::Relaxed);
        }
        for word in &board.words[..SEATS_AT] {
            word.store(random(), Ordering::Relaxed);
        }
        if round % 3 == 0 {
            claim(&board, random());
        }
        if let Some(other) = Board::open(board.words) {
            assert!(other.layout.total <= board.words.len());
            opened += 1;
        }
        board.leader();
        board.announce_epoch(board.epoch().wrapping_add(1), 1);
        board.bump_generation();
        for (index, pid, _) in board.children() {
            assert!(index < SMALL.children as usize && pid != 0);
            board.clear_seat(index, pid);
        }
        for id in (0..SMALL.names).map(NameId) {
            known += usize::from(wild_slot(&board, id, random()));
        }
        wild_flags(&board, random());
        for id in (0..SMALL.targets).map(TargetId) {
            targets += usize::from(wild_target(&board, id, random()));
        }
    }
    assert!((100..2900).contains(&opened), "{opened} plausible heads");
    for (n, what) in [(known, "names"), (targets, "targets")] {
        assert!(n > 2000, "{n}: wild records of {what} are never plausible");
    }
}

/// A head that is right but for its capacities.
fn claim(board: &Board, random: u64) {
    for (at, value) in [
        (MAGIC_AT, MAGIC),
        (LAYOUT_AT, LAYOUT),
        (NAMES_AT, random & 7),
        (TARGETS_AT, random >> 3 & 3),
        (WORKERS_AT, random >> 5 & 7),
        (CHILDREN_AT, random >> 8 & 7),
        (LATE_AT, random >> 11 & 3),
    ] {
        board.words[at].store(value, Ordering::Relaxed);
    }
}

/// Wild marks of targets in use, kicks and worker slots.
fn wild_flags(board: &Board, salt: u64) {
    let most = SMALL.targets as usize;
    for kick in [Kick::Failed, Kick::Silent] {
        board.kick(TargetId(salt as u32), kick);
        assert!(board.take_kicks(kick).iter().all(|id| id.0 < SMALL.targets));
    }
    assert!(board.targets().count() <= most);
    for id in [WorkerId(0), WorkerId(salt as u32)] {
        board.keep_until(id, Tag(salt & 0x1ff), salt);
        board.kept_until(id, Tag(salt & 0x1ff));
        wild_rescues(board, id, salt);
        board.known(id, Tag(salt & 0x1ff));
    }
    assert!(board.events().len() <= 256);
    board.note(&Event::of_module("x", "y"), salt);
}

/// Wild counts of rescues, requests under way, and budget.
fn wild_rescues(board: &Board, id: WorkerId, salt: u64) {
    let tag = Tag(salt & 0x1ff);
    board.count_rescue(id, tag, RescueCount::Failed, salt);
    if let (Some(counted), Some(told)) = (board.rescues(id, tag), board.told(id, tag)) {
        board.tell(id, tag, counted.since(&told));
    }
    let running = board.running();
    assert!(running <= u64::from(SMALL.children) * 65_536);
    let now = salt >> 32;
    // Whatever the budget says, it is open again within seconds.
    let open = (now..now + 5).any(|now| board.spend_rescue(now, running));
    assert!(open);
}

/// Reads a slot of wild words, and again with a right checksum over wild contents.
/// Says whether a record came out.
fn wild_slot(board: &Board, id: NameId, salt: u64) -> bool {
    let (tag, name) = board.owner(id).unwrap_or((Tag(1), String::new()));
    // Each wild byte becomes at most one replacement character.
    assert!(name.chars().count() <= 255);
    board.read(id, tag);
    let slot = board.name_region().slot(id.0).unwrap();
    let mut wild = [0; RECORD_WORDS];
    for (to, word) in wild.iter_mut().zip(&board.words[SEATS_AT..]) {
        *to = word.load(Ordering::Relaxed) ^ salt;
    }
    let addrs = salt as usize % (MAX_ADDRS + 2);
    wild[0] = (addrs as u64) << 40 | (salt >> 8 & 3) << 32;
    for (i, addr) in wild[HEAD..].chunks_mut(3).enumerate() {
        addr[2] = addr[2] & 0xffff_ffff | if i as u64 == salt >> 50 { 5 } else { 6 } << 32;
    }
    let len = (HEAD + 3 * addrs).min(RECORD_WORDS);
    slot.write(slot.tag.load(Ordering::Relaxed), &wild[..len])
        .unwrap();
    let read = board.read(id, tag);
    if let Some(read) = &read {
        assert_eq!(
            read.version,
            board.name_region().near(id.0).unwrap()[SLOT_VERSION].load(Ordering::Relaxed)
        );
        assert!(read.record.addrs.len() <= MAX_ADDRS);
    }
    read.is_some_and(|read| !read.record.addrs.is_empty())
}

/// As [`wild_slot`], for a target.
fn wild_target(board: &Board, id: TargetId, salt: u64) -> bool {
    let (tag, key) = board.target_owner(id).unwrap_or((Tag(1), String::new()));
    assert!(key.chars().count() <= 255);
    board.read_target(id, tag);
    let slot = board.target_region().slot(id.0).unwrap();
    let mut wild = [0; TARGET_WORDS];
    for (to, word) in wild.iter_mut().zip(&board.words[SEATS_AT..]) {
        *to = word.load(Ordering::Relaxed) ^ salt;
    }
    let addrs = salt as usize % (MAX_ADDRS + 2);
    wild[0] = (addrs as u64) << 16 | salt >> 48;
    // Plausible, but for at most one address with a state or a reason that does not exist.
    for (i, addr) in wild[1..].chunks_mut(PER_ADDR).enumerate() {
        let odd = u64::from(i as u64 == salt >> 40 & 0xff);
        addr[2] = addr[2] & 0xffff_ffff | 6 << 32;
        addr[3] = (addr[3] % 3 + odd * (salt & 4)) << 32 | (3 + odd * (salt >> 3 & 3)) << 16;
    }
    let len = (1 + PER_ADDR * addrs).min(TARGET_WORDS);
    slot.write(slot.tag.load(Ordering::Relaxed), &wild[..len])
        .unwrap();
    let read = board.read_target(id, tag);
    if let Some(read) = &read {
        assert_eq!(read.version, board.target_version(id));
        assert!(read.record.addrs.len() <= MAX_ADDRS);
    }
    read.is_some_and(|read| !read.record.addrs.is_empty())
}
