//! How soon every child acts on news, as requests to each of them show.

use super::site::{self, MOVING, PLACES};
use live_kit::{Backend, Httpd, LoadBuilder, Records, World, answers, eventually, pause};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Seconds.
const DAY: f64 = 86_400.0;
const LONG: Duration = Duration::from_secs(30);

/// The name moves; milliseconds from the DNS answer that said so until the last child's first answer from the new
/// place.
pub fn moves(world: &World, load: LoadBuilder) -> f64 {
    let load = steady(load, "/move/").start();
    pause(1.5);
    world.dns.forget();
    let told = Instant::now();
    world.dns.set(MOVING, answers(&[PLACES[1]], 1));
    pause(3.5);
    let queries = world.dns.queries();
    let records = load.stop();
    world.dns.set(MOVING, answers(&[PLACES[0]], 1));
    let asked = queries.iter().filter(|q| q.name == MOVING).map(|q| q.at);
    let asked = asked.filter(|at| *at >= told).min().unwrap_or(told);
    let new = format!("{}:9100", PLACES[1]);
    pause(2.5);
    last(&records, asked, |backend| backend == new)
}

/// The application is killed; milliseconds until the leader says so, and from then on until the last child refuses a
/// request without trying, as httpd's own lines tell.
pub fn dies(httpd: &Httpd, load: LoadBuilder, mortal: &Backend) -> (f64, (f64, usize)) {
    let load = steady(load, "/mortal/").start();
    pause(1.0);
    let killed = Instant::now();
    mortal.kill();
    let verdict = format!("worker http://{}/: up -> down", site::MORTAL);
    eventually(LONG, || httpd.logged(&verdict) > 0);
    let told = 1e3 * killed.elapsed().as_secs_f64();
    pause(2.0);
    drop(load.stop());
    let refused = format!("disabled connection for ({})", site::MORTAL);
    (told, followed(httpd, &verdict, &refused))
}

/// Milliseconds from the last line with `verdict` until each child has written one with `then`: the last of them, and
/// how many of the children that are there now have.
pub fn followed(httpd: &Httpd, verdict: &str, then: &str) -> (f64, usize) {
    let log = httpd.error_log();
    let from = log.rfind(verdict).unwrap_or(0);
    let from = log[..from].rfind('\n').map_or(0, |end| end + 1);
    let began = clock(&log[from..]);
    let mut first: BTreeMap<u32, f64> = BTreeMap::new();
    for line in log[from..].lines().filter(|line| line.contains(then)) {
        let after = (clock(line) - began).rem_euclid(DAY);
        first.entry(pid(line)).or_insert(1e3 * after);
    }
    let children = httpd.children();
    let after = children.iter().filter_map(|pid| first.get(pid).copied());
    (after.clone().fold(0.0, f64::max), after.count())
}

/// The time of day of a line of the error log, in seconds.
fn clock(line: &str) -> f64 {
    let time = line.split(' ').nth(3).unwrap_or_default().split(':');
    let number = |text: &str| text.parse::<f64>().unwrap_or(f64::NAN);
    time.fold(0.0, |sum, part| 60.0 * sum + number(part))
}

fn pid(line: &str) -> u32 {
    let rest = line.split("[pid ").nth(1).unwrap_or_default();
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// It returns; milliseconds until a request succeeds.
pub fn back(httpd: &Httpd, mortal: &Backend) -> f64 {
    let began = Instant::now();
    mortal.revive();
    eventually(LONG, || httpd.get("/mortal/").status == 200);
    1e3 * began.elapsed().as_secs_f64()
}

fn steady(load: LoadBuilder, path: &str) -> LoadBuilder {
    load.path(path)
}

/// Milliseconds from `since` until the end of the first answer of this kind, of the child where it came last. A child
/// that gave none counts as never.
fn last(records: &Records, since: Instant, new: impl Fn(&str) -> bool) -> f64 {
    let mut first: BTreeMap<u32, Option<Instant>> = BTreeMap::new();
    let there = since + Duration::from_secs(1);
    for record in records.0.iter().filter(|r| r.child != 0) {
        if record.start >= there {
            // Not one that a reload had left.
            first.entry(record.child).or_default();
        }
    }
    for record in records.0.iter() {
        let Some(at) = first.get_mut(&record.child) else {
            continue;
        };
        if record.start >= since && record.failure.is_none() && new(&record.backend) {
            let end = record.start + record.took;
            *at = Some(at.map_or(end, |known| known.min(end)));
        }
    }
    let after = |at: &Option<Instant>| {
        at.map_or(f64::INFINITY, |at| at.duration_since(since).as_secs_f64())
    };
    1e3 * first.values().map(after).fold(0.0, f64::max)
}
