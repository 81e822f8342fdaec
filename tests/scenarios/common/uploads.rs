//! What the scenarios about uploads share: requests of every form, the troubles they go through, and the judgement of
//! what became of each of them at the client and at the backends.

// Each test file uses its own part.
#![allow(dead_code)]

use crate::common::pool::*;
use crate::common::*;
use live_kit::{
    Backend, Builder, Death, Framing, Httpd, Load, Mode, Mpm, Record, Records, Request, Seen, World,
};
use live_kit::{eventually, pause};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Path of requests that may be sent to a second backend.
pub const AGAIN: &str = "/again";
/// Path of requests that must never be executed twice.
pub const ONCE: &str = "/once";
/// Path of requests that may be sent to a second backend or not: an empty body without Content-Length over HTTP/2.
pub const EITHER: &str = "/either";
/// Nobody waits longer, although `timeout` is 60 s.
pub const ENDED: Duration = Duration::from_secs(20);
pub const BIG: usize = 5_000_000;

/// What happens to backend A.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Its host vanishes.
    Vanishes,
    /// Its process is killed.
    Killed,
    /// Each request ends so; to a probe it looks healthy.
    Dies(Death),
    /// One request in three ends so, from beginning to end of the scenario.
    Some(Death),
    /// It closes each connection that has served a request as the next one arrives.
    Races,
    /// It stops gracefully: its port and its idle connections are closed, requests under way are finished.
    Leaves,
    /// Its queue of new connections is full.
    Full,
}

impl Trouble {
    pub fn begin(self, w: &mut World, a: &Backend) {
        match self {
            Trouble::Vanishes => w.vanish(IP_A),
            Trouble::Killed => a.kill(),
            Trouble::Dies(death) => a.mode(Mode::Die(death)),
            Trouble::Some(_) => {}
            Trouble::Races => a.mode(Mode::CloseReused),
            Trouble::Leaves => a.mode(Mode::Leave),
            Trouble::Full => a.mode(Mode::Full),
        }
    }

    pub fn end(self, w: &mut World, a: &Backend) {
        match self {
            Trouble::Vanishes => w.appear(IP_A),
            _ => a.revive(),
        }
    }

    /// Nothing tells a request that it waits in vain.
    pub fn is_silent(self) -> bool {
        matches!(self, Trouble::Vanishes | Trouble::Full)
    }

    /// How long it lasts: requests that wait for it to end are caught.
    pub fn lasts(self) -> f64 {
        match self {
            Trouble::Vanishes => 12.0,
            Trouble::Full => 6.0,
            _ => 3.0,
        }
    }

    /// Pause of a client between two requests: where each request dies, the rescues must not use up their budget.
    fn pause(self) -> Duration {
        match self {
            Trouble::Dies(_) | Trouble::Races => Duration::from_millis(400),
            Trouble::Some(_) => Duration::from_millis(150),
            _ => Duration::from_millis(50),
        }
    }

    /// The requests of a load that meets this trouble.
    pub fn requests(self, forms: &[Request]) -> Vec<Request> {
        let Trouble::Some(death) = self else {
            return forms.to_vec();
        };
        let three = |form: &Request| [dying(form, death), form.clone(), form.clone()];
        forms.iter().flat_map(three).collect()
    }
}

/// Requests that are repeated when their backend dies.
pub fn repeatable() -> Vec<Request> {
    let kinds = ["GET", "HEAD", "DELETE", "OPTIONS", "PUT"];
    let mut all = kinds.map(|method| Request::new(method, AGAIN)).to_vec();
    all.push(Request::get(AGAIN).framed(Framing::Length));
    all
}

/// Uploads up to 64 KB, and empty ones that are not safe to repeat.
pub fn uploads() -> Vec<Request> {
    let sized = |method, length| Request::upload(method, ONCE, length);
    let open = |method, length| sized(method, length).framed(Framing::Open);
    vec![
        sized("POST", 0),
        open("POST", 0),
        sized("PATCH", 0),
        Request::upload("PUT", EITHER, 0).framed(Framing::Open),
        sized("POST", 1),
        open("PUT", 1),
        sized("DELETE", 1),
        sized("PATCH", 8192),
        open("POST", 8192),
        sized("PUT", 65_536),
        open("PATCH", 65_536),
    ]
}

pub fn big_uploads() -> Vec<Request> {
    let open = |method| Request::upload(method, ONCE, BIG).framed(Framing::Open);
    vec![Request::upload("POST", ONCE, BIG), open("PUT")]
}

/// All of them wait for the backend's 100.
pub fn expecting(requests: Vec<Request>) -> Vec<Request> {
    requests.into_iter().map(Request::expecting).collect()
}

/// Starts the pool of A and B, with HTTP/2 for clients where the MPM can.
pub fn start_front(
    w: &mut World,
    mpm: Mpm,
    parameters: &str,
    more: &str,
) -> (Httpd, Backend, Backend) {
    let (a, b) = backends();
    set_members(w);
    let text = format!("{}\n{more}", pool(parameters));
    let mut builder = w.httpd().mpm(mpm).live(&text);
    if mpm == Mpm::Prefork {
        builder = builder.children(16);
    } else {
        builder = builder.children(2).threads(16).module("http2");
        builder = builder.config("Protocols h2c http/1.1");
    }
    let probed: &[&Backend] = match parameters.contains("liveprobe=off") {
        true => &[],
        false => &[&a, &b],
    };
    (start_pool(unwhole(troubled(builder)), probed), a, b)
}

/// So long that some are under way at any time.
fn taking_time(requests: &[Request]) -> Vec<Request> {
    requests.iter().map(|r| asking(r, "delay=60")).collect()
}

/// It ends so when it reaches A.
pub fn dying(request: &Request, death: Death) -> Request {
    let word = match death {
        Death::Close => "close",
        Death::Reset => "reset",
        Death::Header => "header",
        Death::HeaderClose => "header-close",
        _ => panic!("not told by a query: {death:?}"),
    };
    asking(request, &format!("die={word}&at=A"))
}

pub fn asking(request: &Request, query: &str) -> Request {
    let mut request = request.clone();
    request.path += if request.path.contains('?') { "&" } else { "?" };
    request.path += query;
    request
}

/// Half a head is a warning of its own.
pub fn unwhole(builder: Builder) -> Builder {
    builder.expect("AH10404:").expect("AH01106:")
}

/// How the clients speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speak {
    Http1,
    Http2,
}

/// The loads of a scenario: many small requests, and few big ones beside them.
pub fn loads(
    httpd: &Httpd,
    speak: Speak,
    trouble: Trouble,
    small: &[Request],
    big: &[Request],
) -> Vec<Load> {
    let with = |requests: &[Request], clients: usize, pause: Duration| {
        let load = httpd.load().requests(requests).pause(pause);
        match speak {
            Speak::Http1 => load.clients(clients).start(),
            Speak::Http2 => load.clients(2).http2(clients / 2).start(),
        }
    };
    let pause = trouble.pause();
    vec![with(small, 8, pause), with(big, 2, 2 * pause)]
}

pub fn stop(loads: Vec<Load>) -> Records {
    let all = loads.into_iter().flat_map(|load| load.stop().0);
    Records(all.collect())
}

/// Small and big requests under load while A has its trouble and after it; each is judged.
pub fn go_through(
    w: &mut World,
    mpm: Mpm,
    speak: Speak,
    trouble: Trouble,
    small: &[Request],
    parameters: &str,
) {
    let (httpd, a, b) = start_front(w, mpm, parameters, "");
    through(w, &httpd, [&a, &b], speak, trouble, small);
}

/// The same with a server that runs.
pub fn through(
    w: &mut World,
    httpd: &Httpd,
    [a, b]: [&Backend; 2],
    speak: Speak,
    trouble: Trouble,
    small: &[Request],
) {
    let big = match small[0].expect {
        true => expecting(big_uploads()),
        false => big_uploads(),
    };
    let small = trouble.requests(&taking_time(small));
    let loads = loads(httpd, speak, trouble, &small, &trouble.requests(&big));
    pause(1.5);
    let broken = Instant::now();
    trouble.begin(w, a);
    pause(trouble.lasts());
    let over = Instant::now();
    trouble.end(w, a);
    eventually(PATIENCE, || {
        httpd.logged("up -> down") == httpd.logged("down -> up")
    });
    pause(0.5);
    let well = Instant::now();
    pause(1.0);
    let records = stop(loads);
    judge(&records, &[a, b]);
    if trouble.is_silent() {
        none_waited(&records, broken, over);
    }
    calm_without_trouble(&records, broken, well);
    all_repeated(&records);
    if let Trouble::Dies(_) | Trouble::Some(_) | Trouble::Races = trouble {
        assert!(a.died() > 0, "no request met the trouble");
    }
    println!(
        "figure: {speak:?} {trouble:?}: {:?}, slowest {:?}",
        records.by_status(),
        records.slowest()
    );
}

/// No request failed before the trouble and after it, but those that ask for it.
#[track_caller]
fn calm_without_trouble(records: &Records, broken: Instant, well: Instant) {
    let outside = |r: &Record| r.start + r.took < broken || r.start > well;
    let calm = |r: &&Record| outside(r) && !r.path.contains("die=");
    let mut calm = records.0.iter().filter(calm);
    let wrong = calm.find(|r| r.status != 200);
    assert!(wrong.is_none(), "failed without trouble: {wrong:?}");
}

/// Every request that may be repeated has succeeded.
#[track_caller]
fn all_repeated(records: &Records) {
    let mut again = records.0.iter().filter(|r| r.path.starts_with(AGAIN));
    let lost = again.find(|r| r.status != 200);
    assert!(lost.is_none(), "not repeated: {lost:?}");
}

/// No request of the first half of the trouble, or from before, waited for its end.
#[track_caller]
pub fn none_waited(records: &Records, broken: Instant, over: Instant) {
    let middle = broken + (over - broken) / 2;
    let mut under_way = records.0.iter().filter(|r| r.start < middle);
    let waited = under_way.find(|r| r.start + r.took > over);
    assert!(waited.is_none(), "waited for the end of it: {waited:?}");
}

/// Each request has a whole answer, that of a backend or the proxy's own of a failure; none was executed oftener than
/// allowed, and each execution was that of the very request the client sent.
#[track_caller]
pub fn judge(records: &Records, backends: &[&Backend]) {
    let by_id: HashMap<u64, &Record> = records.0.iter().map(|r| (r.id, r)).collect();
    assert!(!by_id.is_empty(), "no requests");
    let mut executed: HashMap<u64, Vec<&str>> = HashMap::new();
    for backend in backends {
        for seen in backend.seen() {
            let Some(record) = by_id.get(&seen.id) else {
                continue;
            };
            let (sent, got) = (
                (&record.method, record.length, record.sum),
                (&seen.method, seen.length, seen.sum),
            );
            assert_eq!(
                sent,
                got,
                "mutilated on its way to {}: {record:?}",
                backend.name()
            );
            executed.entry(seen.id).or_default().push(backend.name());
        }
    }
    for record in &records.0 {
        assert!(record.failure.is_none(), "no whole answer: {record:?}");
        let known = [200, 502, 503, 504].contains(&record.status);
        assert!(known, "a strange answer: {record:?}");
        let at = executed.remove(&record.id).unwrap_or_default();
        let most = if record.path.starts_with(ONCE) { 1 } else { 2 };
        assert!(at.len() <= most, "executed by {at:?}: {record:?}");
        if record.status == 200 {
            let by = at.contains(&&*record.backend);
            assert!(by, "executed by {at:?}, not by who answered: {record:?}");
        }
    }
}

/// Sends each request `rounds` times (an even number) on one kept connection, GETs in between, and not so fast that
/// rescues use up their budget. The records are for [`judge`].
pub fn one_by_one(httpd: &Httpd, speak: Speak, requests: &[Request], rounds: usize) -> Records {
    let mut twice = [requests, requests].concat();
    if requests.len().is_multiple_of(2) {
        // members take turns: each form shall reach both
        twice[requests.len()..].rotate_left(1);
    }
    // a member that fails several times without a success is not asked any more
    let with_two = |r: Request| [r, Request::get(AGAIN), Request::get(AGAIN)];
    let row: Vec<Request> = twice.into_iter().flat_map(with_two).collect();
    let load = httpd.load().requests(&row).pause(Duration::from_millis(20));
    let load = load.per_connection(usize::MAX).rounds(rounds / 2);
    match speak {
        Speak::Http1 => load.clients(1),
        Speak::Http2 => load.clients(1).http2(1),
    }
    .start()
    .join()
}

/// How many of these requests reached a backend.
pub fn met(backend: &Backend, query: &str) -> usize {
    let asks = |s: &&Seen| s.path.contains(query);
    backend.seen().iter().filter(asks).count()
}
