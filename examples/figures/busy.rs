//! A machine that is kept fully busy, and backends that are well: every verdict is a false one.

use live_kit::{Backend, Httpd, World, answers, eventually, pause};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

const MEMBERS: usize = 20;
/// Busy loops for each processor.
const LOOPS: usize = 4;
/// What the module may have to say meanwhile. Most of these lines come at most once a minute.
const LINES: [(&str, &str); 6] = [
    ("workers taken out (false verdicts)", ": up -> down"),
    ("`probes are late`", "probes are late"),
    ("`cannot be probed`", "cannot be probed"),
    ("`storm`", "time out at once"),
    ("`has been silent`", "has been silent"),
    (
        "released from httpd's error state",
        "released from httpd's error state",
    ),
];

pub fn run(world: &mut World, minutes: u64) {
    let backend = Backend::start("B", "0.0.0.0:9000");
    backend.record(false);
    let httpd = start(world);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let loops = Loops::start(LOOPS * cores);
    println!(
        "== {minutes} min on a machine kept busy: {} busy loops on {cores} processors, load, {MEMBERS} healthy members",
        LOOPS * cores
    );
    // In pieces: a record of each request would be much memory.
    let (mut requests, mut failed, mut slowest) = (0, 0, Duration::ZERO);
    for _ in 0..2 * minutes {
        let records = httpd.load().run(Duration::from_secs(30));
        requests += records.len();
        failed += records.failed().len();
        slowest = slowest.max(records.slowest());
    }
    drop(loops);
    pause(1.0);
    println!(
        "{:<58} {requests}, {failed} failed, slowest {slowest:.1?}",
        "requests"
    );
    println!("{:<58} {}", "probes that were answered", backend.probed());
    for (what, text) in LINES {
        let lines = httpd.live_lines();
        let count = lines.iter().filter(|l| l.text.contains(text)).count();
        println!("{:<58} {count}", format!("lines: {what}"));
    }
}

fn start(world: &mut World) -> Httpd {
    let mut text = "<Proxy balancer://pool>\nProxyLive on\n".to_owned();
    for n in 1..=MEMBERS {
        world.dns.set(
            &format!("m{n}.test"),
            answers(&[&format!("127.3.0.{n}")], 60),
        );
        text += &format!("BalancerMember http://m{n}.test:9000\n");
    }
    text += "</Proxy>\nProxyPass / balancer://pool/";
    let httpd = world.httpd().expect("").live(&text).start();
    eventually(Duration::from_secs(20), || {
        httpd.logged(".test: addresses ") >= MEMBERS
    });
    pause(3.0);
    httpd
}

/// Threads that do nothing, as fast as they can.
struct Loops {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Loops {
    fn start(n: usize) -> Loops {
        let stop = Arc::new(AtomicBool::new(false));
        let work = |_| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    black_box((0..1000).fold(0_u32, |sum, n| black_box(sum ^ n)));
                }
            })
        };
        let threads = (0..n).map(work).collect();
        Loops { stop, threads }
    }
}

impl Drop for Loops {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
