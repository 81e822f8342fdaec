//! The name servers together: which one is asked, how often, and how the answers of both
//! families become one look-up.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_resolver::proto::rr::Name;

use super::server::Server;
use crate::board::Source;
use crate::config::resolver::{ResolverConfig, Servers};
use crate::logic::addr::{Families, Family};
use crate::logic::answer::{Failure, Lookup, Outcome};
use crate::logic::resolvconf::ResolvConf;

/// Time for one try of servers that are given explicitly.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2);
/// Tries of each server that is given explicitly.
const DEFAULT_ATTEMPTS: u32 = 2;

/// How long one family is waited for when the other one has addresses.
pub(super) const GRACE: Duration = Duration::from_millis(100);

/// The name servers and what is known of them.
pub(super) struct Dns {
    pub(super) servers: Vec<Server>,
    pub(super) attempts: u32,
    /// The server that answered last: it is asked first.
    preferred: AtomicUsize,
}

impl Dns {
    pub(super) fn new(config: &ResolverConfig, conf: &ResolvConf) -> Self {
        let system = config.servers == Servers::System;
        let timeout = config.timeout.unwrap_or(match system {
            true => Duration::from_secs(conf.timeout_s.into()),
            false => DEFAULT_TIMEOUT,
        });
        let attempts = config.attempts.unwrap_or(match system {
            true => conf.attempts,
            false => DEFAULT_ATTEMPTS,
        });
        let servers = conf.servers.iter();
        Self {
            // hickory refuses only what is not used here (DNSSEC, TLS).
            servers: servers
                .filter_map(|&addr| Server::new(addr, timeout, conf.use_vc).ok())
                .collect(),
            attempts: attempts.max(1),
            preferred: AtomicUsize::new(0),
        }
    }

    /// Asks for both families in parallel.
    pub(super) async fn ask(
        &self,
        name: &Name,
        want: Families,
        early: Option<&mut (dyn FnMut(Lookup) + Send)>,
    ) -> Lookup {
        let v4 = self.ask_family(name, want, Family::V4);
        let v6 = self.ask_family(name, want, Family::V6);
        tokio::pin!(v4, v6);
        // Which one comes first decides for whom may have to be waited.
        tokio::select! {
            v4 = &mut v4 => {
                let (v4, v6) = both(v4, v6, early, join).await;
                join(v4, v6)
            }
            v6 = &mut v6 => {
                let (v6, v4) = both(v6, v4, early, |v6, v4| join(v4, v6)).await;
                join(v4, v6)
            }
        }
    }

    /// Asks for one family until a server answers: the one that answered last first, then
    /// the others in turn, `attempts` times around.
    async fn ask_family(&self, name: &Name, want: Families, family: Family) -> Asked {
        let mut asked = Asked::default();
        if !want.has(family) {
            return asked;
        }
        asked.outcome = Outcome::Failed(Failure::Network);
        let count = self.servers.len();
        let first = self.preferred.load(Ordering::Relaxed);
        for at in first..first + count * self.attempts as usize {
            let server = &self.servers[at % count];
            let (outcome, queries) = server.ask(name, family).await;
            asked.queries += queries;
            if let Outcome::Failed(_) = outcome {
                asked.outcome = clearest(asked.outcome, outcome);
                continue;
            }
            self.preferred.store(at % count, Ordering::Relaxed);
            if let Outcome::Addresses { .. } = outcome {
                asked.by = Some(server.addr);
            }
            asked.outcome = outcome;
            break;
        }
        asked
    }
}

/// One family's answer from the servers.
#[derive(Default)]
struct Asked {
    outcome: Outcome,
    by: Option<SocketAddr>,
    queries: u32,
}

/// Waits for the second family. When it is slow and the first one has addresses, these go
/// out early and count as not asked from then on.
async fn both(
    first: Asked,
    mut second: Pin<&mut impl Future<Output = Asked>>,
    early: Option<&mut (dyn FnMut(Lookup) + Send)>,
    join: impl Fn(Asked, Asked) -> Lookup,
) -> (Asked, Asked) {
    let found = matches!(first.outcome, Outcome::Addresses { .. });
    let Some(early) = early.filter(|_| found) else {
        return (first, second.await);
    };
    if let Ok(second) = tokio::time::timeout(GRACE, second.as_mut()).await {
        return (first, second);
    }
    let pending = Asked {
        outcome: Outcome::Pending,
        ..Asked::default()
    };
    early(join(first, pending));
    (Asked::default(), second.await)
}

fn join(v4: Asked, v6: Asked) -> Lookup {
    Lookup {
        v4: v4.outcome,
        v6: v6.outcome,
        candidate: String::new(),
        source: Source::Dns,
        by: v4.by.or(v6.by),
        queries: v4.queries + v6.queries,
    }
}

/// Of two failures the one that says more: what a server said, then silence.
fn clearest(before: Outcome, now: Outcome) -> Outcome {
    match (&before, &now) {
        (_, Outcome::Failed(Failure::Network)) => before,
        (Outcome::Failed(Failure::Network), _) => now,
        (_, Outcome::Failed(Failure::Timeout)) => before,
        _ => now,
    }
}
