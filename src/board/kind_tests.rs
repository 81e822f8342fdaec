//! Kicks and worker slots, all kinds of slots together, and what they take of memory.

use super::layout::LINE;
use super::target_tests::{KEY, record};
use super::tests::{SMALL, board, make, record as name_record};
use super::*;
use crate::logic::epochs::Living;

#[test]
fn kicks_are_taken_once() {
    let board = make(Capacity {
        targets: 200,
        ..SMALL
    });
    assert!(board.take_kicks(Kick::Failed).is_empty());
    board.assign_target(TargetId(130), Tag(1), KEY);
    for index in [130, 0, 63, 64] {
        assert!(board.kick(TargetId(index), Kick::Failed), "the first");
        assert!(!board.kick(TargetId(index), Kick::Failed), "already known");
    }
    assert!(board.kick(TargetId(64), Kick::Silent), "another kind");
    // Beyond the slots in use nobody looks, and nobody is harmed.
    board.kick(TargetId(131), Kick::Failed);
    board.kick(TargetId(199), Kick::Failed);
    let taken = board.take_kicks(Kick::Failed);
    assert_eq!(taken, [0, 63, 64, 130].map(TargetId));
    assert!(board.take_kicks(Kick::Failed).is_empty());
    assert_eq!(board.take_kicks(Kick::Silent), [TargetId(64)]);
    assert!(board.kick(TargetId(64), Kick::Silent), "once more");
}

/// Whoever is told that it was the first is taken later, at most once for each time.
#[test]
fn no_kick_is_lost() {
    const EACH: u32 = 20_000;
    let board = make(Capacity {
        targets: 8,
        ..SMALL
    });
    board.assign_target(TargetId(7), Tag(1), KEY);
    let (first, taken) = std::thread::scope(|scope| {
        let kickers = [0, 1, 2].map(|id| {
            scope.spawn(move || {
                let kicked = (0..EACH).filter(|_| board.kick(TargetId(id), Kick::Silent));
                kicked.count()
            })
        });
        let mut taken = 0;
        while kickers.iter().any(|kicker| !kicker.is_finished()) {
            taken += board.take_kicks(Kick::Silent).len();
        }
        taken += board.take_kicks(Kick::Silent).len();
        let first: usize = kickers.map(|kicker| kicker.join().unwrap()).iter().sum();
        (first, taken)
    });
    assert_eq!(first, taken);
    assert!(taken >= 3);
}

#[test]
fn worker_slots() {
    let board = board();
    let (id, tag) = (WorkerId(2), Tag(11));
    board.keep_until(id, tag, 100);
    assert_eq!(board.kept_until(id, tag), 0, "nobody's yet");
    board.assign_worker(id, tag);
    assert_eq!(board.kept_until(id, tag), 0);
    board.keep_until(id, tag, 100);
    board.keep_until(id, tag, 90);
    board.keep_until(id, Tag(12), 900);
    assert_eq!(board.kept_until(id, tag), 100, "the latest of its own");
    assert_eq!(board.kept_until(id, Tag(12)), 0);
    for other in [1, 3] {
        board.assign_worker(WorkerId(other), tag);
        assert_eq!(board.kept_until(WorkerId(other), tag), 0);
    }
    board.assign_worker(id, Tag(12));
    assert_eq!(board.kept_until(id, tag), 0);
    assert_eq!(board.kept_until(id, Tag(12)), 0, "a new owner begins anew");
    board.keep_until(id, Tag(12), 5);
    board.free_worker(id);
    assert_eq!(board.kept_until(id, Tag(12)), 0);
    assert_eq!(board.kept_until(id, Tag(0)), 0, "a free slot says nothing");
}

#[test]
fn kinds_do_not_touch_each_other() {
    let board = board();
    let capacity = SMALL;
    let tag = Tag(5);
    let seats: Vec<_> = (1..=capacity.children)
        .map(|n| board.join(n, 1).unwrap())
        .collect();
    for seat in &seats {
        seat.running(10 << seat.index());
    }
    for n in 0..capacity.names {
        board.assign(NameId(n), tag, &"n".repeat(300));
        let wanted = name_record(n, MAX_ADDRS);
        board.write(NameId(n), tag, &wanted).unwrap();
        board.write(NameId(n), tag, &wanted).unwrap();
    }
    for n in 0..capacity.targets {
        let id = TargetId(n);
        board.assign_target(id, tag, &"t".repeat(300));
        for _ in 0..2 {
            board.write_target(id, tag, &record(n, MAX_ADDRS)).unwrap();
        }
        assert!(board.kick(id, Kick::Failed) && board.kick(id, Kick::Silent));
    }
    for n in 0..capacity.workers {
        board.assign_worker(WorkerId(n), tag);
        board.keep_until(WorkerId(n), tag, u64::from(n) + 1);
    }
    assert_eq!(board.children().count(), capacity.children as usize);
    assert_eq!(board.running(), 70);
    for n in 0..capacity.names {
        let read = board.read(NameId(n), tag).unwrap();
        assert_eq!(read.record, name_record(n, MAX_ADDRS));
    }
    let all = (0..capacity.targets).map(|n| (TargetId(n), tag, record(n, MAX_ADDRS)));
    assert!(board.targets().eq(all));
    for n in 0..capacity.targets {
        let owner = board.target_owner(TargetId(n));
        assert_eq!(owner, Some((tag, "t".repeat(255))));
    }
    for kick in [Kick::Failed, Kick::Silent] {
        assert_eq!(board.take_kicks(kick).len(), capacity.targets as usize);
    }
    for n in 0..capacity.workers {
        assert_eq!(board.kept_until(WorkerId(n), tag), u64::from(n) + 1);
    }
    assert_eq!(Board::open(board.words).unwrap().layout.capacity, capacity);
}

#[test]
fn each_kind_has_its_own_book() {
    let board = board();
    let mut targets = Ledger::<TargetId>::new(board.target_capacity());
    let mut workers = Ledger::<WorkerId>::new(board.worker_capacity());
    let plan = targets
        .plan(1, &[KEY, "tcp b.test:1"], &Living::default())
        .unwrap();
    board.apply_targets(&plan);
    let (id, tag) = plan.slots[1];
    assert_eq!(
        board.target_owner(id),
        Some((tag, "tcp b.test:1".to_owned()))
    );
    board.write_target(id, tag, &record(1, 1)).unwrap();
    let seats = workers
        .plan(1, &["one", "two"], &Living::default())
        .unwrap();
    board.apply_workers(&seats);
    board.keep_until(seats.slots[0].0, seats.slots[0].1, 9);

    // Both live on through a reload, and are gone when nobody wants them.
    for epoch in 2..4 {
        board.apply_targets(
            &targets
                .plan(epoch, &["tcp b.test:1"], &Living::default())
                .unwrap(),
        );
        board.apply_workers(&workers.plan(epoch, &["one"], &Living::default()).unwrap());
        assert_eq!(board.read_target(id, tag).unwrap().record, record(1, 1));
        assert_eq!(board.kept_until(seats.slots[0].0, seats.slots[0].1), 9);
    }
    for epoch in 4..6 {
        board.apply_targets(&targets.plan(epoch, &[], &Living::default()).unwrap());
        board.apply_workers(&workers.plan(epoch, &[], &Living::default()).unwrap());
    }
    assert_eq!(board.targets().count(), 0);
    assert_eq!(board.kept_until(seats.slots[0].0, seats.slots[0].1), 0);

    let keys = ["a", "b", "c", "d", "e", "f"];
    assert_eq!(
        targets
            .plan(6, &keys, &Living::default())
            .unwrap_err()
            .to_string(),
        "6 targets are needed at once, but there is room for 3"
    );
    assert_eq!(
        workers
            .plan(6, &keys, &Living::default())
            .unwrap_err()
            .to_string(),
        "6 workers are needed at once, but there is room for 5"
    );
}

/// The number of pages of 4 KiB that hold anything but zeroes.
fn pages(board: &Board) -> usize {
    let touched = |word: &AtomicU64| word.load(Ordering::Relaxed) != 0;
    let pages = board.words.chunks(512);
    pages.filter(|page| page.iter().any(touched)).count()
}

#[test]
fn a_thousand_of_each_take_little_memory() {
    const N: u32 = 1000;
    // More room than is used, as on a real server.
    let board = make(Capacity {
        names: 2 * N,
        targets: 2 * N,
        workers: 2 * N,
        children: 256,
        late: N,
    });
    for n in 0..N {
        board.assign(NameId(n), Tag(1), "app.test");
        board.assign_target(TargetId(n), Tag(1), KEY);
        board.assign_worker(WorkerId(n), Tag(1));
        // Twice: both copies are in use.
        for round in 0..2 {
            let name = name_record(round, 1);
            board.write(NameId(n), Tag(1), &name).unwrap();
            let health = record(round, 1);
            board.write_target(TargetId(n), Tag(1), &health).unwrap();
        }
        board.keep_until(WorkerId(n), Tag(1), 1);
        board.kick(TargetId(n), Kick::Failed);
    }
    let used = pages(&board);
    assert!(used * 4 < 5 << 10, "{used} pages");
    // Eight addresses of a name and of a target touch nothing further.
    for n in 0..N {
        let name = name_record(3, 8);
        board.write(NameId(n), Tag(1), &name).unwrap();
        board
            .write_target(TargetId(n), Tag(1), &record(3, 8))
            .unwrap();
    }
    assert_eq!(pages(&board), used);
    board
        .write_target(TargetId(0), Tag(1), &record(3, 9))
        .unwrap();
    assert!(pages(&board) > used);
}

#[test]
fn layouts_of_all_sizes() {
    // Near parts and worker slots share no cache line with others.
    for children in 0..9 {
        let layout = Layout::new(Capacity { children, ..SMALL });
        let places = [layout.names.near(1), layout.targets.near(1)];
        for at in places
            .into_iter()
            .chain([layout.workers_at, layout.running_at])
        {
            assert!(at.is_multiple_of(LINE));
        }
    }
    let empty = make(Capacity::default());
    assert_eq!(empty.targets().count(), 0);
    assert!(empty.take_kicks(Kick::Silent).is_empty());
    assert!(Board::open(empty.words).is_some());
    // As large as the numbers allow: nothing overflows, it is only too large.
    let most = Capacity {
        names: u32::MAX,
        targets: u32::MAX,
        workers: u32::MAX,
        children: u32::MAX,
        late: u32::MAX,
    };
    assert!(Board::words_needed(most) > 1 << 40);
    assert!(Board::format(empty.words, most).is_none());
}
