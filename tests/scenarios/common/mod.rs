//! What the scenarios share: backends A and B behind the name `app.test`, and a httpd that follows it.

// Each test file uses its own part.
#![allow(dead_code)]

pub mod dead_ends;
pub mod http2_members;
pub mod noted;
pub mod places;
pub mod pool;
pub mod processes;
pub mod quick_moves;
pub mod rescue;
pub mod servers;
pub mod status;
pub mod uploads;
pub mod wrong;

use live_kit::{Answers, Backend, Builder, Httpd, Records, World, answers, eventually};
use std::time::{Duration, Instant};

pub const IP_A: &str = "127.0.0.2";
pub const IP_B: &str = "127.0.0.3";
/// The configuration most scenarios use.
pub const FOLLOW: &str = "ProxyPass / http://app.test:9000/ live=on";
/// No request of a steady state takes longer, even on a busy machine.
pub const QUICK: Duration = Duration::from_millis(900);
/// After the TTL every child must have moved within this.
const GRACE: Duration = Duration::from_secs(1);

/// Backends A and B on port 9000 of [`IP_A`] and [`IP_B`].
pub fn backends() -> (Backend, Backend) {
    (backend("A", IP_A), backend("B", IP_B))
}

pub fn backend(name: &str, ip: &str) -> Backend {
    let addr = if ip.contains(':') {
        format!("[{ip}]:9000")
    } else {
        format!("{ip}:9000")
    };
    Backend::start(name, &addr)
}

/// Answers with a TTL of 1 s.
pub fn short(addrs: &[&str]) -> Answers {
    answers(addrs, 1)
}

/// `app.test` has these addresses with a TTL of 1 s.
pub fn set_app(w: &World, addrs: &[&str]) {
    w.dns.set("app.test", short(addrs));
}

/// Starts and waits until the module knows the addresses of `app.test`.
pub fn start_following(builder: Builder) -> Httpd {
    let httpd = builder.start();
    wait_known(&httpd, "app.test");
    httpd
}

/// Waits until the module has told the addresses of a name for the first time, and gives the children a
/// moment to adopt them.
pub fn wait_known(httpd: &Httpd, name: &str) {
    let line = format!("name {name}: addresses ");
    eventually(Duration::from_secs(5), || httpd.logged(&line) > 0);
    std::thread::sleep(Duration::from_millis(100));
}

/// Has every child, known by its pid, answer from `backend` and nothing else.
#[track_caller]
pub fn all_children_use(httpd: &Httpd, path: &str, backend: &str) {
    let children = httpd.children();
    let found = httpd.every_child(path);
    for (pid, replies) in &found {
        let wrong = replies.iter().find(|r| r.backend != backend);
        assert!(
            wrong.is_none(),
            "child {pid} did not answer from {backend}: {wrong:?}"
        );
    }
    assert_eq!(httpd.children(), children, "children were replaced");
}

/// Sleeps until `ttl` seconds and the second of grace have passed since `changed`; that instant.
pub fn after_ttl(changed: Instant, ttl: u64) -> Instant {
    let due = changed + Duration::from_secs(ttl) + GRACE;
    std::thread::sleep(due.saturating_duration_since(Instant::now()));
    due
}

/// Every request that began after `due` was answered by `backend`, without failure or delay.
#[track_caller]
pub fn assert_only(records: &Records, due: Instant, backend: &str) {
    let late = records.since(due);
    late.assert_clean(QUICK);
    let by = late.by_backend();
    assert!(
        by.len() == 1 && by.contains_key(backend),
        "answers after the move: {by:?}"
    );
}
