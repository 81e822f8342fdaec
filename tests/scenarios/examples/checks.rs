//! checks.conf: what keepalived's HTTP_GET is here.

use super::text;
use crate::common::*;
use live_kit::{Backend, Httpd, Say, World, eventually, pause, scenario};
use std::time::{Duration, Instant};

/// The pools of checks.conf: twelve members with a health page, two with a port, two with TLS.
struct Pools {
    shop: Vec<Backend>,
    _reports: Vec<Backend>,
    accounts: Vec<Backend>,
}

impl Pools {
    const PAGE: &str = "/s/health.jsp";

    fn start(w: &World) -> Pools {
        let name = |stem: &str, n: usize| match stem {
            "app" => format!("app{n:02}"),
            _ => format!("{stem}{n}"),
        };
        let start = |stem: &str, first: usize, count: usize, port: u16| {
            let one = |n: usize| {
                let (name, ip) = (name(stem, n + 1), format!("127.0.0.{}", first + n));
                w.dns.set(&format!("{name}.example.com"), short(&[&ip]));
                let addr = format!("{ip}:{port}");
                match stem {
                    "account" => Backend::start_tls(&name, &addr),
                    _ => Backend::start(&name, &addr),
                }
            };
            (0..count).map(one).collect()
        };
        Pools {
            shop: start("app", 11, 12, 80),
            _reports: start("report", 31, 2, 8080),
            accounts: start("account", 41, 2, 8443),
        }
    }

    /// Each member of the shop was asked for nothing but the page, by its own name; the accounts got a hello by theirs.
    #[track_caller]
    fn are_probed_as_written(&self) {
        for app in &self.shop {
            let probes = app.probes();
            assert!(!probes.is_empty(), "{} was not probed", app.name());
            for probe in probes {
                let got = [&probe.method, &probe.path, &probe.host].map(String::as_str);
                let host = format!("{}.example.com", app.name());
                assert_eq!(got, ["GET", Self::PAGE, &host]);
            }
        }
        for account in &self.accounts {
            let sni = Some(format!("{}.example.com", account.name()));
            let probes = account.probes();
            assert!(!probes.is_empty(), "{} was not probed", account.name());
            assert!(probes.iter().all(|p| p.sni == sni), "{probes:?}");
        }
    }
}

/// Who answers 48 requests of the shop, without a failure.
#[track_caller]
fn shop(httpd: &Httpd) -> Vec<String> {
    let mut used: Vec<String> = (0..48)
        .map(|_| {
            let reply = httpd.get("/shop/cart");
            assert_eq!(reply.status, 200, "{reply:?}");
            reply.backend
        })
        .collect();
    used.sort();
    used.dedup();
    used
}

/// keepalived's HTTP_GET as a template of twelve members: its path, its count, and what a 503 on the page does.
#[test]
fn checks() {
    scenario(|w: &mut World| {
        let pools = Pools::start(w);
        // The kit's certificate has another name: that is for requests to judge, not for probes.
        let of_tests = "SSLProxyEngine on\nSSLProxyCheckPeerName off";
        let example = text("checks.conf").replace("SSLProxyEngine on", of_tests);
        let httpd = w
            .httpd()
            .module("ssl")
            .expect("AH01873:")
            .expect("AH01882:")
            .listen("127.0.0.1:80")
            .live(&example)
            .expect("up -> down")
            .start();
        wait_known(&httpd, "account2.example.com");
        eventually(Duration::from_secs(15), || {
            let all = pools.shop.iter().chain(&pools.accounts);
            all.into_iter().all(|backend| backend.probed() > 0)
        });
        assert_eq!(shop(&httpd).len(), 12);
        assert_eq!(httpd.get("/reports/x").status, 200);
        assert_eq!(httpd.get("/accounts/x").status, 200);
        pools.are_probed_as_written();

        // A probe in three seconds, whatever the number of children; requests do not count.
        let before = pools.shop[3].probed();
        let start = Instant::now();
        pause(7.0);
        let most = start.elapsed().as_secs() / 2 + 2;
        let probes = pools.shop[3].probed() - before;
        assert!((1..=most as usize).contains(&probes), "{probes} probes");

        // The page alone says so; the server goes on answering everything else.
        let sick = &pools.shop[0];
        sick.say(Pools::PAGE, Say::Status(503));
        let down =
            "worker http://app01.example.com: up -> down (127.0.0.11 unexpected HTTP status 503)";
        eventually(Duration::from_secs(20), || httpd.logged(down) > 0);
        pause(0.2);
        sick.forget();
        assert_eq!(shop(&httpd).len(), 11);
        assert!(sick.seen().is_empty(), "{:?}", sick.seen());
        assert_eq!(httpd.get("/accounts/x").status, 200);

        sick.say_usual(Pools::PAGE);
        eventually(Duration::from_secs(20), || {
            shop(&httpd).contains(&"app01".to_owned())
        });
        assert_eq!(httpd.logged("example.com: up -> down"), 1);
        assert_eq!(httpd.logged("example.com: down -> up"), 1);
    });
}
