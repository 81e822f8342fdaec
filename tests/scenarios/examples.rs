//! Every file of httpd-conf/ is loaded by a real httpd and does what it says; every example of the documents
//! is valid.

mod checks;
mod status;

use crate::common::*;
use live_kit::{
    Backend, Httpd, MANAGER, Mode, Reply, Request, World, all_at_once, eventually, pause, scenario,
};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("httpd-conf")
}

fn text(name: &str) -> String {
    fs::read_to_string(folder().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// A new example needs a scenario here.
#[test]
fn every_example_is_known() {
    let mut names: Vec<String> = fs::read_dir(folder())
        .expect("httpd-conf")
        .map(|entry| {
            entry
                .expect("entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    let known = [
        "alb.conf",
        "checks.conf",
        "fleet",
        "observe.conf",
        "pair.conf",
        "proxy_live.conf",
        "proxy_live.load",
        "status.conf",
    ];
    assert_eq!(names, known);
}

#[test]
fn the_load_file_is_what_a2enmod_expects() {
    let load = text("proxy_live.load");
    assert!(load.starts_with("# Depends: proxy\n"), "{load}");
    assert!(load.contains("\nLoadModule proxy_live_module /"), "{load}");
    assert!(load.trim_end().ends_with("/mod_proxy_live.so"), "{load}");
}

/// As shipped, and with every commented default made real.
#[test]
fn the_configuration_file() {
    scenario(|w: &mut World| {
        let shipped = text("proxy_live.conf");
        let defaults: String = shipped
            .lines()
            .map(|line| line.replacen("    #ProxyLive", "    ProxyLive", 1) + "\n")
            .collect();
        assert_ne!(shipped, defaults, "no commented defaults found");
        for text in [shipped, defaults] {
            let (ok, said) = w.httpd().live(&text).check();
            assert!(ok, "{said}");
        }
    });
}

#[test]
fn alb() {
    scenario(|w: &mut World| {
        let _a = Backend::start("A", "127.0.0.2:80");
        let _b = Backend::start("B", "127.0.0.3:80");
        w.dns.set("backend.example.com", short(&[IP_A]));
        let example = text("alb.conf");
        let httpd = w.httpd().listen("127.0.0.1:80").live(&example).start();
        wait_known(&httpd, "backend.example.com");
        assert_eq!(httpd.get("/").backend, "A");
        w.dns.set("backend.example.com", short(&[IP_B]));
        after_ttl(Instant::now(), 1);
        assert_eq!(httpd.get("/").backend, "B");
    });
}

/// A user with this cookie asks.
fn ask(httpd: &Httpd, cookie: &str) -> Reply {
    let request = Request::get("/").header("Cookie", cookie);
    httpd.send(&request).expect("an answer")
}

/// A new user who was given to `backend`: the cookie.
fn user_of(httpd: &Httpd, backend: &str) -> String {
    let mut cookie = String::new();
    eventually(Duration::from_secs(5), || {
        let reply = httpd.get("/");
        let set = reply.header("Set-Cookie").expect("a cookie for a new user");
        cookie = set.split(';').next().unwrap_or_default().to_owned();
        reply.backend == backend
    });
    cookie
}

/// A number of requests of this user are answered by `backend`, without a wait.
#[track_caller]
fn stays(httpd: &Httpd, cookie: &str, backend: &str) {
    for _ in 0..8 {
        let start = Instant::now();
        let reply = ask(httpd, cookie);
        assert_eq!((reply.status, reply.backend.as_str()), (200, backend));
        assert!(start.elapsed() < QUICK, "{:?}", start.elapsed());
    }
}

#[test]
fn pair() {
    scenario(|w: &mut World| {
        let app1 = Backend::start("app1", "127.0.0.2:8080");
        let _app2 = Backend::start("app2", "127.0.0.3:8080");
        w.dns.set("app1.example.com", short(&[IP_A]));
        w.dns.set("app2.example.com", short(&[IP_B]));
        let builder = w.httpd().listen("127.0.0.1:80").live(&text("pair.conf"));
        // The module alone says something: no request meets the dead server.
        let httpd = builder.expect("up -> down").start();
        wait_known(&httpd, "app1.example.com");
        wait_known(&httpd, "app2.example.com");
        let users = [user_of(&httpd, "app1"), user_of(&httpd, "app2")];
        assert_eq!(users, ["ROUTEID=.1", "ROUTEID=.2"]);
        stays(&httpd, &users[0], "app1");
        stays(&httpd, &users[1], "app2");
        // Probes know both by now.
        eventually(Duration::from_secs(10), || app1.probed() > 1);

        app1.kill();
        eventually(Duration::from_secs(10), || {
            httpd.logged("up -> down (127.0.0.2") > 0
        });
        pause(0.2);
        app1.forget();
        let moved = ask(&httpd, &users[0]);
        assert_eq!(moved.backend, "app2");
        assert_eq!(moved.header("Set-Cookie"), Some("ROUTEID=.2; path=/"));
        stays(&httpd, &users[0], "app2");
        stays(&httpd, &users[1], "app2");
        assert_eq!(httpd.logged("attempt to connect to 127.0.0.2"), 0);

        app1.revive();
        eventually(Duration::from_secs(10), || {
            ask(&httpd, &users[0]).backend == "app1"
        });
        pause(0.2);
        stays(&httpd, &users[0], "app1");
        stays(&httpd, &users[1], "app2");
        assert_eq!(user_of(&httpd, "app1"), users[0]);
    });
}

/// With its commented access log made real: the user of a server that dies gets the answer of the other one.
#[test]
fn pair_rescues() {
    scenario(|w: &mut World| {
        let app1 = Backend::start("app1", "127.0.0.2:8080");
        let _app2 = Backend::start("app2", "127.0.0.3:8080");
        w.dns.set("app1.example.com", short(&[IP_A]));
        w.dns.set("app2.example.com", short(&[IP_B]));
        let example = text("pair.conf");
        let logged = example
            .replace("#LogFormat", "LogFormat")
            .replace("#CustomLog", "CustomLog")
            .replace("${APACHE_LOG_DIR}", "logs");
        let builder = w.httpd().listen("127.0.0.1:80").live(&logged);
        let httpd = pool::troubled(builder).start();
        wait_known(&httpd, "app1.example.com");
        wait_known(&httpd, "app2.example.com");
        let user = user_of(&httpd, "app1");
        eventually(Duration::from_secs(10), || app1.probed() > 1);

        app1.mode(Mode::Slow(Duration::from_secs(40)));
        let before = app1.requests();
        let request = Request::get("/report").header("Cookie", &user);
        let waits = all_at_once(httpd.addr(), &request, 2, Duration::from_secs(30));
        eventually(Duration::from_secs(10), || app1.requests() == before + 2);
        pause(0.5);
        w.vanish(IP_A);
        for one in waits {
            let reply = one.join().expect("a client").expect("an answer");
            assert_eq!((reply.status, reply.backend.as_str()), (200, "app2"));
        }
        let path = httpd.root().join("logs/access.log");
        let log = || fs::read_to_string(&path).unwrap_or_default();
        eventually(Duration::from_secs(5), || {
            log().matches("/report").count() == 2
        });
        for line in log().lines().filter(|line| line.contains("/report")) {
            assert!(line.ends_with(" 127.0.0.3:8080 2 \"dead\""), "{line}");
        }
        // By the module or the kernel, whoever noticed first.
        let told =
            |l: &str| l.contains("app1.example.com:8080: ") && l.contains(" 2 retried, 0 failed");
        eventually(Duration::from_secs(10), || {
            httpd.error_log().lines().any(told)
        });
        w.appear(IP_A);
    });
}

/// Every commented line about a member, in place of the one it is about, or as one more.
#[test]
fn the_knobs_of_pair() {
    scenario(|w: &mut World| {
        let example = text("pair.conf");
        let knobs: Vec<&str> = example
            .lines()
            .filter_map(|line| line.trim_start().strip_prefix('#'))
            .filter(|line| line.starts_with("BalancerMember "))
            .collect();
        for known in [
            "liveprobe=http",
            "liverescue=eager",
            "live=observe",
            "liveport=",
            "liveinterval=",
            "livefall=",
            "livelastresort=",
            "liverescue=",
            "status=+H",
        ] {
            assert!(knobs.iter().any(|k| k.contains(known)), "no {known}");
        }
        for knob in knobs {
            let url = knob.split(' ').nth(1).expect("a member");
            let member = format!("BalancerMember {url}");
            let others = example
                .lines()
                .filter(|line| !line.trim_start().starts_with(&member));
            let text: String = others.map(|line| format!("{line}\n")).collect();
            let text = text.replacen("ProxySet", &format!("{knob}\nProxySet"), 1);
            let httpd = w.httpd().live(&text);
            let (ok, said) = httpd.check();
            assert!(ok && !said.contains("live"), "{knob}\n{said}");
        }
    });
}

/// A server whose process is killed is told of, and stays what it is for mod_proxy.
#[test]
fn observe() {
    scenario(|w: &mut World| {
        let app1 = Backend::start("app1", "127.0.0.2:8080");
        let _app2 = Backend::start("app2", "127.0.0.3:8080");
        w.dns.set("app1.example.com", short(&[IP_A]));
        w.dns.set("app2.example.com", short(&[IP_B]));
        let name = "ServerName www.example.com";
        let managed = text("observe.conf").replacen(name, &format!("{name}\n{MANAGER}"), 1);
        let httpd = w.httpd().listen("127.0.0.1:80").live(&managed).start();
        wait_known(&httpd, "app2.example.com");
        eventually(Duration::from_secs(10), || app1.probed() > 1);
        let url = "http://app1.example.com:8080";
        let told =
            |what: &str| httpd.logged(&format!("worker {url}: observe: would {what} (127.0.0.2"));
        app1.kill();
        eventually(Duration::from_secs(15), || told("mark down") == 1);
        assert!(!httpd.manager("mycluster").has(url, "HcFl"));
        app1.revive();
        eventually(Duration::from_secs(15), || told("mark up") == 1);
        assert_eq!(httpd.logged("8080: up -> down"), 0, "{}", httpd.error_log());
    });
}

/// The blocks of the documents that are marked as httpd's configuration, as a reader copies them.
fn blocks(file: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{file}: {e}"));
    let parts = text.split("```apache\n").skip(1);
    parts
        .map(|part| part.split("```").next().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn every_block_of_the_documents_is_valid() {
    scenario(|w: &mut World| {
        for file in [
            "README.md",
            "docs/directives.md",
            "docs/checks.md",
            "docs/fleet.md",
            "docs/status.md",
        ] {
            let blocks = blocks(file);
            assert!(!blocks.is_empty(), "{file}: no examples found");
            for block in blocks {
                // Of a server that runs: not here.
                let block = block.replace("/run/apache2/", "run/");
                let builder = w.httpd().module("authz_host").live(&block);
                let (ok, said) = builder.check();
                assert!(ok, "{file}:\n{block}\n{said}");
            }
        }
    });
}
