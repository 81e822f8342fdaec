//! Debian's nginx and `openssl s_server` as probed backends: old, picky and wrongly named ones, too.

use crate::common::pool::*;
use crate::common::rescue::with_tls;
use crate::common::servers::*;
use crate::common::*;
use live_kit::{Httpd, World, answers, eventually, pause, scenario};

/// What probes must find at a port.
struct Peer {
    port: u16,
    /// Of nginx's `server` block, or of s_server.
    settings: String,
    /// What an HTTP probe finds: None when it is well, else the reason's beginning.
    http: Option<&'static str>,
}

fn peer(port: u16, settings: &str, http: Option<&'static str>) -> Peer {
    Peer {
        port,
        settings: settings.to_owned(),
        http,
    }
}

/// Says what to do.
const ADVICE: &str = "use liveprobe=tls";

/// For each peer a worker with a TLS probe and one with an HTTP probe.
fn workers(peers: &[Peer]) -> String {
    let mut text = String::from(
        "SSLProxyEngine on
        SSLProxyVerify none
        SSLProxyCheckPeerName off
        SSLProxyProtocol all
        SSLProxyCipherSuite ALL:@SECLEVEL=0\n",
    );
    for Peer { port, .. } in peers {
        text += &format!(
            "ProxyPass /tls/{port}/ https://app.test:{port}/tls live=on liveinterval=500ms
            ProxyPass /http/{port}/ https://app.test:{port}/http live=on liveprobe=http liveuri=/healthz liveinterval=500ms\n"
        );
    }
    text
}

/// Starts, and waits until each target has its verdict: up for every TLS probe, for HTTP probes as it is told.
fn judge(w: &mut World, peers: &[Peer], more: &str) -> Httpd {
    w.dns.set("app.test", answers(&[IP_A], 600));
    let text = format!("{}\n{more}", workers(peers));
    let builder = with_tls(w.httpd()).log_level("info proxy_live:trace2");
    let httpd = troubled(builder.live(&text)).expect("AH02008").start();
    for Peer { port, http, .. } in peers {
        let tls = format!("target tls app.test:{port}: {IP_A} answered");
        eventually(PATIENCE, || httpd.logged(&tls) >= 3);
        let target = format!("target https app.test:{port}/healthz: {IP_A}");
        match http {
            None => {
                eventually(PATIENCE, || {
                    httpd.logged(&format!("{target} answered")) >= 3
                });
            }
            Some(reason) => {
                let failed = format!(": {reason}");
                let found = || {
                    let lines = httpd.live_lines();
                    let mut lines = lines.iter().map(|l| &l.text);
                    lines.any(|l| l.contains(&format!("{target} failed")) && l.contains(&failed))
                };
                eventually(PATIENCE, found);
                let worker = format!("https://app.test:{port}/http");
                let why = "last resort: stays in use although down";
                eventually(PATIENCE, || told(&httpd, &worker, why) == 1);
            }
        }
    }
    pause(1.0);
    for Peer { port, http, .. } in peers {
        let failed = |target: String| httpd.logged(&format!("target {target}: {IP_A} failed"));
        assert_eq!(failed(format!("tls app.test:{port}")), 0, "{port}");
        if http.is_none() {
            assert_eq!(
                failed(format!("https app.test:{port}/healthz")),
                0,
                "{port}"
            );
        }
    }
    httpd
}

/// What goes wrong at each port says what to do about it, where the probe is not able to speak.
fn advised(httpd: &Httpd, ports: &[u16]) {
    for port in ports {
        let lines = httpd.live_lines();
        let target = format!("https app.test:{port}/healthz: {IP_A} failed");
        let line = lines.iter().find(|l| l.text.contains(&target));
        let line = &line.expect("the line").text;
        assert!(
            line.contains("TLS failure") && line.contains(ADVICE),
            "{line}"
        );
    }
}

#[test]
fn nginx_peers() {
    scenario(|w: &mut World| {
        make_certificate(w, "app.test");
        make_certificate(w, "other.test");
        let dir = w.dir.display().to_string();
        let client = format!("ssl_client_certificate {dir}/other.test.pem; ssl_verify_client on;");
        let named = format!(
            "ssl_certificate {dir}/other.test.pem; ssl_certificate_key {dir}/other.test.key;"
        );
        let peers = [
            peer(8441, "ssl_protocols TLSv1.2;", None),
            peer(8442, "ssl_protocols TLSv1.3;", None),
            peer(8443, &client, Some("unexpected HTTP status 400")),
            peer(8444, &named, None),
            peer(
                8445,
                "ssl_protocols TLSv1.2; ssl_ciphers AES128-SHA;",
                Some("TLS failure: "),
            ),
            peer(
                8446,
                "ssl_protocols TLSv1 TLSv1.1; ssl_ciphers ALL:@SECLEVEL=0;",
                Some("TLS failure: "),
            ),
            peer(8447, "ssl_reject_handshake on;", Some("TLS failure: ")),
        ];
        let mut blocks: Vec<_> = peers.iter().map(|p| (p.port, p.settings.clone())).collect();
        blocks.extend([(8080, String::new()), (8081, String::new())]);
        let _nginx = nginx(w, IP_A, &blocks);
        let more = "ProxyLive on
            <Proxy balancer://plain>
                BalancerMember http://app.test:8080 liveprobe=http liveuri=/healthz
                BalancerMember http://app.test:8081 liveprobe=http liveuri=/down liveinterval=500ms
            </Proxy>
            ProxyPass /plain/ balancer://plain/
            ProxyPass /400/ https://app.test:8443/400 liveprobe=http liveuri=/healthz liveexpect=200-399,400";
        let httpd = judge(w, &peers, more);
        advised(&httpd, &[8445, 8446]);
        eventually(PATIENCE, || downs(&httpd, "http://app.test:8081") == 1);
        let down = "(127.0.0.2 unexpected HTTP status 503";
        assert_eq!(httpd.logged(&format!("up -> down {down}")), 1);
        assert_eq!(told(&httpd, "https://app.test:8443/400", "last resort"), 0);
        // requests get through to those that take them
        for path in [
            "/tls/8441/x",
            "/http/8442/x",
            "/tls/8444/x",
            "/tls/8445/x",
            "/plain/x",
        ] {
            let reply = httpd.get(path);
            assert_eq!(reply.status, 200, "{path}");
            assert!(reply.backend.starts_with("nginx"), "{path}: {reply:?}");
        }
    });
}

#[test]
fn openssl_peers() {
    scenario(|w: &mut World| {
        make_certificate(w, "app.test");
        make_certificate(w, "other.test");
        let app = "-cert app.test.pem -key app.test.key";
        let other = "-cert other.test.pem -key other.test.key";
        let peers = [
            peer(9441, &format!("{app} -tls1_2"), None),
            peer(9442, &format!("{app} -tls1_3"), None),
            peer(
                9443,
                &format!("{app} -tls1_2 -Verify 1"),
                Some("TLS failure: "),
            ),
            peer(9444, other, None),
            peer(
                9445,
                &format!("{app} -tls1_2 -cipher AES128-SHA"),
                Some("TLS failure: "),
            ),
            peer(
                9446,
                &format!("{app} -tls1_1 -cipher ALL:@SECLEVEL=0"),
                Some("TLS failure: "),
            ),
            peer(9447, &format!("{app} -Verify 1"), Some("TLS failure: ")),
        ];
        let start = |p: &Peer| s_server(w, IP_A, p.port, &p.settings);
        let _servers: Vec<_> = peers.iter().map(start).collect();
        let httpd = judge(w, &peers, "");
        advised(&httpd, &[9445, 9446]);
        assert_eq!(httpd.get("/tls/9441/x").status, 200);
    });
}
