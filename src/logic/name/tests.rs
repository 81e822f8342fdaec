use std::net::{Ipv4Addr, SocketAddr};

use super::*;
use crate::logic::answer::Failure;

mod failures;

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
        let questions = questions(&self.record, self.bounds.want, Families::NONE, now_ms)?;
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

/// One family answers at once, the other one much later.
#[test]
fn a_slow_family_does_not_hold_up_the_other() {
    let busy = |name: &Name, busy, now| {
        let questions = questions(&name.record, Families::ANY, busy, now)?;
        Some((questions.families, questions.partial))
    };
    let mut name = Name::good(gives(&["10.0.0.1"], 5), gives(&["fd00::1"], 5));
    assert_eq!(name.asks(6_000), Some((Families::ANY, false)));
    let step = name.step(6_000, dns(gives(&["10.0.0.2"], 5), Outcome::Pending));
    assert!(step.changed && step.wake);
    assert_eq!(name.shows(), "10.0.0.2 fd00::1");
    assert_eq!(step.due_ms, 11_000);
    assert_eq!(busy(&name, Families::V6, 10_999), None);
    assert_eq!(
        busy(&name, Families::V6, 11_000),
        Some((Families::V4, true))
    );
    // The slow one answers in time: both have the time of the first.
    let step = name.step(8_000, dns(Outcome::NotAsked, gives(&["fd00::1"], 5)));
    assert_eq!((step.due_ms, step.events.len()), (11_000, 0));
    // It answers, empty, only when the first is being asked again.
    let step = name.step(11_500, dns(Outcome::Pending, Outcome::Empty));
    assert_eq!((name.shows().as_str(), step.due_ms), ("10.0.0.2", 16_500));
    let step = name.step(12_000, dns(gives(&["10.0.0.2"], 9), Outcome::NotAsked));
    assert_eq!(step.due_ms, 16_500);
    // It fails in the end.
    let step = name.step(16_500, dns(gives(&["10.0.0.2"], 9), Outcome::Pending));
    assert_eq!(step.due_ms, 25_500);
    let step = name.step(20_500, dns(Outcome::NotAsked, TIMEOUT));
    assert_eq!((step.due_ms, lines(&step)[0].0), (21_500, Level::Info));
    // Never asked, and the other one under way.
    let name = Name::new(BOUNDS);
    assert_eq!(busy(&name, Families::V4, 0), Some((Families::V6, true)));
    assert_eq!(busy(&name, Families::ANY, 0), None);
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
    assert_eq!(due(&name.record, Families::ANY, Families::NONE), 3_000);
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
