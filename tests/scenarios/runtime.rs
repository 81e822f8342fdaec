//! Members that are added at run time, in balancer-manager.

use crate::common::pool::*;
use crate::common::*;
use live_kit::{Backend, Builder, Httpd, MANAGER, Mpm, World, eventually, pause, scenario_within};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(150);
/// The balancer with its first member; the others are added.
const GROWS: &str = "<Proxy balancer://pool>
        ProxyLive on
        BalancerMember http://one.test:9000
        ProxySet growth=5
    </Proxy>
    ProxyPass / balancer://pool/";

fn growing() -> String {
    format!("{MANAGER}\n{GROWS}")
}

/// What the leader says of a member that it took up.
fn taken_up(httpd: &Httpd, member: &str) -> usize {
    httpd.logged(&format!("worker {member}: added at run time: live"))
}

/// Starts and waits until the configured member is followed.
fn start_growing(builder: Builder, one: &Backend) -> Httpd {
    let httpd = builder.start();
    wait_known(&httpd, "one.test");
    wait_probed(&[one]);
    httpd
}

/// A member comes while there is load: probed by one prober while it is disabled, used when it is enabled, out and
/// back by probes, and its name is followed.
fn is_taken_up(w: &mut World, mpm: Mpm) {
    let (a, b) = backends();
    let moved = backend("C", "127.0.0.4");
    set_members(w);
    w.dns.set("two.test", short(&[IP_B]));
    let builder = w.httpd().mpm(mpm).live(&growing());
    let httpd = start_growing(troubled(builder), &a);
    let manager = httpd.manager("pool");
    let load = httpd.load().clients(8).start();
    manager.add(TWO);
    wait_known(&httpd, "two.test");
    wait_probed(&[&b]);
    assert!(manager.has(TWO, "Dis"));
    let before = b.probed();
    pause(5.0);
    let probes = b.probed() - before;
    assert!(
        (1..=5).contains(&probes),
        "{probes} probes in 5 s, every 2 s"
    );
    assert_eq!((b.requests(), taken_up(&httpd, TWO)), (0, 1));
    manager.edit(TWO, "w_status_D=0");
    eventually(BACK, || used(&httpd) == ["A", "B"]);
    // It dies: found by the probes, and nobody notices.
    b.kill();
    wait_down(&httpd, TWO);
    assert!(manager.has(TWO, "HcFl"));
    b.revive();
    wait_up(&httpd, TWO);
    eventually(BACK, || used(&httpd) == ["A", "B"]);
    load.stop().assert_clean(PROMPT);
    // Its name moves.
    w.dns.set("two.test", short(&["127.0.0.4"]));
    eventually(PATIENCE, || used(&httpd) == ["A", "C"]);
    assert!(moved.probed() > 0);
}

#[test]
fn a_member_is_taken_up_event() {
    scenario_within(LIMIT, |w: &mut World| is_taken_up(w, Mpm::Event));
}

#[test]
fn a_member_is_taken_up_prefork() {
    scenario_within(LIMIT, |w: &mut World| is_taken_up(w, Mpm::Prefork));
}
