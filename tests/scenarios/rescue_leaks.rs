//! Deaths, one a second: no child grows in memory or descriptors, however many requests were rescued.
//!
//! `LIVE_LEAKS=100000` in the environment makes the runs that long.

use crate::common::pool::*;
use live_kit::{Backend, Httpd, Mpm, World, descriptors, memory_kib, pause, scenario_within};
use std::time::Duration;

/// Requests of a run, unless the environment says otherwise.
const REQUESTS: usize = 20_000;
/// Memory that differs without any leak: buffers of connections, pages that the allocator keeps.
const NOISE_KIB: u64 = 512;
const CHILDREN: usize = 2;
/// Fewer than threads of one child: a child of the event MPM that is busy closes kept-alive connections.
const CLIENTS: usize = 12;
const THREADS: usize = 16;
/// Members come back within a second.
const QUICK: &str = "liveinterval=200ms livetimeout=200ms liverise=1";
/// The reason of each rescue, a line for each request.
const REASONS: &str =
    "LogFormat \"reason=%{LIVE_RESCUE}e\" reasons\nCustomLog logs/reasons.log reasons";

fn requests() -> usize {
    let set = std::env::var("LIVE_LEAKS").ok();
    set.map_or(REQUESTS, |n| n.parse().expect("LIVE_LEAKS: a number"))
}

fn limit() -> Duration {
    Duration::from_secs(90 + requests() as u64 / 100)
}

/// What one child holds.
#[derive(Debug, Clone, Copy)]
struct Size {
    pid: u32,
    memory_kib: u64,
    descriptors: usize,
}

/// With no request under way.
fn sizes(httpd: &Httpd) -> Vec<Size> {
    let size = |pid| Size {
        pid,
        memory_kib: memory_kib(pid),
        descriptors: descriptors(pid).len(),
    };
    httpd.children().into_iter().map(size).collect()
}

/// One member dies, in one way or another, and is back when this returns.
fn die(w: &mut World, httpd: &Httpd, n: usize, a: &Backend, b: &Backend) {
    let (one, worker) = [(a, ONE), (b, TWO)][n % 2];
    match n % 7 {
        3 => {
            one.kill();
            pause(0.5);
        }
        6 => {
            // Long enough for a verdict: requests under way are ended by the keeper.
            let ip = one.addr().ip().to_string();
            w.vanish(&ip);
            wait_down(httpd, worker);
            w.appear(&ip);
        }
        // Another process takes its place at once.
        _ => one.reset_all(),
    }
    one.revive();
    pause(0.5);
    wait_up(httpd, worker);
}

/// Load with deaths until so many requests (of all loads) have been answered by a backend.
fn load(w: &mut World, httpd: &Httpd, a: &Backend, b: &Backend, until: usize) {
    let load = httpd
        .load()
        .path("/?delay=10")
        .pause(Duration::from_millis(3));
    let load = load.clients(CLIENTS).start();
    let mut deaths = 0;
    while a.requests() + b.requests() < until {
        die(w, httpd, deaths, a, b);
        pause(0.5);
        deaths += 1;
    }
    let records = load.stop();
    let failed = records.failed();
    assert!(failed.is_empty(), "not rescued: {:?}", failed[0]);
    // Idle: the last probes of the last death are over, too.
    pause(2.0);
    println!("figure: {} requests, {deaths} deaths", records.len());
}

fn reasons(httpd: &Httpd) -> usize {
    let text = std::fs::read_to_string(httpd.root().join("logs/reasons.log"));
    let text = text.expect("the access log");
    text.lines()
        .filter(|l| !matches!(*l, "reason=-" | "reason="))
        .count()
}

fn nothing_grows(w: &mut World, mpm: Mpm) {
    let (a, b) = crate::common::backends();
    a.record(false);
    b.record(false);
    set_members(w);
    let (children, threads) = match mpm {
        Mpm::Prefork => (CLIENTS + 4, 1),
        _ => (CHILDREN, THREADS),
    };
    let text = format!("{}\n{REASONS}\nMaxMemFree 1", pool(QUICK));
    let builder = w.httpd().mpm(mpm).children(children).threads(threads);
    // One heap: what others would keep for their threads is chance.
    let builder = builder.env("MALLOC_ARENA_MAX", "1").live(&text);
    let httpd = start_pool(troubled(builder), &[&a, &b]);
    let all = requests();
    load(w, &httpd, &a, &b, all / 5);
    let (early, rescued) = (sizes(&httpd), reasons(&httpd));
    load(w, &httpd, &a, &b, all * 3 / 5);
    println!("figure: in the middle {:?}", sizes(&httpd));
    load(w, &httpd, &a, &b, all);
    let late = sizes(&httpd);
    println!("figure: early {early:?}\nfigure: late {late:?}");
    let rescued = reasons(&httpd) - rescued;
    println!("figure: {rescued} rescues in between");
    assert!(rescued >= 10, "hardly any rescues: {rescued}");
    for (before, after) in early.iter().zip(&late) {
        assert_eq!(before.pid, after.pid, "a child was replaced");
        let grown = after.memory_kib.saturating_sub(before.memory_kib);
        assert!(grown < NOISE_KIB, "{before:?} -> {after:?}");
        // Idle connections: at most one for each thread and member.
        assert!(
            after.descriptors <= before.descriptors + 2 * threads,
            "{before:?} -> {after:?}"
        );
    }
}

#[test]
fn nothing_grows_with_deaths_event() {
    scenario_within(limit(), |w: &mut World| nothing_grows(w, Mpm::Event));
}

#[test]
fn nothing_grows_with_deaths_prefork() {
    scenario_within(limit(), |w: &mut World| nothing_grows(w, Mpm::Prefork));
}
