//! Steady load on a httpd, with one record per request.

use crate::checksum;
use crate::client::{Client, Failure, Reply};
use crate::h2::H2Client;
use crate::records::{Record, Records};
use crate::request::{Request, next_id, payload};
use crate::who::Who;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Settings of a load; see [`crate::Httpd::load`].
#[derive(Clone)]
pub struct LoadBuilder {
    addr: SocketAddr,
    who: Option<Who>,
    identity: String,
    requests: Vec<Request>,
    clients: usize,
    /// How often each client sends all requests before it ends by itself.
    rounds: usize,
    /// Requests at the same time on the HTTP/2 connection of each client; `None`: HTTP/1.
    streams: Option<usize>,
    pause: Duration,
    per_connection: usize,
    timeout: Duration,
}

impl LoadBuilder {
    pub(crate) fn new(addr: SocketAddr, who: Option<Who>) -> LoadBuilder {
        LoadBuilder {
            addr,
            who,
            identity: "x-backend".to_owned(),
            requests: vec![Request::get("/")],
            clients: 8,
            rounds: usize::MAX,
            streams: None,
            pause: Duration::from_millis(10),
            per_connection: 50,
            timeout: Duration::from_secs(30),
        }
    }

    /// A load on something else than a httpd of the kit (a balancer before it); the children stay unknown.
    pub fn on(addr: &str) -> LoadBuilder {
        let addr = addr.parse();
        LoadBuilder::new(addr.expect("an address with port"), None)
    }

    /// Header whose value says who answered, for [`Record::backend`] (default `X-Backend`).
    pub fn identity(mut self, header: &str) -> Self {
        self.identity = header.to_owned();
        self
    }

    /// Clients at the same time, each with one kept-alive connection (default 8).
    pub fn clients(mut self, n: usize) -> Self {
        self.clients = n;
        self
    }

    /// Path of the GETs (default `/`).
    pub fn path(mut self, path: &str) -> Self {
        for request in &mut self.requests {
            request.path = path.to_owned();
        }
        self
    }

    /// POSTs of `length` bytes instead of GETs.
    pub fn post(self, length: usize) -> Self {
        let request = Request::post(&self.requests[0].path, length);
        self.requests(&[request])
    }

    /// Sends these in turn (each client begins with another) instead of GETs. Each request gets a body of its own, as
    /// long as the one here.
    pub fn requests(mut self, requests: &[Request]) -> Self {
        assert!(!requests.is_empty(), "a load of no requests");
        self.requests = requests.to_vec();
        self
    }

    /// Each client ends by itself when it has sent all requests so often; see [`Load::join`].
    pub fn rounds(mut self, n: usize) -> Self {
        self.rounds = n;
        self
    }

    /// HTTP/2: each client has one connection with `streams` requests at the same time.
    pub fn http2(mut self, streams: usize) -> Self {
        self.streams = Some(streams);
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
        let speakers: Vec<Speaker> = (0..self.clients).flat_map(|_| self.speakers()).collect();
        let share = 1.0 / speakers.len() as f64;
        let threads = speakers.into_iter().enumerate().map(|(n, speaker)| {
            let (settings, stop) = (self.clone(), Arc::clone(&stop));
            // Spread the clients over one pause, or they would act as one.
            let first = settings.pause.mul_f64(n as f64 * share);
            std::thread::spawn(move || {
                std::thread::sleep(first);
                run(&settings, &stop, speaker, n)
            })
        });
        Load {
            threads: threads.collect(),
            who: self.who,
            stop,
        }
    }

    /// What sends the requests of one client.
    fn speakers(&self) -> Vec<Speaker> {
        let Some(streams) = self.streams else {
            return vec![Speaker::One(Client::new(self.addr, self.timeout))];
        };
        let client = H2Client::new(self.addr, self.timeout).per_connection(self.per_connection);
        let client = Arc::new(client);
        (0..streams)
            .map(|_| Speaker::Two(Arc::clone(&client)))
            .collect()
    }

    /// Runs for `time` and stops.
    pub fn run(self, time: Duration) -> Records {
        let load = self.start();
        std::thread::sleep(time);
        load.stop()
    }
}

/// Sends one request after the other: over HTTP/1, or over a HTTP/2 connection shared with others.
enum Speaker {
    One(Client),
    Two(Arc<H2Client>),
}

impl Speaker {
    /// With it whether this was not the first request of its connection.
    fn send(&mut self, request: &Request, id: u64, most: usize) -> (bool, Result<Reply, Failure>) {
        match self {
            Speaker::One(client) => {
                if client.answered >= most {
                    client.close();
                }
                (client.answered > 0, client.send_id(request, id))
            }
            Speaker::Two(client) => client.send_id(request, id),
        }
    }
}

fn run(settings: &LoadBuilder, stop: &AtomicBool, mut by: Speaker, first: usize) -> Vec<Record> {
    let mut records = Vec::new();
    let mut requests = settings.requests.iter().cycle().skip(first);
    let most = settings.rounds.saturating_mul(settings.requests.len());
    while records.len() < most && !stop.load(Ordering::Relaxed) {
        let request = requests.next().expect("an endless row").clone();
        records.push(one(&mut by, request, settings));
        if !settings.pause.is_zero() {
            std::thread::sleep(settings.pause);
        }
    }
    records
}

fn one(by: &mut Speaker, mut request: Request, settings: &LoadBuilder) -> Record {
    let id = next_id();
    request.body = payload(id, request.body.len());
    let sum = checksum(&request.body);
    let start = Instant::now();
    let (reused, result) = by.send(&request, id, settings.per_connection);
    let took = start.elapsed();
    let (status, backend, failure) = match result {
        Ok(reply) => {
            let who = reply.header(&settings.identity).unwrap_or_default();
            (reply.status, who.to_owned(), None)
        }
        Err(failure) => (0, String::new(), Some(failure)),
    };
    Record {
        id,
        method: request.method,
        path: request.path,
        length: request.body.len(),
        sum,
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
    pub fn stop(self) -> Records {
        self.stop.store(true, Ordering::Relaxed);
        self.join()
    }

    /// Waits for the end of all [`LoadBuilder::rounds`].
    pub fn join(mut self) -> Records {
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
