use super::super::answer::Failure;
use super::*;

fn rules(ndots: u32, search: &[&str]) -> Rules {
    Rules {
        ndots,
        search: search.iter().map(|s| s.to_string()).collect(),
    }
}

#[test]
fn the_order_of_candidates() {
    let two = ["a.test", "b.test."];
    let cases: [(&str, u32, &[&str], &[&str]); 13] = [
        ("app", 1, &two, &["app.a.test.", "app.b.test.", "app."]),
        (
            "app.x",
            1,
            &two,
            &["app.x.", "app.x.a.test.", "app.x.b.test."],
        ),
        (
            "app.x",
            2,
            &two,
            &["app.x.a.test.", "app.x.b.test.", "app.x."],
        ),
        (
            "a.b.c.d.e.f",
            5,
            &["s"],
            &["a.b.c.d.e.f.", "a.b.c.d.e.f.s."],
        ),
        ("a.b.c.d.e", 5, &["s"], &["a.b.c.d.e.s.", "a.b.c.d.e."]),
        ("app", 0, &two, &["app.", "app.a.test.", "app.b.test."]),
        ("app.", 1, &two, &["app."]),
        ("app.x.", 5, &two, &["app.x."]),
        ("app", 1, &[], &["app."]),
        ("app.x", 1, &[], &["app.x."]),
        ("app", 1, &["."], &["app."]),
        ("app", 1, &["a.test", "a.test"], &["app.a.test.", "app."]),
        ("my_app", 1, &["ns.svc"], &["my_app.ns.svc.", "my_app."]),
    ];
    for (name, ndots, search, wanted) in cases {
        let got = candidates(name, &rules(ndots, search));
        assert_eq!(got, wanted, "{name} with ndots {ndots} and {search:?}");
    }
}

#[test]
fn only_a_clear_no_goes_on() {
    let yes = || Outcome::Addresses {
        addrs: Vec::new(),
        ttl: 1,
    };
    let fail = || Outcome::Failed(Failure::ServFail);
    let late = || Outcome::Failed(Failure::Timeout);
    use Outcome::{Empty, NoName, NotAsked};
    for (v4, v6, wanted) in [
        (NoName, NoName, true),
        (Empty, Empty, true),
        (Empty, NoName, true),
        (NoName, NotAsked, true),
        (NotAsked, Empty, true),
        (yes(), NoName, false),
        (Empty, yes(), false),
        (fail(), NoName, false),
        (NoName, fail(), false),
        (Empty, late(), false),
        (late(), NotAsked, false),
        (fail(), yes(), false),
    ] {
        assert_eq!(goes_on(&v4, &v6), wanted, "{v4:?} and {v6:?}");
    }
}

#[test]
fn localhost_and_below() {
    for name in ["localhost", "LocalHost.", "app.localhost", "a.b.localhost."] {
        assert!(is_localhost(name), "{name}");
    }
    for name in ["localhost.test", "mylocalhost", "localhost.localdomain", ""] {
        assert!(!is_localhost(name), "{name}");
    }
}
