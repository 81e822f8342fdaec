//! The modes of the DNS server, seen by a plain client and by the system's getaddrinfo.

use live_kit::{Dns, Fault, Type, World, answers, ask, scenario};
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

const SERVER: &str = "127.0.0.1:53";
const SHORT: Duration = Duration::from_millis(300);

fn udp(name: &str, kind: Type) -> Option<live_kit::Asked> {
    ask(
        SERVER.parse().expect("address"),
        name,
        kind,
        Some(1232),
        false,
        SHORT,
    )
}

fn tcp(name: &str, kind: Type) -> Option<live_kit::Asked> {
    ask(
        SERVER.parse().expect("address"),
        name,
        kind,
        None,
        true,
        SHORT,
    )
}

fn system(name: &str) -> Vec<String> {
    let found = (name, 80)
        .to_socket_addrs()
        .map(Iterator::collect::<Vec<SocketAddr>>)
        .unwrap_or_default();
    let mut found: Vec<String> = found.into_iter().map(|a| a.ip().to_string()).collect();
    found.sort();
    found
}

#[test]
fn answers_and_counts() {
    scenario(|w: &mut World| {
        w.dns
            .set("app.test", answers(&["127.0.0.2", "127.0.0.3"], 7));
        let got = udp("App.test", Type::A).expect("an answer");
        assert_eq!(
            (got.rcode, got.answers, got.same_id, got.truncated),
            (0, 2, true, false)
        );
        assert_eq!(udp("app.test", Type::Aaaa).expect("an answer").answers, 0);
        assert_eq!(udp("other.test", Type::A).expect("an answer").rcode, 3);
        assert_eq!(
            (
                w.dns.count("app.test", Type::A),
                w.dns.count("app.test", Type::Aaaa)
            ),
            (1, 1)
        );
        w.dns.cname("alias.test", "app.test", 3);
        assert_eq!(udp("alias.test", Type::A).expect("an answer").answers, 3);
        w.dns.set("*.wild.test", answers(&["127.0.0.9"], 7));
        assert_eq!(udp("a.b.wild.test", Type::A).expect("an answer").answers, 1);
    });
}

#[test]
fn faults() {
    scenario(|w: &mut World| {
        w.dns.set("app.test", answers(&["127.0.0.2", "::1"], 7));
        for (fault, rcode) in [
            (Fault::ServFail, 2),
            (Fault::NxDomain, 3),
            (Fault::Refused, 5),
            (Fault::Empty, 0),
        ] {
            w.dns.fail("app.test", fault);
            let got = udp("app.test", Type::A).expect("an answer");
            assert_eq!((got.rcode, got.answers), (rcode, 0), "{fault:?}");
        }
        w.dns.fail("app.test", Fault::Silent);
        assert_eq!(udp("app.test", Type::A), None);
        w.dns.fail("app.test", Fault::WrongId);
        assert!(!udp("app.test", Type::A).expect("an answer").same_id);
        w.dns.fail("app.test", Fault::Garbage);
        let got = udp("app.test", Type::A).expect("an answer");
        assert!(got.same_id && got.answers == 9 && got.bytes.len() < 20);
        w.dns.fail("app.test", Fault::Truncated);
        assert!(udp("app.test", Type::A).expect("an answer").truncated);
        assert_eq!(tcp("app.test", Type::A).expect("an answer").answers, 1);
        w.dns.fail("app.test", Fault::TruncatedNoTcp);
        assert_eq!(tcp("app.test", Type::A), None);
        w.dns.heal("app.test");
        w.dns.fail_type("app.test", Type::Aaaa, Fault::ServFail);
        assert_eq!(udp("app.test", Type::A).expect("an answer").answers, 1);
        assert_eq!(udp("app.test", Type::Aaaa).expect("an answer").rcode, 2);
    });
}

#[test]
fn delays_big_answers_and_closed_ports() {
    scenario(|w: &mut World| {
        let many: Vec<String> = (1..=80).map(|n| format!("127.0.1.{n}")).collect();
        w.dns.set(
            "big.test",
            answers(&many.iter().map(String::as_str).collect::<Vec<_>>(), 7),
        );
        assert!(udp("big.test", Type::A).expect("an answer").truncated);
        assert_eq!(tcp("big.test", Type::A).expect("an answer").answers, 80);
        assert_eq!(system("big.test").len(), 80);
        w.dns.delay("big.test", Duration::from_millis(150));
        let start = Instant::now();
        assert!(udp("big.test", Type::A).is_some());
        assert!(start.elapsed() >= Duration::from_millis(150));
        w.dns.down();
        let start = Instant::now();
        assert_eq!(udp("big.test", Type::A), None);
        assert!(start.elapsed() < SHORT, "a closed port is noticed at once");
        w.dns.up();
        w.dns.heal("*");
        assert!(udp("big.test", Type::A).is_some());
    });
}

#[test]
fn the_system_resolver() {
    scenario(|w: &mut World| {
        w.dns.set("app.test", answers(&["127.0.0.2", "::1"], 7));
        assert_eq!(system("app.test"), ["127.0.0.2", "::1"]);
        assert!(system("none.test").is_empty());
        w.hosts("127.0.0.7 own.test\n");
        assert_eq!(system("own.test"), ["127.0.0.7"]);
        w.hosts("");
        assert!(system("own.test").is_empty());
        w.add_address("fd00::5");
        let other = Dns::start("127.0.0.9:53");
        other.set("deep.corp.test", answers(&["127.0.0.4", "fd00::5"], 7));
        w.resolv_conf("nameserver 127.0.0.9\nsearch corp.test\n");
        assert_eq!(system("deep"), ["127.0.0.4", "fd00::5"]);
        assert!(
            other
                .queries()
                .iter()
                .any(|q| q.name == "deep.corp.test" && q.server.port() == 53 && !q.tcp)
        );
    });
}
