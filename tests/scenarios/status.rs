//! The status page on a real httpd: what it says is what is so.

mod formats;
mod pictures;
mod ready;
mod reloads;
mod safety;
mod truth;

use crate::common::noted::*;
use crate::common::pool::*;
use crate::common::processes::{leader, takeover};
use crate::common::status::*;
use crate::common::*;
use live_kit::{
    Fault, Httpd, MANAGER, Mode, Mpm, Type, World, answers, eventually, pause, scenario,
    scenario_within,
};
use serde_json::Value;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);

fn at(page: &Value, worker_name: &str, path: &str) -> Value {
    worker(page, worker_name)
        .pointer(path)
        .cloned()
        .unwrap_or_default()
}

/// A member goes down and comes back: state, reason, since, addresses, probes, requests and events follow.
fn down_and_back(w: &mut World, mpm: Mpm) {
    let (a, b) = backends();
    set_members(w);
    let text = format!("{MANAGER}\n{PAGES}\n{}", pool("liveinterval=500ms"));
    let httpd = start_pool(troubled(w.httpd().mpm(mpm).live(&text)), &[&a, &b]);
    eventually(PATIENCE, || state(&httpd, ONE) == "up");
    let page = json(&httpd);
    let since = at(&page, ONE, "/since_at_ms").as_u64().expect("a time");
    assert_eq!(at(&page, ONE, "/reason"), "");
    assert_eq!(at(&page, ONE, "/addresses/0/ip"), IP_A);
    assert_eq!(at(&page, ONE, "/dns"), "one.test");
    assert_eq!(at(&page, ONE, "/probe/target"), "one.test:9000");
    assert_eq!(page["balancers"][0]["ready"], true);
    a.kill();
    eventually(PATIENCE, || state(&httpd, ONE) == "down");
    let page = json(&httpd);
    assert_eq!(
        at(&page, ONE, "/reason"),
        format!("{IP_A} connection refused")
    );
    assert_eq!(at(&page, ONE, "/httpd_failed"), true);
    assert_eq!(at(&page, ONE, "/addresses/0/state"), "down");
    assert_eq!(at(&page, ONE, "/addresses/0/last/ok"), false);
    assert_eq!(
        at(&page, ONE, "/addresses/0/last/reason"),
        "connection refused"
    );
    assert!(at(&page, ONE, "/addresses/0/failures").as_u64() >= Some(2));
    let down_at = at(&page, ONE, "/since_at_ms").as_u64().expect("a time");
    let now = page["time_at_ms"].as_u64().expect("a time");
    assert!(
        since <= down_at && down_at <= now,
        "{since} {down_at} {now}"
    );
    let history = at(&page, ONE, "/addresses/0/history");
    let oks: Vec<bool> = history
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["ok"] == true)
        .collect();
    assert!(oks[0] && !oks[oks.len() - 1], "{oks:?}");
    assert_eq!(at(&page, TWO, "/state"), "up");
    a.revive();
    eventually(BACK, || state(&httpd, ONE) == "up");
    let page = json_of(&httpd, ONE);
    let told = events(&page);
    let order = [
        "address: up -> down (connection refused",
        "worker: up -> down",
        "address: down -> up",
        "worker: down -> up",
    ];
    let found = order.map(|what| told.iter().position(|event| event.starts_with(what)));
    assert!(found.iter().all(Option::is_some), "{told:#?}");
    assert!(found[0] < found[2] && found[1] < found[3], "{told:#?}");
    assert!(
        !page.to_string().contains("two.test:9000\",\"address"),
        "events of others"
    );
    assert_eq!(events(&json_of(&httpd, TWO)), Vec::<String>::new());
    drop(b);
}

#[test]
fn down_and_back_event() {
    scenario_within(LIMIT, |w: &mut World| down_and_back(w, Mpm::Event));
}

#[test]
fn down_and_back_prefork() {
    scenario_within(LIMIT, |w: &mut World| down_and_back(w, Mpm::Prefork));
}

/// Every child tells the same.
#[test]
fn all_children_agree() {
    scenario(|w: &mut World| {
        let (a, _b) = backends();
        set_members(w);
        set_app(w, &[IP_A]);
        let plain = "ProxyPass /plain/ http://app.test:9000/ live=on";
        let text = format!("{PAGES}\n{plain}\n{}", pool(""));
        let httpd = troubled(w.httpd().live(&text)).start();
        eventually(PATIENCE, || ready(&httpd).0 == 200);
        a.kill();
        eventually(PATIENCE, || {
            state(&httpd, "http://app.test:9000/") == "down"
        });
        pause(0.5);
        // One client after the other: the children take turns.
        let mut children = std::collections::BTreeSet::new();
        eventually(PATIENCE, || {
            let page = json(&httpd);
            let states = [ONE, TWO, "http://app.test:9000/"].map(|name| at(&page, name, "/state"));
            assert_eq!(states, ["down", "up", "down"], "child {}", page["pid"]);
            children.insert(page["pid"].as_u64());
            children.len() == httpd.children().len()
        });
    });
}

/// The last one stays in use while it only times out; the page says so, and the readiness URL, too.
#[test]
fn last_resort() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        let text = format!("{PAGES}\n{}", pool("liveinterval=500ms"));
        let httpd = start_pool(troubled(w.httpd().live(&text)), &[&a, &b]);
        eventually(PATIENCE, || ready(&httpd).0 == 200);
        b.kill();
        eventually(PATIENCE, || state(&httpd, TWO) == "down");
        w.vanish(IP_A);
        eventually(PATIENCE, || state(&httpd, ONE) == "last-resort");
        let page = json(&httpd);
        assert_eq!(at(&page, ONE, "/reason"), format!("{IP_A} time-out"));
        assert_eq!(at(&page, ONE, "/httpd_failed"), false);
        let line = "ready; last resort: balancer://pool";
        assert_eq!(ready(&httpd), (200, line.to_owned()));
        let told = events(&json_of(&httpd, ONE));
        assert!(
            told.iter()
                .any(|e| e.starts_with("worker: up -> last resort")),
            "{told:#?}"
        );
        w.appear(IP_A);
        eventually(BACK, || state(&httpd, ONE) == "up");
        assert_eq!(ready(&httpd).1, "ready");
    });
}

/// Most time out at once: what is held is shown as held, and nothing is down.
#[test]
fn held_by_a_storm() {
    scenario_within(LIMIT, |w: &mut World| {
        let ips = ["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"];
        let _backends = ips.map(|ip| backend(ip, ip));
        let mut text = format!("{PAGES}\n<Proxy balancer://pool>\n");
        for ip in ips {
            text += &format!("BalancerMember http://{ip}:9000 live=on liveinterval=1s\n");
        }
        text += "</Proxy>\nProxyPass / balancer://pool/";
        let httpd = troubled(w.httpd().live(&text).expect("] storm: ")).start();
        eventually(PATIENCE, || ready(&httpd).0 == 200);
        ips.iter().for_each(|ip| w.vanish(ip));
        let held = |page: &Value| {
            let members = page["balancers"][0]["members"].as_array().unwrap();
            members
                .iter()
                .filter(|member| member["held"] == true)
                .count()
        };
        eventually(PATIENCE, || held(&json(&httpd)) >= 1);
        let page = httpd.get("/live-status").text();
        assert!(page.contains("storm"), "{page}");
        w.appear_all();
        eventually(PATIENCE, || {
            let page = json(&httpd);
            let up = |ip: &str| at(&page, &format!("http://{ip}:9000"), "/state") == "up";
            held(&page) == 0 && ips.into_iter().all(up)
        });
        let told = events(&json(&httpd));
        assert!(
            told.iter().any(|e| e.starts_with("module:  -> storm (")),
            "{told:#?}"
        );
        assert!(metric(&httpd, "proxy_live_storms_total", "") >= 1.0);
    });
}

/// An observed member: httpd's own state, and what it would be.
#[test]
fn observed() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        let text = format!("{PAGES}\n{}", pool("").replace("live=on", "live=observe"));
        let httpd = start_pool(w.httpd().live(&text), &[&a, &b]);
        eventually(PATIENCE, || at(&json(&httpd), ONE, "/would_be") == "up");
        a.kill();
        eventually(PATIENCE, || at(&json(&httpd), ONE, "/would_be") == "down");
        let page = json(&httpd);
        assert_eq!(at(&page, ONE, "/live"), "observe");
        assert_eq!(at(&page, ONE, "/state"), "up", "httpd has not met it");
        assert_eq!(
            at(&page, ONE, "/reason"),
            format!("{IP_A} connection refused")
        );
        let told = events(&json_of(&httpd, ONE));
        assert!(
            told.iter()
                .any(|e| e.starts_with("observe:  -> would mark down")),
            "{told:#?}"
        );
        assert_eq!(ready(&httpd), (200, "ready".into()), "httpd uses it");
        assert_eq!(
            metric(
                &httpd,
                "proxy_live_worker_observed",
                "worker=\"http://one.test:9000\""
            ),
            1.0
        );
    });
}

/// What the administrator sets in the balancer-manager is seen.
#[test]
fn bits_of_the_administrator() {
    scenario(|w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        let text = format!(
            "{MANAGER}\n{PAGES}\n{}",
            pool_of("status=+H", "status=+I", "")
        );
        let httpd = start_pool(w.httpd().live(&text), &[&a, &b]);
        let page = json(&httpd);
        assert_eq!(at(&page, ONE, "/admin"), serde_json::json!(["hot-standby"]));
        assert_eq!(
            at(&page, TWO, "/admin"),
            serde_json::json!(["ignore-errors"])
        );
        let manager = httpd.manager("pool");
        manager.edit(TWO, "w_status_D=1");
        eventually(PATIENCE, || {
            at(&json(&httpd), TWO, "/admin")
                .to_string()
                .contains("disabled")
        });
        eventually(PATIENCE, || ready(&httpd).0 == 200);
        manager.edit(ONE, "w_status_N=1");
        eventually(PATIENCE, || ready(&httpd).0 == 503);
        assert_eq!(
            ready(&httpd).1,
            "not ready: balancer://pool has no usable member"
        );
    });
}

/// DNS: source, TTL, server, errors; what fails is told, what is over as well.
#[test]
fn names() {
    scenario_within(LIMIT, |w: &mut World| {
        let (_a, _b) = backends();
        w.dns.set("app.test", answers(&[IP_A], 2));
        w.hosts("127.0.0.3 local.test\n");
        let text = format!(
            "{PAGES}\nProxyPass /local/ http://local.test:9000/ live=on\n\
             ProxyPass / http://app.test:9000/ live=on livefamily=ipv4"
        );
        let httpd = w.httpd().live(&text).expect("DNS fails").start();
        eventually(PATIENCE, || ready(&httpd).0 == 200);
        let name = |httpd: &Httpd, name: &str| -> Value {
            let page = json(httpd);
            let all = page["names"].as_array().unwrap().iter();
            let mut all = all.filter(|found| found["name"] == name);
            all.next().cloned().expect("the name")
        };
        let local = name(&httpd, "local.test");
        assert_eq!(
            (&local["source"], &local["server"]),
            (&"hosts".into(), &Value::Null)
        );
        let app = name(&httpd, "app.test");
        assert_eq!(
            (&app["source"], &app["server"]),
            (&"dns".into(), &"127.0.0.1:53".into())
        );
        assert_eq!(
            (&app["ttl_s"], &app["addresses"][0]),
            (&2.into(), &IP_A.into())
        );
        assert!(app["ttl_left_ms"].as_u64() <= Some(2_000));
        assert_eq!(app["families"].as_array().unwrap().len(), 1);
        assert_eq!(app.pointer("/families/0/error"), Some(&Value::Null));
        w.dns.fail_type("app.test", Type::A, Fault::ServFail);
        let failing = |httpd: &Httpd| name(httpd, "app.test")["families"][0].clone();
        eventually(PATIENCE, || failing(&httpd)["failures"].as_u64() >= Some(1));
        let family = failing(&httpd);
        assert_eq!(family["error"], "SERVFAIL");
        assert!(family["failing_since_at_ms"].is_u64() && family["retry_at_ms"].is_u64());
        assert_eq!(ready(&httpd).0, 200, "the last good addresses are used");
        w.dns.heal("app.test");
        eventually(Duration::from_secs(40), || failing(&httpd)["failures"] == 0);
        assert_eq!(
            failing(&httpd)["error"],
            "SERVFAIL",
            "the last error there was"
        );
        assert_eq!(failing(&httpd)["failing_since_at_ms"], Value::Null);
        w.dns.set("app.test", answers(&[IP_B], 2));
        eventually(PATIENCE, || {
            name(&httpd, "app.test")["addresses"][0] == IP_B
        });
        let told = events(&json_of(&httpd, "http://app.test:9000/"));
        let want = [
            "dns:  -> failing (",
            "dns: failing -> answering (",
            "dns: 127.0.0.2 -> 127.0.0.3 (",
        ];
        let found = want.map(|what| told.iter().position(|event| event.starts_with(what)));
        assert!(
            found.iter().all(Option::is_some) && found.is_sorted(),
            "{told:#?}"
        );
    });
}

/// GETs that wait for a member that dies are counted where they left: ended, retried, rescued.
#[test]
fn rescued_requests() {
    scenario_within(LIMIT, |w: &mut World| {
        const GETS: usize = 3;
        let (a, b) = backends();
        set_members(w);
        let text = format!("{FRESH}\n{PAGES}\n{}", sticky_pool("", "", ""));
        let httpd = start_pool(troubled(w.httpd().live(&text)), &[&a, &b]);
        a.mode(Mode::Hang);
        let waiting = send_all(&httpd, &get_to("one", "/get"), GETS);
        wait_requests(&a, GETS);
        w.vanish(IP_A);
        assert!(answers_of(waiting).iter().all(|reply| reply.status == 200));
        let requests = || at(&json(&httpd), ONE, "/requests");
        let want =
            serde_json::json!({"ended": GETS, "retried": GETS, "rescued": GETS, "failed": 0});
        eventually(PATIENCE, || requests() == want);
        let labels = format!("worker=\"{ONE}\",outcome=\"rescued\"");
        let counted = metric(&httpd, "proxy_live_worker_requests_total", &labels);
        assert_eq!(counted, GETS as f64);
        let none = at(&json(&httpd), TWO, "/requests");
        assert!(none.as_object().unwrap().values().all(|n| n == 0), "{none}");
        eventually(PATIENCE, || {
            let told = events(&json_of(&httpd, ONE));
            let line = format!("requests:  -> {GETS} requests ended, {GETS} retried, 0 failed (");
            told.iter().any(|event| event.starts_with(&line))
        });
    });
}

/// Who leads, since when; another one after its death; events and counters go on.
#[test]
fn another_leader() {
    scenario(|w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        let text = format!("{PAGES}\n{}", pool(""));
        let mut httpd = start_pool(w.httpd().live(&text), &[&a, &b]);
        httpd.expect("exit signal Killed");
        let first = leader(&httpd);
        let page = json(&httpd);
        assert_eq!(page["leader"]["pid"], first);
        assert!(page["leader"]["heartbeat_age_ms"].as_u64() < Some(2_000));
        let probes = page["counters"]["probes"].as_u64();
        httpd.kill9(first);
        takeover(&httpd, first);
        let second = leader(&httpd);
        eventually(PATIENCE, || json(&httpd)["leader"]["pid"] == second);
        let page = json(&httpd);
        assert!(page["counters"]["probes"].as_u64() >= probes);
        assert_eq!(page["counters"]["takeovers"], 2);
        let told = events(&page);
        let want = format!("module:  -> child {second} leads (epoch 1, before: {first})");
        assert!(told.contains(&want), "{told:#?}");
    });
}
