//! Requests that come at a steady rate, whatever becomes of the earlier ones: users who do not know of each
//! other. (Clients that wait for their answers would all be stuck soon, and no longer tell where requests go.)

use live_kit::{Client, Failure, Httpd, Request};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What one request met.
pub struct Met {
    pub start: Instant,
    pub took: Duration,
    /// The backend that answered 200; none: the request failed.
    pub backend: Option<String>,
    /// Why there was no whole answer.
    pub failure: Option<Failure>,
}

/// Who asks for what, and how often.
pub struct Users {
    request: Request,
    every: Duration,
    kept: usize,
    give_up: Duration,
}

impl Users {
    /// GETs of `path`, 40 per second, each on a connection of its own; a user gives up after 8 s.
    pub fn get(path: &str) -> Users {
        Users {
            request: Request::get(path),
            every: Duration::from_millis(25),
            kept: 0,
            give_up: Duration::from_secs(8),
        }
    }

    /// POSTs of so many bytes instead.
    pub fn post(path: &str, length: usize) -> Users {
        Users {
            request: Request::post(path, length),
            ..Users::get(path)
        }
    }

    /// The pause between two requests.
    pub fn every(self, every: Duration) -> Users {
        Users { every, ..self }
    }

    /// So many connections are kept and used in turn; there are more while these are all busy.
    pub fn kept(self, kept: usize) -> Users {
        Users { kept, ..self }
    }

    pub fn give_up(self, give_up: Duration) -> Users {
        Users { give_up, ..self }
    }

    /// Each request has its number, from 0, as `n=` in its query.
    pub fn start(self, httpd: &Httpd) -> Arrivals {
        let shared = Arc::<Shared>::default();
        let (addr, ours) = (httpd.addr(), Arc::clone(&shared));
        let clients = (0..self.kept).map(|_| Client::new(addr, self.give_up));
        shared.idle().extend(clients);
        let sender = std::thread::spawn(move || self.send(addr, &ours));
        Arrivals { shared, sender }
    }

    fn send(&self, addr: SocketAddr, shared: &Shared) {
        std::thread::scope(|scope| {
            let mut next = Instant::now();
            while !shared.stop.load(Ordering::Relaxed) {
                let number = shared.sent.fetch_add(1, Ordering::Relaxed);
                scope.spawn(move || {
                    let idle = shared.idle().pop_front();
                    let mut client = idle.unwrap_or_else(|| Client::new(addr, self.give_up));
                    let one = self.ask(&mut client, number);
                    shared.met().push(one);
                    let mut idle = shared.idle();
                    if idle.len() < self.kept {
                        idle.push_back(client);
                    }
                });
                next += self.every;
                std::thread::sleep(next.saturating_duration_since(Instant::now()));
            }
        });
    }

    fn ask(&self, client: &mut Client, number: usize) -> Met {
        let mut request = self.request.clone();
        let mark = if request.path.contains('?') { '&' } else { '?' };
        request.path += &format!("{mark}n={number}");
        let start = Instant::now();
        let reply = client.send(&request);
        let took = start.elapsed();
        let (backend, failure) = match reply {
            Ok(reply) => ((reply.status == 200).then_some(reply.backend), None),
            Err(failure) => (None, Some(failure)),
        };
        Met {
            start,
            took,
            backend,
            failure,
        }
    }
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
    idle: Mutex<VecDeque<Client>>,
}

impl Arrivals {
    /// How many have been sent so far.
    pub fn sent(&self) -> usize {
        self.shared.sent.load(Ordering::Relaxed)
    }

    /// No more requests from now on.
    pub fn cease(&self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }

    /// Ends the load and waits for the last answer; by start time.
    pub fn stop(self) -> Vec<Met> {
        self.cease();
        let _ = self.sender.join();
        let mut met = std::mem::take(&mut *self.shared.met());
        met.sort_by_key(|one| one.start);
        met
    }
}

impl Shared {
    fn met(&self) -> MutexGuard<'_, Vec<Met>> {
        self.met.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn idle(&self) -> MutexGuard<'_, VecDeque<Client>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
