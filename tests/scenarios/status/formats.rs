//! The page in its forms, and the module's part of mod_status.

use crate::common::pool::*;
use crate::common::status::*;
use crate::common::*;
use live_kit::{Mpm, World, eventually, pause, scenario, scenario_within};
use std::collections::BTreeMap;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);

/// All counters with their labels.
fn counters(text: &str) -> BTreeMap<String, f64> {
    let counter = |line: &&str| {
        line.split(['{', ' '])
            .next()
            .is_some_and(|name| name.ends_with("_total"))
    };
    let lines = text.lines().filter(counter);
    lines
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').expect("a sample");
            (name.to_owned(), value.parse().expect("a number"))
        })
        .collect()
}

/// Counters never go back, whoever answers: through graceful restarts, also with a changed configuration. What is
/// known of a member, and its events, are still there.
fn survive_reloads(w: &mut World, mpm: Mpm) {
    let (a, b) = backends();
    set_members(w);
    let text = |more: &str| format!("{PAGES}\n{}\n{more}", pool("liveinterval=200ms"));
    let mut httpd = start_pool(troubled(w.httpd().mpm(mpm).live(&text(""))), &[&a, &b]);
    a.kill();
    eventually(PATIENCE, || state(&httpd, ONE) == "down");
    let since = worker(&json(&httpd), ONE)["since_at_ms"].clone();
    let mut last: BTreeMap<String, f64> = BTreeMap::new();
    let look = |httpd: &live_kit::Httpd, last: &mut BTreeMap<String, f64>| {
        let now = counters(&httpd.get("/live-status?format=openmetrics").text());
        for (name, value) in &*last {
            // That of a worker which is not there now may be there again later.
            let known = now.get(name).unwrap_or(value);
            assert!(known >= value, "{name}: {value} -> {known}");
        }
        let all = now.keys().filter(|name| !name.contains("127.0.0.4"));
        assert!(
            all.count()
                >= last
                    .keys()
                    .filter(|name| !name.contains("127.0.0.4"))
                    .count()
        );
        last.extend(now);
    };
    for round in 0..4 {
        for _ in 0..10 {
            look(&httpd, &mut last);
            pause(0.02);
        }
        let more = if round % 2 == 0 {
            "ProxyPass /more/ http://127.0.0.4:9000/ live=on\nProxyTimeout 50"
        } else {
            ""
        };
        httpd.rewrite(&text(more));
        httpd.expect("up -> down");
        httpd.graceful();
    }
    look(&httpd, &mut last);
    assert!(last["proxy_live_probes_total"] > 10.0, "{last:?}");
    let page = json(&httpd);
    assert_eq!(page["epoch"], 5);
    let after = &worker(&page, ONE)["since_at_ms"];
    // Told in the time of people, from a clock of the machine: a rounding apart.
    let apart = after.as_i64().unwrap() - since.as_i64().unwrap();
    assert!(apart.abs() <= 5, "{after} {since}");
    let told = events(&page);
    let has = |what: &str| told.iter().any(|event| event.starts_with(what));
    assert!(
        has("worker: up -> down") && has("module:  -> configuration 5 in force"),
        "{told:#?}"
    );
}

#[test]
fn survive_reloads_event() {
    scenario_within(LIMIT, |w: &mut World| survive_reloads(w, Mpm::Event));
}

#[test]
fn survive_reloads_prefork() {
    scenario_within(LIMIT, |w: &mut World| survive_reloads(w, Mpm::Prefork));
}

/// mod_status: a section on its page, keys in `?auto`.
#[test]
fn mod_status() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        let text = format!(
            "<Location /server-status>\nSetHandler server-status\n</Location>\nProxyPass /server-status !\n{}",
            pool("liveinterval=500ms")
        );
        let httpd = start_pool(troubled(w.httpd().live(&text)), &[&a, &b]);
        let auto = || -> BTreeMap<String, String> {
            let text = httpd.get("/server-status?auto").text();
            let ours = text
                .lines()
                .filter_map(|line| line.strip_prefix("ProxyLive")?.split_once(": "));
            ours.map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect()
        };
        eventually(PATIENCE, || auto()["WorkersUp"] == "2");
        let keys = auto();
        assert_eq!(
            (keys["Ready"].as_str(), keys["Workers"].as_str()),
            ("1", "2")
        );
        assert_eq!(
            (
                keys["Worker[0]Name"].as_str(),
                keys["Worker[1]State"].as_str()
            ),
            (ONE, "up")
        );
        a.kill();
        eventually(PATIENCE, || auto()["WorkersDown"] == "1");
        assert_eq!(auto()["Worker[0]AddressesUp"], "0");
        let page = httpd.get("/server-status").text();
        let section = page
            .split_once("<h2>Live workers</h2>")
            .expect("the section")
            .1;
        for part in [
            ONE,
            TWO,
            "balancer://pool",
            "down",
            "connection refused",
            "ready",
        ] {
            assert!(section.contains(part), "{part}: {section}");
        }
        assert!(
            page.trim_end().ends_with("</body></html>"),
            "the page goes on"
        );
    });
}

/// `?refresh=`, formats and their types.
#[test]
fn types_and_fields() {
    scenario(|w: &mut World| {
        let (_a, _b) = backends();
        set_members(w);
        let httpd = w.httpd().live(&format!("{PAGES}\n{}", pool(""))).start();
        for (query, kind) in [
            ("", "text/html; charset=utf-8"),
            ("?format=html&refresh=5", "text/html; charset=utf-8"),
            ("?format=json", "application/json"),
            (
                "?format=openmetrics",
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
            ),
        ] {
            let reply = httpd.get(&format!("/live-status{query}"));
            assert_eq!(
                (reply.status, reply.header("Content-Type")),
                (200, Some(kind)),
                "{query}"
            );
            let refresh = query.contains("refresh").then_some("5");
            assert_eq!(reply.header("Refresh"), refresh);
            let length = reply
                .header("Content-Length")
                .and_then(|text| text.parse().ok());
            assert_eq!(length, Some(reply.body.len()));
        }
        let old = live_kit::Request::get("/live-status?format=openmetrics")
            .header("Accept", "text/plain");
        let reply = httpd.send(&old).unwrap();
        assert_eq!(
            reply.header("Content-Type"),
            Some("text/plain; version=0.0.4; charset=utf-8")
        );
        assert!(!reply.text().contains("# EOF"));
        eventually(PATIENCE, || ready(&httpd).0 == 200);
        let page = httpd.get("/live-status").text();
        assert!(!page.contains("<script") && !page.contains("http-equiv=\"refresh\""));
        assert!(
            page.contains(ONE) && page.contains("format=json") && page.contains("<svg"),
            "{page}"
        );
    });
}
