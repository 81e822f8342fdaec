//! What the live balancers and workers of this child are good for. No locks, a few loads for each worker.

use super::ready::{Fitness, Pool};
use crate::adopt::child::Child;
use crate::adopt::entry::Entry;
use crate::adopt::groups::Group;
use crate::adopt::{marks, recover};
use crate::board::Known;
use crate::ffi::clock;
use crate::ffi::proxy::Worker;

/// A leader that is silent for longer counts as lost, as for the keeper.
const HEARTBEAT_LOST_MS: u64 = 3_300;

/// So long DNS and the first probe of a worker that came with a reload may take.
const PATIENCE_MS: u64 = 10_000;

/// A look at one instant.
pub struct Look<'a> {
    child: &'a Child,
    now_ms: u64,
    /// Nobody leads: what leaders have decided is out of force.
    pub lost: bool,
    /// A reload has just been: a server that was ready is not taken out because of a worker that came with it.
    patient: bool,
}

impl<'a> Look<'a> {
    pub fn new(child: &'a Child) -> Self {
        let now_ms = clock::now_ms();
        let board = child.board;
        let beat = board.leader().heartbeat_ms;
        let age_ms = now_ms.saturating_sub(board.epoch_since_ms());
        Self {
            child,
            now_ms,
            lost: now_ms.saturating_sub(beat) > HEARTBEAT_LOST_MS,
            patient: board.was_ready() && age_ms < PATIENCE_MS,
        }
    }

    /// All that is live: each balancer with a live member, and each live worker outside of balancers.
    pub fn pools(&self) -> impl Iterator<Item = Pool<'a>> {
        let plain = self.child.entries.iter().filter(|e| !e.planned.member);
        let plain = plain.map(|entry| Pool {
            name: &entry.planned.label,
            balancer: false,
            best: self.of(entry),
        });
        self.balancers(None).chain(plain)
    }

    /// The balancers with a live member; `name`: only those of this name.
    pub fn balancers(&self, name: Option<&str>) -> impl Iterator<Item = Pool<'a>> {
        let named = move |group: &&Group| name.is_none_or(|n| group.name.eq_ignore_ascii_case(n));
        let groups = self.child.groups.iter().filter(named);
        groups.filter(|group| group.is_live()).map(|group| Pool {
            name: &group.name,
            balancer: true,
            best: self.best(group),
        })
    }

    /// What the best member is good for.
    pub fn best(&self, group: &Group) -> Fitness {
        let forgiven = recover::are_forgiven(self.child, group);
        let fitness = |(worker, at): (Worker, Option<usize>)| {
            let entry = at.and_then(|at| self.child.entries.get(at));
            let own = entry.filter(|entry| !entry.planned.settings.observe);
            let error = || own.map_or_else(|| lasts(worker), |e| self.is_in_lasting_error(e));
            // Marked, but it is the start that it waits in.
            let waits = own.is_some_and(|entry| self.is_unresolved(entry));
            let failed = worker.is_failed() && !waits;
            match !worker.is_open() || failed || (!forgiven && error()) {
                true => Fitness::None,
                false => own.map_or(Fitness::Usable, |entry| self.known(entry)),
            }
        };
        group.members().map(fitness).max().unwrap_or(Fitness::None)
    }

    /// What a live worker outside of balancers is good for.
    fn of(&self, entry: &Entry) -> Fitness {
        let worker = entry.planned.worker;
        match (
            worker.is_open() && (!worker.is_failed() || self.is_unresolved(entry)),
            entry.planned.settings.observe,
        ) {
            (false, _) => Fitness::None,
            // httpd does with it what it does without the module.
            (true, true) => Fitness::Usable,
            (true, false) => self.known(entry),
        }
    }

    fn decided(&self, entry: &Entry) -> Known {
        let seat = entry.planned.seat;
        seat.map_or(Known::In, |(id, tag)| self.child.board.known(id, tag).0)
    }

    /// Whether it may be out because DNS has not given it an address, yet or ever.
    fn is_unresolved(&self, entry: &Entry) -> bool {
        !self.lost && matches!(self.decided(entry), Known::Nothing | Known::Unresolved)
    }

    /// What leaders have decided.
    fn known(&self, entry: &Entry) -> Fitness {
        match self.decided(entry) {
            Known::Nothing | Known::Unresolved if self.patient => Fitness::Usable,
            Known::Nothing | Known::Unresolved => Fitness::Starting,
            // No child probes, nor asks DNS: as httpd sees it.
            _ if self.lost => Fitness::Usable,
            Known::LastResort => Fitness::LastResort,
            // Marks follow in a moment.
            Known::Out | Known::Expired | Known::NoRoute => Fitness::None,
            Known::In => Fitness::Usable,
        }
    }

    /// Errors of mod_proxy that probes will end, and those that a rescue provokes, are over in a moment.
    pub fn is_in_lasting_error(&self, entry: &Entry) -> bool {
        let planned = &entry.planned;
        let worker = planned.worker;
        if !planned.member || !worker.is_in_error() {
            return false;
        }
        let kept = marks::kept_until(self.child.board, entry, self.now_ms) > self.now_ms;
        let released = planned.target.is_some() && !worker.is_hchecked() && !self.lost;
        let provoked = planned
            .seat
            .is_some_and(|(id, tag)| self.child.board.is_provoked(id, tag, self.now_ms / 1_000));
        kept || !(released || provoked || may_be_retried(worker))
    }
}

/// Whether httpd keeps a worker in its error state.
fn lasts(worker: Worker) -> bool {
    worker.is_in_error() && !may_be_retried(worker)
}

/// Whether mod_proxy would end its error for the next request.
fn may_be_retried(worker: Worker) -> bool {
    let until = worker
        .error_at_ms()
        .saturating_add(worker.retry().as_millis() as u64);
    clock::unix_ms() >= until
}
