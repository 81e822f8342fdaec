//! The kit on itself: a stock httpd, without the module under test.

use live_kit::{Backend, Mode, Mpm, Request, World, answers, pause, scenario};
use std::time::{Duration, Instant};

#[test]
fn proxies_to_two_backends() {
    scenario(|w: &mut World| {
        let a = Backend::start("A", "127.0.0.2:9000");
        let b = Backend::start("B", "127.0.0.3:9000");
        w.dns.set("a.test", answers(&["127.0.0.2"], 5));
        w.dns.set("b.test", answers(&["127.0.0.3"], 5));
        let text = "ProxyPass /a http://a.test:9000/\nProxyPass /b http://b.test:9000/";
        let httpd = w.httpd().config(text).start();
        let reply = httpd.get("/a/x");
        assert_eq!((reply.status, reply.backend.as_str()), (200, "A"));
        assert!(httpd.children().contains(&httpd.child_of(&reply)));
        let post = httpd.send(&Request::post("/b/y", 5)).expect("an answer");
        assert!(
            post.text()
                .contains("backend=B\nmethod=POST\npath=//y\nhost=b.test:9000\nlength=5\n"),
            "{}",
            post.text()
        );
        assert_eq!(
            (a.requests(), b.requests(), a.seen()[0].method.as_str()),
            (1, 1, "GET")
        );
    });
}

fn every_child_is_hit(w: &mut World, mpm: Mpm) {
    let _a = Backend::start("A", "127.0.0.2:9000");
    let httpd = w
        .httpd()
        .mpm(mpm)
        .children(4)
        .config("ProxyPass / http://127.0.0.2:9000/")
        .start();
    let found = httpd.every_child("/");
    assert_eq!(found.keys().copied().collect::<Vec<_>>(), httpd.children());
    assert_eq!(found.len(), 4);
}

#[test]
fn every_child_event() {
    scenario(|w: &mut World| every_child_is_hit(w, Mpm::Event));
}

#[test]
fn every_child_worker() {
    scenario(|w: &mut World| every_child_is_hit(w, Mpm::Worker));
}

#[test]
fn every_child_prefork() {
    scenario(|w: &mut World| every_child_is_hit(w, Mpm::Prefork));
}

#[test]
fn load_has_records() {
    scenario(|w: &mut World| {
        let a = Backend::start("A", "127.0.0.2:9000");
        let mut httpd = w
            .httpd()
            .config("ProxyPass / http://127.0.0.2:9000/ retry=0")
            .expect("AH")
            .start();
        let load = httpd.load().clients(4).start();
        pause(0.5);
        let broken = Instant::now();
        a.kill();
        pause(0.3);
        a.revive();
        pause(0.1);
        let back = Instant::now();
        pause(0.3);
        let records = load.stop();
        records
            .before(broken - Duration::from_millis(20))
            .assert_clean(Duration::from_secs(1));
        records.since(back).assert_clean(Duration::from_secs(1));
        assert!(records.by_status()[&503] > 0, "{:?}", records.by_status());
        assert!(
            records
                .by_child()
                .keys()
                .all(|pid| httpd.children().contains(pid))
        );
        assert_eq!(records.by_child().values().sum::<usize>(), records.len());
        httpd.stop();
    });
}

#[test]
fn modes_of_a_backend() {
    scenario(|w: &mut World| {
        let a = Backend::start("A", "127.0.0.2:9000");
        let httpd = w
            .httpd()
            .config("ProxyPass / http://127.0.0.2:9000/ retry=0")
            .expect("AH")
            .start();
        a.mode(Mode::Status(418));
        assert_eq!(httpd.get("/").status, 418);
        a.mode(Mode::Slow(Duration::from_millis(200)));
        let start = Instant::now();
        assert_eq!(httpd.get("/").status, 200);
        assert!(start.elapsed() >= Duration::from_millis(200));
        a.mode(Mode::Reset);
        a.close_all();
        pause(0.1);
        // the connection is made, so httpd sends, and reports the reset as a bad answer
        assert!(matches!(
            httpd.try_get("/").map_or(502, |r| r.status),
            502 | 503
        ));
        a.mode(Mode::ResetRequest);
        assert!(httpd.try_get("/").map_or(502, |r| r.status) >= 500);
        a.mode(Mode::Refuse);
        assert_eq!(httpd.get("/").status, 503);
        a.revive();
        assert_eq!(httpd.get("/?bytes=100000").body.len(), 100_000);
    });
}

#[test]
fn vanished_packets() {
    scenario(|w: &mut World| {
        let _a = Backend::start("A", "127.0.0.2:9000");
        let text = "ProxyPass / http://127.0.0.2:9000/ retry=0 connectiontimeout=1 timeout=1 disablereuse=on";
        let httpd = w.httpd().config(text).expect("AH").start();
        assert_eq!(httpd.get("/").backend, "A");
        w.vanish("127.0.0.2");
        let start = Instant::now();
        assert_eq!(httpd.get("/").status, 503);
        assert!(
            start.elapsed() >= Duration::from_millis(900),
            "refused, not vanished: {:?}",
            start.elapsed()
        );
        w.appear_all();
        assert_eq!(httpd.get("/").backend, "A");
    });
}

#[test]
fn holds_many_connections() {
    scenario(|_: &mut World| {
        let a = Backend::start("A", "127.0.0.2:9000");
        let connect = |_| std::net::TcpStream::connect(a.addr()).expect("a connection");
        let mut held: Vec<_> = (0..3000).map(connect).collect();
        // One without a request is no connection but a probe.
        a.mode(Mode::Hang);
        held.iter_mut()
            .for_each(|s| std::io::Write::write_all(s, b"GET / HTTP/1.1\r\n\r\n").expect("sent"));
        live_kit::eventually(Duration::from_secs(10), || a.open() == held.len());
        assert_eq!(a.accepted(), 3000);
    });
}

#[test]
fn restarts_and_stops() {
    scenario(|w: &mut World| {
        let _a = Backend::start("A", "127.0.0.2:9000");
        let mut httpd = w
            .httpd()
            .config("ProxyPass / http://127.0.0.2:9000/")
            .start();
        let first = httpd.children();
        httpd.graceful();
        assert_eq!(httpd.get("/").backend, "A");
        httpd.restart();
        assert!(httpd.children().iter().all(|pid| !first.contains(pid)));
        httpd.start_again();
        assert_eq!(httpd.get("/").backend, "A");
        httpd.graceful_stop();
    });
}

#[test]
fn upgraded_connections() {
    scenario(|w: &mut World| {
        use std::io::{Read, Write};
        let a = Backend::start("A", "127.0.0.2:9000");
        let text = "ProxyPass / http://127.0.0.2:9000/ upgrade=websocket";
        let httpd = w.httpd().module("proxy_wstunnel").config(text).start();
        let mut socket = httpd.client().upgrade("/ws").expect("an upgrade");
        socket.write_all(b"ping").expect("sent");
        let mut back = [0; 4];
        socket.read_exact(&mut back).expect("the echo");
        assert_eq!((&back, a.open()), (b"ping", 1));
        drop(socket);
        live_kit::eventually(Duration::from_secs(2), || a.open() == 0);
    });
}

#[test]
fn fastcgi_and_ajp() {
    scenario(|w: &mut World| {
        let f = live_kit::FcgiBackend::start("F", "127.0.0.2:9001");
        let j = live_kit::AjpBackend::start("J", "127.0.0.3:9002");
        let text = "ProxyPass /f fcgi://127.0.0.2:9001/ enablereuse=on\nProxyPass /j ajp://127.0.0.3:9002/";
        let httpd = w
            .httpd()
            .module("proxy_fcgi")
            .module("proxy_ajp")
            .config(text)
            .start();
        for _ in 0..3 {
            let (from_f, from_j) = (httpd.get("/f/x"), httpd.get("/j/x"));
            assert_eq!(
                (from_f.backend.as_str(), from_j.backend.as_str()),
                ("F", "J")
            );
            assert_eq!(from_j.text(), "backend=J\n");
        }
        // They count when they have answered, perhaps a moment after the client knows.
        live_kit::eventually(std::time::Duration::from_secs(2), || {
            (f.requests(), j.requests()) == (3, 3)
        });
    });
}

#[test]
fn configuration_checks() {
    scenario(|w: &mut World| {
        let (ok, said) = w
            .httpd()
            .config("ProxyPass / http://127.0.0.2:9000/")
            .check();
        assert!(ok && said.contains("Syntax OK"), "{said}");
        let (ok, said) = w
            .httpd()
            .config("ProxyPass / http://127.0.0.2:9000/ nonsense=1")
            .check();
        assert!(!ok && said.contains("unknown Worker parameter"), "{said}");
    });
}

#[test]
fn ports_refuse_and_long_answers_drip() {
    scenario(|w: &mut World| {
        let a = Backend::start("A", "[::1]:9000");
        let httpd = w
            .httpd()
            .children(2)
            .one_process()
            .config("ProxyPass / http://[::1]:9000/")
            .start();
        let start = Instant::now();
        assert_eq!(httpd.get("/?bytes=10&drip=20").body.len(), 10);
        assert!(start.elapsed() >= Duration::from_millis(200));
        assert_eq!(a.seen()[0].path, "/?bytes=10&drip=20");
    });
}
