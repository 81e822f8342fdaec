//! 2,000 names whose TTL is 10 s: how evenly and how late DNS is asked.

use super::table::Table;
use crate::processes::Monitor;
use live_kit::{Httpd, Query, Type, World, answers, eventually, pause};
use std::collections::HashMap;
use std::time::{Duration, Instant};

const NAMES: usize = 2_000;
const TTL: u32 = 10;
/// TTLs that are looked at, behind the first.
const COUNT: usize = 4;
const BUCKET: Duration = Duration::from_millis(100);

pub fn run(world: &mut World) {
    println!("== {NAMES} names at TTL {TTL} s: A questions of {COUNT} TTLs, behind the first");
    let httpd = start(world);
    pause(f64::from(TTL) + 0.5);
    let (from, monitor) = (Instant::now(), Monitor::find(&httpd));
    let cpu = monitor.cpu();
    pause(COUNT as f64 * f64::from(TTL));
    let percent = 100.0 * (monitor.cpu() - cpu) / from.elapsed().as_secs_f64();
    let queries = world.dns.queries();
    let queries: Vec<&Query> = queries.iter().filter(|q| q.kind == Type::A).collect();
    let mut table = Table::new(&["figure".to_owned()]);
    evenly(&mut table, &queries, from);
    late(&mut table, &queries);
    table.add("monitor of the leading child, % of a core", 0, 1, percent);
    table.print();
}

fn start(world: &mut World) -> Httpd {
    let mut text = String::new();
    for n in 0..NAMES {
        let name = format!("ttl{n}.test");
        world.dns.set(&name, answers(&["127.0.0.2"], TTL));
        text += &format!("ProxyPass /{n}/ http://{name}:9000/ live=on liveprobe=off\n");
    }
    world.dns.forget();
    let httpd = world.httpd().expect("").live(&text).start();
    let known = || httpd.logged(": addresses ") >= NAMES;
    eventually(Duration::from_secs(60), known);
    httpd
}

fn evenly(table: &mut Table, queries: &[&Query], from: Instant) {
    let time = from.elapsed();
    let mut buckets = vec![0_u32; (time.as_millis() / BUCKET.as_millis()) as usize];
    for query in queries.iter().filter(|q| q.at >= from) {
        let at = (query.at - from).as_millis() / BUCKET.as_millis();
        if let Some(count) = buckets.get_mut(at as usize) {
            *count += 1;
        }
    }
    buckets.sort_unstable();
    let mean = f64::from(buckets.iter().sum::<u32>()) / buckets.len() as f64;
    let part =
        |percent: usize| f64::from(buckets[(buckets.len() * percent / 100).min(buckets.len() - 1)]);
    table.add("questions in 100 ms, mean", 0, 1, mean);
    for (what, percent) in [
        ("... the emptiest", 0),
        ("... 10 of 100 have not more", 10),
        ("... median", 50),
        ("... 90 of 100 have not more", 90),
        ("... the fullest", 100),
    ] {
        table.add(what, 0, 0, part(percent));
    }
    table.add("... the fullest by the mean", 0, 2, part(100) / mean);
}

/// Of each question but the first of a name: how long after the TTL had run out.
fn late(table: &mut Table, queries: &[&Query]) {
    let mut asked: HashMap<&str, Vec<Instant>> = HashMap::new();
    for query in queries {
        asked.entry(&query.name).or_default().push(query.at);
    }
    let ttl = f64::from(TTL);
    let gaps = asked.values().flat_map(|at| at.windows(2));
    let late = gaps.map(|two| (two[1] - two[0]).as_secs_f64() - ttl);
    let mut late: Vec<f64> = late.collect();
    late.sort_by(f64::total_cmp);
    let early = late.iter().filter(|s| **s < 0.0).count();
    let part = |percent: usize| 1e3 * late[(late.len() * percent / 100).min(late.len() - 1)];
    table.add("names asked about", 0, 0, asked.len() as f64);
    table.add(
        "questions before the TTL was over, of all but the first, %",
        0,
        1,
        100.0 * early as f64 / late.len() as f64,
    );
    table.add("asked after the end of the TTL, median, ms", 0, 0, part(50));
    table.add("... 99 of 100 not later", 0, 0, part(99));
    table.add("... the latest", 0, 0, part(100));
}
