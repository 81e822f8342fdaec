//! `liverescue`, and what the access log tells of each request: `LIVE_ADDR`, `LIVE_ATTEMPTS`, `LIVE_RESCUE`.

use crate::common::noted::*;
use crate::common::pool::*;
use crate::common::*;
use live_kit::{
    Backend, Builder, Death, Failure, FcgiBackend, Httpd, MANAGER, Mode, Mpm, Request, World,
    answers, eventually, pause, scenario,
};
use std::time::{Duration, Instant};

const AT_A: &str = "127.0.0.2:9000";
const AT_B: &str = "127.0.0.3:9000";

/// Wrong values, and what the message must contain.
const WRONG: &[(&str, &[&str])] = &[
    ("liverescue=", &["liverescue must be", "read ''"]),
    ("liverescue=maybe", &["liverescue must be", "read 'maybe'"]),
    ("liverescue=1", &["liverescue must be", "read '1'"]),
    ("liverescue=-1", &["liverescue must be", "read '-1'"]),
];

#[test]
fn wrong_values() {
    scenario(|w: &mut World| {
        for (parameter, message) in WRONG {
            let text = format!("{FOLLOW} {parameter}");
            let (ok, said) = w.httpd().live(&text).check();
            assert!(!ok, "{parameter} was accepted");
            for part in *message {
                assert!(said.contains(part), "{parameter}: no {part:?} in {said}");
            }
        }
        for value in ["on", "off", "On", "OFF"] {
            let text = format!("{FOLLOW} liverescue={value}");
            let (ok, said) = w.httpd().live(&text).check();
            assert!(ok, "{value}: {said}");
        }
    });
}

/// Requests that meet no trouble, through each kind of worker.
#[test]
fn ordinary_requests() {
    scenario(|w: &mut World| {
        let _a = backend("A", IP_A);
        let _fcgi = FcgiBackend::start("F", "127.0.0.2:9001");
        w.add_address("fd00::2");
        let _six = backend("S", "fd00::2");
        set_app(w, &[IP_A]);
        w.dns.set("six.test", answers(&["fd00::2"], 600));
        let text = format!(
            "{NOTED}
            Header set X-Addr %{{LIVE_ADDR}}e
            ProxyPass /stock/ http://127.0.0.2:9000/
            ProxyPass /fcgi/ fcgi://app.test:9001/ live=on
            ProxyPass /six/ http://six.test:9000/ live=on
            ProxyPass / http://app.test:9000/ live=on"
        );
        let httpd = start_following(w.httpd().module("proxy_fcgi").live(&text));
        wait_known(&httpd, "six.test");
        let mut client = httpd.client();
        let mut ask = |request: Request| {
            let reply = client.send(&request).expect("an answer");
            assert_eq!(reply.status, 200, "{}", request.path);
            let line = noted(&httpd, &request.path);
            let seen = reply.header("x-addr").unwrap_or_default().to_owned();
            // mod_headers writes so what is not there
            assert_eq!(seen.replace("(null)", ""), line.addr, "{}", request.path);
            line
        };
        for n in 0..3 {
            let line = ask(Request::get(&format!("/get?n={n}")));
            assert_eq!(line.facts(), (AT_A, 1, ""));
        }
        assert_eq!(ask(Request::post("/post", 2000)).facts(), (AT_A, 1, ""));
        let line = ask(Request::get("/six/x"));
        assert_eq!(line.facts(), ("[fd00::2]:9000", 1, ""));
        let line = ask(Request::get("/fcgi/x"));
        assert_eq!((line.addr.as_str(), line.rescue.as_str()), ("", ""));
        assert_eq!(ask(Request::get("/stock/x")).facts(), ("", 0, ""));
    });
}

/// Nothing could be connected: no address; with a second member, httpd's own next attempt, which is no rescue.
#[test]
fn refused_connects() {
    scenario(|w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        let pool = sticky_pool("liveprobe=off", "liveprobe=off", "");
        let text = format!("ProxyPass /one/ {ONE}/ live=on liveprobe=off\n{pool}");
        let httpd = start_pool(troubled(w.httpd().live(&text)), &[]);
        a.mode(Mode::Refuse);
        let failed = httpd.get("/one/x");
        assert_eq!(failed.status, 503);
        assert_eq!(noted(&httpd, "/one/x").addr, "");
        let reply = httpd.send(&to("one", Request::post("/x", 100)));
        assert_eq!(reply.expect("an answer").backend, "B");
        assert_eq!(noted(&httpd, "/x").facts(), (AT_B, 2, ""));
        assert_eq!(b.seen()[0].length, 100);
    });
}

/// The pool, each member with a connection for each request, so that the first failure is not taken for a kept-alive
/// connection that was closed.
fn fresh_pool(w: &mut World, mpm: Mpm, one: &str, two: &str) -> Builder {
    set_members(w);
    let text = format!("{FRESH}\n{}", sticky_pool(one, two, ""));
    half_headers(troubled(w.httpd().mpm(mpm).live(&text)))
}

/// mod_proxy_http warns of headers that break off.
fn half_headers(builder: Builder) -> Builder {
    builder.expect("AH10404:").expect("AH01106:")
}

/// One GET that fails at A and is answered by B; then a POST that fails at A and is told so.
fn rescued(httpd: &Httpd, a: &Backend, b: &Backend, reason: &str) {
    let start = Instant::now();
    let request = get_to("one", "/get");
    let mut client = httpd.client();
    let reply = client.send(&request).expect("an answer");
    assert_eq!((reply.status, reply.backend.as_str()), (200, "B"));
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    assert_eq!(noted(httpd, "/get").facts(), (AT_B, 2, reason));
    let reply = client.send(&to("one", Request::post("/post", 100)));
    let status = reply.expect("an answer to the POST").status;
    assert!((502..=504).contains(&status), "{status}");
    let line = noted(httpd, "/post");
    assert_eq!((line.attempts, line.rescue.as_str()), (1, ""));
    assert!(receivers(&[b], "/post").is_empty());
    assert!(receivers(&[a], "/post").len() <= 1);
}

fn reset_and_timeout(w: &mut World, mpm: Mpm) {
    let (a, b) = backends();
    let httpd = start_pool(fresh_pool(w, mpm, "timeout=2", ""), &[&a, &b]);
    a.mode(Mode::ResetRequest);
    rescued(&httpd, &a, &b, "reset");
    assert_eq!(noted(&httpd, "/post").addr, AT_A);
    let start = Instant::now();
    a.mode(Mode::Hang);
    let reply = httpd.send(&get_to("one", "/hang")).expect("an answer");
    assert_eq!((reply.status, reply.backend.as_str()), (200, "B"));
    assert!(start.elapsed() > Duration::from_millis(1900));
    assert_eq!(noted(&httpd, "/hang").facts(), (AT_B, 2, "timeout"));
    let reply = httpd.send(&to("one", Request::post("/late", 100)));
    let status = reply.expect("an answer to the POST").status;
    assert!((502..=504).contains(&status), "{status}");
    assert_eq!(noted(&httpd, "/late").facts(), (AT_A, 1, ""));
    assert!(receivers(&[&b], "/late").is_empty());
}

#[test]
fn reset_and_timeout_event() {
    scenario(|w: &mut World| reset_and_timeout(w, Mpm::Event));
}

#[test]
fn reset_and_timeout_prefork() {
    scenario(|w: &mut World| reset_and_timeout(w, Mpm::Prefork));
}

/// Ways in which one connection ends before the answer, and what is said of them.
const ENDS: [(Mode, &str); 4] = [
    (Mode::Die(Death::Reset), "reset"),
    (Mode::Die(Death::Close), "closed"),
    (Mode::Die(Death::Header), "reset"),
    (Mode::Die(Death::HeaderClose), "closed"),
];

/// A member that does so with each request: a GET goes on to the other one, a POST does not.
fn each_end(httpd: &Httpd, a: &Backend, b: &Backend) {
    let mut client = httpd.client();
    for (n, (mode, reason)) in ENDS.into_iter().enumerate() {
        a.mode(mode);
        let path = format!("/get?n={n}");
        let reply = client.send(&get_to("one", &path)).expect("an answer");
        assert_eq!(
            (reply.status, reply.backend.as_str()),
            (200, "B"),
            "{mode:?}"
        );
        assert_eq!(noted(httpd, &path).facts(), (AT_B, 2, reason), "{mode:?}");
        let path = format!("/post?n={n}");
        let reply = client.send(&to("one", Request::post(&path, 100)));
        let status = reply.expect("an answer to the POST").status;
        assert_eq!(status, 502, "{mode:?}");
        assert_eq!(noted(httpd, &path).facts(), (AT_A, 1, ""), "{mode:?}");
        assert!(receivers(&[b], &path).is_empty());
        is_well(httpd, "one", a);
    }
    a.mode(Mode::Die(Death::Body));
    let cut = client.send(&get_to("one", "/cut?bytes=50000"));
    assert_eq!(cut.expect_err("half of an answer"), Failure::Cut);
    assert_eq!(noted(httpd, "/cut?bytes=50000").facts(), (AT_A, 1, ""));
    assert!(receivers(&[b], "/cut?bytes=50000").is_empty());
}

#[test]
fn each_end_event() {
    scenario(|w: &mut World| {
        let (a, b) = backends();
        let httpd = start_pool(fresh_pool(w, Mpm::Event, "", ""), &[&a, &b]);
        each_end(&httpd, &a, &b);
    });
}

#[test]
fn each_end_prefork() {
    scenario(|w: &mut World| {
        let (a, b) = backends();
        let httpd = start_pool(fresh_pool(w, Mpm::Prefork, "", ""), &[&a, &b]);
        each_end(&httpd, &a, &b);
    });
}

/// A pooled connection that its backend closes under the next request: that is nobody's fault, and the session stays.
#[test]
fn keep_alive_race() {
    scenario(|w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        let text = format!("{MANAGER}\n{}", sticky_pool("", "", ""));
        let httpd = start_pool(troubled(w.httpd().live(&text)), &[&a, &b]);
        a.mode(Mode::CloseReused);
        let mut client = httpd.client();
        let mut again = 0;
        for n in 0..10 {
            let path = format!("/get?n={n}");
            let reply = client.send(&get_to("one", &path)).expect("an answer");
            is_from(&reply, "A");
            let line = noted(&httpd, &path);
            match line.facts() {
                (AT_A, 1, "") => {}
                (AT_A, 2, "closed" | "reset") => again += 1,
                other => panic!("{other:?}"),
            }
            no_errors(&httpd, &[ONE, TWO]);
        }
        assert!(again > 0, "no connection was used twice");
        assert_eq!((a.requests(), b.requests()), (10, 0));
    });
}

/// The machine is gone, with a request waiting for it.
fn dead(w: &mut World, mpm: Mpm, parameters: &str) {
    let (a, b) = backends();
    let httpd = start_pool(fresh_pool(w, mpm, parameters, parameters), &[]);
    a.mode(Mode::Hang);
    let mut pending = send_all(&httpd, &get_to("one", "/get"), 1);
    let post = to("one", Request::post("/post", 100));
    pending.extend(send_all(&httpd, &post, 1));
    wait_requests(&a, 2);
    w.vanish(IP_A);
    let start = Instant::now();
    let replies = answers_of(pending);
    let took = start.elapsed();
    assert!(took < SOON, "{took:?}");
    assert_eq!((replies[0].status, replies[0].backend.as_str()), (200, "B"));
    assert!(
        (502..=504).contains(&replies[1].status),
        "{}",
        replies[1].status
    );
    assert_eq!(noted(&httpd, "/get").facts(), (AT_B, 2, "dead"));
    assert_eq!(noted(&httpd, "/post").facts(), (AT_A, 1, ""));
    assert_eq!(b.requests(), 1);
    println!("figure: both ended and answered {took:?} after the machine vanished");
}

#[test]
fn dead_event() {
    scenario(|w: &mut World| dead(w, Mpm::Event, ""));
}

#[test]
fn dead_prefork() {
    scenario(|w: &mut World| dead(w, Mpm::Prefork, ""));
}

/// The kernel alone finds out.
#[test]
fn dead_without_probes() {
    scenario(|w: &mut World| dead(w, Mpm::Event, "liveprobe=off"));
}

/// A pool of https members without verification.
fn tls_pool(w: &mut World, one: &str, two: &str) -> Builder {
    set_members(w);
    let pool = sticky_pool("", "", "").replace(ONE, one).replace(TWO, two);
    let proxy = "SSLProxyEngine on\nSSLProxyVerify none\nSSLProxyCheckPeerName off";
    let text = format!("{FRESH}\n{proxy}\n{pool}");
    let builder = half_headers(troubled(w.httpd().module("ssl").live(&text)));
    builder
        .expect("AH01873:")
        .expect("AH01882:")
        .expect("[ssl:")
}

/// The same ends through TLS, and handshakes that fail.
#[test]
fn each_end_tls() {
    scenario(|w: &mut World| {
        let a = Backend::start_tls("A", AT_A);
        let b = Backend::start_tls("B", AT_B);
        let builder = tls_pool(w, "https://one.test:9000", "https://two.test:9000");
        let httpd = start_pool(builder, &[&a, &b]);
        each_end(&httpd, &a, &b);
        a.mode(Mode::BadTls);
        handshakes_fail(&httpd);
        a.revive();
        eventually(PATIENCE, || {
            let reply = httpd.send(&get_to("one", "/")).expect("an answer");
            reply.backend == "A"
        });
        a.mode(Mode::Hang);
        let before = a.requests();
        let pending = send_all(&httpd, &get_to("one", "/dead"), 1);
        wait_requests(&a, before + 1);
        w.vanish(IP_A);
        let replies = answers_of(pending);
        assert_eq!((replies[0].status, replies[0].backend.as_str()), (200, "B"));
        assert_eq!(noted(&httpd, "/dead").facts(), (AT_B, 2, "dead"));
    });
}

/// A kept-alive client whose member cannot shake hands; that is as good as a failed connect, and keeps it in error.
fn handshakes_fail(httpd: &Httpd) {
    let mut client = kept_alive(httpd, &get_to("two", "/"));
    for n in 0..3 {
        let path = format!("/tls?n={n}");
        let reply = client.send(&get_to("one", &path)).expect("an answer");
        is_from(&reply, "B");
        match noted(httpd, &path).facts() {
            (AT_B, 2, "tls") => {}
            (AT_B, 1, "") if n > 0 => {}
            other => panic!("{other:?}"),
        }
    }
}

/// A member that resets each connection as soon as it is open: httpd sees that when it connects, or later.
fn reset_at_once(builder: Builder, reason: &str) {
    let (a, b) = backends();
    let httpd = start_pool(builder, &[&a, &b]);
    a.mode(Mode::Reset);
    let mut client = kept_alive(&httpd, &get_to("two", "/"));
    let mut second = 0;
    for n in 0..12 {
        let path = format!("/get?n={n}");
        let reply = client.send(&get_to("one", &path)).expect("an answer");
        assert_eq!((reply.status, reply.backend.as_str()), (200, "B"));
        let line = noted(&httpd, &path);
        assert_eq!(line.addr, AT_B);
        assert!(["", reason].contains(&line.rescue.as_str()), "{line:?}");
        second += usize::from(line.attempts == 2);
        // a failed connect puts it into error until probes have found it well
        pause(0.4);
    }
    assert!(second > 0, "no second attempt");
}

#[test]
fn reset_at_once_http() {
    scenario(|w: &mut World| reset_at_once(fresh_pool(w, Mpm::Event, "", ""), "reset"));
}

/// At the beginning of TLS; the next member speaks plain HTTP.
#[test]
fn reset_at_once_https() {
    scenario(|w: &mut World| {
        // No TLS is spoken there: a TLS probe would find that out before any request.
        let builder = tls_pool(w, "https://one.test:9000 liveprobe=tcp", TWO);
        reset_at_once(builder, "tls");
    });
}

/// With `off` a member's requests are httpd's own business: nothing is ended, nothing is tried again, and its own
/// fault stays its own.
#[test]
fn off() {
    scenario(|w: &mut World| {
        let (a, b) = backends();
        let builder = fresh_pool(w, Mpm::Event, "liverescue=off timeout=8", "");
        let httpd = start_pool(builder, &[&a, &b]);
        a.mode(Mode::ResetRequest);
        let reply = httpd.send(&get_to("one", "/reset")).expect("an answer");
        assert_eq!(reply.status, 502);
        assert_eq!(noted(&httpd, "/reset").rescue, "");
        a.mode(Mode::Hang);
        let start = Instant::now();
        let pending = send_all(&httpd, &get_to("one", "/dead"), 1);
        wait_requests(&a, 2);
        w.vanish(IP_A);
        let answer = pending.into_iter().next().expect("one").join();
        let failed = answer.expect("a thread").map_or(true, |r| r.status >= 500);
        assert!(failed, "answered although its backend is gone");
        let took = start.elapsed();
        assert!(took > Duration::from_millis(7500), "{took:?}");
        assert_eq!(b.requests(), 0);
        // the other member has its rescue
        w.appear_all();
        a.revive();
        wait_up(&httpd, ONE);
        b.mode(Mode::ResetRequest);
        let reply = httpd.send(&get_to("two", "/x")).expect("an answer");
        assert_eq!((reply.status, reply.backend.as_str()), (200, "A"));
        assert_eq!(noted(&httpd, "/x").facts(), (AT_A, 2, "reset"));
    });
}
