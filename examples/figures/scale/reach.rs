//! How soon every child acts on news, as requests to each of them show.

use super::site::{self, ATTEMPTS, MOVING, PLACES};
use live_kit::{Backend, Httpd, LoadBuilder, Records, World, answers, eventually, pause};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

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

/// The application is killed; milliseconds until the last child answers 503 without trying.
pub fn dies(httpd: &Httpd, load: LoadBuilder, mortal: &Backend) -> f64 {
    let load = steady(load, "/mortal/").identity(ATTEMPTS).start();
    pause(1.0);
    let killed = Instant::now();
    mortal.kill();
    let known = || httpd.logged(&format!("worker http://{}/: up -> down", site::MORTAL)) > 0;
    eventually(LONG, known);
    pause(2.0);
    let records = load.stop();
    last(&records, killed, |attempts| attempts != "1")
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
        .pause(Duration::from_millis(1))
        .per_connection(20)
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
