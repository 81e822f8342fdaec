//! Requests that come at a steady rate, whatever becomes of the earlier ones: users who do not know of each
//! other. (Clients that wait for their answers would all be stuck soon, and no longer tell where requests go.)

use live_kit::{Client, Httpd, Request};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// 40 requests per second.
const EVERY: Duration = Duration::from_millis(25);
/// A client gives up after this.
const GIVE_UP: Duration = Duration::from_secs(8);

/// What one request met.
pub struct Met {
    pub start: Instant,
    pub took: Duration,
    /// The backend that answered 200; none: the request failed.
    pub backend: Option<String>,
}

/// The load under way.
pub struct Arrivals {
    shared: Arc<Shared>,
    sender: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    sent: AtomicUsize,
    met: Mutex<Vec<Met>>,
}

impl Arrivals {
    /// GETs of `path`, each on a connection of its own and with its number, from 0, as `?n=`.
    pub fn start(httpd: &Httpd, path: &str) -> Arrivals {
        let shared = Arc::<Shared>::default();
        let (addr, path, ours) = (httpd.addr(), path.to_owned(), Arc::clone(&shared));
        let sender = std::thread::spawn(move || send(addr, &path, &ours));
        Arrivals { shared, sender }
    }

    /// How many have been sent so far.
    pub fn sent(&self) -> usize {
        self.shared.sent.load(Ordering::Relaxed)
    }

    /// Ends the load and waits for the last answer; by start time.
    pub fn stop(self) -> Vec<Met> {
        self.shared.stop.store(true, Ordering::Relaxed);
        let _ = self.sender.join();
        let mut met = std::mem::take(&mut *self.shared.lock());
        met.sort_by_key(|one| one.start);
        met
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Vec<Met>> {
        self.met.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn send(addr: SocketAddr, path: &str, shared: &Shared) {
    std::thread::scope(|scope| {
        let mut next = Instant::now();
        while !shared.stop.load(Ordering::Relaxed) {
            let number = shared.sent.fetch_add(1, Ordering::Relaxed);
            scope.spawn(move || {
                let one = ask(addr, &format!("{path}?n={number}"));
                shared.lock().push(one);
            });
            next += EVERY;
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    });
}

fn ask(addr: SocketAddr, path: &str) -> Met {
    let start = Instant::now();
    let reply = Client::new(addr, GIVE_UP).send(&Request::get(path));
    let good = reply.ok().filter(|r| r.status == 200);
    Met {
        start,
        took: start.elapsed(),
        backend: good.map(|r| r.backend),
    }
}
