//! The backend towards probes: what it tells from requests, and what it says.

use live_kit::{Backend, Mode, Say, World, eventually, scenario};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(10);

/// Sends a GET of this User-Agent; everything that comes within a second.
fn ask(backend: &Backend, path: &str, agent: &str) -> String {
    let mut stream = TcpStream::connect(backend.addr()).expect("the port is open");
    let text = format!(
        "GET {path} HTTP/1.1\r\nHost: app.test\r\nUser-Agent: {agent}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(text.as_bytes()).expect("sent");
    let _ = stream.set_read_timeout(Some(Duration::from_millis(100)));
    let (mut got, end) = (Vec::new(), Instant::now() + Duration::from_secs(1));
    let mut piece = [0; 16 * 1024];
    while Instant::now() < end {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(n) => got.extend_from_slice(&piece[..n]),
            Err(_) => {}
        }
    }
    String::from_utf8_lossy(&got).into_owned()
}

fn probe(backend: &Backend, path: &str) -> String {
    ask(backend, path, "mod_proxy_live/1.2.3")
}

#[test]
fn probes_are_no_requests() {
    scenario(|_: &mut World| {
        let a = Backend::start("A", "127.0.0.2:9000");
        drop(TcpStream::connect(a.addr()).expect("the port is open"));
        eventually(SOON, || a.probed() == 1);
        assert!(ask(&a, "/x", "curl").starts_with("HTTP/1.1 200 "));
        assert!(probe(&a, "/healthz?x=1").starts_with("HTTP/1.1 200 "));
        assert_eq!((a.requests(), a.accepted(), a.probed()), (1, 1, 2));
        let probes = a.probes();
        assert_eq!(probes.len(), 1);
        assert_eq!(
            (&*probes[0].path, &*probes[0].host),
            ("/healthz?x=1", "app.test")
        );
        assert_eq!(
            (&*probes[0].agent, probes[0].sni.as_ref()),
            ("mod_proxy_live/1.2.3", None)
        );
        // deaths are for requests
        a.mode(Mode::Die(live_kit::Death::Close));
        assert_eq!(ask(&a, "/x", "curl"), "");
        assert!(probe(&a, "/x").starts_with("HTTP/1.1 200 "));
    });
}

#[test]
fn says_what_it_is_told() {
    scenario(|_: &mut World| {
        let a = Backend::start("A", "127.0.0.2:9000");
        let said = |say: Say| {
            a.say("/healthz", say);
            probe(&a, "/healthz?x=1")
        };
        assert!(said(Say::Status(503)).starts_with("HTTP/1.1 503 "));
        assert!(said(Say::Status(301)).contains("\r\nLocation: http://elsewhere.test/\r\n"));
        assert_eq!(said(Say::Hang), "");
        assert_eq!(said(Say::Close), "");
        assert_eq!(said(Say::Reset), "");
        assert_eq!(said(Say::bytes("SSH-2.0-x\r\n")), "SSH-2.0-x\r\n");
        let dripped = said(Say::Drip(Duration::from_millis(20)));
        assert!("HTTP/1.1 200 ".starts_with(&dripped[..12]), "{dripped}");
        assert!(!dripped.contains("\r\n\r\n"), "{dripped}");
        let endless = said(Say::Endless);
        assert!(endless.len() > 1000 && !endless.contains("\r\n\r\n"));
        assert!(said(Say::Large).len() > 1_000_000);
        eventually(SOON, || a.cut() == 2);
        // other paths, and the usual answer
        assert!(probe(&a, "/x").starts_with("HTTP/1.1 200 "));
        a.say_usual("/healthz");
        assert!(probe(&a, "/healthz").starts_with("HTTP/1.1 200 "));
    });
}

#[test]
fn stands_still() {
    scenario(|_: &mut World| {
        let a = Backend::start("A", "127.0.0.2:9000");
        a.mode(Mode::Freeze);
        assert_eq!(probe(&a, "/x"), "");
        assert_eq!((a.probes().len(), a.probed()), (0, 0));
        a.revive();
        eventually(SOON, || a.probes().len() == 1);
    });
}
