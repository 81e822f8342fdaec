use super::*;

fn scope(name: &str) -> Option<u32> {
    (name == "eth0").then_some(7)
}

fn get(text: &str, name: &str) -> Vec<String> {
    let hosts = Hosts::parse(text, &scope);
    hosts.get(name).iter().map(Addr::to_string).collect()
}

const FILE: &str = "\
# a comment
127.0.0.1\tlocalhost
::1 localhost ip6-localhost
10.0.0.1 app.test app  # the first
10.0.0.2   APP.TEST.   other
fd00::5 app
fe80::1%eth0 link
fe80::2%3 link
fe80::3%none lost
10.0.0.3
   10.0.0.4 indented
#10.0.0.5 app
nonsense app
10.0.0.1 app
10.0.0.256 app
";

#[test]
fn entries() {
    let cases: [(&str, &[&str]); 10] = [
        ("app.test", &["10.0.0.1", "10.0.0.2"]),
        ("App.Test.", &["10.0.0.1", "10.0.0.2"]),
        ("app", &["10.0.0.1", "fd00::5"]),
        ("other", &["10.0.0.2"]),
        ("localhost", &["127.0.0.1", "::1"]),
        ("link", &["fe80::1%7", "fe80::2%3"]),
        ("lost", &[]),
        ("indented", &["10.0.0.4"]),
        ("first", &[]),
        ("10.0.0.3", &[]),
    ];
    for (name, wanted) in cases {
        assert_eq!(get(FILE, name), wanted, "{name}");
    }
}

#[test]
fn the_same_entries_are_the_same_file() {
    let a = Hosts::parse("10.0.0.1 app\n", &scope);
    assert_eq!(a, Hosts::parse("# new\n10.0.0.1   app # x", &scope));
    assert_ne!(a, Hosts::parse("10.0.0.2 app\n", &scope));
    assert_eq!(Hosts::parse("", &scope), Hosts::default());
    assert_eq!(Hosts::parse("\r\n10.0.0.1 app\r\n", &scope), a);
}

#[test]
fn addresses_with_and_without_scope() {
    for (text, wanted) in [
        ("10.0.0.1", Some("10.0.0.1")),
        ("::1", Some("::1")),
        ("fe80::1%eth0", Some("fe80::1%7")),
        ("fe80::1%12", Some("fe80::1%12")),
        ("fe80::1%", None),
        ("10.0.0.1%eth0", None),
        ("[::1]", None),
        ("app", None),
        ("", None),
    ] {
        let got = parse_addr(text, &scope).map(|addr| addr.to_string());
        assert_eq!(got.as_deref(), wanted, "{text}");
    }
}

#[test]
fn loopback_is_for_localhost_names() {
    assert_eq!(loopback("localhost").len(), 2);
    assert_eq!(loopback("x.localhost.").len(), 2);
    assert!(loopback("app.test").is_empty());
}

#[test]
fn names_that_dns_is_not_asked_for() {
    let hosts = Hosts::parse("127.0.0.1 localhost\n10.0.0.1 app\n", &scope);
    let answer = |name, want| {
        hosts
            .answer(name, want)
            .map(|lookup| (lookup.v4, lookup.v6))
    };
    let addresses = |addr: &str| Outcome::Addresses {
        addrs: vec![parse_addr(addr, &scope).unwrap()],
        ttl: 0,
    };
    use Families as F;
    use Outcome::{Empty, NotAsked};
    for (name, want, wanted) in [
        ("app", F::ANY, Some((addresses("10.0.0.1"), Empty))),
        ("app", F::V4, Some((addresses("10.0.0.1"), NotAsked))),
        // an entry of the other family alone: DNS may know more
        ("app", F::V6, None),
        ("other", F::ANY, None),
        ("10.9.9.9", F::ANY, Some((addresses("10.9.9.9"), Empty))),
        ("10.9.9.9", F::V6, Some((NotAsked, Empty))),
        ("localhost", F::ANY, Some((addresses("127.0.0.1"), Empty))),
        ("localhost", F::V6, Some((NotAsked, addresses("::1")))),
        (
            "x.localhost",
            F::V4,
            Some((addresses("127.0.0.1"), NotAsked)),
        ),
    ] {
        assert_eq!(answer(name, want), wanted, "{name}");
    }
}
