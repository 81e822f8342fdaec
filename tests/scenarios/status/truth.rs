//! What the page and the readiness URL say is what a user would meet: the cases where that is not obvious.

use crate::common::pool::*;
use crate::common::processes::leader;
use crate::common::status::{PAGES, json, ready, text as words, worker};
use crate::common::*;
use live_kit::{
    FcgiBackend, Httpd, MANAGER, Mode, Request, Signal, World, all_at_once, answers, eventually,
    pause, scenario, scenario_within,
};
use serde_json::Value;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);

/// A site on two ports, alike in all but the port: each has its own states and counts.
#[test]
fn twins() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        let host = |port: u16| {
            format!(
                "<VirtualHost 127.0.0.1:{port}>\nServerName front.test\n{MANAGER}\n{PAGES}\n{}\n</VirtualHost>",
                pool("liveinterval=500ms")
            )
        };
        let text = format!("Listen 127.0.0.1:8181\n{}\n{}", host(8181), host(8080));
        let httpd = start_pool(troubled(w.httpd().live(&text)).expect("storm"), &[&a, &b]);
        eventually(PATIENCE, || ready(&httpd).0 == 200);
        let servers = |page: &Value| -> Vec<String> {
            let balancers = page["balancers"].as_array().unwrap().iter();
            balancers
                .map(|balancer| words(&balancer["servers"][0]))
                .collect()
        };
        let mut found = servers(&json(&httpd));
        found.sort();
        assert_eq!(found, ["front.test:8080", "front.test:8181"]);
        // In one of them the other member is disabled, so that ONE is its last resort, and only there.
        httpd.manager("pool").edit(TWO, "w_status_D=1");
        w.vanish(IP_A);
        eventually(PATIENCE, || httpd.logged("last resort: stays") > 0);
        pause(1.0);
        let of = |page: &Value, server: &str| -> (String, u64) {
            let all = page["balancers"].as_array().unwrap().iter();
            let mut own = all.filter(|balancer| balancer["servers"][0] == server);
            let member = &own.next().unwrap()["members"][0];
            (
                words(&member["state"]),
                member["since_at_ms"].as_u64().unwrap(),
            )
        };
        let first = json(&httpd);
        assert_eq!(of(&first, "front.test:8080").0, "last-resort", "{first:#}");
        assert_eq!(of(&first, "front.test:8181").0, "down");
        for _ in 0..50 {
            assert_eq!(
                ready(&httpd),
                (200, "ready; last resort: balancer://pool".into())
            );
            pause(0.02);
        }
        let second = json(&httpd);
        for server in ["front.test:8080", "front.test:8181"] {
            let (before, after) = (of(&first, server), of(&second, server));
            assert!(
                before.0 == after.0 && before.1.abs_diff(after.1) < 10,
                "{before:?} {after:?}"
            );
        }
        w.appear_all();
    });
}

/// One request meets a refused connection, and httpd keeps the only member in error for a minute, but ends that with
/// the next request (forcerecovery): so the URL says 200, and that request is served.
fn one_refused(w: &mut World, parameters: &str) {
    let a = backend("A", IP_A);
    set_app(w, &[IP_A]);
    let text = format!(
        "{PAGES}\n<Proxy balancer://pool>\nBalancerMember http://app.test:9000 {parameters}\n</Proxy>\n\
         ProxyPass / balancer://pool/"
    );
    let httpd = troubled(w.httpd().live(&text)).start();
    wait_known(&httpd, "app.test");
    eventually(PATIENCE, || ready(&httpd).0 == 200);
    a.kill();
    assert_eq!(httpd.get("/").status, 503);
    a.revive();
    pause(1.0);
    assert_eq!(ready(&httpd), (200, "ready".into()));
    assert_eq!(httpd.get("/").status, 200);
}

#[test]
fn one_refused_observe() {
    scenario(|w: &mut World| one_refused(w, "live=observe"));
}

#[test]
fn one_refused_without_probes() {
    scenario(|w: &mut World| one_refused(w, "live=on liveprobe=off"));
}

/// Statuses of `failonstatus` put both members into error: the same.
#[test]
fn all_in_error_by_their_answers() {
    scenario(|w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        let text = format!("{PAGES}\n{}", pool_of("", "", "ProxySet failonstatus=500"));
        let httpd = start_pool(troubled(w.httpd().live(&text)), &[&a, &b]);
        eventually(PATIENCE, || ready(&httpd).0 == 200);
        let codes = [(); 2].map(|()| httpd.get("/bad?status=500").status);
        assert_eq!(codes, [500; 2]);
        pause(1.0);
        assert_eq!(ready(&httpd), (200, "ready".into()));
        assert_eq!(httpd.get("/").status, 200);
    });
}

/// No route to any member: requests fail, so it is not ready, although that says nothing about the backends.
#[test]
fn no_route() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        let text = format!("{PAGES}\n{FRESH}\n{}", pool("liveinterval=500ms"));
        let builder = troubled(w.httpd().live(&text));
        let builder = builder
            .expect("cannot be probed")
            .expect("DNS fails")
            .expect("storm");
        let httpd = start_pool(builder, &[&a, &b]);
        eventually(PATIENCE, || ready(&httpd).0 == 200);
        let ip = |words: &str| {
            let status = Command::new("ip").args(words.split(' ')).status();
            assert!(status.expect("ip").success(), "{words}");
        };
        // The kernel's first rule (local addresses) makes room for others.
        ip("-4 rule add pref 5 lookup local");
        ip("-4 rule del pref 0 lookup local");
        let unreachable = |action: &str| {
            ip(&format!(
                "-4 rule {action} pref 1 to 127.0.0.2/31 unreachable"
            ))
        };
        unreachable("add");
        eventually(PATIENCE, || ready(&httpd).0 == 503);
        assert_eq!(
            ready(&httpd).1,
            "not ready: balancer://pool has no usable member"
        );
        let page = json(&httpd);
        let one = worker(&page, ONE);
        assert_eq!(one["state"], "error");
        assert!(one["reason"].to_string().contains("no route here"), "{one}");
        assert_eq!(one["httpd_failed"], false, "no verdict about the backend");
        assert_eq!(httpd.get("/").status, 503);
        unreachable("del");
        eventually(BACK, || ready(&httpd).0 == 200);
        assert_eq!(httpd.get("/").status, 200);
        assert_eq!(changes(&httpd), 0);
    });
}

/// DNS has never answered, and then the leader falls silent: no reason to send users.
#[test]
fn nobody_leads_and_nothing_is_known() {
    scenario(|w: &mut World| {
        let text = format!("{PAGES}\n{FOLLOW}");
        let builder = troubled(w.httpd().live(&text))
            .expect("DNS fails")
            .expect("AH0");
        let httpd = builder.expect("silent").expect("heard").start();
        pause(1.0);
        let old = leader(&httpd);
        httpd.signal(old, Signal::STOP);
        pause(4.5);
        let answers = [(); 3].map(|()| ready(&httpd).0);
        httpd.signal(old, Signal::CONT);
        assert_eq!(answers, [503; 3]);
    });
}

/// A request is rescued to a member that is not live, or that makes no connection that is seen.
fn rescued_to(w: &mut World, other: &str) {
    let a = backend("A", IP_A);
    w.dns.set("one.test", answers(&[IP_A], 600));
    let text = format!(
        "{PAGES}\n{FRESH}\n<Proxy balancer://pool>\nBalancerMember {ONE} live=on\n{other}\n</Proxy>\n\
         ProxyPass / balancer://pool/"
    );
    let httpd = troubled(w.httpd().module("proxy_fcgi").live(&text)).start();
    wait_probed(&[&a]);
    eventually(PATIENCE, || ready(&httpd).0 == 200);
    a.mode(Mode::Hang);
    let waiting = all_at_once(
        httpd.addr(),
        &Request::get("/x"),
        6,
        Duration::from_secs(20),
    );
    eventually(PATIENCE, || a.requests() >= 2);
    pause(0.3);
    a.close_all();
    for one in waiting {
        assert_eq!(one.join().unwrap().expect("an answer").status, 200);
    }
    let requests = |httpd: &Httpd| worker(&json(httpd), ONE)["requests"].clone();
    eventually(PATIENCE, || {
        let counted = requests(&httpd);
        counted["retried"].as_u64() >= Some(2) && counted["rescued"] == counted["retried"]
    });
}

#[test]
fn rescued_to_a_stranger() {
    scenario(|w: &mut World| {
        let _b = backend("B", IP_B);
        rescued_to(w, "BalancerMember http://127.0.0.3:9000");
    });
}

#[test]
fn rescued_to_fcgi() {
    scenario(|w: &mut World| {
        let _f = FcgiBackend::start("F", "127.0.0.3:9000");
        rescued_to(w, "BalancerMember fcgi://127.0.0.3:9000 live=on");
    });
}

/// As documents of errors the pages leave the error what it is.
#[test]
fn documents_of_errors() {
    scenario(|w: &mut World| {
        let text = format!(
            "{PAGES}\nErrorDocument 404 /live-ready\nErrorDocument 403 /live-status\n\
             <Location /no>\nRequire all denied\n</Location>"
        );
        let httpd = w.httpd().live(&text).expect("AH01630").start();
        let missing = httpd.get("/missing");
        assert_eq!((missing.status, missing.text().as_str()), (404, "ready\n"));
        assert_eq!(httpd.get("/no").status, 403);
    });
}
