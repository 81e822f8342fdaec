//! Wild words in the shared memory: a child may have written anything there.

use std::sync::atomic::Ordering;

use super::layout::{SEATS_AT, SLOT_VERSION};
use super::tests::{CHILDREN, NAMES, board};
use super::*;

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
    let mut known = 0;
    for round in 0..3000 {
        // Small values as well: they pass for lengths and tags.
        let mask = if round % 2 == 0 { u64::MAX } else { 0x1ff };
        for word in &board.words[SEATS_AT..] {
            word.store(random() & mask, Ordering::Relaxed);
        }
        for at in 0..SEATS_AT {
            let keep = round % 3 == 0 && at < 4;
            board.words[at].store(if keep { 5 } else { random() }, Ordering::Relaxed);
        }
        if let Some(other) = Board::open(board.words) {
            assert!(other.layout.total() <= board.words.len());
        }
        board.leader();
        board.announce_epoch(board.epoch().wrapping_add(1));
        board.bump_generation();
        for (index, pid, _) in board.children() {
            assert!(index < CHILDREN as usize && pid != 0);
            board.clear_seat(index, pid);
        }
        for id in (0..NAMES).map(NameId) {
            known += usize::from(wild_slot(&board, id, random()));
        }
    }
    assert!(
        known > 3000,
        "{known}: the wild records are never plausible"
    );
}

/// Reads a slot of wild words, and again with a right checksum over wild contents.
/// Says whether a record came out.
fn wild_slot(board: &Board, id: NameId, salt: u64) -> bool {
    let (tag, name) = board.owner(id).unwrap_or((Tag(1), String::new()));
    // Each wild byte becomes at most one replacement character.
    assert!(name.chars().count() <= 255);
    board.read(id, tag);
    let slot = board.slot(id).unwrap();
    let mut wild = [0; RECORD_WORDS];
    for (to, word) in wild.iter_mut().zip(&board.words[SEATS_AT..]) {
        *to = word.load(Ordering::Relaxed) ^ salt;
    }
    let addrs = salt as usize % (MAX_ADDRS + 2);
    wild[0] = (addrs as u64) << 40 | (salt >> 8 & 3) << 32;
    for (i, addr) in wild[10..].chunks_mut(3).enumerate() {
        addr[2] = addr[2] & 0xffff_ffff | if i as u64 == salt >> 50 { 5 } else { 6 } << 32;
    }
    let len = (10 + 3 * addrs).min(RECORD_WORDS);
    slot.write(slot.tag.load(Ordering::Relaxed), &wild[..len])
        .unwrap();
    let read = board.read(id, tag);
    if let Some(read) = &read {
        assert_eq!(
            read.version,
            board.near(id).unwrap()[SLOT_VERSION].load(Ordering::Relaxed)
        );
        assert!(read.record.addrs.len() <= MAX_ADDRS);
    }
    read.is_some_and(|read| !read.record.addrs.is_empty())
}
