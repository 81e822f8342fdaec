//! Everything fails at once: the trouble is probably here.

use crate::common::pool::*;
use crate::common::*;
use live_kit::{Backend, Httpd, World, answers, eventually, pause, scenario_within};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);
const NAMES: [(&str, &str); 4] = [
    ("A", "127.0.0.2"),
    ("B", "127.0.0.3"),
    ("C", "127.0.0.4"),
    ("D", "127.0.0.5"),
];

/// A balancer of four members, each on a machine of its own.
fn four(w: &mut World) -> (Vec<Backend>, Httpd) {
    let mut text = "<Proxy balancer://pool>\n".to_owned();
    for (name, ip) in NAMES {
        let host = format!("{}.test", name.to_lowercase());
        w.dns.set(&host, answers(&[ip], 600));
        text += &format!("BalancerMember http://{host}:9000 live=on timeout=2\n");
    }
    text += "</Proxy>\nProxyPass / balancer://pool/";
    let backends: Vec<Backend> = NAMES.iter().map(|(name, ip)| backend(name, ip)).collect();
    // Of the module only the line of the storm, or of the local trouble, is expected.
    let builder = w.httpd().live(&text).expect("[proxy:error]");
    let builder = builder
        .expect("[proxy_http:error]")
        .expect("[proxy_balancer:error]");
    let builder = builder
        .expect("DNS fails")
        .expect("] storm: ")
        .expect("cannot be probed");
    let httpd = builder.start();
    wait_probed(&backends.iter().collect::<Vec<_>>());
    (backends, httpd)
}

/// All four are in use soon, and nothing changes any more.
fn calm(httpd: &Httpd) {
    eventually(BACK, || httpd.try_get("/").is_ok_and(|r| r.status == 200));
    eventually(BACK, || used(httpd) == ["A", "B", "C", "D"]);
    let load = httpd.load().clients(4).start();
    pause(6.0);
    load.stop().assert_clean(PROMPT);
    assert_eq!(changes(httpd), 0, "{:#?}", httpd.live_lines());
}

/// This machine's link is down for 3 s: no verdict about anybody, one line that says so.
#[test]
fn the_link_is_down() {
    scenario_within(LIMIT, |w: &mut World| {
        let (_backends, httpd) = four(w);
        assert_eq!(used(&httpd), ["A", "B", "C", "D"]);
        w.link(false);
        pause(3.0);
        w.link(true);
        calm(&httpd);
        let lines = httpd.logged("cannot be probed");
        assert_eq!(lines, 1, "at most once a minute");
        assert!(httpd.logged("errno 101") >= 1, "{:#?}", httpd.live_lines());
    });
}

/// The same under load.
#[test]
fn the_link_is_down_under_load() {
    scenario_within(LIMIT, |w: &mut World| {
        let (_backends, httpd) = four(w);
        let load = httpd.load().timeout(Duration::from_secs(10)).start();
        pause(0.5);
        w.link(false);
        pause(3.0);
        w.link(true);
        pause(1.0);
        drop(load.stop());
        calm(&httpd);
    });
}

/// Every machine vanishes for 3 s: the verdicts are held, and given up.
#[test]
fn all_vanish() {
    scenario_within(LIMIT, |w: &mut World| {
        let (_backends, httpd) = four(w);
        assert_eq!(used(&httpd), ["A", "B", "C", "D"]);
        NAMES.iter().for_each(|(_, ip)| w.vanish(ip));
        pause(3.0);
        w.appear_all();
        eventually(PATIENCE, || httpd.logged("storm over after") == 1);
        calm(&httpd);
        let begun = httpd.logged("probed addresses time out at once");
        assert_eq!((begun, httpd.logged("storm over after")), (1, 1));
        assert!(
            httpd.logged(" 0 went down") == 1,
            "{:#?}",
            httpd.live_lines()
        );
    });
}

/// They stay away: the second round confirms it, and the members go down after all.
#[test]
fn all_vanish_for_good() {
    scenario_within(LIMIT, |w: &mut World| {
        let (_backends, mut httpd) = four(w);
        httpd.expect("up -> down");
        httpd.expect("last resort: stays in use");
        NAMES.iter().for_each(|(_, ip)| w.vanish(ip));
        eventually(PATIENCE, || {
            httpd.logged("probed addresses time out at once") == 1
        });
        assert_eq!(changes(&httpd), 0);
        eventually(PATIENCE, || httpd.logged("last resort: stays in use") == 1);
        eventually(PATIENCE, || {
            httpd.logged("proxy_live:warn") > 0 && changes_of_workers(&httpd) == 3
        });
        w.appear_all();
        eventually(BACK, || httpd.try_get("/").is_ok_and(|r| r.status == 200));
        eventually(BACK, || used(&httpd) == ["A", "B", "C", "D"]);
    });
}

/// Workers that went down.
fn changes_of_workers(httpd: &Httpd) -> usize {
    let names = NAMES.map(|(name, _)| format!("http://{}.test:9000", name.to_lowercase()));
    names.iter().map(|worker| downs(httpd, worker)).sum()
}

/// One of four is no storm.
#[test]
fn one_of_four_vanishes() {
    scenario_within(LIMIT, |w: &mut World| {
        let (_backends, mut httpd) = four(w);
        httpd.expect("up -> down");
        w.vanish("127.0.0.5");
        wait_down(&httpd, "http://d.test:9000");
        pause(0.5);
        assert_eq!(used(&httpd), ["A", "B", "C"]);
        w.appear_all();
        eventually(BACK, || used(&httpd) == ["A", "B", "C", "D"]);
        assert_eq!(httpd.logged("] storm"), 0);
    });
}
