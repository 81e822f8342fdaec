//! The kit's clients on a stock httpd: uploads of every form over HTTP/1 and HTTP/2, and what they say of trouble.

use live_kit::{
    Backend, Client, Failure, Framing, H2Client, Httpd, Request, World, checksum, eventually,
    pause, payload, scenario,
};
use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

fn front(w: &mut World) -> Httpd {
    let text = "Protocols h2c http/1.1\nProxyPass / http://127.0.0.2:9000/ retry=0";
    let builder = w.httpd().children(1).module("http2").config(text);
    builder.expect("[proxy").start()
}

/// Uploads of 0 B to 1 MB, with a known and an unknown length.
fn uploads() -> Vec<Request> {
    let mut all = Vec::new();
    for length in [0, 1, 70_000, 1_000_000] {
        for method in ["POST", "PUT", "PATCH"] {
            let one = Request::upload(method, "/", length);
            all.push(one.clone().framed(Framing::Open));
            all.push(one);
        }
    }
    all
}

#[test]
fn uploads_over_http_1() {
    scenario(|w: &mut World| {
        let _a = Backend::start("A", "127.0.0.2:9000");
        let httpd = front(w);
        let mut client = httpd.client();
        for request in uploads() {
            let reply = client.send(&request).expect("an answer");
            let facts = format!("method={}\n", request.method);
            let length = format!("length={}\n", request.body.len());
            let text = reply.text();
            assert!(text.contains(&facts) && text.contains(&length), "{text}");
            assert!(reply.interim.is_empty(), "{:?}", reply.interim);
        }
    });
}

#[test]
fn uploads_over_http_2() {
    scenario(|w: &mut World| {
        let _a = Backend::start("A", "127.0.0.2:9000");
        let httpd = front(w);
        let client = H2Client::new(httpd.addr(), PATIENCE);
        let mut requests = uploads();
        requests.push(Request::get("/?bytes=3000000"));
        requests.push(Request::post("/", 5).framed(Framing::Bare));
        let replies = client.send_all(&requests);
        for (request, reply) in requests.iter().zip(replies) {
            let reply = reply.expect("an answer");
            let length = format!("length={}\n", request.body.len());
            match request.method.as_str() {
                "GET" => assert_eq!(reply.body.len(), 3_000_000),
                _ => assert!(reply.text().contains(&length), "{}", reply.text()),
            }
        }
    });
}

/// The same server in clear text and through TLS, HTTP/1.1 and HTTP/2 (by ALPN): what large answers hold, in both
/// directions, and a connection that is kept.
#[test]
fn through_tls() {
    scenario(|w: &mut World| {
        let a = Backend::start("A", "127.0.0.2:9000");
        w.certificate("front.test");
        let text = "Protocols h2 http/1.1
            Listen 127.0.0.1:8443
            <VirtualHost 127.0.0.1:8443>
                ServerName front.test
                SSLEngine on
                SSLCertificateFile ../front.test.pem
                SSLCertificateKeyFile ../front.test.key
            </VirtualHost>
            CustomLog logs/lines.log \"%H %{SSL_PROTOCOL}x %{remote}p\"
            ProxyPass / http://127.0.0.2:9000/";
        let builder = w.httpd().children(1).module("http2").module("ssl");
        let builder = builder.expect("AH01873:").expect("AH01882:");
        let httpd = builder.config(text).start();
        let addr = "127.0.0.1:8443".parse().expect("an address");
        let mut one = Client::new(addr, PATIENCE).secure();
        let two = H2Client::new(addr, PATIENCE).secure();
        for seed in 1..4 {
            let get = Request::get(&format!("/?seed={seed}&bytes=1000000"));
            let post = Request::post("/", 300_000);
            for reply in [one.send(&get), two.send(&get)] {
                assert!(reply.expect("an answer").body == payload(seed, 1_000_000));
            }
            for reply in [one.send(&post), two.send(&post)] {
                let sum = format!("{:016x}", checksum(&post.body));
                assert_eq!(reply.expect("an answer").header("x-sum"), Some(&*sum));
            }
        }
        assert_eq!(a.requests(), 12);
        let log = || fs::read_to_string(httpd.root().join("logs/lines.log")).unwrap_or_default();
        eventually(PATIENCE, || log().lines().count() == 12);
        let log = log();
        let lines: BTreeSet<&str> = log.lines().collect();
        let of = |start: &str| lines.iter().filter(|l| l.starts_with(start)).count();
        let tls = (of("HTTP/1.1 TLSv1"), of("HTTP/2.0 TLSv1"));
        assert_eq!(tls, (1, 1), "one connection each: {lines:?}");
    });
}

/// The body follows the server's 100; an answer instead of it saves the body.
#[test]
fn expectations() {
    scenario(|w: &mut World| {
        let a = Backend::start("A", "127.0.0.2:9000");
        let httpd = front(w);
        let request = Request::post("/", 70_000).expecting();
        let reply = httpd.send(&request).expect("an answer");
        assert_eq!((reply.status, &reply.interim[..]), (200, &[100][..]));
        assert!(reply.text().contains("length=70000\n"));
        let h2 = H2Client::new(httpd.addr(), PATIENCE);
        let reply = h2.send(&request).expect("an answer");
        assert_eq!((reply.status, &reply.interim[..]), (200, &[100][..]));
        assert!(reply.text().contains("length=70000\n"));
        let denied = Request::post("/server-status/none", 70_000).expecting();
        a.kill();
        let reply = httpd.send(&denied).expect("an answer");
        assert_eq!(reply.status, 503);
    });
}

/// Many requests share few connections; a record tells how each ended.
#[test]
fn a_load_over_http_2() {
    scenario(|w: &mut World| {
        let _a = Backend::start("A", "127.0.0.2:9000");
        let httpd = front(w);
        let load = httpd.load().clients(2).http2(4);
        let requests = [Request::get("/"), Request::post("/", 3000)];
        let load = load.per_connection(usize::MAX).requests(&requests).start();
        pause(1.0);
        let records = load.stop();
        records.assert_clean(PATIENCE);
        let first = records.0.iter().filter(|r| !r.reused).count();
        assert_eq!(first, 2, "connections of {} requests", records.len());
        let posts: Vec<_> = records.0.iter().filter(|r| r.method == "POST").collect();
        assert!(!posts.is_empty() && posts.iter().all(|r| r.length == 3000));
        assert_ne!(posts[0].sum, posts[1].sum);
    });
}

/// An answer that breaks off, and a connection that ends without one.
#[test]
fn trouble_over_http_2() {
    scenario(|w: &mut World| {
        let a = Backend::start("A", "127.0.0.2:9000");
        let mut httpd = front(w);
        let fail = |path: &str, trouble: &dyn Fn()| {
            let client = H2Client::new(httpd.addr(), PATIENCE);
            let (request, before) = (Request::get(path), a.requests());
            std::thread::scope(|s| {
                let waiting = s.spawn(|| client.send(&request));
                eventually(PATIENCE, || a.requests() > before);
                pause(0.2);
                trouble();
                waiting
                    .join()
                    .expect("a client thread")
                    .expect_err("trouble")
            })
        };
        let cut = fail("/?bytes=1000&drip=20", &|| a.close_all());
        assert_eq!(cut, Failure::Cut);
        let crash = || httpd.kill9(httpd.children()[0]);
        assert_eq!(fail("/?delay=9000", &crash), Failure::ClosedWithoutAnswer);
        httpd.expect("AH00052");
    });
}
