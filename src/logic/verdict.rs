//! Is a worker in or out: from the health of its addresses and, in a balancer, of the other members.
//!
//! All of it depends on nothing but what is on the board and in mod_proxy's shared status, so every child and
//! every new leader come to the same result.

use super::addr::Addr;
use super::health::{AddrHealth, Reason, State, TargetRecord};

mod release;

pub use release::{Action, Release, Sight};

/// What the probes say about a worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WorkerHealth {
    /// At least one address is not down.
    Up,
    Down {
        /// All addresses are, confirmed by refused connections or unreachable hosts in a row.
        hard: bool,
        /// Since when the last of them is, in monotonic milliseconds.
        since_ms: u64,
    },
}

/// The health of a worker that uses `addrs`, as the record of its target says; what is missing there is
/// unknown and counts as up, and so does a worker without addresses. `fall` is its `livefall`.
///
/// An address that this machine cannot even try (IPv6 without a route) says nothing: the others decide.
pub fn worker(addrs: &[Addr], health: Option<&TargetRecord>, fall: u32) -> WorkerHealth {
    let mut down = None;
    for addr in addrs {
        match find(addr, health) {
            Some(found) if found.state == State::Down => {
                let (hard, since_ms) = down.unwrap_or((true, 0));
                let hard = hard && found.is_hard_down(fall);
                down = Some((hard, found.since_ms.max(since_ms)));
            }
            Some(found) if is_out_of_reach(found) => {}
            _ => return WorkerHealth::Up,
        }
    }
    down.map_or(WorkerHealth::Up, |(hard, since_ms)| WorkerHealth::Down {
        hard,
        since_ms,
    })
}

/// Never reached, because of this machine.
fn is_out_of_reach(health: &AddrHealth) -> bool {
    health.state == State::Unknown && health.reason.is_some_and(Reason::is_local)
}

fn find<'a>(addr: &Addr, health: Option<&'a TargetRecord>) -> Option<&'a AddrHealth> {
    health?.addrs.iter().find(|health| health.addr == *addr)
}

/// One member of a balancer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Member {
    /// None: it is not live, or not ours to mark.
    pub health: Option<WorkerHealth>,
    /// What httpd thinks of it without our bit: not disabled, stopped, shut down, in error, draining or failed
    /// by another health check. Standby and spare members are usable.
    pub usable: bool,
    /// `livelastresort`.
    pub last_resort: bool,
    /// It has no address that it may use: it is out in any case.
    pub lacks_address: bool,
    /// DNS has not answered yet: out while another one can serve, since httpd would look its name up in requests.
    pub awaits_dns: bool,
}

impl Member {
    /// Down, or without addresses that may still be used.
    const fn is_down(&self) -> bool {
        self.lacks_address || matches!(self.health, Some(WorkerHealth::Down { .. }))
    }

    /// Since when it is down, when it may nevertheless be the last resort.
    const fn resort(&self) -> Option<u64> {
        match self.health {
            Some(WorkerHealth::Down {
                hard: false,
                since_ms,
            }) if self.usable && self.last_resort && !self.lacks_address => Some(since_ms),
            _ => None,
        }
    }
}

/// What becomes of a member.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Verdict {
    #[default]
    In,
    Out,
    /// It is down, but nothing better is left.
    LastResort,
}

/// The verdict on each of `members`, in their order. A plain worker is a balancer of one.
///
/// When no usable member is up, the one that went down last, and not by refused connections, stays in.
pub fn balancer(members: &[Member]) -> Vec<Verdict> {
    let served = members
        .iter()
        .any(|m| m.usable && !m.is_down() && !m.awaits_dns);
    let resort = if members.iter().any(|m| m.usable && !m.is_down()) {
        None
    } else {
        latest(members)
    };
    members
        .iter()
        .enumerate()
        .map(|(i, member)| match member.is_down() {
            false if member.awaits_dns && served => Verdict::Out,
            false => Verdict::In,
            true if resort == Some(i) => Verdict::LastResort,
            true => Verdict::Out,
        })
        .collect()
}

/// The verdicts in a balancer of which some members are only observed: `observed` holds, for these, what httpd sees
/// of them.
///
/// A verdict on a member that is live reckons with what httpd will really do with the observed ones; on an observed
/// one it says what would be, if all of them were live.
pub fn mixed(members: &[Member], observed: &[Option<Member>]) -> Vec<Verdict> {
    let imagined = balancer(members);
    if observed.iter().all(Option::is_none) {
        return imagined;
    }
    let seen: Vec<Member> = members
        .iter()
        .zip(observed)
        .map(|(member, seen)| seen.unwrap_or(*member))
        .collect();
    let real = balancer(&seen);
    let verdicts = imagined.into_iter().zip(real).zip(observed);
    verdicts
        .map(|((imagined, real), observed)| if observed.is_some() { imagined } else { real })
        .collect()
}

/// The first of those that went down last and may be the last resort.
fn latest(members: &[Member]) -> Option<usize> {
    let mut best: Option<(u64, usize)> = None;
    for (i, member) in members.iter().enumerate() {
        if let Some(since) = member.resort()
            && best.is_none_or(|(latest, _)| since > latest)
        {
            best = Some((since, i));
        }
    }
    best.map(|(_, i)| i)
}

#[cfg(test)]
mod tests;
