//! Steady load on a httpd, with one record per request.

use crate::client::{Client, Failure, Reply, Request, next_id};
use crate::httpd::Who;
use crate::sanitizer;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What one request met.
#[derive(Debug, Clone)]
pub struct Record {
    /// Id of the request, also in [`crate::Seen::id`].
    pub id: u64,
    pub method: String,
    pub start: Instant,
    pub took: Duration,
    /// 0 when there was no whole answer.
    pub status: u16,
    /// Identity of the backend; empty when none answered.
    pub backend: String,
    /// Pid of the httpd child; 0 when unknown.
    pub child: u32,
    pub failure: Option<Failure>,
    /// Not the first request of its connection.
    pub reused: bool,
}

impl Record {
    /// No whole answer, or a status of 400 and above.
    pub fn failed(&self) -> bool {
        self.failure.is_some() || self.status >= 400
    }
}

/// Settings of a load; see [`crate::Httpd::load`].
#[derive(Clone)]
pub struct LoadBuilder {
    addr: SocketAddr,
    who: Option<Who>,
    request: Request,
    clients: usize,
    pause: Duration,
    per_connection: usize,
    timeout: Duration,
}

impl LoadBuilder {
    pub(crate) fn new(addr: SocketAddr, who: Option<Who>) -> LoadBuilder {
        LoadBuilder {
            addr,
            who,
            request: Request::get("/"),
            clients: 8,
            pause: Duration::from_millis(10),
            per_connection: 50,
            timeout: Duration::from_secs(30),
        }
    }

    /// Clients at the same time, each with one kept-alive connection (default 8).
    pub fn clients(mut self, n: usize) -> Self {
        self.clients = n;
        self
    }

    /// Path of the GETs (default `/`).
    pub fn path(mut self, path: &str) -> Self {
        self.request.path = path.to_owned();
        self
    }

    /// POSTs of `length` bytes instead of GETs.
    pub fn post(mut self, length: usize) -> Self {
        self.request = Request::post(&self.request.path, length);
        self
    }

    /// Pause of a client between two requests (default 10 ms); zero: closed loop at full speed.
    pub fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// Requests per client connection (default 50), so that new connections reach other children.
    pub fn per_connection(mut self, n: usize) -> Self {
        self.per_connection = n;
        self
    }

    /// Time-out of a client's single wait (default 30 s).
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    pub fn start(self) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = (0..self.clients).map(|n| {
            let (settings, stop) = (self.clone(), Arc::clone(&stop));
            // Spread the clients over one pause, or they would act as one.
            let first = settings.pause.mul_f64(n as f64 / settings.clients as f64);
            std::thread::spawn(move || {
                std::thread::sleep(first);
                run(&settings, &stop)
            })
        });
        Load {
            threads: threads.collect(),
            who: self.who,
            stop,
        }
    }

    /// Runs for `time` and stops.
    pub fn run(self, time: Duration) -> Records {
        let load = self.start();
        std::thread::sleep(time);
        load.stop()
    }
}

fn run(settings: &LoadBuilder, stop: &AtomicBool) -> Vec<Record> {
    let mut client = Client::new(settings.addr, settings.timeout);
    let mut records = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        if client.answered >= settings.per_connection {
            client.close();
        }
        records.push(one(&mut client, &settings.request));
        if !settings.pause.is_zero() {
            std::thread::sleep(settings.pause);
        }
    }
    records
}

fn one(client: &mut Client, request: &Request) -> Record {
    let (id, start, reused) = (next_id(), Instant::now(), client.answered > 0);
    let result = client.send_id(request, id);
    let took = start.elapsed();
    let method = request.method.clone();
    let (status, backend, failure) = match result {
        Ok(reply) => (reply.status, reply.backend, None),
        Err(failure) => (0, String::new(), Some(failure)),
    };
    Record {
        id,
        method,
        start,
        took,
        status,
        backend,
        child: 0,
        failure,
        reused,
    }
}

/// A load under way.
pub struct Load {
    threads: Vec<JoinHandle<Vec<Record>>>,
    who: Option<Who>,
    stop: Arc<AtomicBool>,
}

impl Load {
    /// Ends the load (requests under way are finished) and joins the records with the access log.
    pub fn stop(mut self) -> Records {
        self.stop.store(true, Ordering::Relaxed);
        let threads = std::mem::take(&mut self.threads);
        let joined = threads
            .into_iter()
            .flat_map(|t| t.join().expect("a client thread"));
        let mut records: Vec<Record> = joined.collect();
        records.sort_by_key(|r| r.start);
        if let Some(who) = &self.who {
            who.fill(&mut records);
        }
        Records(records)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// The records of a load, by start time.
#[derive(Debug, Clone, Default)]
pub struct Records(pub Vec<Record>);

impl Records {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Requests without a whole answer or with a status of 400 and above.
    pub fn failed(&self) -> Vec<&Record> {
        self.0.iter().filter(|r| r.failed()).collect()
    }

    /// Requests that met this failure.
    pub fn with_failure(&self, failure: &Failure) -> Vec<&Record> {
        self.0
            .iter()
            .filter(|r| r.failure.as_ref() == Some(failure))
            .collect()
    }

    /// Longest time of a request; zero without requests.
    pub fn slowest(&self) -> Duration {
        self.0.iter().map(|r| r.took).max().unwrap_or_default()
    }

    /// Requests that started at `instant` or later.
    pub fn since(&self, instant: Instant) -> Records {
        Records(
            self.0
                .iter()
                .filter(|r| r.start >= instant)
                .cloned()
                .collect(),
        )
    }

    /// Requests that started before `instant`.
    pub fn before(&self, instant: Instant) -> Records {
        Records(
            self.0
                .iter()
                .filter(|r| r.start < instant)
                .cloned()
                .collect(),
        )
    }

    /// Number of answers per backend; failed requests are not counted.
    pub fn by_backend(&self) -> BTreeMap<String, usize> {
        count(
            self.0
                .iter()
                .filter(|r| r.failure.is_none())
                .map(|r| r.backend.clone()),
        )
    }

    /// Number of requests per child; without those of unknown child.
    pub fn by_child(&self) -> BTreeMap<u32, usize> {
        count(self.0.iter().filter(|r| r.child != 0).map(|r| r.child))
    }

    /// Number of answers per status; 0 stands for none.
    pub fn by_status(&self) -> BTreeMap<u16, usize> {
        count(self.0.iter().map(|r| r.status))
    }

    /// Answers of this backend.
    pub fn from(&self, backend: &str) -> Records {
        Records(
            self.0
                .iter()
                .filter(|r| r.backend == backend)
                .cloned()
                .collect(),
        )
    }

    /// # Panics
    /// When a request failed, when one took longer than `limit`, or when there was none.
    #[track_caller]
    pub fn assert_clean(&self, limit: Duration) {
        assert!(!self.is_empty(), "no requests");
        let failed = self.failed();
        assert!(
            failed.is_empty(),
            "{} of {} requests failed; the first: {:?}",
            failed.len(),
            self.len(),
            failed[0]
        );
        let limit = limit * sanitizer::slower();
        let slow: Vec<_> = self.0.iter().filter(|r| r.took > limit).collect();
        assert!(
            slow.is_empty(),
            "{} requests took over {limit:?}; the first: {:?}",
            slow.len(),
            slow[0]
        );
    }
}

fn count<K: Ord>(keys: impl Iterator<Item = K>) -> BTreeMap<K, usize> {
    let mut counts = BTreeMap::new();
    for key in keys {
        *counts.entry(key).or_insert(0) += 1;
    }
    counts
}

/// A request under way in a thread of its own.
pub type Pending = JoinHandle<Result<Reply, Failure>>;

/// Sends each request at once, on a connection of its own.
pub fn all_at_once(
    addr: SocketAddr,
    request: &Request,
    n: usize,
    timeout: Duration,
) -> Vec<Pending> {
    let send = |_| {
        let request = request.clone();
        std::thread::spawn(move || Client::new(addr, timeout).send(&request))
    };
    (0..n).map(send).collect()
}
