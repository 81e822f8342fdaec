//! Where the targets' health comes from at the start, and what changes it besides probes:
//! other addresses, and the suspicions of requests.

use std::cell::OnceCell;
use std::collections::{BTreeSet, HashMap, HashSet};

use super::book::{Book, Trouble};
use super::inherit::{Known, concerns, weight};
use super::target::{Kind, Source, Target, TargetTask};
use crate::board::{Board, Counter, Kick};
use crate::logic::addr::Addr;
use crate::logic::health::{self, AddrHealth, State};
use crate::logic::storm::{Census, Storm};
use crate::monitor::random::Random;
use crate::monitor::run::{Plan, Surroundings};

/// Probes under way at the same time at the least and at the most.
const BOUND: std::ops::RangeInclusive<u64> = 16..=512;
/// The longest pause between probes of an application because requests wait for its answers, in milliseconds.
const DEAR_MS: u64 = 8_000;
/// One of so many descriptors may be a probe's.
const SHARE: u64 = 4;

impl<'a, E: Surroundings> Book<'a, E> {
    /// Takes over what the board knows: nothing is probed before its time, except addresses that are new.
    /// `addrs_of`: the addresses that a name has now; none when it was never answered.
    pub fn new(
        plan: &'a Plan,
        addrs_of: impl Fn(usize) -> Vec<Addr>,
        board: Board,
        env: &'a E,
    ) -> Self {
        let now = env.now_ms();
        let mut random = Random::seeded();
        let targets: Vec<Target<'a>> = plan
            .targets
            .iter()
            .map(|task| Target::new(task, resumed(board, task, now, &mut random)))
            .collect();
        let by_id = plan.targets.iter().zip(0..);
        let bound = (env.descriptors() / SHARE).clamp(*BOUND.start(), *BOUND.end());
        let mut book = Self {
            board,
            env,
            by_id: by_id.map(|(task, index)| (task.id, index)).collect(),
            queue: BTreeSet::new(),
            flying: HashSet::new(),
            bound: bound as usize,
            storm: Storm::resume(targets.iter().flat_map(|target| &target.record.addrs)),
            targets,
            random,
            asks: Vec::new(),
            asked_ms: HashMap::new(),
            wake: false,
            trouble: Trouble::default(),
        };
        let known = OnceCell::new();
        let inherited = |task: &TargetTask, addr: &Addr| {
            let known = known.get_or_init(|| Known::on(board));
            known.inherited(task, addr, now)
        };
        for (index, task) in plan.targets.iter().enumerate() {
            let addrs = match task.source {
                Source::Fixed(addr) => vec![addr],
                Source::Name(name) => addrs_of(name),
            };
            // Of a name that DNS has not answered for nothing is probed, and nothing forgotten.
            if !addrs.is_empty() {
                book.set_addrs(index, &addrs, |addr| inherited(task, addr), now);
            }
        }
        book
    }

    /// A name has these addresses now.
    pub fn moved(&mut self, name: usize, addrs: &[Addr], now: u64) {
        for index in 0..self.targets.len() {
            let target = &self.targets[index];
            if target.lost || !target.follows(name) {
                continue;
            }
            let mut found = HashMap::new();
            for addr in addrs.iter().filter(|addr| target.health(addr).is_none()) {
                let of_others = self.known_elsewhere(target.task, addr);
                found.extend(of_others.map(|health| (*addr, health.clone())));
            }
            self.set_addrs(index, addrs, |addr| found.get(addr).cloned(), now);
        }
    }

    /// What another target knows of an address, as far as it concerns this one.
    fn known_elsewhere(&self, task: &TargetTask, addr: &Addr) -> Option<&AddrHealth> {
        let others = self.targets.iter().filter(|t| t.task.port == task.port);
        let known = others.filter_map(|t| Some((t.task.kind.word(), t.health(addr)?)));
        let fit = known.filter(|(word, h)| h.last_ms != 0 && concerns(&task.kind, word, h));
        fit.map(|(_, health)| health).max_by_key(|h| weight(h))
    }

    fn set_addrs(
        &mut self,
        index: usize,
        addrs: &[Addr],
        inherited: impl Fn(&Addr) -> Option<AddrHealth>,
        now: u64,
    ) {
        let target = &mut self.targets[index];
        let new = health::merge(&target.record.addrs, addrs, inherited, now);
        let old = std::mem::replace(&mut target.record.addrs, new);
        for health in &old {
            self.queue.remove(&(health.due_ms, index, health.addr));
            if self.targets[index].health(&health.addr).is_none()
                && let Some(event) = self.storm.forget(health, now)
            {
                self.say_storm(&event, Census { bad: 0, known: 0 });
            }
            if self.targets[index].health(&health.addr).is_none() {
                self.trouble.local.remove(&(index, health.addr));
            }
        }
        let set = |list: &[AddrHealth]| list.iter().map(|h| h.addr).collect::<Vec<_>>();
        let all = set(&self.targets[index].record.addrs);
        if set(&old) != all {
            // Overtaken: the end of the first probe writes it.
            let _ = self.write(index);
            self.wake = true;
        }
        if self.targets[index].lost {
            return;
        }
        for addr in all {
            self.enqueue((index, addr));
        }
    }

    /// Probes at once what requests found suspicious.
    pub fn kicked(&mut self, now: u64) {
        if self.targets.is_empty() {
            return;
        }
        for kick in [Kick::Failed, Kick::Silent] {
            for id in self.board.take_kicks(kick) {
                if let Some(&index) = self.by_id.get(&id) {
                    self.kick(index, kick, now);
                }
            }
        }
    }

    fn kick(&mut self, index: usize, kick: Kick, now: u64) {
        self.board.add(Counter::Kicks, 1);
        let target = &mut self.targets[index];
        let failing = |h: &AddrHealth| h.state != State::Down && h.is_failing();
        let confirmed = target.record.addrs.iter().any(failing);
        let at = match kick {
            Kick::Silent => {
                let most = match target.task.kind {
                    Kind::Tcp => 0,
                    Kind::Tls(_) | Kind::Http(_) => target.task.rules.interval_ms.min(DEAR_MS),
                };
                target.pace.silent(now, confirmed, most)
            }
            Kick::Failed => target.pace.failed(now, confirmed),
        };
        let ask = kick == Kick::Failed && target.pace.ask(now);
        let addrs = target.record.addrs.iter();
        let due: Vec<_> = addrs
            .filter_map(|health| Some((health.addr, health::kicked(health, at)?)))
            .collect();
        for (addr, due_ms) in due {
            self.reschedule((index, addr), due_ms);
        }
        if ask {
            self.ask(index, now);
        }
    }
}

/// The health that the last leader left of a target; none when it is new.
fn resumed(board: Board, task: &TargetTask, now: u64, random: &mut Random) -> Vec<AddrHealth> {
    let known = board.read_target(task.id, task.tag);
    let mut addrs = known.map_or_else(Vec::new, |known| known.record.addrs);
    for health in &mut addrs {
        health::resume(health, &task.rules, now, random.draw());
    }
    addrs
}
