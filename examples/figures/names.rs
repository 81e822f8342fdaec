//! How long an old address is used after a move, how soon another child leads when the leader is killed, and
//! what the DNS server is asked.

use crate::row;
use live_kit::{Backend, Httpd, Mpm, Type, World, answers, eventually, pause};
use std::time::{Duration, Instant};

/// Of `app.test`, in seconds.
const TTL: f64 = 1.0;
const MOVES: usize = 20;
const KILLS: usize = 20;
const ADDRESSES: [&str; 2] = ["127.0.0.2", "127.0.0.3"];
const CONFIG: &str = "ProxyPass / http://app.test:9000/ live=on";

pub fn run(world: &mut World) {
    let _backends = [
        Backend::start("A", "127.0.0.2:9000"),
        Backend::start("B", "127.0.0.3:9000"),
    ];
    println!(
        "== after a move: seconds until the last request that the old address got (TTL 1 s, 4 children)"
    );
    for mpm in [Mpm::Event, Mpm::Prefork] {
        moves(world, mpm);
    }
    println!("== kill -9 of the leading child: seconds until another leads (4 children)");
    for mpm in [Mpm::Event, Mpm::Worker, Mpm::Prefork] {
        kills(world, mpm);
    }
    println!("== DNS questions for one name (A and AAAA), 4 children, 20 workers");
    questions(world);
}

/// Starts a httpd whose children know `app.test`. Log lines are no failures here: this measures.
fn start(world: &mut World, mpm: Mpm, config: &str) -> Httpd {
    world.dns.set("app.test", answers(&[ADDRESSES[0]], 1));
    let httpd = world.httpd().mpm(mpm).expect("").live(config).start();
    eventually(Duration::from_secs(5), || {
        httpd.logged("name app.test: addresses ") > 0
    });
    httpd
}

fn moves(world: &mut World, mpm: Mpm) {
    let httpd = start(world, mpm, CONFIG);
    let load = httpd.load().pause(Duration::from_millis(2)).start();
    let mut moved = Vec::new();
    for n in 1..=MOVES {
        // At another moment of the TTL each time.
        pause(2.2 + 0.05 * n as f64);
        world.dns.set("app.test", answers(&[ADDRESSES[n % 2]], 1));
        moved.push((Instant::now(), ["A", "B"][(n + 1) % 2]));
    }
    pause(2.5);
    let ended = Instant::now();
    let records = load.stop();
    // The next move brings the old address back: observe until then.
    let next = moved[1..].iter().map(|(at, _)| *at).chain([ended]);
    let late = moved.iter().zip(next).map(|((at, old), until)| {
        let after = records.since(*at).before(until).from(old);
        let last = after.0.iter().map(|r| r.start).max().unwrap_or(*at);
        last.duration_since(*at).as_secs_f64()
    });
    let late: Vec<f64> = late.collect();
    let requests = format!(
        "{} requests, {} failed",
        records.len(),
        records.failed().len()
    );
    row(&format!("{mpm:?}, {requests}, after the move"), &late);
    let over: Vec<f64> = late.iter().map(|s| (s - TTL).max(0.0)).collect();
    row(&format!("{mpm:?}, after the TTL"), &over);
}

fn kills(world: &mut World, mpm: Mpm) {
    let httpd = start(world, mpm, CONFIG);
    // Busy children are replaced at once, idle ones only when too few are left.
    let load = httpd.load().pause(Duration::from_millis(2)).start();
    let mut took = Vec::new();
    for n in 0..KILLS {
        pause(0.5 + 0.037 * n as f64);
        eventually(Duration::from_secs(10), || httpd.children().len() >= 3);
        let known = leaders(&httpd);
        let leader = *known.last().expect("a leader");
        let began = Instant::now();
        httpd.kill9(leader);
        eventually(Duration::from_secs(5), || {
            leaders(&httpd).len() > known.len()
        });
        took.push(began.elapsed().as_secs_f64());
    }
    load.stop();
    row(&format!("{mpm:?}"), &took);
}

/// The children that became leader, in order.
fn leaders(httpd: &Httpd) -> Vec<u32> {
    let log = httpd.error_log();
    let pid = |line: &str| {
        line.split("] child ")
            .nth(1)?
            .split_once(" leads ")?
            .0
            .parse()
            .ok()
    };
    log.lines().filter_map(pid).collect()
}

fn questions(world: &mut World) {
    let config: String = (0..20)
        .map(|n| format!("ProxyPass /{n}/ http://app.test:9000/{n}/ live=on\n"))
        .collect();
    let httpd = start(world, Mpm::Event, &config);
    world.dns.forget();
    let began = Instant::now();
    httpd.load().path("/7/").run(Duration::from_secs(10));
    let seconds = began.elapsed().as_secs_f64();
    let (a, aaaa) = (
        world.dns.count("app.test", Type::A),
        world.dns.count("app.test", Type::Aaaa),
    );
    println!(
        "{:<58} A {a}, AAAA {aaaa}",
        format!("{seconds:.1} s at TTL 1 s, under load")
    );
}
