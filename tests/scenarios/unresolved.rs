//! Workers whose name DNS has never resolved: no request is sent there, and none waits for a look-up.

use crate::common::noted::is_from;
use crate::common::pool::*;
use crate::common::status::*;
use crate::common::*;
use live_kit::{Backend, Fault, Httpd, MANAGER, Mpm, World, eventually, pause, scenario_within};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);
const RESOLVER: &str = "ProxyLiveResolver system timeout=500ms attempts=1";

/// Its state on the page, and why.
#[track_caller]
fn shown(httpd: &live_kit::Httpd, name: &str) -> (String, String) {
    let page = json(httpd);
    let found = worker(&page, name);
    (text(&found["state"]), text(&found["reason"]))
}

fn unresolved(host: &str) -> (String, String) {
    let why = format!("name not resolved yet: DNS has no address for {host}");
    ("down".to_owned(), why)
}

/// One of two members has no address at the start: the other one serves, without a look-up in any request; it is used
/// as soon as DNS answers.
#[test]
fn the_other_member_serves() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        w.dns.fail("two.test", Fault::Silent);
        let text = format!("{RESOLVER}\n{PAGES}\n{MANAGER}\n{}", pool(""));
        let builder = troubled(w.httpd().threads(16).live(&text)).expect("DNS fails");
        let mut httpd = builder.start();
        wait_known(&httpd, "one.test");
        wait_probed(&[&a]);
        eventually(PATIENCE, || told(&httpd, TWO, "starting -> down") == 1);
        pause(0.5);
        assert_eq!(used_by(&httpd, Duration::from_secs(2)), ["A"]);
        assert!(httpd.manager("pool").has(TWO, "HcFl"));
        assert_eq!(shown(&httpd, TWO), unresolved("two.test"));
        assert_eq!(
            metric(
                &httpd,
                "proxy_live_worker_state",
                &format!("worker=\"{TWO}\",state=\"down\"")
            ),
            1.0
        );
        assert_eq!(ready(&httpd), (200, "ready".to_owned()));
        // A reload changes nothing.
        httpd.graceful();
        assert_eq!(used_by(&httpd, Duration::from_secs(1)), ["A"]);
        w.dns.heal("two.test");
        wait_probed(&[&b]);
        eventually(BACK, || used(&httpd) == ["A", "B"]);
        assert_eq!(
            told(&httpd, TWO, "down -> starting (two.test: DNS answers)"),
            1
        );
        assert_eq!(shown(&httpd, TWO), ("up".to_owned(), String::new()));
    });
}

/// No member has an address, nor has a plain worker: 503 at once instead of a look-up that hangs; all are back as soon
/// as DNS is.
#[test]
fn nobody_waits_for_dns() {
    scenario_within(LIMIT, |w: &mut World| {
        let _backends = backends();
        set_members(w);
        set_app(w, &[IP_A]);
        w.dns.fail("*", Fault::Silent);
        let members = pool("").replace("ProxyPass / ", "ProxyPass /pool/ ");
        let text = format!("{RESOLVER}\n{PAGES}\n{members}\n{FOLLOW}");
        let mut httpd = troubled(w.httpd().live(&text)).expect("DNS fails").start();
        for worker in [ONE, TWO, "http://app.test:9000"] {
            eventually(PATIENCE, || told(&httpd, worker, "starting -> down") >= 1);
        }
        pause(1.0);
        let quick = |httpd: &live_kit::Httpd| {
            for path in ["/", "/pool/"] {
                let load = httpd.load().path(path).clients(2);
                let records = load.run(Duration::from_millis(500));
                assert_eq!(records.by_status().into_keys().collect::<Vec<_>>(), [503]);
                assert!(records.slowest() < QUICK, "{:?}", records.slowest());
            }
        };
        quick(&httpd);
        let waits = "not ready: balancer://pool waits for DNS or its first probe, \
                     http://app.test:9000/ waits for DNS or its first probe";
        assert_eq!(ready(&httpd), (503, waits.to_owned()));
        assert_eq!(
            shown(&httpd, "http://app.test:9000/"),
            unresolved("app.test")
        );
        httpd.graceful();
        quick(&httpd);
        w.dns.heal("*");
        // Tried every 4 to 5 seconds.
        let all = || {
            let names = ["/", "/pool/"].map(|path| httpd.get(path).status);
            names == [200, 200]
        };
        eventually(Duration::from_secs(8), all);
        eventually(PATIENCE, || ready(&httpd) == (200, "ready".to_owned()));
        httpd
            .load()
            .clients(2)
            .run(Duration::from_millis(500))
            .assert_clean(QUICK);
    });
}

/// A reload brings the second member, for which DNS answers after 4 seconds.
fn with_new_member(w: &mut World, mpm: Mpm, a: &Backend) -> Httpd {
    let section =
        |member| format!("<Proxy balancer://pool>\nBalancerMember {member} live=on\n</Proxy>");
    let one = format!(
        "ProxyLiveResolver system timeout=9s attempts=1\n{PAGES}\n{}\nProxyPass / balancer://pool/",
        section(ONE)
    );
    let builder = troubled(w.httpd().mpm(mpm).live(&one));
    let mut httpd = builder.expect("TTL").start();
    wait_known(&httpd, "one.test");
    wait_probed(&[a]);
    w.dns.fail("two.test", Fault::Late(Duration::from_secs(4)));
    httpd.reconfigure(|builder| builder.live(&section(TWO)));
    let old = httpd.children();
    httpd.graceful();
    // Old children do not know it.
    eventually(PATIENCE, || {
        !httpd.children().iter().any(|pid| old.contains(pid))
    });
    httpd
}

/// DNS is slow when a reload brings a member: no request waits for its first look-up, which httpd would do in each of
/// them, and nothing is told of it.
#[test]
fn a_new_member_awaits_its_first_answer() {
    for mpm in [Mpm::Event, Mpm::Prefork] {
        scenario_within(LIMIT, |w: &mut World| {
            let (a, b) = backends();
            set_members(w);
            let httpd = with_new_member(w, mpm, &a);
            let load = httpd.load().clients(2).run(Duration::from_secs(1));
            load.assert_clean(QUICK);
            let starting = (
                "starting".to_owned(),
                "DNS has not answered for two.test".to_owned(),
            );
            assert_eq!(shown(&httpd, TWO), starting);
            assert_eq!(ready(&httpd), (200, "ready".to_owned()));
            assert_eq!(load.by_backend().into_keys().collect::<Vec<_>>(), ["A"]);
            wait_probed(&[&b]);
            eventually(BACK, || used(&httpd) == ["A", "B"]);
            assert_eq!(httpd.logged(&format!("worker {TWO}: ")), 0);
        });
    }
}

/// A request fails at the only member that DNS has answered for: it is tried once more at the other one, and waits for
/// httpd's look-up there.
#[test]
fn a_failed_request_meets_one_that_awaits_dns() {
    for mpm in [Mpm::Event, Mpm::Prefork] {
        scenario_within(LIMIT, |w: &mut World| {
            let (a, _b) = backends();
            set_members(w);
            let httpd = with_new_member(w, mpm, &a);
            let reply = httpd.get("/?die=close&at=A");
            assert_eq!((reply.status, a.died()), (200, 1));
            is_from(&reply, "B");
        });
    }
}

/// A member is added while DNS fails, and enabled: no request meets it before it has an address.
#[test]
fn a_member_added_without_dns() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        w.dns.fail("two.test", Fault::ServFail);
        let text = format!(
            "{MANAGER}
            <Proxy balancer://pool>
                ProxyLive on
                BalancerMember {ONE}
                ProxySet growth=5
            </Proxy>
            ProxyPass / balancer://pool/"
        );
        let builder = troubled(w.httpd().threads(16).live(&text)).expect("DNS fails");
        let httpd = builder.start();
        wait_known(&httpd, "one.test");
        wait_probed(&[&a]);
        let manager = httpd.manager("pool");
        manager.add(TWO);
        eventually(PATIENCE, || told(&httpd, TWO, "starting -> down") == 1);
        manager.edit(TWO, "w_status_D=0");
        assert_eq!(used_by(&httpd, Duration::from_secs(2)), ["A"]);
        assert!(manager.has(TWO, "HcFl"));
        w.dns.heal("two.test");
        wait_probed(&[&b]);
        eventually(BACK, || used(&httpd) == ["A", "B"]);
    });
}
