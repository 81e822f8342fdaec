//! The names and configurations of a run.

use crate::action::Edition;
use live_kit::{Builder, MANAGER, Mpm, World};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::ops::Range;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pool {
    /// A balancer of four; health pages are asked for.
    App,
    /// A balancer of three that speak TLS.
    Tls,
    /// A worker outside of balancers.
    Plain,
    /// A balancer of three that speak HTTP/2; with the event MPM only.
    Http2,
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

pub const NAMES: [Name; 12] = [
    name("m0.test", Pool::App, 1),
    name("m1.test", Pool::App, 1),
    name("m2.test", Pool::App, 2),
    name("m3.test", Pool::App, 3),
    name("t0.test", Pool::Tls, 1),
    name("t1.test", Pool::Tls, 2),
    name("t2.test", Pool::Tls, 1),
    name("plain.test", Pool::Plain, 1),
    name("grown.test", Pool::App, 1),
    name("h0.test", Pool::Http2, 1),
    name("h1.test", Pool::Http2, 2),
    name("h2.test", Pool::Http2, 1),
];
pub const APP: Range<usize> = 0..4;
pub const TLS: Range<usize> = 4..7;
pub const PLAIN: usize = 7;
/// A member that is added in the balancer-manager.
pub const GROWN: usize = 8;
pub const HTTP2: Range<usize> = 9..12;

/// The name server has an address of its own: it can vanish.
pub const NAME_SERVER: &str = "127.1.0.53";

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
        Pool::Http2 => format!("h2c://{host}:9000"),
    }
}

/// Of a member, from its URL; of a machine, from its address.
pub fn name_of(text: &str) -> Option<usize> {
    let host = text.split("//").nth(1).and_then(|t| t.split(':').next());
    if let Some(host) = host {
        let named = |n: &Name| n.host == host || n.alias() == host;
        return NAMES.iter().position(named);
    }
    let third = text.strip_prefix("127.1.")?.split('.').next()?;
    third.parse::<usize>().ok()?.checked_sub(1)
}

/// Handlers of the module.
const PAGES: &str = "<Location /live-status>
    SetHandler proxy-live-status
</Location>
<Location /live-ready>
    SetHandler proxy-live-ready
</Location>";
/// Number of the request, child, status, attempts, why rescued, the last member, the last address.
const LOG: &str = "CustomLog logs/chaos.log \"%{X-N}i %P %>s %{LIVE_ATTEMPTS}e %{LIVE_RESCUE}e \
                   %{BALANCER_WORKER_NAME}e %{LIVE_ADDR}e\"";
const SSL: &str = "SSLProxyEngine on\nSSLProxyVerify none\nSSLProxyCheckPeerName off";

/// The configuration of both servers; `live`: with what only the one with the module has.
fn text(mpm: Mpm, edition: &Edition, live: bool) -> String {
    let usual = match live {
        true => format!("timeout={TIMEOUT} live=on"),
        false => format!("timeout={TIMEOUT} connectiontimeout=2 retry=2"),
    };
    let pages = if live { PAGES } else { "" };
    let mut text = format!("{}\n{LOG}\n{MANAGER}\n{SSL}\n{pages}\n", room(mpm));
    text += &app("app", edition, &usual, live);
    text += &balancer("tls", TLS, &usual);
    if mpm != Mpm::Prefork {
        text += &balancer("http2", HTTP2, &usual);
        text += "ProxyPass /http2/ balancer://http2/\n";
    }
    for n in 0..edition.more {
        let url = worker((n + edition.first) % APP.len(), false);
        let _ = writeln!(text, "ProxyPass /more{n}/ {url}/more{n}/ {usual}");
    }
    let plain = worker(PLAIN, false);
    text += &format!(
        "ProxyPass /app/ balancer://app/\nProxyPass /tls/ balancer://tls/\nProxyPass /plain/ {plain} {usual}\n"
    );
    text + &front(edition, &usual, live)
}

fn balancer(name: &str, members: Range<usize>, usual: &str) -> String {
    let line = |name| format!("BalancerMember {} {usual}\n", worker(name, false));
    let members: String = members.map(line).collect();
    format!("<Proxy balancer://{name}>\n{members}</Proxy>\n")
}

/// The virtual host for clients with TLS, with a balancer of its own of the same members.
fn front(edition: &Edition, usual: &str, live: bool) -> String {
    let (port, app) = (
        SECURE + u16::from(!live),
        app("secure", edition, usual, live),
    );
    format!(
        "Listen 127.0.0.1:{port}\n<VirtualHost 127.0.0.1:{port}>\nServerName secure.test\nSSLEngine on\n\
         SSLCertificateFile ../secure.test.pem\nSSLCertificateKeyFile ../secure.test.key\n{LOG}\n{app}\
         ProxyPass /app/ balancer://secure/\n</VirtualHost>\n"
    )
}

/// Ports of both servers for clients with TLS.
const SECURE: u16 = 8443;

pub fn secure(server: SocketAddr, live: bool) -> SocketAddr {
    SocketAddr::new(server.ip(), SECURE + u16::from(!live))
}

/// The balancers that reloads change.
fn app(balancer: &str, edition: &Edition, usual: &str, live: bool) -> String {
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
    format!("<Proxy balancer://{balancer}>\n{members}ProxySet growth=4\n{section}\n</Proxy>\n")
}

/// Room for children that finish requests beside new ones; children that were killed are replaced.
fn room(mpm: Mpm) -> &'static str {
    match mpm {
        Mpm::Prefork => {
            "ServerLimit 96\nMaxRequestWorkers 96\nMinSpareServers 8\nMaxSpareServers 40"
        }
        _ => "Protocols h2 h2c http/1.1\nMinSpareThreads 100\nMaxSpareThreads 1000",
    }
}

/// Children: no kept-alive connection is closed because all threads are busy.
pub fn children(mpm: Mpm) -> usize {
    if mpm == Mpm::Prefork { 30 } else { 4 }
}

/// What both servers, and only they, may say at level `warn` and above.
pub const EXPECTED: [&str; 27] = [
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
    "[proxy_http2:error]",
    "[proxy_http2:warn]",
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
        _ => builder.module("http2").module("proxy_http2"),
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
