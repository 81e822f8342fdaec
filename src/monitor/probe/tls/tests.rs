use std::io::Write;
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use rustls::server::Acceptor;
use rustls::version::{TLS12, TLS13};

use super::*;
use crate::monitor::probe::Kind;
use crate::monitor::probe::test_server::*;

/// The beginning of a ServerHello.
const HELLO: [u8; 11] = [22, 3, 3, 0, 122, 2, 0, 0, 118, 3, 3];
const ALERT: [u8; 7] = [21, 3, 3, 0, 2, 2, 40];

async fn greeted(addr: SocketAddr, timeout: Duration) -> Result<(), Reason> {
    let kind = Kind::Tls(Arc::new(hello("app.test")));
    outcome(&kind, addr, timeout).await
}

#[tokio::test]
async fn a_server_hello_or_an_alert_is_an_answer() {
    for versions in [&[&TLS12][..], &[&TLS13]] {
        let server = serve_tls(server_config(versions, true), |mut stream| {
            wait_for_end(&mut stream);
        });
        assert_eq!(greeted(server, LONG).await, Ok(()));
    }
    for answer in [&HELLO[..], &ALERT] {
        assert_eq!(greeted(answering(answer), LONG).await, Ok(()));
    }
}

#[tokio::test]
async fn an_answer_may_come_in_pieces() {
    for answer in [&HELLO[..], &ALERT] {
        let bytes = answer.iter().map(|byte| vec![*byte]).collect();
        let server = dripping(bytes, Duration::from_millis(2));
        assert_eq!(greeted(server, LONG).await, Ok(()));
    }
}

#[tokio::test]
async fn other_protocols() {
    let not_tls = Err(Reason::Tls(TlsFault::NotTls));
    let page = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n";
    assert_eq!(greeted(answering(page), LONG).await, not_tls);
    // It speaks first, and closes without reading.
    let banner = serve(|mut stream| stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").unwrap());
    for _ in 0..20 {
        assert_eq!(greeted(banner, LONG).await, not_tls);
    }
}

#[tokio::test]
async fn a_connection_that_ends() {
    let closing = serve(|mut stream| drop(read_some(&mut stream)));
    let closed = Err(Reason::Tls(TlsFault::Closed));
    assert_eq!(greeted(closing, LONG).await, closed);
    let half = dripping(vec![HELLO[..5].to_vec()], Duration::ZERO);
    assert_eq!(greeted(half, LONG).await, closed);
    // What lies unread makes it a reset.
    let resetting = serve(|stream| while stream.peek(&mut [0]).unwrap() == 0 {});
    let reset = Err(Reason::Tls(TlsFault::Reset));
    assert_eq!(greeted(resetting, LONG).await, reset);
}

#[tokio::test]
async fn silence() {
    let silent = Err(Reason::Silent(Layer::Tls));
    assert_eq!(greeted(answering(""), SHORT).await, silent);
    let half = HELLO.iter().map(|byte| vec![*byte]).collect();
    let slow = dripping(half, Duration::from_millis(100));
    assert_eq!(greeted(slow, SHORT).await, silent);
}

/// It comes in time, but nobody looks until long after it.
#[tokio::test]
async fn a_late_look_finds_the_answer() {
    let server = serve(|mut stream| {
        read_some(&mut stream);
        thread::sleep(Duration::from_millis(500));
        stream.write_all(&HELLO).unwrap();
        wait_for_end(&mut stream);
    });
    let stalled = stall(Duration::from_secs(1));
    let result = greeted(server, Duration::from_millis(300)).await;
    assert_eq!(result, Ok(()));
    stalled.await.unwrap();
}

#[tokio::test]
async fn a_clock_that_stood_still_is_no_verdict() {
    let server = answering("");
    let stalled = stall(Duration::from_millis(600));
    let result = greeted(server, Duration::from_millis(150)).await;
    assert_eq!(result, Err(Reason::Local(libc::ETIME as u16)));
    stalled.await.unwrap();
}

#[tokio::test]
async fn a_probe_ends_with_a_reset() {
    let (tell, told) = channel();
    let tell = Mutex::new(tell);
    let server = serve(move |mut stream| {
        read_some(&mut stream);
        stream.write_all(&ALERT).unwrap();
        // The probe may have ended before that.
        let _ = stream.shutdown(Shutdown::Write);
        tell.lock().send(wait_for_end(&mut stream)).unwrap();
    });
    assert_eq!(greeted(server, LONG).await, Ok(()));
    assert!(told.recv_timeout(LONG).unwrap(), "closed, not reset");
}

/// What a server reads in the first message of a probe with `name`: the name, and how long the message is.
async fn said(name: Option<&str>) -> (Option<String>, usize) {
    let (tell, told) = channel();
    let tell = Mutex::new(tell);
    let server = serve(move |mut stream| {
        let bytes = read_some(&mut stream);
        let mut acceptor = Acceptor::default();
        acceptor.read_tls(&mut &bytes[..]).unwrap();
        let accepted = acceptor.accept().unwrap().unwrap();
        let hello = accepted.client_hello();
        assert!(hello.alpn().is_none());
        let name = hello.server_name().map(str::to_owned);
        tell.lock().send((name, bytes.len())).unwrap();
        stream.write_all(&ALERT).unwrap();
        wait_for_end(&mut stream);
    });
    let name = name.map(str::to_owned);
    let kind = Kind::Tls(Arc::new(TlsCheck { name }));
    assert_eq!(outcome(&kind, server, LONG).await, Ok(()));
    told.recv_timeout(LONG).unwrap()
}

#[tokio::test]
async fn the_name_is_sent_if_it_is_one() {
    for (name, wanted) in [
        (Some("app.test"), Some("app.test")),
        (Some("app.test."), Some("app.test")),
        (Some("under_score.test"), Some("under_score.test")),
        (Some("192.0.2.1"), None),
        (Some("2001:db8::1"), None),
        (Some("[2001:db8::1]"), None),
        (Some("not a name"), None),
        (Some(""), None),
        (None, None),
    ] {
        let (seen, len) = said(name).await;
        assert_eq!(seen.as_deref(), wanted, "{name:?}");
        assert!(len < 600, "one packet: {len} bytes");
    }
}
