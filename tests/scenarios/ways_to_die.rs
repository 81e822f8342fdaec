//! Ends of connections that are no death, and members that are half dead: who is rescued, who is left alone.

use crate::common::pool::*;
use crate::common::rescue::*;
use crate::common::*;
use live_kit::{
    Backend, Death, Httpd, Mode, Mpm, Pending, Record, Request, World, answers, eventually, pause,
    scenario,
};
use std::time::{Duration, Instant};

/// So slow a load leaves room in the budget for a rescue of every second request.
const CALM: Duration = Duration::from_millis(900);

/// Waits until so many requests have ended badly there.
#[track_caller]
fn wait_died(backends: &[&Backend], n: usize) {
    eventually(PATIENCE * 2, || {
        backends.iter().map(|b| b.died()).sum::<usize>() >= n
    });
}

/// Both members are healthy and close idle connections just as requests are sent on them: no one's fault. Each GET is
/// answered through a fresh connection; no member is in error, ever.
fn keep_alive_race(w: &mut World, mpm: Mpm, scheme: Scheme) {
    let (a, b, httpd) = start_pair(w, mpm, scheme, "");
    let loads = Loads::of(&httpd, "/", CALM);
    pause(1.0);
    a.mode(Mode::CloseReused);
    b.mode(Mode::CloseReused);
    wait_died(&[&a, &b], 10);
    assert_no_errors(&httpd, scheme);
    a.mode(Mode::Ok);
    b.mode(Mode::Ok);
    let outcome = loads.stop();
    outcome.figure(&format!("{mpm:?}, {scheme:?}, race"), &[&a, &b]);
    outcome.judge(&[&a, &b]);
    // what was closed unread was executed by no one: once more is once
    assert!(twice(&[&a, &b]).is_empty());
    assert_eq!(changes(&httpd), 0, "a member was taken out");
}

#[test]
fn keep_alive_race_event() {
    scenario(|w: &mut World| keep_alive_race(w, Mpm::Event, Scheme::Http));
}

#[test]
fn keep_alive_race_event_tls() {
    scenario(|w: &mut World| keep_alive_race(w, Mpm::Event, Scheme::Https));
}

#[test]
fn keep_alive_race_prefork() {
    scenario(|w: &mut World| keep_alive_race(w, Mpm::Prefork, Scheme::Http));
}

/// The same with a single worker: it is the only one who can answer.
fn keep_alive_race_plain(w: &mut World, mpm: Mpm) {
    let a = backend("A", IP_A);
    w.dns.set("app.test", answers(&[IP_A], 600));
    let httpd = start_following(server(w, mpm, Scheme::Http).live(FOLLOW));
    let loads = Loads::of(&httpd, "/", CALM);
    pause(1.0);
    a.mode(Mode::CloseReused);
    wait_died(&[&a], 10);
    a.mode(Mode::Ok);
    let outcome = loads.stop();
    outcome.figure(&format!("{mpm:?}, plain worker, race"), &[&a]);
    outcome.judge(&[&a]);
    assert!(twice(&[&a]).is_empty());
    assert_eq!(changes(&httpd), 0, "the worker was taken out");
}

#[test]
fn keep_alive_race_plain_event() {
    scenario(|w: &mut World| keep_alive_race_plain(w, Mpm::Event));
}

#[test]
fn keep_alive_race_plain_prefork() {
    scenario(|w: &mut World| keep_alive_race_plain(w, Mpm::Prefork));
}

/// A is healthy for probes, but each request dies there: B answers all GETs. After three in a row A gets few, and
/// its share again soon after it is well.
fn dies_each_time(w: &mut World, scheme: Scheme, death: Death) {
    let (a, b, httpd) = start_pair(w, Mpm::Event, scheme, "");
    let loads = Loads::of(&httpd, "/", CALM);
    a.mode(Mode::Die(death));
    wait_died(&[&a], 4);
    a.mode(Mode::Ok);
    let well = Instant::now();
    eventually(BACK, || a.last_request().is_some_and(|at| at > well));
    assert_no_errors(&httpd, scheme);
    let outcome = loads.stop();
    outcome.figure(&format!("{scheme:?}, each request: {death:?}"), &[&a, &b]);
    outcome.judge(&[&a, &b]);
    assert_eq!(changes(&httpd), 0, "a member was taken out");
}

#[test]
fn closed_as_the_request_arrives() {
    scenario(|w: &mut World| dies_each_time(w, Scheme::Http, Death::Arrival));
}

#[test]
fn closed_as_the_request_arrives_tls() {
    scenario(|w: &mut World| dies_each_time(w, Scheme::Https, Death::Arrival));
}

#[test]
fn closed_after_reading() {
    scenario(|w: &mut World| dies_each_time(w, Scheme::Http, Death::Close));
}

#[test]
fn closed_after_reading_tls() {
    scenario(|w: &mut World| dies_each_time(w, Scheme::Https, Death::Close));
}

#[test]
fn reset_after_reading() {
    scenario(|w: &mut World| dies_each_time(w, Scheme::Http, Death::Reset));
}

#[test]
fn closed_after_half_a_header() {
    scenario(|w: &mut World| dies_each_time(w, Scheme::Http, Death::HeaderClose));
}

/// A accepts connections, but no TLS handshake gets through: B answers.
#[test]
fn tls_handshakes_fail() {
    scenario(|w: &mut World| {
        let (a, b, httpd) = start_pair(w, Mpm::Event, Scheme::Https, "");
        let loads = Loads::of(&httpd, "/", CALM);
        pause(1.0);
        a.kill();
        a.mode(Mode::BadTls);
        wait_died(&[&a], 3);
        pause(2.0);
        a.mode(Mode::Ok);
        let outcome = loads.stop();
        outcome.figure("TLS handshakes fail", &[&a, &b]);
        outcome.judge(&[&a, &b]);
    });
}

/// A reads requests and never answers: after the worker's time-out, and not before, B does.
fn hangs(w: &mut World, mpm: Mpm) {
    let (a, b, httpd) = start_pair(w, mpm, Scheme::Http, "timeout=2");
    let loads = Loads::of(&httpd, "/", CALM);
    pause(1.0);
    a.mode(Mode::Hang);
    pause(5.0);
    a.mode(Mode::Ok);
    let outcome = loads.stop();
    outcome.figure(&format!("{mpm:?}, hangs with timeout=2"), &[&a, &b]);
    outcome.judge(&[&a, &b]);
    let rescued = twice(&[&a, &b]);
    assert!(!rescued.is_empty(), "no request was rescued");
    let early = |r: &&Record| rescued.contains(&r.id) && r.took < Duration::from_millis(1900);
    let early: Vec<_> = outcome.gets.0.iter().filter(early).collect();
    assert!(early.is_empty(), "moved before the time-out: {early:?}");
    assert_eq!(changes(&httpd), 0, "a member was taken out");
}

#[test]
fn hangs_until_the_time_out_event() {
    scenario(|w: &mut World| hangs(w, Mpm::Event));
}

#[test]
fn hangs_until_the_time_out_prefork() {
    scenario(|w: &mut World| hangs(w, Mpm::Prefork));
}

/// Long requests on A: each is answered by A, and was executed once.
struct Long {
    pending: Vec<Pending>,
}

impl Long {
    /// GETs and POSTs bound to A that take so many seconds.
    fn start(httpd: &Httpd, a: &Backend, seconds: u64) -> Long {
        let path = format!("/?long&delay={}", seconds * 1000);
        let get = bound(Request::get(&path), "a");
        let post = bound(Request::post(&path, 1000), "a");
        let pending = [&get, &post, &get, &post].map(|r| in_background(httpd, r));
        eventually(PATIENCE, || long(a) == 4);
        Long {
            pending: pending.into(),
        }
    }

    #[track_caller]
    fn delivered(self, a: &Backend, others: &[&Backend]) {
        for one in self.pending {
            assert_eq!(outcome(one), (200, a.name().to_owned()));
        }
        assert_eq!(long(a), 4, "executed again");
        for other in others {
            assert_eq!(long(other), 0, "executed by {}", other.name());
        }
    }
}

/// Requests of [`Long`] that this backend has seen.
fn long(backend: &Backend) -> usize {
    let seen = backend.seen();
    seen.iter().filter(|s| s.path.contains("?long")).count()
}

/// A stops gracefully: it refuses connections, and finishes what it has. Probes say it is down; that is no reason to
/// end anything.
fn finishes(w: &mut World, mpm: Mpm, scheme: Scheme) {
    let (a, b, httpd) = start_pair(w, mpm, scheme, "");
    let loads = Loads::start(&httpd);
    let slow = Long::start(&httpd, &a, 10);
    a.mode(Mode::Leave);
    eventually(PATIENCE, || downs(&httpd, &scheme.worker("one.test")) == 1);
    slow.delivered(&a, &[&b]);
    let outcome = loads.stop();
    outcome.figure(&format!("{mpm:?}, {scheme:?}, leaves"), &[&a, &b]);
    outcome.judge(&[&a, &b]);
}

#[test]
fn closes_its_port_and_finishes_event() {
    scenario(|w: &mut World| finishes(w, Mpm::Event, Scheme::Http));
}

#[test]
fn closes_its_port_and_finishes_event_tls() {
    scenario(|w: &mut World| finishes(w, Mpm::Event, Scheme::Https));
}

#[test]
fn closes_its_port_and_finishes_prefork() {
    scenario(|w: &mut World| finishes(w, Mpm::Prefork, Scheme::Http));
}

/// A is so busy that its queue of new connections is full, and probes get no answer; but it is alive, and what it
/// has accepted it answers after 20 s.
fn full_backlog(w: &mut World, mpm: Mpm) {
    let (a, b, httpd) = start_pair(w, mpm, Scheme::Http, "");
    let loads = Loads::start(&httpd);
    let slow = Long::start(&httpd, &a, 20);
    a.mode(Mode::Full);
    eventually(PATIENCE, || downs(&httpd, ONE) == 1);
    slow.delivered(&a, &[&b]);
    a.revive();
    let outcome = loads.stop();
    outcome.figure(&format!("{mpm:?}, full backlog"), &[&a, &b]);
    // The last ones that got into the queue wait there until A comes to them: that is slow, and not dead.
    let queued = |r: &&Record| r.took > RESCUED;
    let queued: Vec<_> = outcome.gets.0.iter().filter(queued).collect();
    assert!(queued.len() <= 4, "{} wait: {queued:?}", queued.len());
    assert!(queued.iter().all(|r| r.backend == "A"), "{queued:?}");
    let patient = Duration::from_secs(45);
    outcome.judge_within(patient, patient, &[&a, &b]);
}

#[test]
fn full_backlog_event() {
    scenario(|w: &mut World| full_backlog(w, Mpm::Event));
}

#[test]
fn full_backlog_prefork() {
    scenario(|w: &mut World| full_backlog(w, Mpm::Prefork));
}

/// Probes go to another port, and that one dies, first by refusing, then by silence: the member is taken out, and its
/// requests go on.
#[test]
fn only_the_probe_port_dies() {
    scenario(|w: &mut World| {
        let (a, b) = backends();
        let (pa, pb) = (
            Backend::start("PA", "127.0.0.2:9100"),
            Backend::start("PB", "127.0.0.3:9100"),
        );
        set_members(w);
        let text = rescue_pool(Scheme::Http, "liveport=9100");
        let builder = server(w, Mpm::Event, Scheme::Http).live(&text);
        let httpd = start_pool(builder, &[&pa, &pb]);
        let loads = Loads::start(&httpd);
        for (round, mode) in [Mode::Refuse, Mode::Full].into_iter().enumerate() {
            let slow = Long::start(&httpd, &a, 8);
            pa.mode(mode);
            eventually(PATIENCE, || downs(&httpd, ONE) == round + 1);
            slow.delivered(&a, &[&b]);
            a.forget();
            pa.revive();
            eventually(BACK, || ups(&httpd, ONE) == round + 1);
        }
        let outcome = loads.stop();
        outcome.figure("the probe port dies", &[&a, &b]);
        outcome.judge(&[&a, &b]);
        assert!(twice(&[&a, &b]).is_empty(), "somebody was rescued");
        assert_eq!(outcome.posts.failed().len(), 0);
        assert_eq!(httpd.logged("requests ended"), 0);
    });
}

/// Nobody probes: the kernel notices that the host is gone.
fn without_probes(w: &mut World, mpm: Mpm, scheme: Scheme) {
    let (a, b) = (scheme.backend("A", IP_A), scheme.backend("B", IP_B));
    set_members(w);
    let text = rescue_pool(scheme, "liveprobe=off timeout=12");
    let httpd = start_pool(server(w, mpm, scheme).live(&text), &[]);
    let loads = Loads::start(&httpd);
    pause(1.0);
    wait_busy(&a, RESCUABLE);
    w.vanish(IP_A);
    pause(12.0);
    let outcome = loads.stop();
    outcome.figure(&format!("{mpm:?}, {scheme:?}, without probes"), &[&a, &b]);
    // The kernel ends GETs long before the worker's time-out. A POST that was not wholly taken may wait for that: a
    // peer with a closed window is slow, and not dead.
    let (gets, posts) = (Duration::from_secs(10), Duration::from_secs(30));
    outcome.judge_within(gets, posts, &[&a, &b]);
    assert!(!twice(&[&a, &b]).is_empty(), "no request was rescued");
    assert_eq!(changes(&httpd), 0);
}

#[test]
fn without_probes_event() {
    scenario(|w: &mut World| without_probes(w, Mpm::Event, Scheme::Http));
}

#[test]
fn without_probes_prefork_tls() {
    scenario(|w: &mut World| without_probes(w, Mpm::Prefork, Scheme::Https));
}

/// A plain worker whose name has two addresses; one of them dies.
fn two_addresses(w: &mut World, mpm: Mpm, vanishes: bool) {
    let (a, b) = backends();
    w.dns.set("app.test", answers(&[IP_A, IP_B], 600));
    // only new connections are spread: an address that has returned gets its share of them
    let text = format!("{FOLLOW}\n{FRESH}");
    let httpd = start_following(server(w, mpm, Scheme::Http).live(&text));
    wait_probed(&[&a, &b]);
    let loads = Loads::start(&httpd);
    for _ in 0..2 {
        wait_busy(&a, RESCUABLE);
        if vanishes {
            w.vanish(IP_A);
        } else {
            a.kill();
        }
        pause(5.0);
        w.appear_all();
        a.revive();
        let back = std::time::Instant::now();
        eventually(BACK, || a.last_request().is_some_and(|at| at > back));
    }
    let outcome = loads.stop();
    let how = if vanishes { "vanishes" } else { "is killed" };
    outcome.figure(&format!("{mpm:?}, one of two addresses {how}"), &[&a, &b]);
    outcome.judge(&[&a, &b]);
    assert!(!twice(&[&a, &b]).is_empty(), "no request was rescued");
}

#[test]
fn one_of_two_addresses_vanishes_event() {
    scenario(|w: &mut World| two_addresses(w, Mpm::Event, true));
}

#[test]
fn one_of_two_addresses_vanishes_prefork() {
    scenario(|w: &mut World| two_addresses(w, Mpm::Prefork, true));
}

#[test]
fn one_of_two_addresses_is_killed_event() {
    scenario(|w: &mut World| two_addresses(w, Mpm::Event, false));
}
