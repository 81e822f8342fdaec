//! What is kept, asked and said while DNS fails.

use super::*;

#[test]
fn nothing_usable_keeps_the_addresses() {
    let bad: [(Outcome, Outcome, &str); 8] = [
        (SERVFAIL, SERVFAIL, "A: SERVFAIL, AAAA: SERVFAIL"),
        (
            TIMEOUT,
            TIMEOUT,
            "A: no answer in time, AAAA: no answer in time",
        ),
        (
            Outcome::NoName,
            Outcome::NoName,
            "A: NXDOMAIN, AAAA: NXDOMAIN",
        ),
        (
            Outcome::Empty,
            Outcome::Empty,
            "A: no addresses, AAAA: no addresses",
        ),
        (SERVFAIL, Outcome::Empty, "A: SERVFAIL, AAAA: no addresses"),
        (
            Outcome::NoName,
            TIMEOUT,
            "A: NXDOMAIN, AAAA: no answer in time",
        ),
        (
            Outcome::Failed(Failure::Garbage),
            Outcome::Failed(Failure::Refused),
            "A: unreadable answer, AAAA: REFUSED",
        ),
        (
            gives(&[], 5),
            Outcome::Empty,
            "A: no addresses, AAAA: no addresses",
        ),
    ];
    for (v4, v6, reasons) in bad {
        let mut name = Name::good(gives(&["10.0.0.1"], 5), gives(&["fd00::1"], 5));
        let first = name.step(6_000, dns(v4.clone(), v6.clone()));
        assert_eq!(name.shows(), "10.0.0.1 fd00::1");
        assert!(!first.changed && first.wake);
        let text = format!(
            "name app.test: DNS fails ({reasons}), keeping 10.0.0.1, fd00::1; next try in 1 s"
        );
        assert_eq!(lines(&first), [(Level::Warn, text)]);
        assert_eq!(first.due_ms, 7_000);
        let again = name.step(7_000, dns(v4, v6));
        assert!(again.events.is_empty() && !again.wake);
        assert_eq!(again.due_ms, 9_000);
        assert_eq!(again.record.v4.failing_since_ms, 6_000);
        assert_eq!(again.record.v4.good_ms, 1_000);
        assert_eq!(again.record.v6.failures, 2);
        assert_eq!(name.asks(8_999), None);
        assert_eq!(name.asks(9_000), Some((Families::ANY, false)));
    }
}

/// A name without any address: nothing can be served until it answers.
#[test]
fn what_never_resolved_is_tried_often() {
    let mut name = Name::new(BOUNDS);
    let (mut now, mut pauses) = (1_000, Vec::new());
    for _ in 0..6 {
        let step = name.step(now, dns(SERVFAIL, TIMEOUT));
        pauses.push((step.due_ms - now) / 1_000);
        now = step.due_ms;
    }
    assert_eq!(pauses, [1, 2, 4, 4, 4, 4]);
}

/// An address dies again and again while DNS fails: each time it is asked for, and nothing is put off by that.
#[test]
fn tries_out_of_turn_keep_the_pace() {
    let mut name = Name::good(gives(&["10.0.0.1"], 5), Outcome::Empty);
    name.step(10_000, dns(SERVFAIL, TIMEOUT));
    let due = name.step(11_000, dns(SERVFAIL, TIMEOUT)).due_ms;
    let turn = [name.record.v4, name.record.v6];
    assert_eq!((due, turn[0].failures), (13_000, 2));
    for now in [11_500, 12_500] {
        hurry(&mut name.record, now);
        assert_eq!(name.record.v4.retry_ms, now);
        name.step(now, dns(SERVFAIL, TIMEOUT));
        keep_turn(&mut name.record, &turn, now);
        let families = [name.record.v4, name.record.v6];
        assert_eq!(families.map(|f| (f.failures, f.retry_ms)), [(2, due); 2]);
    }
    // Its turn has come meanwhile: this one counts.
    let after = name.step(13_200, dns(SERVFAIL, TIMEOUT)).record;
    keep_turn(&mut name.record, &turn, 13_200);
    assert_eq!((name.record.v4.failures, after.v4.failures), (3, 3));
    // A good answer stays one.
    name.step(13_400, dns(gives(&["10.0.0.2"], 5), TIMEOUT));
    keep_turn(&mut name.record, &turn, 11_000);
    assert_eq!((name.record.v4.failures, name.record.v4.retry_ms), (0, 0));
}

#[test]
fn the_backoff_ends_at_30_seconds_and_with_an_answer() {
    let mut name = Name::good(gives(&["10.0.0.1"], 5), Outcome::Empty);
    let mut now = 6_000;
    let mut pauses = Vec::new();
    for _ in 0..8 {
        let step = name.step(now, dns(TIMEOUT, TIMEOUT));
        pauses.push((step.due_ms - now) / 1_000);
        now = step.due_ms;
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30, 30]);
    let step = name.step(now, dns(gives(&["10.0.0.1"], 5), Outcome::Empty));
    assert!(!step.changed && step.wake);
    assert_eq!(step.due_ms, now + 5_000);
    let text = "name app.test: DNS answers again after 121 s";
    assert_eq!(lines(&step), [(Level::Notice, text.into())]);
    assert!(!is_failing(&name.record));
    assert_eq!(name.record.v4.failures, 0);
}

#[test]
fn a_name_that_never_answered() {
    let mut name = Name::new(BOUNDS);
    let step = name.step(0, dns(SERVFAIL, Outcome::NoName));
    let text = "name app.test: DNS fails (A: SERVFAIL, AAAA: NXDOMAIN), no addresses yet; \
                next try in 1 s";
    assert_eq!(lines(&step), [(Level::Warn, text.into())]);
    assert!(step.wake && !step.changed);
    assert_eq!(step.record.source, Source::None);
    assert_eq!(name.asks(500), None);
    assert_eq!(name.asks(1_001), Some((Families::ANY, false)));
    let step = name.step(1_100, dns(gives(&["10.0.0.1"], 5), Outcome::NoName));
    let levels: Vec<_> = lines(&step).into_iter().map(|(level, _)| level).collect();
    assert_eq!(levels, [Level::Notice, Level::Info]);
}

#[test]
fn one_family_fails_and_is_asked_alone() {
    for (bad, v4_fails) in [(Families::V6, false), (Families::V4, true)] {
        let (good, v4, v6) = match v4_fails {
            true => (Families::V6, TIMEOUT, gives(&["fd00::1"], 60)),
            false => (Families::V4, gives(&["10.0.0.1"], 60), TIMEOUT),
        };
        let mut name = Name::good(gives(&["10.0.0.1"], 5), gives(&["fd00::1"], 5));
        let step = name.step(6_000, dns(v4, v6));
        assert_eq!(name.shows(), "10.0.0.1 fd00::1");
        assert_eq!(lines(&step)[0].0, Level::Warn);
        assert_eq!((step.due_ms, name.record.expires_ms), (7_000, 66_000));
        assert_eq!(name.asks(7_000), Some((bad, true)));

        let alone = |outcome: Outcome| match v4_fails {
            true => dns(outcome, Outcome::NotAsked),
            false => dns(Outcome::NotAsked, outcome),
        };
        let step = name.step(7_000, alone(TIMEOUT));
        assert!(step.events.is_empty());
        assert_eq!((step.due_ms, name.record.expires_ms), (9_000, 66_000));

        // At the end of its TTL the good one is asked, the failing one at its own time.
        name.record.expires_ms = 8_000;
        assert_eq!(name.asks(8_000), Some((good, true)));
        assert_eq!(name.asks(9_000), Some((Families::ANY, false)));
        name.record.expires_ms = 66_000;

        // Back again: the set is what it says, the good one's time stays.
        let new = if v4_fails { "10.0.0.7" } else { "fd00::7" };
        let step = name.step(9_000, alone(gives(&[new], 600)));
        let wanted = if v4_fails {
            "10.0.0.7 fd00::1"
        } else {
            "10.0.0.1 fd00::7"
        };
        assert_eq!(name.shows(), wanted);
        assert!(step.changed && step.wake);
        assert_eq!((step.due_ms, step.record.ttl_s), (66_000, 60));
        assert_eq!(
            lines(&step)[0].1,
            "name app.test: DNS answers again after 3 s"
        );
        assert_eq!(name.asks(66_000), Some((Families::ANY, false)));
    }
}

#[test]
fn a_family_without_addresses_that_fails_is_no_warning() {
    let mut name = Name::new(BOUNDS);
    let step = name.step(1_000, dns(gives(&["10.0.0.1"], 5), SERVFAIL));
    let all = lines(&step);
    assert_eq!(all[0].0, Level::Info);
    assert_eq!(
        all[0].1,
        "name app.test: DNS fails (AAAA: SERVFAIL), keeping 10.0.0.1; next try in 1 s"
    );
    assert_eq!(all[1].0, Level::Info);
    // When the other one goes too, that is one.
    let step = name.step(2_000, dns(TIMEOUT, SERVFAIL));
    assert_eq!(
        lines(&step),
        [(
            Level::Warn,
            "name app.test: DNS fails (A: no answer in time), keeping 10.0.0.1; next try in 1 s"
                .into()
        )]
    );
    // One of both comes back.
    let step = name.step(4_000, dns(gives(&["10.0.0.1"], 5), SERVFAIL));
    assert_eq!(
        lines(&step),
        [(
            Level::Notice,
            "name app.test: DNS answers A again after 2 s (AAAA: SERVFAIL)".into()
        )]
    );
}
