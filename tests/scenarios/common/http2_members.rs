//! What the scenarios about members that speak HTTP/2 share: the balancer `balancer://pool` of A and B, and what
//! must hold for each request.

use crate::common::pool::*;
use crate::common::*;
use live_kit::{
    Builder, H2Backend, Httpd, Record, Records, Reply, Request, World, checksum, payload,
};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

/// The goal is 2 s; machines under load get more.
pub const RESCUED: Duration = Duration::from_secs(6);
/// What may not be repeated fails within this.
pub const GIVEN_UP: Duration = Duration::from_secs(15);
/// httpd's own words when a request fails.
pub const WORDS: &str = "our own words";
/// Bytes of a POST of the loads.
pub const BODY: usize = 2000;

/// The balancer of both members (routes `a` and `b`), sticky by the cookie `ROUTE`; `parameters` stand on both
/// lines. Each answer tells the attempts, and why there were two.
pub fn members(scheme: &str, parameters: &str) -> String {
    let errors = [502, 503, 504].map(|n| format!("ErrorDocument {n} \"{WORDS}\""));
    format!(
        "<Proxy balancer://pool>
             BalancerMember {scheme}://one.test:9000 live=on route=a {parameters}
             BalancerMember {scheme}://two.test:9000 live=on route=b {parameters}
             ProxySet stickysession=ROUTE
         </Proxy>
         {}
         Header always set X-Env \"%{{LIVE_ATTEMPTS}}e %{{LIVE_RESCUE}}e\"
         Header always append X-Answer once
         ProxyPass / balancer://pool/",
        errors.join("\n")
    )
}

/// A httpd with room for all clients in one child.
pub fn server(w: &mut World) -> Builder {
    troubled(w.httpd().threads(24))
        .module("proxy_http2")
        .expect("[proxy_http2:")
}

pub fn pair() -> (H2Backend, H2Backend) {
    let start = |name, ip| H2Backend::start(name, &format!("{ip}:9000"));
    (start("A", IP_A), start("B", IP_B))
}

/// A and B, and a httpd that knows both names.
pub fn start_members(w: &mut World, parameters: &str) -> (H2Backend, H2Backend, Httpd) {
    let (a, b) = pair();
    set_members(w);
    let builder = server(w).live(&members("h2c", parameters));
    (a, b, start_pool(builder, &[]))
}

/// Bound to a member by its cookie.
pub fn bound(request: Request, route: &str) -> Request {
    request.header("Cookie", &format!("ROUTE=x.{route}"))
}

/// Sends a request bound to A. Its status, the backend that has answered, and what the environment says.
#[track_caller]
pub fn to_a(httpd: &Httpd, request: Request) -> (u16, String, String) {
    let reply = httpd.send(&bound(request, "a")).expect("an answer");
    assert_one_answer(&reply);
    let said = reply.header("x-env").unwrap_or_default().to_owned();
    (reply.status, reply.backend, said)
}

/// A backend's answer or httpd's own error, not both.
#[track_caller]
pub fn assert_one_answer(reply: &Reply) {
    assert_eq!(reply.header("x-answer"), Some("once"), "{reply:?}");
    if reply.status >= 500 && !reply.body.is_empty() {
        assert_eq!(reply.text(), WORDS);
        assert_eq!(reply.header("set-cookie"), None, "of a backend");
    }
}

/// What was executed since the last call: how often which method, by which backend.
pub fn executed(backends: [&H2Backend; 2]) -> Vec<(String, usize)> {
    let count = |b: &H2Backend| {
        let methods: Vec<_> = b.seen().into_iter().map(|s| s.method).collect();
        b.forget();
        methods
    };
    let [a, b] = backends.map(count);
    let mut found = BTreeMap::new();
    for (name, methods) in [("A", a), ("B", b)] {
        for method in methods {
            *found.entry(format!("{name} {method}")).or_insert(0) += 1;
        }
    }
    found.into_iter().collect()
}

/// No request was executed too often, or with another body than its client sent.
#[track_caller]
pub fn assert_executions(backends: [&H2Backend; 2], records: &[&Records]) {
    let mut times: BTreeMap<(String, u64), usize> = BTreeMap::new();
    for seen in backends.iter().flat_map(|b| b.seen()) {
        *times.entry((seen.method.clone(), seen.id)).or_default() += 1;
        let sent = records.iter().flat_map(|r| &r.0).find(|r| r.id == seen.id);
        let same = |r: &Record| (r.length, r.sum) == (seen.length, seen.sum);
        assert!(
            sent.is_none_or(same),
            "a body that no client sent: {seen:?}"
        );
    }
    for ((method, id), n) in times {
        let most = if method == "POST" { 1 } else { 2 };
        assert!(n <= most, "{method} {id} was executed {n} times");
    }
}

/// Each request has one whole answer, within [`GIVEN_UP`].
#[track_caller]
pub fn assert_answered(records: &Records) {
    let bad = |r: &&Record| {
        r.failure.is_some() || !matches!(r.status, 200 | 502 | 503 | 504) || r.took > GIVEN_UP
    };
    let first = records.0.iter().find(bad);
    assert!(first.is_none(), "of {} requests: {first:?}", records.len());
}

/// The body of an upload of the kit as a backend has to see it.
pub fn whole(length: usize) -> (usize, u64) {
    (length, checksum(&payload(0, length)))
}

/// The answer to a GET that is bound to A, up to the end of the connection.
pub fn raw(httpd: &Httpd, path: &str) -> String {
    let mut stream = TcpStream::connect(httpd.addr()).expect("connected");
    let limit = stream.set_read_timeout(Some(GIVEN_UP));
    limit.expect("a limit");
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: x\r\nCookie: ROUTE=x.a\r\n\r\n"
    )
    .expect("sent");
    let mut answer = Vec::new();
    let end = stream.read_to_end(&mut answer);
    end.expect("the connection is closed");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Answers the first request on this port with GOAWAY, and has a good server there from then on.
pub fn refuse_stream(listener: TcpListener) -> (H2Backend, TcpStream) {
    const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    const GOAWAY: &[u8] = &[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let (mut stream, _) = listener.accept().expect("a connection");
    stream.write_all(SETTINGS).expect("sent");
    stream.read_exact(&mut [0; 24]).expect("the preface");
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).expect("a frame");
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        stream
            .read_exact(&mut vec![0; length as usize])
            .expect("a frame");
        if head[3] == 1 {
            break;
        }
    }
    drop(listener);
    let next = H2Backend::start("A", &format!("{IP_A}:9000"));
    stream.write_all(GOAWAY).expect("sent");
    (next, stream)
}
