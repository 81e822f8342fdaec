//! The names, machines and configurations of a run.

use crate::action::{Edition, Spots};
use live_kit::{Backend, Builder, MANAGER, Mpm, World, answers};
use std::fmt::Write as _;
use std::ops::Range;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pool {
    /// A balancer of four; health pages are asked for.
    App,
    /// A balancer of three that speak TLS.
    Tls,
    /// A worker outside of balancers.
    Plain,
}

pub struct Name {
    pub host: &'static str,
    pub pool: Pool,
    /// Seconds.
    pub ttl: u32,
}

const fn name(host: &'static str, pool: Pool, ttl: u32) -> Name {
    Name { host, pool, ttl }
}

pub const NAMES: [Name; 9] = [
    name("m0.test", Pool::App, 1),
    name("m1.test", Pool::App, 1),
    name("m2.test", Pool::App, 2),
    name("m3.test", Pool::App, 3),
    name("t0.test", Pool::Tls, 1),
    name("t1.test", Pool::Tls, 2),
    name("t2.test", Pool::Tls, 1),
    name("plain.test", Pool::Plain, 1),
    name("grown.test", Pool::App, 1),
];
pub const APP: Range<usize> = 0..4;
pub const TLS: Range<usize> = 4..7;
pub const PLAIN: usize = 7;
/// A member that is added in the balancer-manager.
pub const GROWN: usize = 8;

/// Probes of members of [`Pool::App`] ask for it.
pub const HEALTH: &str = "/health";
/// Seconds within which a backend must answer.
pub const TIMEOUT: u64 = 4;

impl Name {
    pub fn port(&self) -> u16 {
        match self.pool {
            Pool::Tls => 9443,
            _ => 9000,
        }
    }

    /// The other name of a member, which is an alias.
    pub fn alias(&self) -> String {
        format!("x{}", self.host)
    }
}

/// Address of a machine of a name.
pub fn ip(name: usize, spot: usize) -> String {
    format!("127.1.{}.{}", name + 1, spot + 1)
}

/// Which machine answers as this.
pub fn machine(backend: &str) -> Option<(usize, usize)> {
    let (name, spot) = backend.split_once('/')?;
    Some((name.parse().ok()?, spot.parse().ok()?))
}

/// The URL of a worker, as the module shows it.
pub fn worker(name: usize, renamed: bool) -> String {
    let this = &NAMES[name];
    let host = match renamed {
        true => this.alias(),
        false => this.host.to_owned(),
    };
    match this.pool {
        Pool::App => format!("http://{host}:9000"),
        Pool::Tls => format!("https://{host}:9443"),
        Pool::Plain => format!("http://{host}:9000/"),
    }
}

/// The machines, two for each name.
pub struct Machines(Vec<[Backend; 2]>);

impl Machines {
    pub fn start(world: &World) -> Machines {
        let start = |name: usize, spot: usize| {
            let addr = format!("{}:{}", ip(name, spot), NAMES[name].port());
            let said = format!("{name}/{spot}");
            match NAMES[name].pool {
                Pool::Tls => Backend::start_tls(&said, &addr),
                _ => Backend::start(&said, &addr),
            }
        };
        for (n, name) in NAMES.iter().enumerate() {
            place(world, n, Spots::First);
            world.dns.cname(&name.alias(), name.host, name.ttl);
        }
        let all = (0..NAMES.len()).map(|name| [0, 1].map(|spot| start(name, spot)));
        Machines(all.collect())
    }

    pub fn of(&self, name: usize, spot: usize) -> &Backend {
        &self.0[name][spot]
    }

    pub fn all(&self) -> impl Iterator<Item = &Backend> {
        self.0.iter().flatten()
    }
}

/// DNS says this of the name.
pub fn place(world: &World, name: usize, spots: Spots) {
    let ips: Vec<String> = spots.list().map(|spot| ip(name, spot)).collect();
    let ips: Vec<&str> = ips.iter().map(String::as_str).collect();
    world
        .dns
        .set(NAMES[name].host, answers(&ips, NAMES[name].ttl));
}

/// Handlers of the module.
const PAGES: &str = "<Location /live-status>
    SetHandler proxy-live-status
</Location>
<Location /live-ready>
    SetHandler proxy-live-ready
</Location>";
/// Number of the request, child, status, attempts, why rescued.
const LOG: &str = "CustomLog logs/chaos.log \"%{X-N}i %P %>s %{LIVE_ATTEMPTS}e %{LIVE_RESCUE}e\"";
const SSL: &str = "SSLProxyEngine on\nSSLProxyVerify none\nSSLProxyCheckPeerName off";

/// The configuration of both servers; `live`: with what only the one with the module has.
fn text(mpm: Mpm, edition: &Edition, live: bool) -> String {
    let usual = match live {
        true => format!("timeout={TIMEOUT} live=on"),
        false => format!("timeout={TIMEOUT} connectiontimeout=2 retry=2"),
    };
    let pages = if live { PAGES } else { "" };
    let mut text = format!("{}\n{LOG}\n{MANAGER}\n{SSL}\n{pages}\n", room(mpm));
    text += &app(edition, &usual, live);
    let _ = writeln!(text, "<Proxy balancer://tls>");
    for name in TLS {
        let _ = writeln!(text, "BalancerMember {} {usual}", worker(name, false));
    }
    let _ = writeln!(text, "</Proxy>");
    for n in 0..edition.more {
        let url = worker((n + edition.first) % APP.len(), false);
        let _ = writeln!(text, "ProxyPass /more{n}/ {url}/more{n}/ {usual}");
    }
    let plain = worker(PLAIN, false);
    text + &format!(
        "ProxyPass /app/ balancer://app/\nProxyPass /tls/ balancer://tls/\nProxyPass /plain/ {plain} {usual}\n"
    )
}

/// The balancer that reloads change.
fn app(edition: &Edition, usual: &str, live: bool) -> String {
    let probes = format!(
        "liveprobe=http liveuri={HEALTH} liverescue=eager liveinterval={}ms livefall={}",
        edition.interval_ms, edition.fall
    );
    // The second one is for members of run time.
    let (probes, section) = match live {
        true => (probes.as_str(), "ProxyLive on"),
        false => ("", ""),
    };
    let turned = (0..APP.len()).map(|n| (n + edition.first) % APP.len());
    let members = turned.filter(|name| edition.without != Some(*name));
    let line = |name| {
        let url = worker(name, edition.renamed == Some(name));
        format!("BalancerMember {url} {usual} {probes}\n")
    };
    let members: String = members.map(line).collect();
    format!("<Proxy balancer://app>\n{members}ProxySet growth=4\n{section}\n</Proxy>\n")
}

/// Room for children that finish requests beside new ones; children that were killed are replaced.
fn room(mpm: Mpm) -> &'static str {
    match mpm {
        Mpm::Prefork => {
            "ServerLimit 96\nMaxRequestWorkers 96\nMinSpareServers 8\nMaxSpareServers 40"
        }
        _ => "Protocols h2c http/1.1\nMinSpareThreads 100\nMaxSpareThreads 1000",
    }
}

/// Children: no kept-alive connection is closed because all threads are busy.
pub fn children(mpm: Mpm) -> usize {
    if mpm == Mpm::Prefork { 30 } else { 4 }
}

/// What both servers, and only they, may say at level `warn` and above.
pub const EXPECTED: [&str; 25] = [
    "up -> down",
    "unknown -> down",
    "last resort: stays in use",
    "DNS fails",
    "storm:",
    "has been silent for more than 3 s",
    "is heard again",
    "probes are late by up to",
    "trouble on this machine (errno 62)",
    "[proxy:error]",
    "[proxy_http:error]",
    "[proxy_http:warn]",
    "[proxy_balancer:error]",
    "[ssl:error]",
    "[ssl:warn]",
    "[ssl:info]",
    "[http2:warn]",
    "AH01873:",
    "AH01882:",
    // Of httpd itself when a signal does not reach a child in time, after some were killed.
    "AH00045",
    "AH00046",
    "AH00047",
    "AH00049",
    "AH10159",
    "AH00484",
];

/// Settings of a server of the run.
pub fn server(world: &mut World, mpm: Mpm, live: bool) -> Builder {
    let builder = world.httpd().mpm(mpm).children(children(mpm)).threads(32);
    let builder = match mpm {
        Mpm::Prefork => builder,
        _ => builder.module("http2"),
    };
    let builder = builder.module("ssl");
    EXPECTED
        .iter()
        .fold(with(builder, mpm, live), |b, line| b.expect(line))
}

fn with(builder: Builder, mpm: Mpm, live: bool) -> Builder {
    let text = text(mpm, &Edition::FIRST, live);
    match live {
        true => builder.live(&text),
        false => builder.config(&text),
    }
}

/// What [`live_kit::Httpd::rewrite`] needs.
pub fn edition(mpm: Mpm, edition: &Edition, live: bool) -> String {
    text(mpm, edition, live)
}
