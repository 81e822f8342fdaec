//! The configuration of the system's resolver, resolv.conf(5).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use super::hosts::{ScopeOf, parse_addr};
use super::search::Rules;

/// The port of name servers.
pub const PORT: u16 = 53;
/// Name servers that are heeded, as in the C library (`MAXNS`).
const MAX_SERVERS: usize = 3;
/// Largest values that are heeded, as in the C library (`RES_MAXNDOTS`,
/// `RES_MAXRETRANS`, `RES_MAXRETRY`).
const MAX_NDOTS: u32 = 15;
const MAX_TIMEOUT_S: u32 = 30;
const MAX_ATTEMPTS: u32 = 5;

/// What resolv.conf says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ResolvConf {
    /// At least one.
    pub servers: Vec<SocketAddr>,
    pub rules: Rules,
    /// Seconds for one try, 1 to 30.
    pub timeout_s: u32,
    /// Tries of each server, 1 to 5.
    pub attempts: u32,
    /// Ask by TCP only.
    pub use_vc: bool,
}

impl Default for ResolvConf {
    /// The values of an empty file: the server on this machine.
    fn default() -> Self {
        Self {
            servers: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, PORT))],
            rules: Rules::default(),
            timeout_s: 5,
            attempts: 2,
            use_vc: false,
        }
    }
}

impl ResolvConf {
    /// Reads a resolv.conf; what it does not understand is skipped.
    ///
    /// `host` is the machine's host name: its domain is the search list of a file that
    /// has none. The last `search` or `domain` line wins. EDNS is always used, so
    /// `edns0` says nothing new; `rotate` is not heeded.
    pub fn parse(text: &str, host: &str, scope: ScopeOf<'_>) -> Self {
        let mut conf = Self::default();
        let mut servers = Vec::new();
        let mut search = None;
        for line in text.lines() {
            let line = line.split(['#', ';']).next().unwrap_or("");
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => servers.extend(words.next().and_then(|w| server(w, scope))),
                Some("domain") => search = words.next().map(|word| vec![word.to_owned()]),
                Some("search") => search = Some(words.map(str::to_owned).collect()),
                Some("options") => words.for_each(|word| conf.option(word)),
                _ => {}
            }
        }
        if !servers.is_empty() {
            servers.truncate(MAX_SERVERS);
            conf.servers = servers;
        }
        conf.rules.search = search.unwrap_or_else(|| own_domain(host));
        conf
    }

    fn option(&mut self, word: &str) {
        let (key, value) = word.split_once(':').unwrap_or((word, ""));
        let number = value.parse::<u32>().ok();
        match (key, number) {
            ("ndots", Some(n)) => self.rules.ndots = n.min(MAX_NDOTS),
            ("timeout", Some(n)) => self.timeout_s = n.clamp(1, MAX_TIMEOUT_S),
            ("attempts", Some(n)) => self.attempts = n.clamp(1, MAX_ATTEMPTS),
            ("use-vc" | "usevc", None) => self.use_vc = true,
            _ => {}
        }
    }
}

fn server(word: &str, scope: ScopeOf<'_>) -> Option<SocketAddr> {
    let addr = parse_addr(word, scope)?;
    Some(match addr.ip {
        // "This machine", but answers do not come from there.
        ip if ip.is_unspecified() => match ip {
            IpAddr::V4(_) => SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)),
            IpAddr::V6(_) => SocketAddr::from((Ipv6Addr::LOCALHOST, PORT)),
        },
        IpAddr::V4(ip) => SocketAddr::from((ip, PORT)),
        IpAddr::V6(ip) => SocketAddrV6::new(ip, PORT, 0, addr.scope).into(),
    })
}

/// The domain of a host name, as a search list.
fn own_domain(host: &str) -> Vec<String> {
    match host.trim().split_once('.') {
        Some((_, domain)) if !domain.is_empty() => vec![domain.to_owned()],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
