//! Which workers take requests: the health of addresses becomes HC_FAIL in mod_proxy's status.
//!
//! Members have one status for all children of a generation, written by the leader (in generations before the newest one
//! by one of their children, see [`Role::Keeps`]); plain workers have one in each child.
//! Bits of the administrator are never touched, workers of mod_proxy_hcheck not either.

use super::child::Child;
use super::entry::Entry;
use super::groups::Group;
use super::observe;
use super::plan::Plan;
use super::recover;
use super::tell::{self, Change};
use crate::board::{Counter, Kick, Known};
use crate::ffi::clock;
use crate::ffi::log::Level;
use crate::log;
use crate::logic::usable::Lack;
use crate::logic::verdict::{self, Action, Member, Release, Sight, Verdict};

mod seen;

pub use seen::kept_until;
use seen::{Seen, member, seen_by_httpd, sight};

/// What this child has to do with the status of workers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// It leads: members too, and its log lines are for all.
    Leads,
    /// A newer configuration is in force, whose leader has members of its own: this child marks those of its
    /// generation, for all children that are left of that. Without a word: the leader speaks.
    Keeps,
    /// Another one does that: plain workers only. `speaks`: this child writes the log lines.
    Follows { speaks: bool },
    /// Nobody leads: what the module has marked is taken back.
    Lost { speaks: bool },
}

/// What was decided of one worker.
#[derive(Default, Debug)]
pub(super) struct Mark {
    /// None before the first look.
    pub(super) verdict: Option<Verdict>,
    /// It is out because of this.
    pub(super) lack: Option<Lack>,
    release: Release,
}

/// The marks of all live workers of one child.
#[derive(Default, Debug)]
pub struct Marks {
    marks: Vec<Mark>,
    /// Generation and role of the last look at plain workers.
    looked: Option<(u32, Role)>,
    /// Probes are awaited to end an error state of mod_proxy: look again soon.
    waits: bool,
    /// It led at the last look.
    led: bool,
}

impl Marks {
    /// Whether the next look should come soon.
    pub const fn waits(&self) -> bool {
        self.waits
    }

    /// Brings every status in line with what is known, and what others have overwritten back in line.
    /// `busy`: not all entries are up to date.
    pub fn step(&mut self, child: &Child, generation: u32, busy: bool, role: Role) {
        self.grow(child);
        let changed = self.looked != Some((generation, role));
        if role == Role::Leads && !self.led {
            // What another leader has told of members meanwhile is not known here.
            let members = child.entries.iter().zip(&mut self.marks);
            for (_, mark) in members.filter(|(entry, _)| entry.planned.member) {
                mark.verdict = None;
            }
        }
        self.led = role == Role::Leads;
        self.looked = (!busy).then_some((generation, role));
        self.waits = false;
        for (at, entry) in child.entries.iter().enumerate() {
            if child.is_closing() {
                return;
            }
            if !entry.planned.member {
                self.plain(child, at, entry, changed, role);
            }
        }
        if let Role::Follows { .. } = role {
            return;
        }
        for group in &child.groups {
            if child.is_closing() {
                return;
            }
            self.group(child, group, role);
        }
    }

    /// Workers may have come at run time.
    fn grow(&mut self, child: &Child) {
        self.marks.resize_with(child.entries.count(), Mark::default);
    }

    fn plain(&mut self, child: &Child, at: usize, entry: &Entry, changed: bool, role: Role) {
        let mark = &mut self.marks[at];
        let (mut verdict, mut lack) = (mark.verdict.unwrap_or_default(), mark.lack);
        if changed || entry.planned.settings.stale.is_some() {
            lack = entry.lack();
            verdict = verdict::balancer(&[member(entry, lack)])[0];
            if let Some(timeout) = entry.connect_timeout() {
                entry.planned.worker.change_connect_timeout(timeout);
            }
        }
        mark.settle(child, entry, verdict, lack, role, 0);
        mark.leave_known(child, entry, role);
    }

    /// The members of one balancer, together: the last usable one is treated with care.
    fn group(&mut self, child: &Child, group: &Group, role: Role) {
        let now = clock::now_ms();
        let known: Vec<_> = group.members().collect();
        let sights: Vec<Seen> = known
            .iter()
            .map(|(worker, at)| sight(child, *worker, *at, now))
            .collect();
        let members: Vec<Member> = sights.iter().map(|seen| seen.member).collect();
        let observed: Vec<Option<Member>> = known
            .iter()
            .map(|(worker, at)| (*at).and_then(|at| seen_by_httpd(&child.entries[at], *worker)))
            .collect();
        let verdicts = verdict::mixed(&members, &observed);
        for (((_, at), verdict), seen) in known.iter().zip(verdicts).zip(&sights) {
            let Some(at) = *at else { continue };
            let entry = &child.entries[at];
            let mark = &mut self.marks[at];
            mark.settle(child, entry, verdict, seen.lack, role, seen.kept);
            mark.leave_known(child, entry, role);
            let releases = match role {
                Role::Leads => true,
                Role::Keeps => !entry.planned.settings.observe,
                Role::Follows { .. } | Role::Lost { .. } => false,
            };
            if releases {
                self.waits |= mark.release(child, at, seen.kept, now, role);
            }
            if let Some(timeout) = entry.connect_timeout() {
                entry.planned.worker.keep_connect_timeout(timeout);
            }
        }
        if group.recovers && matches!(role, Role::Leads | Role::Keeps) {
            recover::step(child, group);
        }
    }
}

impl Mark {
    /// Puts a verdict in force. `kept` is until when an error state of mod_proxy must last.
    fn settle(
        &mut self,
        child: &Child,
        entry: &Entry,
        verdict: Verdict,
        lack: Option<Lack>,
        role: Role,
        kept: u64,
    ) {
        let worker = entry.planned.worker;
        // Its state is mod_proxy_hcheck's, perhaps since a moment ago (balancer-manager).
        if worker.is_hchecked() {
            *self = Self::default();
            return;
        }
        if entry.planned.settings.observe {
            let clean = clock::now_ms() >= kept;
            return self.imagine(child, entry, verdict, lack, role, clean);
        }
        let lost = matches!(role, Role::Lost { .. });
        let verdict = if lost { Verdict::In } else { verdict };
        let before = self.verdict.replace(verdict);
        let news = before != Some(verdict);
        let loud = match role {
            Role::Leads => true,
            Role::Keeps => false,
            Role::Follows { speaks } => speaks,
            // The member that is set free once is nobody else's to tell, but by children of the newest configuration
            // that has it.
            Role::Lost { speaks } => {
                speaks
                    || entry.planned.member && (observe::speaks(child) || !child.has_newest(entry))
            }
        };
        // Let in, it must stay in: httpd asks once more when it has connected.
        let let_in = lack == Some(Lack::Awaited) && child.is_let_in(entry);
        let changed = worker.set_failed(verdict == Verdict::Out && !let_in);
        let leads = role == Role::Leads;
        let known = child
            .decided(entry)
            .filter(|_| leads && entry.planned.member);
        // A member that was out until DNS answered is told of only when that is in vain.
        let quiet =
            lack == Some(Lack::Awaited) || verdict == Verdict::In && known == Some(Known::Nothing);
        let in_vain =
            lack == Some(Lack::Unresolved) && known.is_some_and(|known| known != Known::Unresolved);
        let clean = clock::now_ms() >= kept;
        if changed && verdict == Verdict::In && clean && !lost {
            // Coming back means really back: without the error that mod_proxy may have found as well.
            worker.forgive();
        }
        if verdict == Verdict::LastResort {
            if clean && worker.is_in_error() {
                worker.forgive();
            }
            if news {
                let words = "last resort: stays in use although down";
                let states = ["up", "last resort"];
                say(child, entry, loud, Level::Warn, words, states);
            }
        } else if before == Some(Verdict::LastResort) && verdict == Verdict::In && !lost {
            let words = "no longer the last resort";
            let states = ["last resort", "up"];
            say(child, entry, loud, Level::Notice, words, states);
        } else if changed && news && quiet {
            let words = match verdict {
                Verdict::Out => "gets no request until DNS has answered",
                _ => "DNS has answered",
            };
            log!(Level::Debug, "worker {}: {words}", entry.planned.label);
        } else if changed && news || in_vain {
            self.say(child, entry, lack, loud, lost);
        } else if changed {
            // httpd's own writes of the status are not atomic, and the balancer-manager can do everything.
            log!(
                Level::Debug,
                "worker {}: its status was overwritten: set again",
                entry.planned.label
            );
        }
        self.lack = lack;
    }

    fn say(&self, child: &Child, entry: &Entry, lack: Option<Lack>, loud: bool, lost: bool) {
        let (states, level) = match (self.verdict, lack) {
            // It never was up; and that DNS fails is a line of its own.
            (Some(Verdict::Out), Some(Lack::Unresolved)) => (["starting", "down"], Level::Notice),
            (Some(Verdict::Out), _) => (["up", "down"], Level::Warn),
            _ if self.lack == Some(Lack::Unresolved) => (["down", "starting"], Level::Notice),
            _ => (["down", "up"], Level::Notice),
        };
        let change = Change {
            loud,
            level,
            words: "",
            states,
            why: &self.why(entry, lack, lost),
        };
        tell::worker(child, entry, &change);
    }

    /// Readiness URL and status page look at the board.
    fn leave_known(&self, child: &Child, entry: &Entry, role: Role) {
        let speaks = match role {
            Role::Leads => observe::speaks(child),
            // Of workers that the newest configuration has its leader tells.
            Role::Keeps => !child.has_newest(entry),
            Role::Follows { .. } | Role::Lost { .. } => false,
        };
        if speaks {
            // mod_proxy_hcheck's are in, as far as the module goes.
            let verdict = self.verdict.unwrap_or_default();
            child.leave_known(entry, verdict, self.lack);
        }
    }

    /// The reason for the verdict, for a log line.
    pub(super) fn why(&self, entry: &Entry, lack: Option<Lack>, lost: bool) -> String {
        let host = &entry.planned.host;
        let down = self.verdict == Some(Verdict::Out);
        if lost {
            "no child leads: what the module had marked is taken back".into()
        } else if lack == Some(Lack::Unresolved) {
            format!("{host}: name not resolved yet")
        } else if lack == Some(Lack::Expired) {
            format!("{host}: livestale: DNS has given no usable answer for longer than that")
        } else if self.lack.is_some() && !down {
            format!("{host}: DNS answers")
        } else {
            entry.describe()
        }
    }

    /// Ends an error state that mod_proxy found and probes do not confirm. True while it waits for probes.
    fn release(&mut self, child: &Child, at: usize, kept: u64, now: u64, role: Role) -> bool {
        let entry = &child.entries[at];
        let worker = entry.planned.worker;
        if entry.planned.target.is_none() || worker.is_hchecked() {
            return false;
        }
        let observe = entry.planned.settings.observe;
        let in_error = worker.is_in_error();
        if observe && observe::is_released(child, entry, in_error) {
            return false;
        }
        let sight = Sight {
            in_error,
            hc_fail: worker.is_failed() || (observe && self.verdict == Some(Verdict::Out)),
            kept_until_ms: kept,
            now_ms: now,
            rise: entry.planned.settings.rules.rise,
        };
        if sight.in_error {
            // Successes alone wake nobody.
            entry.reread_health(child.board);
        }
        match entry.with_health(|set, health| self.release.step(sight, set, health)) {
            Action::None => {}
            Action::Probe => child.kick(at, Kick::Failed),
            Action::Release if observe => {
                observe::release(child, entry);
                return false;
            }
            Action::Release => {
                worker.forgive();
                child.board.add(Counter::Releases, 1);
                let words = "released from httpd's error state";
                let states = ["httpd's error", "up"];
                let loud = role == Role::Leads;
                say(child, entry, loud, Level::Notice, words, states);
                return false;
            }
        }
        sight.in_error && !sight.hc_fail && kept <= now
    }
}

/// One line about a worker, with what is known of its addresses.
fn say(child: &Child, entry: &Entry, loud: bool, level: Level, words: &str, states: [&str; 2]) {
    let change = Change {
        loud,
        level,
        words,
        states,
        why: &entry.describe(),
    };
    tell::worker(child, entry, &change);
}

/// Before the children start: what the board knows of members, and the time-outs of connects.
pub fn before_children(plan: &Plan) {
    let child = Child::preview(plan);
    for entry in child.entries.iter() {
        entry.load(plan.board);
        observe::forget(plan.board, entry);
        if let Some(timeout) = entry.connect_timeout() {
            entry.planned.worker.put_connect_timeout(Some(timeout));
        }
    }
    let mut quiet = Marks::default();
    quiet.grow(&child);
    for group in &child.groups {
        quiet.group(&child, group, Role::Follows { speaks: false });
    }
    // A worker with another route, or in another virtual host, is not new where its backend is known.
    for (entry, mark) in child.entries.iter().zip(&quiet.marks) {
        let lack = entry.lack();
        let alone = || verdict::balancer(&[member(entry, lack)])[0];
        let verdict = mark.verdict.unwrap_or_else(alone);
        child.leave_known(entry, verdict, lack);
    }
}
