//! Down, up, and how often it is looked.

use super::*;

#[test]
fn a_healthy_address_is_probed_once_in_an_interval() {
    let (board, world) = (board(), World::new());
    let plan = app(board);
    let mut book = book(&plan, &["192.0.2.1"], board, &world);
    world.pass(&mut book, 20_000);
    let probes = world.probes_of("192.0.2.1:80");
    assert_eq!(probes[0], 0);
    assert!((10..=11).contains(&probes.len()), "{probes:?}");
    let pauses = probes.windows(2).map(|pair| pair[1] - pair[0]);
    assert!(
        pauses.clone().all(|ms| (1_900..=2_101).contains(&ms)),
        "{probes:?}"
    );
    assert_eq!(board.get(Counter::Probes), probes.len() as u64);
    assert_eq!(board.get(Counter::HealthChanges), 0);
    assert_eq!(
        world.lines(Level::Debug),
        ["Debug target app.test:80: 192.0.2.1 unknown -> up"]
    );
    let seen = health(board, &plan, "192.0.2.1");
    assert_eq!(
        (seen.state, seen.ok_total as usize),
        (State::Up, probes.len())
    );
    assert_eq!(record(board, &plan.targets[0]).port, 80);
}

#[test]
fn refused_is_down_after_100_ms_and_back_after_two_answers() {
    let (board, world) = (board(), World::new());
    let plan = app(board);
    let mut book = book(&plan, &["192.0.2.1", "192.0.2.2"], board, &world);
    world.pass(&mut book, 1_000);
    assert!(std::mem::take(&mut book.wake));
    world.set("192.0.2.1:80", REFUSED);
    world.pass(&mut book, 5_000);
    assert_eq!(
        world.lines(Level::Info),
        ["Warn target app.test:80: 192.0.2.1 up -> down (connection refused; 2 probes in 100 ms)"]
    );
    let seen = health(board, &plan, "192.0.2.1");
    assert_eq!(
        (seen.state, seen.reason),
        (State::Down, Some(Reason::Refused))
    );
    assert_eq!(state(board, &plan, "192.0.2.2"), State::Up);
    assert!(std::mem::take(&mut book.wake));
    let down = seen.since_ms;
    world.set("192.0.2.1:80", OK);
    world.pass(&mut book, 3_000);
    let seen = health(board, &plan, "192.0.2.1");
    assert_eq!((seen.state, seen.reason), (State::Up, None));
    let seconds = (seen.since_ms - down + 500) / 1_000;
    let line = format!(
        "Notice target app.test:80: 192.0.2.1 down -> up (2 probes answered; was down for {seconds} s)"
    );
    assert_eq!(world.lines(Level::Info), [line]);
    assert_eq!(board.get(Counter::HealthChanges), 2);
    assert_eq!(board.get(Counter::LocalErrors), 0);
}

#[test]
fn the_only_address_is_said_quietly() {
    let (board, world) = (board(), World::new());
    let plan = app(board);
    let mut book = book(&plan, &["192.0.2.1"], board, &world);
    world.set("192.0.2.1:80", Err(Reason::Unreachable(113)));
    world.pass(&mut book, 200);
    assert_eq!(
        world.lines(Level::Info),
        ["Info target app.test:80: 192.0.2.1 unknown -> down \
             (host unreachable (errno 113); 2 probes in 100 ms)"]
    );
}

#[test]
fn silence_is_down_after_a_second_and_not_before() {
    let (board, world) = (board(), World::new());
    let plan = app(board);
    let list = ["192.0.2.1", "192.0.2.2", "192.0.2.3"];
    let mut book = book(&plan, &list, board, &world);
    world.pass(&mut book, 1_000);
    world.probes_of("192.0.2.1:80");
    // One packet lost: nothing.
    world.set("192.0.2.1:80", SILENT);
    world.pass(&mut book, 1_200);
    world.set("192.0.2.1:80", OK);
    world.pass(&mut book, 5_000);
    assert_eq!(world.lines(Level::Info), [] as [&str; 0]);
    world.set("192.0.2.1:80", SILENT);
    world.pass(&mut book, 4_000);
    assert_eq!(
        world.lines(Level::Info),
        ["Warn target app.test:80: 192.0.2.1 up -> down (time-out; 2 probes in 1120 ms)"]
    );
}

#[test]
fn who_flaps_has_to_prove_more() {
    let (board, world) = (board(), World::new());
    let plan = app(board);
    let mut book = book(&plan, &["192.0.2.1", "192.0.2.2"], board, &world);
    world.pass(&mut book, 100);
    for _ in 0..4 {
        world.set("192.0.2.1:80", REFUSED);
        world.pass(&mut book, 2_500);
        world.set("192.0.2.1:80", OK);
        world.pass(&mut book, 2_500);
    }
    let lines = world.lines(Level::Info);
    let flaps: Vec<_> = lines.iter().filter(|line| line.contains("flaps")).collect();
    let needs = |n| {
        format!(
            "Notice target app.test:80: 192.0.2.1 flaps: needs {n} successes in a row to come back"
        )
    };
    // The jitter of the interval decides.
    assert!([needs(4), needs(8)].contains(flaps[0]), "{flaps:?}");
    // Then it behaves.
    world.pass(&mut book, 60_000);
    assert_eq!(state(board, &plan, "192.0.2.1"), State::Up);
}

#[test]
fn a_new_leader_goes_on_where_the_old_one_stopped() {
    let (board, world) = (board(), World::new());
    let plan = app(board);
    let list = ["192.0.2.1", "192.0.2.2"];
    world.set("192.0.2.2:80", REFUSED);
    let mut first = book(&plan, &list, board, &world);
    world.pass(&mut first, 300);
    drop(first);
    let before = record(board, &plan.targets[0]);
    world.lines(Level::Debug);
    world.probes_of("192.0.2.1:80");
    for _ in 0..5 {
        let mut next = book(&plan, &list, board, &world);
        assert!(next.next_due() > world.now.get() + 1_000);
        world.pass(&mut next, 100);
        assert!(!next.wake);
    }
    assert_eq!(record(board, &plan.targets[0]), before);
    assert_eq!(world.probes.borrow().len(), 0);
    assert_eq!(world.lines(Level::Debug), [] as [&str; 0]);
}

/// Many targets, a quarter of them flaps at random: in the end the board says what is true.
#[test]
fn in_the_end_the_board_is_right() {
    let (board, world) = (board(), World::new());
    let targets: Vec<_> = (0..200_u8)
        .map(|id| {
            let label = format!("10.0.0.{id}:80");
            let source = Source::Fixed(addr(&format!("10.0.0.{id}")));
            target(board, id.into(), &label, source)
        })
        .collect();
    let plan = Plan {
        targets,
        ..Plan::default()
    };
    let mut book = book(&plan, &[], board, &world);
    let mut random = crate::monitor::random::Random::seeded();
    let mut truth = BTreeMap::new();
    for _ in 0..120 {
        for id in (0..200_u8).step_by(4) {
            let outcome = [OK, REFUSED, SILENT][random.draw() as usize % 3];
            world.set(&format!("10.0.0.{id}:80"), outcome);
            truth.insert(u32::from(id), outcome);
        }
        world.pass(&mut book, 500);
    }
    world.pass(&mut book, 30_000);
    for task in &plan.targets {
        let health = &record(board, task).addrs[0];
        let wanted = match truth.get(&task.id.0) {
            Some(Err(_)) => State::Down,
            _ => State::Up,
        };
        assert_eq!(health.state, wanted, "{health:?}");
    }
    assert_eq!(board.get(Counter::ProbesLate), 0);
    assert_eq!(board.get(Counter::InFlightBound), 0);
}

#[test]
fn the_children_hear_why_an_address_is_down_now() {
    let (board, world) = (board(), World::new());
    let plan = app(board);
    let mut book = book(&plan, &["192.0.2.1", "192.0.2.2"], board, &world);
    world.set("192.0.2.1:80", Err(Reason::Status(503)));
    world.pass(&mut book, 10_000);
    assert_eq!(state(board, &plan, "192.0.2.1"), State::Down);
    book.wake = false;
    world.pass(&mut book, 10_000);
    assert!(!book.wake, "the same again and again");
    for reason in [
        Reason::Silent(Layer::Http),
        Reason::Timeout,
        Reason::Status(500),
    ] {
        world.set("192.0.2.1:80", Err(reason));
        world.pass(&mut book, 5_000);
        assert_eq!(health(board, &plan, "192.0.2.1").reason, Some(reason));
        assert!(std::mem::take(&mut book.wake), "{reason}");
    }
}
