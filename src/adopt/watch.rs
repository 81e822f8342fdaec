//! The keeper's look at requests under way: who has no answer, and whose peer is gone.

use super::child::Child;
use super::entry::Entry;
use super::registry::{Conn, Silence};
use crate::board::{Kick, RescueCount};
use crate::config::params::Probe;
use crate::ffi::tcp;
use crate::logic::addr::Addr;
use crate::logic::ended;
use crate::logic::health::{AddrHealth, State, TargetRecord};

/// An attempt without a connection is noticed after so long, counted from the first look at it.
const CONNECT_PATIENCE_MS: u64 = 200;

/// What the last look has left.
#[derive(Default, Debug)]
pub struct Watch {
    /// Number of attempts then.
    attempts: u64,
    /// Requests may be waiting for an answer.
    in_use: bool,
    /// Addresses at which nobody is any more, of which entry.
    gone: Vec<(u32, Addr)>,
    /// Those whose application hangs, of workers with `liverescue=eager`.
    hung: Vec<(u32, Addr)>,
    /// The generation of the board they are of.
    gone_generation: u32,
}

impl Watch {
    /// Has silent backends looked at, and ends requests at peers that are gone. True while requests are under
    /// way: the next look should come soon. `busy`: not all entries are up to date.
    pub fn step(&mut self, child: &Child, now: u64, generation: u32, busy: bool) -> bool {
        let attempts = child.attempts();
        let began = std::mem::replace(&mut self.attempts, attempts) != attempts;
        if began || self.in_use {
            self.watch_silence(child, now);
        }
        if self.in_use {
            self.look_for_gone(child, generation, busy);
            self.end_dead(child);
            self.move_hung(child, now);
        }
        self.in_use
    }

    fn watch_silence(&mut self, child: &Child, now: u64) {
        child.tell_running();
        let (used, silent) = child.registry.silent(tcp::silence);
        let (begun, hanging) = child.desks.hanging(now, CONNECT_PATIENCE_MS);
        self.in_use = used || begun;
        for (entry, silence) in silent {
            // A peer whose system does not answer either is no slow page.
            let kick = match silence {
                Silence::Total => Kick::Failed,
                Silence::Answer | Silence::None => Kick::Silent,
            };
            child.kick(entry as usize, kick);
        }
        for entry in hanging {
            child.kick(entry as usize, Kick::Silent);
        }
    }

    fn look_for_gone(&mut self, child: &Child, generation: u32, busy: bool) {
        if !busy && self.gone_generation == generation {
            return;
        }
        self.gone_generation = generation;
        (self.gone, self.hung) = (Vec::new(), Vec::new());
        for (entry, at) in child.entries.iter().zip(0u32..) {
            let with_entry = |addr| (at, addr);
            self.gone
                .extend(entry.gone_addrs().into_iter().map(with_entry));
            if child.moves(at) {
                self.hung
                    .extend(entry.hung_addrs().into_iter().map(with_entry));
            }
        }
    }

    fn end_dead(&self, child: &Child) {
        let is_dead = |conn: &Conn| {
            let suspected = self.gone.contains(&(conn.entry, conn.peer));
            let observed = child.would_rescue(conn.entry);
            let unlimited =
                (observed || child.rescues(conn.entry)) && !conn.is_limited() && conn.is_due();
            let dead = (suspected || unlimited)
                && tcp::pulse(conn).is_some_and(|pulse| {
                    (suspected && ended::is_dead(&pulse)) || (unlimited && ended::is_lost(&pulse))
                });
            if dead && observed && conn.imagine_end() {
                child.would_end(conn.entry);
            }
            dead && !observed
        };
        for entry in child.registry.end(is_dead, tcp::shut_down) {
            child.count_rescue(entry, RescueCount::Ended, 1);
        }
    }

    /// Takes requests away from applications that hang, as many as the budget has room for, and only when they can
    /// be answered elsewhere.
    fn move_hung(&self, child: &Child, now: u64) {
        let elsewhere = |(entry, addr): &&(u32, Addr)| child.has_elsewhere(*entry, *addr);
        let hung: Vec<_> = self.hung.iter().filter(elsewhere).copied().collect();
        if hung.is_empty() {
            return;
        }
        child.tell_running();
        let may = |conn: &Conn| {
            hung.contains(&(conn.entry, conn.peer))
                && conn
                    .wait
                    .lasts_ms(now)
                    .is_some_and(|ms| ms >= ended::HUNG_MS)
                && tcp::pulse(conn).is_some_and(|pulse| ended::is_heard(&pulse))
                && child.spend_told()
        };
        for entry in child.registry.take_away(may, tcp::shut_down) {
            child.count_rescue(entry, RescueCount::Ended, 1);
        }
    }
}

impl Entry {
    /// The addresses in force that are not known as down.
    pub fn open_addrs(&self) -> impl Iterator<Item = Addr> + use<> {
        self.addrs_in_force(|h| h.state != State::Down).into_iter()
    }

    /// Those of them whose last probe has not failed.
    pub fn well_addrs(&self) -> Vec<Addr> {
        self.addrs_in_force(|h| h.state != State::Down && !h.is_failing())
    }

    /// The addresses in force that nothing is known of, or with such a health.
    fn addrs_in_force(&self, are: impl Fn(&AddrHealth) -> bool) -> Vec<Addr> {
        self.with_health(|set, health| {
            let known = |addr: &Addr| health.and_then(|t| t.addrs.iter().find(|h| h.addr == *addr));
            let fit = |addr: &&Addr| known(addr).is_none_or(&are);
            set.iter().filter(fit).copied().collect()
        })
    }

    /// The addresses at which nobody is any more, by the word of probes of the worker's own port; none without
    /// `liverescue`.
    pub fn gone_addrs(&self) -> Vec<Addr> {
        self.addrs_that(ended::address_is_gone)
    }

    /// Those whose application hangs, by the word of such probes.
    pub fn hung_addrs(&self) -> Vec<Addr> {
        match self.planned.settings.probe {
            Probe::Tls | Probe::Http => self.addrs_that(ended::app_hangs),
            Probe::Tcp | Probe::Off => Vec::new(),
        }
    }

    fn addrs_that(&self, are: impl Fn(Option<&TargetRecord>, &Addr) -> bool) -> Vec<Addr> {
        let p = &self.planned;
        if !p.settings.rescue || p.probe_port() != p.port {
            return Vec::new();
        }
        self.with_health(|_, health| {
            let known = health.map_or(&[][..], |t| &t.addrs).iter();
            let such = known.map(|h| h.addr).filter(|addr| are(health, addr));
            such.collect()
        })
    }
}
