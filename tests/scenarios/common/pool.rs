//! What the scenarios about probes share: a balancer with the members `one.test` and `two.test`, and the module's
//! lines about workers that went down and came up.

// Each test file uses its own part.
#![allow(dead_code)]

use crate::common::{IP_A, IP_B, wait_known};
use live_kit::{Backend, Builder, Httpd, World, answers, eventually};
use std::time::Duration;

pub const ONE: &str = "http://one.test:9000";
pub const TWO: &str = "http://two.test:9000";
/// A verdict is there long before, also on a machine under load.
pub const PATIENCE: Duration = Duration::from_secs(15);
/// Within this a backend that has returned is used again.
pub const BACK: Duration = Duration::from_secs(6);
/// No request takes longer, also on a machine under load, when it meets nothing that is down: whether it does is
/// counted exactly by [`attempts`].
pub const PROMPT: Duration = Duration::from_secs(2);
/// A new connection to the backend for each request.
pub const FRESH: &str = "SetEnv proxy-nokeepalive 1";

/// `one.test` is at A, `two.test` at B, for ten minutes.
pub fn set_members(w: &World) {
    w.dns.set("one.test", answers(&[IP_A], 600));
    w.dns.set("two.test", answers(&[IP_B], 600));
}

/// The balancer `balancer://pool` of the two members; `parameters` stand on both lines.
pub fn pool(parameters: &str) -> String {
    pool_of(parameters, parameters, "")
}

/// The same with parameters of each member, and lines of its section.
pub fn pool_of(one: &str, two: &str, section: &str) -> String {
    format!(
        "<Proxy balancer://pool>
             BalancerMember {ONE} live=on {one}
             BalancerMember {TWO} live=on {two}
             {section}
         </Proxy>
         ProxyPass / balancer://pool/"
    )
}

/// Backends fail in this scenario: httpd says so for requests that meet it, the module when it has a verdict.
pub fn troubled(builder: Builder) -> Builder {
    builder
        .expect("up -> down")
        .expect("last resort: stays in use")
        .expect("[proxy:error]")
        .expect("[proxy_http:error]")
        .expect("[proxy_balancer:error]")
}

/// Starts, and waits until both names of [`set_members`] are known and these backends have been probed.
pub fn start_pool(builder: Builder, probed: &[&Backend]) -> Httpd {
    let httpd = builder.start();
    wait_known(&httpd, "one.test");
    wait_known(&httpd, "two.test");
    wait_probed(probed);
    httpd
}

/// Waits until each of them has been probed.
#[track_caller]
pub fn wait_probed(backends: &[&Backend]) {
    for backend in backends {
        eventually(PATIENCE, || backend.probed() > 0);
    }
}

/// How often the module has told at any LogLevel that this worker (whatever its path) changed so (`up -> down`,
/// `released`, ..).
pub fn told(httpd: &Httpd, worker: &str, what: &str) -> usize {
    let ours = |text: &str| {
        let (_, rest) = text.split_once(&format!("worker {worker}"))?;
        let (path, said) = rest.split_once(": ")?;
        Some((path.is_empty() || path.starts_with('/')) && said.starts_with(what))
    };
    let lines = httpd.live_lines();
    let loud = lines
        .iter()
        .filter(|l| l.level == "warn" || l.level == "notice");
    loud.filter(|l| ours(&l.text) == Some(true)).count()
}

pub fn downs(httpd: &Httpd, worker: &str) -> usize {
    told(httpd, worker, "up -> down")
}

pub fn ups(httpd: &Httpd, worker: &str) -> usize {
    told(httpd, worker, "down -> up")
}

#[track_caller]
pub fn wait_down(httpd: &Httpd, worker: &str) -> Duration {
    let before = ups(httpd, worker);
    eventually(PATIENCE, || downs(httpd, worker) > before)
}

#[track_caller]
pub fn wait_up(httpd: &Httpd, worker: &str) -> Duration {
    eventually(PATIENCE, || ups(httpd, worker) >= downs(httpd, worker))
}

/// Lines about any worker that changed.
pub fn changes(httpd: &Httpd) -> usize {
    httpd.logged("up -> down") + httpd.logged("down -> up")
}

/// How often a request failed to connect to port 9000 of this address.
pub fn attempts(httpd: &Httpd, ip: &str) -> usize {
    httpd.logged(&format!("attempt to connect to {ip}:9000"))
}

/// Sends GETs one after the other for so long; their backends in order, each once.
#[track_caller]
pub fn used_by(httpd: &Httpd, time: Duration) -> Vec<String> {
    let records = httpd.load().clients(4).run(time);
    records.assert_clean(PROMPT);
    records.by_backend().into_keys().collect()
}

/// [`used_by`] for half a second.
#[track_caller]
pub fn used(httpd: &Httpd) -> Vec<String> {
    used_by(httpd, Duration::from_millis(500))
}
