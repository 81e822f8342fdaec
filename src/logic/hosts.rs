//! The hosts file, hosts(5).

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::addr::{Addr, Families, Family};
use super::answer::{Lookup, Outcome};
use super::record::Source;
use super::search::is_localhost;

/// The interface index of an IPv6 scope name, `None` when there is no such interface.
pub type ScopeOf<'a> = &'a dyn Fn(&str) -> Option<u32>;

/// The names of a hosts file with their addresses.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Hosts {
    names: HashMap<String, Vec<Addr>>,
}

impl Hosts {
    /// Reads a hosts file. Lines that are none are skipped; the addresses of a name
    /// that is on several lines are put together, in order and each once.
    pub fn parse(text: &str, scope: ScopeOf<'_>) -> Self {
        let mut hosts = Self::default();
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or("");
            let mut words = line.split_ascii_whitespace();
            let Some(addr) = words.next().and_then(|word| parse_addr(word, scope)) else {
                continue;
            };
            for name in words {
                let addrs = hosts.names.entry(key(name)).or_default();
                if !addrs.contains(&addr) {
                    addrs.push(addr);
                }
            }
        }
        hosts
    }

    /// The addresses of a name, case and a final dot ignored; empty when it has no entry.
    pub fn get(&self, name: &str) -> &[Addr] {
        self.names.get(&key(name)).map_or(&[], Vec::as_slice)
    }

    /// The answer for names that DNS is not asked for: addresses, entries of the file
    /// (which then answer both families), and `localhost`.
    pub fn answer(&self, name: &str, want: Families) -> Option<Lookup> {
        if let Ok(ip) = name.parse() {
            return Some(found(name, want, &[Addr { ip, scope: 0 }]));
        }
        let entry = found(name, want, self.get(name));
        if entry.gave_addresses() {
            return Some(entry);
        }
        is_localhost(name).then(|| found(name, want, loopback(name)))
    }
}

fn found(name: &str, want: Families, addrs: &[Addr]) -> Lookup {
    let of = |family| {
        let addrs = addrs.iter().copied();
        let addrs: Vec<Addr> = addrs.filter(|addr| addr.family() == family).collect();
        match (want.has(family), addrs.is_empty()) {
            (false, _) => Outcome::NotAsked,
            (true, true) => Outcome::Empty,
            (true, false) => Outcome::Addresses { addrs, ttl: 0 },
        }
    };
    Lookup {
        v4: of(Family::V4),
        v6: of(Family::V6),
        candidate: name.to_owned(),
        source: Source::Hosts,
        by: None,
        queries: 0,
    }
}

/// The addresses of a name that DNS is never asked for: a `localhost` name without an
/// entry in the hosts file.
pub fn loopback(name: &str) -> &'static [Addr] {
    const LOOPBACK: &[Addr] = &[
        Addr::v4(Ipv4Addr::LOCALHOST),
        Addr::v6(Ipv6Addr::LOCALHOST, 0),
    ];
    if is_localhost(name) { LOOPBACK } else { &[] }
}

/// An address as it is written in a hosts file or in resolv.conf, IPv6 with `%scope`
/// (a name or a number). `None` when it is not one, or its interface is not there.
pub fn parse_addr(text: &str, scope: ScopeOf<'_>) -> Option<Addr> {
    let Some((ip, zone)) = text.split_once('%') else {
        let ip: IpAddr = text.parse().ok()?;
        return Some(Addr { ip, scope: 0 });
    };
    let ip: Ipv6Addr = ip.parse().ok()?;
    let scope = match zone.parse() {
        Ok(index) => index,
        Err(_) => scope(zone)?,
    };
    Some(Addr::v6(ip, scope))
}

fn key(name: &str) -> String {
    let name = name.strip_suffix('.').unwrap_or(name);
    name.to_ascii_lowercase()
}

#[cfg(test)]
mod tests;
