use std::net::{Ipv4Addr, SocketAddr};

use super::*;
use crate::logic::answer::Failure;

const BOUNDS: Bounds = Bounds {
    ttl_min: Duration::from_secs(1),
    ttl_max: Duration::from_secs(3_600),
    want: Families::ANY,
};

fn addrs(ips: &[&str]) -> Vec<Addr> {
    let addr = |ip: &&str| Addr {
        ip: ip.parse().unwrap(),
        scope: 0,
    };
    ips.iter().map(addr).collect()
}

fn gives(ips: &[&str], ttl: u32) -> Outcome {
    Outcome::Addresses {
        addrs: addrs(ips),
        ttl,
    }
}

const SERVFAIL: Outcome = Outcome::Failed(Failure::ServFail);
const TIMEOUT: Outcome = Outcome::Failed(Failure::Timeout);

fn dns(v4: Outcome, v6: Outcome) -> Lookup {
    Lookup {
        v4,
        v6,
        candidate: "app.test.".into(),
        source: Source::Dns,
        by: Some("127.0.0.1:5353".parse::<SocketAddr>().unwrap()),
        queries: 2,
    }
}

/// A name and what happens to it; without jitter.
struct Name {
    record: NameRecord,
    bounds: Bounds,
}

impl Name {
    fn new(bounds: Bounds) -> Self {
        let record = NameRecord::default();
        Self { record, bounds }
    }

    fn good(v4: Outcome, v6: Outcome) -> Self {
        let mut name = Self::new(BOUNDS);
        name.step(1_000, dns(v4, v6));
        name
    }

    fn step(&mut self, now_ms: u64, lookup: Lookup) -> Step {
        let step = step(&self.record, now_ms, &lookup, &self.bounds, 0);
        self.record = step.record.clone();
        step
    }

    fn asks(&self, now_ms: u64) -> Option<(Families, bool)> {
        let questions = questions(&self.record, self.bounds.want, now_ms)?;
        Some((questions.families, questions.partial))
    }

    fn shows(&self) -> String {
        let list: Vec<_> = self.record.addrs.iter().map(Addr::to_string).collect();
        list.join(" ")
    }
}

fn lines(step: &Step) -> Vec<(Level, String)> {
    let line = |event: &Event| (event.level(), event.text("app.test"));
    step.events.iter().map(line).collect()
}

#[test]
fn the_first_answer() {
    let mut name = Name::new(BOUNDS);
    assert_eq!(name.asks(0), Some((Families::ANY, false)));
    let step = name.step(
        5_000,
        dns(gives(&["10.0.0.2", "10.0.0.1"], 60), Outcome::Empty),
    );
    // Sorted, so that all leaders agree.
    assert_eq!(name.shows(), "10.0.0.1 10.0.0.2");
    assert!(step.changed && step.wake);
    assert_eq!(step.due_ms, 65_000);
    assert_eq!((step.record.ttl_s, step.record.expires_ms), (60, 65_000));
    assert_eq!(step.record.source, Source::Dns);
    assert_eq!(
        (step.record.v4.good_ms, step.record.v6.good_ms),
        (5_000, 5_000)
    );
    let text = "name app.test: addresses none -> 10.0.0.1, 10.0.0.2 (TTL 60 s, by 127.0.0.1:5353)";
    assert_eq!(lines(&step), [(Level::Info, text.into())]);
    assert_eq!(name.asks(64_999), None);
    assert_eq!(name.asks(65_000), Some((Families::ANY, false)));
}

#[test]
fn a_refresh_with_the_same_set_changes_nothing() {
    let mut name = Name::good(gives(&["10.0.0.1", "10.0.0.2"], 5), gives(&["fd00::1"], 9));
    assert_eq!(name.record.expires_ms, 6_000);
    let step = name.step(
        6_000,
        dns(gives(&["10.0.0.2", "10.0.0.1"], 5), gives(&["fd00::1"], 9)),
    );
    assert!(!step.changed && !step.wake && step.events.is_empty());
    assert_eq!(name.shows(), "10.0.0.1 10.0.0.2 fd00::1");
    assert_eq!(step.due_ms, 11_000);
    assert_eq!(step.record.v4.good_ms, 6_000);
}

#[test]
fn a_change_keeps_the_order_of_what_stays() {
    let mut name = Name::good(gives(&["10.0.0.2", "10.0.0.5"], 5), gives(&["fd00::1"], 5));
    let step = name.step(
        6_000,
        dns(
            gives(&["10.0.0.1", "10.0.0.9", "10.0.0.5", "10.0.0.3"], 5),
            Outcome::Empty,
        ),
    );
    assert!(step.changed && step.wake);
    assert_eq!(name.shows(), "10.0.0.5 10.0.0.1 10.0.0.3 10.0.0.9");
    let text = "name app.test: addresses 10.0.0.2, 10.0.0.5, fd00::1 -> \
                10.0.0.5, 10.0.0.1, 10.0.0.3, 10.0.0.9 (TTL 5 s, by 127.0.0.1:5353)";
    assert_eq!(lines(&step), [(Level::Notice, text.into())]);
}

#[test]
fn the_ttl_has_bounds_and_jitter() {
    for (ttl, rnd, after, seconds) in [
        (0, 0, 1_000, 1),
        (0, u32::MAX, 1_100, 1),
        (1_000_000, 0, 3_600_000, 3_600),
        (1_000_000, u32::MAX, 3_600_250, 3_600),
        (5, u32::MAX, 5_250, 5),
    ] {
        let lookup = dns(gives(&["10.0.0.1"], ttl), Outcome::NoName);
        let step = step(&NameRecord::default(), 1_000, &lookup, &BOUNDS, rnd);
        assert_eq!(
            (step.due_ms, step.record.ttl_s),
            (1_000 + after, seconds),
            "TTL {ttl}"
        );
    }
}

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
    assert_eq!((name.record.v4.failures, name.record.v4.error), (0, 0));
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
fn an_empty_family_beside_a_good_one_is_believed() {
    let empties = [Outcome::Empty, Outcome::NoName];
    for empty in empties {
        let mut name = Name::good(gives(&["10.0.0.1"], 5), gives(&["fd00::1"], 5));
        name.step(6_000, dns(gives(&["10.0.0.1"], 5), empty.clone()));
        assert_eq!(name.shows(), "10.0.0.1");
        assert!(!is_failing(&name.record));
        // The same when it was asked alone.
        let mut name = Name::good(gives(&["10.0.0.1"], 50), SERVFAIL);
        let step = name.step(2_000, dns(Outcome::NotAsked, empty));
        assert!(!is_failing(&name.record));
        assert_eq!(step.due_ms, 51_000);
        assert_eq!(
            lines(&step),
            [(
                Level::Info,
                "name app.test: DNS answers again after 1 s".to_owned()
            )]
        );
    }
    // Nothing is believed while the other one fails or was lost.
    let mut name = Name::good(gives(&["10.0.0.1"], 5), gives(&["fd00::1"], 5));
    name.step(6_000, dns(TIMEOUT, gives(&["fd00::1"], 5)));
    name.step(6_500, dns(Outcome::NotAsked, Outcome::Empty));
    assert_eq!(name.shows(), "10.0.0.1 fd00::1");
    assert_eq!(name.asks(7_500), Some((Families::ANY, false)));
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

#[test]
fn only_what_is_wanted_counts() {
    let mut name = Name::new(Bounds {
        want: Families::V4,
        ..BOUNDS
    });
    let step = name.step(1_000, dns(gives(&["10.0.0.1"], 5), Outcome::NotAsked));
    assert_eq!(step.due_ms, 6_000);
    assert_eq!(name.asks(6_000), Some((Families::V4, false)));
    let step = name.step(6_000, dns(Outcome::Empty, Outcome::NotAsked));
    assert_eq!((name.shows().as_str(), step.due_ms), ("10.0.0.1", 7_000));
    // A reload wants more, another one less.
    name.bounds.want = Families::ANY;
    assert_eq!(name.asks(6_001), Some((Families::ANY, false)));
    name.step(6_001, dns(gives(&["10.0.0.1"], 5), gives(&["fd00::1"], 5)));
    assert_eq!(name.shows(), "10.0.0.1 fd00::1");
    name.bounds.want = Families::V6;
    name.step(11_001, dns(Outcome::NotAsked, gives(&["fd00::1"], 5)));
    assert_eq!(name.shows(), "fd00::1");
    assert_eq!(name.record.v4, FamilyState::default());
}

#[test]
fn the_hosts_file() {
    let mut name = Name::good(gives(&["10.0.0.1"], 5), gives(&["fd00::1"], 5));
    let mut lookup = dns(gives(&["10.0.0.3"], 0), Outcome::Empty);
    (lookup.source, lookup.by) = (Source::Hosts, None);
    let step = name.step(2_000, lookup);
    assert_eq!(name.shows(), "10.0.0.3");
    assert_eq!((step.record.source, step.record.ttl_s), (Source::Hosts, 0));
    assert_eq!(step.due_ms, 2_000 + HOSTS_RECHECK_MS);
    let text = "name app.test: addresses 10.0.0.1, fd00::1 -> 10.0.0.3 (from the hosts file)";
    assert_eq!(lines(&step), [(Level::Notice, text.into())]);
    // The entry goes and DNS knows nothing: the last good address stays.
    let step = name.step(3_000, dns(Outcome::NoName, Outcome::NoName));
    assert_eq!((name.shows().as_str(), step.due_ms), ("10.0.0.3", 4_000));
}

#[test]
fn too_many_addresses() {
    let all: Vec<Addr> = (0..200)
        .map(|n| Addr::v4(Ipv4Addr::new(10, 0, 0, n)))
        .collect();
    let many = Outcome::Addresses { addrs: all, ttl: 5 };
    let mut name = Name::new(BOUNDS);
    let step = name.step(1_000, dns(many.clone(), gives(&["fd00::1"], 5)));
    assert_eq!(name.record.addrs.len(), MAX_ADDRS);
    let all = lines(&step);
    assert!(all[0].1.contains(" and 88 more (TTL"), "{}", all[0].1);
    let text = "name app.test: 201 addresses, only 128 are used";
    assert_eq!(all[1], (Level::Warn, text.into()));
    let step = name.step(6_000, dns(many, gives(&["fd00::1"], 5)));
    assert!(!step.changed && step.events.is_empty());
}

#[test]
fn what_another_leader_left_is_bounded() {
    let mut name = Name::good(gives(&["10.0.0.1"], 5), gives(&["fd00::1"], 5));
    let before = name.record.clone();
    resume(&mut name.record, &BOUNDS, 2_000);
    assert_eq!(name.record, before);
    // Written by somebody with other bounds, or nonsense.
    name.record.expires_ms = u64::MAX;
    name.record.v4.failing_since_ms = 1;
    name.record.v4.retry_ms = u64::MAX;
    let short = Bounds {
        ttl_max: Duration::from_secs(10),
        ..BOUNDS
    };
    resume(&mut name.record, &short, 2_000);
    assert_eq!(name.record.expires_ms, 12_250);
    assert_eq!(name.record.v4.retry_ms, 38_000);
    hurry(&mut name.record, 3_000);
    assert_eq!(due(&name.record, Families::ANY), 3_000);
    assert_eq!(name.record.v6.retry_ms, 0);
}

/// Whatever the order of answers: never without addresses after the first good one, never
/// asked again at once, and failing exactly while it says so.
#[test]
fn any_order_of_answers() {
    let mut seed = 0x1234_5678_9abc_def1_u64;
    let mut random = |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed >> 33) % below
    };
    let mut name = Name::new(BOUNDS);
    let (mut now, mut known, mut failing) = (1_000, false, false);
    for _ in 0..20_000 {
        let (families, _) = name.asks(now).expect("it is due");
        let mut outcome = |family: Family| match (families.has(family), random(6), family) {
            (false, _, _) => Outcome::NotAsked,
            (true, 0, _) => SERVFAIL,
            (true, 1, _) => Outcome::NoName,
            (true, 2, _) => Outcome::Empty,
            (true, n, Family::V4) => gives(&["10.0.0.1", "10.0.0.2"][..(n as usize - 1) / 2], 3),
            (true, n, Family::V6) => gives(&["fd00::1", "fd00::2"][..(n as usize - 1) / 2], 7),
        };
        let (v4, v6) = (outcome(Family::V4), outcome(Family::V6));
        let step = name.step(now, dns(v4, v6));
        known |= !step.record.addrs.is_empty();
        assert_eq!(known, !step.record.addrs.is_empty());
        let (began, ended) = (
            |e: &Event| matches!(e, Event::Failing { .. }),
            |e: &Event| matches!(e, Event::Recovered { left, .. } if left.is_empty()),
        );
        let fails = is_failing(&name.record);
        assert!(!fails || failing || step.events.iter().any(began));
        assert_eq!(failing && !fails, step.events.iter().any(ended));
        failing = fails;
        assert!(step.due_ms >= now, "due {} at {now}", step.due_ms);
        now = step.due_ms.max(now + 1);
    }
    assert!(known);
}
