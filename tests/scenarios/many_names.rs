//! 2,000 names whose TTL is 10 s: DNS is asked evenly, and in time. Exact figures: the bench's part `scale`.

use live_kit::{Query, Type, World, answers, eventually, pause, scenario_within};
use std::collections::HashMap;
use std::time::{Duration, Instant};

const NAMES: usize = 2_000;
const TTL: u32 = 10;
/// Two TTLs, counted from the end of the first.
const TIME: Duration = Duration::from_secs(20);
const LIMIT: Duration = Duration::from_secs(120);
/// The TTL, what a refresh is spread by, and a second for a busy machine.
const LATEST: Duration = Duration::from_millis(10_000 + 250 + 1_000);
const BUCKET: Duration = Duration::from_millis(100);
/// The most queries in a bucket, by their mean.
const UNEVEN: f64 = 4.0;

#[test]
fn evenly_and_in_time() {
    scenario_within(LIMIT, |w: &mut World| {
        let name = |n: usize| format!("app{n}.test");
        let mut text = String::new();
        for n in 0..NAMES {
            w.dns.set(&name(n), answers(&["127.0.0.2"], TTL));
            text += &format!(
                "ProxyPass /{n}/ http://{}:9000/ live=on liveprobe=off\n",
                name(n)
            );
        }
        let httpd = w.httpd().children(2).live(&text).start();
        eventually(Duration::from_secs(30), || {
            httpd.logged(": addresses ") >= NAMES
        });
        let known = Instant::now();
        pause(f64::from(TTL) + 0.5);
        let from = Instant::now();
        std::thread::sleep(TIME);
        let queries = w.dns.queries();
        in_time(&queries, known);
        evenly(&queries, from);
    });
}

/// No name is ever asked about later than its TTL allows, and none more often than it must be: once early, to come
/// away from all the others, which are asked for at the same instant when the server starts.
#[track_caller]
fn in_time(queries: &[Query], known: Instant) {
    let mut asked: HashMap<&str, Vec<Instant>> = HashMap::new();
    for query in queries.iter().filter(|q| q.kind == Type::A) {
        asked.entry(&query.name).or_default().push(query.at);
    }
    let end = queries.last().expect("queries").at;
    let mut latest = Duration::ZERO;
    for (name, at) in &asked {
        let gaps = at.windows(2).map(|two| two[1] - two[0]);
        let last = end - *at.last().expect("one at least");
        latest = gaps.chain([last]).fold(latest, Duration::max);
        assert!(latest < LATEST, "{name}: asked again after {latest:?}");
        let most = (end - known).as_millis() as usize / 10_000 + 3;
        assert!(at.len() <= most, "{name}: {} times", at.len());
    }
    assert_eq!(asked.len(), NAMES);
    println!("figure: the latest name was asked about again after {latest:.2?}");
}

/// Behind the first TTL no instant has many times the queries of others.
#[track_caller]
fn evenly(queries: &[Query], from: Instant) {
    let late = queries.iter().filter(|q| q.kind == Type::A && q.at >= from);
    let mut buckets = vec![0; (TIME.as_millis() / BUCKET.as_millis()) as usize];
    for query in late {
        let at = (query.at - from).as_millis() / BUCKET.as_millis();
        if let Some(count) = buckets.get_mut(at as usize) {
            *count += 1;
        }
    }
    let mean = buckets.iter().sum::<usize>() as f64 / buckets.len() as f64;
    let most = *buckets.iter().max().expect("buckets");
    println!("figure: {most} queries in the fullest 100 ms, {mean:.1} on average");
    assert!(mean > 15.0, "{mean} queries in 100 ms");
    assert!(
        (most as f64) < UNEVEN * mean,
        "{most} of {mean:.1}: {buckets:?}"
    );
}
