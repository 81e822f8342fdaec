//! How often DNS is asked: once per family and TTL for the whole machine, never in floods.

use crate::common::*;
use live_kit::{Dns, Fault, Query, Type, World, answers, eventually, pause, scenario};
use std::time::{Duration, Instant};

/// The module asks this server; httpd's own look-ups go to the other one.
const OWN: &str = "127.0.0.8:53";
const RESOLVER: &str = "ProxyLiveResolver 127.0.0.8";

/// Four children and twenty workers with one name: one query per family and TTL.
#[test]
fn one_query_per_family_and_ttl() {
    scenario(|w: &mut World| {
        let _backends = backends();
        let dns = Dns::start(OWN);
        dns.set("app.test", answers(&[IP_A], 2));
        set_app(w, &[IP_A]);
        let lines = (0..20).map(|n| format!("ProxyPass /{n:02} http://app.test:9000/{n:02}\n"));
        let text = format!("{RESOLVER}\nProxyLive on\n{}", lines.collect::<String>());
        let httpd = start_following(w.httpd().live(&text));
        let load = httpd.load().path("/07").start();
        dns.forget();
        pause(9.0);
        load.stop().assert_clean(QUICK);
        for kind in [Type::A, Type::Aaaa] {
            let n = dns.count("app.test", kind);
            assert!(
                (4..=5).contains(&n),
                "{n} queries of {kind:?} in 9 s at a TTL of 2 s"
            );
        }
        assert_eq!(
            dns.queries().len(),
            dns.count("app.test", Type::A) + dns.count("app.test", Type::Aaaa)
        );
        assert_eq!(w.dns.queries().len(), 0, "httpd asked itself");
    });
}

/// TTL 0 has the floor of 1 s, an absurd one a ceiling.
#[test]
fn ttls_are_bounded() {
    scenario(|w: &mut World| {
        let _backends = backends();
        let dns = Dns::start(OWN);
        dns.set("zero.test", answers(&[IP_A], 0));
        dns.set("long.test", answers(&[IP_A], 1_000_000));
        dns.set("floor.test", answers(&[IP_A], 1));
        let text = format!(
            "{RESOLVER}\nProxyLive on\nProxyPass /zero http://zero.test:9000/\n\
             ProxyPass /long http://long.test:9000/ livettl=1s-2s\n\
             ProxyPass /floor http://floor.test:9000/ livettl=3s-1h"
        );
        let httpd = w.httpd().live(&text).start();
        for name in ["zero.test", "long.test", "floor.test"] {
            wait_known(&httpd, name);
        }
        pause(6.5);
        let counts = ["zero.test", "long.test", "floor.test"].map(|name| dns.count(name, Type::A));
        assert!((6..=8).contains(&counts[0]), "TTL 0: {counts:?}");
        assert!((3..=4).contains(&counts[1]), "TTL 1,000,000: {counts:?}");
        assert!(
            (2..=3).contains(&counts[2]),
            "TTL 1, at least 3 s: {counts:?}"
        );
        dns.set("long.test", answers(&[IP_B], 1_000_000));
        pause(3.0);
        assert_eq!(httpd.get("/long").backend, "B");
    });
}

/// The TTL is the smallest along the chain of aliases.
#[test]
fn the_smallest_ttl_of_a_chain_counts() {
    scenario(|w: &mut World| {
        let _backends = backends();
        w.dns.cname("app.test", "middle.test", 600);
        w.dns.cname("middle.test", "end.test", 1);
        w.dns.set("end.test", answers(&[IP_A], 600));
        let httpd = start_following(w.httpd().live(FOLLOW));
        assert_eq!(httpd.get("/").backend, "A");
        w.dns.set("end.test", answers(&[IP_B], 600));
        after_ttl(Instant::now(), 1);
        all_children_use(&httpd, "/", "B");
    });
}

/// A resolver that fails is asked less and less often.
#[test]
fn a_failing_resolver_is_not_flooded() {
    scenario(|w: &mut World| {
        let _backends = backends();
        let dns = Dns::start(OWN);
        dns.set("app.test", short(&[IP_A]));
        dns.fail("dead.test", Fault::Silent);
        let text = format!(
            "{FOLLOW}\n{RESOLVER} timeout=200ms attempts=2\nProxyPass /dead http://dead.test:9000/ live=on\n"
        );
        let httpd = start_following(w.httpd().live(&text).expect("DNS fails"));
        dns.fail("app.test", Fault::ServFail);
        dns.forget();
        pause(10.5);
        // tries about 1, 3 and 7 s after the first failure, each asks twice
        for name in ["app.test", "dead.test"] {
            let n = dns.count(name, Type::A);
            assert!((4..=10).contains(&n), "{n} queries for {name} in 10 s");
            let times: Vec<_> = of(&dns, name).iter().map(|q| q.at).collect();
            let longest = times
                .windows(2)
                .map(|t| t[1] - t[0])
                .max()
                .expect("several queries");
            assert!(
                longest > Duration::from_millis(2500),
                "no growing pause for {name}: {longest:?}"
            );
        }
        assert_eq!(httpd.get("/").backend, "A");
    });
}

fn of(dns: &Dns, name: &str) -> Vec<Query> {
    dns.queries()
        .into_iter()
        .filter(|q| q.name == name && q.kind == Type::A)
        .collect()
}

/// Only the failing family is asked again, the other keeps its TTL.
#[test]
fn a_failing_family_is_retried_alone() {
    scenario(|w: &mut World| {
        let _backends = backends();
        let dns = Dns::start(OWN);
        dns.set("app.test", answers(&[IP_A], 600));
        dns.fail_type("app.test", Type::Aaaa, Fault::ServFail);
        let httpd = start_following(w.httpd().live(&format!("{FOLLOW}\n{RESOLVER} attempts=1")));
        pause(5.0);
        assert_eq!(dns.count("app.test", Type::A), 1, "A has a TTL of 600 s");
        let n = dns.count("app.test", Type::Aaaa);
        assert!((3..=5).contains(&n), "{n} queries for AAAA in 5 s");
        assert_eq!(httpd.get("/").backend, "A");
    });
}

/// The first name server is dead: it delays the first answer by its time-out, and later none.
#[test]
fn a_dead_first_name_server() {
    scenario(|w: &mut World| {
        let _backends = backends();
        let dead = Dns::start("127.0.0.7:53");
        dead.fail("*", Fault::Silent);
        let dns = Dns::start(OWN);
        dns.set("app.test", short(&[IP_A]));
        let text = format!("{FOLLOW}\nProxyLiveResolver 127.0.0.7 127.0.0.8 timeout=1s");
        let start = Instant::now();
        let httpd = start_following(w.httpd().live(&text));
        assert!(
            start.elapsed() < Duration::from_millis(2500),
            "first answer after {:?}",
            start.elapsed()
        );
        all_children_use(&httpd, "/", "A");
        for (ip, name) in [(IP_B, "B"), (IP_A, "A"), (IP_B, "B")] {
            dns.set("app.test", short(&[ip]));
            after_ttl(Instant::now(), 1);
            assert_eq!(httpd.get("/").backend, name);
        }
        assert!(
            dead.count("app.test", Type::A) <= 2,
            "the dead server is asked again and again"
        );
    });
}

/// SERVFAIL or REFUSED of the first server: the second answers within the same look-up.
#[test]
fn a_refusing_first_name_server() {
    scenario(|w: &mut World| {
        let _backends = backends();
        let bad = Dns::start("127.0.0.7:53");
        bad.fail_type("*", Type::A, Fault::ServFail);
        bad.fail_type("*", Type::Aaaa, Fault::Refused);
        let dns = Dns::start(OWN);
        dns.set("app.test", short(&[IP_A]));
        let text = format!("{FOLLOW}\nProxyLiveResolver 127.0.0.7 127.0.0.8");
        let httpd = start_following(w.httpd().live(&text));
        all_children_use(&httpd, "/", "A");
    });
}

/// Reloads ask nothing before the TTL has run out, and the new children know the addresses.
#[test]
fn a_reload_asks_nothing() {
    scenario(|w: &mut World| {
        let _backends = backends();
        let dns = Dns::start(OWN);
        dns.set("app.test", answers(&[IP_A], 600));
        let mut httpd = start_following(w.httpd().live(&format!("{FOLLOW}\n{RESOLVER}")));
        for _ in 0..3 {
            httpd.graceful();
            assert_eq!(httpd.get("/").backend, "A");
        }
        pause(1.0);
        all_children_use(&httpd, "/", "A");
        assert_eq!(
            (
                dns.count("app.test", Type::A),
                dns.count("app.test", Type::Aaaa)
            ),
            (1, 1)
        );
        assert_eq!(w.dns.queries().len(), 0, "httpd asked itself");
    });
}

/// Names with a trailing dot, upper case, underscores, and an international one.
#[test]
fn unusual_names() {
    scenario(|w: &mut World| {
        let _backends = backends();
        let dns = Dns::start(OWN);
        for name in ["dot.test", "under_score.test", "xn--bcher-kva.test"] {
            dns.set(name, short(&[IP_A]));
        }
        let text = format!(
            "{RESOLVER}\nProxyLive on\nProxyPass /dot http://DOT.test.:9000/\n\
             ProxyPass /under http://under_score.test:9000/\nProxyPass /idn http://xn--bcher-kva.test:9000/"
        );
        let httpd = w.httpd().live(&text).start();
        let lines = || httpd.logged(": addresses none -> 127.0.0.2");
        eventually(Duration::from_secs(5), || lines() == 3);
        pause(0.1);
        for path in ["/dot", "/under", "/idn"] {
            assert_eq!(httpd.get(path).backend, "A", "{path}");
        }
        assert_eq!(w.dns.queries().len(), 0, "httpd asked itself");
    });
}
