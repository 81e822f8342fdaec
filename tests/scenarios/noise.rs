//! What is no outage: one refused connect, one lost packet, a hiccup of the network.

use crate::common::pool::*;
use crate::common::*;
use live_kit::{Backend, Httpd, World, answers, eventually, pause, scenario, scenario_within};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(150);

/// The pool with a new connection for each request.
fn fresh(w: &mut World, a: &Backend, b: &Backend) -> Httpd {
    set_members(w);
    let text = format!("{}\n{FRESH}", pool(""));
    // httpd's own lines about the request; none of the module's.
    let builder = w.httpd().live(&text).expect("[proxy:error]");
    let httpd = start_pool(builder.expect("[proxy_http:error]"), &[a, b]);
    assert_eq!(used(&httpd), ["A", "B"]);
    httpd
}

/// mod_proxy blacks a member out for a minute when one connect was refused; here it is back within seconds.
#[test]
fn refused_once() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, b) = backends();
        let httpd = fresh(w, &a, &b);
        let load = httpd.load().start();
        for round in 1..=3 {
            let before = attempts(&httpd, IP_A);
            // Now and then a probe is the one that is refused.
            eventually(PATIENCE, || {
                w.refuse_next(IP_A, 9000, 1);
                pause(0.5);
                attempts(&httpd, IP_A) > before
            });
            let used = a.requests();
            let took = eventually(BACK, || a.requests() > used + 20);
            println!("figure: round {round}: used again after {took:?}");
        }
        load.stop().assert_clean(Duration::from_secs(2));
        assert_eq!(changes(&httpd), 0);
        assert!(told(&httpd, ONE, "released from httpd's error state") >= 3);
    });
}

/// The next regular probe is an hour away: the release does not wait for it.
#[test]
fn refused_once_and_probed_seldom() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        let text = format!("{}\n{FRESH}", pool("liveinterval=1h"));
        let httpd = start_pool(troubled(w.httpd().live(&text)), &[&a, &b]);
        let before = attempts(&httpd, IP_A);
        eventually(PATIENCE, || {
            w.refuse_next(IP_A, 9000, 1);
            for _ in 0..2 {
                let _ = httpd.try_get("/");
            }
            attempts(&httpd, IP_A) > before
        });
        eventually(PATIENCE, || {
            told(&httpd, ONE, "released from httpd's error state") >= 1
        });
        eventually(BACK, || used(&httpd) == ["A", "B"]);
        assert_eq!(changes(&httpd), 0);
    });
}

/// The same on a plain worker, and on one without any other member: nobody notices more than the one request.
#[test]
fn refused_once_without_another() {
    scenario(|w: &mut World| {
        let a = backend("A", IP_A);
        w.dns.set("app.test", answers(&[IP_A], 600));
        let text = format!(
            "<Proxy balancer://pool>
                 BalancerMember http://app.test:9000 live=on
             </Proxy>
             ProxyPass /pool balancer://pool/
             {FOLLOW}\n{FRESH}"
        );
        let builder = w.httpd().live(&text).expect("[proxy:error]");
        let builder = builder
            .expect("[proxy_http:error]")
            .expect("[proxy_balancer:error]");
        let httpd = start_following(builder);
        wait_probed(&[&a]);
        for path in ["/", "/pool"] {
            let before = attempts(&httpd, IP_A);
            eventually(PATIENCE, || {
                w.refuse_next(IP_A, 9000, 1);
                let _ = httpd.try_get(path);
                attempts(&httpd, IP_A) > before
            });
            eventually(BACK, || httpd.get(path).backend == "A");
            pause(0.3);
            let records = httpd.load().path(path).run(Duration::from_secs(1));
            records.assert_clean(PROMPT);
        }
        assert_eq!(changes(&httpd), 0);
    });
}

/// One lost SYN is repeated by the kernel after a second: whoever met it waits, nothing goes down.
#[test]
fn one_lost_syn() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, b) = backends();
        let httpd = fresh(w, &a, &b);
        // Under load a request meets it, else a probe.
        let load = httpd.load().clients(4).start();
        for _ in 0..4 {
            w.drop_first_syn(IP_A, 9000, 1);
            pause(2.5);
        }
        let records = load.stop();
        assert!(records.failed().is_empty(), "{:?}", records.failed()[0]);
        // Whoever met one waited until the kernel repeated it.
        assert!(records.slowest() > Duration::from_millis(900));
        for _ in 0..3 {
            w.drop_first_syn(IP_A, 9000, 1);
            pause(3.0);
        }
        assert_eq!(changes(&httpd), 0);
        eventually(BACK, || used(&httpd) == ["A", "B"]);
    });
}

/// Packets of a machine are lost for 600 ms.
#[test]
fn a_hiccup() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, b) = backends();
        let httpd = fresh(w, &a, &b);
        let load = httpd.load().clients(4).start();
        let mut rounds = 0;
        for _ in 0..30 {
            let start = Instant::now();
            w.vanish(IP_A);
            let lost = Instant::now();
            pause(0.55);
            w.appear(IP_A);
            let (least, most) = (lost.elapsed(), start.elapsed());
            if most > Duration::from_millis(615) {
                // It was longer on this busy machine, and might have been an outage.
                pause(2.0);
                continue;
            }
            assert!(least > Duration::from_millis(500), "{least:?}");
            let before = changes(&httpd);
            pause(2.5);
            assert_eq!(changes(&httpd), before, "a hiccup of {most:?}");
            rounds += 1;
            if rounds == 4 {
                break;
            }
        }
        assert!(rounds > 0, "the machine is too busy for a hiccup of 600 ms");
        let records = load.stop();
        assert!(records.failed().is_empty(), "{:?}", records.failed()[0]);
        // A fourth error in a minute takes longer to be forgiven.
        eventually(Duration::from_secs(20), || used(&httpd) == ["A", "B"]);
        println!(
            "figure: {rounds} hiccups of 600 ms, {} changes",
            changes(&httpd)
        );
    });
}

/// Every processor is taken by others: probes may be late, and nobody goes down for that.
#[test]
fn a_busy_machine() {
    scenario(|w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        let text = pool("liveinterval=200ms livetimeout=100ms");
        let builder = w.httpd().live(&text);
        let httpd = start_pool(builder.expect("cannot be probed"), &[&a, &b]);
        let spinning = AtomicBool::new(true);
        std::thread::scope(|scope| {
            let processors = std::thread::available_parallelism().map_or(2, usize::from);
            for _ in 0..3 * processors {
                scope.spawn(|| {
                    while spinning.load(Ordering::Relaxed) {
                        std::hint::spin_loop()
                    }
                });
            }
            pause(10.0);
            spinning.store(false, Ordering::Relaxed);
        });
        let probes = a.probed() + b.probed();
        println!(
            "figure: {probes} probes on a busy machine, {} changes",
            changes(&httpd)
        );
        assert!(probes > 20, "{probes} probes");
        assert_eq!(changes(&httpd), 0);
        assert_eq!(used(&httpd), ["A", "B"]);
    });
}

/// A slow backend is not a dead one: no answer for seconds, but its kernel accepts connections.
#[test]
fn slow_is_not_dead() {
    scenario(|w: &mut World| {
        let (a, b) = backends();
        let httpd = fresh(w, &a, &b);
        a.mode(live_kit::Mode::Slow(Duration::from_secs(3)));
        let records = httpd.load().clients(6).run(Duration::from_secs(7));
        assert!(records.failed().is_empty(), "{:?}", records.failed()[0]);
        assert!(records.from("A").len() >= 4, "{:?}", records.by_backend());
        a.revive();
        assert_eq!(changes(&httpd), 0);
        assert_eq!(told(&httpd, ONE, "released"), 0);
    });
}
