//! What is probed: targets.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::sync::Arc;

use crate::board::{Tag, TargetId};
use crate::logic::addr::Addr;
use crate::logic::health::{AddrHealth, Rules, TargetRecord};
use crate::logic::pace::Pace;
use crate::logic::statuses::Statuses;
use crate::monitor::run::Epochs;

/// How an address is probed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A TCP connection is made and closed.
    Tcp,
    /// The first message of a TLS handshake is answered.
    Tls(Arc<TlsCheck>),
    /// A URL is answered with a status that is expected.
    Http(Arc<HttpCheck>),
}

impl Kind {
    /// The first word of a target's key.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tls(_) => "tls",
            Self::Http(check) if check.tls.is_some() => "https",
            Self::Http(_) => "http",
        }
    }
}

/// What a TLS probe says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsCheck {
    /// The name sent (SNI); None for none.
    pub name: Option<String>,
}

/// What an HTTP probe says, and what it wants to hear.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HttpCheck {
    /// Over TLS, with this handshake.
    pub tls: Option<TlsCheck>,
    /// The Host field: name or address, and the port unless it is the scheme's.
    pub host: String,
    /// Path and query.
    pub uri: String,
    pub expect: Statuses,
}

/// Where a target's addresses come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// A name: its place in [`crate::monitor::run::Plan::names`].
    Name(usize),
    /// One address that never changes.
    Fixed(Addr),
}

/// One stream of probes: all addresses of a name, or one address, on one port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TargetTask {
    pub id: TargetId,
    pub tag: Tag,
    /// What makes its identity: `tcp app.test:8080`; of other kinds also what they send and expect.
    pub key: String,
    /// For the log: `app.test:8080`, `tls app.test:8443`, `http app.test:8080/healthz`.
    pub label: String,
    pub source: Source,
    pub port: u16,
    pub kind: Kind,
    pub rules: Rules,
    pub epochs: Epochs,
}

/// A target as the leader works on it.
#[derive(Debug)]
pub struct Target<'a> {
    pub task: &'a TargetTask,
    pub record: TargetRecord,
    /// The slot is another's now, since a reload, or no child uses it any more: not probed.
    pub lost: bool,
    /// How often requests in trouble may have it looked at.
    pub pace: Pace,
}

impl<'a> Target<'a> {
    pub fn new(task: &'a TargetTask, addrs: Vec<AddrHealth>) -> Self {
        let port = task.port;
        Self {
            task,
            record: TargetRecord { port, addrs },
            lost: false,
            pace: Pace::default(),
        }
    }

    /// Whether its addresses are those of this name.
    pub fn follows(&self, name: usize) -> bool {
        self.task.source == Source::Name(name)
    }

    pub fn health(&self, addr: &Addr) -> Option<&AddrHealth> {
        self.record.addrs.iter().find(|health| health.addr == *addr)
    }

    pub fn health_mut(&mut self, addr: &Addr) -> Option<&mut AddrHealth> {
        let mut all = self.record.addrs.iter_mut();
        all.find(|health| health.addr == *addr)
    }
}

/// What to connect to.
pub const fn socket_addr(addr: &Addr, port: u16) -> SocketAddr {
    match addr.ip {
        IpAddr::V4(ip) => SocketAddr::V4(std::net::SocketAddrV4::new(ip, port)),
        IpAddr::V6(ip) => SocketAddr::V6(SocketAddrV6::new(ip, port, 0, addr.scope)),
    }
}
