//! Byte for byte: with the module a client gets what it gets without it, and a backend too.
//!
//! Two httpds stand before the same scripted backend, one with the module. Each case is asked of both.

mod answers;

use answers::{FIXED, MADE, PIECE, big_content, piece, script};
use live_kit::{
    Answer, Content, End, Heard, Httpd, Mpm, RawBackend, RawClient, World, pause, scenario_within,
};
use std::collections::BTreeSet;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(240);

/// Places: a plain worker, the only member of a balancer, and error pages of httpd's own.
fn config(live: &str) -> String {
    let worker = "http://127.0.0.2:9000";
    format!(
        "<Proxy balancer://pool>
             BalancerMember {worker}/b responsefieldsize=65536 upgrade=websocket {live}
         </Proxy>
         ProxyPass /b balancer://pool
         ProxyPass /p {worker}/p responsefieldsize=65536 upgrade=websocket {live}
         ProxyPass /small {worker}/small {live}
         ProxyPass /over {worker}/over {live}
         ProxyPassReverse / {worker}/
         ProxyPassReverseCookieDomain app.test front.test
         ErrorDocument 404 \"not here\"
         <Location /over>
             ProxyErrorOverride On
         </Location>"
    )
}

fn pair(w: &mut World, mpm: Mpm) -> [Httpd; 2] {
    let modules = |b: live_kit::Builder| b.mpm(mpm).children(2).threads(4);
    let quiet = |b: live_kit::Builder| b.expect("[proxy:error]").expect("[proxy_http:");
    let live = modules(w.httpd()).live(&config("live=on"));
    let stock = modules(w.httpd()).config(&config(""));
    [quiet(live).start(), quiet(stock).start()]
}

fn request(method: &str, path: &str, version: &str, more: &str) -> Vec<u8> {
    format!("{method} {path} HTTP/{version}\r\nHost: front.test\r\n{more}\r\n").into_bytes()
}

/// What came of one conversation: at the client, and at the backend.
type Seen = (Vec<Answer>, Vec<Heard>);

/// Has both servers do the same; they must do the same.
#[track_caller]
fn same(
    servers: &[Httpd; 2],
    backend: &RawBackend,
    what: &str,
    talk: impl Fn(&mut RawClient) -> Vec<Answer>,
) -> Seen {
    let [live, stock] = servers.each_ref().map(|httpd| {
        let answers = talk(&mut RawClient::connect(httpd.addr()));
        (answers, backend.take_heard())
    });
    assert_eq!(live, stock, "{what}: with and without the module");
    live
}

/// The case whose backend ends the connection without a word.
const UNASKED: &str = "closes-unasked";

/// One case on a connection of its own, then (if that is kept) a ping.
fn alone(client: &mut RawClient, method: &str, bytes: &[u8]) -> Vec<Answer> {
    client.send(bytes);
    let first = client.answer(method);
    if first.end != End::Whole {
        return vec![first];
    }
    if bytes
        .windows(UNASKED.len())
        .any(|w| w == UNASKED.as_bytes())
    {
        // The ping must not meet the end: httpd alone drops the client then.
        pause(0.3);
    }
    client.send(&request("GET", "/p/ping", "1.1", "Connection: close\r\n"));
    let ping = client.answer("GET");
    assert!(client.at_end(), "the server closes as asked");
    vec![first, ping]
}

fn cases() -> Vec<(&'static str, u16, End)> {
    let fixed = FIXED.iter().map(|f| (f.0, f.1, f.2));
    fixed.chain(MADE.iter().copied()).collect()
}

/// All cases each on a connection of its own; those after which the connection was kept.
fn each_alone(servers: &[Httpd; 2], backend: &RawBackend) -> Vec<&'static str> {
    let mut kept = BTreeSet::new();
    for place in ["/p", "/b"] {
        for (case, status, end) in cases() {
            let what = format!("{place}/{case}");
            let bytes = request("GET", &what, "1.1", "");
            let (answers, heard) = same(servers, backend, &what, |c| alone(c, "GET", &bytes));
            let first = &answers[0];
            assert_eq!(
                (first.status(), first.end),
                (status, end),
                "{what}: {first:?}"
            );
            if case.starts_with("big") {
                assert_eq!(first.body, big_content(), "{what}");
            }
            if case.contains("hints") && status == 200 {
                assert!(first.heads.len() > 1, "{what}: no interim answer");
            }
            assert!(heard[0].start.contains(case), "{heard:?}");
            // On a kept-alive connection httpd alone gives no answer where it gives 502 here; the module does.
            if status != 502 && answers.get(1).is_some_and(|ping| ping.end == End::Whole) {
                kept.insert(case);
            }
        }
    }
    let names = cases().into_iter().map(|c| c.0);
    names.filter(|case| kept.contains(case)).collect()
}

/// Kept-alive: all cases one after the other on one connection, in both places, then all sent at once.
fn in_a_row(servers: &[Httpd; 2], backend: &RawBackend, kept: &[&str]) {
    let paths: Vec<String> = kept
        .iter()
        // After an end that was not announced httpd alone may drop the client with the next request.
        .filter(|case| !case.starts_with("big") && **case != UNASKED)
        .flat_map(|case| [format!("/p/{case}"), format!("/b/{case}")])
        .collect();
    let get = |path: &String| request("GET", path, "1.1", "");
    let one_by_one = |client: &mut RawClient| -> Vec<Answer> {
        let ask = |path: &String| {
            client.send(&get(path));
            client.answer("GET")
        };
        paths.iter().map(ask).collect()
    };
    let (answers, _) = same(servers, backend, "one after the other", one_by_one);
    let all_at_once = |client: &mut RawClient| -> Vec<Answer> {
        client.send(&paths.iter().flat_map(get).collect::<Vec<u8>>());
        paths.iter().map(|_| client.answer("GET")).collect()
    };
    let (piped, _) = same(servers, backend, "all at once", all_at_once);
    for answers in [&answers, &piped] {
        let whole = answers.iter().filter(|a| a.end == End::Whole).count();
        assert_eq!(whole, paths.len(), "answers on one connection");
    }
}

/// Other methods, protocol versions, bodies and places.
fn others(servers: &[Httpd; 2], backend: &RawBackend) {
    let ask = |method: &str, path: &str, version: &str, more: &str, body: &[u8]| {
        let mut bytes = request(method, path, version, more);
        bytes.extend_from_slice(body);
        let what = format!("{method} {path} HTTP/{version} {more}");
        let (answers, heard) = same(servers, backend, &what, |c| alone(c, method, &bytes));
        (answers[0].clone(), heard)
    };
    for path in [
        "/p/no-body",
        "/b/no-body",
        "/p/missing",
        "/over/missing",
        "/p/hints",
    ] {
        let (head, _) = ask("HEAD", path, "1.1", "", b"");
        assert_eq!((head.end, head.body.length), (End::Whole, 0), "HEAD {path}");
    }
    for (path, status) in [
        ("/p/plain", 200),
        ("/p/chunked", 200),
        ("/b/hints", 200),
        ("/b/sick", 503),
    ] {
        for more in ["", "Connection: keep-alive\r\n"] {
            assert_eq!(ask("GET", path, "1.0", more, b"").0.status(), status);
        }
    }
    for method in ["OPTIONS", "TRACE", "DELETE", "PROPFIND"] {
        ask(method, "/p/plain", "1.1", "Max-Forwards: 3\r\n", b"");
    }
    for (path, status) in [
        ("missing", 404),
        ("crash", 500),
        ("plain", 200),
        ("hints-missing", 404),
        ("shorter", 200),
    ] {
        let (answer, _) = ask("GET", &format!("/over/{path}"), "1.1", "", b"");
        assert_eq!(answer.status(), status);
        let page = path == "missing";
        assert_eq!(
            answer.body == Content::of(b"not here"),
            page || path == "hints-missing"
        );
    }
    // A field that is larger than allowed.
    ask("GET", "/small/large-field", "1.1", "", b"");
    let body = piece();
    let length = format!("Content-Length: {PIECE}\r\n");
    let chunks = [
        format!("{PIECE:x};x\r\n").as_bytes(),
        &body,
        b"\r\n0\r\n\r\n",
    ]
    .concat();
    for place in ["/p", "/b"] {
        for case in ["plain", "early", "crash"] {
            for (more, bytes) in [
                (length.as_str(), &body),
                ("Transfer-Encoding: chunked\r\n", &chunks),
            ] {
                let (_, heard) = ask("POST", &format!("{place}/{case}"), "1.1", more, bytes);
                assert_eq!(heard[0].body, Content::of(&body), "{place}/{case} {more}");
            }
        }
    }
}

/// The client waits for the word of the backend before it sends the body.
fn expects(servers: &[Httpd; 2], backend: &RawBackend) {
    for place in ["/p", "/b"] {
        let (answers, heard) = same(servers, backend, "Expect", |client| {
            let more = "Expect: 100-continue\r\nContent-Length: 4\r\n";
            client.send(&request("POST", &format!("{place}/continue"), "1.1", more));
            let interim = client.head().expect("an interim answer");
            assert!(interim.starts_with("HTTP/1.1 100 "), "{interim}");
            client.send(b"body");
            vec![client.answer("POST")]
        });
        assert_eq!(answers[0].status(), 201);
        assert_eq!(heard[0].body, Content::of(b"body"));
        let (answers, _) = same(servers, backend, "Expect, refused", |client| {
            let more = "Expect: 100-continue\r\nContent-Length: 4\r\n";
            client.send(&request("POST", &format!("{place}/refuse"), "1.1", more));
            vec![client.answer("POST")]
        });
        assert_eq!(answers[0].status(), 403);
    }
}

/// 101, then bytes both ways until the backend or the client ends it.
fn upgrades(servers: &[Httpd; 2], backend: &RawBackend) {
    let (piece, head) = (piece(), "Connection: Upgrade\r\nUpgrade: websocket\r\n");
    for place in ["/p", "/b"] {
        for sent in [PIECE, 100] {
            same(servers, backend, "Upgrade", |client| {
                client.send(&request("GET", &format!("{place}/upgrade"), "1.1", head));
                let answer = client.answer("GET");
                assert_eq!(answer.status(), 101, "{answer:?}");
                assert_eq!(client.bytes(5), Content::of(b"first"));
                client.send(&piece[..sent]);
                assert_eq!(client.bytes(sent as u64), Content::of(&piece[..sent]));
                if sent < PIECE {
                    client.finish();
                }
                assert!(client.at_end(), "the end of one side ends the other");
                vec![answer]
            });
        }
    }
}

/// The one difference: where httpd alone closes the connection of a kept-alive client without a word, the module's
/// workers answer. The backend gets a POST once.
fn an_answer_in_any_case(servers: &[Httpd; 2], backend: &RawBackend) {
    for place in ["/p", "/b"] {
        for (method, case) in [
            ("GET", "nothing"),
            ("POST", "nothing"),
            ("GET", "hints-then-nothing"),
        ] {
            let path = format!("{place}/{case}");
            let ask = |httpd: &Httpd| {
                let mut client = RawClient::connect(httpd.addr());
                client.send(&request("GET", "/p/ping", "1.1", ""));
                assert_eq!(client.answer("GET").status(), 200);
                client.send(&request(method, &path, "1.1", "Content-Length: 0\r\n"));
                let answer = client.answer(method);
                let heard = backend.take_heard();
                (
                    answer,
                    heard.iter().filter(|h| h.start.contains(case)).count(),
                )
            };
            let [(answer, heard), (alone, _)] = servers.each_ref().map(ask);
            assert_eq!(
                (answer.status(), answer.end),
                (502, End::Whole),
                "{method} {path}"
            );
            assert_ne!(
                alone.end,
                End::Whole,
                "httpd alone has learned to answer: {alone:?}"
            );
            let most = if method == "POST" { 1 } else { 2 };
            assert!(
                (1..=most).contains(&heard),
                "{method} {path} came {heard} times"
            );
        }
    }
}

fn transparent(w: &mut World, mpm: Mpm) {
    let backend = RawBackend::start("127.0.0.2:9000", script);
    let servers = pair(w, mpm);
    let kept = each_alone(&servers, &backend);
    assert!(kept.len() >= 30, "connections kept after {kept:?}");
    in_a_row(&servers, &backend, &kept);
    others(&servers, &backend);
    expects(&servers, &backend);
    upgrades(&servers, &backend);
    an_answer_in_any_case(&servers, &backend);
}

#[test]
fn the_same_bytes_event() {
    scenario_within(LIMIT, |w: &mut World| transparent(w, Mpm::Event));
}

#[test]
fn the_same_bytes_prefork() {
    scenario_within(LIMIT, |w: &mut World| transparent(w, Mpm::Prefork));
}
