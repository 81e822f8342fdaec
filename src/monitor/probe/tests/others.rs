//! What changes the schedule besides probes: DNS, requests, other targets, reloads.

use super::*;

#[test]
fn a_name_without_answer_is_not_probed() {
    let (board, world) = (board(), World::new());
    let plan = app(board);
    let mut book = book(&plan, &[], board, &world);
    assert_eq!(book.next_due(), u64::MAX);
    world.pass(&mut book, 1_000);
    book.moved(0, &addrs(&["192.0.2.1"]), world.now.get());
    assert_eq!(state(board, &plan, "192.0.2.1"), State::Unknown);
    world.pass(&mut book, 0);
    assert_eq!(state(board, &plan, "192.0.2.1"), State::Up);
}

#[test]
fn a_numeric_target_needs_no_name() {
    let (board, world) = (board(), World::new());
    let label = "[2001:db8::1]:8080";
    let source = Source::Fixed(addr("2001:db8::1"));
    let plan = Plan {
        targets: vec![target(board, 3, label, source)],
        ..Plan::default()
    };
    let mut book = book(&plan, &[], board, &world);
    world.set(label, REFUSED);
    world.pass(&mut book, 10_000);
    assert_eq!(state(board, &plan, "2001:db8::1"), State::Down);
    assert!(book.asks.is_empty(), "{:?}", book.asks);
    assert_eq!(
        world.lines(Level::Info),
        [
            "Info target [2001:db8::1]:8080: 2001:db8::1 unknown -> down \
             (connection refused; 2 probes in 100 ms)"
        ]
    );
}

#[test]
fn removed_addresses_are_forgotten_and_new_ones_probed_at_once() {
    let (board, world) = (board(), World::new());
    let plan = app(board);
    let mut book = book(&plan, &["192.0.2.1", "192.0.2.2"], board, &world);
    world.pass(&mut book, 100);
    world.set("192.0.2.1:80", SILENT);
    // In the middle of a probe of what goes away.
    world.pass(&mut book, 2_100);
    assert_eq!(world.flying.borrow().len(), 1);
    world.probes_of("192.0.2.1:80");
    let now = world.now.get();
    let kept = health(board, &plan, "192.0.2.2");
    book.moved(0, &addrs(&["192.0.2.2", "192.0.2.3"]), now);
    let known = record(board, &plan.targets[0]).addrs;
    assert_eq!(known[0], kept);
    assert_eq!((known[1].addr, known[1].due_ms), (addr("192.0.2.3"), now));
    let (probes, asks) = (board.get(Counter::Probes), book.asks.len());
    world.pass(&mut book, 1_000);
    assert_eq!(world.probes_of("192.0.2.3:80"), [now - START]);
    world.pass(&mut book, 10_000);
    assert_eq!(world.probes_of("192.0.2.1:80"), [0_u64; 0]);
    assert_eq!(state(board, &plan, "192.0.2.3"), State::Up);
    assert_eq!(board.get(Counter::ProbeFailures), 0);
    assert!(board.get(Counter::Probes) > probes);
    assert_eq!(book.asks.len(), asks);
}

#[test]
fn health_is_inherited_from_the_same_address_and_port() {
    let (board, world) = (board(), World::new());
    let plan = app(board);
    let list = ["192.0.2.1", "192.0.2.2"];
    world.set("192.0.2.1:80", REFUSED);
    let mut first = book(&plan, &list, board, &world);
    world.pass(&mut first, 1_000);
    drop(first);
    // A reload: the same addresses under another name, and on another port.
    let second = Plan {
        targets: vec![
            target(board, 5, "new.test:80", Source::Name(0)),
            target(board, 6, "new.test:81", Source::Name(0)),
            target(board, 7, "late.test:80", Source::Name(1)),
        ],
        ..Plan::default()
    };
    let of = |name| match name {
        0 => addrs(&list),
        _ => Vec::new(),
    };
    let mut book = Book::new(&second, of, board, &world);
    let states = |task| record(board, task).addrs.iter().map(|h| h.state).collect();
    let inherited: Vec<State> = states(&second.targets[0]);
    assert_eq!(inherited, [State::Down, State::Up]);
    let unknown: Vec<State> = states(&second.targets[1]);
    assert_eq!(unknown, [State::Unknown, State::Unknown]);
    // DNS answers later.
    book.moved(1, &addrs(&["192.0.2.1"]), world.now.get());
    let inherited: Vec<State> = states(&second.targets[2]);
    assert_eq!(inherited, [State::Down]);
    assert_eq!(book.next_due(), world.now.get());
}

/// What is wrong with the answers to one question says nothing about another; that nobody is there does.
#[test]
fn bad_answers_are_inherited_by_those_who_ask_alike() {
    let (board, world) = (board(), World::new());
    let plan = Plan {
        targets: vec![http_target(board, 0, "app.test:80", "/a", Source::Name(0))],
        ..Plan::default()
    };
    let list = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"];
    let found = [BUSY, HANGING, REFUSED, OK];
    for (ip, outcome) in list.iter().zip(found) {
        world.set(&format!("{ip}:80"), outcome);
    }
    let mut first = book(&plan, &list, board, &world);
    world.pass(&mut first, 5_000);
    drop(first);
    let second = Plan {
        targets: vec![
            http_target(board, 5, "new.test:80", "/b", Source::Name(0)),
            target(board, 6, "new.test:80", Source::Name(0)),
            http_target(board, 7, "late.test:80", "/c", Source::Name(1)),
            target(board, 8, "late.test:80", Source::Name(1)),
        ],
        ..Plan::default()
    };
    let of = |name| if name == 0 { addrs(&list) } else { Vec::new() };
    let mut book = Book::new(&second, of, board, &world);
    book.moved(1, &addrs(&list), world.now.get());
    use State::{Down, Unknown, Up};
    let alike = [Down, Down, Down, Up];
    let other = [Unknown, Unknown, Down, Up];
    for (task, wanted) in second.targets.iter().zip([alike, other, alike, other]) {
        let all = record(board, task).addrs;
        let states: Vec<State> = all.iter().map(|h| h.state).collect();
        assert_eq!(states, wanted, "{}", task.key);
    }
}

/// One page of an application is broken, another is fine: a third is not known.
#[test]
fn good_answers_are_inherited_before_bad_ones() {
    for broken_is_last in [false, true] {
        let (board, world) = (board(), World::new());
        let targets = [
            http_target(board, 0, "app.test:80", "/fine", Source::Name(0)),
            http_target(board, 1, "app.test:80", "/broken", Source::Name(0)),
        ];
        for (task, good) in targets.iter().zip([true, false]) {
            let health = AddrHealth {
                state: if good { State::Up } else { State::Down },
                reason: (!good).then_some(Reason::Status(500)),
                fails: u32::from(!good),
                last_ms: START - if good == broken_is_last { 100 } else { 50 },
                ..AddrHealth::new(addr("192.0.2.1"))
            };
            let (port, addrs) = (80, vec![health]);
            let written = board.write_target(task.id, task.tag, &TargetRecord { port, addrs });
            written.unwrap();
        }
        let first = Plan {
            targets: vec![
                http_target(board, 5, "new.test:80", "/new", Source::Name(0)),
                http_target(board, 6, "late.test:80", "/late", Source::Name(1)),
            ],
            ..Plan::default()
        };
        let list = addrs(&["192.0.2.1"]);
        let of = |name| if name == 0 { list.clone() } else { Vec::new() };
        let mut book = Book::new(&first, of, board, &world);
        book.moved(1, &list, world.now.get());
        for task in &first.targets {
            let state = record(board, task).addrs[0].state;
            assert_eq!(state, State::Up, "{}", task.key);
        }
    }
}

#[test]
fn a_kick_is_a_probe_at_once() {
    let (board, world) = (board(), World::new());
    let plan = app(board);
    let mut book = book(&plan, &["192.0.2.1", "192.0.2.2"], board, &world);
    world.pass(&mut book, 1_000);
    world.probes_of("192.0.2.1:80");
    for _ in 0..10 {
        board.kick(TargetId(0), Kick::Failed);
        book.kicked(world.now.get());
        world.pass(&mut book, 29);
    }
    // Probes confirm no failure: once in 500 ms.
    assert_eq!(world.probes_of("192.0.2.1:80"), [1_000]);
    // The name is asked for once in a second.
    assert_eq!(book.asks, [0]);
    assert_eq!(board.get(Counter::Kicks), 10);
    for _ in 0..20 {
        board.kick(TargetId(0), Kick::Silent);
        book.kicked(world.now.get());
        world.pass(&mut book, 50);
    }
    let probes = world.probes_of("192.0.2.2:80");
    // What the failures had put off to 1,500 came with the first of these.
    assert_eq!(probes, [1_290, 1_790, 2_290]);
    assert_eq!(book.asks, [0]);
    // Not of this plan.
    board.assign_target(TargetId(9), Tag(9), "tcp old.test:80");
    board.kick(TargetId(9), Kick::Failed);
    book.kicked(world.now.get());
    assert_eq!(board.get(Counter::Kicks), 30);
}

#[test]
fn a_failing_address_has_its_name_asked_for() {
    let (board, world) = (board(), World::new());
    let mut plan = app(board);
    let other = target(board, 1, "app.test:81", Source::Name(0));
    plan.targets.push(other);
    let mut book = book(&plan, &["192.0.2.1"], board, &world);
    world.pass(&mut book, 100);
    assert!(book.asks.is_empty(), "{:?}", book.asks);
    world.rest.set(REFUSED);
    world.pass(&mut book, 2_100);
    // Two targets, two failures each within 200 ms.
    assert_eq!(std::mem::take(&mut book.asks), [0]);
    world.pass(&mut book, 120_000);
    let asks = book.asks.len();
    assert!((3..=14).contains(&asks), "{asks}");
}

#[test]
fn a_slot_of_another_target_is_left_alone() {
    let (board, world) = (board(), World::new());
    let mut plan = app(board);
    let other = target(board, 1, "other.test:80", Source::Name(1));
    plan.targets.push(other);
    let mut book = book(&plan, &["192.0.2.1", "192.0.2.2"], board, &world);
    world.pass(&mut book, 100);
    let tag = Tag::new("tcp new.test:80", 2);
    board.assign_target(TargetId(0), tag, "tcp new.test:80");
    world.pass(&mut book, 10_000);
    let new = board.read_target(TargetId(0), tag).unwrap().record;
    assert_eq!(new, TargetRecord::default());
    // Given up, with all its addresses; the other one goes on.
    world.probes_of("192.0.2.1:80");
    world.pass(&mut book, 10_000);
    assert_eq!(book.queue.len() + world.flying.borrow().len(), 2);
    board.kick(TargetId(0), Kick::Failed);
    book.kicked(world.now.get());
    book.moved(0, &addrs(&["192.0.2.7"]), world.now.get());
    assert_eq!(book.queue.len() + world.flying.borrow().len(), 2);
    assert!(
        world
            .lines(Level::Debug)
            .iter()
            .any(|line| line.starts_with("Debug target app.test:80: not probed any more: "))
    );
}
