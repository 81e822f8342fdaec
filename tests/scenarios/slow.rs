//! Slow is not dead: answers that take long on a healthy member are delivered by it, once, whatever happens to its
//! neighbour and however silent the wire is.

use crate::common::pool::*;
use crate::common::rescue::*;
use crate::common::*;
use live_kit::{
    Backend, Httpd, Mpm, Pending, Request, World, answers, eventually, pause, scenario_within,
};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(200);

/// Times of answers in seconds.
const TIMES: [u64; 3] = [5, 20, 90];

/// A worker that nobody probes, whose backend is quiet for a minute.
const QUIET: &str =
    "ProxyPass /quiet/ http://quiet.test:9000/quiet/ live=on liveprobe=off timeout=120";

fn long(path: &str, seconds: u64) -> Request {
    Request::get(&format!("{path}?delay={}", seconds * 1000))
}

/// GETs of [`TIMES`] and a POST of 20 s bound to B.
fn on_b(httpd: &Httpd) -> Vec<Pending> {
    let mut requests: Vec<Request> = TIMES
        .iter()
        .map(|s| bound(long("/slow", *s), "b"))
        .collect();
    requests.push(bound(Request::post("/slow?delay=20000", 1000), "b"));
    requests.iter().map(|r| in_background(httpd, r)).collect()
}

fn executed(backend: &Backend, path: &str) -> usize {
    let seen = backend.seen();
    seen.iter().filter(|s| s.path.starts_with(path)).count()
}

/// While B works on long answers A vanishes, returns, is killed, and returns, under load.
fn slow_is_not_dead(w: &mut World, mpm: Mpm) {
    let (a, b) = backends();
    let quiet = backend("Q", "127.0.0.4");
    set_members(w);
    w.dns.set("quiet.test", answers(&["127.0.0.4"], 600));
    let text = format!("{QUIET}\n{}", rescue_pool(Scheme::Http, "timeout=120"));
    let builder = server(w, mpm, Scheme::Http).live(&text);
    // prefork: the long requests hold a child each
    let builder = match mpm {
        Mpm::Prefork => builder.children(20),
        _ => builder,
    };
    let httpd = start_pool(builder, &[&a, &b]);
    wait_known(&httpd, "quiet.test");
    let slow = on_b(&httpd);
    let silent = in_background(&httpd, &long("/quiet/", 60));
    eventually(PATIENCE, || executed(&b, "/slow") == slow.len());
    let loads = Loads::start(&httpd);
    for vanishes in [true, false] {
        pause(1.0);
        wait_busy(&a, RESCUABLE);
        let before = downs(&httpd, ONE);
        if vanishes {
            w.vanish(IP_A);
        } else {
            a.kill();
        }
        eventually(PATIENCE, || downs(&httpd, ONE) > before);
        pause(3.0);
        w.appear_all();
        a.revive();
        eventually(BACK, || ups(&httpd, ONE) == downs(&httpd, ONE));
    }
    let load = loads.stop();
    load.figure(&format!("{mpm:?}, beside slow answers"), &[&a, &b]);
    load.judge(&[&a, &b]);
    let wanted = slow.len();
    for one in slow {
        assert_eq!(outcome(one), (200, "B".to_owned()));
    }
    assert_eq!(outcome(silent), (200, "Q".to_owned()));
    assert_eq!((executed(&b, "/slow"), executed(&a, "/slow")), (wanted, 0));
    assert_eq!(executed(&quiet, "/quiet/"), 1);
    assert_eq!(downs(&httpd, TWO), 0);
}

#[test]
fn slow_is_not_dead_event() {
    scenario_within(LIMIT, |w: &mut World| slow_is_not_dead(w, Mpm::Event));
}

#[test]
fn slow_is_not_dead_prefork() {
    scenario_within(LIMIT, |w: &mut World| slow_is_not_dead(w, Mpm::Prefork));
}
