//! Which address is probed when, and what becomes of it: all but the probing itself.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::SocketAddr;
use std::time::Duration;

use super::report::{self, Rarely};
use super::target::{Kind, Source, Target, socket_addr};
use crate::board::{Board, Counter, TargetId, WriteError};
use crate::logic::addr::Addr;
use crate::logic::epochs::Living;
use crate::logic::event::Event as Noted;
use crate::logic::health::{self, AddrHealth, Probe, Reason, State, Step};
use crate::logic::storm::{self, Census, Event, Storm};
use crate::monitor::random::Random;
use crate::monitor::run::{Level, Surroundings};

/// Milliseconds between two look-ups of a name because addresses fail.
const ASK_MS: u64 = 1_000;
/// Milliseconds to the next try after somebody else wrote to a target's slot.
const OVERTAKEN_MS: u64 = 1_000;
/// A probe that starts later than this, in milliseconds, and than half an interval, is late.
const LATE_MS: u64 = 500;
/// Milliseconds that a probe may wait for a place before that is worth a word: not at the start, when
/// everything is new.
const PATIENCE_MS: u64 = 100;

/// A place in the queue of probes and in the list of those under way.
pub(super) type Place = (usize, Addr);

/// A probe to be started.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Job {
    pub(super) place: Place,
    pub kind: Kind,
    pub to: SocketAddr,
    pub timeout: Duration,
}

/// The targets, the queue and all that is said about them. Does not wait, has no clock.
pub struct Book<'a, E> {
    pub(super) board: Board,
    pub(super) env: &'a E,
    pub(super) targets: Vec<Target<'a>>,
    pub(super) by_id: HashMap<TargetId, usize>,
    /// Addresses that are not being probed, by the time they are due: [`AddrHealth::due_ms`].
    pub(super) queue: BTreeSet<(u64, usize, Addr)>,
    pub(super) flying: HashSet<Place>,
    /// How many probes may be under way.
    pub(super) bound: usize,
    pub(super) storm: Storm,
    pub(super) random: Random,
    /// Names to be asked for.
    pub(super) asks: Vec<usize>,
    /// When that was said last of a name.
    pub(super) asked_ms: HashMap<usize, u64>,
    /// The children have to know.
    pub(super) wake: bool,
    pub(super) trouble: Trouble,
}

/// The module's own trouble, said rarely.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    /// Addresses that this machine cannot probe.
    pub(super) local: HashSet<Place>,
    local_said: Rarely,
    /// There are more probes than may be under way, since when last.
    full_ms: Option<u64>,
    full: bool,
    full_said: Rarely,
    /// The latest start since this was said, in milliseconds.
    latest_ms: u64,
    late_said: Rarely,
}

impl<E: Surroundings> Book<'_, E> {
    /// When there is something to start; never while nothing more may be started.
    pub fn next_due(&self) -> u64 {
        match self.queue.first() {
            Some(&(due, ..)) if !self.is_full() => due,
            _ => u64::MAX,
        }
    }

    fn is_full(&self) -> bool {
        self.flying.len() >= self.bound
    }

    /// The next probe that is due; it counts as under way from now on.
    pub fn take_due(&mut self, now: u64) -> Option<Job> {
        let first = self.queue.first().copied();
        let Some((due, index, addr)) = first.filter(|(due, ..)| *due <= now) else {
            self.trouble.full = false;
            return None;
        };
        if self.is_full() {
            if now.saturating_sub(due) >= PATIENCE_MS {
                self.say_full(now);
            }
            return None;
        }
        self.queue.pop_first();
        self.flying.insert((index, addr));
        let task = self.targets[index].task;
        self.note_start(index, &addr, now);
        Some(Job {
            place: (index, addr),
            kind: task.kind.clone(),
            to: socket_addr(&addr, task.port),
            timeout: Duration::from_millis(task.rules.timeout_ms),
        })
    }

    /// Works in how a probe ended.
    pub fn ended(&mut self, job: &Job, probe: &Probe) {
        let (index, addr) = job.place;
        self.flying.remove(&job.place);
        let Some(before) = self.targets[index].health(&addr).cloned() else {
            // DNS took the address away meanwhile.
            self.trouble.local.remove(&job.place);
            return;
        };
        if self.targets[index].lost {
            return;
        }
        self.count(probe);
        let (step, census) = self.judge(index, &before, probe);
        if self.commit(index, &before, step.health.clone(), probe.ended_ms) {
            if step.change.is_some() {
                self.targets[index].pace.changed();
            }
            self.tell(index, &before, &step, probe);
            self.storm_event(&before, &step.health, census, probe.ended_ms);
            self.follow_up(index, &before, &step, probe);
        }
    }

    fn count(&self, probe: &Probe) {
        self.board.add(Counter::Probes, 1);
        match probe.result {
            Ok(()) => {}
            Err(reason) if reason.is_local() => self.board.add(Counter::LocalErrors, 1),
            Err(_) => self.board.add(Counter::ProbeFailures, 1),
        }
    }

    fn judge(&mut self, index: usize, before: &AddrHealth, probe: &Probe) -> (Step, Census) {
        let rules = &self.targets[index].task.rules;
        let census = match health::verdict_due(before, probe, rules) {
            true => storm::census(self.all().map(|(_, health)| health), before, probe, rules),
            false => Census { bad: 0, known: 0 },
        };
        let rnd = self.random.draw();
        let step = health::step(before, probe, rules, census.is_storm(), rnd);
        (step, census)
    }

    /// All addresses of all targets.
    pub(super) fn all(&self) -> impl Iterator<Item = (Place, &AddrHealth)> {
        let targets = self.targets.iter().enumerate().filter(|(_, t)| !t.lost);
        targets.flat_map(|(index, target)| {
            let addrs = target.record.addrs.iter();
            addrs.map(move |health| ((index, health.addr), health))
        })
    }

    /// Puts the new health on the board and the address into the queue. False when that failed:
    /// then nothing has happened.
    fn commit(&mut self, index: usize, before: &AddrHealth, after: AddrHealth, now: u64) -> bool {
        self.put(index, after);
        let written = self.write(index);
        if written == Err(WriteError::Overtaken) {
            let due_ms = now + OVERTAKEN_MS;
            let again = AddrHealth {
                due_ms,
                ..before.clone()
            };
            self.put(index, again);
        }
        if self.targets[index].lost {
            return false;
        }
        self.enqueue((index, before.addr));
        written.is_ok()
    }

    fn put(&mut self, index: usize, health: AddrHealth) {
        if let Some(place) = self.targets[index].health_mut(&health.addr) {
            *place = health;
        }
    }

    /// Writes a target's record. When the slot is another's the target is given up.
    pub(super) fn write(&mut self, index: usize) -> Result<(), WriteError> {
        let target = &mut self.targets[index];
        let task = target.task;
        let written = self.board.write_target(task.id, task.tag, &target.record);
        match written {
            Ok(_) => Ok(()),
            Err(WriteError::Overtaken) => Err(WriteError::Overtaken),
            Err(error) => {
                // This leader is of an old configuration.
                self.give_up(index, &error.to_string());
                Err(error)
            }
        }
    }

    fn give_up(&mut self, index: usize, why: &str) {
        let target = &mut self.targets[index];
        target.lost = true;
        self.queue.retain(|&(_, other, _)| other != index);
        let label = &target.task.label;
        let line = format!("target {label}: not probed any more: {why}");
        self.env.log(Level::Debug, &line);
    }

    /// Gives up targets that no living child uses.
    pub fn retire(&mut self, living: &Living) {
        for index in 0..self.targets.len() {
            let target = &self.targets[index];
            if !target.lost && !target.task.epochs.are_left(living) {
                self.give_up(index, "the last child that used it has ended");
            }
        }
    }

    /// Puts an address that is not being probed into the queue, at its time.
    pub(super) fn enqueue(&mut self, place: Place) {
        let (index, addr) = place;
        if !self.flying.contains(&place)
            && let Some(health) = self.targets[index].health(&addr)
        {
            self.queue.insert((health.due_ms, index, addr));
        }
    }

    /// Makes an address due at another time, unless it is being probed.
    pub(super) fn reschedule(&mut self, place: Place, due_ms: u64) {
        let (index, addr) = place;
        if self.flying.contains(&place) {
            return;
        }
        if let Some(health) = self.targets[index].health_mut(&addr) {
            self.queue.remove(&(health.due_ms, index, addr));
            health.due_ms = due_ms;
            self.queue.insert((due_ms, index, addr));
        }
    }

    /// What the log says about a probe.
    fn tell(&mut self, index: usize, before: &AddrHealth, step: &Step, probe: &Probe) {
        let target = &self.targets[index];
        let (label, addr) = (&target.task.label, &before.addr);
        let line = report::outcome(label, addr, probe);
        self.env.log(Level::Trace2, &line);
        let alone = target.record.addrs.len() == 1;
        if let Some((level, line)) = report::change(label, alone, before, step, probe) {
            self.env.log(level, &line);
        }
        if let Some(event) = report::event(target.task, before, step, probe) {
            self.board.note(&event, self.env.unix_ms());
        }
        if let Some(needed) = step.damped {
            let line = report::flaps(label, addr, needed);
            self.env.log(Level::Notice, &line);
        }
        let place = (index, before.addr);
        match probe.result {
            Err(reason) if reason.is_local() => {
                let news = self.trouble.local.insert(place);
                if news && self.trouble.local_said.now(probe.ended_ms) {
                    let line = report::local(label, addr, reason);
                    self.env.log(Level::Warn, &line);
                    self.note("trouble on this machine", line);
                }
            }
            _ => {
                self.trouble.local.remove(&place);
            }
        }
    }

    fn storm_event(&mut self, before: &AddrHealth, after: &AddrHealth, census: Census, now: u64) {
        if let Some(event) = self.storm.note(before, after, now) {
            self.say_storm(&event, census);
        }
    }

    pub(super) fn say_storm(&self, event: &Event, census: Census) {
        if matches!(event, Event::Begun) {
            self.board.add(Counter::Storms, 1);
        }
        let (level, line) = report::storm(event, census);
        self.env.log(level, &line);
        let (what, why) = report::storm_event(event, &line);
        self.note(what, why.to_owned());
    }

    /// Remembers what concerns the module itself.
    fn note(&self, what: &str, why: String) {
        let event = Noted::of_module(what, why);
        self.board.note(&event, self.env.unix_ms());
    }

    /// What else has to happen: children woken, the name asked for, other addresses probed.
    fn follow_up(&mut self, index: usize, before: &AddrHealth, step: &Step, probe: &Probe) {
        let task = self.targets[index].task;
        let fall = task.rules.fall;
        // Why it is down decides whether the last one of a balancer stays in.
        let harder = before.is_hard_down(fall) != step.health.is_hard_down(fall);
        // And why now: what becomes of requests under way there depends on it.
        let other = step.health.state == State::Down && before.reason != step.health.reason;
        self.wake |= step.change.is_some() || step.class_changed || harder || other;
        // Nobody is marked for it, but the readiness URL says it.
        let no_route = |health: &AddrHealth| health.reason.is_some_and(Reason::is_no_route);
        self.wake |= no_route(before) != no_route(&step.health);
        // The first answer of all is no change.
        if step
            .change
            .is_some_and(|change| change != (State::Unknown, State::Up))
        {
            self.board.add(Counter::HealthChanges, 1);
        }
        if step.ask_dns {
            self.ask(index, probe.ended_ms);
        }
        if step.first_failure && probe.result.is_err_and(Reason::is_time_out) {
            self.control(before, probe);
        }
    }

    /// Are others silent, too? Probes some at once.
    fn control(&mut self, suspect: &AddrHealth, probe: &Probe) {
        let rnd = self.random.draw();
        let mut storm = std::mem::take(&mut self.storm);
        let group = storm.control_group(self.all(), suspect, probe, probe.ended_ms, rnd);
        self.storm = storm;
        for (index, addr) in group {
            let health = self.targets[index].health(&addr);
            if health.is_some_and(|health| health.due_ms > probe.ended_ms) {
                self.reschedule((index, addr), probe.ended_ms);
            }
        }
    }

    /// Has the target's name asked for, at most once a second.
    pub(super) fn ask(&mut self, index: usize, now: u64) {
        let Source::Name(name) = self.targets[index].task.source else {
            return;
        };
        let last = self.asked_ms.get(&name);
        if last.is_none_or(|&last| now >= last + ASK_MS) {
            self.asked_ms.insert(name, now);
            self.asks.push(name);
        }
    }

    /// A probe starts: is it late? Not counted is what nobody has probed before.
    fn note_start(&mut self, index: usize, addr: &Addr, now: u64) {
        let target = &self.targets[index];
        let Some(health) = target.health(addr).filter(|health| health.last_ms != 0) else {
            return;
        };
        let late = now.saturating_sub(health.due_ms);
        if late <= LATE_MS.max(target.task.rules.interval_ms / 2) {
            return;
        }
        self.board.add(Counter::ProbesLate, 1);
        if self.trouble.full_ms.is_some_and(|at| at >= health.due_ms) {
            // Said already, with its reason.
            return;
        }
        self.trouble.latest_ms = self.trouble.latest_ms.max(late);
        if self.trouble.late_said.now(now) {
            let ms = std::mem::take(&mut self.trouble.latest_ms);
            let line = report::late(ms);
            self.env.log(Level::Warn, &line);
            self.note("trouble on this machine", line);
        }
    }

    /// There is work, but as much is under way as may be.
    fn say_full(&mut self, now: u64) {
        self.trouble.full_ms = Some(now);
        if std::mem::replace(&mut self.trouble.full, true) {
            return;
        }
        self.board.add(Counter::InFlightBound, 1);
        if self.trouble.full_said.now(now) {
            let due = self.queue.iter().take_while(|(due, ..)| *due <= now);
            let line = report::bound(self.flying.len(), due.count());
            self.env.log(Level::Warn, &line);
            self.note("trouble on this machine", line);
        }
    }
}
