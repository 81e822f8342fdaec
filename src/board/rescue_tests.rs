//! Rescues on the board: counts at the workers, requests under way, the shared budget.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::{hint, thread};

use super::tests::{SMALL, board};
use super::*;
use crate::logic::epochs::Living;

const ID: WorkerId = WorkerId(2);
const TAG: Tag = Tag(11);

fn counts(ended: u64, retried: u64, failed: u64) -> Rescues {
    Rescues {
        ended,
        retried,
        failed,
    }
}

#[test]
fn counts_of_a_worker() {
    let board = board();
    board.count_rescue(ID, TAG, RescueCount::Ended, 7);
    assert_eq!(board.rescues(ID, TAG), None, "nobody's yet");
    board.assign_worker(ID, TAG);
    assert_eq!(board.rescues(ID, TAG), Some(Rescues::default()));
    for (what, n) in [
        (RescueCount::Ended, 1),
        (RescueCount::Retried, 20),
        (RescueCount::Failed, 300),
        (RescueCount::Ended, 4),
    ] {
        board.count_rescue(ID, TAG, what, n);
        board.count_rescue(ID, Tag(12), what, 1000);
    }
    assert_eq!(board.rescues(ID, TAG), Some(counts(5, 20, 300)));
    assert_eq!(board.told(ID, TAG), Some(Rescues::default()));
    board.tell(ID, TAG, counts(4, 3, 2));
    board.tell(ID, Tag(12), counts(9, 9, 9));
    assert_eq!(board.told(ID, TAG), Some(counts(4, 3, 2)));
    assert_eq!(board.rescues(ID, TAG), Some(counts(5, 20, 300)));
    assert_eq!(board.kept_until(ID, TAG), 0);
    board.keep_until(ID, TAG, 100);
    assert_eq!(board.rescues(ID, TAG), Some(counts(5, 20, 300)));

    // Neighbours, and slots that do not exist.
    for other in [WorkerId(1), WorkerId(3)] {
        board.assign_worker(other, TAG);
        assert_eq!(board.rescues(other, TAG), Some(Rescues::default()));
    }
    for none in [WorkerId(SMALL.workers), WorkerId(u32::MAX)] {
        board.count_rescue(none, TAG, RescueCount::Ended, 1);
        board.tell(none, TAG, counts(1, 1, 1));
        assert_eq!(
            (board.rescues(none, TAG), board.told(none, TAG)),
            (None, None)
        );
    }
}

#[test]
fn counts_live_as_long_as_the_owner() {
    let board = board();
    let mut workers = Ledger::<WorkerId>::new(board.worker_capacity());
    let plan = workers
        .plan(1, &["one", "two"], &Living::default())
        .unwrap();
    board.apply_workers(&plan);
    let (id, tag) = plan.slots[1];
    board.count_rescue(id, tag, RescueCount::Retried, 3);
    board.tell(id, tag, counts(0, 2, 0));
    for epoch in 2..5 {
        let plan = workers.plan(epoch, &["two"], &Living::default()).unwrap();
        board.apply_workers(&plan);
        assert_eq!(plan.slots, [(id, tag)]);
        assert_eq!(board.rescues(id, tag), Some(counts(0, 3, 0)));
        assert_eq!(board.told(id, tag), Some(counts(0, 2, 0)));
    }
    board.assign_worker(id, TAG);
    assert_eq!(board.rescues(id, tag), None);
    assert_eq!(board.rescues(id, TAG), Some(Rescues::default()));
    assert_eq!(board.told(id, TAG), Some(Rescues::default()));
    board.free_worker(id);
    assert_eq!(board.rescues(id, TAG), None);
}

#[test]
fn all_children_count() {
    const EACH: u64 = 10_000;
    let board = board();
    board.assign_worker(ID, TAG);
    std::thread::scope(|scope| {
        for what in [RescueCount::Ended, RescueCount::Failed, RescueCount::Failed] {
            scope.spawn(move || {
                for _ in 0..EACH {
                    board.count_rescue(ID, TAG, what, 1);
                }
            });
        }
    });
    assert_eq!(board.rescues(ID, TAG), Some(counts(EACH, 0, 2 * EACH)));
}

#[test]
fn requests_under_way() {
    let board = board();
    assert_eq!(board.running(), 0);
    let first = board.join(100, 1).unwrap();
    let second = board.join(200, 1).unwrap();
    first.running(30);
    first.running(3);
    second.running(40);
    assert_eq!(board.running(), 43);
    // Children are less trusted.
    second.running(u64::MAX);
    assert_eq!(board.running(), 3 + 65_536);
    second.leave();
    assert_eq!(board.running(), 3);

    // A child that was killed, and the next one on its seat.
    board.clear_seat(first.index(), 100);
    assert_eq!(board.running(), 0);
    let next = board.join(300, 2).unwrap();
    assert_eq!((next.index(), board.running()), (0, 0));
    // A killed child's pid comes again.
    next.running(9);
    let again = board.join(300, 3).unwrap();
    assert_eq!((again.index(), board.running()), (0, 0));
}

#[test]
fn the_budget_is_shared() {
    let board = board();
    let spend = move || (0..200).filter(|_| board.spend_rescue(7, 90)).count();
    let spent: usize = std::thread::scope(|scope| {
        let children = [(); 4].map(|()| scope.spawn(spend));
        children.map(|child| child.join().unwrap()).iter().sum()
    });
    // A try that others disturb too often fails: the rest is still there.
    assert_eq!(spent + spend(), 100);
    assert!(!board.spend_rescue(7, 90));
    assert!(board.spend_rescue(7, 91), "more requests, more room");
    assert!(board.spend_rescue(8, 0), "the next second");
    let counters = Counter::ALL.map(|counter| board.get(counter));
    assert_eq!(counters, [0; Counter::ALL.len()]);
    assert_eq!(board.leader(), Leader::default());
}

#[test]
fn an_error_that_was_provoked_ends_with_the_last_request() {
    let (board, id, tag) = (board(), ID, TAG);
    board.assign_worker(id, tag);
    let cleared = Cell::new(0);
    let take_back = || board.take_back(id, tag, 7, || cleared.set(cleared.get() + 1));
    assert!(!board.is_provoked(id, tag, 7) && !board.was_provoked(id, tag, 0));
    assert!(board.provoke(id, tag, 7), "the first");
    assert!(!board.provoke(id, tag, 7));
    assert!(board.is_provoked(id, tag, 7));
    take_back();
    assert_eq!(cleared.get(), 0, "the other one needs it");
    take_back();
    assert_eq!(cleared.get(), 1);
    assert!(!board.is_provoked(id, tag, 7));
    assert!(board.was_provoked(id, tag, 7) && board.was_provoked(id, tag, 8));
    assert!(!board.was_provoked(id, tag, 9));
    // A clock that another child has seen tick already.
    assert!(board.provoke(id, tag, 8) && board.is_provoked(id, tag, 7));
    assert!(!board.provoke(id, tag, 7));
    take_back();
    take_back();
    assert_eq!(cleared.replace(1), 2);
    // One that was never taken back counts for some seconds only.
    let _ = board.provoke(id, tag, 7);
    assert!(board.is_provoked(id, tag, 12) && !board.is_provoked(id, tag, 13));
    assert!(board.provoke(id, tag, 13), "the first again");
    board.take_back(id, tag, 13, || cleared.set(cleared.get() + 1));
    assert_eq!(cleared.get(), 2);
}

#[test]
fn nobody_provokes_while_another_clears() {
    let (board, id, tag) = (board(), ID, TAG);
    board.assign_worker(id, tag);
    // What the threads do to the "error": provoked sets it, clearing ends it; whoever is between the two
    // must find it set.
    let error = AtomicBool::new(false);
    let missed = AtomicUsize::new(0);
    thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                for _ in 0..20_000 {
                    board.provoke(id, tag, 7);
                    error.store(true, Ordering::SeqCst);
                    hint::spin_loop();
                    if !error.load(Ordering::SeqCst) {
                        missed.fetch_add(1, Ordering::Relaxed);
                    }
                    board.take_back(id, tag, 7, || error.store(false, Ordering::SeqCst));
                }
            });
        }
    });
    assert_eq!(missed.load(Ordering::Relaxed), 0);
    assert!(!board.is_provoked(id, tag, 7));
}

#[test]
fn a_child_killed_while_it_clears_holds_nobody_up() {
    let (board, id, tag) = (board(), ID, TAG);
    board.assign_worker(id, tag);
    let _ = board.provoke(id, tag, 7);
    let killed = panic::catch_unwind(AssertUnwindSafe(|| {
        board.take_back(id, tag, 7, || panic!("killed"))
    }));
    assert!(killed.is_err());
    let _ = board.provoke(id, tag, 7);
    assert!(board.is_provoked(id, tag, 7));
    let cleared = Cell::new(false);
    board.take_back(id, tag, 7, || cleared.set(true));
    assert!(cleared.get());
}

#[test]
fn failures_in_a_row() {
    let (board, id, tag) = (board(), ID, TAG);
    assert_eq!(board.count_fail(id, tag), 0, "nobody's yet");
    board.assign_worker(id, tag);
    assert_eq!(
        (board.count_fail(id, tag), board.count_fail(id, tag)),
        (1, 2)
    );
    assert_eq!(board.count_fail(id, Tag(12)), 0);
    board.fails(id, tag).unwrap().store(0, Ordering::Relaxed);
    assert_eq!(board.count_fail(id, tag), 1);
}
