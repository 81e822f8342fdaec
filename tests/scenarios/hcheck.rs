//! Beside mod_proxy_hcheck: both have parameters of their own on the same lines, each does its work.

use crate::common::*;
use live_kit::{Backend, Builder, Fault, Httpd, Mode, World, eventually, pause, scenario};
use std::time::{Duration, Instant};

/// Where the module stands among the LoadModule lines: before and behind mod_proxy_hcheck.
const ORDERS: [&str; 2] = ["proxy", "proxy_hcheck"];

const PATIENCE: Duration = Duration::from_secs(8);

fn builder(w: &mut World, after: &str) -> Builder {
    w.httpd().module("proxy_hcheck").live_after(after)
}

/// Probes that mod_proxy_hcheck sent to the URI of its parameters.
fn probes(backend: &Backend) -> usize {
    backend
        .seen()
        .iter()
        .filter(|s| s.path == "/health")
        .count()
}

/// Two members, checked in two ways: by a template with an expression, and by plain parameters.
fn pool(live: &str) -> String {
    format!(
        "ProxyHCExpr well {{%{{REQUEST_STATUS}} =~ /^2/}}
         ProxyHCTemplate quick hcmethod=GET hcuri=/health hcinterval=200ms hcexpr=well hcfails=2 hcpasses=2
         <Proxy balancer://pool>
             BalancerMember http://one.test:9000 {live} hctemplate=quick
             BalancerMember http://two.test:9000 hcmethod=GET {live} hcuri=/health hcinterval=200ms hcfails=2 hcpasses=2
         </Proxy>
         ProxyPass / balancer://pool/"
    )
}

/// The whole life beside each other, in both orders.
fn follows_and_marks(w: &mut World, after: &str) {
    let (a, b) = backends();
    let (c, d) = (backend("C", "127.0.0.4"), backend("D", "127.0.0.5"));
    w.dns.set("one.test", short(&[IP_A]));
    w.dns.set("two.test", short(&[IP_B]));
    let gone = "HCOH: attempt to connect to 127.0.0.3:9000 (two.test:9000) failed";
    let httpd = builder(w, after)
        .live(&pool("live=on livettl=1s-5s"))
        .expect(gone)
        .start();
    wait_known(&httpd, "one.test");
    wait_known(&httpd, "two.test");
    eventually(PATIENCE, || probes(&a) > 2 && probes(&b) > 2);
    assert_eq!(used(&httpd), ["A", "B"]);

    // hcheck marks: A is sick, nobody is sent there
    a.mode(Mode::Status(503));
    eventually(PATIENCE, || disabled(&httpd, "one.test") == 1);
    let load = httpd.load().clients(4).run(Duration::from_millis(500));
    load.assert_clean(QUICK);
    assert_eq!(load.by_backend().into_keys().collect::<Vec<_>>(), ["B"]);

    // DNS moves the sick member; the module does not take the mark away
    w.dns.set("one.test", short(&["127.0.0.4"]));
    after_ttl(Instant::now(), 1);
    assert_eq!(used(&httpd), ["B"]);

    // hcheck takes its own mark away, and the member is used at its new address
    a.revive();
    eventually(PATIENCE, || enabled(&httpd, "one.test") == 1);
    assert_eq!(used(&httpd), ["B", "C"]);
    assert!(c.requests() > 0);

    // the other one moves under load, well all the time
    let load = httpd.load().clients(4).start();
    w.dns.set("two.test", short(&["127.0.0.5"]));
    let due = after_ttl(Instant::now(), 1);
    pause(0.5);
    let records = load.stop();
    records.assert_clean(QUICK);
    assert_eq!(
        records
            .since(due)
            .by_backend()
            .into_keys()
            .collect::<Vec<_>>(),
        ["C", "D"]
    );

    // and is marked at its new address: with the old one gone, hcheck (which keeps an address of its own)
    // looks the name up again
    b.kill();
    d.forget();
    eventually(PATIENCE, || probes(&d) > 2);
    d.mode(Mode::Status(500));
    eventually(PATIENCE, || disabled(&httpd, "two.test") == 1);
    assert_eq!(used(&httpd), ["C"]);
    d.revive();
    eventually(PATIENCE, || enabled(&httpd, "two.test") == 1);
    assert_eq!(used(&httpd), ["C", "D"]);
    assert_eq!(httpd.logged("proxy_live:warn"), 0);
}

/// Backends that answer a short load.
fn used(httpd: &Httpd) -> Vec<String> {
    // the status is shared by all children; what a child had picked before may still be under way
    pause(0.1);
    let records = httpd.load().clients(4).run(Duration::from_millis(500));
    records.assert_clean(QUICK);
    records.by_backend().into_keys().collect()
}

fn disabled(httpd: &Httpd, name: &str) -> usize {
    httpd.logged(&format!("Health check DISABLING http://{name}:9000"))
}

fn enabled(httpd: &Httpd, name: &str) -> usize {
    httpd.logged(&format!("Health check ENABLING http://{name}:9000"))
}

#[test]
fn follows_and_marks_loaded_before() {
    scenario(|w: &mut World| follows_and_marks(w, ORDERS[0]));
}

#[test]
fn follows_and_marks_loaded_behind() {
    scenario(|w: &mut World| follows_and_marks(w, ORDERS[1]));
}

/// Without any live worker the module is there and hcheck is itself; also after a graceful restart.
#[test]
fn hcheck_alone_is_as_ever() {
    scenario(|w: &mut World| {
        let (a, b) = backends();
        w.dns.set("one.test", short(&[IP_A]));
        w.dns.set("two.test", short(&[IP_B]));
        for after in ORDERS {
            let mut httpd = builder(w, after).live(&pool("")).start();
            for _ in 0..2 {
                a.forget();
                b.forget();
                eventually(PATIENCE, || probes(&a) > 2 && probes(&b) > 2);
                assert_eq!(used(&httpd), ["A", "B"], "loaded behind {after}");
                httpd.graceful();
            }
            assert_eq!(httpd.live_lines(), []);
        }
    });
}

/// `livestale` running out is no business of the module for a member that hcheck checks.
#[test]
fn the_mark_is_left_to_hcheck() {
    scenario(|w: &mut World| {
        let (a, b) = backends();
        w.dns.set("one.test", short(&[IP_A]));
        w.dns.set("two.test", short(&[IP_B]));
        let httpd = builder(w, "proxy")
            .live(&pool("live=on livestale=1s"))
            .expect("DNS fails")
            .start();
        wait_known(&httpd, "one.test");
        wait_known(&httpd, "two.test");
        // hcheck looks the names up itself, for its own probes
        eventually(PATIENCE, || probes(&a) > 0 && probes(&b) > 0);
        w.dns.fail("*", Fault::ServFail);
        a.mode(Mode::Status(503));
        eventually(PATIENCE, || disabled(&httpd, "one.test") == 1);
        pause(2.0);
        assert_eq!(
            used(&httpd),
            ["B"],
            "neither taken out by livestale, nor brought back"
        );
        // DNS answers again: still hcheck's mark
        w.dns.heal("*");
        eventually(PATIENCE, || httpd.logged("DNS answers again") == 2);
        pause(0.6);
        assert_eq!(used(&httpd), ["B"]);
        a.revive();
        eventually(PATIENCE, || enabled(&httpd, "one.test") == 1);
        assert_eq!(used(&httpd), ["A", "B"]);
        assert!(b.requests() > 0);
        assert_eq!(httpd.logged("up -> down") + httpd.logged("down -> up"), 0);
    });
}

/// Wrong parameters of either module are refused with the words of the right one.
#[test]
fn wrong_parameters_of_both() {
    scenario(|w: &mut World| {
        let check = |builder: Builder, parameters: &str| {
            let line = format!("BalancerMember balancer://pool http://one.test:9000 {parameters}");
            let (ok, said) = builder.live(&line).check();
            (ok, said.replace('\n', " "))
        };
        for after in ORDERS {
            for (parameters, words) in [
                ("live=on hcmethod=NONSENSE", "Unknown method"),
                ("hcinterval=never live=on", "Unparse-able hcinterval"),
                (
                    "live=on hctemplate=missing",
                    "Unknown ProxyHCTemplate name: missing",
                ),
                (
                    "live=maybe hcmethod=GET",
                    "live must be on, off or observe; read 'maybe'",
                ),
                ("hcmethod=GET livettl=1s", "livettl must be min-max"),
                ("live=on nonsense=1 hcmethod=GET", "nknown"),
            ] {
                let (ok, said) = check(builder(w, after), parameters);
                assert!(!ok && said.contains(words), "{after}: {parameters}: {said}");
            }
            let (ok, said) = check(
                builder(w, after),
                "live=on hcmethod=GET hcuri=/x hcinterval=5 livestale=1min",
            );
            assert!(ok, "{after}: {said}");
        }
        let (ok, said) = check(w.httpd(), "live=on hcmethod=GET");
        assert!(
            !ok && said.contains("unknown Worker parameter"),
            "without mod_proxy_hcheck: {said}"
        );
    });
}

/// mod_proxy_hcheck goes and comes at reloads: its parameters are known exactly while it is loaded.
#[test]
fn hcheck_goes_and_comes() {
    scenario(|w: &mut World| {
        let (a, _b) = backends();
        w.dns.set("one.test", short(&[IP_A]));
        w.dns.set("two.test", short(&[IP_B]));
        let mut httpd = builder(w, "proxy").live(&pool("live=on")).start();
        eventually(PATIENCE, || probes(&a) > 2);
        let plain = "<Proxy balancer://pool>
                BalancerMember http://one.test:9000 live=on
                BalancerMember http://two.test:9000 live=on
            </Proxy>
            ProxyPass / balancer://pool/";
        httpd.reconfigure(|b| b.without("proxy_hcheck"));
        httpd.rewrite(plain);
        httpd.graceful();
        // the old children have gone
        eventually(PATIENCE, || httpd.children().len() == 4);
        pause(0.5);
        a.forget();
        pause(1.0);
        assert_eq!(probes(&a), 0);
        assert_eq!(used(&httpd), ["A", "B"]);
        httpd.reconfigure(|b| b.module("proxy_hcheck"));
        httpd.rewrite(&pool("live=on"));
        httpd.graceful();
        eventually(PATIENCE, || probes(&a) > 2);
        assert_eq!(used(&httpd), ["A", "B"]);
        w.dns.set("two.test", short(&["127.0.0.4"]));
        let _c = backend("C", "127.0.0.4");
        after_ttl(Instant::now(), 1);
        assert_eq!(used(&httpd), ["A", "C"]);
    });
}

/// Probes and `hcmethod` on one worker contradict each other; on different members of a balancer they do not.
#[test]
fn one_check_for_each_worker() {
    scenario(|w: &mut World| {
        let pool = |one: &str, two: &str| {
            format!(
                "<Proxy balancer://pool>
                     BalancerMember http://one.test:9000 live=on {one}
                     BalancerMember http://two.test:9000 live=on {two}
                 </Proxy>
                 ProxyPass / balancer://pool/"
            )
        };
        for after in ORDERS {
            for (one, named) in [
                ("hcmethod=TCP liveprobe=tcp", "liveprobe"),
                ("liveinterval=1s hcmethod=GET hcuri=/x", "liveinterval"),
                ("livefall=3 hcmethod=TCP", "livefall"),
            ] {
                let (ok, said) = builder(w, after).live(&pool(one, "")).check();
                assert!(!ok, "{after}: accepted: {one}");
                for part in ["http://one.test:9000", named, "hcmethod"] {
                    assert!(said.contains(part), "{one}: no '{part}' in: {said}");
                }
            }
            let fine = pool("hcmethod=TCP liveprobe=off", "liveprobe=tcp");
            let (ok, said) = builder(w, after).live(&fine).check();
            assert!(ok, "{after}: {said}");
        }
    });
}

/// One member is mod_proxy_hcheck's, the other is probed: each is marked by its own, and by nobody else.
#[test]
fn both_in_one_balancer() {
    scenario(|w: &mut World| {
        let (a, b) = backends();
        w.dns.set("one.test", short(&[IP_A]));
        w.dns.set("two.test", short(&[IP_B]));
        let text = "<Proxy balancer://pool>
                 BalancerMember http://one.test:9000 live=on hcmethod=GET hcuri=/health hcinterval=200ms
                 BalancerMember http://two.test:9000 live=on
             </Proxy>
             ProxyPass / balancer://pool/";
        let builder = builder(w, "proxy").live(text);
        let builder = builder
            .expect("HCOH: ")
            .expect("worker http://two.test:9000: up -> down");
        let httpd = builder.start();
        wait_known(&httpd, "one.test");
        wait_known(&httpd, "two.test");
        eventually(PATIENCE, || probes(&a) > 2 && b.probed() > 1);
        assert_eq!(a.probed(), 0, "one.test is not the module's to probe");
        assert_eq!(used(&httpd), ["A", "B"]);
        a.mode(Mode::Status(503));
        eventually(PATIENCE, || disabled(&httpd, "one.test") == 1);
        assert_eq!(used(&httpd), ["B"]);
        a.revive();
        eventually(PATIENCE, || enabled(&httpd, "one.test") == 1);
        assert_eq!(used(&httpd), ["A", "B"]);
        b.kill();
        eventually(PATIENCE, || httpd.logged("two.test:9000: up -> down") == 1);
        assert_eq!(used(&httpd), ["A"]);
        b.revive();
        eventually(PATIENCE, || httpd.logged("two.test:9000: down -> up") == 1);
        assert_eq!(used(&httpd), ["A", "B"]);
    });
}
