//! The value of `ProxyLiveResolver`.

use std::net::SocketAddr;
use std::time::Duration;

/// Which name servers to ask.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Servers {
    /// Those of resolv.conf, with its search list, and the hosts file before them.
    #[default]
    System,
    /// These, for names as they are; neither search list nor hosts file.
    Explicit(Vec<SocketAddr>),
}

/// The value of `ProxyLiveResolver`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ResolverConfig {
    pub servers: Servers,
    /// For one try; by default that of resolv.conf, or 2 s.
    pub timeout: Option<Duration>,
    /// Tries of each server; by default those of resolv.conf, or 2.
    pub attempts: Option<u32>,
}
