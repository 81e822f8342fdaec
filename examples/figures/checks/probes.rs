//! 1,000 targets that are probed each second, half of them vanished: what it costs the leading child, whether the
//! intervals are kept, and what requests beside it feel.

use super::peers::{Kind, Peers, Visits};
use crate::beside::{Beside, ROUND, part};
use crate::processes::{Monitor, cpu_of};
use live_kit::{Backend, Httpd, World, eventually, pause};
use std::time::{Duration, Instant};

const TARGETS: usize = 1_000;
/// Seconds.
const TIME: f64 = 20.0;
const INTERVAL: f64 = 1.0;
/// The application that requests go to.
const APP: &str = "127.0.0.2:9000";
const PORTS: [(u16, Kind); 3] = [(9_010, Kind::Tcp), (9_011, Kind::Tls), (9_012, Kind::Http)];
/// Loads on each httpd.
const ROUNDS: usize = 8;

pub fn run(world: &mut World) {
    println!(
        "== {TARGETS} targets, half of them vanished, a third HTTP, a sixth TLS; liveinterval=1s livetimeout=500ms"
    );
    let app = Backend::start("A", APP);
    app.record(false);
    let peers = Peers::start(&PORTS);
    (0..TARGETS)
        .filter(|n| is_gone(*n))
        .for_each(|n| world.vanish(&address(n)));
    let stock = world.httpd().expect("").config(&config(false)).start();
    let [before] = beside([&stock]);
    let httpd = start(world);
    costs(&httpd, &peers);
    let [live, stock] = beside([&httpd, &stock]);
    before.print("requests, stock httpd, before the probes began");
    stock.print("requests, stock httpd, while they run");
    live.print("requests, the httpd that probes");
    println!(
        "{:<58} {:.3}",
        "requests, the httpd that probes / stock, beside each other",
        live.ratio(&stock)
    );
    let log = httpd.error_log();
    let of_app = |line: &&str| line.contains(APP) && line.contains(":warn]");
    log.lines()
        .filter(of_app)
        .for_each(|line| println!("   {line}"));
}

fn is_gone(n: usize) -> bool {
    n.is_multiple_of(2)
}

fn address(n: usize) -> String {
    format!("127.4.{}.{}", n / 250, n % 250 + 1)
}

/// A sixth of the targets each: three times tcp, once tls, twice http; half of each kind has vanished.
fn kind(n: usize) -> (Kind, &'static str) {
    match n / 2 % 6 {
        0..3 => (Kind::Tcp, "tcp"),
        3 => (Kind::Tls, "tls"),
        _ => (Kind::Http, "http"),
    }
}

/// The requests' worker comes first, as they would otherwise be compared with the paths of all targets.
fn config(live: bool) -> String {
    let parameter = |text: &str| if live { text.to_owned() } else { String::new() };
    let mut text = format!("ProxyPass /app/ http://{APP}/ {}\n", parameter("live=on"));
    for n in 0..TARGETS {
        let (kind, probe) = kind(n);
        let port = PORTS
            .iter()
            .find(|(_, k)| *k == kind)
            .map_or(0, |(p, _)| *p);
        // The worker's own port is that of the application: only the probe's differs.
        let probe =
            format!("live=on liveprobe={probe} liveport={port} liveinterval=1s livetimeout=500ms");
        text += &format!(
            "ProxyPass /{n}/ http://{}:9000/ {}\n",
            address(n),
            parameter(&probe)
        );
    }
    text
}

fn start(world: &mut World) -> Httpd {
    let httpd = world.httpd().expect("").live(&config(true)).start();
    let gone = (0..TARGETS).filter(|n| is_gone(*n)).count();
    eventually(Duration::from_secs(60), || {
        httpd.logged(" unknown -> down (") >= gone
    });
    pause(5.0);
    httpd
}

/// CPU and intervals while there are no requests.
fn costs(httpd: &Httpd, peers: &Peers) {
    let monitor = Monitor::find(httpd);
    let late = httpd.logged("probes are late");
    peers.take();
    let (began, thread, child) = (Instant::now(), monitor.cpu(), cpu_of(monitor.pid));
    let beside = cpu_of(std::process::id());
    pause(TIME);
    let (thread, child) = (monitor.cpu() - thread, cpu_of(monitor.pid) - child);
    let visits = peers.take();
    let percent = |cpu: f64| 100.0 * cpu / began.elapsed().as_secs_f64();
    let peers_cpu = cpu_of(std::process::id()) - beside;
    println!(
        "{:<58} {:.1} % of a core (its monitor thread {:.1} %)   goal < 20 %",
        format!("CPU of the leading child, {TIME} s"),
        percent(child),
        percent(thread)
    );
    println!(
        "{:<58} {:.1} % of a core",
        "CPU of the peers, on the same machine",
        percent(peers_cpu)
    );
    intervals(&visits);
    println!(
        "{:<58} {}",
        "lines `probes are late`",
        httpd.logged("probes are late") - late
    );
}

/// From one visit of a peer to the next, against the interval: what is asked for includes 5 % of jitter.
fn intervals(visits: &Visits) {
    let gaps = visits
        .values()
        .flat_map(|times| times.windows(2).map(|w| (w[1] - w[0]).as_secs_f64()));
    let mut off: Vec<f64> = gaps
        .map(|gap| 100.0 * (gap - INTERVAL).abs() / INTERVAL)
        .collect();
    off.sort_by(f64::total_cmp);
    let least = visits.values().map(Vec::len).min().unwrap_or(0);
    let most = visits.values().map(Vec::len).max().unwrap_or(0);
    println!(
        "{:<58} {least} to {most}",
        format!("probes of each of {} peers in {TIME} s", visits.len())
    );
    let beyond = off.iter().filter(|percent| **percent > 10.0).count();
    println!(
        "{:<58} median {:.1} %, 95 of 100 within {:.1} %, {beyond} of {} beyond 10 %   goal: 95 of 100 within 10 %",
        "intervals, off 1 s by",
        part(&off, 50),
        part(&off, 95),
        off.len()
    );
}

/// Loads on each of these, in short alternating rounds.
fn beside<const N: usize>(httpds: [&Httpd; N]) -> [Beside; N] {
    let mut all = std::array::from_fn(|_| Beside::default());
    let load = |httpd: &Httpd| httpd.load().path("/app/");
    for httpd in httpds {
        load(httpd).run(ROUND);
    }
    for _ in 0..ROUNDS {
        for (httpd, one) in httpds.iter().zip(&mut all) {
            one.add(load(httpd));
        }
    }
    all
}
