//! The port answers, but not as it should, or not in time.

use super::*;

/// One of each kind of bad answers.
const BAD: [Reason; 5] = [
    Reason::Tls(TlsFault::Closed),
    Reason::Tls(TlsFault::Alert(40)),
    Reason::Status(503),
    Reason::Malformed(Flaw::NotHttp),
    Reason::Malformed(Flaw::Reset),
];
const LATE: [Reason; 2] = [Reason::Silent(Layer::Tls), Reason::Silent(Layer::Http)];

#[test]
fn a_bad_answer_is_confirmed_at_once() {
    for reason in BAD {
        let mut run = Run::up();
        let step = run.next(Err(reason));
        assert!(step.first_failure && step.ask_dns && step.class_changed);
        assert_eq!((run.state(), run.pause()), (State::Up, 100), "{reason}");
        let step = run.next(Err(reason));
        assert_eq!(step.change, Some((State::Up, State::Down)), "{reason}");
        assert_eq!(run.health.reason, Some(reason));
        // The last member of a balancer stays in.
        assert!(!run.health.is_hard_down(1), "{reason}");
        assert!(!run.health.is_gone(), "{reason}");
        run.oks(2);
        assert_eq!(run.state(), State::Up);
    }
}

#[test]
fn one_bad_answer_changes_nothing_and_livefall_counts() {
    for reason in BAD {
        let mut run = Run::up();
        run.rules.fall = 4;
        for _ in 0..3 {
            run.repeat(3, Err(reason));
            run.oks(1);
        }
        assert_eq!(run.changes, [], "{reason}");
        run.repeat(4, Err(reason));
        assert_eq!(run.state(), State::Down, "{reason}");
    }
}

/// As with a connect that is not answered: a lost packet is repeated within a second.
#[test]
fn an_answer_that_does_not_come_needs_a_second() {
    for reason in LATE {
        let mut run = Run::up();
        run.rules.timeout_ms = 200;
        let begun = run.health.due_ms;
        let mut failures = 0;
        while run.state() == State::Up {
            run.next(Err(reason));
            failures += 1;
            let took = run.health.last_ms - begun;
            assert_eq!(run.state() == State::Down, took >= 1_000, "{took}");
        }
        assert_eq!(failures, 4, "{reason}");
        assert!(!run.health.is_hard_down(1) && !run.health.is_gone());
    }
}

#[test]
fn a_mixed_series_counts_and_the_last_reason_stands() {
    let mut run = Run::up();
    run.next(Err(LATE[1]));
    run.next(Err(Reason::Status(500)));
    assert_eq!(run.state(), State::Down);
    assert_eq!(run.health.reason, Some(Reason::Status(500)));
    // Nobody listens any more: that is harder.
    run.refuse(2);
    assert!(run.health.is_hard_down(2) && run.health.is_gone());
    run.next(Err(Reason::Status(500)));
    assert!(!run.health.is_hard_down(2) && !run.health.is_gone());
}

#[test]
fn who_answers_again_is_not_gone() {
    let mut run = Run::up();
    run.refuse(2);
    assert!(run.health.is_gone());
    run.oks(1);
    assert_eq!(run.state(), State::Down);
    assert!(!run.health.is_gone());
}

#[test]
fn in_a_storm_late_answers_are_held_and_bad_ones_are_not() {
    for reason in LATE {
        let mut run = Run::up();
        run.storm = true;
        run.repeat(2, Err(reason));
        assert_eq!((run.state(), run.health.held_ms != 0), (State::Up, true));
        while run.state() == State::Up {
            run.next(Err(reason));
        }
        assert!(run.health.last_ms >= run.health.first_fail_ms + 3_000);
    }
    for reason in BAD {
        let mut run = Run::up();
        run.storm = true;
        run.repeat(2, Err(reason));
        assert_eq!((run.state(), run.health.held_ms), (State::Down, 0));
    }
    // Somebody answered: what was held is confirmed.
    let mut run = Run::up();
    run.storm = true;
    run.repeat(2, Err(LATE[0]));
    run.next(Err(BAD[0]));
    assert_eq!((run.state(), run.health.held_ms), (State::Down, 0));
}

#[test]
fn each_reason_is_of_one_class() {
    for reason in BAD {
        assert!(!reason.is_stormy() && !reason.is_time_out(), "{reason}");
        assert!(!reason.is_transport() && !reason.is_hard(), "{reason}");
        assert!(reason.is_bad_answer(), "{reason}");
    }
    for reason in LATE {
        assert!(reason.is_stormy() && reason.is_time_out(), "{reason}");
        assert!(!reason.is_bad_answer(), "{reason}");
        assert!(!reason.is_transport() && !reason.is_hard(), "{reason}");
    }
    let transport = [
        Reason::Refused,
        Reason::Reset,
        Reason::Timeout,
        Reason::Unreachable(113),
    ];
    assert!(transport.iter().all(|reason| reason.is_transport()));
    assert!(!Reason::Local(24).is_transport() && !Reason::Local(24).is_stormy());
}

#[test]
fn bad_answers_read_as_an_administrator_says_them() {
    let cases = [
        (LATE[0], "TLS time-out"),
        (LATE[1], "HTTP time-out"),
        (BAD[0], "TLS failure: closed without an answer"),
        (BAD[2], "unexpected HTTP status 503"),
        (BAD[3], "malformed HTTP answer: no status line"),
        (
            BAD[4],
            "malformed HTTP answer: reset before the end of the header",
        ),
    ];
    for (reason, text) in cases {
        assert_eq!(reason.to_string(), text);
    }
}
