//! What the rescue of requests asks a child, and has it do.

use std::sync::atomic::Ordering;

use super::{Child, now_s};
use crate::adopt::gather::Planned;
use crate::adopt::groups::Group;
use crate::adopt::request::Over;
use crate::adopt::wire::Watched;
use crate::board::{Kick, Known, RescueCount};
use crate::ffi::clock;
use crate::ffi::proxy::Worker;
use crate::ffi::request::Request;
use crate::logic::addr::Addr;
use crate::logic::retry;

impl Child {
    /// Has the leader look at a worker's addresses at once.
    #[cold]
    pub fn kick(&self, entry: usize, kick: Kick) {
        let target = self.entries.get(entry).and_then(|e| e.planned.target);
        if let Some((id, _)) = target
            && self.board.kick(id, kick)
        {
            self.bell.ring();
        }
    }

    /// A request failed at this worker. When the worker takes none, for whatever reason, that is no news.
    pub fn kick_worker(&self, worker: Worker) {
        if let Some(entry) = self.entry_of(worker)
            && worker.is_open()
            && !worker.is_failed()
        {
            self.kick(entry as usize, Kick::Failed);
        }
    }

    /// mod_proxy_balancer puts this member into error for what it answered: probes must not end that.
    pub fn keep_in_error(&self, worker: Worker) {
        let entry = self.entry_of(worker);
        let planned = entry.map(|at| &self.entries[at as usize].planned);
        if let Some((id, tag)) = planned.and_then(|p| p.seat) {
            let retry = worker.retry().as_millis() as u64;
            let until = clock::now_ms().saturating_add(retry);
            self.board.keep_until(id, tag, until);
        }
    }

    pub(in crate::adopt) fn planned(&self, entry: u32) -> Option<&Planned> {
        self.entries.get(entry as usize).map(|e| &e.planned)
    }

    /// mod_proxy is about to put this member into error although it does not deserve it. False: it is in error
    /// already, for a reason of its own.
    pub fn provoke(&self, entry: u32, worker: Worker) -> bool {
        let Some((id, tag)) = self.planned(entry).and_then(|p| p.seat) else {
            return false;
        };
        if worker.ignores_errors() {
            return false;
        }
        // Counted first: from now on nobody clears.
        let first = self.board.provoke(id, tag, now_s());
        if first && worker.is_in_error() {
            self.board.take_back(id, tag, now_s(), || ());
            return false;
        }
        true
    }

    /// Whether a request that found this worker closed may have met an error that others have provoked just now.
    /// (Or an exhausted pool of connections; httpd's handlers for other protocols have reasons of their own.)
    pub fn meets_provoked(&self, worker: Worker, over: &Over) -> bool {
        let seat = self.planned(over.entry).and_then(|p| p.seat);
        let recent = seat.is_some_and(|(id, tag)| self.board.was_provoked(id, tag, now_s()));
        recent && over.peer.is_none() && self.rescues(over.entry) && worker.speaks_http()
    }

    /// Ends the error that was provoked, when no other request needs it and nothing else wants it.
    pub fn take_back(&self, worker: Worker) {
        let seat = self.entry_of(worker).and_then(|at| self.planned(at)?.seat);
        let Some((id, tag)) = seat else { return };
        self.board.take_back(id, tag, now_s(), || {
            let fails = self
                .board
                .fails(id, tag)
                .map_or(0, |word| word.load(Ordering::Relaxed));
            let kept = self.board.kept_until(id, tag) > clock::now_ms();
            if !kept && !retry::is_row(fails) {
                worker.forgive();
            }
        });
    }

    /// An attempt at this worker has succeeded.
    #[inline]
    pub fn succeeded(&self, entry: u32) {
        if let Some(entry) = self.entries.get(entry as usize) {
            entry.succeeded();
        }
    }

    /// An attempt at this worker has failed on its connection: true when that is one too many without a success.
    pub fn count_fail(&self, entry: u32) -> bool {
        let seat = self.planned(entry).and_then(|p| p.seat);
        seat.is_some_and(|(id, tag)| retry::is_row(self.board.count_fail(id, tag)))
    }

    /// Whether `liverescue` is on for this worker, and it is not only observed.
    pub fn rescues(&self, entry: u32) -> bool {
        self.planned(entry).is_some_and(Planned::is_rescued)
    }

    /// Whether what mod_proxy_http2 does for this worker is to be held back until it has succeeded.
    pub fn holds(&self, entry: u32) -> bool {
        let http2 = |p: &Planned| p.http2 && p.is_rescued();
        self.planned(entry).is_some_and(http2)
    }

    /// Whether requests are taken away from this worker's backends when those hang (`liverescue=eager`).
    pub fn moves(&self, entry: u32) -> bool {
        self.planned(entry).is_some_and(Planned::moves)
    }

    /// How the end of its connections is seen.
    pub fn watched_by(&self, entry: u32) -> Watched {
        self.planned(entry)
            .map_or(Watched::ByFilter, Planned::watched)
    }

    /// The worker of an entry.
    pub fn worker(&self, entry: u32) -> Option<Worker> {
        self.planned(entry).map(|p| p.worker)
    }

    /// Whether another member of its balancer takes requests. One whose error is only provoked counts: it is over
    /// in a moment.
    pub fn has_other_member(&self, group: &Group, worker: Worker) -> bool {
        let mut others = group.members().map(|(w, _)| w);
        others.any(|w| w != worker && self.takes_requests(w))
    }

    fn takes_requests(&self, worker: Worker) -> bool {
        worker.is_usable() || (worker.is_open() && !worker.is_failed() && self.is_provoked(worker))
    }

    /// Members that DNS has not answered for take a request that failed when no other one does, as they do when all
    /// await DNS: httpd looks the name up.
    pub fn let_awaited_in(&self, group: &Group, worker: Worker) {
        let awaited = |at: Option<usize>| {
            let entry = at.and_then(|at| self.entries.get(at));
            // A member that is only observed is httpd's.
            let ours = entry.filter(|entry| !entry.planned.settings.observe);
            ours.filter(|entry| self.decided(entry) == Some(Known::Nothing))
        };
        let others = || group.members().filter(|(other, _)| *other != worker);
        if others().any(|(other, at)| self.takes_requests(other) && awaited(at).is_none()) {
            return;
        }
        for (other, at) in others() {
            let entry = awaited(at).filter(|_| other.is_open() && !other.is_hchecked());
            let Some((id, tag)) = entry.and_then(|entry| entry.planned.seat) else {
                continue;
            };
            self.board.let_in(id, tag);
            other.set_failed(false);
        }
    }

    /// Whether a request at this worker's `peer` could be answered elsewhere: not where probes fail as well, even
    /// if that is a last resort, or before it has a verdict.
    pub fn has_elsewhere(&self, entry: u32, peer: Addr) -> bool {
        let well = |at: Option<usize>| {
            let entry = at.and_then(|at| self.entries.get(at));
            entry.is_none_or(|entry| !entry.well_addrs().is_empty())
        };
        let member = |worker: Worker| {
            let Some(group) = self.group_of(worker) else {
                return false;
            };
            let mut others = group.members().filter(|(other, _)| *other != worker);
            others.any(|(other, at)| other.is_usable() && well(at))
        };
        let own = self.entries.get(entry as usize);
        let address = own.is_some_and(|own| own.well_addrs().iter().any(|addr| *addr != peer));
        address || self.worker(entry).is_some_and(member)
    }

    /// Whether mod_proxy_http2 serves this worker.
    pub fn speaks_http2(&self, entry: u32) -> bool {
        self.planned(entry).is_some_and(|p| p.http2)
    }

    /// The worker's URL.
    pub fn label(&self, entry: u32) -> &str {
        self.planned(entry).map_or("", |p| p.label.as_str())
    }

    /// The balancer that a live worker is a member of.
    pub fn group_of(&self, worker: Worker) -> Option<&Group> {
        let entry = self.entries.get(self.entry_of(worker)? as usize)?;
        self.groups.get(entry.group()?)
    }

    /// Whether a worker has another address than `peer` that is not known as down.
    pub fn has_other_address(&self, entry: u32, peer: Option<Addr>) -> bool {
        let Some(entry) = self.entries.get(entry as usize) else {
            return false;
        };
        peer.is_some_and(|peer| entry.open_addrs().any(|addr| addr != peer))
    }

    /// Has the next connections to a worker begin with another address than `peer`, for a moment.
    pub fn avoid(&self, entry: u32, peer: Option<Addr>) {
        if let (Some(entry), Some(peer)) = (self.entries.get(entry as usize), peer)
            && !self.is_closing()
        {
            entry.avoid(&peer);
        }
    }

    /// Whether requests are on their way from this member to another.
    pub fn is_provoked(&self, worker: Worker) -> bool {
        let seat = self.entry_of(worker).and_then(|at| self.planned(at)?.seat);
        seat.is_some_and(|(id, tag)| self.board.is_provoked(id, tag, now_s()))
    }

    /// Counts what became of requests at a worker.
    pub fn count_rescue(&self, entry: u32, what: RescueCount, n: u64) {
        if let Some((id, tag)) = self.planned(entry).and_then(|p| p.seat) {
            self.board.count_rescue(id, tag, what, n);
        }
    }

    /// A rescued request has been answered: counted at the worker that it left.
    #[cold]
    pub fn count_rescued(&self, request: Request) {
        let from = request.history().and_then(|history| history.rescued_from());
        let seat = from.and_then(|entry| self.planned(entry)?.seat);
        if let Some((id, tag)) = seat {
            self.board.count_rescued(id, tag);
        }
    }

    /// Tells the board how many requests are under way here.
    pub fn tell_running(&self) {
        if let Some(seat) = self.seat.get() {
            seat.running(self.desks.busy());
        }
    }

    /// Takes one rescue from the budget of all children; false: there is none left now.
    pub fn spend_rescue(&self) -> bool {
        self.tell_running();
        self.spend_told()
    }

    /// The same after [`Child::tell_running`], without a lock.
    pub fn spend_told(&self) -> bool {
        self.board.spend_rescue(now_s(), self.board.running())
    }
}
