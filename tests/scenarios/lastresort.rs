//! The last usable backend stays in use on time-outs, and requests to it fail by the connect time-out.

use crate::common::pool::*;
use crate::common::*;
use live_kit::{Httpd, Records, World, answers, eventually, pause, scenario_within};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(150);
/// A machine under load stretches a connect time-out.
const SLACK: Duration = Duration::from_millis(2500);

/// How long single requests take, which all get 503.
#[track_caller]
fn refusals(httpd: &Httpd, n: usize) -> Vec<Duration> {
    let one = || {
        let start = Instant::now();
        let reply = httpd.get("/");
        assert_eq!(reply.status, 503, "{reply:?}");
        start.elapsed()
    };
    (0..n).map(|_| one()).collect()
}

/// Takes both machines away, one after the other.
fn both_vanish(w: &mut World, httpd: &Httpd) {
    w.vanish(IP_A);
    wait_down(httpd, ONE);
    assert_eq!(used(httpd), ["B"]);
    // A second one within seconds would be taken for a storm at first.
    pause(1.0);
    w.vanish(IP_B);
}

/// The one that went last stays; the other does not.
#[test]
fn members_vanish_one_after_the_other() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        let text = format!("{}\n{FRESH}", pool("timeout=5"));
        let httpd = start_pool(troubled(w.httpd().live(&text)), &[&a, &b]);
        both_vanish(w, &httpd);
        eventually(PATIENCE, || {
            told(
                &httpd,
                TWO,
                "last resort: stays in use although down (127.0.0.3 time-out)",
            ) == 1
        });
        assert_eq!((downs(&httpd, ONE), downs(&httpd, TWO)), (1, 0));
        let (one, two) = (attempts(&httpd, IP_A), attempts(&httpd, IP_B));
        let took = refusals(&httpd, 3);
        // Each request tries it; httpd tries no other.
        assert_eq!(attempts(&httpd, IP_A), one);
        assert!(attempts(&httpd, IP_B) > two);
        let limit = Duration::from_secs(1) + SLACK;
        assert!(took.iter().all(|t| *t < limit), "{took:?}");
        println!("figure: requests to the last resort fail after {took:?}");
        // The first that returns is used.
        w.appear(IP_A);
        eventually(BACK, || httpd.get("/").backend == "A");
        wait_up(&httpd, ONE);
        w.appear(IP_B);
        eventually(BACK, || used(&httpd) == ["A", "B"]);
    });
}

#[test]
fn last_resort_off() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        let text = format!("{}\n{FRESH}", pool("timeout=5 livelastresort=off"));
        let httpd = start_pool(troubled(w.httpd().live(&text)), &[&a, &b]);
        both_vanish(w, &httpd);
        wait_down(&httpd, TWO);
        pause(1.5);
        let tried = attempts(&httpd, IP_B);
        let records = httpd.load().run(Duration::from_secs(1));
        assert_eq!(records.by_status().into_keys().collect::<Vec<_>>(), [503]);
        assert!(records.slowest() < PROMPT, "{:?}", records.slowest());
        assert_eq!(attempts(&httpd, IP_B), tried);
        assert_eq!(httpd.logged("last resort"), 0);
        w.appear_all();
        eventually(BACK, || httpd.get("/").status == 200);
        eventually(BACK, || used(&httpd) == ["A", "B"]);
    });
}

/// Refused connections take also the last one out: there is certainly nobody.
#[test]
fn refused_is_certain() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        let text = format!("{}\n{FRESH}", pool(""));
        let httpd = start_pool(troubled(w.httpd().live(&text)), &[&a, &b]);
        w.vanish(IP_A);
        wait_down(&httpd, ONE);
        b.kill();
        wait_down(&httpd, TWO);
        // the one that went by time-outs is the last resort now
        eventually(PATIENCE, || told(&httpd, ONE, "last resort") == 1);
        pause(1.5);
        let (one, two) = (attempts(&httpd, IP_A), attempts(&httpd, IP_B));
        refusals(&httpd, 2);
        assert!(attempts(&httpd, IP_A) > one);
        assert_eq!(attempts(&httpd, IP_B), two);
        b.revive();
        eventually(BACK, || httpd.get("/").backend == "B");
        w.appear_all();
        eventually(BACK, || used(&httpd) == ["A", "B"]);
    });
}

/// 3 s for the only address of a plain worker, 1 s where there is another address, and what is written wins.
#[test]
fn default_connect_timeouts() {
    scenario_within(LIMIT, |w: &mut World| {
        let _backends = backends();
        for name in ["app", "long", "off"] {
            w.dns.set(&format!("{name}.test"), answers(&[IP_A], 600));
        }
        w.dns.set("two.test", answers(&[IP_A, IP_B], 600));
        let text = "ProxyPass /app http://app.test:9000/ live=on
            ProxyPass /long http://long.test:9000/ live=on connectiontimeout=5
            ProxyPass /off http://off.test:9000/ live=on connectiontimeout=500ms
            ProxyPass /two http://two.test:9000/ live=on
            SetEnv proxy-nokeepalive 1";
        let httpd = troubled(w.httpd().live(text)).expect("storm").start();
        for name in ["app", "long", "off", "two"] {
            wait_known(&httpd, &format!("{name}.test"));
        }
        w.vanish(IP_A);
        w.vanish(IP_B);
        let ask = |path: &'static str| {
            let addr = httpd.addr();
            std::thread::spawn(move || {
                let start = Instant::now();
                let request = live_kit::Request::get(path);
                let reply = live_kit::Client::new(addr, Duration::from_secs(60)).send(&request);
                (reply.expect("an answer").status, start.elapsed())
            })
        };
        let paths = [("/app", 3.0), ("/long", 5.0), ("/off", 0.5), ("/two", 2.0)];
        let all = paths.map(|(path, seconds)| (path, Duration::from_secs_f64(seconds), ask(path)));
        for (path, wanted, thread) in all {
            let (status, took) = thread.join().expect("a client");
            println!("figure: {path}: {status} after {took:?}");
            assert_eq!(status, 503, "{path}");
            // httpd's clock of connects counts in milliseconds, and its look-up behind it takes a moment
            let least = wanted.mul_f64(0.95);
            assert!(took >= least && took < wanted + SLACK, "{path}: {took:?}");
        }
        w.appear_all();
        for (path, _) in paths {
            eventually(BACK, || httpd.get(path).status == 200);
        }
    });
}

/// A member of two has 1 s: a GET that meets the dead one gets its answer from the other.
#[test]
fn a_member_has_one_second() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        // Probes come too late here: the requests meet it.
        let text = format!("{}\n{FRESH}", pool("liveinterval=1h livetimeout=1min"));
        let httpd = start_pool(troubled(w.httpd().live(&text)), &[&a, &b]);
        w.vanish(IP_A);
        let records: Records = httpd.load().run(Duration::from_secs(4));
        assert!(records.failed().is_empty(), "{:?}", records.failed()[0]);
        let slow = records.slowest();
        println!("figure: the slowest GET took {slow:?}");
        let least = Duration::from_millis(950);
        assert!(
            slow > least && slow < Duration::from_secs(1) + SLACK,
            "{slow:?}"
        );
        assert!(attempts(&httpd, IP_A) > 0);
    });
}
