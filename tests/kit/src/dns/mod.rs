//! A DNS server whose answers, failures and delays can be set while it runs, and which remembers every query.

mod ask;
mod server;
mod wire;

pub use ask::{Asked, ask};
pub use wire::Type;

use server::Listener;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use wire::{Question, Record};

/// The addresses of a name.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    pub a: Vec<IpAddr>,
    pub aaaa: Vec<IpAddr>,
    /// Seconds.
    pub ttl: u32,
}

/// IPv4 and IPv6 addresses in the order given, with a TTL in seconds.
pub fn answers(addrs: &[&str], ttl: u32) -> Answers {
    let parse = |s: &&str| {
        s.parse::<IpAddr>()
            .unwrap_or_else(|_| panic!("not an address: {s}"))
    };
    let (a, aaaa) = addrs.iter().map(parse).partition(IpAddr::is_ipv4);
    Answers { a, aaaa, ttl }
}

/// How a query is mistreated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    ServFail,
    NxDomain,
    Refused,
    /// NOERROR without records.
    Empty,
    /// No answer at all.
    Silent,
    /// Bytes that are no DNS message (behind the right id).
    Garbage,
    /// A good answer to another id.
    WrongId,
    /// UDP: truncation bit, no records; TCP answers well.
    Truncated,
    /// UDP: truncation bit; TCP connections are closed without an answer.
    TruncatedNoTcp,
    /// A good answer after so long, instead of the delay set by [`Dns::delay`].
    Late(Duration),
}

/// One query as it arrived.
#[derive(Debug, Clone)]
pub struct Query {
    pub at: Instant,
    /// Lower case, without the trailing dot.
    pub name: String,
    pub kind: Type,
    pub tcp: bool,
    /// The server's address it was sent to.
    pub server: SocketAddr,
}

#[derive(Debug, Clone)]
enum Entry {
    Addresses(Answers),
    Cname { target: String, ttl: u32 },
}

#[derive(Default)]
struct Zone {
    entries: HashMap<String, Entry>,
    /// Key `*` covers every name; no type: both.
    faults: Vec<(String, Option<Type>, Fault)>,
    delays: HashMap<String, Duration>,
    queries: Vec<Query>,
}

/// What is to be done with one query.
struct Verdict {
    delay: Duration,
    fault: Option<Fault>,
    rcode: u16,
    records: Vec<Record>,
}

type Shared = Arc<Mutex<Zone>>;

fn lock(zone: &Shared) -> MutexGuard<'_, Zone> {
    zone.lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The server; one zone, any number of addresses to be asked at.
pub struct Dns {
    zone: Shared,
    listeners: Vec<Listener>,
    addrs: Vec<SocketAddr>,
}

impl Dns {
    /// A server on `addr` (`127.0.0.1:53`), UDP and TCP, that knows no name yet (NXDOMAIN for all).
    pub fn start(addr: &str) -> Dns {
        let mut dns = Dns {
            zone: Shared::default(),
            listeners: Vec::new(),
            addrs: Vec::new(),
        };
        dns.listen(addr);
        dns
    }

    /// Answers on another address too; the same names, faults and query log.
    pub fn listen(&mut self, addr: &str) {
        let addr = addr
            .parse()
            .unwrap_or_else(|_| panic!("not an address with port: {addr}"));
        self.addrs.push(addr);
        self.listeners.push(Listener::start(addr, &self.zone));
    }

    /// Closes all sockets: queries meet a closed port.
    pub fn down(&mut self) {
        self.listeners.clear();
    }

    /// Opens them again.
    pub fn up(&mut self) {
        self.listeners = self
            .addrs
            .iter()
            .map(|&addr| Listener::start(addr, &self.zone))
            .collect();
    }

    /// Gives `name` these addresses, instead of what it had. `*.zone` covers every name below `zone` that has
    /// no entry of its own.
    pub fn set(&self, name: &str, answers: Answers) {
        lock(&self.zone)
            .entries
            .insert(key(name), Entry::Addresses(answers));
    }

    /// Makes `name` an alias of `target`.
    pub fn cname(&self, name: &str, target: &str, ttl: u32) {
        lock(&self.zone).entries.insert(
            key(name),
            Entry::Cname {
                target: key(target),
                ttl,
            },
        );
    }

    /// Forgets `name`: NXDOMAIN.
    pub fn remove(&self, name: &str) {
        lock(&self.zone).entries.remove(&key(name));
    }

    /// Both types of `name` (`*`: every name) fail from now on.
    pub fn fail(&self, name: &str, fault: Fault) {
        self.put_fault(name, None, fault);
    }

    /// Only the given type fails.
    pub fn fail_type(&self, name: &str, kind: Type, fault: Fault) {
        self.put_fault(name, Some(kind), fault);
    }

    /// Ends all faults and delays of `name` (`*`: of all names).
    pub fn heal(&self, name: &str) {
        let mut zone = lock(&self.zone);
        let key = key(name);
        zone.faults.retain(|(n, _, _)| key != "*" && *n != key);
        zone.delays.retain(|n, _| key != "*" && *n != key);
    }

    /// Delays every answer to `name` (`*`: to all names).
    pub fn delay(&self, name: &str, delay: Duration) {
        lock(&self.zone).delays.insert(key(name), delay);
    }

    /// Every query since the start or the last [`Dns::forget`], oldest first.
    pub fn queries(&self) -> Vec<Query> {
        lock(&self.zone).queries.clone()
    }

    /// Number of queries for a name and type.
    pub fn count(&self, name: &str, kind: Type) -> usize {
        let key = key(name);
        lock(&self.zone)
            .queries
            .iter()
            .filter(|q| q.name == key && q.kind == kind)
            .count()
    }

    /// Empties the list of queries.
    pub fn forget(&self) {
        lock(&self.zone).queries.clear();
    }

    fn put_fault(&self, name: &str, kind: Option<Type>, fault: Fault) {
        let mut zone = lock(&self.zone);
        let key = key(name);
        zone.faults.retain(|(n, k, _)| !(*n == key && *k == kind));
        zone.faults.push((key, kind, fault));
    }
}

fn key(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

impl Zone {
    fn verdict(&self, question: &Question) -> Verdict {
        let (name, kind) = (&question.name, question.kind);
        let hit =
            |n: &String, k: &Option<Type>| (n == name || n == "*") && k.is_none_or(|k| k == kind);
        let fault = self
            .faults
            .iter()
            .find(|(n, k, _)| hit(n, k))
            .map(|&(_, _, fault)| fault);
        let delay = self
            .delays
            .get(name)
            .or_else(|| self.delays.get("*"))
            .copied()
            .unwrap_or_default();
        let (rcode, records) = self.resolve(name, kind);
        let (delay, fault) = match fault {
            Some(Fault::Late(delay)) => (delay, None),
            fault => (delay, fault),
        };
        Verdict {
            delay,
            fault,
            rcode,
            records,
        }
    }

    fn resolve(&self, name: &str, kind: Type) -> (u16, Vec<Record>) {
        let mut records = Vec::new();
        let mut at = name.to_owned();
        // A loop of aliases ends after some rounds, as in real servers.
        for _ in 0..16 {
            match self.entry(&at) {
                None => return (wire::NXDOMAIN, records),
                Some(Entry::Cname { target, ttl }) => {
                    records.push(Record::Cname {
                        name: at.clone(),
                        target: target.clone(),
                        ttl: *ttl,
                    });
                    at.clone_from(target);
                }
                Some(Entry::Addresses(answers)) => {
                    let ips = match kind {
                        Type::A => answers.a.as_slice(),
                        Type::Aaaa => answers.aaaa.as_slice(),
                        Type::Other(_) => &[],
                    };
                    let ttl = answers.ttl;
                    records.extend(ips.iter().map(|&ip| Record::Address {
                        name: at.clone(),
                        ip,
                        ttl,
                    }));
                    return (wire::NOERROR, records);
                }
            }
        }
        (wire::NOERROR, records)
    }

    fn entry(&self, name: &str) -> Option<&Entry> {
        let below = || {
            name.match_indices('.')
                .map(|(i, _)| format!("*{}", &name[i..]))
        };
        self.entries
            .get(name)
            .or_else(|| below().find_map(|wild| self.entries.get(&wild)))
    }
}
