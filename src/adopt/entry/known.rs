//! What the health of its addresses says of a worker.

use super::{Entry, Ordering};
use crate::ffi::clock;
use crate::logic::addr::Addr;
use crate::logic::health::{AddrHealth, Reason, State as Health, TargetRecord};
use crate::logic::usable::{self, Lack, Usable, usable};
use crate::logic::verdict::{self, WorkerHealth};

/// Addresses that one log line shows.
const DESCRIBED: usize = 8;

impl Entry {
    /// Whether it has no address to use: because DNS has not answered yet or never given one, or `livestale` has run out. Looks at the
    /// clock: call it at each tick of the keeper.
    pub fn lack(&self) -> Option<Lack> {
        let state = self.state.lock();
        let families = self.planned.settings.families;
        if self.follows_dns() && state.set.is_empty() {
            if usable::is_unresolved(&state.record, families) {
                return Some(Lack::Unresolved);
            }
            if state.record.addrs.is_empty() {
                return Some(Lack::Awaited);
            }
        }
        let stale = self.planned.settings.stale?;
        let now = usable(
            &state.record,
            families,
            Some(stale.as_millis() as u64),
            clock::now_ms(),
        );
        // A part of the families may have expired: the set shrinks at the next refresh.
        if now != Usable::Expired && !matches!(&now, Usable::Addresses(a) if *a == state.set) {
            self.seen.fetch_sub(1, Ordering::AcqRel);
        }
        (now == Usable::Expired).then_some(Lack::Expired)
    }

    /// Whether idle connections to `addr` may be kept: it is in the set in force (or none is), and not down while
    /// there is something better. Where nothing is, those to addresses with bad answers are kept, and those of the
    /// last resort: they may be all that works.
    pub fn wants(&self, addr: &Addr) -> bool {
        if self.planned.settings.observe {
            return true;
        }
        let state = self.state.lock();
        if !state.set.is_empty() && !state.set.contains(addr) {
            return false;
        }
        // What another port says is no evidence about connections to this one.
        let judged = self.planned.probe_port() == self.planned.port;
        let Some(target) = state.health.as_ref().filter(|_| judged) else {
            return true;
        };
        let of = |addr: &Addr| target.addrs.iter().find(|h| h.addr == *addr);
        let is_gone = |addr: &Addr| of(addr).is_some_and(AddrHealth::is_gone);
        let is_down = |addr: &Addr| of(addr).is_some_and(|h| h.state == Health::Down);
        if is_gone(addr) {
            return state.set.iter().all(is_gone) && !self.planned.worker.is_failed();
        }
        // Requests on kept connections must go to the better address as well.
        !is_down(addr) || state.set.iter().all(is_down)
    }

    /// Calls `look` with the addresses in force and their health.
    pub fn with_health<R>(&self, look: impl FnOnce(&[Addr], Option<&TargetRecord>) -> R) -> R {
        let state = self.state.lock();
        look(&state.set, state.health.as_ref())
    }

    /// Whether enough is known to say that it can be used: DNS has answered, and the probes of one address have come
    /// to an end (or are not possible on this machine).
    pub fn is_decided(&self) -> bool {
        let probed = self.planned.target.is_some();
        self.with_health(|set, health| {
            let known = health.map_or(&[][..], |target| &target.addrs);
            let is_local = |h: &AddrHealth| h.reason.is_some_and(Reason::is_local);
            let decided = |h: &&AddrHealth| h.state != Health::Unknown || is_local(h);
            let of = |addr: &Addr| known.iter().find(|h| h.addr == *addr);
            let found = set.iter().filter_map(of).any(|h| decided(&h));
            !set.is_empty() && (found || !probed)
        })
    }

    /// Whether the last probes of all its addresses found no way out of this machine.
    pub fn has_no_route(&self) -> bool {
        self.with_health(|set, health| {
            let known = health.map_or(&[][..], |target| &target.addrs);
            let lost = |addr: &Addr| {
                let health = known.iter().find(|h| h.addr == *addr);
                health.is_some_and(|h| h.reason.is_some_and(Reason::is_no_route))
            };
            !set.is_empty() && set.iter().all(lost)
        })
    }

    /// What its addresses make of the worker.
    pub fn health(&self) -> WorkerHealth {
        let fall = self.planned.settings.rules.fall;
        self.with_health(|set, health| verdict::worker(set, health, fall))
    }

    /// The addresses with what the last probes said, for a log line.
    pub fn describe(&self) -> String {
        self.with_health(describe)
    }
}

/// Some addresses with what the last probes said.
pub fn describe(set: &[Addr], health: Option<&TargetRecord>) -> String {
    let known = health.map_or(&[][..], |t| &t.addrs);
    let word = |addr: &Addr| match known.iter().find(|h| h.addr == *addr) {
        Some(AddrHealth {
            reason: Some(reason),
            ..
        }) => format!("{addr} {reason}"),
        // Too few successes as yet.
        Some(h) if h.state == Health::Down => format!("{addr} answers again"),
        Some(h) if h.last_ms != 0 => format!("{addr} answers"),
        _ => format!("{addr} not probed yet"),
    };
    let mut words: Vec<String> = set.iter().take(DESCRIBED).map(word).collect();
    if set.len() > DESCRIBED {
        words.push(format!("{} in all", set.len()));
    }
    words.join(", ")
}
