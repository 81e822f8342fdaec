//! The page of a real httpd in a real browser, wide and narrow, in four states. `LIVE_PICTURES=directory` keeps the
//! pictures.

use crate::common::pool::*;
use crate::common::status::*;
use crate::common::*;
use live_kit::{
    Backend, Browser, Fault, Httpd, View, World, answers, assert_html, assert_json,
    assert_openmetrics, assert_prometheus, eventually, pause, scenario_within,
};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(180);
const ALL: [View; 4] = [
    View::DESKTOP,
    View::PHONE,
    View {
        dark: true,
        ..View::DESKTOP
    },
    View {
        dark: true,
        ..View::PHONE
    },
];

/// A shop as many are: a pool of two, a name behind the proxy, one worker that is left to httpd.
fn shop(w: &mut World, live: &str) -> (Backend, Backend, Httpd) {
    let (a, b) = backends();
    set_members(w);
    w.dns.set("app.test", answers(&[IP_A, IP_B], 5));
    let text = format!(
        "{PAGES}\nProxyPass /old/ http://two.test:9000/old/ live=on disablereuse=on\n\
         ProxyPass /plain/ http://app.test:9000/ live={live} liveinterval=200ms\n{}",
        pool("liveinterval=200ms").replace("live=on", &format!("live={live}"))
    );
    let builder = troubled(w.httpd().live(&text)).expect("DNS fails");
    let httpd = start_pool(builder, &[&a, &b]);
    eventually(PATIENCE, || ready(&httpd).0 == 200);
    // Something to see in the charts.
    pause(2.0);
    (a, b, httpd)
}

/// Looks at the page in all ways, and has others read it; its title and text have these parts.
#[track_caller]
fn look(httpd: &Httpd, name: &str, title: &str, parts: &[&str]) {
    let url = format!("http://{}/live-status", httpd.addr());
    let mut browser = Browser::start();
    for view in ALL {
        let look = browser.look(&url, view);
        look.keep(&format!("real-{name}"), view);
        look.assert_whole(&url, view);
        assert_eq!(look.status, 200);
        assert!(look.title.contains(title), "{}", look.title);
        for part in parts {
            assert!(
                look.text.contains(part),
                "{part} in {view:?}: {}",
                look.text
            );
        }
    }
    drop(browser);
    let get = |query: &str| httpd.get(&format!("/live-status{query}")).text();
    assert_html(name, &get(""));
    assert_html(name, &get(&format!("?worker={ONE}&refresh=30")));
    assert_json(name, &get("?format=json"));
    assert_openmetrics(name, &get("?format=openmetrics"));
    let old =
        live_kit::Request::get("/live-status?format=openmetrics").header("Accept", "text/plain");
    assert_prometheus(name, &httpd.send(&old).unwrap().text());
}

#[test]
fn all_well() {
    scenario_within(LIMIT, |w: &mut World| {
        let (_a, _b, httpd) = shop(w, "on");
        look(
            &httpd,
            "well",
            "up",
            &[
                "balancer://pool",
                ONE,
                TWO,
                "app.test",
                "disablereuse=on",
                IP_B,
            ],
        );
    });
}

#[test]
fn one_member_down() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, _b, httpd) = shop(w, "on");
        a.kill();
        eventually(PATIENCE, || state(&httpd, ONE) == "down");
        pause(1.0);
        look(
            &httpd,
            "down",
            "1 of 3 workers down",
            &["down", "connection refused", "ready"],
        );
    });
}

#[test]
fn dns_failing() {
    scenario_within(LIMIT, |w: &mut World| {
        let (_a, _b, httpd) = shop(w, "on");
        w.dns.fail("app.test", Fault::ServFail);
        let failing = |httpd: &Httpd| json(httpd)["names"][0].to_string().contains("SERVFAIL");
        eventually(PATIENCE, || failing(&httpd));
        pause(1.0);
        look(&httpd, "dns", "up", &["SERVFAIL", "app.test", "ready"]);
    });
}

#[test]
fn observe() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, _b, httpd) = shop(w, "observe");
        a.kill();
        let would = |httpd: &Httpd| worker(&json(httpd), ONE)["would_be"] == "down";
        eventually(PATIENCE, || would(&httpd));
        pause(1.0);
        look(
            &httpd,
            "observe",
            "up",
            &["observe", "would mark down", "connection refused"],
        );
    });
}
