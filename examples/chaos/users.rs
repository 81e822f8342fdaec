//! The steady load: users with kept connections, with new ones, with POSTs, with HTTP/2, on each pool; some through TLS.

use crate::action::At;
use crate::judge::Event;
use crate::schedule::Numbers;
use crate::site::{Pool, secure};
use live_kit::{Client, Failure, H2Client, Mpm, Reply, Request, checksum, payload};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A user gives up after so long: longer than anything that may be waited for.
pub const GIVE_UP: Duration = Duration::from_secs(30);
/// Between two requests of a user.
const PAUSE: u64 = 120;
/// Requests on one kept connection, so that users meet every child.
const PER_CONNECTION: usize = 40;
/// Bytes of a POST, and of some.
const BODY: usize = 700;
const LARGE_BODY: usize = 300_000;
/// Bytes of some answers.
const LARGE: usize = 1_000_000;
/// One of so many is large.
const RARE: u64 = 40;
/// The header with the number of a request.
pub const NUMBER: &str = "X-N";

#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Kept,
    Fresh,
    Http2,
}

#[derive(Clone, Copy)]
struct Sort {
    pool: Pool,
    post: bool,
    how: How,
    /// Through TLS.
    secure: bool,
    users: usize,
}

const fn sort(pool: Pool, post: bool, how: How, users: usize) -> Sort {
    Sort {
        pool,
        post,
        how,
        secure: false,
        users,
    }
}

const fn secured(sort: Sort) -> Sort {
    Sort {
        secure: true,
        ..sort
    }
}

const SORTS: [Sort; 17] = [
    sort(Pool::App, false, How::Kept, 4),
    sort(Pool::App, false, How::Fresh, 2),
    sort(Pool::App, true, How::Kept, 3),
    sort(Pool::App, false, How::Http2, 3),
    sort(Pool::App, true, How::Http2, 1),
    sort(Pool::Tls, false, How::Kept, 2),
    sort(Pool::Tls, true, How::Kept, 1),
    sort(Pool::Plain, false, How::Kept, 2),
    sort(Pool::Plain, false, How::Fresh, 1),
    sort(Pool::Plain, true, How::Kept, 1),
    sort(Pool::Http2, false, How::Kept, 2),
    sort(Pool::Http2, true, How::Kept, 1),
    secured(sort(Pool::App, false, How::Kept, 2)),
    secured(sort(Pool::App, false, How::Fresh, 1)),
    secured(sort(Pool::App, true, How::Kept, 1)),
    secured(sort(Pool::App, false, How::Http2, 2)),
    secured(sort(Pool::App, true, How::Http2, 1)),
];

pub struct Users {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// What all users of a server share.
#[derive(Clone)]
struct Common {
    live: bool,
    begin: Instant,
    numbers: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    tell: Sender<Event>,
}

impl Users {
    /// `numbers` gives each request of the run its own.
    pub fn start(
        addr: SocketAddr,
        live: bool,
        mpm: Mpm,
        begin: Instant,
        numbers: &Arc<AtomicU64>,
        tell: Sender<Event>,
    ) -> Users {
        let stop = Arc::<AtomicBool>::default();
        let common = Common {
            live,
            begin,
            numbers: Arc::clone(numbers),
            stop: Arc::clone(&stop),
            tell,
        };
        let tls = secure(addr, live);
        let http2 = [
            H2Client::new(addr, GIVE_UP),
            H2Client::new(tls, GIVE_UP).secure(),
        ];
        let http2 = http2.map(Arc::new);
        let mut threads = Vec::new();
        let two = |s: &Sort| s.how == How::Http2 || s.pool == Pool::Http2;
        let known = |s: &&Sort| mpm != Mpm::Prefork || !two(s);
        for sort in SORTS.iter().filter(known) {
            for _ in 0..sort.users {
                let by = match (sort.how, sort.secure) {
                    (How::Http2, tls) => By::Two(Arc::clone(&http2[usize::from(tls)])),
                    (_, false) => By::One(Box::new(Client::new(addr, GIVE_UP)), 0),
                    (_, true) => By::One(Box::new(Client::new(tls, GIVE_UP).secure()), 0),
                };
                let user = User {
                    sort: *sort,
                    by,
                    last: None,
                    common: common.clone(),
                    random: Numbers::new(threads.len() as u64, 99),
                };
                threads.push(std::thread::spawn(move || user.live()));
            }
        }
        Users { stop, threads }
    }

    /// Requests under way are finished.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            let _ = thread.join();
        }
    }
}

enum By {
    /// With the number of requests on the present connection.
    One(Box<Client>, usize),
    Two(Arc<H2Client>),
}

struct User {
    sort: Sort,
    by: By,
    /// Number of the last request on the present connection.
    last: Option<u64>,
    common: Common,
    random: Numbers,
}

impl User {
    fn live(mut self) {
        while !self.common.stop.load(Ordering::Relaxed) {
            let pause = PAUSE / 2 + self.random.below(PAUSE);
            std::thread::sleep(Duration::from_millis(pause));
            let event = self.ask();
            if self.common.tell.send(event).is_err() {
                return;
            }
        }
    }

    fn ask(&mut self) -> Event {
        let number = self.common.numbers.fetch_add(1, Ordering::Relaxed);
        let (request, answer) = self.request(number);
        let kept = self.connection();
        let start = self.now();
        let result = match &mut self.by {
            By::One(client, sent) => {
                let result = client.send(&request);
                *sent = if result.is_ok() { *sent + 1 } else { 0 };
                result
            }
            By::Two(client) => client.send(&request),
        };
        let end = self.now();
        let event = self.event(number, kept, start, end, result, &|reply| {
            is_whole(reply, number, &request, answer)
        });
        if matches!(self.by, By::One(..)) {
            self.last = event.failure.is_none().then_some(number);
        }
        event
    }

    /// With it the length of the answer's body when it matters.
    fn request(&mut self, number: u64) -> (Request, Option<usize>) {
        let pool = match self.sort.pool {
            Pool::App => "app",
            Pool::Tls => "tls",
            Pool::Plain => "plain",
            Pool::Http2 => "http2",
        };
        // Some are slow, and that is no death.
        let delay = match self.random.below(40) {
            0 => 1_200,
            _ => 5 + self.random.below(60),
        };
        let large = self.random.below(RARE) == 0;
        let server = if self.common.live { "live" } else { "stock" };
        let path = format!("/{pool}/{server}?n={number}&delay={delay}");
        let (request, answer) = match (self.sort.post, large) {
            (true, _) => {
                let size = if large { LARGE_BODY } else { BODY };
                let mut request = Request::post(&format!("{path}&size={size}"), 0);
                request.body = payload(number, size);
                (request, None)
            }
            (false, false) => (Request::get(&path), None),
            (false, true) => {
                let path = format!("{path}&seed={number}&bytes={LARGE}");
                (Request::get(&path), Some(LARGE))
            }
        };
        (request.header(NUMBER, &number.to_string()), answer)
    }

    /// Whether the next request goes on a connection that was used before.
    fn connection(&mut self) -> bool {
        match &mut self.by {
            By::One(client, sent) => {
                if self.sort.how == How::Fresh || *sent >= PER_CONNECTION || !client.is_kept() {
                    client.close();
                    *sent = 0;
                    self.last = None;
                }
                *sent > 0
            }
            By::Two(_) => true,
        }
    }

    fn event(
        &self,
        number: u64,
        kept: bool,
        start: At,
        end: At,
        result: Result<Reply, Failure>,
        is_whole: &dyn Fn(&Reply) -> bool,
    ) -> Event {
        let whole = result.as_ref().is_ok_and(is_whole);
        let (status, backend, failure) = match result {
            Ok(reply) => (reply.status, reply.backend, None),
            Err(failure) => (0, String::new(), Some(failure)),
        };
        Event {
            live: self.common.live,
            pool: self.sort.pool,
            post: self.sort.post,
            http2: self.sort.how == How::Http2,
            secure: self.sort.secure,
            kept,
            last: self.last.filter(|_| kept),
            number,
            start,
            end,
            status,
            backend,
            whole,
            failure,
        }
    }

    fn now(&self) -> At {
        self.common.begin.elapsed().as_millis() as At
    }
}

/// The answer is the one to this request: a large body, and the sum that backends tell of a request's.
fn is_whole(reply: &Reply, number: u64, request: &Request, answer: Option<usize>) -> bool {
    if reply.status != 200 {
        return true;
    }
    let sum = reply.header("x-sum");
    let sums = sum.is_none_or(|sum| sum == format!("{:016x}", checksum(&request.body)));
    sums && answer.is_none_or(|length| reply.body == payload(number, length))
}
