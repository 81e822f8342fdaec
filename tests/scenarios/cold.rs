//! Beginnings: a start with DNS slow or down, names that do not exist, the first request after a reload.

use crate::common::dead_ends::*;
use crate::common::*;
use live_kit::{Fault, Httpd, Mpm, Reply, World, answers, eventually, pause, scenario};
use std::collections::BTreeSet;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A GET in a thread of its own: the answer and how long it took.
fn timed(httpd: &Httpd, path: &'static str) -> JoinHandle<(Reply, Duration)> {
    let mut client = httpd.client();
    std::thread::spawn(move || {
        let start = Instant::now();
        let reply = client
            .send(&live_kit::Request::get(path))
            .expect("an answer");
        (reply, start.elapsed())
    })
}

/// Waits until no child of `before` lives: nobody is surprised by the end of one then.
#[track_caller]
fn wait_replaced(httpd: &Httpd, before: &[u32]) {
    let gone = || httpd.children().iter().all(|pid| !before.contains(pid));
    eventually(Duration::from_secs(5), gone);
}

/// DNS takes 3 s. The first request is served as by a stock httpd at its side, and meanwhile everything else
/// goes on: other workers, their moves, the reading of the answer.
fn slow_dns_at_the_start(w: &mut World, mpm: Mpm) {
    let (_a, _b) = backends();
    set_app(w, &[IP_A]);
    w.dns.set("other.test", short(&[IP_A]));
    let stock = w.httpd().mpm(mpm).children(2).config(STOCK).start();
    w.dns.delay("app.test", Duration::from_secs(3));
    let text = format!("ProxyPass /other/ http://other.test:9000/ live=on\n{FOLLOW}");
    let httpd = w.httpd().mpm(mpm).children(2).live(&text).start();
    let (first, of_stock) = (timed(&httpd, "/first"), timed(&stock, "/first"));
    // httpd is inside getaddrinfo with the worker's lock; the keeper does not wait for it
    wait_known(&httpd, "other.test");
    all_children_use_meanwhile(&httpd, mpm, "A");
    w.dns.set("other.test", short(&[IP_B]));
    let moved = Instant::now();
    let (first, took) = {
        eventually(Duration::from_millis(2200), || {
            httpd.get("/other/").backend == "B"
        });
        assert!(moved.elapsed() < Duration::from_millis(2200));
        first.join().expect("the first request")
    };
    let (reply, took_stock) = of_stock
        .join()
        .expect("the first request of the stock httpd");
    assert_eq!((first.backend.as_str(), reply.backend.as_str()), ("A", "A"));
    assert!(took < took_stock + SLACK, "{took:?}, stock {took_stock:?}");
    wait_known(&httpd, "app.test");
    // look-ups of httpd's own that began before the answer came have ended by now
    pause(0.5);
    all_children_use(&httpd, "/", "A");
    httpd
        .load()
        .clients(4)
        .run(Duration::from_millis(700))
        .assert_clean(QUICK);
    // and the keeper has followed on: the next answer also takes 3 s
    set_app(w, &[IP_B]);
    eventually(Duration::from_secs(8), || httpd.get("/").backend == "B");
    pause(0.2);
    all_children_use(&httpd, "/", "B");
}

/// With prefork a child that waits for DNS serves nothing else.
fn all_children_use_meanwhile(httpd: &Httpd, mpm: Mpm, backend: &str) {
    if mpm == Mpm::Prefork {
        assert_eq!(httpd.get("/other/").backend, backend);
    } else {
        all_children_use(httpd, "/other/", backend);
    }
}

#[test]
fn slow_dns_at_the_start_event() {
    scenario(|w: &mut World| slow_dns_at_the_start(w, Mpm::Event));
}

#[test]
fn slow_dns_at_the_start_worker() {
    scenario(|w: &mut World| slow_dns_at_the_start(w, Mpm::Worker));
}

#[test]
fn slow_dns_at_the_start_prefork() {
    scenario(|w: &mut World| slow_dns_at_the_start(w, Mpm::Prefork));
}

/// Requests arrive while the module's own answer is on its way, in every child, and none is lost.
#[test]
fn a_crowd_at_a_slow_start() {
    scenario(|w: &mut World| {
        let _backends = backends();
        set_app(w, &[IP_A]);
        w.dns.delay("*", Duration::from_secs(3));
        let httpd = w.httpd().live(FOLLOW).start();
        // a connection for each request: with all threads waiting, httpd closes connections that are kept alive
        let load = httpd.load().clients(24).per_connection(1).start();
        wait_known(&httpd, "app.test");
        pause(4.0);
        let settled = Instant::now();
        pause(1.0);
        let records = load.stop();
        assert!(records.failed().is_empty(), "{:?}", records.failed()[0]);
        assert_eq!(records.by_backend().into_keys().collect::<Vec<_>>(), ["A"]);
        assert!(
            records.slowest() < Duration::from_secs(7),
            "{:?}",
            records.slowest()
        );
        records.since(settled).assert_clean(QUICK);
        let children: BTreeSet<u32> = records.by_child().into_keys().collect();
        assert_eq!(children.into_iter().collect::<Vec<_>>(), httpd.children());
    });
}

/// DNS is out of order: nobody waits longer than with a stock httpd, and no request for a look-up at all once that is
/// known. After it came back the worker is in use within the pause between two tries.
fn dead_dns_at_the_start(w: &mut World, kill: impl Fn(&mut World), heal: impl Fn(&mut World)) {
    let _backends = backends();
    w.resolv_conf(IMPATIENT);
    kill(w);
    let stock = errors_allowed(w.httpd().config(STOCK)).start();
    let httpd = errors_allowed(w.httpd().live(FOLLOW)).start();
    for _ in 0..2 {
        let (ours, theirs) = (timed(&httpd, "/"), timed(&stock, "/"));
        let (ours, took) = ours.join().expect("a request");
        let (_, took_stock) = theirs.join().expect("a request of the stock httpd");
        assert!(ours.status >= 500, "{}", ours.status);
        assert!(took < took_stock + SLACK, "{took:?}, stock {took_stock:?}");
    }
    let down = "worker http://app.test:9000/: starting -> down (app.test: name not resolved yet)";
    eventually(Duration::from_secs(5), || httpd.logged(down) >= 1);
    pause(0.5);
    for _ in 0..10 {
        let (reply, took) = timed(&httpd, "/").join().expect("a request");
        assert_eq!(reply.status, 503);
        assert!(took < QUICK, "{took:?}");
    }
    heal(w);
    set_app(w, &[IP_A]);
    eventually(Duration::from_secs(8), || httpd.get("/").backend == "A");
    assert_eq!(
        httpd.logged("name app.test: addresses none -> 127.0.0.2"),
        1
    );
    pause(0.2);
    all_children_use(&httpd, "/", "A");
    assert_eq!(stock.get("/").backend, "A");
    // what httpd has found does not stay
    all_children_use(&stock, "/", "A");
    set_app(w, &[IP_B]);
    after_ttl(Instant::now(), 1);
    all_children_use(&httpd, "/", "B");
    all_children_use(&stock, "/", "A");
    assert_eq!(httpd.logged("DNS fails"), 1);
}

#[test]
fn closed_dns_at_the_start() {
    scenario(|w: &mut World| dead_dns_at_the_start(w, |w| w.dns.down(), |w| w.dns.up()));
}

#[test]
fn silent_dns_at_the_start() {
    scenario(|w: &mut World| {
        dead_dns_at_the_start(w, |w| w.dns.fail("*", Fault::Silent), |w| w.dns.heal("*"));
    });
}

#[test]
fn failing_dns_at_the_start() {
    scenario(|w: &mut World| {
        dead_dns_at_the_start(w, |w| w.dns.fail("*", Fault::ServFail), |w| w.dns.heal("*"));
    });
}

/// Names that nobody knows: the server starts, reloads and serves all else; when a name appears it is followed.
#[test]
fn unresolvable_names_stop_nothing() {
    scenario(|w: &mut World| {
        let _backends = backends();
        set_app(w, &[IP_A]);
        let text = format!(
            "ProxyPass /never/ http://never.test:9000/ live=on
             ProxyPass /odd/ http://under_score.-odd-.test:9000/ live=on
             ProxyPass /long/ http://{}.test:9000/ live=on
             <Proxy balancer://pool>
                 BalancerMember http://nobody.test:9000 live=on retry=1
                 BalancerMember http://app.test:9000 live=on
             </Proxy>
             ProxyPass /pool/ balancer://pool/
             {FOLLOW}",
            "x".repeat(64)
        );
        let (ok, said) = w.httpd().live(&text).check();
        assert!(ok, "{said}");
        let mut httpd = errors_allowed(w.httpd().live(&text)).start();
        wait_known(&httpd, "app.test");
        for round in 1..=2 {
            all_children_use(&httpd, "/", "A");
            for path in ["/never/", "/odd/", "/long/"] {
                assert!(httpd.get(path).status >= 500, "{path}");
            }
            let nobody = "worker http://nobody.test:9000: starting -> down";
            eventually(Duration::from_secs(3), || {
                httpd.logged("name never.test: DNS fails") == 1 && httpd.logged(nobody) == 1
            });
            // the other member answers, and no request tries the one without an address
            let load = httpd.load().path("/pool/").clients(2);
            let records = load.run(Duration::from_millis(500));
            records.assert_clean(QUICK);
            assert!(records.from("A").len() == records.len());
            if round == 1 {
                let before = httpd.children();
                httpd.graceful();
                wait_replaced(&httpd, &before);
            }
        }
        // one line, however often it is tried and reloaded
        assert_eq!(httpd.logged("name nobody.test: DNS fails"), 1);
        w.dns.set("never.test", short(&[IP_A]));
        w.dns.set("nobody.test", short(&[IP_B]));
        eventually(Duration::from_secs(20), || {
            httpd.logged("name never.test: addresses none -> 127.0.0.2") == 1
        });
        eventually(Duration::from_secs(20), || {
            httpd.logged("name nobody.test: addresses none -> 127.0.0.3") == 1
        });
        pause(0.2);
        all_children_use(&httpd, "/never/", "A");
        eventually(Duration::from_secs(4), || {
            httpd.get("/pool/").backend == "B"
        });
        w.dns.set("never.test", short(&[IP_B]));
        after_ttl(Instant::now(), 1);
        all_children_use(&httpd, "/never/", "B");
    });
}

/// How long each request took inside httpd. (From outside a reload can be seen: the next generation of children
/// may come a second later.)
fn inside(httpd: &Httpd) -> Vec<Duration> {
    let log = std::fs::read_to_string(httpd.root().join("logs/who.log")).unwrap_or_default();
    let micros = log
        .lines()
        .filter_map(|l| l.rsplit(' ').next()?.parse().ok());
    micros.map(Duration::from_micros).collect()
}

/// The new children have the addresses at their first request, with DNS dead and nothing asked before its time.
fn after_a_reload(w: &mut World, mpm: Mpm, reload: impl Fn(&mut Httpd)) {
    let _backends = backends();
    w.dns.set("app.test", answers(&[IP_A], 600));
    w.dns.set("member.test", answers(&[IP_B], 600));
    let text = format!(
        "<Proxy balancer://pool>
             BalancerMember http://member.test:9000 live=on
         </Proxy>
         ProxyPass /pool/ balancer://pool/
         {FOLLOW}"
    );
    let mut httpd = start_following(w.httpd().mpm(mpm).live(&text));
    wait_known(&httpd, "member.test");
    all_children_use(&httpd, "/", "A");
    w.dns.fail("*", Fault::Silent);
    for _ in 0..3 {
        let before = httpd.children();
        w.dns.forget();
        reload(&mut httpd);
        let served = inside(&httpd).len();
        assert_eq!(
            (
                httpd.get("/").backend.as_str(),
                httpd.get("/pool/").backend.as_str()
            ),
            ("A", "B")
        );
        eventually(Duration::from_secs(2), || {
            inside(&httpd).len() == served + 2
        });
        let took = &inside(&httpd)[served..];
        assert!(took.iter().all(|t| *t < QUICK), "{took:?}");
        wait_replaced(&httpd, &before);
        all_children_use(&httpd, "/", "A");
        all_children_use(&httpd, "/pool/", "B");
        assert_eq!(w.dns.queries().len(), 0, "asked again before the TTL");
    }
    assert_eq!(httpd.logged("addresses none ->"), 2);
}

#[test]
fn after_a_graceful_restart_event() {
    scenario(|w: &mut World| after_a_reload(w, Mpm::Event, Httpd::graceful));
}

#[test]
fn after_a_graceful_restart_prefork() {
    scenario(|w: &mut World| after_a_reload(w, Mpm::Prefork, Httpd::graceful));
}

#[test]
fn after_a_hard_restart() {
    scenario(|w: &mut World| after_a_reload(w, Mpm::Worker, Httpd::restart));
}

/// A child that is busy inside getaddrinfo can be stopped and reloaded as ever.
#[test]
fn a_slow_look_up_does_not_hold_up_the_end() {
    scenario(|w: &mut World| {
        let _backends = backends();
        set_app(w, &[IP_A]);
        w.dns.delay("*", Duration::from_secs(3));
        let mut httpd = w.httpd().live(FOLLOW).start();
        let first = timed(&httpd, "/");
        pause(0.5);
        let before = httpd.children();
        httpd.graceful();
        let (reply, took) = first.join().expect("the first request");
        assert_eq!(reply.backend, "A");
        assert!(took < Duration::from_secs(7), "{took:?}");
        wait_replaced(&httpd, &before);
        all_children_use(&httpd, "/", "A");
        let took = httpd.stop();
        assert!(took < Duration::from_secs(4), "stopped after {took:?}");
    });
}
