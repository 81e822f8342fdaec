//! One child leads, whatever dies: kill -9, recycling, a stopped process, children of an old generation.

use crate::common::processes::*;
use crate::common::*;
use live_kit::{
    Client, Failure, Httpd, Mpm, Request, Signal, Type, World, answers, eventually, pause,
    scenario_within,
};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(120);
/// Bound for the takeover after kill -9 of the leading child.
const TAKEOVER: Duration = Duration::from_secs(1);
/// A second name, asked once in a scenario: a new leader must not ask before the TTL has passed.
const CALM: &str = "ProxyPass /calm http://calm.test:9000/ live=on";

fn set_calm(w: &World) {
    w.dns.set("calm.test", answers(&[IP_A], 600));
}

/// Queries of the two names since the last `forget`, after `elapsed` with `leaders` changes of the leader.
#[track_caller]
fn assert_no_burst(w: &World, elapsed: Duration, takeovers: usize) {
    for kind in [Type::A, Type::Aaaa] {
        assert_eq!(
            w.dns.count("calm.test", kind),
            1,
            "calm.test {kind:?}: TTL 600 s"
        );
        let asked = w.dns.count("app.test", kind);
        // A leader that dies between question and answer leaves the question to the next.
        let allowed = elapsed.as_secs() as usize + takeovers + 2;
        assert!(
            asked <= allowed,
            "app.test {kind:?}: {asked} queries in {elapsed:?}"
        );
        let burst = most_in_a_second(&w.dns.queries(), "app.test", kind);
        assert!(
            burst <= 4,
            "app.test {kind:?}: {burst} queries in one second"
        );
    }
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// 20 times: kill the leading child at some instant, see who takes over and when; the name moves all the time.
fn killed(w: &mut World, mpm: Mpm) {
    const KILLS: usize = 20;
    let (_a, _b) = backends();
    set_app(w, &[IP_A]);
    set_calm(w);
    // httpd replaces dead children only when it lacks spare ones, once a second.
    let spare = "MinSpareThreads 28";
    let spare = if mpm == Mpm::Prefork {
        "MinSpareServers 4\nMaxSpareServers 6"
    } else {
        spare
    };
    let text = format!("{spare}\n{CALM}\n{FOLLOW}");
    let httpd = w.httpd().mpm(mpm).live(&text);
    let httpd = start_following(httpd);
    wait_known(&httpd, "calm.test");
    let started = Instant::now();
    let load = httpd.load().clients(4).start();
    let mut random = numbers(0x5EED + mpm as u64);
    let (mut times, mut ip) = (Vec::new(), IP_A);
    for round in 1..=KILLS {
        if round % 5 == 1 {
            ip = if ip == IP_A { IP_B } else { IP_A };
            set_app(w, &[ip]);
        }
        let changed = Instant::now();
        pause(random(700) as f64 / 1000.0);
        // Somebody must be there to take over.
        eventually(Duration::from_secs(5), || httpd.children().len() >= 3);
        let old = leader(&httpd);
        httpd.kill9(old);
        times.push(takeover(&httpd, old));
        if round % 5 == 1 {
            // The kill came while the change was in its TTL: at worst the take-over comes on top.
            std::thread::sleep(TAKEOVER);
            after_ttl(changed, 1);
            let backend = if ip == IP_A { "A" } else { "B" };
            eventually(Duration::from_secs(5), || httpd.children().len() == 4);
            all_children_use(&httpd, "/", backend);
        }
    }
    let records = load.stop();
    let elapsed = started.elapsed();
    let max = times.iter().copied().max().unwrap_or_default();
    let middle = median(&mut times);
    println!("figure: {mpm:?}: takeover after kill -9: median {middle:?}, max {max:?} of {KILLS}");
    assert!(max < TAKEOVER, "takeover took {max:?}");
    assert_eq!(httpd.logged(" leads (epoch 1"), KILLS + 1);
    // httpd keeps quiet about SIGKILL; anything else would be a crash.
    assert_eq!(httpd.logged("exit signal"), 0);
    assert_eq!(httpd.logged("has been silent"), 0);
    assert_no_burst(w, elapsed, KILLS);
    // Only what the killed children had in hand is lost: no answer with an error, and few.
    let lost = records.failed();
    let torn = |f: &Option<Failure>| matches!(f, Some(Failure::ClosedWithoutAnswer | Failure::Cut));
    assert!(lost.iter().all(|r| torn(&r.failure)), "{lost:?}");
    assert!(
        lost.len() <= KILLS * 4 && records.len() > 20 * lost.len(),
        "{} lost",
        lost.len()
    );
}

#[test]
fn killed_event() {
    scenario_within(LIMIT, |w: &mut World| killed(w, Mpm::Event));
}

#[test]
fn killed_worker() {
    scenario_within(LIMIT, |w: &mut World| killed(w, Mpm::Worker));
}

#[test]
fn killed_prefork() {
    scenario_within(LIMIT, |w: &mut World| killed(w, Mpm::Prefork));
}

/// Prefork children that live for 20 connections, under load, while the name moves back and forth.
#[test]
fn recycled_children() {
    scenario_within(LIMIT, |w: &mut World| {
        let (_a, _b) = backends();
        set_app(w, &[IP_A]);
        set_calm(w);
        let text = format!(
            "MaxConnectionsPerChild 20\nServerLimit 16\nMaxRequestWorkers 16\nMinSpareServers 4\n\
             MaxSpareServers 12\n{CALM}\n{FOLLOW}"
        );
        let httpd = w.httpd().mpm(Mpm::Prefork).children(8).live(&text);
        let httpd = start_following(httpd);
        wait_known(&httpd, "calm.test");
        let started = Instant::now();
        let load = httpd.load().clients(4).per_connection(1);
        let load = load.pause(Duration::from_millis(50)).start();
        let (mut pids, mut led, mut moves) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
        for round in 0..4 {
            let (ip, name) = [(IP_B, "B"), (IP_A, "A")][round % 2];
            set_app(w, &[ip]);
            let due = Instant::now() + Duration::from_millis(2000);
            // One second of answers after the due instant, before the next move.
            let end = due + Duration::from_secs(1);
            while Instant::now() < end {
                let now = leaders(&httpd);
                assert!(now.len() <= 1, "two lead: {now:?}");
                led.extend(now);
                pids.extend(httpd.children());
                pause(0.01);
            }
            moves.push((due, end, name));
        }
        let records = load.stop();
        let elapsed = started.elapsed();
        println!(
            "figure: {} children, {} of them led, in {elapsed:?}",
            pids.len(),
            led.len()
        );
        assert!(pids.len() >= 16, "children were not recycled: {pids:?}");
        assert!(led.len() >= 2, "the leader was not recycled: {led:?}");
        assert!(records.failed().is_empty(), "{:?}", records.failed()[0]);
        for (due, end, name) in moves {
            // Those that were answered before the next move: prefork may have kept them waiting.
            let whole = records
                .since(due)
                .0
                .into_iter()
                .filter(|r| r.start + r.took < end);
            let by = live_kit::Records(whole.collect()).by_backend();
            assert!(
                by.len() == 1 && by.contains_key(name),
                "after the move to {name}: {by:?}"
            );
        }
        assert_no_burst(w, elapsed, httpd.logged(" leads (epoch 1"));
    });
}

/// A child of the old generation is held by a long answer, another by a WebSocket: they must not lead, and must
/// follow. Their pooled connections to the removed address tell: only a child that adopts closes them.
fn old_generation(w: &mut World, mpm: Mpm) {
    let (a, b) = backends();
    set_app(w, &[IP_A]);
    // Prefork needs room for the children that stay.
    let text = format!("{FOLLOW} upgrade=websocket\nLogLevel proxy_live:debug");
    let more = "MinSpareThreads 28";
    let more = if mpm == Mpm::Prefork {
        "ServerLimit 12\nMaxRequestWorkers 12"
    } else {
        more
    };
    let builder = w.httpd().mpm(mpm).module("proxy_wstunnel");
    let mut httpd = start_following(builder.live(&format!("{text}\n{more}")));
    let old: BTreeSet<u32> = httpd.every_child("/").into_keys().collect();
    let addr = httpd.addr();
    let download = std::thread::spawn(move || {
        let request = Request::get("/?bytes=140&drip=100");
        Client::new(addr, Duration::from_secs(30)).send(&request)
    });
    let socket = httpd.client().upgrade("/socket").expect("a WebSocket");
    eventually(Duration::from_secs(2), || {
        a.seen().iter().any(|s| s.path.contains("drip"))
    });
    httpd.graceful();
    let stay = settled(&httpd, &old);
    assert!(!stay.is_empty(), "no child of the old generation stayed");
    let pooled = a.open();
    // Until the first new child is there, one of the old generation leads.
    eventually(Duration::from_secs(3), || !old.contains(&leader(&httpd)));
    for _ in 0..100 {
        let now = leaders(&httpd);
        assert!(
            now.len() <= 1 && now.iter().all(|p| !stay.contains(p)),
            "{now:?} leads, {stay:?} stay"
        );
        pause(0.01);
    }
    // Event and worker: 8 threads have used A in each child, two connections are in use.
    assert!(
        mpm == Mpm::Prefork || pooled > 2 + 2 * stay.len(),
        "{pooled} connections in the pools"
    );
    set_app(w, &[IP_B]);
    after_ttl(Instant::now(), 1);
    assert_eq!(
        a.open(),
        2,
        "only those in use are left (before the move: {pooled})"
    );
    let log = httpd.error_log();
    for pid in &stay {
        let tag = format!("[pid {pid}:");
        let adopted = |l: &&str| l.contains(&tag) && l.contains("have new addresses in this child");
        assert!(
            log.lines().filter(adopted).count() > 0,
            "child {pid} of {stay:?} did not adopt"
        );
    }
    assert_eq!(
        held(&httpd, &old),
        stay,
        "the children that were to be held have ended"
    );
    assert!(stay.iter().all(|p| !leads(*p) && has_keeper(*p)));
    // Whose leader dies: a child of the new generation takes over.
    let dead = leader(&httpd);
    httpd.kill9(dead);
    takeover(&httpd, dead);
    assert!(!stay.contains(&leader(&httpd)));
    assert_eq!(httpd.get("/").backend, "B");
    finish(&httpd, &old, download, socket);
    assert!(b.requests() > 0);
}

fn held(httpd: &Httpd, old: &BTreeSet<u32>) -> BTreeSet<u32> {
    httpd
        .children()
        .into_iter()
        .filter(|p| old.contains(p))
        .collect()
}

/// Waits until at most two of the old children are left, and no more of them end.
#[track_caller]
fn settled(httpd: &Httpd, old: &BTreeSet<u32>) -> BTreeSet<u32> {
    let mut left = held(httpd, old);
    let mut since = Instant::now();
    eventually(Duration::from_secs(10), || {
        let now = held(httpd, old);
        if now != left {
            (left, since) = (now, Instant::now());
        }
        left.len() <= 2 && since.elapsed() > Duration::from_millis(1500)
    });
    left
}

type Download = std::thread::JoinHandle<Result<live_kit::Reply, Failure>>;

/// What was under way ends well, and with it the old children.
fn finish(httpd: &Httpd, old: &BTreeSet<u32>, download: Download, mut socket: std::net::TcpStream) {
    use std::io::{Read, Write};
    socket
        .write_all(b"still there")
        .expect("the WebSocket lives");
    let mut echo = [0; 11];
    socket.read_exact(&mut echo).expect("an echo");
    assert_eq!(&echo, b"still there");
    drop(socket);
    let reply = download.join().expect("client").expect("the whole answer");
    assert_eq!((reply.backend.as_str(), reply.body.len()), ("A", 140));
    eventually(Duration::from_secs(5), || held(httpd, old).is_empty());
}

#[test]
fn old_generation_event() {
    scenario_within(LIMIT, |w: &mut World| old_generation(w, Mpm::Event));
}

#[test]
fn old_generation_worker() {
    scenario_within(LIMIT, |w: &mut World| old_generation(w, Mpm::Worker));
}

#[test]
fn old_generation_prefork() {
    scenario_within(LIMIT, |w: &mut World| old_generation(w, Mpm::Prefork));
}

/// The leading child is stopped (SIGSTOP) for 4 s: it keeps the lock, so nobody can lead. The others say so
/// once each, serve on, and all follow again when it goes on.
#[test]
fn a_stopped_leader() {
    scenario_within(LIMIT, |w: &mut World| {
        let (_a, _b) = backends();
        set_app(w, &[IP_A]);
        let httpd = start_following(w.httpd().live(FOLLOW).expect("has been silent"));
        let old = leader(&httpd);
        let load = httpd.load().clients(8).per_connection(5).start();
        pause(0.5);
        httpd.signal(old, Signal::STOP);
        let stopped = Instant::now();
        pause(4.0);
        let silent = httpd.logged("has been silent");
        set_app(w, &[IP_B]);
        httpd.signal(old, Signal::CONT);
        after_ttl(Instant::now(), 1);
        pause(0.3);
        let records = load.stop();
        assert!(records.failed().is_empty(), "{:?}", records.failed()[0]);
        let slow: Vec<_> = records
            .0
            .iter()
            .filter(|r| r.took > QUICK && r.child != old)
            .collect();
        assert!(
            slow.is_empty(),
            "slow in a child that was not stopped: {:?}",
            slow[0]
        );
        let meanwhile = records
            .since(stopped)
            .before(stopped + Duration::from_secs(4));
        let served = meanwhile.by_child();
        assert!(served.len() >= 3 && meanwhile.len() > 100, "{served:?}");
        assert_eq!(silent, 1, "one of the others says it for all");
        assert_eq!(httpd.logged("has been silent"), 1);
        assert_eq!(httpd.logged("is heard again"), 1);
        assert_eq!(leader(&httpd), old);
        all_children_use(&httpd, "/", "B");
    });
}

/// A reload to a configuration without live workers: nobody takes over from the child that a long download
/// holds. It leads on for 5 s, in which the first child of a new generation is expected, and no longer.
#[test]
fn nothing_left_to_lead() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, _b) = backends();
        set_app(w, &[IP_A]);
        let mut httpd = start_following(w.httpd().live(FOLLOW));
        let addr = httpd.addr();
        let download = std::thread::spawn(move || {
            let request = Request::get("/?bytes=140&drip=100");
            Client::new(addr, Duration::from_secs(30)).send(&request)
        });
        eventually(Duration::from_secs(2), || {
            a.seen().iter().any(|s| s.path.contains("drip"))
        });
        let old: BTreeSet<u32> = httpd.children().into_iter().collect();
        httpd.rewrite("ProxyPass / http://app.test:9000/");
        httpd.graceful();
        let reloaded = Instant::now();
        // The others end at once; the held one leads on.
        eventually(Duration::from_secs(3), || {
            let held = held(&httpd, &old);
            held.len() == 1 && held.iter().all(|p| leads(*p))
        });
        let stay = held(&httpd, &old);
        std::thread::sleep(Duration::from_millis(6500).saturating_sub(reloaded.elapsed()));
        assert!(leaders(&httpd).is_empty(), "{:?}", leaders(&httpd));
        w.dns.forget();
        pause(3.0);
        assert!(w.dns.queries().is_empty(), "{:?}", w.dns.queries());
        assert_eq!(held(&httpd, &old), stay, "the download held the child");
        let reply = download.join().expect("client").expect("the whole answer");
        assert_eq!((reply.backend.as_str(), reply.body.len()), ("A", 140));
    });
}
