//! A name changes its addresses; every child follows within the TTL and one second.

use crate::common::*;
use live_kit::{Httpd, Mode, Mpm, World, answers, eventually, pause, scenario};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// A -> B under load while A lives on: all four children, no error, no restart, connections reused.
fn moves_alive(w: &mut World, mpm: Mpm) {
    let (a, b) = backends();
    set_app(w, &[IP_A]);
    let httpd = start_following(w.httpd().mpm(mpm).live(FOLLOW));
    all_children_use(&httpd, "/", "A");
    let children = httpd.children();
    let load = httpd.load().start();
    pause(1.0);
    set_app(w, &[IP_B]);
    let due = after_ttl(Instant::now(), 1);
    pause(1.0);
    let records = load.stop();
    all_children_use(&httpd, "/", "B");
    assert_eq!(httpd.children(), children, "no child was replaced");
    records.assert_clean(QUICK);
    assert_only(&records, due, "B");
    assert!(
        a.last_request().expect("A was used") < due,
        "A got a request after the TTL and 1 s"
    );
    // Reuse: at most one connection per thread (and some more of httpd's own ageing), not one per request.
    let (connections, requests) = (a.accepted() + b.accepted(), records.len());
    assert!(
        connections < 100 && requests > 5 * connections,
        "{connections} connections, {requests} requests"
    );
    eventually(Duration::from_secs(1), || a.open() == 0);
}

#[test]
fn moves_alive_event() {
    scenario(|w: &mut World| moves_alive(w, Mpm::Event));
}

#[test]
fn moves_alive_worker() {
    scenario(|w: &mut World| moves_alive(w, Mpm::Worker));
}

#[test]
fn moves_alive_prefork() {
    scenario(|w: &mut World| moves_alive(w, Mpm::Prefork));
}

#[test]
fn one_process_follows() {
    scenario(|w: &mut World| {
        let _backends = backends();
        set_app(w, &[IP_A]);
        let httpd = start_following(w.httpd().one_process().live(FOLLOW));
        assert_eq!(httpd.get("/").backend, "A");
        set_app(w, &[IP_B]);
        after_ttl(Instant::now(), 1);
        assert_eq!(httpd.get("/").backend, "B");
    });
}

#[test]
fn many_children_follow() {
    scenario(|w: &mut World| {
        let _backends = backends();
        set_app(w, &[IP_A]);
        let httpd = start_following(w.httpd().children(12).threads(4).live(FOLLOW));
        all_children_use(&httpd, "/", "A");
        set_app(w, &[IP_B]);
        after_ttl(Instant::now(), 1);
        all_children_use(&httpd, "/", "B");
    });
}

/// The machine of A is gone at the same moment: what started before the TTL had passed may suffer (there are no
/// probes), nothing later does.
#[test]
fn moves_from_a_vanished_machine() {
    scenario(|w: &mut World| {
        let _backends = backends();
        set_app(w, &[IP_A]);
        let text = "ProxyPass / http://app.test:9000/ live=on connectiontimeout=1 timeout=2";
        let httpd = start_following(
            w.httpd()
                .live(text)
                .expect("[proxy:error]")
                .expect("[proxy_http:error]"),
        );
        all_children_use(&httpd, "/", "A");
        let load = httpd.load().start();
        pause(0.5);
        w.vanish(IP_A);
        set_app(w, &[IP_B]);
        let due = after_ttl(Instant::now(), 1);
        pause(2.0);
        let records = load.stop();
        assert_only(&records, due, "B");
        assert!(records.since(due).len() > 100, "{}", records.len());
        all_children_use(&httpd, "/", "B");
    });
}

#[test]
fn a_request_under_way_finishes_on_the_old_address() {
    scenario(|w: &mut World| {
        let (a, _b) = backends();
        set_app(w, &[IP_A]);
        let httpd = start_following(w.httpd().live(FOLLOW));
        let addr = httpd.addr();
        let slow = std::thread::spawn(move || {
            let request = live_kit::Request::get("/?bytes=40&drip=100");
            live_kit::Client::new(addr, Duration::from_secs(10)).send(&request)
        });
        eventually(Duration::from_secs(2), || a.open() > 0);
        set_app(w, &[IP_B]);
        after_ttl(Instant::now(), 1);
        assert_eq!(httpd.get("/").backend, "B");
        assert_eq!(a.open(), 1, "the connection in use is kept");
        let reply = slow.join().expect("client").expect("the whole answer");
        assert_eq!((reply.backend.as_str(), reply.body.len()), ("A", 40));
        eventually(Duration::from_secs(1), || a.open() == 0);
    });
}

#[test]
fn gains_and_loses_an_address() {
    scenario(|w: &mut World| {
        let _backends = backends();
        set_app(w, &[IP_A]);
        // new connections make the gain visible at once
        let text = format!("{FOLLOW}\nSetEnv proxy-nokeepalive 1");
        let httpd = start_following(w.httpd().live(&text));
        let load = httpd.load().start();
        pause(0.5);
        set_app(w, &[IP_A, IP_B]);
        after_ttl(Instant::now(), 1);
        let gained = Instant::now();
        pause(1.0);
        set_app(w, &[IP_B]);
        let due = after_ttl(Instant::now(), 1);
        pause(0.5);
        let records = load.stop();
        let by = records.since(gained).before(due).by_backend();
        assert!(by["A"] > 0 && by["B"] > 0, "{by:?}");
        assert_only(&records, due, "B");
    });
}

#[test]
fn another_order_is_no_change() {
    scenario(|w: &mut World| {
        let (a, b) = backends();
        set_app(w, &[IP_A, IP_B]);
        let httpd = start_following(w.httpd().children(1).live(FOLLOW));
        httpd.every_child("/");
        let before = (a.accepted(), b.accepted(), a.open() + b.open());
        assert_eq!(before.2, 8, "one connection per thread");
        for round in 0..4 {
            set_app(
                w,
                if round % 2 == 0 {
                    &[IP_B, IP_A]
                } else {
                    &[IP_A, IP_B]
                },
            );
            httpd
                .load()
                .clients(4)
                .run(Duration::from_millis(1100))
                .assert_clean(QUICK);
        }
        assert_eq!((a.accepted(), b.accepted(), a.open() + b.open()), before);
        assert_eq!(httpd.logged("name app.test: addresses"), 1);
    });
}

#[test]
fn sixty_addresses() {
    scenario(|w: &mut World| {
        let all = live_kit::Backend::start("ALL", "0.0.0.0:9000");
        let block = |third: u8| {
            (1..=60)
                .map(|n| format!("127.0.{third}.{n}"))
                .collect::<Vec<_>>()
        };
        let set = |w: &World, ips: &[String]| {
            set_app(w, &ips.iter().map(String::as_str).collect::<Vec<_>>())
        };
        set(w, &block(2));
        let text = format!("{FOLLOW}\nSetEnv proxy-nokeepalive 1");
        let httpd = start_following(w.httpd().live(&text));
        httpd.load().run(Duration::from_secs(1)).assert_clean(QUICK);
        let used = |third: u8| {
            let locals = all.seen().into_iter().map(|s| s.local.to_string());
            let ours: BTreeSet<String> = locals
                .filter(|l| l.starts_with(&format!("127.0.{third}.")))
                .collect();
            ours.len()
        };
        assert!(used(2) > 4, "only {} of 60 addresses were used", used(2));
        set(w, &block(3));
        after_ttl(Instant::now(), 1);
        all.forget();
        httpd.load().run(Duration::from_secs(1)).assert_clean(QUICK);
        assert!(
            used(2) == 0 && used(3) > 4,
            "old: {}, new: {}",
            used(2),
            used(3)
        );
    });
}

#[test]
fn ipv6_only() {
    scenario(|w: &mut World| {
        w.add_address("fd00::2");
        w.add_address("fd00::3");
        let (_a, _b) = (backend("A", "fd00::2"), backend("B", "fd00::3"));
        set_app(w, &["fd00::2"]);
        let httpd = start_following(w.httpd().live(FOLLOW));
        all_children_use(&httpd, "/", "A");
        set_app(w, &["fd00::3"]);
        after_ttl(Instant::now(), 1);
        all_children_use(&httpd, "/", "B");
    });
}

/// Without the scope such an address cannot be dialled, nor its sockets told from others.
#[test]
fn an_address_with_a_scope() {
    scenario(|w: &mut World| {
        w.add_address("fe80::2");
        w.hosts("fe80::2%lo app.test\n");
        // The kit listens on the number of the loopback interface, which is 1 in each namespace.
        let (a, _b) = (backend("A", "fe80::2%1"), backend("B", IP_B));
        let httpd = start_following(w.httpd().live(FOLLOW));
        all_children_use(&httpd, "/", "A");
        assert!(a.seen().iter().all(|s| s.host == "app.test:9000"));
        let idle = a.open();
        assert!(idle >= 4, "a kept connection of each child: {idle}");
        let children = httpd.children();
        // The file is looked at each second.
        let told = |change: &str| {
            let line = format!("name app.test: addresses {change}");
            eventually(Duration::from_secs(3), || httpd.logged(&line) > 0);
        };
        // A further address: the connections to the scoped one are still wanted.
        w.hosts("fe80::2%lo app.test\n127.0.0.3 app.test\n");
        told("fe80::2%1 -> ");
        pause(0.5);
        assert_eq!(a.open(), idle, "connections to an address that stays");
        w.hosts("127.0.0.3 app.test\n");
        told("127.0.0.3, fe80::2%1 -> 127.0.0.3 (");
        eventually(Duration::from_secs(1), || a.open() == 0);
        all_children_use(&httpd, "/", "B");
        assert_eq!(httpd.children(), children, "no child was replaced");
        // And back: a scoped address that comes while the server runs.
        w.hosts("fe80::2%lo app.test\n");
        told("127.0.0.3 -> fe80::2%1 (");
        pause(0.5);
        all_children_use(&httpd, "/", "A");
    });
}

/// Three workers on a name with both families: any, ipv4, ipv6.
#[test]
fn families() {
    scenario(|w: &mut World| {
        w.add_address("fd00::2");
        let (_four, _six) = (backend("FOUR", IP_A), backend("SIX", "fd00::2"));
        for name in ["any.test", "four.test", "six.test"] {
            w.dns.set(name, answers(&[IP_A, "fd00::2"], 1));
        }
        let text = "ProxyLive on
            ProxyPass /any http://any.test:9000/
            ProxyPass /four http://four.test:9000/ livefamily=ipv4
            ProxyPass /six http://six.test:9000/ livefamily=ipv6
            ProxyLiveResolver 127.0.0.8 timeout=1s
            SetEnv proxy-nokeepalive 1";
        w.dns.listen("127.0.0.8:53");
        let httpd = w.httpd().live(text).start();
        for name in ["any.test", "four.test", "six.test"] {
            wait_known(&httpd, name);
        }
        let used = |path: &str| by_backend(&httpd, path);
        assert_eq!(used("/any"), ["FOUR", "SIX"]);
        assert_eq!(used("/four"), ["FOUR"]);
        assert_eq!(used("/six"), ["SIX"]);
        let asked = |name: &str, kind| {
            w.dns.queries().iter().any(|q| {
                q.server.ip().to_string() == "127.0.0.8" && q.name == name && q.kind == kind
            })
        };
        assert!(!asked("four.test", live_kit::Type::Aaaa) && asked("four.test", live_kit::Type::A));
        assert!(asked("six.test", live_kit::Type::Aaaa) && !asked("six.test", live_kit::Type::A));
    });
}

fn by_backend(httpd: &Httpd, path: &str) -> Vec<String> {
    let records = httpd
        .load()
        .path(path)
        .clients(4)
        .run(Duration::from_millis(700));
    records.assert_clean(QUICK);
    records.by_backend().into_keys().collect()
}

/// An alias is switched between two load balancers: balancer 1 answers 200, balancer 2 answers 503.
#[test]
fn an_alias_is_switched() {
    scenario(|w: &mut World| {
        let (_a, b) = backends();
        b.mode(Mode::Status(503));
        w.dns.set("lb1.test", answers(&[IP_A], 600));
        w.dns.set("lb2.test", answers(&[IP_B], 600));
        w.dns.cname("app.test", "lb1.test", 1);
        let httpd = start_following(w.httpd().live(FOLLOW));
        all_children_use(&httpd, "/", "A");
        w.dns.cname("app.test", "lb2.test", 1);
        after_ttl(Instant::now(), 1);
        let found = httpd.every_child("/");
        assert!(
            found
                .values()
                .flatten()
                .all(|r| r.backend == "B" && r.status == 503)
        );
    });
}

#[test]
fn members_of_a_balancer_move() {
    scenario(|w: &mut World| {
        let (a, b) = backends();
        let _c = backend("C", "127.0.0.4");
        let _d = backend("D", "127.0.0.5");
        w.dns.set("one.test", short(&[IP_A]));
        w.dns.set("two.test", short(&[IP_B]));
        let text = "<Proxy balancer://pool>
                ProxyLive on
                BalancerMember http://one.test:9000
                BalancerMember http://two.test:9000
            </Proxy>
            ProxyPass / balancer://pool/";
        let httpd = w.httpd().live(text).start();
        wait_known(&httpd, "one.test");
        wait_known(&httpd, "two.test");
        let load = httpd.load().start();
        pause(0.5);
        w.dns.set("one.test", short(&["127.0.0.4"]));
        w.dns.set("two.test", short(&["127.0.0.5"]));
        let due = after_ttl(Instant::now(), 1);
        pause(1.0);
        let records = load.stop();
        records.assert_clean(QUICK);
        let by = records.since(due).by_backend();
        assert_eq!(
            by.keys().map(String::as_str).collect::<Vec<_>>(),
            ["C", "D"],
            "{by:?}"
        );
        assert!(
            by["C"].abs_diff(by["D"]) * 10 < by["C"] + by["D"],
            "byrequests still balances: {by:?}"
        );
        eventually(Duration::from_secs(1), || a.open() + b.open() == 0);
    });
}

/// One line per change, at most.
#[test]
fn the_log_tells_each_change_once() {
    scenario(|w: &mut World| {
        let _backends = backends();
        set_app(w, &[IP_A]);
        let httpd = start_following(w.httpd().live(FOLLOW));
        set_app(w, &[IP_B]);
        after_ttl(Instant::now(), 1);
        pause(2.0);
        let changes = |text: &str| httpd.logged(&format!("name app.test: addresses {text}"));
        assert_eq!(
            changes("none -> 127.0.0.2 (TTL 1 s"),
            1,
            "{:?}",
            httpd.live_lines()
        );
        assert_eq!(
            changes("127.0.0.2 -> 127.0.0.3 (TTL 1 s"),
            1,
            "{:?}",
            httpd.live_lines()
        );
        let lines = httpd.live_lines();
        assert!(lines.len() < 12, "a line per look-up? {lines:?}");
    });
}
