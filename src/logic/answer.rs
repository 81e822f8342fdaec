//! From the records of a DNS answer to the addresses of a name, and the
//! vocabulary of what a look-up can come to.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::addr::{Addr, Family};
use super::record::Source;

/// Aliases followed inside one answer.
const MAX_ALIASES: usize = 16;

/// A record of an answer, as far as this module cares.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Fully qualified owner name; case does not matter.
    pub owner: String,
    /// Seconds.
    pub ttl: u32,
    pub data: Data,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Data {
    /// CNAME: the fully qualified target.
    Alias(String),
    /// A or AAAA.
    Address(IpAddr),
}

/// What became of one family of a look-up.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Outcome {
    #[default]
    NotAsked,
    /// Asked, the answer is still to come.
    Pending,
    /// At least one address; `ttl` in seconds, the minimum along the alias chain.
    Addresses {
        addrs: Vec<Addr>,
        ttl: u32,
    },
    /// NOERROR without a usable record.
    Empty,
    /// NXDOMAIN.
    NoName,
    Failed(Failure),
}

/// Why a look-up gave no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// No name server answered in time.
    Timeout,
    ServFail,
    Refused,
    /// Another response code.
    Code(u8),
    /// The answer could not be read.
    Garbage,
    /// No packet could be sent, or the name server's port is closed.
    Network,
    /// The name is not one that DNS can carry.
    BadName,
}

/// The result of one look-up of a name: both families, their errors apart.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Lookup {
    pub v4: Outcome,
    pub v6: Outcome,
    /// The fully qualified name that decided.
    pub candidate: String,
    pub source: Source,
    /// The name server that gave the addresses, when one did.
    pub by: Option<SocketAddr>,
    /// DNS questions sent, repeats and TCP included.
    pub queries: u32,
}

impl Lookup {
    pub const fn outcome(&self, family: Family) -> &Outcome {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }

    pub const fn outcome_mut(&mut self, family: Family) -> &mut Outcome {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }

    /// Whether it gave an address for any family.
    pub const fn gave_addresses(&self) -> bool {
        matches!(self.v4, Outcome::Addresses { .. }) || matches!(self.v6, Outcome::Addresses { .. })
    }
}

/// Codes of the trouble of a family as the board keeps it ([`Outcome::error`]).
mod code {
    pub const TIMEOUT: u32 = 1;
    pub const SERVFAIL: u32 = 2;
    pub const REFUSED: u32 = 3;
    pub const GARBAGE: u32 = 4;
    pub const NETWORK: u32 = 5;
    pub const BAD_NAME: u32 = 6;
    pub const EMPTY: u32 = 7;
    pub const NO_NAME: u32 = 8;
    /// Plus the response code.
    pub const RCODE: u32 = 0x100;
}

impl Failure {
    /// The stable code of this failure, never 0.
    pub const fn code(self) -> u32 {
        match self {
            Self::Timeout => code::TIMEOUT,
            Self::ServFail => code::SERVFAIL,
            Self::Refused => code::REFUSED,
            Self::Code(rcode) => code::RCODE + rcode as u32,
            Self::Garbage => code::GARBAGE,
            Self::Network => code::NETWORK,
            Self::BadName => code::BAD_NAME,
        }
    }

    /// The failure of a code; `None` for codes that are none.
    pub const fn from_code(code: u32) -> Option<Self> {
        Some(match code {
            code::TIMEOUT => Self::Timeout,
            code::SERVFAIL => Self::ServFail,
            code::REFUSED => Self::Refused,
            code::GARBAGE => Self::Garbage,
            code::NETWORK => Self::Network,
            code::BAD_NAME => Self::BadName,
            code::RCODE..=0x1ff => Self::Code((code - code::RCODE) as u8),
            _ => return None,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("no answer in time"),
            Self::ServFail => f.write_str("SERVFAIL"),
            Self::Refused => f.write_str("REFUSED"),
            Self::Code(1) => f.write_str("FORMERR"),
            Self::Code(4) => f.write_str("NOTIMP"),
            Self::Code(rcode) => write!(f, "response code {rcode}"),
            Self::Garbage => f.write_str("unreadable answer"),
            Self::Network => f.write_str("name server not reachable"),
            Self::BadName => f.write_str("not a valid DNS name"),
        }
    }
}

impl Outcome {
    /// The code to keep on the board for an outcome that is no good answer:
    /// 0 for addresses and for a family that was not asked or has not answered.
    pub const fn error(&self) -> u32 {
        match self {
            Self::NotAsked | Self::Pending | Self::Addresses { .. } => 0,
            Self::Empty => code::EMPTY,
            Self::NoName => code::NO_NAME,
            Self::Failed(failure) => failure.code(),
        }
    }

    /// Whether the search list goes on to the next name after this outcome.
    pub const fn is_negative(&self) -> bool {
        matches!(self, Self::NotAsked | Self::Empty | Self::NoName)
    }
}

/// The words for a code of [`Outcome::error`], for the log and the status page.
#[derive(Clone, Copy, Debug)]
pub struct ErrorText(pub u32);

impl fmt::Display for ErrorText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0, Failure::from_code(self.0)) {
            (_, Some(failure)) => failure.fmt(f),
            (0, _) => f.write_str("none"),
            (code::EMPTY, _) => f.write_str("no addresses"),
            (code::NO_NAME, _) => f.write_str("NXDOMAIN"),
            (other, _) => write!(f, "error {other}"),
        }
    }
}

/// The addresses of `family` that an answer gives for `question`.
///
/// Follows the CNAME chain by owner name (RFC 1034 section 3.6.2), whatever the
/// order of the records; other records are ignored. The TTL is the minimum along
/// the chain and over the addresses; one with the top bit set counts as 0
/// (RFC 2181 section 8). `Empty` when the chain ends without an address.
pub fn follow(question: &str, family: Family, records: &[Record]) -> Outcome {
    let mut name = question;
    let mut ttl = u32::MAX;
    for _ in 0..=MAX_ALIASES {
        let addrs = addresses(name, family, records, &mut ttl);
        if !addrs.is_empty() {
            return Outcome::Addresses { addrs, ttl };
        }
        match alias(name, records) {
            Some((target, alias_ttl)) => {
                ttl = ttl.min(alias_ttl);
                name = target;
            }
            None => return Outcome::Empty,
        }
    }
    Outcome::Empty
}

/// The addresses that belong to `name` itself, each once; lowers `ttl` to theirs.
fn addresses(name: &str, family: Family, records: &[Record], ttl: &mut u32) -> Vec<Addr> {
    let mut addrs = Vec::new();
    for record in records {
        let Data::Address(ip) = record.data else {
            continue;
        };
        let addr = Addr { ip, scope: 0 };
        if addr.family() != family || !same_name(&record.owner, name) {
            continue;
        }
        *ttl = (*ttl).min(sane(record.ttl));
        if !addrs.contains(&addr) {
            addrs.push(addr);
        }
    }
    addrs
}

fn alias<'a>(name: &str, records: &'a [Record]) -> Option<(&'a str, u32)> {
    records.iter().find_map(|record| match &record.data {
        Data::Alias(target) if same_name(&record.owner, name) => {
            Some((&**target, sane(record.ttl)))
        }
        _ => None,
    })
}

/// Names compare without case and without the final dot.
fn same_name(a: &str, b: &str) -> bool {
    let bare = |name: &str| -> usize { name.strip_suffix('.').unwrap_or(name).len() };
    a[..bare(a)].eq_ignore_ascii_case(&b[..bare(b)])
}

const fn sane(ttl: u32) -> u32 {
    if ttl > i32::MAX as u32 { 0 } else { ttl }
}

#[cfg(test)]
mod tests;
