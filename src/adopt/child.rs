//! One child of httpd: its live workers, its connections, and its end.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use once_cell::sync::OnceCell;

use super::desks::Desks;
use super::entries::Entries;
use super::entry::{Entry, Progress};
use super::gather::Planned;
use super::groups::Group;
use super::keeper;
use super::marks::{Marks, Role};
use super::plan::{LATE_WORKERS, Plan};
use super::registry::{FIRST_ATTEMPT, Registry};
use super::request::Over;
use crate::board::{Board, Kick, RescueCount, Seat};
use crate::ffi::eventfd::Bell;
use crate::ffi::lock::LockFile;
use crate::ffi::log::Level;
use crate::ffi::proxy::{Server, Worker};
use crate::ffi::{clock, futex, thread};
use crate::log;
use crate::logic::addr::Addr;
use crate::logic::retry;
use crate::monitor::run::Plan as MonitorPlan;

/// The keeper's stack: it publishes addresses and writes log lines, no more.
const KEEPER_STACK: usize = 512 * 1024;
/// How long the end of a child waits for its keeper.
const STOP_WAIT: Duration = Duration::from_millis(900);
/// Between two looks whether it has ended, in microseconds (a sleep takes up to twice as long). Short: prefork's
/// parent sleeps a second when no child has ended by its first look after a reload.
const STOP_STEP_US: u32 = 100;

/// Everything a child knows. Made once, in child_init; never freed.
#[derive(Debug)]
pub struct Child {
    pub board: Board,
    pub epoch: u64,
    /// The main server.
    pub main: Server,
    pub lock: &'static LockFile,
    pub bell: &'static Bell,
    pub monitor: Arc<MonitorPlan>,
    pub entries: Entries,
    pub groups: Vec<Group>,
    pub registry: Registry,
    /// Its place on the board, as soon as the keeper runs.
    pub seat: OnceCell<Seat>,
    pub desks: Desks,
    pub pid: u32,
    /// Where this child starts in each list of addresses.
    pub offset: u64,
    by_worker: HashMap<usize, u32, BuildHasherDefault<PointerHasher>>,
    attempts: AtomicU64,
    stopping: AtomicBool,
    closing: AtomicBool,
    keeper_runs: AtomicBool,
}

/// For keys that are addresses of our own making: nobody from outside chooses them.
#[derive(Default)]
struct PointerHasher(u64);

impl Hasher for PointerHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_usize(usize::from(*byte));
        }
    }

    fn write_usize(&mut self, key: usize) {
        // Fibonacci hashing: the high bits, which the map looks at first, depend on all of the key.
        self.0 = (self.0 ^ key as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 ^= self.0 >> 32;
    }
}

static CHILD: OnceCell<Child> = OnceCell::new();

/// This process's child state; None in the parent and when no worker is live.
pub fn current() -> Option<&'static Child> {
    CHILD.get()
}

/// Begins the life of a child: known addresses are in force when this returns.
pub fn start(plan: Plan) {
    let child = Child::new(plan);
    if CHILD.set(child).is_err() {
        log!(
            Level::Error,
            "child_init ran twice in one process: the second is ignored"
        );
        return;
    }
    let Some(child) = CHILD.get() else { return };
    child.refresh_all();
    // The statuses of plain workers are those of the parent, perhaps of long ago.
    let role = Role::Follows { speaks: false };
    Marks::default().step(child, child.board.generation(), true, role);
    child.keeper_runs.store(true, Ordering::Release);
    let started = thread::spawn("live-keeper", KEEPER_STACK, move || keeper::run(child));
    if let Err(e) = started {
        child.keeper_runs.store(false, Ordering::Release);
        log!(
            Level::Error,
            "cannot start the keeper thread: {e}; this child follows DNS only when a request comes"
        );
    }
}

/// Monotonic seconds.
fn now_s() -> u64 {
    clock::now_ms() / 1000
}

impl Child {
    fn new(plan: Plan) -> Self {
        let entries: Vec<Entry> = plan
            .workers
            .into_iter()
            .map(|planned| Entry::new(planned, plan.board))
            .collect();
        for (number, group) in plan.groups.iter().enumerate() {
            let known = group.members();
            let live = known.iter().filter_map(|(_, at)| entries.get((*at)?));
            live.for_each(|entry| entry.set_group(number));
        }
        let by_worker = entries
            .iter()
            .zip(0u32..)
            .map(|(e, i)| (e.planned.worker.key(), i))
            .collect();
        Self {
            board: plan.board,
            epoch: plan.epoch,
            main: plan.main,
            lock: plan.lock,
            bell: plan.bell,
            monitor: Arc::new(plan.monitor),
            entries: Entries::new(entries, LATE_WORKERS as usize),
            groups: plan.groups,
            registry: Registry::default(),
            seat: OnceCell::new(),
            desks: Desks::default(),
            pid: clock::pid(),
            offset: plan.board.ticket(),
            by_worker,
            attempts: AtomicU64::new(FIRST_ATTEMPT),
            stopping: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            keeper_runs: AtomicBool::new(false),
        }
    }

    /// What a child of this plan would know, for the parent to look at.
    pub fn preview(plan: &Plan) -> Self {
        Self::new(plan.clone())
    }

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

    pub(super) fn planned(&self, entry: u32) -> Option<&Planned> {
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
        let eager = |p: &Planned| p.settings.eager && p.is_rescued() && !p.http2;
        self.planned(entry).is_some_and(eager)
    }

    /// The worker of an entry.
    pub fn worker(&self, entry: u32) -> Option<Worker> {
        self.planned(entry).map(|p| p.worker)
    }

    /// Whether another member of its balancer takes requests. One whose error is only provoked counts: it is over
    /// in a moment.
    pub fn has_other_member(&self, group: &Group, worker: Worker) -> bool {
        let usable =
            |w: &Worker| w.is_usable() || (w.is_open() && !w.is_failed() && self.is_provoked(*w));
        let members = group.members();
        let mut others = members.iter().map(|(w, _)| w);
        others.any(|w| *w != worker && usable(w))
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
            let members = group.members();
            let mut others = members.iter().filter(|(other, _)| *other != worker);
            others.any(|(other, at)| other.is_usable() && well(*at))
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

    /// Brings every worker up to date; how many must be tried again soon.
    pub fn refresh_all(&self) -> usize {
        let generation = self.board.generation();
        let behind = self.entries.iter().filter(|e| e.is_behind(generation));
        behind
            .filter(|e| e.refresh(self.board, self.offset) == Progress::Busy)
            .count()
    }

    /// The index of a worker's entry, if it is live.
    pub fn entry_of(&self, worker: Worker) -> Option<u32> {
        let base = self.by_worker.get(&worker.key()).copied();
        base.or_else(|| self.late_entry_of(worker))
    }

    #[cold]
    fn late_entry_of(&self, worker: Worker) -> Option<u32> {
        let mut late = self.entries.late();
        let (at, _) = late.find(|(_, entry)| entry.planned.worker == worker)?;
        u32::try_from(at).ok()
    }

    /// Brings the worker that a request is about to use up to date: usually two loads.
    pub fn refresh_for_request(&self, at: u32) {
        if let Some(entry) = self.entries.get(at as usize)
            && entry.is_behind(self.board.generation())
            && !self.is_closing()
        {
            self.refresh(at as usize, entry);
        }
    }

    /// Brings one worker up to date.
    pub fn refresh(&self, at: usize, entry: &Entry) -> Progress {
        let progress = entry.refresh(self.board, self.offset);
        if entry.take_unreached() {
            self.kick(at, Kick::Failed);
        }
        progress
    }

    /// Counts attempts: the same number twice means that none began in between.
    pub fn attempts(&self) -> u64 {
        self.attempts.load(Ordering::Relaxed)
    }

    /// A number for a new attempt.
    pub fn next_attempt(&self) -> u64 {
        self.attempts.fetch_add(1, Ordering::Relaxed)
    }

    /// Has the keepers of all children look around.
    pub fn nudge(&self) {
        self.board.bump_generation();
        futex::wake_all(self.board.generation_word());
    }

    /// The child is about to end (gracefully or not): it must not lead any more.
    pub fn set_stopping(&self) {
        self.stopping.store(true, Ordering::Release);
        futex::wake_all(self.board.generation_word());
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// The child's pool is being destroyed: httpd's objects must not be touched any more.
    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// The keeper's last word.
    pub(super) fn keeper_ended(&self) {
        self.keeper_runs.store(false, Ordering::Release);
    }

    /// Ends the keeper, waiting a bounded time. Async-signal-safe: prefork ends inside a handler.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Release);
        self.stopping.store(true, Ordering::Release);
        for step in 0..STOP_WAIT.as_micros() / u128::from(2 * STOP_STEP_US) {
            if !self.keeper_runs.load(Ordering::Acquire) {
                return;
            }
            // Repeated: the keeper may have been between its look at the flag and its sleep. Seldom: it
            // wakes the keepers of all children.
            if step % 100 == 0 {
                futex::wake_all(self.board.generation_word());
            }
            thread::pause_us(STOP_STEP_US);
        }
    }
}
