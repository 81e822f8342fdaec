//! 256 children of the prefork MPM: each of them follows a move and a death, seen by its own answers.

use crate::common::*;
use live_kit::{Backend, Builder, Httpd, Mpm, World, answers, eventually, pause, scenario_within};
use std::collections::BTreeSet;
use std::time::Duration;

const CHILDREN: usize = 256;
const LIMIT: Duration = Duration::from_secs(150);
/// After the leader has told of something, every child acts on it within this: its keeper is woken at once, but 256
/// of them share the machine with all other scenarios.
const GRACE: f64 = 2.0;
/// Requests go to port 9000, probes elsewhere: a child that did not know of a death would get answers.
const CONFIG: &str = "ProxyPass /move/ http://app.test:9000/ live=on liveprobe=off
ProxyPass /pair/ http://pair.test:9000/ live=on liveport=9001 liveinterval=500ms
ProxyPass /alone/ http://alone.test:9000/ live=on liveport=9001 liveinterval=500ms";

fn many(w: &mut World) -> Builder {
    let httpd = w.httpd().mpm(Mpm::Prefork).children(CHILDREN);
    let httpd = httpd.expect("AH00940");
    httpd.expect("proxy_live:warn").live(CONFIG)
}

#[test]
fn all_follow_a_move_and_a_death() {
    scenario_within(LIMIT, |w: &mut World| {
        let (_a, _b) = backends();
        let probed = [IP_A, IP_B].map(|ip| Backend::start("probed", &format!("{ip}:9001")));
        set_app(w, &[IP_A]);
        w.dns.set("pair.test", answers(&[IP_A, IP_B], 60));
        w.dns.set("alone.test", answers(&[IP_A], 60));
        let httpd = many(w).start();
        for name in ["app.test", "pair.test", "alone.test"] {
            wait_known(&httpd, name);
        }
        let children: BTreeSet<u32> = httpd.children().into_iter().collect();
        assert_eq!(children.len(), CHILDREN);
        all_children_use(&httpd, "/move/", "A");
        set_app(w, &[IP_B]);
        told(&httpd, "name app.test: addresses 127.0.0.2 -> 127.0.0.3");
        all_children_use(&httpd, "/move/", "B");
        probed[0].kill();
        told(&httpd, "alone.test:9000/: up -> down");
        all_children_use(&httpd, "/pair/", "B");
        all_answer(&httpd, "/alone/", 503, &children);
        probed[0].revive();
        told(&httpd, "alone.test:9000/: down -> up");
        all_answer(&httpd, "/alone/", 200, &children);
    });
}

/// Waits until the leader has said so, and for the children.
#[track_caller]
fn told(httpd: &Httpd, text: &str) {
    eventually(Duration::from_secs(20), || httpd.logged(text) > 0);
    pause(GRACE);
}

/// Each child, held by a client of its own, gives nothing but this status.
#[track_caller]
fn all_answer(httpd: &Httpd, path: &str, status: u16, children: &BTreeSet<u32>) {
    let load = httpd.load().clients(CHILDREN).path(path).rounds(5);
    let records = load.pause(Duration::from_millis(300)).start().join();
    let wrong = records.0.iter().find(|r| r.status != status);
    assert!(wrong.is_none(), "{path} not {status}: {wrong:?}");
    let by: BTreeSet<u32> = records.by_child().into_keys().collect();
    assert_eq!(&by, children);
}
