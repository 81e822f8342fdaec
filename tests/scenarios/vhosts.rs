//! Workers in virtual hosts: inherited, copied and shared ones, many of them; one name in many places.

use crate::common::places::*;
use crate::common::*;
use live_kit::{Backend, Httpd, Type, World, answers, eventually, pause, scenario};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// A virtual host with lines of mod_proxy's own has copies of the main server's workers; `ProxyLive` there is
/// about its copies.
#[test]
fn an_inherited_worker_has_the_default_of_its_virtual_host() {
    scenario(|w: &mut World| {
        let _backends = backends();
        set_app(w, &[IP_A]);
        let host = |name: &str, line: &str| {
            format!("<VirtualHost *:8080>\nServerName {name}.front\n{line}\n</VirtualHost>\n")
        };
        let lines = [
            "",
            "ProxyLive on\nProxyPass /own/ http://own.test:9000/ live=off",
        ];
        let text = [
            "ProxyPass / http://app.test:9000/\n".to_owned(),
            host("bare", lines[0]),
            host("on", lines[1]),
        ];
        let httpd = start_following(builder(w).live(&text.concat()));
        let url = |host: &str| format!("http://{host}.front/");
        all_children_use(&httpd, &url("bare"), "A");
        all_children_use(&httpd, &url("on"), "A");
        set_app(w, &[IP_B]);
        after_ttl(Instant::now(), 1);
        all_children_use(&httpd, &url("bare"), "A");
        all_children_use(&httpd, &url("on"), "B");
    });
}

/// Without any such line it uses the very same workers: one that wants them live is enough.
#[test]
fn a_worker_shared_with_a_virtual_host_that_wants_it() {
    scenario(|w: &mut World| {
        let _backends = backends();
        set_app(w, &[IP_A]);
        let text = "ProxyPass / http://app.test:9000/
            <VirtualHost *:8080>
                ServerName on.front
                ProxyLive on
            </VirtualHost>
            <VirtualHost *:8080>
                ServerName off.front
                ProxyLive off
            </VirtualHost>";
        let httpd = start_following(builder(w).live(text));
        let urls = ["http://on.front/", "http://off.front/"];
        urls.iter()
            .for_each(|url| all_children_use(&httpd, url, "A"));
        set_app(w, &[IP_B]);
        after_ttl(Instant::now(), 1);
        urls.iter()
            .for_each(|url| all_children_use(&httpd, url, "B"));
    });
}

/// mod_proxy gives URLs with a common beginning one worker; the parameters of the first line count.
#[test]
fn a_worker_shared_by_prefix() {
    scenario(|w: &mut World| {
        let (a, b) = backends();
        let names = ["wide", "narrow"];
        set_all(w, &names, IP_A);
        let text = "
            ProxyPass /wide/ http://wide.test:9000/ live=on
            ProxyPass /deep/ http://wide.test:9000/deep/
            ProxyPass /ignored/ http://wide.test:9000/other/ live=off
            ProxyPass /narrow/ http://narrow.test:9000/apps/ live=on
            ProxyPass /apart/ http://narrow.test:9000/";
        let httpd = builder(w).live(text).expect("AH01146").start();
        let url = |name: &str| format!("/{name}/x");
        wait_known(&httpd, "wide.test");
        wait_known(&httpd, "narrow.test");
        for name in ["wide", "deep", "ignored", "narrow", "apart"] {
            all_children_use(&httpd, &url(name), "A");
        }
        set_all(w, &names, IP_B);
        after_ttl(Instant::now(), 1);
        // a URL above the live one is another worker, and not live
        for (name, backend) in [
            ("wide", "B"),
            ("deep", "B"),
            ("ignored", "B"),
            ("narrow", "B"),
            ("apart", "A"),
        ] {
            all_children_use(&httpd, &url(name), backend);
        }
        assert!(httpd.logged("Ignoring parameter 'live=off'") >= 1);
        let paths: BTreeSet<String> = b.seen().into_iter().map(|s| s.path).collect();
        assert!(
            paths.contains("/deep/x?delay=150") && paths.contains("/apps/x?delay=150"),
            "{paths:?}"
        );
        assert!(a.open() > 0);
    });
}

/// Several virtual hosts use the workers of the main server: each has a copy of its own in each child.
#[test]
fn virtual_hosts_inherit_from_the_main_server() {
    scenario(|w: &mut World| {
        let (a, _b) = backends();
        let names = ["plain", "member"];
        set_all(w, &names, IP_A);
        let mut text = "
            ProxyPass /plain/ http://plain.test:9000/ live=on
            <Proxy balancer://pool>
                BalancerMember http://member.test:9000 live=on
            </Proxy>
            ProxyPass /member/ balancer://pool/\n"
            .to_owned();
        let hosts: Vec<String> = (1..=5).map(|n| format!("v{n}.front")).collect();
        for host in &hosts {
            let _ = writeln!(
                text,
                "<VirtualHost *:8080>\nServerName {host}\n</VirtualHost>"
            );
        }
        let httpd = builder(w).live(&text).start();
        names
            .iter()
            .for_each(|name| wait_known(&httpd, &format!("{name}.test")));
        let everywhere = |backend: &str| {
            for host in &hosts {
                for name in names {
                    all_children_use(&httpd, &format!("http://{host}/{name}/x"), backend);
                }
            }
        };
        everywhere("A");
        assert!(a.open() > 0);
        set_all(w, &names, IP_B);
        after_ttl(Instant::now(), 1);
        everywhere("B");
        eventually(Duration::from_secs(2), || a.open() == 0);
        // asked once, however many copies
        w.dns.forget();
        pause(4.0);
        for name in names {
            for kind in [Type::A, Type::Aaaa] {
                let asked = w.dns.count(&format!("{name}.test"), kind);
                assert!(
                    (3..=4).contains(&asked),
                    "{name}: {asked} queries in 4 s at a TTL of 1 s"
                );
            }
        }
    });
}

/// 200 virtual hosts, 40 names.
#[test]
fn many_virtual_hosts() {
    const HOSTS: usize = 200;
    const NAMES: usize = 40;
    scenario(|w: &mut World| {
        let (_a, _b) = backends();
        let name = |n: usize| format!("n{}.test", n % NAMES);
        let set =
            |w: &World, ip: &str| (0..NAMES).for_each(|n| w.dns.set(&name(n), answers(&[ip], 2)));
        set(w, IP_A);
        let mut text = "ProxyLive on\n".to_owned();
        for n in 0..HOSTS {
            let _ = writeln!(
                text,
                "<VirtualHost *:8080>\nServerName v{n}.front\nProxyPass / http://{}:9000/\n</VirtualHost>",
                name(n)
            );
        }
        let mut httpd = builder(w).live(&text).start();
        eventually(Duration::from_secs(5), || {
            httpd.logged("addresses none -> 127.0.0.2") == NAMES
        });
        let answers_of = |httpd: &Httpd| {
            let mut client = httpd.client();
            let mut by: BTreeMap<String, usize> = BTreeMap::new();
            for n in 0..HOSTS {
                let request = live_kit::Request::get("/").header("Host", &format!("v{n}.front"));
                let reply = client.send(&request).expect("an answer");
                *by.entry(reply.backend).or_default() += 1;
            }
            by
        };
        assert_eq!(
            answers_of(&httpd),
            BTreeMap::from([("A".to_owned(), HOSTS)])
        );
        w.dns.forget();
        pause(6.0);
        let asked: Vec<usize> = (0..NAMES).map(|n| w.dns.count(&name(n), Type::A)).collect();
        assert!(
            asked.iter().all(|n| (2..=4).contains(n)),
            "queries in 6 s at a TTL of 2 s: {asked:?}"
        );
        set(w, IP_B);
        after_ttl(Instant::now(), 2);
        assert_eq!(
            answers_of(&httpd),
            BTreeMap::from([("B".to_owned(), HOSTS)])
        );
        // a reload keeps all of it
        w.dns.forget();
        let old = httpd.children();
        httpd.graceful();
        // An old child may close a kept connection just as its next request comes.
        eventually(Duration::from_secs(8), || {
            httpd.children().iter().all(|child| !old.contains(child))
        });
        assert_eq!(
            answers_of(&httpd),
            BTreeMap::from([("B".to_owned(), HOSTS)])
        );
        let asked: Vec<usize> = (0..NAMES).map(|n| w.dns.count(&name(n), Type::A)).collect();
        assert!(
            asked.iter().all(|n| *n <= 2),
            "a storm after the reload: {asked:?}"
        );
    });
}

/// One name in many places, with different settings: asked once, as the most eager of them wants.
#[test]
fn one_name_in_many_places() {
    scenario(|w: &mut World| {
        let _backends = backends();
        let _other = Backend::start("B2", "127.0.0.3:9001");
        let _first = Backend::start("A2", "127.0.0.2:9001");
        w.dns.set("app.test", answers(&[IP_A], 3600));
        let text = "
            ProxyPass /slow/ http://app.test:9000/ live=on livettl=10s-1h
            ProxyPass /fast/ http://app.test:9001/ live=on livettl=1s-1s
            ProxyPass /four/ http://APP.test:9000/four/ live=on livefamily=ipv4
            <VirtualHost *:8080>
                ServerName v.front
                ProxyPass /host/ http://app.test:9000/ live=on
            </VirtualHost>";
        let httpd = builder(w).live(text).expect("AH01146").start();
        wait_known(&httpd, "app.test");
        let places = [("slow", ""), ("fast", "2"), ("four", ""), ("host", "")];
        places
            .iter()
            .for_each(|(p, n)| all_children_use(&httpd, &format!("/{p}/x"), &format!("A{n}")));
        w.dns.forget();
        pause(4.0);
        let asked = w.dns.count("app.test", Type::A);
        assert!(
            (3..=4).contains(&asked),
            "{asked} queries in 4 s at a TTL bounded to 1 s"
        );
        w.dns.set("app.test", answers(&[IP_B], 3600));
        after_ttl(Instant::now(), 1);
        places
            .iter()
            .for_each(|(p, n)| all_children_use(&httpd, &format!("/{p}/x"), &format!("B{n}")));
    });
}
