//! Members that are added at run time (balancer-manager; the balancer has `growth=`): each child's keeper finds them, the
//! leading one gives them slots on the board and lets its monitor follow them.

use std::slice;
use std::sync::Arc;

use super::child::Child;
use super::entry::Entry;
use super::gather::{self, Planned, Source};
use super::groups::Group;
use super::plan::LATE_WORKERS;
use super::tasks::Tasks;
use crate::board::{LateId, Tag, WorkerId};
use crate::config;
use crate::ffi::log::{self as error_log, Level};
use crate::ffi::proxy::{LockedBalancer, Worker};
use crate::log;
use crate::monitor::run::Plan as MonitorPlan;

/// What one child's keeper knows of them.
#[derive(Debug)]
pub struct Growth {
    /// What a leader has to do: for the workers of the configuration and those added.
    plan: Arc<MonitorPlan>,
    /// It has more to do than when it was last taken.
    changed: bool,
    /// Members without slots yet, with the number of their group.
    waiting: Vec<(usize, Planned)>,
    /// It was said that the board is full.
    full: bool,
}

/// What became of a member that waits for its slots.
enum Slots {
    Found,
    /// The leader has not given them yet.
    NotYet,
    /// There are none.
    Full,
}

impl Growth {
    pub fn new(child: &Child) -> Self {
        Self {
            plan: child.monitor.clone(),
            changed: false,
            waiting: Vec::new(),
            full: false,
        }
    }

    /// What a leader has to do now; [`Growth::has_changed`] is false until there is more.
    pub fn take_plan(&mut self) -> Arc<MonitorPlan> {
        self.changed = false;
        self.plan.clone()
    }

    /// The leader's plan is to be replaced.
    pub const fn has_changed(&self) -> bool {
        self.changed
    }

    /// Looks for new members; a few loads for each balancer while there are none.
    pub fn step(&mut self, child: &Child, leads: bool) {
        for (at, group) in child.groups.iter().enumerate() {
            if child.is_closing() {
                return;
            }
            if has_grown(group) {
                self.look(child, at, group, leads);
            }
        }
        for (group, planned) in std::mem::take(&mut self.waiting) {
            self.settle(child, group, planned, leads);
        }
    }

    /// The balancer has members that are not known yet.
    fn look(&mut self, child: &Child, at: usize, group: &Group, leads: bool) {
        // When httpd is at it: at the next tick.
        let Some(balancer) = LockedBalancer::try_lock(&group.copies) else {
            return;
        };
        balancer.sync();
        let is_new = |worker: &Worker| !group.members().any(|(member, _)| member == *worker);
        let mut new = balancer.members();
        new.retain(|worker| is_new(worker) && balancer.is_complete(*worker));
        drop(balancer);
        if new.is_empty() {
            return;
        }
        new.iter().for_each(|worker| group.add(*worker));
        has_peers(child, group);
        for worker in new {
            let servers = group.copies.iter().map(|(server, _)| *server);
            let main = child.main;
            match config::with(|c| gather::added(c, worker, servers, main, &group.name)) {
                Ok(Some(planned)) => self.waiting.push((at, planned)),
                Ok(None) => {}
                Err(why) if leads => error_log::write(Level::Info, &why),
                Err(_) => {}
            }
        }
    }

    /// Takes the member up as soon as it has its slots; until then it is httpd's alone.
    fn settle(&mut self, child: &Child, group: usize, mut planned: Planned, leads: bool) {
        let seated = has_seat(child, &planned);
        if !leads && !seated {
            // The seat is what the leader gives last: nothing else is there for sure before.
            self.waiting.push((group, planned));
            return;
        }
        let is_first = leads && !seated;
        match self.find_slots(child, &mut planned, leads) {
            Slots::NotYet => self.waiting.push((group, planned)),
            Slots::Full => self.say_full(&planned),
            Slots::Found => {
                let label = planned.label.clone();
                let how = if planned.settings.observe {
                    "observed"
                } else {
                    "live"
                };
                self.take_up(child, group, planned, leads);
                if is_first {
                    log!(Level::Notice, "worker {label}: added at run time: {how}");
                    child.nudge();
                }
            }
        }
    }

    fn find_slots(&mut self, child: &Child, planned: &mut Planned, leads: bool) -> Slots {
        let none = if leads { Slots::Full } else { Slots::NotYet };
        let Tasks {
            mut names,
            mut targets,
            name_of,
            target_of,
        } = Tasks::beyond(&self.plan, slice::from_ref(planned));
        for task in names.iter_mut().skip(self.plan.names.len()) {
            let Some(slot) = slot(child, &task.name, leads) else {
                return none;
            };
            (task.id, task.tag) = slot;
        }
        for task in targets.iter_mut().skip(self.plan.targets.len()) {
            let Some(slot) = slot(child, &task.key, leads) else {
                return none;
            };
            (task.id, task.tag) = slot;
        }
        let seat = slot_of(child, planned.late_tag(), "", leads);
        let Some((id, tag)) = seat else { return none };
        planned.seat = Some((id, tag));
        if leads {
            // Last: who is taken up has the rest.
            child.board.take_up(id, tag, child.epoch);
        }
        if let Some(name) = name_of[0] {
            planned.source = Source::Name(names[name].id, names[name].tag);
        }
        if let Some(target) = target_of[0] {
            planned.target = Some((targets[target].id, targets[target].tag));
            planned.settings.rules = targets[target].rules;
        }
        let resolver = self.plan.resolver.clone();
        self.plan = Arc::new(MonitorPlan {
            names,
            targets,
            resolver,
        });
        self.changed = true;
        Slots::Found
    }

    fn take_up(&mut self, child: &Child, number: usize, planned: Planned, leads: bool) {
        let (group, worker) = (&child.groups[number], planned.worker);
        let touched = !planned.settings.observe;
        let entry = Entry::new(planned, child.board);
        entry.set_group(number);
        let Some(at) = child.entries.push(entry) else {
            return;
        };
        group.enter(worker, at);
        let count = group.count();
        if leads && touched && count > 1 {
            let others = i32::try_from(count - 1).unwrap_or(i32::MAX);
            for (_, handle) in &group.copies {
                handle.allow_attempts(others);
            }
        }
        has_peers(child, group);
    }

    fn say_full(&mut self, planned: &Planned) {
        if !std::mem::replace(&mut self.full, true) {
            log!(
                Level::Warn,
                "worker {}: added at run time: it is left to httpd, and so are those that come after it: \
                 {LATE_WORKERS} were added since httpd was last started or reloaded, there is no room for \
                 more before the next reload",
                planned.label
            );
        }
    }
}

/// Whether the balancer has, or may have, members that are not known yet.
fn has_grown(group: &Group) -> bool {
    group.handle.count() != group.count() || group.copies.iter().any(|(_, copy)| copy.is_outdated())
}

/// Older members need not wait as long for a connect any more.
fn has_peers(child: &Child, group: &Group) {
    if group.count() > 1 {
        let entries = group.members().filter_map(|(_, at)| child.entries.get(at?));
        entries.for_each(Entry::set_has_peers);
    }
}

/// The slot for this key: the leader gives it, the others wait for that.
fn slot<I: LateId>(child: &Child, key: &str, leads: bool) -> Option<(I, Tag)> {
    slot_of(child, Tag::new(key, child.epoch), key, leads)
}

fn slot_of<I: LateId>(child: &Child, tag: Tag, key: &str, leads: bool) -> Option<(I, Tag)> {
    let id = if leads {
        child.board.claim_late(tag, key)
    } else {
        child.board.find_late(tag)
    };
    id.map(|id| (id, tag))
}

/// Another child has led when the member was taken up.
fn has_seat(child: &Child, planned: &Planned) -> bool {
    let (board, tag) = (child.board, planned.late_tag());
    let seat = board.find_late::<WorkerId>(tag);
    seat.is_some_and(|id| board.is_taken_up(id, tag, child.epoch))
}
