//! A backend that takes no new connections while requests on it go on.

use crate::common::pool::*;
use crate::common::*;
use live_kit::{
    Backend, Client, Failure, Httpd, Mode, Reply, Request, World, answers, eventually, pause,
    scenario_within,
};
use std::thread::JoinHandle;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(150);
const APP: &str = "http://app.test:9000";

type Slow = JoinHandle<Result<Reply, Failure>>;

/// Starts requests that take 8 s until `n` of them are under way on `backend`.
#[track_caller]
fn under_way(httpd: &Httpd, backend: &Backend, n: usize) -> Vec<Slow> {
    let slow = |b: &Backend| {
        b.seen()
            .iter()
            .filter(|s| s.path.contains("delay=8000"))
            .count()
    };
    let mut all = Vec::new();
    for _ in 0..8 * n {
        if slow(backend) >= n {
            return all;
        }
        let addr = httpd.addr();
        all.push(std::thread::spawn(move || {
            Client::new(addr, Duration::from_secs(30)).send(&Request::get("/?delay=8000"))
        }));
        pause(0.2);
    }
    panic!("no requests under way on {}", backend.name());
}

/// Each of them gets its whole answer; how many came from `backend`.
#[track_caller]
fn finish(slow: Vec<Slow>, backend: &str) -> usize {
    let end = |one: Slow| one.join().expect("a client").expect("an answer");
    let replies: Vec<Reply> = slow.into_iter().map(end).collect();
    let wrong = replies.iter().find(|r| r.status != 200);
    assert!(wrong.is_none(), "a request under way was ended: {wrong:?}");
    replies.iter().filter(|r| r.backend == backend).count()
}

/// One of two members: it goes out, what is under way on it finishes, and it comes back.
fn a_member(w: &mut World, mode: Mode) {
    let (a, b) = backends();
    set_members(w);
    let httpd = start_pool(troubled(w.httpd().live(&pool(""))), &[&a, &b]);
    let slow = under_way(&httpd, &a, 3);
    a.mode(mode);
    wait_down(&httpd, ONE);
    pause(1.5);
    a.forget();
    assert_eq!(used(&httpd), ["B"]);
    assert!(finish(slow, "A") >= 3);
    assert_eq!(a.seen().len(), 0);
    a.revive();
    eventually(BACK, || used(&httpd) == ["A", "B"]);
    wait_up(&httpd, ONE);
    assert_eq!((downs(&httpd, ONE), downs(&httpd, TWO)), (1, 0));
}

/// The queue of new connections is full.
#[test]
fn a_full_queue() {
    scenario_within(LIMIT, |w: &mut World| a_member(w, Mode::Full));
}

/// The listener is closed, as a server does that ends gracefully.
#[test]
fn a_closed_listener() {
    scenario_within(LIMIT, |w: &mut World| a_member(w, Mode::Refuse));
}

/// The only backend of a plain worker: with a full queue it stays in use, and what is under way finishes.
#[test]
fn the_only_one_with_a_full_queue() {
    scenario_within(LIMIT, |w: &mut World| {
        let a = backend("A", IP_A);
        w.dns.set("app.test", answers(&[IP_A], 600));
        let httpd = start_following(troubled(w.httpd().live(FOLLOW)));
        wait_probed(&[&a]);
        let slow = under_way(&httpd, &a, 2);
        a.mode(Mode::Full);
        eventually(PATIENCE, || {
            told(
                &httpd,
                APP,
                "last resort: stays in use although down (127.0.0.2 time-out)",
            ) == 1
        });
        assert!(finish(slow, "A") >= 2);
        assert_eq!(told(&httpd, APP, "up -> down"), 0);
        // Requests are still tried: one that waits is served when the backend accepts again.
        let addr = httpd.addr();
        let waits = std::thread::spawn(move || {
            Client::new(addr, Duration::from_secs(30)).send(&Request::get("/waits"))
        });
        pause(0.5);
        a.revive();
        let reply = waits.join().expect("a client").expect("an answer");
        assert_eq!(reply.backend, "A", "{reply:?}");
        eventually(BACK, || httpd.logged("127.0.0.2 down -> up") == 1);
        eventually(BACK, || told(&httpd, APP, "no longer the last resort") == 1);
        let records = httpd.load().run(Duration::from_secs(1));
        records.assert_clean(PROMPT);
    });
}

/// Only the port of the probes refuses: the member goes out, what is under way finishes, its idle connections stay.
#[test]
fn only_liveport_refuses() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, b) = backends();
        let health = Backend::start("HEALTH", "127.0.0.2:9100");
        set_members(w);
        let text = pool_of("liveport=9100", "", "");
        let httpd = start_pool(troubled(w.httpd().children(1).live(&text)), &[&health, &b]);
        assert_eq!(a.probed(), 0);
        httpd.every_child("/");
        let slow = under_way(&httpd, &a, 2);
        let open = a.open();
        assert!(open > 2, "no idle connections: {open}");
        health.kill();
        wait_down(&httpd, ONE);
        pause(0.2);
        a.forget();
        assert_eq!(used(&httpd), ["B"]);
        assert_eq!(a.seen().len(), 0);
        assert_eq!(a.open(), open, "connections of another port were touched");
        assert!(finish(slow, "A") >= 2);
        assert_eq!(a.open(), open);
        health.revive();
        eventually(BACK, || used(&httpd) == ["A", "B"]);
        assert!(a.open() >= open);
        assert_eq!(attempts(&httpd, IP_A), 0);
        assert_eq!(a.probed(), 0);
    });
}
