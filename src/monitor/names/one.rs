//! One name of the plan, as the leader follows it.

use super::super::run::NameTask;
use crate::board::{FamilyState, NameRecord};
use crate::logic::addr::Families;
use crate::logic::answer::Lookup;
use crate::logic::name::{self, Bounds, Questions, Step};

pub(super) struct Name<'a> {
    pub task: &'a NameTask,
    pub bounds: Bounds,
    pub record: NameRecord,
    /// The fully qualified name that gave the addresses, once known.
    pub candidate: Option<String>,
    /// When it is due, while it waits in the queue.
    pub due: Option<u64>,
    /// The families that are being asked for.
    pub busy: Families,
    /// Ask for everything, due or not.
    pub again: bool,
    /// It was asked for out of turn while all fails: what its families had to wait for.
    pub turn: Option<[FamilyState; 2]>,
    /// No child uses it any more: not asked for.
    pub retired: bool,
}

impl<'a> Name<'a> {
    pub fn new(task: &'a NameTask) -> Self {
        Self {
            task,
            bounds: Bounds {
                ttl_min: task.ttl_min,
                ttl_max: task.ttl_max,
                want: task.want,
            },
            record: NameRecord::default(),
            candidate: None,
            due: None,
            busy: Families::NONE,
            again: false,
            turn: None,
            retired: false,
        }
    }

    /// What to ask for now. A part only when it is known which candidate to ask.
    pub fn questions(&self, now: u64) -> Option<Questions> {
        let (want, idle) = (self.task.want, self.busy.is_empty());
        if self.again && idle {
            return Some(name::all(want));
        }
        let questions = name::questions(&self.record, want, self.busy, now)?;
        match (questions.partial && self.candidate.is_none(), idle) {
            (false, _) => Some(questions),
            (true, true) => Some(name::all(want)),
            (true, false) => None,
        }
    }

    /// Has it asked for at once, whatever its TTL or the pause between tries says.
    pub fn hurry(&mut self, now: u64) {
        if name::all_fail(&self.record, self.task.want) {
            let turn = [self.record.v4, self.record.v6];
            self.turn.get_or_insert(turn);
            name::hurry(&mut self.record, now);
        }
        // What is good is out of date now; a family that fails alone keeps its time.
        self.record.expires_ms = self.record.expires_ms.min(now);
    }

    /// What a look-up that ended makes of it. A try out of turn costs none of those that come in turn.
    pub fn step(&self, now: u64, lookup: &Lookup, rnd: u32) -> Step {
        let mut step = name::step(&self.record, now, lookup, &self.bounds, rnd);
        if let Some(turn) = &self.turn {
            name::keep_turn(&mut step.record, turn, now);
            step.due_ms = name::due(&step.record, self.task.want, name::pending(lookup));
        }
        step
    }
}
