//! Verdicts in a storm.

use super::*;

#[test]
fn in_a_storm_a_time_out_is_held_and_may_recover() {
    let mut run = Run::up();
    run.storm = true;
    run.time_out();
    assert_eq!(run.health.held_ms, 0);
    let step = run.time_out();
    assert_eq!(step.change, None);
    assert_eq!(run.health.held_ms, run.health.last_ms);
    assert_eq!((run.health.class(), run.health.fails), (1, 0));
    assert!(
        run.pause() > 1_000,
        "a held address is probed at the interval"
    );
    let step = run.time_out();
    assert!(!step.first_failure);
    let step = run.oks(1);
    assert_eq!((step.change, step.class_changed), (None, true));
    assert_eq!((run.health.held_ms, run.health.fails), (0, 0));
    assert_eq!(run.changes, []);
}

#[test]
fn a_second_round_confirms_what_is_held() {
    for storm_goes_on in [true, false] {
        for reason in [Reason::Timeout, Reason::Unreachable(113)] {
            let mut run = Run::up();
            run.storm = true;
            while run.health.held_ms == 0 {
                run.next(Err(reason));
            }
            let held_ms = run.health.held_ms;
            run.storm = storm_goes_on;
            let mut failures = 0;
            while run.state() == State::Up {
                run.next(Err(reason));
                failures += 1;
                let waited = run.health.last_ms - held_ms;
                let enough = waited >= 3_000 && failures >= 2;
                assert_eq!(run.state() == State::Down, enough, "{waited}");
            }
            assert_eq!(failures, 2);
            assert_eq!(run.health.held_ms, 0);
            assert_eq!(run.health.is_hard_down(2), reason.is_hard());
        }
    }
}

/// With a short interval the second round still takes three seconds.
#[test]
fn a_short_interval_does_not_shorten_the_hold() {
    let mut run = Run::up();
    run.rules.interval_ms = 500;
    run.storm = true;
    while run.health.held_ms == 0 {
        run.time_out();
    }
    let held_ms = run.health.held_ms;
    while run.state() == State::Up {
        run.time_out();
        let waited = run.health.last_ms - held_ms;
        assert_eq!(run.state() == State::Down, waited >= 3_000, "{waited}");
    }
}

#[test]
fn the_second_round_has_livefall_failures_as_well() {
    let mut run = Run::up();
    run.rules.fall = 4;
    run.storm = true;
    while run.health.held_ms == 0 {
        run.time_out();
    }
    for _ in 0..3 {
        run.time_out();
    }
    assert!(run.health.last_ms - run.health.held_ms > 3_000);
    assert_eq!(run.state(), State::Up);
    run.time_out();
    assert_eq!(run.state(), State::Down);
}

#[test]
fn a_storm_does_not_hold_refused_connections() {
    let mut run = Run::up();
    run.storm = true;
    run.refuse(2);
    assert_eq!((run.state(), run.health.held_ms), (State::Down, 0));

    let mut run = Run::up();
    run.storm = true;
    run.time_out();
    run.time_out();
    run.refuse(1);
    assert_eq!((run.state(), run.health.held_ms), (State::Down, 0));
}

#[test]
fn only_a_verdict_that_is_due_asks_about_storms() {
    let probe = |run: &Run, reason| Probe {
        begun_ms: run.health.due_ms,
        ended_ms: run.health.due_ms + 500,
        took_us: 500_000,
        result: reason,
    };
    let due = |run: &Run, reason| verdict_due(&run.health, &probe(run, reason), &run.rules);
    let mut run = Run::up();
    assert!(!due(&run, Err(Reason::Timeout)));
    run.time_out();
    assert!(due(&run, Err(Reason::Timeout)));
    assert!(due(&run, Err(Reason::Unreachable(113))));
    assert!(!due(&run, Err(Reason::Refused)));
    assert!(!due(&run, Err(Reason::Local(24))));
    assert!(!due(&run, Ok(())));
    run.storm = true;
    run.time_out();
    assert!(!due(&run, Err(Reason::Timeout)), "held already");
    run.refuse(1);
    assert!(!due(&run, Err(Reason::Timeout)), "down already");
}
