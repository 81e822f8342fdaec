//! Memory, descriptors and processes of both servers: neither grows without bound.

use crate::act::Servers;
use crate::action::At;
use crate::truth::Truth;
use live_kit::{Httpd, Mpm, descriptors, memory_kib};
use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::time::{Duration, Instant};

/// A child may have so much more memory of its own than the largest of the stock httpd.
const CHILD_KIB: u64 = 40 * 1024;
/// A generation takes at most so long to finish its requests.
const OVERDUE: At = 15_000;
/// Within this a new generation has taken over.
const TAKES_OVER: At = 2_500;
/// The first child of a new generation is not born before; clocks are not that exact.
const BORN: At = 20;
/// Descriptors of a child: threads with two connections each, and some.
const DESCRIPTORS: u64 = 400;
/// The parent may grow by so much more than that of the stock httpd, and by this for each reload.
const PARENT_KIB: u64 = 1024;
const RELOAD_KIB: u64 = 16;
/// Reloads that bring a parent to its size.
const GROWN_UP: usize = 5;

/// The largest values so far.
#[derive(Clone, Default)]
pub struct Most {
    /// Children that still lived [`OVERDUE`] after their generation had ended, each counted once.
    pub overdue: usize,
    seen: BTreeSet<u32>,
    pub children: usize,
    pub child_kib: u64,
    pub parent_kib: u64,
    pub descriptors: usize,
}

impl Most {
    /// Notes who is older than a generation that began so long ago. (httpd itself does not reach every child, above
    /// all when some were killed just then.)
    fn outlive(&mut self, httpd: &Httpd, since: Duration) {
        let old = |pid: &u32| age(*pid).is_some_and(|age| age > since.as_secs_f64() + 1.0);
        for pid in httpd.children().into_iter().filter(old) {
            self.overdue += usize::from(self.seen.insert(pid));
        }
    }

    fn look(&mut self, httpd: &Httpd) -> Most {
        let children = httpd.children();
        let of = |f: fn(u32) -> u64| children.iter().map(|pid| f(*pid)).max().unwrap_or(0);
        let now = Most {
            children: children.len(),
            child_kib: of(memory_kib),
            parent_kib: memory_kib(httpd.pid()),
            descriptors: of(|pid| descriptors(pid).len() as u64) as usize,
            ..Most::default()
        };
        self.children = self.children.max(now.children);
        self.child_kib = self.child_kib.max(now.child_kib);
        self.parent_kib = self.parent_kib.max(now.parent_kib);
        self.descriptors = self.descriptors.max(now.descriptors);
        now
    }
}

/// When children of the httpd with the module were started.
#[derive(Default)]
pub struct Births(HashMap<u32, At>);

impl Births {
    pub fn look(&mut self, httpd: &Httpd, now: At) {
        for pid in httpd.children() {
            let born = || {
                let age = age(pid).unwrap_or(0.0) * 1e3;
                now.saturating_sub(age as At)
            };
            self.0.entry(pid).or_insert_with(born);
        }
    }

    /// The last reload before `at` ended its generation.
    pub fn has_ended(&self, pid: u32, at: At, reloads: &[At]) -> bool {
        let ended = Truth::last_before(reloads, at);
        let born = self.0.get(&pid);
        born.zip(ended)
            .is_none_or(|(born, ended)| *born < ended + BORN)
    }

    /// It belongs to a generation that had ended before `at`.
    pub fn is_old(&self, pid: u32, at: At, reloads: &[At]) -> bool {
        // Until the new generation has the listener to itself.
        let ended = Truth::last_before(reloads, at.saturating_sub(TAKES_OVER));
        let born = self.0.get(&pid);
        born.zip(ended).is_some_and(|(born, ended)| *born < ended)
    }
}

/// Seconds since the start of a process (proc(5), stat, field 22; a hundred ticks each).
fn age(pid: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let started = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?;
    let up = fs::read_to_string("/proc/uptime").ok()?;
    let up: f64 = up.split(' ').next()?.parse().ok()?;
    Some(up - started.parse::<f64>().ok()? / 100.0)
}

#[derive(Default)]
pub struct Bounds {
    pub live: Most,
    pub stock: Most,
    /// Memory of both parents, and reloads so far: when they had their size, after some reloads.
    first: Option<(u64, u64, usize)>,
    wrong: Vec<String>,
}

impl Bounds {
    /// What is beyond its bound. `reloads`: when they were.
    pub fn look(
        &mut self,
        now: At,
        begin: Instant,
        servers: &Servers,
        reloads: &[At],
    ) -> Vec<String> {
        let ended = reloads.iter().rev().find(|at| **at + OVERDUE < now);
        if let Some(ended) = ended {
            let since = begin.elapsed() - Duration::from_millis(*ended);
            self.live.outlive(&servers.live, since);
            self.stock.outlive(&servers.stock, since);
        }
        let (live, stock) = (
            self.live.look(&servers.live),
            self.stock.look(&servers.stock),
        );
        let processes = if servers.mpm == Mpm::Prefork { 97 } else { 15 };
        self.bound("children", live.children as u64, processes);
        self.bound(
            "descriptors of a child",
            live.descriptors as u64,
            DESCRIPTORS,
        );
        let child = self.stock.child_kib + CHILD_KIB;
        self.bound("KiB of a child", live.child_kib, child);
        if reloads.len() >= GROWN_UP {
            self.parent(live.parent_kib, stock.parent_kib, reloads.len());
        }
        std::mem::take(&mut self.wrong)
    }

    fn parent(&mut self, live: u64, stock: u64, reloads: usize) {
        let before = *self.first.get_or_insert((live, stock, reloads));
        let grown = stock.saturating_sub(before.1);
        let more = (reloads - before.2) as u64 * RELOAD_KIB;
        self.bound(
            "KiB of the parent",
            live,
            before.0 + grown + more + PARENT_KIB,
        );
    }

    fn bound(&mut self, what: &str, value: u64, most: u64) {
        if value > most {
            self.wrong
                .push(format!("{what}: {value}, more than {most}"));
        }
    }
}
