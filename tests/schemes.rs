//! Kinds of workers other than http that the module follows: WebSockets, FastCGI, AJP, HTTP/2.

mod common;

use common::*;
use live_kit::{AjpBackend, Backend, Builder, FcgiBackend, Httpd, World, eventually, scenario};
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

/// Opens WebSockets until one was opened by every child after the last [`Backend::forget`]; each echoes.
/// Returns which backends answered.
fn upgrades(httpd: &Httpd, path: &str, backends: &[&Backend]) -> BTreeSet<String> {
    for _ in 0..10 {
        let clients = (0..24).map(|_| {
            let (client, path) = (httpd.client(), path.to_owned());
            std::thread::spawn(move || {
                let mut socket = client.upgrade(&path).expect("an upgrade");
                socket.write_all(b"ping").expect("sent");
                let mut back = [0; 4];
                socket.read_exact(&mut back).expect("the echo");
                assert_eq!(&back, b"ping");
                std::thread::sleep(Duration::from_millis(100));
            })
        });
        for client in clients.collect::<Vec<_>>() {
            client.join().expect("a WebSocket client");
        }
        eventually(Duration::from_secs(3), || {
            backends.iter().all(|b| b.open() == 0)
        });
        let ids: BTreeSet<u64> = backends
            .iter()
            .flat_map(|b| b.seen())
            .map(|s| s.id)
            .collect();
        let mut children = BTreeSet::new();
        // a line is written when the connection has ended
        eventually(Duration::from_secs(3), || {
            let log = fs::read_to_string(httpd.root().join("logs/who.log")).unwrap_or_default();
            let lines = log.lines().filter_map(|l| {
                let mut words = l.split(' ');
                Some((
                    words.next()?.parse::<u64>().ok()?,
                    words.next()?.parse::<u32>().ok()?,
                ))
            });
            let lines: Vec<_> = lines.filter(|(id, _)| ids.contains(id)).collect();
            children = lines.iter().map(|(_, pid)| *pid).collect();
            lines.len() == ids.len()
        });
        if httpd.children().iter().all(|pid| children.contains(pid)) {
            let used = backends.iter().filter(|b| !b.seen().is_empty());
            return used.map(|b| b.name().to_owned()).collect();
        }
    }
    panic!("not every child opened a WebSocket");
}

fn web_sockets_follow(w: &mut World, text: &str) {
    let (a, b) = backends();
    set_app(w, &[IP_A]);
    let httpd = start_following(w.httpd().module("proxy_wstunnel").live(text));
    assert_eq!(
        upgrades(&httpd, "/", &[&a, &b]),
        BTreeSet::from(["A".into()])
    );
    let mut old = httpd.client().upgrade("/").expect("an upgrade");
    set_app(w, &[IP_B]);
    after_ttl(Instant::now(), 1);
    assert_eq!(a.open(), 1, "the open WebSocket stays");
    old.write_all(b"still").expect("sent");
    let mut back = [0; 5];
    old.read_exact(&mut back).expect("the echo");
    drop(old);
    eventually(Duration::from_secs(2), || a.open() == 0);
    a.forget();
    b.forget();
    assert_eq!(
        upgrades(&httpd, "/", &[&a, &b]),
        BTreeSet::from(["B".into()])
    );
}

/// `ws://`, served by mod_proxy_http as httpd does by default.
#[test]
fn ws_follows() {
    scenario(|w: &mut World| web_sockets_follow(w, "ProxyPass / ws://app.test:9000/ live=on"));
}

/// `ws://`, served by mod_proxy_wstunnel's own tunnel.
#[test]
fn ws_tunnel_follows() {
    scenario(|w: &mut World| {
        let text = "ProxyWebsocketFallbackToProxyHttp Off\nProxyPass / ws://app.test:9000/ live=on";
        web_sockets_follow(w, text);
    });
}

#[test]
fn upgrade_follows() {
    scenario(|w: &mut World| {
        web_sockets_follow(
            w,
            "ProxyPass / http://app.test:9000/ live=on upgrade=websocket",
        )
    });
}

/// Two kinds of workers that keep no HTTP connection, with and without reuse of their own connections.
#[test]
fn fcgi_and_ajp_follow() {
    scenario(|w: &mut World| {
        let (fa, fb) = (
            FcgiBackend::start("A", "127.0.0.2:9001"),
            FcgiBackend::start("B", "127.0.0.3:9001"),
        );
        let (ja, jb) = (
            AjpBackend::start("A", "127.0.0.2:9002"),
            AjpBackend::start("B", "127.0.0.3:9002"),
        );
        set_app(w, &[IP_A]);
        let text = "ProxyLive on
            ProxyPass /fcgi/ fcgi://app.test:9001/
            ProxyPass /reuse/ fcgi://reuse.test:9001/ enablereuse=on
            ProxyPass /ajp/ ajp://app.test:9002/";
        w.dns.set("reuse.test", short(&[IP_A]));
        let httpd = start_following(
            w.httpd()
                .module("proxy_fcgi")
                .module("proxy_ajp")
                .live(text),
        );
        wait_known(&httpd, "reuse.test");
        let paths = ["/fcgi/x", "/reuse/x", "/ajp/x"];
        for path in paths {
            all_children_use(&httpd, path, "A");
        }
        let before = fa.requests() + ja.requests();
        set_app(w, &[IP_B]);
        w.dns.set("reuse.test", short(&[IP_B]));
        after_ttl(Instant::now(), 1);
        for path in paths {
            all_children_use(&httpd, path, "B");
        }
        assert_eq!(
            fa.requests() + ja.requests(),
            before,
            "the old servers got nothing more"
        );
        assert!(fb.requests() > 0 && jb.requests() > 0);
        assert_eq!(httpd.logged("live has no effect"), 0);
    });
}

/// A httpd that speaks HTTP/2 in clear text on `ip`, in front of a backend.
fn h2_backend(w: &mut World, ip: &str) -> Httpd {
    let text = format!("Protocols h2c\nProxyPass / http://{ip}:9000/");
    let server: Builder = w
        .httpd()
        .children(1)
        .threads(48)
        .listen(&format!("{ip}:9443"))
        .module("http2");
    server.config(&text).start()
}

#[test]
fn h2_follows() {
    scenario(|w: &mut World| {
        let _backends = backends();
        let (h2_a, h2_b) = (h2_backend(w, IP_A), h2_backend(w, IP_B));
        set_app(w, &[IP_A]);
        let text = "ProxyPass / h2c://app.test:9443/ live=on";
        let httpd = start_following(w.httpd().module("http2").module("proxy_http2").live(text));
        all_children_use(&httpd, "/", "A");
        let load = httpd.load().clients(4).start();
        live_kit::pause(0.5);
        set_app(w, &[IP_B]);
        let due = after_ttl(Instant::now(), 1);
        live_kit::pause(0.5);
        let records = load.stop();
        records.assert_clean(QUICK);
        assert_only(&records, due, "B");
        all_children_use(&httpd, "/", "B");
        drop((httpd, h2_a, h2_b));
    });
}
