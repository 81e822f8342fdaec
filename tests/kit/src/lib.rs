//! Test kit of mod_proxy_live.
//!
//! A scenario is a test on a real httpd, in a network, mount and process namespace of its own:
//!
//! ```no_run
//! use live_kit::{Backend, World, answers};
//!
//! fn moves(w: &mut World) {
//!     let a = Backend::start("A", "127.0.0.2:9000");
//!     let b = Backend::start("B", "127.0.0.3:9000");
//!     w.dns.set("app.test", answers(&["127.0.0.2"], 1));
//!     let httpd = w.httpd().live("ProxyPass / http://app.test:9000/ live=on").start();
//!     assert_eq!(httpd.get("/").backend, "A");
//!     w.dns.set("app.test", answers(&["127.0.0.3"], 1));
//!     live_kit::eventually(std::time::Duration::from_secs(2), || httpd.get("/").backend == "B");
//!     assert_eq!(a.requests() + b.requests(), a.seen().len() + b.seen().len());
//! }
//!
//! live_kit::scenario(moves);
//! ```
//!
//! The pieces:
//! - [`scenario`]: runs the closure in namespaces of its own, with a time limit
//! - [`World`]: addresses, resolv.conf, hosts, vanishing packets, the DNS server
//! - [`Dns`]: a DNS server that can misbehave in every way, and counts its queries
//! - [`RawBackend`], [`RawClient`]: what is sent and got byte by byte
//! - [`Backend`], [`FcgiBackend`], [`AjpBackend`], [`H2Backend`]: settable servers; the first one also through TLS, and it dies in
//!   every way ([`Death`]), tells probes from requests, and answers single paths wrongly ([`Say`])
//! - [`Browser`]: Chromium: what a page looks like, how wide it gets, what it fetches
//! - [`Manager`]: balancer-manager: status of members, edits
//! - [`Httpd`]: builder and process of a real httpd; judges its error log when it ends
//! - [`Client`], [`H2Client`]: HTTP/1 and HTTP/2 clients for [`Request`]s of every kind, also through TLS
//! - [`Load`], [`Records`]: steady load, one record per request
//! - [`Host`], [`Program`]: further machines on a bridge of the scenario's own, programs on them or beside the servers
//!
//! Debian packages needed: see [`PACKAGES`].

#![forbid(unsafe_code)]

mod backend;
mod browser;
mod builder;
mod client;
mod dns;
mod errorlog;
mod fcgi;
mod filter;
mod h2;
mod h2_backend;
mod host;
mod http;
mod httpd;
mod load;
mod manager;
mod module;
mod pipe;
mod process;
mod program;
mod raw;
mod readers;
mod records;
mod request;
mod sanitizer;
mod scenario;
mod sockets;
mod who;
mod world;

pub use backend::{Backend, Death, Mode, Say, Seen, checksum};
pub use browser::{Browser, Look, View};
pub use builder::{Builder, Mpm};
pub use client::{Client, Failure, Reply};
pub use dns::{Answers, Asked, Dns, Fault, Query, Type, answers, ask};
pub use errorlog::Line;
pub use fcgi::{AjpBackend, FcgiBackend};
pub use h2::H2Client;
pub use h2_backend::{H2Backend, H2Death, H2Mode, H2Seen};
pub use host::Host;
pub use httpd::Httpd;
pub use load::{Load, LoadBuilder, Pending, all_at_once};
pub use manager::{MANAGER, Manager};
pub use module::module_path;
pub use process::{
    children_of, descriptors, memory_kib, peak_memory_kib, signal, thread_names, threads,
};
pub use program::Program;
pub use raw::{Answer, Content, End, Heard, Next, RawBackend, RawClient, Talk};
pub use readers::{assert_html, assert_json, assert_openmetrics, assert_prometheus};
pub use records::{Record, Records};
pub use request::{Framing, Request, payload};
pub use scenario::{DEFAULT_LIMIT, private, scenario, scenario_within};
pub use world::World;

pub use rustix::process::Signal;
use std::time::{Duration, Instant};

/// Debian packages the kit needs at run time: the server itself, `unshare` (util-linux), `ip` (iproute2)
/// and `nft` (nftables, for packets that vanish).
pub const PACKAGES: &[&str] = &["apache2", "util-linux", "iproute2", "nftables"];

/// Polls every 10 ms until `condition` holds; panics after `limit`.
#[track_caller]
pub fn eventually(limit: Duration, mut condition: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    loop {
        if condition() {
            return start.elapsed();
        }
        assert!(start.elapsed() < limit, "not true within {limit:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Sleeps; a short name, because scenarios do it often.
pub fn pause(seconds: f64) {
    std::thread::sleep(Duration::from_secs_f64(seconds));
}
