//! Which workers of a configuration are live, and which are left to httpd (and why).

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;

use super::wire::{Watched, Wire};
use crate::board::{NameId, Tag, TargetId, WorkerId};
use crate::config::params::{Probe, Settings};
use crate::config::{Config, Subject};
use crate::ffi::log::Level;
use crate::ffi::proxy::{Server, Worker};
use crate::log;
use crate::logic::addr::Addr;
use crate::logic::redact;

/// Where a worker's addresses come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Its host is a name: from this slot.
    Name(NameId, Tag),
    /// Its host is an address.
    Fixed(Addr),
}

/// A worker that the module works on.
#[derive(Clone, Debug)]
pub struct Planned {
    pub worker: Worker,
    pub server: Server,
    /// Member of a balancer: its status is shared by all children.
    pub member: bool,
    /// The balancer's name; empty for a plain worker.
    pub balancer: String,
    /// The worker's URL without credentials, for messages and pages.
    pub label: String,
    /// The host as configured.
    pub host: String,
    pub port: u16,
    /// mod_proxy_http2 serves it.
    pub http2: bool,
    /// What its scheme puts on the wire.
    pub wire: Wire,
    pub settings: Settings,
    pub source: Source,
    /// What is probed for it; None without probes.
    pub target: Option<(TargetId, Tag)>,
    /// The worker's own words on the board.
    pub seat: Option<(WorkerId, Tag)>,
    /// The longest time-out of connects that the module may set; None when `connectiontimeout` is given, and for
    /// a worker that is only observed.
    pub connect_most: Option<Duration>,
    /// Its balancer has other members.
    pub has_peers: bool,
}

impl Planned {
    /// Whether requests are taken away from backends that hang.
    pub fn moves(&self) -> bool {
        self.settings.eager && self.is_rescued() && !self.http2
    }

    pub fn watched(&self) -> Watched {
        if self.moves() {
            Watched::Eagerly
        } else if self.wire == Wire::Http {
            Watched::AtSocket
        } else {
            Watched::ByFilter
        }
    }

    /// Whether its addresses are probed. mod_proxy_hcheck's workers are not, as far as is known when the
    /// configuration is read.
    pub fn wants_probes(&self) -> bool {
        self.settings.probe != Probe::Off && !self.worker.is_hchecked()
    }

    /// Whether requests at it are rescued: not those at one that is only observed.
    pub fn is_rescued(&self) -> bool {
        self.settings.rescue && !self.settings.observe
    }

    /// What tells a member from others through reloads: its server, balancer, URL and route.
    pub fn identity(&self) -> String {
        let (balancer, route) = (&self.balancer, self.worker.route());
        format!(
            "{} {balancer} {} {route}",
            self.server.name(),
            self.worker.name()
        )
    }

    /// The tag of a member that came at run time, the same in all epochs: its counts go on. Its route may be edited
    /// before all children have seen it. No balancer has two members with one URL.
    pub fn late_tag(&self) -> Tag {
        // No slot of the parent's is assigned in it.
        const NO_EPOCH: u64 = 0;
        let (server, balancer) = (self.server.name(), &self.balancer);
        let text = format!("{server} {balancer} {}", self.worker.name());
        Tag::new(&text, NO_EPOCH)
    }

    /// The port that is probed.
    pub fn probe_port(&self) -> u16 {
        self.settings.port.unwrap_or(self.port)
    }
}

/// What was decided so far of a worker that several servers may share.
#[derive(Default)]
struct Seen {
    /// One of them wants it live.
    wanted: bool,
    /// Why it is left to httpd, if so: in one server is everywhere.
    left: Option<&'static str>,
    /// Its place among the workers found.
    live: Option<usize>,
}

/// A worker that `live` is configured for, and that is left to httpd.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Left {
    /// Its URL, without credentials.
    pub worker: String,
    /// The first server that has it: `ServerName:port`.
    pub server: String,
    pub reason: &'static str,
    /// What copies of the worker in virtual hosts have in common, while the configuration is read.
    pub shared_key: usize,
}

/// The workers of a configuration that `live` is said of.
#[derive(Debug)]
pub struct Gathered {
    pub live: Vec<Planned>,
    pub left: Vec<Left>,
}

/// Finds the live workers of all servers, and those that cannot be followed.
///
/// Virtual hosts share the members of inherited balancers, and the plain workers too when they have no
/// line of mod_proxy's own: then it is enough that one of them wants the worker live.
pub fn workers(config: &Config, main: Server) -> Gathered {
    let mut left = Vec::new();
    let mut found: Vec<Option<Planned>> = Vec::new();
    let mut at: HashMap<usize, Seen> = HashMap::new();
    // Copies of a worker in virtual hosts are named once.
    let mut said = HashSet::new();
    let mut first = HashMap::new();
    for server in main.chain() {
        let remotes = server.remotes();
        server.workers(|worker, balancer| {
            let seen = at.entry(worker.key()).or_default();
            let settings = settings_of(config, worker, server, main, balancer)
                .map(|own| alike(&mut first, worker, own));
            seen.wanted |= settings.is_some();
            let given = settings.as_ref();
            seen.left = seen.left.or_else(|| hands_off(worker, &remotes, given));
            if let (Some(reason), true) = (seen.left, seen.wanted) {
                if said.insert((worker.shared_key(), reason)) {
                    left.push(Left {
                        worker: redact::url(&worker.name()),
                        server: server.name(),
                        reason,
                        shared_key: worker.shared_key(),
                    });
                }
                if let Some(known) = seen.live {
                    found[known] = None;
                }
            }
            if let (Some(settings), None, None) = (settings, seen.left, seen.live) {
                seen.live = Some(found.len());
                found.push(Some(planned(worker, server, balancer, settings)));
            }
        });
    }
    let live = found.into_iter().flatten().collect();
    Gathered { live, left }
}

/// Copies of a plain worker in virtual hosts have one status, and must not be judged by different probes: what
/// holds for the first live one holds for all of them, whatever templates cover the others.
fn alike(first: &mut HashMap<usize, Settings>, worker: Worker, own: Settings) -> Settings {
    let observe = own.observe;
    let first = first.entry(worker.shared_key()).or_insert(own).clone();
    Settings { observe, ..first }
}

fn settings_of(
    config: &Config,
    worker: Worker,
    server: Server,
    main: Server,
    balancer: Option<&str>,
) -> Option<Settings> {
    let scheme = worker.scheme();
    config.settings(
        worker.shared_key(),
        server.key(),
        main.key(),
        balancer,
        &scheme,
    )
}

/// Templates that are missing, and parameters that contradict each other; the error is a line for the log,
/// and httpd does not start.
pub fn check(config: &Config, main: Server) -> Result<(), String> {
    config.check_names()?;
    let mut outcome = Ok(());
    // The settings of the first live copy are in force for the others too.
    let mut first = HashSet::new();
    for server in main.chain() {
        let remotes = server.remotes();
        server.workers(|worker, balancer| {
            let live = settings_of(config, worker, server, main, balancer).is_some();
            let again = live && !first.insert(worker.shared_key());
            if outcome.is_ok() && !again {
                let left = hands_off(worker, &remotes, None).is_some();
                outcome = check_worker(config, worker, server, main, balancer, left);
            }
        });
    }
    outcome
}

/// Whether what is configured for a worker fits together; the error is a line for the log.
/// `left`: it is left to httpd in any case.
pub fn check_worker(
    config: &Config,
    worker: Worker,
    server: Server,
    main: Server,
    balancer: Option<&str>,
    left: bool,
) -> Result<(), String> {
    let outcome = config.check_worker(&Subject {
        shared_key: worker.shared_key(),
        server: server.key(),
        main: main.key(),
        balancer,
        scheme: &worker.scheme(),
        port: worker.port(),
        hchecked: worker.is_hchecked(),
        left,
    });
    outcome.map_err(|message| format!("worker {}: {message}", redact::url(&worker.name())))
}

fn planned(worker: Worker, server: Server, balancer: Option<&str>, settings: Settings) -> Planned {
    let host = worker.host();
    let source = match numeric(&host) {
        Some(Some(addr)) => Source::Fixed(addr),
        // Its slot is found later.
        _ => Source::Name(NameId(0), Tag(1)),
    };
    let sets_timeout = !settings.observe && !worker.has_connect_timeout();
    Planned {
        worker,
        server,
        member: balancer.is_some(),
        balancer: balancer.unwrap_or_default().to_owned(),
        label: redact::url(&worker.name()),
        port: worker.port(),
        http2: worker.speaks_http2(),
        wire: Wire::of(&worker.scheme()),
        host,
        connect_most: sets_timeout.then(|| worker.timeout(server)),
        settings,
        source,
        target: None,
        seat: None,
        has_peers: false,
    }
}

/// A member that came at run time, in a balancer that these servers have. None when none of them wants it live;
/// the error says why it is left to httpd.
pub fn added(
    config: &Config,
    worker: Worker,
    servers: impl Iterator<Item = Server>,
    main: Server,
    balancer: &str,
) -> Result<Option<Planned>, String> {
    let mut found = None;
    let mut left = None;
    for server in servers {
        let settings = settings_of(config, worker, server, main, Some(balancer));
        left = left.or_else(|| hands_off(worker, &server.remotes(), settings.as_ref()));
        if let (Some(settings), None) = (settings, &found) {
            check_worker(config, worker, server, main, Some(balancer), left.is_some())?;
            let touched = !settings.observe;
            found = Some(Planned {
                // The time-out on it, if any, is this module's: balancer-manager sets none.
                connect_most: touched.then(|| worker.timeout(server)),
                ..planned(worker, server, Some(balancer), settings)
            });
        }
    }
    match (found, left) {
        (Some(found), Some(reason)) => Err(hands_off_line(&found.label, reason)),
        (found, _) => Ok(found),
    }
}

/// Logs which workers are left to httpd, and why.
pub fn say_left(left: &[Left]) {
    for one in left {
        log!(Level::Info, "{}", hands_off_line(&one.worker, one.reason));
    }
}

fn hands_off_line(worker: &str, reason: &str) -> String {
    format!("worker {worker}: live has no effect: {reason}")
}

/// Why a worker is not for us to touch, if so.
fn hands_off(
    worker: Worker,
    remotes: &[Option<String>],
    settings: Option<&Settings>,
) -> Option<&'static str> {
    let numeric = numeric(&worker.host());
    let probed = settings.is_none_or(|s| s.probe != Probe::Off) && !worker.is_hchecked();
    let rescued = settings.is_none_or(|s| s.rescue);
    if worker.is_generic() {
        Some("mod_proxy's catch-all worker has no host of its own")
    } else if worker.is_unix_socket() {
        Some("it uses a unix socket")
    } else if worker.host_is_substituted() {
        Some("its host is substituted in each request (ProxyPassMatch)")
    } else if reached_by_remote(&worker.name(), &worker.scheme(), remotes) {
        Some("a ProxyRemote takes its requests")
    } else if numeric == Some(None) {
        Some("its host is an address with a zone")
    } else if numeric.is_some() && !probed && !rescued {
        Some(
            "its host is an address, there is no DNS to follow, and it is neither probed nor rescued",
        )
    } else if numeric.is_none() && !worker.keeps_address() {
        Some(
            "httpd asks DNS for each connection itself (disablereuse=on, addressttl=0 or a \
             ProxyPassMatch with substitution); remove disablereuse=on to follow DNS with reuse",
        )
    } else {
        None
    }
}

/// Reads an IPv4 or IPv6 address, with or without brackets. Some(None): one with a zone, which means
/// nothing without the interfaces of this machine.
fn numeric(host: &str) -> Option<Option<Addr>> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let (ip, zone) = match bare.split_once('%') {
        Some((ip, zone)) => (ip, Some(zone)),
        None => (bare, None),
    };
    let ip: IpAddr = ip.parse().ok()?;
    Some(zone.is_none().then_some(Addr { ip, scope: 0 }))
}

/// Whether a worker's host is an address.
pub fn is_numeric(host: &str) -> bool {
    numeric(host).is_some()
}

/// The choice of mod_proxy.c (proxy_handler) between `ProxyRemote` lines; a regular expression counts
/// as a match, since it is matched against each request.
fn reached_by_remote(url: &str, scheme: &str, remotes: &[Option<String>]) -> bool {
    remotes.iter().any(|remote| match remote.as_deref() {
        None | Some("*") => true,
        Some(prefix) if prefix.contains(':') => {
            let (url, prefix) = (url.to_ascii_lowercase(), prefix.to_ascii_lowercase());
            // The prefix is of a request's URL, which is longer than the worker's.
            url.starts_with(&prefix) || prefix.starts_with(&url)
        }
        Some(name) => name.eq_ignore_ascii_case(scheme),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numeric_hosts() {
        for host in ["127.0.0.1", "::1", "[::1]"] {
            assert!(matches!(numeric(host), Some(Some(_))), "{host}");
        }
        for host in ["fe80::1%eth0", "[fe80::1%2]"] {
            assert_eq!(numeric(host), Some(None), "{host}");
        }
        for host in ["app.test", "127.0.0.1.nip.io", "face", "1.2.3", ""] {
            assert_eq!(numeric(host), None, "{host}");
        }
    }

    #[test]
    fn remotes() {
        let reached = |remote: Option<&str>| {
            let remotes = [remote.map(String::from)];
            reached_by_remote("http://app.test:8080/x", "http", &remotes)
        };
        assert!(reached(Some("*")) && reached(None) && reached(Some("HTTP")));
        assert!(reached(Some("http://app.test:8080/")));
        assert!(reached(Some("http://app.test:8080/x/deeper")));
        assert!(!reached(Some("ftp")) && !reached(Some("http://other.test/")));
        assert!(!reached_by_remote("http://app.test/", "http", &[]));
    }
}
