//! The module's own trouble.

use super::*;

const NO_DESCRIPTORS: Outcome = Err(Reason::Local(24));

#[test]
fn trouble_of_this_machine_is_no_verdict_and_said_once() {
    let (board, world) = (board(), World::new());
    let plan = app(board);
    let mut book = book(&plan, &["192.0.2.1", "192.0.2.2"], board, &world);
    world.pass(&mut book, 100);
    world.rest.set(NO_DESCRIPTORS);
    world.pass(&mut book, 150_000);
    assert_eq!(state(board, &plan, "192.0.2.1"), State::Up);
    assert_eq!(state(board, &plan, "192.0.2.2"), State::Up);
    let lines = world.lines(Level::Info);
    assert_eq!(lines.len(), 1, "{lines:?}");
    let said = ["192.0.2.1", "192.0.2.2"].map(|ip| {
        format!(
            "Warn app.test:80: {ip} cannot be probed: trouble on this machine (errno 24); \
             health stays as it is"
        )
    });
    assert!(said.contains(&lines[0]), "{lines:?}");
    assert!(board.get(Counter::LocalErrors) >= 100);
    assert_eq!(board.get(Counter::ProbeFailures), 0);
    assert!(book.asks.is_empty(), "{:?}", book.asks);
    // Once more a minute later, when it begins anew.
    world.rest.set(OK);
    world.pass(&mut book, 5_000);
    world.rest.set(NO_DESCRIPTORS);
    world.pass(&mut book, 5_000);
    assert_eq!(world.lines(Level::Info).len(), 1);
}

/// A hundred targets with one address each.
fn hundred(board: Board) -> Plan {
    let targets = (0..100_u32).map(|id| {
        let ip = format!("192.0.2.{id}");
        let source = Source::Fixed(addr(&ip));
        target(board, id, &format!("{ip}:80"), source)
    });
    Plan {
        targets: targets.collect(),
        ..Plan::default()
    }
}

#[test]
fn no_more_than_the_bound_are_under_way() {
    let board = board();
    let world = World {
        descriptors: 80,
        ..World::new()
    };
    let plan = hundred(board);
    let mut book = book(&plan, &[], board, &world);
    world.rest.set(SILENT);
    world.pass(&mut book, 400);
    assert_eq!((world.most.get(), book.next_due()), (20, u64::MAX));
    // At the start that is no wonder.
    assert_eq!(world.lines(Level::Info), [] as [&str; 0]);
    world.pass(&mut book, 200);
    assert_eq!(
        world.lines(Level::Info),
        ["Warn 20 probes in flight, the bound; 80 wait"]
    );
    assert_eq!(board.get(Counter::InFlightBound), 1);
    world.pass(&mut book, 30_000);
    assert_eq!(world.most.get(), 20);
    let lines = world.lines(Level::Info);
    assert!(
        !lines.iter().any(|line| line.contains("the bound")),
        "{lines:?}"
    );
    // Nobody is left behind.
    for task in &plan.targets {
        assert_eq!(record(board, task).addrs[0].state, State::Down);
    }
}

#[test]
fn the_bound_has_bounds() {
    let board = board();
    let plan = app(board);
    for (descriptors, bound) in [(8, 16), (0, 16), (400, 100), (2_048, 512), (u64::MAX, 512)] {
        let world = World {
            descriptors,
            ..World::new()
        };
        assert_eq!(book(&plan, &[], board, &world).bound, bound);
    }
}

#[test]
fn late_probes_are_counted_and_said_once_a_minute() {
    let (board, world) = (board(), World::new());
    let plan = app(board);
    let list = ["192.0.2.1", "192.0.2.2"];
    let mut late = book(&plan, &list, board, &world);
    world.pass(&mut late, 1_000);
    for _ in 0..3 {
        // The process does not run for a while.
        world.now.set(world.now.get() + 4_000);
        world.pass(&mut late, 1_000);
    }
    assert_eq!(board.get(Counter::ProbesLate), 6);
    let lines = world.lines(Level::Info);
    assert_eq!(lines.len(), 1, "{lines:?}");
    let ms = lines[0].strip_prefix("Warn probes are late by up to ");
    let ms = ms.and_then(|rest| rest.strip_suffix(" ms: this machine is overloaded"));
    let ms: u64 = ms.unwrap().parse().unwrap();
    assert!((2_000..=4_000).contains(&ms), "{ms}");
    // A new leader after a long time without one has nothing to answer for.
    drop(late);
    world.now.set(world.now.get() + 60_000);
    let mut next = book(&plan, &list, board, &world);
    world.pass(&mut next, 5_000);
    assert_eq!(board.get(Counter::ProbesLate), 6);
}
