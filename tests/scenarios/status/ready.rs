//! The readiness URL: 200 while this httpd can serve.

use crate::common::pool::*;
use crate::common::status::*;
use crate::common::*;
use live_kit::{
    Backend, MANAGER, Mpm, Request, World, answers, eventually, pause, scenario, scenario_within,
};
use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);

/// A pool and a plain worker: each of them, and only it, makes the answer 503 with its name.
fn who_cannot(w: &mut World, mpm: Mpm) {
    let (a, b) = backends();
    let c = Backend::start("C", "127.0.0.4:9000");
    set_members(w);
    w.dns.set("plain.test", answers(&["127.0.0.4"], 600));
    let text = format!(
        "{PAGES}\nProxyPass /plain/ http://plain.test:9000/ live=on\n{}",
        pool("liveinterval=500ms")
    );
    let httpd = start_pool(troubled(w.httpd().mpm(mpm).live(&text)), &[&a, &b, &c]);
    let good = (200, "ready".to_owned());
    eventually(PATIENCE, || ready(&httpd) == good);
    a.kill();
    eventually(PATIENCE, || state(&httpd, ONE) == "down");
    assert_eq!(ready(&httpd), good, "one member is enough");
    b.kill();
    let bad = (
        503,
        "not ready: balancer://pool has no usable member".to_owned(),
    );
    eventually(PATIENCE, || ready(&httpd) == bad);
    assert_eq!(ready_of(&httpd, "?balancer=pool"), bad);
    a.revive();
    eventually(BACK, || ready(&httpd) == good);
    c.kill();
    let bad = (
        503,
        "not ready: http://plain.test:9000/ is not usable".to_owned(),
    );
    eventually(PATIENCE, || ready(&httpd) == bad);
    assert_eq!(
        ready_of(&httpd, "?balancer=POOL"),
        good,
        "narrowed to the balancer"
    );
    let reply = httpd.get("/live-ready?balancer=other");
    assert_eq!(reply.status, 404);
    assert!(
        reply
            .text()
            .contains("'balancer://other' (known: balancer://pool)")
    );
    c.revive();
    eventually(BACK, || ready(&httpd) == good);
}

#[test]
fn who_cannot_event() {
    scenario_within(LIMIT, |w: &mut World| who_cannot(w, Mpm::Event));
}

#[test]
fn who_cannot_prefork() {
    scenario_within(LIMIT, |w: &mut World| who_cannot(w, Mpm::Prefork));
}

/// With `livelastresort=off` silent backends make it 503, too.
#[test]
fn silent_backends() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        let text = format!("{PAGES}\n{}", pool("livelastresort=off liveinterval=500ms"));
        let httpd = start_pool(troubled(w.httpd().live(&text)).expect("storm"), &[&a, &b]);
        eventually(PATIENCE, || ready(&httpd).0 == 200);
        w.vanish(IP_A);
        eventually(PATIENCE, || state(&httpd, ONE) == "down");
        w.vanish(IP_B);
        eventually(PATIENCE, || ready(&httpd).0 == 503);
        w.appear_all();
        eventually(PATIENCE, || ready(&httpd).0 == 200);
    });
}

/// The drain file: 503 while it is there, in all children, whatever the backends do.
#[test]
fn drain_file() {
    scenario(|w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        let text = format!("ProxyLiveDrainFile run/drain\n{PAGES}\n{}", pool(""));
        let mut httpd = start_pool(w.httpd().live(&text), &[&a, &b]);
        eventually(PATIENCE, || ready(&httpd).0 == 200);
        let file = httpd.root().join("run/drain");
        fs::write(&file, "").unwrap();
        let line = format!("not ready: draining, {} exists", file.display());
        let bad = (503, line);
        for _ in 0..20 {
            assert_eq!(ready(&httpd), bad);
        }
        assert_eq!(ready_of(&httpd, "?balancer=pool"), bad);
        assert_eq!(httpd.get("/").status, 200, "requests are served as ever");
        assert_eq!(json(&httpd)["ready"]["ready"], false);
        // A reload changes nothing.
        httpd.graceful();
        assert_eq!(ready(&httpd), bad);
        fs::remove_file(&file).unwrap();
        for _ in 0..20 {
            assert_eq!(ready(&httpd), (200, "ready".to_owned()));
        }
    });
}

/// A directory that the children may not look into: said once, and no reason to take everything out.
#[test]
fn drain_file_out_of_sight() {
    scenario(|w: &mut World| {
        if !rustix_root() {
            return;
        }
        let dir = w.dir.join("closed");
        fs::create_dir(&dir).unwrap();
        let text = format!("ProxyLiveDrainFile {}/drain\n{PAGES}", dir.display());
        let closed = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs::set_permissions(&dir, closed).unwrap();
        let builder = w.httpd().children(1).live(&text);
        let httpd = builder.expect("cannot see whether").start();
        fs::write(dir.join("drain"), "").unwrap();
        assert_eq!((ready(&httpd).0, ready(&httpd).0), (200, 200));
        assert_eq!(httpd.logged("cannot see whether"), 1);
    });
}

/// Children run as another user only when httpd is started by root.
fn rustix_root() -> bool {
    std::os::unix::fs::MetadataExt::uid(&fs::metadata("/proc/self").unwrap()) == 0
}

/// A name that DNS does not know yet: 503 until it does, and its first probe has answered; a move is no reason to
/// turn 503 again.
#[test]
fn from_the_start() {
    scenario_within(LIMIT, |w: &mut World| {
        let (_a, _b) = backends();
        let text = format!("{PAGES}\n{FOLLOW}");
        let builder = w
            .httpd()
            .live(&text)
            .expect("DNS fails")
            .expect("[proxy:error]");
        let mut httpd = builder.start();
        let waits = "not ready: http://app.test:9000/ waits for DNS or its first probe";
        assert_eq!(ready(&httpd), (503, waits.to_owned()));
        // No answer yet, and then one without an address.
        let known = ["starting", "down"];
        eventually(PATIENCE, || {
            let page = json(&httpd);
            let app = worker(&page, "http://app.test:9000/");
            let state = crate::common::status::text(&app["state"]);
            assert!(known.contains(&state.as_str()), "{app:#}");
            let why = "name not resolved yet: DNS has no address for app.test";
            state == "down" && app["reason"] == why
        });
        assert_eq!(ready(&httpd), (503, waits.to_owned()));
        set_app(w, &[IP_A]);
        eventually(Duration::from_secs(35), || ready(&httpd).0 == 200);
        // From now on never again: moves, reloads.
        let mut answers = BTreeSet::new();
        for ip in [IP_B, IP_A, IP_B] {
            set_app(w, &[ip]);
            for _ in 0..150 {
                answers.insert(ready(&httpd));
                pause(0.01);
            }
        }
        httpd.graceful();
        for _ in 0..50 {
            answers.insert(ready(&httpd));
        }
        assert_eq!(answers, BTreeSet::from([(200, "ready".to_owned())]));
    });
}

/// Two requests that meet the end of their connections provoke errors of mod_proxy's own: no reason to leave.
#[test]
fn rescues_are_no_reason() {
    scenario(|w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        let text = format!("{PAGES}\n{}", pool(""));
        let httpd = start_pool(troubled(w.httpd().live(&text)), &[&a, &b]);
        eventually(PATIENCE, || ready(&httpd).0 == 200);
        let load = httpd.load().clients(4).start();
        let mut answers = BTreeSet::new();
        for _ in 0..30 {
            a.reset_all();
            b.close_all();
            for _ in 0..10 {
                answers.insert(ready(&httpd));
                pause(0.005);
            }
        }
        load.stop();
        assert_eq!(answers, BTreeSet::from([(200, "ready".to_owned())]));
    });
}

/// Nothing live, nothing to wait for; and without the handler no answer.
#[test]
fn without_live_workers() {
    scenario(|w: &mut World| {
        let httpd = w.httpd().live(PAGES).start();
        assert_eq!(ready(&httpd), (200, "ready".to_owned()));
        assert_eq!(ready_of(&httpd, ""), (200, "ready".to_owned()));
        let reply = httpd.get("/live-ready?balancer=x");
        assert!(reply.text().contains("(there is none)"), "{}", reply.text());
        assert_eq!(httpd.get("/live-status").status, 200);
        let other = w.httpd().live("ProxyLive on").start();
        assert_eq!(
            other.get("/live-ready").status,
            404,
            "nothing without SetHandler"
        );
        assert_eq!(other.get("/live-status").status, 404);
    });
}

/// GET and HEAD; queries that mean nothing are said to.
#[test]
fn methods_and_queries() {
    scenario(|w: &mut World| {
        let httpd = w
            .httpd()
            .module("http2")
            .live(&format!("Protocols h2c http/1.1\n{PAGES}\n{MANAGER}"))
            .start();
        for path in ["/live-ready", "/live-status"] {
            for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
                let reply = httpd.send(&Request::new(method, path)).unwrap();
                assert_eq!(reply.status, 405, "{method} {path}");
                let allow = reply.header("Allow").expect("Allow");
                assert!(allow.contains("GET") && allow.contains("HEAD"), "{allow}");
            }
            let head = httpd.send(&Request::new("HEAD", path)).unwrap();
            assert_eq!((head.status, head.body.len()), (200, 0));
            assert_eq!(head.header("Cache-Control"), Some("no-store"));
            for query in [
                "x",
                "x=1",
                "balancer=%zz",
                "format=",
                "refresh=0",
                "worker=a&worker=b",
            ] {
                let reply = httpd.get(&format!("{path}?{query}"));
                assert_eq!(reply.status, 400, "{path}?{query}");
                assert_eq!(
                    reply.header("Content-Type"),
                    Some("text/plain; charset=utf-8")
                );
                assert!(
                    reply.text().contains("expected")
                        || reply.text().contains("must")
                        || reply.text().contains("must be"),
                    "{}",
                    reply.text()
                );
            }
        }
        // A body that nobody wants does not disturb what comes after it.
        let mut client = httpd.client();
        assert_eq!(
            client
                .send(&Request::post("/live-ready", 100_000))
                .unwrap()
                .status,
            405
        );
        assert_eq!(
            client.send(&Request::get("/live-ready")).unwrap().status,
            200
        );
    });
}

/// Over HTTP/2, many at once on one connection; and where .htaccess says it.
#[test]
fn other_ways_in() {
    scenario(|w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        let files = "<Directory /srv>\nAllowOverride FileInfo\nRequire all granted\n</Directory>\nProxyPass /files !";
        let dir = w.dir.join("files");
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join(".htaccess"), "SetHandler proxy-live-ready\n").unwrap();
        let files = files.replace("/srv", &dir.display().to_string());
        let alias = format!("Alias /files {}", dir.display());
        let text = format!(
            "Protocols h2c http/1.1\n{alias}\n{files}\n{PAGES}\n{}",
            pool("")
        );
        let builder = w.httpd().module("http2").module("alias").live(&text);
        let httpd = start_pool(builder, &[&a, &b]);
        eventually(PATIENCE, || ready(&httpd).0 == 200);
        let client = live_kit::H2Client::new(httpd.addr(), Duration::from_secs(10));
        let paths = [
            "/live-ready",
            "/live-status",
            "/live-status?format=json",
            "/live-ready?x=1",
        ];
        let requests = paths.map(Request::get);
        let statuses: Vec<u16> = client
            .send_all(&requests)
            .into_iter()
            .map(|reply| reply.expect("an answer").status)
            .collect();
        assert_eq!(statuses, [200, 200, 200, 400]);
        let reply = httpd.get("/files/any");
        assert_eq!((reply.status, reply.text().as_str()), (200, "ready\n"));
    });
}
