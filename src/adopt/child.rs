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
use super::gate::Gate;
use super::gather::Left;
use super::groups::Group;
use super::keeper;
use super::marks::{Marks, Role};
use super::plan::{LATE_WORKERS, Plan};
use super::registry::{FIRST_ATTEMPT, Registry};
use crate::board::{Board, Kick, Seat};
use crate::ffi::eventfd::Bell;
use crate::ffi::lock::LockFile;
use crate::ffi::log::Level;
use crate::ffi::proxy::{Server, Worker};
use crate::ffi::{clock, futex, thread};
use crate::log;
use crate::monitor::run::Plan as MonitorPlan;

mod rescue;

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
    /// Workers that are left to httpd.
    pub left: Vec<Left>,
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
    pub(super) gate: Gate,
    stopping: AtomicBool,
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
    // Work until it has a seat.
    let _ = child.gate.enter();
    let started = thread::spawn("live-keeper", KEEPER_STACK, move || keeper::run(child));
    if let Err(e) = started {
        child.gate.end();
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
            let live = group.members().filter_map(|(_, at)| entries.get(at?));
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
            left: plan.left,
            groups: plan.groups,
            registry: Registry::default(),
            seat: OnceCell::new(),
            desks: Desks::default(),
            pid: clock::pid(),
            offset: plan.board.ticket(),
            by_worker,
            attempts: AtomicU64::new(FIRST_ATTEMPT),
            gate: Gate::default(),
            stopping: AtomicBool::new(false),
        }
    }

    /// What a child of this plan would know, for the parent to look at.
    pub fn preview(plan: &Plan) -> Self {
        Self::new(plan.clone())
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

    /// Whether the newest configuration has this worker as well.
    pub fn has_newest(&self, entry: &Entry) -> bool {
        let newest = self.board.epoch();
        let seat = entry.planned.seat;
        seat.is_some_and(|(id, tag)| self.board.is_taken_up(id, tag, newest))
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

    /// The child is about to end (gracefully or not): it must not lead any more. Wakes the keepers of all children,
    /// so only when that ends something.
    pub fn set_stopping(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        if self.gate.leads() {
            futex::wake_all(self.board.generation_word());
        }
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// The child's pool is being destroyed: httpd's objects must not be touched any more.
    pub fn is_closing(&self) -> bool {
        self.gate.is_closed()
    }

    /// Gives the seat back. Once: the next child may have it by then.
    pub(super) fn leave_seat(&self) {
        if let Some(seat) = self.seat.get() {
            seat.leave();
        }
    }

    /// Ends the keeper: at once when it sleeps, waiting a bounded time when it works or leads. Async-signal-safe:
    /// prefork ends inside a handler.
    pub fn close(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.gate.close();
        if !self.gate.is_at_work() {
            self.leave_seat();
            return;
        }
        for step in 0..STOP_WAIT.as_micros() / u128::from(2 * STOP_STEP_US) {
            // Repeated: the keeper may have been between its look at the flag and its sleep. Seldom, and only one
            // that leads sleeps here: it wakes the keepers of all children.
            if step % 100 == 0 && self.gate.leads() {
                futex::wake_all(self.board.generation_word());
            }
            thread::pause_us(STOP_STEP_US);
            if !self.gate.is_at_work() {
                return;
            }
        }
    }
}
