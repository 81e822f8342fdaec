//! What probes of 1,000 targets cost the leading child.

use crate::processes::{Monitor, board_kib};
use live_kit::{Httpd, World, eventually, memory_kib, pause};
use std::net::TcpListener;
use std::time::Duration;

const TARGETS: usize = 1_000;
/// Seconds.
const TIME: f64 = 20.0;
/// Nobody listens there.
const CLOSED: u16 = 9_009;

pub fn run(world: &mut World) {
    println!("== {TARGETS} targets, liveinterval=2s: CPU of the leading child's monitor, {TIME} s");
    let listener = TcpListener::bind("0.0.0.0:9000").expect("listen");
    std::thread::spawn(move || while listener.accept().is_ok() {});
    for (what, closed) in [("all answer", 0), ("half of them are refused", TARGETS / 2)] {
        let httpd = start(world, closed);
        measure(&httpd, what);
    }
}

fn start(world: &mut World, closed: usize) -> Httpd {
    let mut text = String::new();
    for n in 0..TARGETS {
        let port = if n < closed { CLOSED } else { 9_000 };
        let (third, last) = (n / 250, n % 250 + 1);
        text += &format!(
            "ProxyPass /{n}/ http://127.1.{third}.{last}:{port}/ live=on liveinterval=2s\n"
        );
    }
    let httpd = world.httpd().expect("").live(&text).start();
    // Each child says so of its own worker.
    eventually(Duration::from_secs(60), || {
        httpd.logged("proxy_live:warn") >= closed
    });
    pause(5.0);
    httpd
}

fn measure(httpd: &Httpd, what: &str) {
    let monitor = Monitor::find(httpd);
    let before = monitor.cpu();
    pause(TIME);
    let percent = 100.0 * (monitor.cpu() - before) / TIME;
    println!("{what:<58} {percent:.1} % of a core");
    let (size, resident) = board_kib(monitor.pid);
    println!(
        "{:<58} {resident} KiB of {size} KiB reserved",
        format!("{what}: board, touched")
    );
    println!(
        "{:<58} {} KiB",
        format!("{what}: private memory of that child"),
        memory_kib(monitor.pid)
    );
}
