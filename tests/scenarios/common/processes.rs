//! What the threads of the children tell: who leads, who adopts.

// Each test file uses its own part.
#![allow(dead_code)]

use live_kit::{Httpd, Mpm, Query, Type, eventually, thread_names};
use std::time::{Duration, Instant};

/// The thread that only a leading child has.
const MONITOR: &str = "live-monitor";
/// The thread that every child has.
const KEEPER: &str = "live-keeper";

pub fn leads(pid: u32) -> bool {
    thread_names(pid).iter().any(|n| n == MONITOR)
}

pub fn has_keeper(pid: u32) -> bool {
    thread_names(pid).iter().any(|n| n == KEEPER)
}

/// How often a child's keeper has gone to sleep so far.
#[track_caller]
pub fn keeper_sleeps(pid: u32) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("a living child");
    let mut status = tasks.filter_map(|task| {
        let path = task.ok()?.path();
        let text = std::fs::read_to_string(path.join("status")).ok()?;
        text.starts_with(&format!("Name:\t{KEEPER}\n"))
            .then_some(text)
    });
    let text = status.next().expect("a keeper");
    let line = text
        .lines()
        .find_map(|l| l.strip_prefix("voluntary_ctxt_switches:"));
    line.and_then(|n| n.trim().parse().ok()).expect("a count")
}

/// The children that lead: one of them, but for the instants of a takeover.
pub fn leaders(httpd: &Httpd) -> Vec<u32> {
    let mut found: Vec<u32> = httpd.children().into_iter().filter(|p| leads(*p)).collect();
    if found.len() > 1 {
        // Looked at one after the other: the first may have handed over to the second in between.
        std::thread::sleep(Duration::from_millis(20));
        found.retain(|p| leads(*p));
    }
    found
}

/// Waits until exactly one child leads; its pid.
#[track_caller]
pub fn leader(httpd: &Httpd) -> u32 {
    let mut found = Vec::new();
    eventually(Duration::from_secs(3), || {
        found = leaders(httpd);
        found.len() == 1
    });
    found[0]
}

/// Waits until a child other than `old` leads alone, looking every 2 ms; how long it took.
#[track_caller]
pub fn takeover(httpd: &Httpd, old: u32) -> Duration {
    let start = Instant::now();
    loop {
        let now = leaders(httpd);
        if now.len() == 1 && now[0] != old {
            return start.elapsed();
        }
        assert!(
            start.elapsed() < Duration::from_secs(5),
            "nobody took over from {old}: {now:?} of {:?}",
            httpd.children()
        );
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Whatever is named: the largest number of queries for one name and type within any second.
pub fn most_in_a_second(queries: &[Query], name: &str, kind: Type) -> usize {
    let asked: Vec<Instant> = queries
        .iter()
        .filter(|q| q.name == name && q.kind == kind)
        .map(|q| q.at)
        .collect();
    let within = |start: &Instant| {
        let end = *start + Duration::from_secs(1);
        asked.iter().filter(|at| *at >= start && **at < end).count()
    };
    asked.iter().map(within).max().unwrap_or(0)
}

/// A sequence of numbers without a pattern, the same in every run: xorshift from `seed`.
pub fn numbers(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed | 1;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 16) % below
    }
}

/// Has httpd replace children that have ended, also beside those that still finish requests.
pub fn spare(mpm: Mpm) -> &'static str {
    match mpm {
        Mpm::Prefork => "ServerLimit 24\nMaxRequestWorkers 24\nMinSpareServers 4\n",
        _ => "MinSpareThreads 28\n",
    }
}

/// Seconds of processor time that a process has used; a hundred ticks each (proc(5), stat, fields 14 and 15).
pub fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    let fields = stat.rsplit_once(')').expect("its name").1;
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks.map(|n| n.parse::<f64>().expect("ticks")).sum::<f64>() / 100.0
}
