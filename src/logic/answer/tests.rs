use super::*;

fn alias(owner: &str, ttl: u32, target: &str) -> Record {
    Record {
        owner: owner.into(),
        ttl,
        data: Data::Alias(target.into()),
    }
}

fn address(owner: &str, ttl: u32, ip: &str) -> Record {
    Record {
        owner: owner.into(),
        ttl,
        data: Data::Address(ip.parse().unwrap()),
    }
}

fn found(ttl: u32, ips: &[&str]) -> Outcome {
    let addrs = ips.iter().map(|ip| Addr {
        ip: ip.parse().unwrap(),
        scope: 0,
    });
    Outcome::Addresses {
        addrs: addrs.collect(),
        ttl,
    }
}

#[test]
fn plain_answers() {
    let records = [
        address("app.test.", 60, "10.0.0.2"),
        address("APP.test", 30, "10.0.0.1"),
        address("app.test.", 90, "10.0.0.2"),
        address("app.test.", 5, "fd00::1"),
    ];
    let v4 = follow("app.test.", Family::V4, &records);
    assert_eq!(v4, found(30, &["10.0.0.2", "10.0.0.1"]));
    let v6 = follow("app.test.", Family::V6, &records);
    assert_eq!(v6, found(5, &["fd00::1"]));
}

#[test]
fn strangers_are_ignored() {
    let records = [
        address("other.test.", 1, "10.6.6.6"),
        alias("other.test.", 1, "app.test."),
        address("app.test.", 60, "10.0.0.1"),
        address("b.test.", 1, "10.6.6.7"),
    ];
    let got = follow("app.test.", Family::V4, &records);
    assert_eq!(got, found(60, &["10.0.0.1"]));
    assert_eq!(follow("x.test.", Family::V4, &records), Outcome::Empty);
    assert_eq!(follow("app.test.", Family::V6, &records), Outcome::Empty);
    assert_eq!(follow("app.test.", Family::V4, &[]), Outcome::Empty);
}

#[test]
fn a_chain_is_followed_in_any_order_and_has_the_least_ttl() {
    let chain = [
        alias("app.test.", 300, "lb.test."),
        alias("lb.test.", 20, "node.cloud.test."),
        address("node.cloud.test.", 60, "10.0.0.1"),
        address("node.cloud.test.", 70, "10.0.0.2"),
    ];
    let wanted = found(20, &["10.0.0.1", "10.0.0.2"]);
    assert_eq!(follow("app.test.", Family::V4, &chain), wanted);
    let mut mixed = chain.to_vec();
    mixed.rotate_left(2);
    assert_eq!(follow("app.test.", Family::V4, &mixed), wanted);
    mixed.swap(2, 3);
    assert_eq!(follow("app.test.", Family::V4, &mixed), wanted);
}

#[test]
fn chains_without_an_end() {
    let open = [alias("app.test.", 60, "lb.test.")];
    assert_eq!(follow("app.test.", Family::V4, &open), Outcome::Empty);
    let loops = [
        alias("app.test.", 60, "lb.test."),
        alias("lb.test.", 60, "app.test."),
    ];
    assert_eq!(follow("app.test.", Family::V4, &loops), Outcome::Empty);
    let own = [alias("app.test.", 60, "app.test.")];
    assert_eq!(follow("app.test.", Family::V6, &own), Outcome::Empty);
}

#[test]
fn the_longest_chain() {
    let chain = |aliases: usize| {
        let name = |n: usize| format!("n{n}.test.");
        let mut records: Vec<_> = (0..aliases)
            .map(|n| alias(&name(n), 60, &name(n + 1)))
            .collect();
        records.push(address(&name(aliases), 60, "10.0.0.1"));
        follow("n0.test.", Family::V4, &records)
    };
    assert_eq!(chain(MAX_ALIASES), found(60, &["10.0.0.1"]));
    assert_eq!(chain(MAX_ALIASES + 1), Outcome::Empty);
}

#[test]
fn odd_ttls() {
    for (ttl, wanted) in [
        (0, 0),
        (1_000_000, 1_000_000),
        (0x7fff_ffff, 0x7fff_ffff),
        (0x8000_0000, 0),
        (u32::MAX, 0),
    ] {
        let records = [address("a.test.", ttl, "10.0.0.1")];
        let got = follow("a.test.", Family::V4, &records);
        assert_eq!(got, found(wanted, &["10.0.0.1"]), "TTL {ttl}");
    }
}

#[test]
fn failures_keep_their_codes() {
    let failures = [
        (Failure::Timeout, 1, "no answer in time"),
        (Failure::ServFail, 2, "SERVFAIL"),
        (Failure::Refused, 3, "REFUSED"),
        (Failure::Garbage, 4, "unreadable answer"),
        (Failure::Network, 5, "name server not reachable"),
        (Failure::BadName, 6, "not a valid DNS name"),
        (Failure::Code(1), 0x101, "FORMERR"),
        (Failure::Code(4), 0x104, "NOTIMP"),
        (Failure::Code(255), 0x1ff, "response code 255"),
    ];
    for (failure, code, text) in failures {
        assert_eq!(Outcome::Failed(failure).error(), code);
        assert_eq!(Failure::from_code(code), Some(failure));
        assert_eq!(ErrorText(code).to_string(), text);
    }
    assert_eq!(
        ErrorText(Outcome::Empty.error()).to_string(),
        "no addresses"
    );
    assert_eq!(ErrorText(Outcome::NoName.error()).to_string(), "NXDOMAIN");
    assert_eq!(Outcome::NotAsked.error(), 0);
    for code in [0, 7, 8, 9, 0xff, 0x200, u32::MAX] {
        assert_eq!(Failure::from_code(code), None, "{code}");
    }
    assert_eq!(ErrorText(9999).to_string(), "error 9999");
}
