//! Those who ask for pages beside requests.

use super::site::{PAGE, READY};
use live_kit::{Client, Request};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);
/// Balancers in front.
const BALANCERS: usize = 10;

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Who {
    Nobody,
    /// A person's browser, a scraper, and ten balancers in front, each once a second.
    Usual,
    /// One client, for the page, without a pause.
    Greedy,
}

/// Askers at work.
pub struct Askers {
    threads: Vec<JoinHandle<(usize, usize)>>,
    stop: Arc<AtomicBool>,
}

impl Askers {
    pub fn start(who: Who, addr: SocketAddr) -> Askers {
        let scrape = format!("{PAGE}?format=openmetrics");
        let mut paths: Vec<&str> = match who {
            Who::Nobody => vec![],
            Who::Usual => vec![PAGE, &scrape],
            Who::Greedy => vec![PAGE],
        };
        if who == Who::Usual {
            paths.resize(paths.len() + BALANCERS, READY);
        }
        let pause = if who == Who::Greedy {
            Duration::ZERO
        } else {
            SECOND
        };
        let stop = Arc::new(AtomicBool::new(false));
        let share = pause / u32::try_from(paths.len().max(1)).expect("a few");
        let start = |(first, path): (Duration, &str)| {
            let (request, stop) = (Request::get(path), Arc::clone(&stop));
            std::thread::spawn(move || ask(addr, &request, first, pause, &stop))
        };
        let firsts = (0..).map(|n| share * n);
        Askers {
            threads: firsts.zip(paths).map(start).collect(),
            stop,
        }
    }

    /// How many answers there were, and how often there was none, or not 200.
    pub fn stop(self) -> (usize, usize) {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.iter().for_each(|t| t.thread().unpark());
        let counts = self
            .threads
            .into_iter()
            .map(|t| t.join().expect("a thread"));
        counts.fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1))
    }
}

/// Each time on a new connection, as most of them do.
fn ask(
    addr: SocketAddr,
    request: &Request,
    first: Duration,
    pause: Duration,
    stop: &AtomicBool,
) -> (usize, usize) {
    let (mut good, mut bad) = (0, 0);
    let mut next = Instant::now() + first;
    while !stop.load(Ordering::Relaxed) {
        let wait = next.saturating_duration_since(Instant::now());
        if !wait.is_zero() {
            // until then, or until the end: no look in between, which would disturb the requests
            std::thread::park_timeout(wait);
            continue;
        }
        next += pause;
        let answer = Client::new(addr, Duration::from_secs(30)).send(request);
        match answer.is_ok_and(|reply| reply.status == 200) {
            true => good += 1,
            false => bad += 1,
        }
    }
    (good, bad)
}
