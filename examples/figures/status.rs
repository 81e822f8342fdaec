//! What the status page and the readiness URL cost with many workers, and what requests feel of them.

mod askers;
mod site;

use crate::beside::{Beside, ROUND, median};
use crate::processes::{Monitor, board_kib, serving_cpu};
use askers::{Askers, Who};
use live_kit::{Backend, Httpd, LoadBuilder, Request, World, memory_kib};
use std::net::TcpListener;
use std::time::{Duration, Instant};

const FEW: usize = 10;
const MANY: usize = 1_000;
/// As many probes as the page shows, each after 2 s and some.
const HISTORY: Duration = Duration::from_secs(68);
/// How long each form of the page is asked for.
const TIME: Duration = Duration::from_millis(1_500);
/// Of the readiness URL and the static file.
const READY_ROUNDS: usize = 4;
const ROUNDS: usize = 10;

pub fn run(world: &mut World) {
    println!(
        "== the status page, {FEW} and {MANY} workers, half of them names, half of them members; liveinterval=2s"
    );
    let app = Backend::start("A", site::APP);
    app.record(false);
    let listener = TcpListener::bind("0.0.0.0:9000").expect("listen");
    std::thread::spawn(move || while listener.accept().is_ok() {});
    let (few, many) = (site::start(world, FEW), site::start(world, MANY));
    let began = Instant::now();
    ready(&few, FEW);
    ready(&many, MANY);
    std::thread::sleep(HISTORY.saturating_sub(began.elapsed()));
    memory(&many, "before the pages");
    forms(&few, FEW);
    forms(&many, MANY);
    memory(&many, "after them");
    beside(&many);
}

fn memory(httpd: &Httpd, when: &str) {
    let leader = Monitor::find(httpd).pid;
    let private = httpd.children().into_iter().map(memory_kib).max();
    println!(
        "{:<58} {} KiB, board {} KiB",
        format!("{MANY} workers, private memory of a child, {when}"),
        private.unwrap_or(0),
        board_kib(leader).1
    );
}

/// What each form of the page takes.
fn forms(httpd: &Httpd, workers: usize) {
    let page = |format: &str| format!("{}?format={format}", site::PAGE);
    for (what, path) in [
        ("page (html)", page("html")),
        ("json", page("json")),
        ("openmetrics", page("openmetrics")),
        ("mod_status ?auto", site::AUTO.to_owned()),
        ("readiness URL", site::READY.to_owned()),
        ("static file", site::STATIC.to_owned()),
    ] {
        form(httpd, &format!("{workers} workers, {what}"), &path);
    }
}

/// One client, one request after the other.
fn form(httpd: &Httpd, what: &str, path: &str) {
    let (mut client, request) = (httpd.client(), Request::get(path));
    let mut get = || client.send(&request).expect("an answer");
    let size = get().body.len();
    let (began, cpu) = (Instant::now(), serving_cpu(httpd));
    let mut took = Vec::new();
    while began.elapsed() < TIME {
        let start = Instant::now();
        assert_eq!(get().status, 200, "{path}");
        took.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let cpu = 1e3 * (serving_cpu(httpd) - cpu) / took.len() as f64;
    println!(
        "{what:<58} {size} bytes; CPU {cpu:.3} ms, median time of a GET {:.3} ms ({} times)",
        median(&took),
        took.len()
    );
}

/// The readiness URL against a static file, in alternating rounds.
fn ready(httpd: &Httpd, workers: usize) {
    let paths = [site::READY, site::STATIC];
    let (mut per_second, mut cpu) = ([vec![], vec![]], [vec![], vec![]]);
    for path in paths {
        full_speed(httpd, path);
    }
    for _ in 0..READY_ROUNDS {
        for (at, path) in paths.iter().enumerate() {
            let (rate, each) = full_speed(httpd, path);
            per_second[at].push(rate);
            cpu[at].push(each);
        }
    }
    let [ready, plain] = per_second.map(|values| median(&values));
    let [ready_cpu, plain_cpu] = cpu.map(|values| median(&values));
    println!(
        "{:<58} {ready:.0}/s, CPU {ready_cpu:.1} us each; static file {plain:.0}/s, {plain_cpu:.1} us; ratio of CPU {:.3}",
        format!("{workers} workers, readiness URL, 8 clients"),
        ready_cpu / plain_cpu
    );
}

/// Requests per second, and CPU time of each in microseconds.
fn full_speed(httpd: &Httpd, path: &str) -> (f64, f64) {
    let (began, cpu) = (Instant::now(), serving_cpu(httpd));
    let load = LoadBuilder::on(&httpd.addr().to_string()).path(path);
    let done = load
        .pause(Duration::ZERO)
        .per_connection(usize::MAX)
        .run(ROUND);
    let cpu = 1e6 * (serving_cpu(httpd) - cpu) / done.len() as f64;
    assert!(done.failed().is_empty(), "{path}: failed requests");
    (done.len() as f64 / began.elapsed().as_secs_f64(), cpu)
}

/// Requests, while nobody asks for pages and while somebody does, in alternating rounds.
fn beside(httpd: &Httpd) {
    let kinds = [
        (Who::Nobody, "nobody asks for pages"),
        (
            Who::Usual,
            "each second a page, a scrape, 10 x readiness URL",
        ),
        (Who::Greedy, "one client asks for the page without a pause"),
    ];
    let mut all = kinds.map(|_| (Beside::default(), 0, 0));
    let load = || LoadBuilder::on(&httpd.addr().to_string()).path(site::APP_PATH);
    load().run(ROUND);
    for round in 0..ROUNDS {
        for at in 0..kinds.len() {
            let at = (at + round) % kinds.len();
            let askers = Askers::start(kinds[at].0, httpd.addr());
            all[at].0.add(load());
            let (good, bad) = askers.stop();
            (all[at].1, all[at].2) = (all[at].1 + good, all[at].2 + bad);
        }
    }
    for ((_, what), (beside, good, bad)) in kinds.iter().zip(&all) {
        beside.print(&format!("requests, {what}"));
        println!("   of {good} answers to those who ask, {bad} failed");
    }
    let [(alone, ..), rest @ ..] = &all;
    for ((_, what), (beside, ..)) in kinds[1..].iter().zip(rest) {
        println!(
            "{:<58} throughput {:.3}, median {:.3}, 99 of 100 {:.3}",
            format!("ratios, {what}"),
            beside.ratio(alone),
            beside.slower(alone, 50),
            beside.slower(alone, 99)
        );
    }
}
