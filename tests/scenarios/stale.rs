//! `livestale` has run out: workers go out of service, and come back.

use crate::common::processes::leader;
use crate::common::*;
use live_kit::{
    Builder, Fault, Httpd, Mpm, Signal, Type, World, answers, eventually, pause, scenario,
};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

const DOWN: &str = "up -> down";
const UP: &str = "down -> up";
/// A member that is the only one.
const POOL: &str = "BalancerPersist On
    <Proxy balancer://pool>
        BalancerMember http://app.test:9000 MEMBER
    </Proxy>
    ProxyPass / balancer://pool/";

fn expecting(builder: Builder) -> Builder {
    builder
        .expect("DNS fails")
        .expect(DOWN)
        .expect("[proxy:error]")
        .expect("[proxy_balancer:error]")
        // A request that had chosen the worker at that instant.
        .expect("AH01114")
}

/// A plain worker has a status in each child; one child tells it, the others only at `debug`.
const DEBUG: &str = "info proxy_live:debug";

/// Lines that workers went down, and up, of all children.
fn lines(httpd: &Httpd) -> (usize, usize) {
    (httpd.logged(DOWN), httpd.logged(UP))
}

/// Those that are written at any LogLevel.
fn told(httpd: &Httpd) -> (usize, usize) {
    let lines = httpd.live_lines();
    let count = |text, level| {
        let told = lines.iter().filter(|l| l.text.contains(text));
        told.filter(|l| l.level == level).count()
    };
    (count(DOWN, "warn"), count(UP, "notice"))
}

/// Has these children answer, each of them, with this status and backend and nothing else.
#[track_caller]
fn all_answer(httpd: &Httpd, children: &[u32], status: u16, backend: &str) {
    // One request per connection: refusals are too quick to keep a child from taking the next one.
    let load = httpd
        .load()
        .per_connection(1)
        .pause(Duration::from_millis(2));
    let records = load.run(Duration::from_millis(700));
    let wrong = records
        .0
        .iter()
        .find(|r| (r.status, r.backend.as_str()) != (status, backend));
    assert!(wrong.is_none(), "not {status} by {backend:?}: {wrong:?}");
    let answered: BTreeSet<u32> = records.0.iter().map(|r| r.child).collect();
    assert_eq!(answered, children.iter().copied().collect());
}

/// A plain worker answers 503 at once in every child, and serves again with the first answer.
fn runs_out(w: &mut World, mpm: Mpm) {
    let _backends = backends();
    set_app(w, &[IP_A]);
    let text = format!("{FOLLOW} livestale=2s");
    let builder = w.httpd().mpm(mpm).log_level(DEBUG).live(&text);
    let httpd = start_following(expecting(builder));
    let children = httpd.children();
    all_answer(&httpd, &children, 200, "A");
    w.dns.fail("app.test", Fault::ServFail);
    let broken = Instant::now();
    let load = httpd.load().start();
    eventually(Duration::from_secs(6), || httpd.logged(DOWN) > 0);
    let lasted = broken.elapsed();
    assert!(
        lasted >= Duration::from_secs(2),
        "taken out after {lasted:?}"
    );
    eventually(Duration::from_secs(1), || lines(&httpd) == (4, 0));
    let records = load.stop();
    assert!(records.slowest() < QUICK, "slowest {:?}", records.slowest());
    let good = records.before(broken + Duration::from_secs(2));
    assert!(good.len() > 50 && good.failed().is_empty());
    all_answer(&httpd, &children, 503, "");
    w.dns.heal("app.test");
    eventually(Duration::from_secs(9), || lines(&httpd) == (4, 4));
    all_answer(&httpd, &children, 200, "A");
    // no flapping
    assert_eq!((lines(&httpd), told(&httpd)), ((4, 4), (1, 1)));
}

#[test]
fn runs_out_event() {
    scenario(|w: &mut World| runs_out(w, Mpm::Event));
}

#[test]
fn runs_out_prefork() {
    scenario(|w: &mut World| runs_out(w, Mpm::Prefork));
}

/// In a balancer the other member takes over, without an error; one line for all children.
#[test]
fn in_a_balancer() {
    scenario(|w: &mut World| {
        let _backends = backends();
        w.dns.set("one.test", short(&[IP_A]));
        w.dns.set("two.test", short(&[IP_B]));
        let text = "<Proxy balancer://pool>
                BalancerMember http://one.test:9000 live=on livestale=1s
                BalancerMember http://two.test:9000 live=on
            </Proxy>
            ProxyPass / balancer://pool/";
        let httpd = w
            .httpd()
            .log_level(DEBUG)
            .live(text)
            .expect("DNS fails")
            .expect(DOWN)
            // A request that had chosen the member at that instant: httpd sends it to the other one.
            .expect("AH01114")
            .expect("AH00940")
            .start();
        wait_known(&httpd, "one.test");
        wait_known(&httpd, "two.test");
        let load = httpd.load().start();
        pause(0.3);
        let broken = Instant::now();
        w.dns.fail("*", Fault::ServFail);
        pause(4.0);
        let expired = Instant::now();
        pause(1.0);
        let records = load.stop();
        records.assert_clean(QUICK);
        let before = records.before(broken + Duration::from_secs(1));
        assert!(before.by_backend()["A"] > 0);
        assert_only(&records, expired, "B");
        assert_eq!(lines(&httpd), (1, 0));
        w.dns.heal("*");
        eventually(Duration::from_secs(9), || lines(&httpd) == (1, 1));
        let records = httpd.load().run(Duration::from_secs(1));
        assert!(records.failed().is_empty());
        assert!(records.by_backend()["A"] > 0, "the member is used again");
        assert_eq!((lines(&httpd), told(&httpd)), ((1, 1), (1, 1)));
    });
}

/// A fails for longer than `livestale`, AAAA goes on: only the IPv4 address is given up.
#[test]
fn one_family_alone() {
    scenario(|w: &mut World| {
        w.add_address("fd00::3");
        let _backends = [backend("A", IP_A), backend("B", "fd00::3")];
        w.dns.set("app.test", answers(&[IP_A, "fd00::3"], 1));
        let text = format!("{FOLLOW} livestale=1s livespread=on");
        let httpd = start_following(w.httpd().live(&text).expect("DNS fails"));
        let load = httpd.load().per_connection(1).start();
        pause(1.0);
        w.dns.fail_type("app.test", Type::A, Fault::ServFail);
        let broken = Instant::now();
        // TTL, livestale, and the keepers' tick
        let due = broken + Duration::from_millis(3200);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        pause(1.0);
        w.dns.heal("*");
        pause(0.1);
        let records = load.stop();
        records.assert_clean(QUICK);
        let before = records.before(broken + Duration::from_secs(1)).by_backend();
        assert!(before["A"] > 0 && before["B"] > 0, "{before:?}");
        let late = records.since(due).before(due + Duration::from_secs(1));
        assert_eq!(late.by_backend().into_keys().collect::<Vec<_>>(), ["B"]);
        assert_eq!(lines(&httpd), (0, 0), "the worker stays in service");
        eventually(Duration::from_secs(6), || httpd.get("/").backend == "A");
    });
}

/// httpd stores that the member was out when it stopped. With the module and a good DNS it is used again at the
/// next start, whatever `livestale` is then.
fn persisted(w: &mut World, later: &str) {
    let _backends = backends();
    set_app(w, &[IP_A]);
    let first = POOL.replace("MEMBER", "live=on livestale=1s");
    let mut httpd = start_following(expecting(w.httpd().live(&first)));
    assert_eq!(httpd.get("/").backend, "A");
    w.dns.fail("*", Fault::ServFail);
    eventually(Duration::from_secs(6), || httpd.get("/").status == 503);
    httpd.stop();
    w.dns.heal("*");
    // Without the module the stored status stands: there is something to be cleared.
    httpd.rewrite(&POOL.replace("MEMBER", ""));
    httpd.reconfigure(Builder::without_live);
    httpd.start_again();
    assert_eq!(httpd.get("/").status, 503);
    httpd.stop();
    httpd.rewrite("");
    httpd.reconfigure(|b| b.live(&POOL.replace("MEMBER", later)));
    httpd.start_again();
    all_answer(&httpd, &httpd.children(), 200, "A");
    assert_eq!(lines(&httpd).0, 1, "once, before the first stop");
}

#[test]
fn persisted_with_livestale() {
    scenario(|w: &mut World| persisted(w, "live=on livestale=1s"));
}

#[test]
fn persisted_and_livestale_removed() {
    scenario(|w: &mut World| persisted(w, "live=on"));
}

/// The leading child is stopped while DNS is out of order: nobody knows whether DNS is well again, so the others
/// serve from the old address until it is heard.
#[test]
fn the_leader_falls_silent() {
    scenario(|w: &mut World| {
        let _backends = backends();
        set_app(w, &[IP_A]);
        let text = format!("{FOLLOW} livestale=1s");
        let builder = expecting(w.httpd().log_level(DEBUG).live(&text)).expect("has been silent");
        let httpd = start_following(builder);
        let children = httpd.children();
        w.dns.fail("*", Fault::ServFail);
        eventually(Duration::from_secs(6), || lines(&httpd) == (4, 0));
        all_answer(&httpd, &children, 503, "");
        let old = leader(&httpd);
        httpd.signal(old, Signal::STOP);
        let took = eventually(Duration::from_secs(5), || lines(&httpd) == (4, 3));
        assert!(took > Duration::from_millis(1900), "after {took:?}");
        assert!(took < Duration::from_millis(4500), "after {took:?}");
        assert_eq!(httpd.logged("has been silent"), 1);
        assert_eq!(told(&httpd), (1, 1));
        let others: Vec<u32> = children.iter().copied().filter(|p| *p != old).collect();
        all_answer(&httpd, &others, 200, "A");
        httpd.signal(old, Signal::CONT);
        eventually(Duration::from_secs(2), || lines(&httpd) == (7, 3));
        assert_eq!(told(&httpd), (2, 1));
        all_answer(&httpd, &children, 503, "");
        w.dns.heal("*");
        eventually(Duration::from_secs(20), || lines(&httpd) == (7, 7));
        all_answer(&httpd, &children, 200, "A");
        assert_eq!(told(&httpd), (2, 2));
    });
}
