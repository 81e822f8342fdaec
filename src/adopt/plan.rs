//! What the parent decides in post_config: which workers are live, and their slots on the board.

use std::collections::{HashMap, HashSet};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

use super::gather::{self, Gathered, Left, Planned, Source};
use super::groups::{self, Group};
use super::marks;
use super::tasks::Tasks;
use crate::board::{Board, Capacity, Ledger, NameId, TargetId, WorkerId};
use crate::config;
use crate::ffi::clock;
use crate::ffi::eventfd::Bell;
use crate::ffi::futex;
use crate::ffi::lock::LockFile;
use crate::ffi::proxy::Server;
use crate::ffi::reload;
use crate::ffi::shm;
use crate::logic::epochs::Living;
use crate::logic::event::Event;
use crate::logic::reload::Patience;
use crate::monitor::probe;
use crate::monitor::run::Plan as MonitorPlan;

/// So many members can be added at run time, in one configuration.
pub const LATE_WORKERS: u32 = 1_024;

/// What address space is reserved for; only what is used takes memory.
const CAPACITY: Capacity = Capacity {
    names: 16_384,
    targets: 16_384,
    workers: 32_768,
    children: 8_192,
    late: LATE_WORKERS,
};

/// What children of one configuration are born with.
#[derive(Clone, Debug)]
pub struct Plan {
    pub board: Board,
    pub epoch: u64,
    /// The main server.
    pub main: Server,
    pub lock: &'static LockFile,
    pub bell: &'static Bell,
    pub workers: Vec<Planned>,
    /// Workers that are left to httpd.
    pub left: Vec<Left>,
    pub groups: Vec<Group>,
    pub monitor: MonitorPlan,
}

/// What lives as long as the process, through all reloads.
struct Life {
    board: Board,
    lock: &'static LockFile,
    bell: &'static Bell,
    names: Ledger<NameId>,
    targets: Ledger<TargetId>,
    workers: Ledger<WorkerId>,
    /// Counts configurations here, since children can write to the board.
    epoch: u64,
    /// What the leaders of the last configuration with live workers had to do, and the number of it.
    last: (u64, MonitorPlan),
}

static LIFE: Mutex<Option<Life>> = Mutex::new(None);
static PLAN: Mutex<Option<Plan>> = Mutex::new(None);

/// Forgets the plan of the last configuration.
pub fn reset() {
    *PLAN.lock() = None;
}

/// Whether there is anything to do in the configuration just read.
pub fn is_made() -> bool {
    PLAN.lock().is_some()
}

/// Takes the plan, for the child that begins.
pub fn take() -> Option<Plan> {
    PLAN.lock().take()
}

/// Decides for the configuration just read. The error is a message for the log; httpd does not start.
pub fn make(main: Server) -> Result<(), String> {
    let (found, groups) = config::with(|c| {
        let mut found = gather::workers(c, main);
        let groups = groups::groups(c, &mut found.live, main);
        (found, groups)
    });
    gather::say_left(&found.left);
    let mut life = LIFE.lock();
    if found.live.is_empty() && groups.is_empty() {
        if let Some(life) = life.as_mut() {
            life.begin_epoch();
        }
        return Ok(());
    }
    let life = match &mut *life {
        Some(life) => life,
        none => none.insert(Life::new()?),
    };
    let plan = life.plan(found, groups, main)?;
    *PLAN.lock() = Some(plan);
    Ok(())
}

impl Life {
    fn new() -> Result<Self, String> {
        let words = Board::words_needed(CAPACITY);
        let map = shm::map_anonymous(words)
            .map_err(|e| format!("cannot get {} bytes of shared memory: {e}", words * 8))?;
        let board = Board::format(map, CAPACITY).ok_or("the board does not fit")?;
        let lock = LockFile::new().map_err(|e| format!("cannot make the leader's lock: {e}"))?;
        let bell = Bell::new().map_err(|e| format!("cannot make the leader's bell: {e}"))?;
        Ok(Self {
            board,
            // Never closed: closing it anywhere in a process would drop that process's lock.
            lock: Box::leak(Box::new(lock)),
            bell: Box::leak(Box::new(bell)),
            names: Ledger::new(CAPACITY.names),
            targets: Ledger::new(CAPACITY.targets),
            workers: Ledger::new(CAPACITY.workers),
            epoch: 0,
            last: (0, MonitorPlan::default()),
        })
    }

    fn plan(&mut self, found: Gathered, groups: Vec<Group>, main: Server) -> Result<Plan, String> {
        let (mut workers, left) = (found.live, found.left);
        let mut tasks = Tasks::of(&workers);
        self.find_slots(&mut tasks, &mut workers)?;
        let monitor = MonitorPlan {
            names: tasks.names,
            targets: tasks.targets,
            resolver: config::with(|c| c.resolver()),
        };
        self.last = (self.epoch, monitor.clone());
        Ok(Plan {
            board: self.board,
            epoch: self.epoch,
            main,
            lock: self.lock,
            bell: self.bell,
            workers,
            left,
            groups,
            monitor,
        })
    }

    /// Gives slots to names, targets and workers, and begins the epoch.
    fn find_slots(&mut self, tasks: &mut Tasks, workers: &mut [Planned]) -> Result<(), String> {
        let (epoch, living) = (self.epoch + 1, self.living_children());
        let keys: Vec<&str> = tasks.names.iter().map(|t| t.name.as_str()).collect();
        let names = self.names.plan(epoch, &keys, &living);
        let names = names.map_err(|full| format!("too many names of live workers: {full}"))?;
        let keys: Vec<&str> = tasks.targets.iter().map(|t| t.key.as_str()).collect();
        let targets = self.targets.plan(epoch, &keys, &living);
        let targets = targets.map_err(|full| format!("too many addresses to probe: {full}"))?;
        let texts = identities(workers);
        let keys: Vec<&str> = texts.iter().map(String::as_str).collect();
        let seats = self.workers.plan(epoch, &keys, &living);
        let seats = seats.map_err(|full| format!("too many live workers: {full}"))?;
        self.begin_epoch();
        self.board.apply(&names);
        self.board.apply_targets(&targets);
        self.board.apply_workers(&seats);
        let counts = [self.names.len(), self.targets.len(), self.workers.len()];
        self.board.set_used(counts);
        for (task, slot) in tasks.names.iter_mut().zip(&names.slots) {
            (task.id, task.tag) = *slot;
        }
        for (task, slot) in tasks.targets.iter_mut().zip(&targets.slots) {
            (task.id, task.tag) = *slot;
        }
        probe::seed(self.board, &tasks.names, &tasks.targets, clock::now_ms());
        for (at, worker) in workers.iter_mut().enumerate() {
            if let Some(name) = tasks.name_of[at] {
                let (id, tag) = names.slots[name];
                worker.source = Source::Name(id, tag);
            }
            worker.target = tasks.target_of[at].map(|target| targets.slots[target]);
            if let Some(target) = tasks.target_of[at] {
                // All who share it judge alike.
                worker.settings.rules = tasks.targets[target].rules;
            }
        }
        for (worker, (id, tag)) in workers.iter_mut().zip(seats.slots) {
            worker.seat = Some((id, tag));
            self.board.take_up(id, tag, epoch);
        }
        let (last_epoch, last) = &self.last;
        tasks.begin(last, epoch);
        tasks.add_past(last, *last_epoch, &living);
        Ok(())
    }

    /// Old children stop leading as soon as they see the new epoch.
    fn begin_epoch(&mut self) {
        self.epoch += 1;
        self.board.free_late();
        self.board.announce_epoch(self.epoch, clock::now_ms());
        // The last leader may have been gone for long: its successor has the usual time to speak up.
        self.board.heartbeat(clock::now_ms());
        let event = Event::of_module(format!("configuration {} in force", self.epoch), "");
        self.board.note(&event, clock::unix_ms());
        self.board.bump_generation();
        futex::wake_all(self.board.generation_word());
    }

    /// The epochs of the children alive. Seats of children that were killed are cleared.
    fn living_children(&self) -> Living {
        let dead = |(_, pid, _): &(usize, u32, u64)| !clock::process_exists(*pid);
        for (seat, pid, _) in self.board.children().filter(dead) {
            self.board.clear_seat(seat, pid);
        }
        self.board.living()
    }
}

/// What tells the workers apart. Virtual hosts may be alike in all of it: their order does it then.
fn identities(workers: &[Planned]) -> Vec<String> {
    numbered(workers.iter().map(Planned::identity))
}

fn numbered(texts: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    texts
        .map(|text| {
            let count = seen.entry(text.clone()).or_default();
            *count += 1;
            match *count {
                1 => text,
                again => format!("{text} #{again}"),
            }
        })
        .collect()
}

/// Workers that had `connectiontimeout` before mod_proxy_balancer may have restored members.
static HAD_TIMEOUT: Mutex<Option<HashSet<usize>>> = Mutex::new(None);

/// Remembers what the configuration itself says, before members may be restored (BalancerPersist).
pub fn note_configured(main: Server) {
    let mut had = HashSet::new();
    for server in main.chain() {
        server.workers(|worker, _| {
            if worker.has_connect_timeout() {
                had.insert(worker.key());
            }
        });
    }
    *HAD_TIMEOUT.lock() = Some(had);
}

/// Takes back what BalancerPersist may have stored of this module: HC_FAIL (without mod_proxy_hcheck's
/// `hcmethod` nobody else sets it) and the time-out of connects. Then puts in force what is known:
/// members that are down are so from the first request on.
pub fn restore(main: Server) {
    let had = HAD_TIMEOUT.lock().take().unwrap_or_default();
    for server in main.chain() {
        server.workers(|worker, balancer| {
            if balancer.is_some() && !worker.is_hchecked() {
                worker.set_failed(false);
            }
            if worker.has_connect_timeout() && !had.contains(&worker.key()) {
                worker.put_connect_timeout(None);
            }
        });
    }
    if let Some(plan) = PLAN.lock().as_ref() {
        marks::before_children(plan);
    }
}

/// The last thing before a graceful restart goes on: waits a moment for children that are ending, see
/// [`Patience`]. With this module their ends take longer, by the end of a thread.
pub fn await_ends() {
    const TICK: Duration = Duration::from_micros(500);
    let mut patience = Patience::new(clock::now_ms());
    while patience.waits(reload::children(), clock::now_ms()) {
        thread::sleep(TICK);
    }
}

/// How long a child waits between looks at the board when nothing happens.
pub const IDLE_TICK: Duration = Duration::from_millis(400);

#[cfg(test)]
mod tests {
    use super::numbered;

    #[test]
    fn no_two_workers_have_one_seat() {
        let texts = ["a", "b", "a", "a", "c"].map(str::to_owned);
        let found = numbered(texts.into_iter());
        assert_eq!(found, ["a", "b", "a #2", "a #3", "c"]);
    }
}
