//! Slots that the leader gives away at run time.

use std::sync::atomic::Ordering;

use super::layout::{NAMES_LATE_AT, TARGETS_LATE_AT, WORKERS_LATE_AT};
use super::target_tests::{KEY, record};
use super::tests::{SMALL, make, record as name_record};
use super::*;

fn board() -> Board {
    make(Capacity { late: 3, ..SMALL })
}

fn tag(n: u64) -> Tag {
    Tag::new("added.test", n)
}

#[test]
fn claimed_once_and_found_by_others() {
    let board = board();
    assert_eq!(board.find_late::<NameId>(tag(1)), None);
    let first = board.claim_late::<NameId>(tag(1), "added.test").unwrap();
    let second = board.claim_late::<NameId>(tag(2), "other.test").unwrap();
    // Behind the parent's own.
    assert_eq!((first.0, second.0), (SMALL.names, SMALL.names + 1));
    assert_eq!(
        board.claim_late::<NameId>(tag(1), "added.test"),
        Some(first)
    );
    let other = Board::open(board.words).unwrap();
    assert_eq!(other.find_late::<NameId>(tag(2)), Some(second));
    assert_eq!(other.owner(second), Some((tag(2), "other.test".into())));
    other.write(second, tag(2), &name_record(7, 2)).unwrap();
    assert_eq!(
        board.read(second, tag(2)).unwrap().record,
        name_record(7, 2)
    );
}

#[test]
fn the_kinds_have_slots_of_their_own() {
    let board = board();
    let name: NameId = board.claim_late(tag(1), "added.test").unwrap();
    let target: TargetId = board.claim_late(tag(1), KEY).unwrap();
    let worker: WorkerId = board.claim_late(tag(1), "").unwrap();
    assert_eq!(name.0, SMALL.names);
    assert_eq!((target.0, worker.0), (SMALL.targets, SMALL.workers));
    assert_eq!(board.count_fail(worker, tag(1)), 1);
    board.write_target(target, tag(1), &record(1, 1)).unwrap();
    let all: Vec<_> = board.targets().collect();
    assert_eq!(all, [(target, tag(1), record(1, 1))]);
    // The parent's own are still all there.
    board.assign_target(TargetId(2), tag(9), KEY);
    assert_eq!(board.targets().count(), 2);
    assert!(board.kick(target, Kick::Failed) && board.kick(TargetId(2), Kick::Failed));
    assert_eq!(board.take_kicks(Kick::Failed), [TargetId(2), target]);
    assert!(board.take_kicks(Kick::Failed).is_empty());
}

#[test]
fn kicks_where_words_are_shared_and_where_not() {
    for targets in [0, 1, 63, 64, 65, 200] {
        let board = make(Capacity {
            targets,
            late: 70,
            ..SMALL
        });
        let ids: Vec<TargetId> = (0..70)
            .map(|n| board.claim_late(tag(n), KEY).expect("a slot"))
            .collect();
        assert!(ids.iter().all(|id| board.kick(*id, Kick::Silent)));
        assert_eq!(board.take_kicks(Kick::Silent), ids, "{targets}");
        assert!(
            !board.kick(TargetId(targets + 70), Kick::Silent),
            "there is none"
        );
    }
}

#[test]
fn a_full_region() {
    let board = board();
    for n in 0..3 {
        assert!(board.claim_late::<WorkerId>(tag(n), "").is_some());
    }
    assert_eq!(board.claim_late::<WorkerId>(tag(3), ""), None);
    assert!(
        board.claim_late::<WorkerId>(tag(2), "").is_some(),
        "has one"
    );
    // Another kind is not concerned.
    assert!(board.claim_late::<NameId>(tag(3), "x").is_some());
    let none = make(SMALL);
    assert_eq!(none.claim_late::<NameId>(tag(1), "x"), None);
}

#[test]
fn a_new_epoch_frees_them() {
    let board = board();
    board.assign(NameId(0), tag(7), "configured.test");
    let name: NameId = board.claim_late(tag(1), "added.test").unwrap();
    let target: TargetId = board.claim_late(tag(1), KEY).unwrap();
    let worker: WorkerId = board.claim_late(tag(1), "").unwrap();
    board.write(name, tag(1), &name_record(1, 1)).unwrap();
    board.keep_until(worker, tag(1), 99);
    board.free_late();
    assert_eq!(board.find_late::<NameId>(tag(1)), None);
    assert!(board.read(name, tag(1)).is_none());
    assert!(board.write_target(target, tag(1), &record(1, 1)).is_err());
    assert_eq!(board.targets().count(), 0);
    assert_eq!(board.kept_until(worker, tag(1)), 99, "workers' words stay");
    assert!(board.owner(NameId(0)).is_some(), "the parent's own stay");
    // The slot's next owner finds nothing of the last one, and a late writer of that one reaches nobody.
    assert_eq!(board.claim_late::<NameId>(tag(2), "added.test"), Some(name));
    assert_eq!(
        board.read(name, tag(2)).unwrap().record,
        NameRecord::default()
    );
    assert!(board.write(name, tag(1), &name_record(1, 1)).is_err());
    // Until more than half of their slots are used.
    let other: WorkerId = board.claim_late(tag(2), "").unwrap();
    assert_ne!(other, worker);
    board.free_late();
    assert_eq!(board.find_late::<WorkerId>(tag(1)), None);
    let again: WorkerId = board.claim_late(tag(3), "").unwrap();
    assert_eq!((again, board.kept_until(worker, tag(3))), (worker, 0));
}

/// The leader may be killed between any two stores: what it leaves is a free slot that counts as given away.
#[test]
fn a_leader_that_died_leaves_a_free_slot() {
    let board = board();
    for at in [NAMES_LATE_AT, TARGETS_LATE_AT, WORKERS_LATE_AT] {
        board.words[at].store(2, Ordering::Relaxed);
    }
    assert_eq!(board.find_late::<NameId>(tag(1)), None);
    assert_eq!(board.find_late::<WorkerId>(Tag(0)), None);
    assert_eq!(board.targets().count(), 0);
    let name = board.claim_late::<NameId>(tag(1), "added.test");
    assert_eq!(name, Some(NameId(SMALL.names)), "the first of them");
}

#[test]
fn wild_counts() {
    let board = board();
    let worker: WorkerId = board.claim_late(tag(1), "").unwrap();
    for wild in [4, u64::from(u32::MAX), u64::MAX, 1 << 32] {
        for at in [NAMES_LATE_AT, TARGETS_LATE_AT, WORKERS_LATE_AT] {
            board.words[at].store(wild, Ordering::Relaxed);
        }
        assert_eq!(board.find_late::<WorkerId>(tag(1)), Some(worker), "{wild}");
        assert!(board.targets().count() == 0 && board.take_kicks(Kick::Failed).is_empty());
    }
    board.free_late();
    assert_eq!(board.find_late::<WorkerId>(tag(1)), None);
}
