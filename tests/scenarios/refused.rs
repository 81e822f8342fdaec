//! Dead ends: every address refuses, and what httpd's own look-ups find then.

use crate::common::dead_ends::*;
use crate::common::*;
use live_kit::{Backend, Dns, Fault, Mpm, Type, World, answers, eventually, pause, scenario};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Every address refuses while DNS is dead in one way or another: httpd's own look-ups change nothing, and the
/// first backend that returns is used at once, in every child.
#[test]
fn all_refuse_while_dns_is_dead() {
    scenario(|w: &mut World| {
        let (a, b) = backends();
        w.resolv_conf(IMPATIENT);
        set_app(w, &[IP_A, IP_B]);
        // Without probes: they would take the worker out, and no request would come to its look-up.
        let text = format!("{FOLLOW} retry=0 liveprobe=off");
        let httpd = start_following(errors_allowed(w.httpd().live(&text)));
        httpd
            .load()
            .run(Duration::from_millis(500))
            .assert_clean(QUICK);
        for (fault, back, name) in [
            (Fault::ServFail, &a, "A"),
            (Fault::NxDomain, &b, "B"),
            (Fault::Empty, &a, "A"),
            (Fault::Silent, &b, "B"),
        ] {
            w.dns.fail("*", fault);
            pause(1.2);
            a.kill();
            b.kill();
            // httpd has noticed the end of the connections it kept
            pause(0.1);
            // every child meets it, and looks up by itself
            let records = httpd
                .load()
                .clients(16)
                .timeout(Duration::from_secs(60))
                .run(Duration::from_millis(1500));
            assert_eq!(
                records.failed().len(),
                records.len(),
                "{fault:?}: somebody answered"
            );
            assert_eq!(
                records.by_status().into_keys().collect::<Vec<_>>(),
                [503],
                "{fault:?}"
            );
            back.revive();
            let start = Instant::now();
            all_children_use(&httpd, "/", name);
            assert!(
                start.elapsed() < SLACK,
                "{fault:?}: back after {:?}",
                start.elapsed()
            );
            httpd
                .load()
                .run(Duration::from_millis(300))
                .assert_clean(QUICK);
            a.revive();
            b.revive();
            let healed = httpd.logged("DNS answers again");
            w.dns.heal("*");
            eventually(Duration::from_secs(12), || {
                httpd.logged("DNS answers again") > healed
            });
        }
        assert_eq!(
            httpd.logged("name app.test: addresses"),
            1,
            "the set never changed"
        );
    });
}

/// The same for members of a balancer: both are in error, the one that returns is used again.
#[test]
fn all_members_refuse_while_dns_is_dead() {
    scenario(|w: &mut World| {
        let (a, b) = backends();
        w.dns.set("one.test", short(&[IP_A]));
        w.dns.set("two.test", short(&[IP_B]));
        let text = "<Proxy balancer://pool>
                ProxyLive on
                BalancerMember http://one.test:9000 retry=0 liveprobe=off
                BalancerMember http://two.test:9000 retry=0 liveprobe=off
            </Proxy>
            ProxyPass / balancer://pool/";
        let builder = errors_allowed(w.httpd().live(text)).expect("[proxy_balancer:error]");
        let httpd = builder.start();
        wait_known(&httpd, "one.test");
        wait_known(&httpd, "two.test");
        w.dns.fail("*", Fault::ServFail);
        pause(1.2);
        a.kill();
        b.kill();
        let records = httpd.load().run(Duration::from_secs(1));
        assert_eq!(records.failed().len(), records.len());
        b.revive();
        eventually(Duration::from_secs(1), || httpd.get("/").backend == "B");
        // With retry=0 the dead member is tried again and again, as with a stock httpd, and requests that
        // find both members in error at that instant fail: how many is a matter of luck, not of ours.
        let records = httpd.load().run(Duration::from_secs(1));
        assert!(!records.from("B").is_empty(), "{:?}", records.by_status());
        a.revive();
        eventually(Duration::from_secs(1), || httpd.get("/").backend == "A");
        httpd
            .load()
            .run(Duration::from_millis(500))
            .assert_clean(QUICK);
    });
}

/// The system's DNS says something else than the module's: after all of our addresses have failed, httpd finds
/// and publishes the others itself. That serves the request, and does not last.
fn a_foreign_pointer(w: &mut World, mpm: Mpm) {
    let (a, b) = backends();
    let ours = Dns::start("127.0.0.8:53");
    ours.set("app.test", answers(&[IP_A], 600));
    set_app(w, &[IP_B]);
    // Without probes: they would take the worker out.
    let text = format!("{FOLLOW} retry=0 liveprobe=off\nProxyLiveResolver 127.0.0.8");
    let httpd = start_following(errors_allowed(w.httpd().mpm(mpm).live(&text)));
    all_children_use(&httpd, "/", "A");
    a.kill();
    pause(0.1);
    let found = httpd.every_child("/");
    let helped: BTreeSet<u32> = found
        .iter()
        .filter(|(_, replies)| replies.iter().any(|r| r.backend == "B"))
        .map(|(pid, _)| *pid)
        .collect();
    assert!(
        !helped.is_empty() && b.requests() > 0,
        "httpd's own look-up found nobody"
    );
    assert!(w.dns.count("app.test", Type::A) > 0);
    a.revive();
    // the keeper's longest pause
    pause(0.6);
    b.forget();
    for _ in 0..3 {
        all_children_use(&httpd, "/", "A");
    }
    assert_eq!(b.seen().len(), 0);
    // connections to the strangers are not kept
    eventually(Duration::from_secs(2), || b.open() == 0);
    assert_eq!(httpd.logged("name app.test: addresses"), 1);
    assert_eq!(
        ours.count("app.test", Type::A),
        1,
        "nobody asks the module's server before its time"
    );
}

#[test]
fn a_foreign_pointer_event() {
    scenario(|w: &mut World| a_foreign_pointer(w, Mpm::Event));
}

#[test]
fn a_foreign_pointer_worker() {
    scenario(|w: &mut World| a_foreign_pointer(w, Mpm::Worker));
}

#[test]
fn a_foreign_pointer_prefork() {
    scenario(|w: &mut World| a_foreign_pointer(w, Mpm::Prefork));
}

/// All addresses have gone and DNS already knows the new ones, before the TTL says that it is time to ask:
/// httpd's own look-up helps, and when the module asks it agrees.
#[test]
fn httpd_is_ahead_of_the_module() {
    scenario(|w: &mut World| {
        let (a, _b) = backends();
        w.dns.set("app.test", answers(&[IP_A], 5));
        let httpd = start_following(errors_allowed(w.httpd().live(&format!("{FOLLOW} retry=0"))));
        all_children_use(&httpd, "/", "A");
        w.dns.set("app.test", answers(&[IP_B], 5));
        a.kill();
        pause(0.1);
        assert_eq!(httpd.get("/").backend, "B", "as with a stock httpd");
        eventually(Duration::from_secs(8), || {
            httpd.logged("addresses 127.0.0.2 -> 127.0.0.3") == 1
        });
        pause(0.2);
        all_children_use(&httpd, "/", "B");
        httpd
            .load()
            .run(Duration::from_millis(500))
            .assert_clean(QUICK);
    });
}

/// Proves that the scenarios above see what they claim: without the module the stranger stays.
#[test]
fn stock_keeps_the_foreign_address() {
    scenario(|w: &mut World| {
        let (a, _b): (Backend, Backend) = backends();
        set_app(w, &[IP_A]);
        let httpd =
            errors_allowed(w.httpd().children(1).config(&format!("{STOCK} retry=0"))).start();
        all_children_use(&httpd, "/", "A");
        set_app(w, &[IP_B]);
        a.kill();
        pause(0.1);
        assert_eq!(httpd.get("/").backend, "B");
        a.revive();
        set_app(w, &[IP_A]);
        pause(3.0);
        all_children_use(&httpd, "/", "B");
    });
}
