//! The value of `ProxyLiveResolver`.

use std::fmt;
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

impl fmt::Display for ResolverConfig {
    /// As it is written in the configuration.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.servers {
            Servers::System => f.write_str("system")?,
            Servers::Explicit(servers) => {
                let servers: Vec<String> = servers.iter().map(ToString::to_string).collect();
                f.write_str(&servers.join(" "))?;
            }
        }
        if let Some(timeout) = self.timeout {
            write!(f, " timeout={}", super::explain::time(timeout))?;
        }
        match self.attempts {
            Some(attempts) => write!(f, " attempts={attempts}"),
            None => Ok(()),
        }
    }
}
