//! Many addresses silent at once.

use super::*;

/// Seven targets with one address each.
fn seven(board: Board) -> Plan {
    let targets = (0..7_u32).map(|id| {
        let ip = format!("192.0.2.{id}");
        let source = Source::Fixed(addr(&ip));
        target(board, id, &format!("{ip}:80"), source)
    });
    Plan {
        targets: targets.collect(),
        ..Plan::default()
    }
}

fn down(board: Board, plan: &Plan) -> usize {
    let states = plan.targets.iter().map(|t| record(board, t).addrs[0].state);
    states.filter(|state| *state == State::Down).count()
}

#[test]
fn when_all_are_silent_nobody_goes_down_at_first() {
    let (board, world) = (board(), World::new());
    let plan = seven(board);
    let mut book = book(&plan, &[], board, &world);
    world.pass(&mut book, 5_000);
    world.rest.set(SILENT);
    world.pass(&mut book, 3_000);
    assert_eq!(down(board, &plan), 0);
    world.rest.set(OK);
    world.pass(&mut book, 10_000);
    assert_eq!(down(board, &plan), 0);
    let lines = world.lines(Level::Info);
    assert!(lines[0].starts_with("Warn storm: "), "{lines:?}");
    assert!(
        lines[0].ends_with(
            " of 7 probed addresses time out at once: the trouble is probably here; \
             verdicts are held until a second round confirms them"
        ),
        "{lines:?}"
    );
    assert!(
        lines[1].starts_with("Notice storm over after "),
        "{lines:?}"
    );
    assert!(
        lines[1].ends_with(" s: 7 answer again, 0 went down"),
        "{lines:?}"
    );
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(board.get(Counter::Storms), 1);
    assert_eq!(board.get(Counter::HealthChanges), 0);
}

/// All applications hang at once: it may be this machine. That all answer 503 is no such sign.
#[test]
fn answers_that_do_not_come_are_a_storm_and_bad_ones_are_none() {
    for (outcome, storms, downs) in [(HANGING, 1, 0), (BUSY, 0, 7)] {
        let (board, world) = (board(), World::new());
        let plan = seven(board);
        let mut book = book(&plan, &[], board, &world);
        world.pass(&mut book, 5_000);
        world.rest.set(outcome);
        world.pass(&mut book, 3_000);
        assert_eq!(board.get(Counter::Storms), storms, "{outcome:?}");
        assert_eq!(down(board, &plan), downs, "{outcome:?}");
        world.pass(&mut book, 10_000);
        assert_eq!(down(board, &plan), 7, "{outcome:?}");
    }
}

#[test]
fn a_second_round_confirms() {
    let (board, world) = (board(), World::new());
    let plan = seven(board);
    let mut book = book(&plan, &[], board, &world);
    world.pass(&mut book, 5_000);
    world.rest.set(SILENT);
    world.pass(&mut book, 12_000);
    assert_eq!(down(board, &plan), 7);
    let lines = world.lines(Level::Notice);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines[1].ends_with(" s: 0 answer again, 7 went down"),
        "{lines:?}"
    );
}

#[test]
fn one_of_seven_is_no_storm() {
    let (board, world) = (board(), World::new());
    let plan = seven(board);
    let mut book = book(&plan, &[], board, &world);
    world.pass(&mut book, 5_000);
    world.probes_of("192.0.2.1:80");
    world.set("192.0.2.3:80", SILENT);
    world.pass(&mut book, 3_300);
    assert_eq!(down(board, &plan), 1);
    assert_eq!(board.get(Counter::Storms), 0);
    // The others were asked at once whether they are silent, too: more than their interval has.
    let probes = world.probes.borrow().len();
    assert!(probes >= 10, "{probes}");
}

#[test]
fn an_address_that_goes_away_ends_the_storm() {
    let (board, world) = (board(), World::new());
    let plan = app(board);
    let mut book = book(&plan, &["192.0.2.1", "192.0.2.2"], board, &world);
    world.pass(&mut book, 5_000);
    world.rest.set(SILENT);
    world.pass(&mut book, 4_000);
    assert_eq!(book.storm.held(), 2);
    book.moved(0, &addrs(&["192.0.2.9"]), world.now.get());
    assert_eq!(book.storm.held(), 0);
    let lines = world.lines(Level::Notice);
    assert!(
        lines[1].ends_with(": 0 answer again, 0 went down"),
        "{lines:?}"
    );
}
