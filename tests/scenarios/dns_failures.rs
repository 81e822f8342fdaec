//! DNS fails in every way there is: requests must not notice, the last good addresses stay.

use crate::common::*;
use live_kit::{Dns, Fault, Httpd, Mpm, Type, World, answers, eventually, pause, scenario};
use std::time::{Duration, Instant};

/// Name, the type that fails (none: both), how.
const FAULTS: [(&str, Option<Type>, Fault); 14] = [
    ("servfail", None, Fault::ServFail),
    ("nxdomain", None, Fault::NxDomain),
    ("refused", None, Fault::Refused),
    ("empty", None, Fault::Empty),
    ("silent", None, Fault::Silent),
    ("garbage", None, Fault::Garbage),
    ("wrongid", None, Fault::WrongId),
    ("notcp", None, Fault::TruncatedNoTcp),
    ("half6", Some(Type::Aaaa), Fault::ServFail),
    ("half4", Some(Type::A), Fault::ServFail),
    ("lost6", Some(Type::Aaaa), Fault::Silent),
    ("lost4", Some(Type::A), Fault::Silent),
    // behind the time-out of 500 ms
    ("late", None, Fault::Late(Duration::from_millis(1500))),
    (
        "late4",
        Some(Type::A),
        Fault::Late(Duration::from_millis(1500)),
    ),
];

/// All of them at the same time for ten seconds, each name with its own users.
#[test]
fn every_failure_keeps_the_addresses() {
    scenario(|w: &mut World| {
        w.add_address("fd00::2");
        w.add_address("fd00::3");
        let _old = [backend("A", IP_A), backend("A", "fd00::2")];
        let _new = [backend("B", IP_B), backend("B", "fd00::3")];
        let mut text = "ProxyLive on\nProxyLiveResolver 127.0.0.1 timeout=500ms\n".to_owned();
        for (name, _, _) in FAULTS {
            w.dns
                .set(&format!("{name}.test"), answers(&[IP_A, "fd00::2"], 1));
            text += &format!("ProxyPass /{name} http://{name}.test:9000/\n");
        }
        // More threads than clients: event closes kept-alive connections when it has none left.
        let builder = w.httpd().threads(16).live(&text);
        let httpd = builder.expect("DNS fails").start();
        FAULTS
            .iter()
            .for_each(|(name, _, _)| wait_known(&httpd, &format!("{name}.test")));
        let user = |(name, _, _): &(&str, _, _)| {
            httpd
                .load()
                .path(&format!("/{name}"))
                .clients(1)
                .pause(Duration::from_millis(25))
                .start()
        };
        let loads: Vec<_> = FAULTS.iter().map(user).collect();
        for (name, kind, fault) in FAULTS {
            match kind {
                None => w.dns.fail(&format!("{name}.test"), fault),
                Some(kind) => w.dns.fail_type(&format!("{name}.test"), kind, fault),
            }
        }
        pause(10.0);
        for ((name, _, _), load) in FAULTS.iter().zip(loads) {
            let records = load.stop();
            records.assert_clean(QUICK);
            assert!(records.len() > 50, "{name}: {} requests", records.len());
            assert_eq!(
                records.by_backend().into_keys().collect::<Vec<_>>(),
                ["A"],
                "{name}"
            );
        }
        all_recover(w, &httpd);
    });
}

/// DNS is well again and all addresses have changed meanwhile.
fn all_recover(w: &World, httpd: &Httpd) {
    for (name, _, _) in FAULTS {
        w.dns
            .set(&format!("{name}.test"), answers(&[IP_B, "fd00::3"], 1));
    }
    w.dns.heal("*");
    // the fifth try is due about 15 s after the first failure
    for (name, _, _) in FAULTS {
        eventually(Duration::from_secs(12), || {
            httpd.get(&format!("/{name}")).backend == "B"
        });
    }
    pause(0.5);
    for (name, _, _) in FAULTS {
        let lines = (
            httpd.logged(&format!("name {name}.test: DNS fails")),
            httpd.logged(&format!("name {name}.test: DNS answers again")),
        );
        assert_eq!(
            lines,
            (1, 1),
            "{name}: lines that failing started, and ended"
        );
    }
}

/// One family fails for good, the other goes on following.
#[test]
fn the_healthy_family_follows() {
    scenario(|w: &mut World| {
        w.add_address("fd00::2");
        let _a = [backend("A", IP_A), backend("A", "fd00::2")];
        let _b = backend("B", IP_B);
        set_app(w, &[IP_A]);
        w.dns.fail_type("app.test", Type::Aaaa, Fault::ServFail);
        // never had AAAA: no warning is allowed here
        let httpd = start_following(w.httpd().live(FOLLOW));
        all_children_use(&httpd, "/", "A");
        set_app(w, &[IP_B]);
        after_ttl(Instant::now(), 1);
        all_children_use(&httpd, "/", "B");
    });
}

#[test]
fn truncated_answers_come_by_tcp() {
    scenario(|w: &mut World| {
        let _backends = backends();
        set_app(w, &[IP_A]);
        w.dns.fail("app.test", Fault::Truncated);
        let httpd = start_following(w.httpd().live(FOLLOW));
        all_children_use(&httpd, "/", "A");
        set_app(w, &[IP_B]);
        after_ttl(Instant::now(), 1);
        all_children_use(&httpd, "/", "B");
        assert!(w.dns.queries().iter().any(|q| q.tcp));
    });
}

#[test]
fn the_name_server_is_gone_for_a_while() {
    scenario(|w: &mut World| {
        let _backends = backends();
        set_app(w, &[IP_A]);
        let text = format!("{FOLLOW}\nProxyLiveResolver system timeout=500ms");
        let httpd = start_following(w.httpd().live(&text).expect("DNS fails"));
        let load = httpd.load().start();
        w.dns.down();
        pause(4.0);
        set_app(w, &[IP_B]);
        w.dns.up();
        eventually(Duration::from_secs(6), || httpd.get("/").backend == "B");
        pause(0.5);
        load.stop().assert_clean(QUICK);
        assert_eq!(httpd.logged("DNS fails"), 1);
        assert_eq!(httpd.logged("DNS answers again"), 1);
    });
}

/// Answers take 800 ms at a TTL of 1 s: no request waits for them.
fn slow_answers(w: &mut World, mpm: Mpm) {
    let _backends = backends();
    set_app(w, &[IP_A]);
    let httpd = start_following(w.httpd().mpm(mpm).live(FOLLOW));
    all_children_use(&httpd, "/", "A");
    w.dns.delay("*", Duration::from_millis(800));
    let load = httpd.load().start();
    pause(2.0);
    set_app(w, &[IP_B]);
    pause(0.8);
    let due = after_ttl(Instant::now(), 1);
    pause(1.0);
    let records = load.stop();
    records.assert_clean(Duration::from_millis(700));
    assert_only(&records, due, "B");
}

#[test]
fn slow_answers_event() {
    scenario(|w: &mut World| slow_answers(w, Mpm::Event));
}

#[test]
fn slow_answers_worker() {
    scenario(|w: &mut World| slow_answers(w, Mpm::Worker));
}

#[test]
fn slow_answers_prefork() {
    scenario(|w: &mut World| slow_answers(w, Mpm::Prefork));
}

/// The very first requests come while DNS takes 3 s: they wait as long as with a stock httpd, and all succeed.
#[test]
fn cold_start_with_slow_dns() {
    scenario(|w: &mut World| {
        let _backends = backends();
        set_app(w, &[IP_A]);
        w.dns.delay("*", Duration::from_secs(3));
        let httpd = w.httpd().live(FOLLOW).start();
        let start = Instant::now();
        all_children_use(&httpd, "/", "A");
        assert!(
            start.elapsed() < Duration::from_secs(9),
            "{:?}",
            start.elapsed()
        );
        wait_known(&httpd, "app.test");
        httpd.load().run(Duration::from_secs(1)).assert_clean(QUICK);
    });
}

/// The first look-ups fail, in the module and in httpd; later the name exists.
#[test]
fn cold_start_without_dns() {
    scenario(|w: &mut World| {
        let _backends = backends();
        w.dns.fail("app.test", Fault::ServFail);
        let text = format!("{FOLLOW}\nProxyPass /never http://never.test:9000/ live=on");
        let httpd = w
            .httpd()
            .live(&text)
            .expect("DNS fails")
            .expect("[proxy:error]")
            .start();
        let reply = httpd.get("/");
        assert!(matches!(reply.status, 500 | 502 | 503), "{}", reply.status);
        set_app(w, &[IP_A]);
        w.dns.heal("*");
        eventually(Duration::from_secs(6), || httpd.get("/").backend == "A");
        pause(0.3);
        all_children_use(&httpd, "/", "A");
    });
}

/// All addresses refuse while DNS is dead: httpd's own look-ups find nothing and change nothing.
#[test]
fn everything_is_dead_and_a_backend_returns() {
    scenario(|w: &mut World| {
        let (a, _b) = backends();
        set_app(w, &[IP_A]);
        let text = format!("{FOLLOW} retry=0");
        let builder = w
            .httpd()
            .live(&text)
            .expect("DNS fails")
            .expect("up -> down")
            .expect("[proxy:error]")
            .expect("[proxy_http:error]");
        let httpd = start_following(builder);
        all_children_use(&httpd, "/", "A");
        w.dns.fail("*", Fault::ServFail);
        a.kill();
        let records = httpd.load().run(Duration::from_secs(3));
        let (all, failed) = (records.len(), records.failed().len());
        let answers: Vec<_> = records.0.iter().filter(|r| !r.failed()).take(3).collect();
        assert!(
            all > 20 && failed == all,
            "nothing can answer: {failed} of {all} failed, others: {answers:?}"
        );
        a.revive();
        eventually(Duration::from_secs(6), || httpd.get("/").backend == "A");
        pause(0.5);
        all_children_use(&httpd, "/", "A");
    });
}

/// DNS has failed for a while and is well again; before the module's next try, which is far away, the only address
/// dies: the name is asked for at once.
#[test]
fn an_address_dies_before_the_next_try() {
    scenario(|w: &mut World| {
        let (a, _b) = backends();
        set_app(w, &[IP_A]);
        let builder = w
            .httpd()
            .live(FOLLOW)
            .expect("DNS fails")
            .expect("up -> down")
            .expect("[proxy:error]")
            .expect("[proxy_http:error]");
        let httpd = start_following(builder);
        w.dns.fail("*", Fault::ServFail);
        // Tried 1, 2, 4 and 8 seconds after each other; then it takes 16.
        let tries = || w.dns.count("app.test", Type::A);
        let before = tries();
        eventually(Duration::from_secs(24), || tries() >= before + 5);
        w.dns.heal("*");
        set_app(w, &[IP_B]);
        pause(2.0);
        assert_eq!(
            httpd.get("/").backend,
            "A",
            "it was asked for before its time"
        );
        a.kill();
        let took = eventually(Duration::from_secs(10), || httpd.get("/").backend == "B");
        assert!(took < Duration::from_secs(5), "{took:?}");
    });
}

/// httpd's own look-up publishes another address than ours: it is noticed and replaced.
#[test]
fn a_foreign_look_up_does_not_last() {
    scenario(|w: &mut World| {
        let (a, _b) = backends();
        let ours = Dns::start("127.0.0.8:53");
        ours.set("app.test", short(&[IP_A]));
        set_app(w, &[IP_B]);
        // Without probes: they would take the worker out.
        let text = format!("{FOLLOW} retry=0 liveprobe=off\nProxyLiveResolver 127.0.0.8");
        let builder = w
            .httpd()
            .live(&text)
            .expect("[proxy:error]")
            .expect("[proxy_http:error]");
        let httpd = start_following(builder);
        all_children_use(&httpd, "/", "A");
        a.kill();
        // each request that cannot connect has httpd look the name up itself, and goes to B
        let records = httpd.load().run(Duration::from_secs(2));
        assert!(
            records.by_backend().contains_key("B"),
            "{:?}",
            records.by_backend()
        );
        a.revive();
        pause(1.0);
        all_children_use(&httpd, "/", "A");
    });
}
