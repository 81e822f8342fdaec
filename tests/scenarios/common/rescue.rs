//! What the scenarios about rescued requests share: the balancer `balancer://pool` of A and B in clear text or
//! through TLS, steady load of GETs and POSTs, and what must hold for each of them.

// Each test file uses its own part.
#![allow(dead_code)]

use crate::common::pool::*;
use crate::common::*;
use live_kit::{
    Backend, Builder, Httpd, Load, MANAGER, Mpm, Pending, Record, Records, Request, World,
    all_at_once, checksum, eventually, pause, payload,
};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The goal is 2 s; machines under load get more.
pub const RESCUED: Duration = Duration::from_secs(6);
/// What may not be retried fails within this; it would wait for 60 s without the module.
pub const GIVEN_UP: Duration = Duration::from_secs(15);
/// Each request of the load is under way for a while, or deaths would meet none.
pub const PATH: &str = "/?delay=400";
/// Clients of [`Loads`] that send POSTs.
const POSTERS: usize = 3;
/// With so many requests of [`Loads`] under way on a backend one of them is a GET.
pub const RESCUABLE: usize = POSTERS + 1;
/// Bytes of a POST of the load.
const BODY: usize = 1000;
/// Talks TLS to backends that no one vouches for.
const TLS: &str = "SSLProxyEngine on
    SSLProxyVerify none
    SSLProxyCheckPeerName off";

/// What the proxy speaks with its backends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub fn backend(self, name: &str, ip: &str) -> Backend {
        let addr = format!("{ip}:9000");
        match self {
            Scheme::Http => Backend::start(name, &addr),
            Scheme::Https => Backend::start_tls(name, &addr),
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    /// `one.test` or `two.test` as a worker's name.
    pub fn worker(self, name: &str) -> String {
        format!("{}://{name}:9000", self.word())
    }

    /// The module that the scheme needs, and its lines at the start.
    fn dress(self, builder: Builder) -> Builder {
        match self {
            Scheme::Http => builder,
            Scheme::Https => with_tls(builder).config(TLS),
        }
    }
}

/// mod_ssl, with its warnings at the start: no session cache is configured; OpenSSL is another than at its build.
pub fn with_tls(builder: Builder) -> Builder {
    builder.module("ssl").expect("AH01873:").expect("AH01882:")
}

/// The balancer of `one.test` (route `a`) and `two.test` (route `b`), sticky by the cookie `ROUTE`; `parameters`
/// stand on both lines. With balancer-manager.
pub fn rescue_pool(scheme: Scheme, parameters: &str) -> String {
    let (one, two) = (scheme.worker("one.test"), scheme.worker("two.test"));
    format!(
        "{MANAGER}
        <Proxy balancer://pool>
             BalancerMember {one} live=on route=a {parameters}
             BalancerMember {two} live=on route=b {parameters}
             ProxySet stickysession=ROUTE
        </Proxy>
        ProxyPass / balancer://pool/"
    )
}

/// A httpd whose backends are in trouble, with room for all clients of [`Loads`] and a few more, all of them in one
/// child: the event MPM closes kept-alive connections of a child that is full, also under a request.
pub fn server(w: &mut World, mpm: Mpm, scheme: Scheme) -> Builder {
    let builder = match mpm {
        Mpm::Prefork => w.httpd().children(14),
        _ => w.httpd().threads(24),
    };
    let builder = troubled(builder.mpm(mpm)).expect("[proxy_http:warn]");
    scheme.dress(builder)
}

/// A and B, their names, and a httpd with [`rescue_pool`] that knows and has probed both.
pub fn start_pair(
    w: &mut World,
    mpm: Mpm,
    scheme: Scheme,
    parameters: &str,
) -> (Backend, Backend, Httpd) {
    let (a, b) = (scheme.backend("A", IP_A), scheme.backend("B", IP_B));
    set_members(w);
    let builder = server(w, mpm, scheme).live(&rescue_pool(scheme, parameters));
    let httpd = start_pool(builder, &[&a, &b]);
    (a, b, httpd)
}

/// A request bound to a member by its cookie.
pub fn bound(request: Request, route: &str) -> Request {
    request.header("Cookie", &format!("ROUTE=x.{route}"))
}

/// Steady load: GETs on kept-alive and on fresh connections, and POSTs.
pub struct Loads {
    kept: Load,
    fresh: Load,
    posts: Load,
}

impl Loads {
    pub fn start(httpd: &Httpd) -> Loads {
        Loads::of(httpd, PATH, Duration::from_millis(10))
    }

    /// Of this path, with a pause of each client between its requests.
    pub fn of(httpd: &Httpd, path: &str, pause: Duration) -> Loads {
        let timeout = Duration::from_secs(60);
        let load = || httpd.load().path(path).pause(pause).timeout(timeout);
        Loads {
            kept: load().clients(5).start(),
            fresh: load().clients(3).per_connection(1).start(),
            posts: load().clients(POSTERS).post(BODY).start(),
        }
    }

    pub fn stop(self) -> Outcome {
        let mut gets = self.kept.stop();
        gets.0.extend(self.fresh.stop().0);
        Outcome {
            gets,
            posts: self.posts.stop(),
        }
    }
}

/// What the clients of [`Loads`] met.
pub struct Outcome {
    pub gets: Records,
    pub posts: Records,
}

impl Outcome {
    /// No GET failed or took long; each POST has an answer, soon; nothing was executed too often or with another
    /// body than its client sent.
    #[track_caller]
    pub fn judge(&self, backends: &[&Backend]) {
        self.judge_within(RESCUED, GIVEN_UP, backends);
    }

    #[track_caller]
    pub fn judge_within(&self, gets: Duration, posts: Duration, backends: &[&Backend]) {
        self.gets.assert_clean(gets);
        assert_answered(&self.posts);
        let slowest = self.posts.slowest();
        assert!(slowest < posts, "a POST took {slowest:?}");
        assert_executions(backends);
    }

    /// Requests that more than one backend (or one of them twice) got, for the output.
    pub fn figure(&self, what: &str, backends: &[&Backend]) {
        println!(
            "figure: {what}: {} GETs, {} failed, slowest {:?}, {} rescued; {} POSTs, {} failed, slowest {:?}",
            self.gets.len(),
            self.gets.failed().len(),
            self.gets.slowest(),
            twice(backends).len(),
            self.posts.len(),
            self.posts.failed().len(),
            self.posts.slowest(),
        );
    }
}

/// Every request has a whole answer: of a backend, or httpd's word that there is none.
#[track_caller]
pub fn assert_answered(records: &Records) {
    let bad = |r: &&Record| r.failure.is_some() || !matches!(r.status, 200 | 502 | 503 | 504);
    let found: Vec<_> = records.0.iter().filter(bad).collect();
    assert!(
        found.is_empty(),
        "{} of {} requests; the first: {:?}",
        found.len(),
        records.len(),
        found[0]
    );
}

/// How often each request (method and id) was executed, all backends together.
pub fn executions(backends: &[&Backend]) -> BTreeMap<(String, u64), usize> {
    let mut found = BTreeMap::new();
    for seen in backends.iter().flat_map(|b| b.seen()) {
        *found.entry((seen.method, seen.id)).or_insert(0) += 1;
    }
    found
}

/// The ids of requests that were executed more than once.
pub fn twice(backends: &[&Backend]) -> BTreeSet<u64> {
    let all = executions(backends);
    let more = all.into_iter().filter(|(_, n)| *n > 1);
    more.map(|((_, id), _)| id).collect()
}

/// A POST is executed once at most, everything else at most twice; bodies of POSTs of the load arrive whole.
#[track_caller]
pub fn assert_executions(backends: &[&Backend]) {
    for ((method, id), times) in executions(backends) {
        let most = if method == "POST" { 1 } else { 2 };
        assert!(times <= most, "{method} {id} was executed {times} times");
    }
    // A load's request has bytes of its own, one that is sent by itself those of 0.
    for seen in backends.iter().flat_map(|b| b.seen()) {
        let is = |seed| (seen.length, seen.sum) == (BODY, checksum(&payload(seed, BODY)));
        let whole = seen.method != "POST" || is(seen.id) || is(0);
        assert!(whole, "a body that no client sent: {seen:?}");
    }
}

/// Waits until so many requests are under way on this backend.
#[track_caller]
pub fn wait_busy(backend: &Backend, n: usize) {
    eventually(PATIENCE, || backend.busy() >= n);
}

/// One request in a thread of its own, which waits long.
pub fn in_background(httpd: &Httpd, request: &Request) -> Pending {
    let mut pending = all_at_once(httpd.addr(), request, 1, Duration::from_secs(150));
    pending.remove(0)
}

/// The status and the backend of its answer.
#[track_caller]
pub fn outcome(pending: Pending) -> (u16, String) {
    match pending.join().expect("a client thread") {
        Ok(reply) => (reply.status, reply.backend),
        Err(failure) => panic!("no answer: {failure:?}"),
    }
}

/// Neither member is in error, now and for a while.
#[track_caller]
pub fn assert_no_errors(httpd: &Httpd, scheme: Scheme) {
    for _ in 0..5 {
        for name in ["one.test", "two.test"] {
            let flags = httpd.manager("pool").flags(&scheme.worker(name));
            assert_eq!(flags, ["Init", "Ok"], "{name}");
        }
        pause(0.1);
    }
}
