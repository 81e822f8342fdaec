use std::io::Write;
use std::net::TcpStream as Socket;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use parking_lot::Mutex;
use rustls::HandshakeKind;
use rustls::version::{TLS12, TLS13};

use super::*;
use crate::logic::health::TlsFault;
use crate::logic::statuses::Statuses;
use crate::monitor::probe::connector::connector;
use crate::monitor::probe::test_server::*;
use crate::monitor::probe::{Kind, TlsCheck};

const FINE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";

fn check(tls: Option<TlsCheck>, expect: &str) -> Kind {
    Kind::Http(Arc::new(HttpCheck {
        tls,
        host: "app.test:8080".to_owned(),
        uri: "/healthz?deep=1".to_owned(),
        expect: Statuses::parse(expect).unwrap(),
    }))
}

async fn plain(addr: SocketAddr, timeout: Duration) -> Result<(), Reason> {
    outcome(&check(None, "200-399"), addr, timeout).await
}

async fn over_tls(addr: SocketAddr, timeout: Duration) -> Result<(), Reason> {
    let kind = check(Some(hello("app.test")), "200-399");
    outcome(&kind, addr, timeout).await
}

fn malformed(flaw: Flaw) -> Result<(), Reason> {
    Err(Reason::Malformed(flaw))
}

fn failed(fault: TlsFault) -> Result<(), Reason> {
    Err(Reason::Tls(fault))
}

/// A server that answers at once, without reading, and closes.
fn hasty(answer: &'static str) -> SocketAddr {
    serve(move |mut stream| {
        let _ = stream.write_all(answer.as_bytes());
    })
}

/// A server that answers and closes when it has the request.
fn closing(answer: &'static str) -> SocketAddr {
    dripping(vec![answer.into()], Duration::ZERO)
}

/// Waits until there is something to read, and reads none of it: closing resets then.
fn leave_unread(stream: &Socket) {
    while stream.peek(&mut [0]).unwrap() == 0 {}
}

#[tokio::test]
async fn what_is_sent() {
    let (tell, told) = channel();
    let tell = Mutex::new(tell);
    let server = serve(move |mut stream| {
        let request = String::from_utf8(read_some(&mut stream)).unwrap();
        stream.write_all(FINE.as_bytes()).unwrap();
        // Nothing of the body comes, and nobody waits for it for long.
        let reset = wait_for_end(&mut stream);
        tell.lock().send((request, reset)).unwrap();
    });
    assert_eq!(plain(server, LONG).await, Ok(()));
    let told = tokio::task::spawn_blocking(move || told.recv_timeout(LONG).unwrap());
    let (request, reset) = told.await.unwrap();
    let version = env!("CARGO_PKG_VERSION");
    let lines: Vec<&str> = request.split("\r\n").collect();
    let agent = format!("User-Agent: mod_proxy_live/{version}");
    assert_eq!(
        lines,
        [
            "GET /healthz?deep=1 HTTP/1.1",
            "Host: app.test:8080",
            agent.as_str(),
            "Accept: */*",
            "Connection: close",
            "",
            ""
        ]
    );
    assert!(reset, "closed, not reset");
}

#[tokio::test]
async fn statuses() {
    for (line, expect, wanted) in [
        ("HTTP/1.1 200 OK", "200-399", Ok(())),
        ("HTTP/1.0 204", "200-399", Ok(())),
        ("HTTP/1.1 301 Moved", "200-399", Ok(())),
        ("HTTP/1.1 301 Moved", "200", Err(Reason::Status(301))),
        (
            "HTTP/1.1 404 Not Found",
            "200-399",
            Err(Reason::Status(404)),
        ),
        ("HTTP/1.1 404 Not Found", "200,404", Ok(())),
        ("HTTP/1.1 503 Busy", "200-399", Err(Reason::Status(503))),
    ] {
        let server = answering(format!("{line}\r\nLocation: /else\r\n\r\n"));
        let result = outcome(&check(None, expect), server, LONG).await;
        assert_eq!(result, wanted, "{line} for {expect}");
    }
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: </a>\r\n\r\n";
    assert_eq!(
        plain(answering(format!("{interim}{FINE}")), LONG).await,
        Ok(())
    );
    let bytes = FINE.bytes().map(|byte| vec![byte]).collect();
    let slow = dripping(bytes, Duration::from_millis(1));
    assert_eq!(plain(slow, LONG).await, Ok(()));
}

#[tokio::test]
async fn answers_that_are_none() {
    let refused = malformed(Flaw::NotHttp);
    assert_eq!(
        plain(answering("220 mail.test ESMTP\r\n"), LONG).await,
        refused
    );
    assert_eq!(plain(answering(ALERT), LONG).await, malformed(Flaw::IsTls));
    assert_eq!(plain(closing(""), LONG).await, malformed(Flaw::Closed));
    let half = closing("HTTP/1.1 200 OK\r\nServer: x\r\n");
    assert_eq!(plain(half, LONG).await, malformed(Flaw::Closed));
    let resetting = serve(|stream| leave_unread(&stream));
    assert_eq!(plain(resetting, LONG).await, malformed(Flaw::Reset));
    let endless = serve(|mut stream| {
        read_some(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        while stream.write_all(b"X-Filler: and so on and on\r\n").is_ok() {}
    });
    assert_eq!(plain(endless, LONG).await, malformed(Flaw::TooLong));
}

#[tokio::test]
async fn silence() {
    let silent = Err(Reason::Silent(Layer::Http));
    assert_eq!(plain(answering(""), SHORT).await, silent);
    let half = answering("HTTP/1.1 200 OK\r\nServer: x\r\n");
    assert_eq!(plain(half, SHORT).await, silent);
    let interim = answering("HTTP/1.1 102 Processing\r\n\r\n");
    assert_eq!(plain(interim, SHORT).await, silent);
    let bytes = FINE.bytes().map(|byte| vec![byte]).collect();
    let slow = dripping(bytes, Duration::from_millis(50));
    assert_eq!(plain(slow, SHORT).await, silent);
}

#[tokio::test]
async fn a_clock_that_stood_still_is_no_verdict() {
    let server = answering("HTTP/1.1 200 OK\r\n");
    let stalled = stall(Duration::from_millis(600));
    let result = plain(server, Duration::from_millis(150)).await;
    assert_eq!(result, Err(Reason::Local(libc::ETIME as u16)));
    stalled.await.unwrap();
}

/// Whether the request got there before the end or not: the answer was complete.
#[tokio::test]
async fn an_answer_before_the_request_counts() {
    let busy = hasty("HTTP/1.1 503 Busy\r\n\r\n");
    for _ in 0..50 {
        assert_eq!(plain(busy, LONG).await, Err(Reason::Status(503)));
    }
    let unread = serve(|mut stream| {
        leave_unread(&stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
    });
    for _ in 0..50 {
        assert_eq!(plain(unread, LONG).await, Ok(()));
    }
}

const ALERT: [u8; 7] = [21, 3, 3, 0, 2, 2, 70];

/// A server over TLS that answers `answer` and closes without its word.
fn tls_answering(
    versions: &[&'static rustls::SupportedProtocolVersion],
    answer: &'static str,
) -> SocketAddr {
    serve_tls(server_config(versions, false), move |mut stream| {
        read_some(&mut stream);
        let _ = stream.write_all(answer.as_bytes());
        let _ = stream.flush();
    })
}

/// The certificate is another's, and nobody has signed it.
#[tokio::test]
async fn over_tls_without_a_look_at_the_certificate() {
    for versions in [&[&TLS12][..], &[&TLS13], &[&TLS12, &TLS13]] {
        assert_eq!(over_tls(tls_answering(versions, FINE), LONG).await, Ok(()));
        let bad = tls_answering(versions, "HTTP/1.1 500 Oh\r\n\r\n");
        assert_eq!(over_tls(bad, LONG).await, Err(Reason::Status(500)));
        let half = tls_answering(versions, "HTTP/1.1 200 OK\r\n");
        assert_eq!(over_tls(half, LONG).await, malformed(Flaw::Closed));
    }
}

#[tokio::test]
async fn sessions_are_resumed() {
    let (tell, told) = channel();
    let tell = Mutex::new(tell);
    let server = serve_tls(server_config(&[&TLS13], false), move |mut stream| {
        read_some(&mut stream);
        tell.lock().send(stream.conn.handshake_kind()).unwrap();
        stream.write_all(FINE.as_bytes()).unwrap();
        wait_for_end(&mut stream);
    });
    let connect = connector();
    let kind = check(Some(hello("app.test")), "200");
    for wanted in [HandshakeKind::Full, HandshakeKind::Resumed] {
        assert_eq!(connect(&kind, server, LONG).await, Ok(()));
        assert_eq!(told.recv_timeout(LONG).unwrap(), Some(wanted));
    }
}

#[tokio::test]
async fn what_is_short_of_a_body_is_read() {
    let (tell, told) = channel();
    let tell = Mutex::new(tell);
    let server = serve(move |mut stream| {
        read_some(&mut stream);
        stream.write_all(FINE.as_bytes()).unwrap();
        std::thread::sleep(Duration::from_millis(10));
        // Of a connection that was reset the second write would fail at the latest.
        let sent = stream.write_all(b"a body").and_then(|()| {
            std::thread::sleep(Duration::from_millis(10));
            stream.write_all(b"in pieces")
        });
        let first = sent.is_ok();
        // One without an end is not read to its end.
        let mut endless = 0;
        while endless < 64 << 20 && stream.write_all(&[b'x'; 4096]).is_ok() {
            endless += 4096;
        }
        tell.lock().send((first, endless < 64 << 20)).unwrap();
    });
    assert_eq!(plain(server, LONG).await, Ok(()));
    let told = tokio::task::spawn_blocking(move || told.recv_timeout(LONG).unwrap());
    assert_eq!(told.await.unwrap(), (true, true));
}

/// In TLS 1.3 the handshake is over for the client before the server says that it wants more.
#[tokio::test]
async fn a_client_certificate_is_wanted() {
    for versions in [&[&TLS12][..], &[&TLS13]] {
        let server = serve_tls(server_config(versions, true), |mut stream| {
            read_some(&mut stream);
        });
        for _ in 0..10 {
            let result = over_tls(server, LONG).await;
            assert_eq!(result, failed(TlsFault::Alert(116)));
        }
    }
}

#[tokio::test]
async fn handshakes_that_fail() {
    assert_eq!(
        over_tls(answering(ALERT), LONG).await,
        failed(TlsFault::Alert(70))
    );
    let page = answering("HTTP/1.1 400 Bad Request\r\n\r\n");
    assert_eq!(over_tls(page, LONG).await, failed(TlsFault::NotTls));
    assert_eq!(over_tls(closing(""), LONG).await, failed(TlsFault::Closed));
    let resetting = serve(|stream| leave_unread(&stream));
    assert_eq!(over_tls(resetting, LONG).await, failed(TlsFault::Reset));
    // A ServerHello of TLS 1.0.
    let mut old = vec![22, 3, 1, 0, 42, 2, 0, 0, 38, 3, 1];
    old.extend([7; 32]);
    old.extend([0, 0, 0x2f, 0]);
    assert_eq!(
        over_tls(answering(old), LONG).await,
        failed(TlsFault::Unsupported)
    );
}

#[tokio::test]
async fn silence_in_the_handshake_and_after_it() {
    let silent = Err(Reason::Silent(Layer::Tls));
    assert_eq!(over_tls(answering(""), SHORT).await, silent);
    // One that speaks TLS and does not answer; the handshake needs some time on a busy machine.
    let server = serve_tls(server_config(&[&TLS12, &TLS13], false), |mut stream| {
        wait_for_end(&mut stream);
    });
    let result = over_tls(server, Duration::from_secs(2)).await;
    assert_eq!(result, Err(Reason::Silent(Layer::Http)));
}
