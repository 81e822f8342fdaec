//! Members that speak HTTP/2 die under steady load: no GET fails, no POST is executed twice.

use crate::common::http2_members::*;
use crate::common::pool::*;
use crate::common::rescue::with_tls;
use crate::common::servers::make_certificate;
use crate::common::*;
use live_kit::{
    Backend, Failure, H2Backend, H2Client, H2Death, H2Mode, Httpd, Load, Records, Request, World,
    eventually, pause, scenario,
};
use std::time::Duration;

const ONE_H2: &str = "h2c://one.test:9000";

/// Steady load of GETs and POSTs.
struct Loads(Load, Load);

impl Loads {
    fn start(httpd: &Httpd) -> Loads {
        let load = || {
            httpd
                .load()
                .path("/?delay=300")
                .timeout(Duration::from_secs(60))
        };
        Loads(
            load().clients(8).start(),
            load().clients(3).post(BODY).start(),
        )
    }

    /// No GET failed or took long, each POST has one answer, nothing was executed too often.
    #[track_caller]
    fn judge(self, what: &str, a: &H2Backend, b: &H2Backend) -> Records {
        let (gets, posts) = (self.0.stop(), self.1.stop());
        println!(
            "figure: HTTP/2 members, {what}: {} GETs, slowest {:?}; {} POSTs, {} failed, slowest {:?}",
            gets.len(),
            gets.slowest(),
            posts.len(),
            posts.failed().len(),
            posts.slowest()
        );
        gets.assert_clean(RESCUED);
        assert_answered(&posts);
        assert_executions([a, b], &[&gets, &posts]);
        gets
    }
}

fn rescued_gets(a: &H2Backend, b: &H2Backend) -> usize {
    let ids = |x: &H2Backend| {
        x.seen()
            .into_iter()
            .filter(|s| s.method == "GET")
            .map(|s| s.id)
    };
    let at_a: Vec<u64> = ids(a).collect();
    ids(b).filter(|id| at_a.contains(id)).count()
}

#[test]
fn vanished() {
    scenario(|w: &mut World| {
        let (a, b, httpd) = start_members(w, "");
        let loads = Loads::start(&httpd);
        pause(1.0);
        eventually(PATIENCE, || a.busy() >= 3);
        w.vanish(IP_A);
        eventually(PATIENCE, || downs(&httpd, ONE_H2) == 1);
        pause(3.0);
        w.appear(IP_A);
        eventually(PATIENCE, || ups(&httpd, ONE_H2) == 1);
        pause(1.0);
        let gets = loads.judge("vanished", &a, &b);
        assert_eq!(gets.by_backend().len(), 2);
        assert!(rescued_gets(&a, &b) > 0, "nothing was shown");
    });
}

#[test]
fn killed() {
    scenario(|w: &mut World| {
        let (a, b, httpd) = start_members(w, "");
        let loads = Loads::start(&httpd);
        for round in 1..=2 {
            pause(0.5);
            eventually(PATIENCE, || a.busy() >= 3);
            a.kill();
            eventually(PATIENCE, || downs(&httpd, ONE_H2) == round);
            pause(0.5);
            a.revive();
            eventually(PATIENCE, || ups(&httpd, ONE_H2) == round);
        }
        pause(0.5);
        let gets = loads.judge("killed", &a, &b);
        assert_eq!(gets.by_backend().len(), 2);
        assert!(rescued_gets(&a, &b) > 0, "nothing was shown");
    });
}

/// Clients that speak HTTP/2 as well: their streams and connections survive.
#[test]
fn http2_clients() {
    scenario(|w: &mut World| {
        const CLIENTS: usize = 3;
        let (a, b) = pair();
        set_members(w);
        let builder = server(w).module("http2").config("Protocols h2c http/1.1");
        let httpd = start_pool(builder.live(&members("h2c", "")), &[]);
        let load = httpd.load().clients(CLIENTS).http2(3);
        let load = load.path("/?delay=300").per_connection(usize::MAX).start();
        eventually(PATIENCE, || a.busy() >= 3);
        a.kill();
        eventually(PATIENCE, || downs(&httpd, ONE_H2) == 1);
        a.revive();
        eventually(PATIENCE, || ups(&httpd, ONE_H2) == 1);
        pause(0.5);
        let gets = load.stop();
        gets.assert_clean(RESCUED);
        assert_executions([&a, &b], &[&gets]);
        let connections = gets.0.iter().filter(|r| !r.reused).count();
        assert_eq!(connections, CLIENTS, "of {} requests", gets.len());
        assert!(rescued_gets(&a, &b) > 0, "nothing was shown");
        // errors of httpd's own, and half an answer
        a.mode(H2Mode::Die(H2Death::Head));
        b.mode(H2Mode::Die(H2Death::Head));
        let client = H2Client::new(httpd.addr(), GIVEN_UP);
        for request in [Request::get("/"), Request::post("/", BODY)] {
            let reply = client.send(&request).expect("an answer");
            assert_eq!((reply.status, reply.text().as_str()), (502, WORDS));
        }
        a.revive();
        b.revive();
        let cut = client.send(&Request::get("/?bytes=1000&die=body"));
        assert_eq!(cut.err(), Some(Failure::Cut));
        assert_eq!(
            client.send(&Request::get("/")).expect("an answer").status,
            200
        );
    });
}

/// A httpd that speaks HTTP/2 through TLS on `ip`, in front of a backend.
fn tls_server(w: &mut World, ip: &str) -> Httpd {
    let dir = w.dir.display();
    let text = format!(
        "ServerName app.test
        Protocols h2
        SSLEngine on
        SSLCertificateFile {dir}/app.test.pem
        SSLCertificateKeyFile {dir}/app.test.key
        ProxyPass / http://{ip}:9001/"
    );
    let server = with_tls(w.httpd()).children(1).threads(64).module("http2");
    let server = server.listen(&format!("{ip}:9000")).config(&text);
    server.expect("[core:notice]").start()
}

/// Through TLS: the process that serves one member is killed, later its machine vanishes.
#[test]
fn through_tls() {
    scenario(|w: &mut World| {
        let backends =
            [("A", IP_A), ("B", IP_B)].map(|(n, ip)| Backend::start(n, &format!("{ip}:9001")));
        let [a, b] = &backends;
        make_certificate(w, "app.test");
        let (tls_a, tls_b) = (tls_server(w, IP_A), tls_server(w, IP_B));
        set_members(w);
        let text = format!(
            "{}\nSSLProxyEngine on\nSSLProxyVerify none\nSSLProxyCheckPeerName off",
            members("h2", "")
        );
        let httpd = start_pool(with_tls(server(w)).live(&text), &[]);
        let load = || {
            httpd
                .load()
                .path("/?delay=300")
                .timeout(Duration::from_secs(60))
        };
        let (gets, posts) = (
            load().clients(6).start(),
            load().clients(2).post(BODY).start(),
        );
        for _ in 0..2 {
            eventually(PATIENCE, || a.busy() >= 2);
            let child = tls_a.children()[0];
            tls_a.kill9(child);
            eventually(PATIENCE, || {
                tls_a.children().first().is_some_and(|c| *c != child)
            });
            pause(0.5);
        }
        eventually(PATIENCE, || a.busy() >= 2);
        w.vanish(IP_A);
        eventually(PATIENCE, || downs(&httpd, "h2://one.test:9000") >= 1);
        pause(3.0);
        let (gets, posts) = (gets.stop(), posts.stop());
        w.appear(IP_A);
        gets.assert_clean(RESCUED);
        assert_answered(&posts);
        let ids = |x: &Backend| x.seen().into_iter().map(|s| (s.method, s.id));
        let at_a: Vec<_> = ids(a).collect();
        let twice: Vec<_> = ids(b).filter(|one| at_a.contains(one)).collect();
        assert!(!twice.is_empty(), "nothing was shown");
        assert!(twice.iter().all(|(method, _)| method == "GET"), "{twice:?}");
        drop((httpd, tls_a, tls_b));
    });
}
