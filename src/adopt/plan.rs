//! What the parent decides in post_config: which workers are live, and their slots on the board.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;

use parking_lot::Mutex;

use crate::board::{Board, Ledger, NameId, Tag};
use crate::config::params::Settings;
use crate::config::{self, Config};
use crate::ffi::clock;
use crate::ffi::futex;
use crate::ffi::lock::LockFile;
use crate::ffi::log::Level;
use crate::ffi::proxy::{Server, Worker};
use crate::ffi::shm;
use crate::log;
use crate::logic::addr::Families;
use crate::monitor::run::{NameTask, Plan as MonitorPlan};

/// Name slots that address space is reserved for; only used ones take memory.
const NAMES: u32 = 16_384;
/// Seats for children.
const CHILDREN: u32 = 8_192;

/// A worker that the module works on.
#[derive(Clone, Debug)]
pub struct Planned {
    pub worker: Worker,
    pub server: Server,
    /// Member of a balancer: its status is shared by all children.
    pub member: bool,
    /// The worker's URL, for messages.
    pub label: String,
    /// The name as configured.
    pub host: String,
    pub port: u16,
    pub settings: Settings,
    pub slot: (NameId, Tag),
}

/// What children of one configuration are born with.
#[derive(Debug)]
pub struct Plan {
    pub board: Board,
    pub epoch: u64,
    pub lock: &'static LockFile,
    pub workers: Vec<Planned>,
    pub monitor: MonitorPlan,
}

/// What lives as long as the process, through all reloads.
struct Life {
    board: Board,
    lock: &'static LockFile,
    ledger: Ledger,
    /// Counts configurations here, since children can write to the board.
    epoch: u64,
}

static LIFE: Mutex<Option<Life>> = Mutex::new(None);
static PLAN: Mutex<Option<Plan>> = Mutex::new(None);

/// Forgets the plan of the last configuration.
pub fn reset() {
    *PLAN.lock() = None;
}

/// Takes the plan, for the child that begins.
pub fn take() -> Option<Plan> {
    PLAN.lock().take()
}

/// Decides for the configuration just read. The error is a message for the log; httpd does not start.
pub fn make(main: Server) -> Result<(), String> {
    let found = config::with(|c| gather(c, main));
    let mut life = LIFE.lock();
    if found.is_empty() {
        if let Some(life) = life.as_mut() {
            life.begin_epoch();
        }
        return Ok(());
    }
    let life = match &mut *life {
        Some(life) => life,
        none => none.insert(Life::new()?),
    };
    let plan = life.plan(found)?;
    *PLAN.lock() = Some(plan);
    Ok(())
}

impl Life {
    fn new() -> Result<Self, String> {
        let words = Board::words_needed(NAMES, CHILDREN);
        let map = shm::map_anonymous(words)
            .map_err(|e| format!("cannot get {} bytes of shared memory: {e}", words * 8))?;
        let board = Board::format(map, NAMES, CHILDREN).ok_or("the board does not fit")?;
        let lock = LockFile::new().map_err(|e| format!("cannot make the leader's lock: {e}"))?;
        Ok(Self {
            board,
            // Never closed: closing it anywhere in a process would drop that process's lock.
            lock: Box::leak(Box::new(lock)),
            ledger: Ledger::new(board.name_capacity()),
            epoch: 0,
        })
    }

    fn plan(&mut self, mut workers: Vec<Planned>) -> Result<Plan, String> {
        let names = Names::of(&workers);
        let keys: Vec<&str> = names.tasks.iter().map(|t| t.name.as_str()).collect();
        let oldest = self.oldest_child();
        let slots = self
            .ledger
            .plan(self.epoch + 1, &keys, oldest)
            .map_err(|full| format!("too many names of live workers: {full}"))?;
        self.begin_epoch();
        self.board.apply(&slots);
        let mut tasks = names.tasks;
        for (task, (id, tag)) in tasks.iter_mut().zip(&slots.slots) {
            (task.id, task.tag) = (*id, *tag);
        }
        for (worker, task) in workers.iter_mut().zip(names.task_of) {
            worker.slot = (tasks[task].id, tasks[task].tag);
        }
        Ok(Plan {
            board: self.board,
            epoch: self.epoch,
            lock: self.lock,
            workers,
            monitor: MonitorPlan {
                names: tasks,
                resolver: config::with(|c| c.resolver()),
            },
        })
    }

    /// Old children stop leading as soon as they see the new epoch.
    fn begin_epoch(&mut self) {
        self.epoch += 1;
        self.board.announce_epoch(self.epoch);
        // The last leader may have been gone for long: its successor has the usual time to speak up.
        self.board.heartbeat(clock::now_ms());
        self.board.bump_generation();
        futex::wake_all(self.board.generation_word());
    }

    /// The epoch of the oldest child alive. Seats of children that were killed are cleared.
    fn oldest_child(&self) -> Option<u64> {
        let mut oldest = None;
        for (seat, pid, epoch) in self.board.children() {
            if clock::process_exists(pid) {
                oldest = Some(oldest.map_or(epoch, |o: u64| o.min(epoch)));
            } else {
                self.board.clear_seat(seat, pid);
            }
        }
        oldest
    }
}

/// Takes back the HC_FAIL that BalancerPersist may have stored of us: without mod_proxy_hcheck's
/// `hcmethod` nobody else sets it. The leader marks again what is still out.
pub fn clear_leftovers(main: Server) {
    for server in main.chain() {
        server.workers(|worker, balancer| {
            if balancer.is_some() && !worker.is_hchecked() {
                worker.set_failed(false);
            }
        });
    }
}

/// The names of all live workers, each once.
struct Names {
    tasks: Vec<NameTask>,
    /// For each worker the index of its name.
    task_of: Vec<usize>,
}

impl Names {
    fn of(workers: &[Planned]) -> Self {
        let mut index = HashMap::new();
        let mut tasks: Vec<NameTask> = Vec::new();
        let task_of = workers
            .iter()
            .map(|w| {
                let at = *index
                    .entry(w.host.to_ascii_lowercase())
                    .or_insert(tasks.len());
                match tasks.get_mut(at) {
                    Some(task) => join(task, &w.settings),
                    None => tasks.push(task(&w.host, &w.settings)),
                }
                at
            })
            .collect();
        Self { tasks, task_of }
    }
}

fn task(host: &str, settings: &Settings) -> NameTask {
    NameTask {
        id: NameId(0),
        tag: Tag(1),
        name: host.to_ascii_lowercase(),
        want: settings.families,
        ttl_min: settings.ttl.min,
        ttl_max: settings.ttl.max,
    }
}

/// Another worker with the same name: it is asked for as the more eager of them wants.
fn join(task: &mut NameTask, settings: &Settings) {
    task.want = task.want.union(settings.families);
    task.ttl_min = task.ttl_min.min(settings.ttl.min);
    task.ttl_max = task.ttl_max.min(settings.ttl.max).max(task.ttl_min);
}

/// What was decided so far of a worker that several servers may share.
#[derive(Default)]
struct Seen {
    /// One of them wants it live.
    wanted: bool,
    /// Why it is left to httpd, if so: in one server is everywhere.
    left: Option<&'static str>,
    /// Its place among the workers found.
    live: Option<usize>,
}

/// Finds the live workers of all servers; says of each that cannot be followed why.
///
/// Virtual hosts share the members of inherited balancers, and the plain workers too when they have no
/// line of mod_proxy's own: then it is enough that one of them wants the worker live.
fn gather(config: &Config, main: Server) -> Vec<Planned> {
    let mut found: Vec<Planned> = Vec::new();
    let mut at: HashMap<usize, Seen> = HashMap::new();
    // Copies of a worker in virtual hosts have a line together.
    let mut said = HashSet::new();
    for server in main.chain() {
        let remotes = server.remotes();
        server.workers(|worker, balancer| {
            let seen = at.entry(worker.key()).or_default();
            let settings = config.settings(worker.shared_key(), server.key(), main.key(), balancer);
            seen.wanted |= settings.is_some();
            seen.left = seen.left.or_else(|| hands_off(worker, &remotes));
            if let (Some(reason), true) = (seen.left, seen.wanted) {
                if said.insert((worker.shared_key(), reason)) {
                    say_hands_off(worker, reason);
                }
                if let Some(known) = seen.live {
                    found[known].settings.families = Families::NONE;
                }
            }
            if let (Some(settings), None, None) = (settings, seen.left, seen.live) {
                seen.live = Some(found.len());
                found.push(planned(worker, server, balancer.is_some(), settings));
            }
        });
    }
    found.retain(|p| !p.settings.families.is_empty());
    found
}

fn planned(worker: Worker, server: Server, member: bool, settings: Settings) -> Planned {
    Planned {
        worker,
        server,
        member,
        label: worker.name(),
        host: worker.host(),
        port: worker.port(),
        settings,
        slot: (NameId(0), Tag(1)),
    }
}

/// Logs why a worker is left to httpd.
fn say_hands_off(worker: Worker, reason: &str) {
    log!(
        Level::Info,
        "worker {}: live has no effect: {reason}",
        worker.name()
    );
}

/// Why the addresses of a worker are not for us to set, if so.
fn hands_off(worker: Worker, remotes: &[Option<String>]) -> Option<&'static str> {
    let host = worker.host();
    if worker.is_generic() {
        Some("mod_proxy's catch-all worker has no host of its own")
    } else if worker.is_unix_socket() {
        Some("it uses a unix socket")
    } else if worker.host_is_substituted() {
        Some("its host is substituted in each request (ProxyPassMatch)")
    } else if is_numeric(&host) {
        Some("its host is an address, there is no DNS to follow")
    } else if reached_by_remote(&worker.name(), &worker.scheme(), remotes) {
        Some("a ProxyRemote takes its requests")
    } else if !worker.keeps_address() {
        Some(
            "httpd asks DNS for each connection itself (disablereuse=on, addressttl=0 or a \
             ProxyPassMatch with substitution); remove disablereuse=on to follow DNS with reuse",
        )
    } else {
        None
    }
}

/// An IPv4 or IPv6 address, with or without brackets and scope.
fn is_numeric(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.split('%')
        .next()
        .is_some_and(|h| h.parse::<IpAddr>().is_ok())
}

/// The choice of mod_proxy.c (proxy_handler) between `ProxyRemote` lines; a regular expression counts
/// as a match, since it is matched against each request.
fn reached_by_remote(url: &str, scheme: &str, remotes: &[Option<String>]) -> bool {
    remotes.iter().any(|remote| match remote.as_deref() {
        None | Some("*") => true,
        Some(prefix) if prefix.contains(':') => {
            let (url, prefix) = (url.to_ascii_lowercase(), prefix.to_ascii_lowercase());
            // The prefix is of a request's URL, which is longer than the worker's.
            url.starts_with(&prefix) || prefix.starts_with(&url)
        }
        Some(name) => name.eq_ignore_ascii_case(scheme),
    })
}

/// How long a child waits between looks at the board when nothing happens.
pub const IDLE_TICK: Duration = Duration::from_millis(400);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numeric_hosts() {
        for host in ["127.0.0.1", "::1", "[::1]", "fe80::1%eth0", "[fe80::1%2]"] {
            assert!(is_numeric(host), "{host}");
        }
        for host in ["app.test", "127.0.0.1.nip.io", "face", "1.2.3", ""] {
            assert!(!is_numeric(host), "{host}");
        }
    }

    #[test]
    fn remotes() {
        let reached = |remote: Option<&str>| {
            let remotes = [remote.map(String::from)];
            reached_by_remote("http://app.test:8080/x", "http", &remotes)
        };
        assert!(reached(Some("*")) && reached(None) && reached(Some("HTTP")));
        assert!(reached(Some("http://app.test:8080/")));
        assert!(reached(Some("http://app.test:8080/x/deeper")));
        assert!(!reached(Some("ftp")) && !reached(Some("http://other.test/")));
        assert!(!reached_by_remote("http://app.test/", "http", &[]));
    }
}
