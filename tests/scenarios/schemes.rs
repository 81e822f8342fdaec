//! Kinds of workers other than http that the module follows: https, WebSockets, FastCGI, AJP, HTTP/2.

use crate::common::servers::make_certificate;
use crate::common::*;
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

/// mod_ssl, with its warnings at the start: no session cache is configured; OpenSSL is another than at its build.
fn with_tls(builder: Builder) -> Builder {
    builder.module("ssl").expect("AH01873:").expect("AH01882:")
}

/// A httpd that speaks TLS on `ip`, in front of a backend. Each answer tells the name that the client gave at
/// the beginning of TLS; a log tells the client's port of each request.
fn tls_backend(w: &mut World, ip: &str) -> Httpd {
    let dir = w.dir.display();
    let text = format!(
        "ServerName app.test
        SSLEngine on
        SSLCertificateFile {dir}/app.test.pem
        SSLCertificateKeyFile {dir}/app.test.key
        Header always set X-Sni %{{SSL_TLS_SNI}}s
        CustomLog logs/ports.log %{{remote}}p
        ProxyPreserveHost On
        ProxyPass / http://{ip}:9000/"
    );
    let server = with_tls(w.httpd()).children(1).threads(64);
    server.listen(&format!("{ip}:9443")).config(&text).start()
}

/// Requests that a [`tls_backend`] has served, and on how many connections.
fn served(tls: &Httpd) -> (usize, usize) {
    let log = fs::read_to_string(tls.root().join("logs/ports.log")).unwrap_or_default();
    let ports: BTreeSet<&str> = log.lines().collect();
    (log.lines().count(), ports.len())
}

/// Connections established at the listening address of a [`tls_backend`].
fn established(ip: &str) -> usize {
    let [a, b, c, d]: [u8; 4] = ip.parse::<std::net::Ipv4Addr>().expect("IPv4").octets();
    // proc(5): the address as a number in this machine's order, the port; then those of the peer and the state.
    let number = u32::from_ne_bytes([a, b, c, d]);
    let local = format!("{number:08X}:{:04X}", 9443);
    let table = fs::read_to_string("/proc/net/tcp").expect("table of sockets");
    let is_ours = |line: &&str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words[1] == local && words[3] == "01"
    };
    table.lines().skip(1).filter(is_ours).count()
}

/// Every child verifies the certificate of the name, whatever the address; connections are reused, and the idle
/// ones, which the module sees above TLS, end with the move.
#[test]
fn https_follows() {
    scenario(|w: &mut World| {
        let (a, b) = backends();
        make_certificate(w, "app.test");
        let (tls_a, tls_b) = (tls_backend(w, IP_A), tls_backend(w, IP_B));
        set_app(w, &[IP_A]);
        let text = format!(
            "SSLProxyEngine on
            SSLProxyVerify require
            SSLProxyCheckPeerName on
            SSLProxyCACertificateFile {}/app.test.pem
            ProxyPass / https://app.test:9443/ live=on",
            w.dir.display()
        );
        let httpd = start_following(with_tls(w.httpd()).live(&text));
        all_children_use(&httpd, "/", "A");
        let load = httpd.load().start();
        live_kit::pause(1.0);
        let (requests, connections) = served(&tls_a);
        assert!(
            requests > 3 * connections && connections <= 40,
            "{requests} requests on {connections} TLS connections"
        );
        let idle = established(IP_A);
        assert!(idle > 8, "{idle} connections to the old address");
        set_app(w, &[IP_B]);
        let due = after_ttl(Instant::now(), 1);
        eventually(Duration::from_millis(500), || established(IP_A) == 0);
        live_kit::pause(0.5);
        let records = load.stop();
        records.assert_clean(QUICK);
        assert_only(&records, due, "B");
        all_children_use(&httpd, "/", "B");
        let reply = httpd.get("/");
        assert_eq!(reply.header("x-sni"), Some("app.test"));
        for seen in a.seen().iter().chain(&b.seen()) {
            assert_eq!(seen.host, "app.test:9443");
        }
        println!(
            "figure: {requests} requests on {connections} TLS connections, {idle} ended by the move"
        );
        drop((httpd, tls_a, tls_b));
    });
}
