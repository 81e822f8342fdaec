//! What the access log tells of requests to live workers, and a sticky pool whose requests can be steered.

// Each test file uses its own part.
#![allow(dead_code)]

use crate::common::pool::*;
use live_kit::{
    Backend, Builder, Client, Failure, Httpd, MANAGER, Pending, Reply, Request, World, all_at_once,
    eventually,
};
use std::fs;
use std::time::Duration;

/// The log that [`noted`] reads.
pub const NOTED: &str = "CustomLog logs/live.log \
    \"%r|%{X-Id}i|%>s|%{LIVE_ADDR}e|%{LIVE_ATTEMPTS}e|%{LIVE_RESCUE}e\"";
/// What a request of a rescue scenario may take at most: much less than the time-out of 60 s.
pub const SOON: Duration = Duration::from_secs(20);
/// A client waits so long for an answer.
const WAIT: Duration = Duration::from_secs(80);

/// A line of the access log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noted {
    pub method: String,
    /// Path and query as the client sent them.
    pub target: String,
    /// The id of the kit's client.
    pub id: u64,
    pub status: u16,
    /// `LIVE_ADDR`, empty when there is none.
    pub addr: String,
    /// `LIVE_ATTEMPTS`, 0 when there is none.
    pub attempts: usize,
    /// `LIVE_RESCUE`, empty when there is none.
    pub rescue: String,
}

impl Noted {
    fn parse(line: &str) -> Option<Noted> {
        let mut fields = line.split('|');
        let mut next = || fields.next().map(|f| if f == "-" { "" } else { f });
        let mut words = next()?.split(' ');
        Some(Noted {
            method: words.next()?.to_owned(),
            target: words.next()?.to_owned(),
            id: next()?.parse().unwrap_or(0),
            status: next()?.parse().ok()?,
            addr: next()?.to_owned(),
            attempts: next()?.parse().unwrap_or(0),
            rescue: next()?.to_owned(),
        })
    }

    /// Address, attempts, reason: for one assertion.
    pub fn facts(&self) -> (&str, usize, &str) {
        (&self.addr, self.attempts, &self.rescue)
    }
}

/// All lines of the log of [`NOTED`].
pub fn all_noted(httpd: &Httpd) -> Vec<Noted> {
    let log = fs::read_to_string(httpd.root().join("logs/live.log")).unwrap_or_default();
    log.lines().filter_map(Noted::parse).collect()
}

/// The line of the only request for this path and query; httpd writes it just after the answer.
#[track_caller]
pub fn noted(httpd: &Httpd, target: &str) -> Noted {
    let mut found = Vec::new();
    eventually(Duration::from_secs(5), || {
        found = all_noted(httpd);
        found.retain(|line| line.target == target);
        !found.is_empty()
    });
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

/// A pool with the routes `one` and `two`, with parameters of each member and lines of its section.
pub fn sticky_pool(one: &str, two: &str, section: &str) -> String {
    let (one, two) = (format!("route=one {one}"), format!("route=two {two}"));
    let section = format!("ProxySet stickysession=ROUTEID\n{section}");
    format!("{NOTED}\n{}", pool_of(&one, &two, &section))
}

/// The request of a client that belongs to this route.
pub fn to(route: &str, request: Request) -> Request {
    request.header("Cookie", &format!("ROUTEID=.{route}"))
}

/// A GET of a client that belongs to this route.
pub fn get_to(route: &str, path: &str) -> Request {
    to(route, Request::get(path))
}

/// Sends so many at once.
pub fn send_all(httpd: &Httpd, request: &Request, n: usize) -> Vec<Pending> {
    all_at_once(httpd.addr(), request, n, WAIT)
}

/// Their answers.
#[track_caller]
pub fn answers_of(pending: Vec<Pending>) -> Vec<Reply> {
    let join = |one: Pending| one.join().expect("a client thread");
    let answered = |result: Result<Reply, Failure>| result.expect("an answer");
    pending.into_iter().map(join).map(answered).collect()
}

/// Waits until the backend has received so many requests.
#[track_caller]
pub fn wait_requests(backend: &Backend, n: usize) {
    eventually(SOON, || backend.requests() >= n);
}

/// Names of the backends that received this path, in the order of the backends, each as often as it did.
pub fn receivers(backends: &[&Backend], path: &str) -> Vec<String> {
    let of = |b: &&Backend| {
        let seen = b.seen().into_iter().filter(|s| s.path == path);
        vec![b.name().to_owned(); seen.count()]
    };
    backends.iter().flat_map(of).collect()
}

/// A kept-alive client that has had an answer on its connection.
#[track_caller]
pub fn kept_alive(httpd: &Httpd, request: &Request) -> Client {
    let mut client = httpd.client();
    let reply = client.send(request).expect("the first answer");
    assert_eq!(reply.status, 200);
    client
}

/// A pool of one and two whose backend connections are never reused: a failure is never a kept-alive race.
pub fn fresh(w: &mut World, one: &str, two: &str, section: &str) -> Builder {
    set_members(w);
    let pool = sticky_pool(one, two, section);
    troubled(w.httpd().live(&format!("{FRESH}\n{MANAGER}\n{pool}")))
}

/// No member is in error by what mod_proxy was told.
#[track_caller]
pub fn no_errors(httpd: &Httpd, members: &[&str]) {
    for member in members {
        let flags = httpd.manager("pool").flags(member);
        assert!(!flags.iter().any(|f| f == "Err"), "{member}: {flags:?}");
    }
}

#[track_caller]
pub fn is_from(reply: &Reply, backend: &str) {
    assert_eq!((reply.status, reply.backend.as_str()), (200, backend));
}

/// An error page of the proxy, not silence.
#[track_caller]
pub fn is_error(reply: &Reply) {
    assert!((502..=504).contains(&reply.status), "{}", reply.status);
}

/// The member of this route answers a request: its failures from then on are counted anew.
#[track_caller]
pub fn is_well(httpd: &Httpd, route: &str, backend: &Backend) {
    backend.revive();
    let reply = httpd.send(&get_to(route, "/well")).expect("an answer");
    is_from(&reply, backend.name());
}
