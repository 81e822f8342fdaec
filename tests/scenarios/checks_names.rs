//! Checks of names with several addresses: one that gives bad answers, or none, loses its kept connections, too, while
//! another one is well.

use crate::common::pool::*;
use crate::common::*;
use live_kit::{Mpm, Say, World, answers, eventually, pause, scenario};
use std::time::Duration;

/// Requests that may still meet the address: those under way when the load is counted from.
const STRAGGLERS: usize = 4;

fn kept_connections_move(w: &mut World, say: Say, mpm: Mpm) {
    let (a, b) = backends();
    w.dns.set("app.test", answers(&[IP_A, IP_B], 600));
    let text = "ProxyTimeout 5
        <Proxy balancer://pool>
            BalancerMember http://app.test:9000 live=on liveprobe=http liveuri=/healthz liveinterval=500ms
        </Proxy>
        ProxyPass / balancer://pool/";
    let builder = troubled(w.httpd().mpm(mpm).children(2).live(text));
    let httpd = builder.expect("target").start();
    wait_known(&httpd, "app.test");
    wait_probed(&[&a, &b]);
    let load = httpd.load().clients(6).pause(Duration::from_millis(10));
    let load = load.start();
    eventually(PATIENCE, || a.requests() > 50 && b.requests() > 50);
    a.say("/healthz", say);
    eventually(PATIENCE, || httpd.logged("127.0.0.2 up -> down") == 1);
    // Its connections are closed as they fall idle.
    let mut before = a.requests();
    eventually(PATIENCE, || {
        pause(1.0);
        let now = a.requests();
        let quiet = now - before <= STRAGGLERS;
        before = now;
        quiet
    });
    let others = b.requests();
    eventually(PATIENCE, || b.requests() > others + 100);
    assert!(
        a.requests() - before <= STRAGGLERS,
        "{}",
        a.requests() - before
    );
    a.say("/healthz", Say::Status(200));
    eventually(PATIENCE, || httpd.logged("127.0.0.2 down -> up") == 1);
    assert_eq!(load.stop().failed().len(), 0);
}

#[test]
fn bad_answers_event() {
    scenario(|w: &mut World| kept_connections_move(w, Say::Status(503), Mpm::Event));
}

#[test]
fn a_hanging_page_prefork() {
    scenario(|w: &mut World| kept_connections_move(w, Say::Hang, Mpm::Prefork));
}
