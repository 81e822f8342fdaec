//! The names of the plan: asks for each when it is due and puts the answers on the board.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::{Id, JoinError, JoinSet};

use super::random::Random;
use super::resolver::{FilesChanged, Resolver, failed};
use super::run::{Level, Plan, Surroundings};
use crate::board::{Board, Counter, Source, WriteError};
use crate::logic::addr::{Addr, Families};
use crate::logic::answer::{Failure, Lookup, Outcome};
use crate::logic::epochs::Living;
use crate::logic::level::Level as Spread;
use crate::logic::name::{self, Questions, Step};

mod one;

use one::Name;

/// Look-ups under way at the same time that may bring news soon.
const MAX_PROMPT: usize = 64;
/// All look-ups under way: also those that only wait for a family that fails or is slow.
/// Each has one or two sockets.
pub const MAX_FLYING: usize = 192;
/// Milliseconds by which the retry of what fails is put off when there are too many.
const CROWDED_MS: u64 = 1_000;
/// Milliseconds between two look-ups of a name at the least, whatever its schedule says.
const MIN_PAUSE_MS: u64 = 50;
/// Milliseconds to the next try after somebody else wrote to a name's slot.
const OVERTAKEN_MS: u64 = 1_000;

/// The names that are followed, and the look-ups under way.
pub struct Names<'a, E> {
    board: Board,
    env: &'a E,
    resolver: Resolver,
    names: Vec<Name<'a>>,
    /// Names that are not being asked for, by the time they are due.
    queue: BTreeSet<(u64, usize)>,
    flying: JoinSet<Lookup>,
    /// The look-ups under way.
    tasks: HashMap<Id, Flight>,
    /// How many of them are slow.
    slow: usize,
    /// First parts of look-ups of which the rest is slow.
    early: mpsc::UnboundedReceiver<(Id, Lookup)>,
    to_early: mpsc::UnboundedSender<(Id, Lookup)>,
    random: Random,
    /// Keeps refreshes apart.
    spread: Spread,
    /// Names with another set of addresses since the last [`Names::take_changed`].
    changed: Vec<usize>,
}

/// News of a look-up.
pub enum Arrived {
    /// The families that answered first.
    Part(Id, Lookup),
    /// The rest, mostly all of it.
    End(Result<(Id, Lookup), JoinError>),
}

/// A look-up under way.
struct Flight {
    /// Which name.
    index: usize,
    /// The families that have not answered.
    left: Families,
    /// It asks only for what fails, or its first part has come already.
    slow: bool,
}

impl<'a, E: Surroundings> Names<'a, E> {
    /// Takes over what the board knows: nothing is asked for before its time, except
    /// what the hosts file has a say in.
    pub fn new(plan: &'a Plan, resolver: Resolver, board: Board, env: &'a E) -> Self {
        let (to_early, early) = mpsc::unbounded_channel();
        let mut work = Self {
            early,
            to_early,
            board,
            env,
            resolver,
            names: plan.names.iter().map(Name::new).collect(),
            queue: BTreeSet::new(),
            flying: JoinSet::new(),
            tasks: HashMap::new(),
            slow: 0,
            random: Random::seeded(),
            spread: Spread::new(plan.names.len()),
            changed: Vec::new(),
        };
        let (view, now) = (work.resolver.view(), env.now_ms());
        for index in 0..work.names.len() {
            let name = &mut work.names[index];
            if let Some(known) = board.read(name.task.id, name.task.tag) {
                name.record = known.record;
            }
            name::resume(&mut name.record, &name.bounds, now);
            let local = view.has_host(&name.task.name) || name.record.source == Source::Hosts;
            name.again = local;
            let due = name::due(&name.record, name.task.want, Families::NONE);
            if due > now {
                let ttl_ms = u64::from(name.record.ttl_s) * 1_000;
                work.spread.resume(index, due, ttl_ms);
            }
            work.enqueue(index, if local { now } else { due });
        }
        work
    }

    /// Waits for a look-up, or the first part of one, and works it in. Never ends while none is under way.
    pub async fn wait(&mut self) -> Arrived {
        tokio::select! {
            biased;
            // Before the end of its look-up.
            Some((id, lookup)) = self.early.recv() => Arrived::Part(id, lookup),
            Some(done) = self.flying.join_next_with_id() => Arrived::End(done),
        }
    }

    /// Works in what came.
    pub fn arrived(&mut self, what: Arrived) {
        match what {
            Arrived::Part(id, lookup) => self.part(id, &lookup),
            Arrived::End(done) => self.finish(done),
        }
    }

    /// The addresses that a name has now.
    pub fn addrs(&self, index: usize) -> &[Addr] {
        self.names.get(index).map_or(&[], |name| &name.record.addrs)
    }

    /// The names whose addresses changed since the last call.
    pub fn take_changed(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.changed)
    }

    /// Asks for a name now, whatever its TTL or the pause between tries says: an address of it failed. What is
    /// being asked for already is not asked for twice.
    pub fn ask(&mut self, index: usize, now: u64) {
        let Some(name) = self.names.get_mut(index) else {
            return;
        };
        name.hurry(now);
        self.enqueue(index, now);
    }

    /// Gives up names that no living child uses.
    pub fn retire(&mut self, living: &Living) {
        for (index, name) in self.names.iter_mut().enumerate() {
            if !name.retired && !name.task.epochs.are_left(living) {
                name.retired = true;
                if let Some(due) = name.due.take() {
                    self.queue.remove(&(due, index));
                }
                let text = &name.task.name;
                let line = format!(
                    "name {text}: not followed any more: the last child that used it has ended"
                );
                self.env.log(Level::Debug, &line);
            }
        }
    }

    /// Puts a name into the queue, or to another place in it.
    fn enqueue(&mut self, index: usize, due: u64) {
        let name = &mut self.names[index];
        if name.retired {
            return;
        }
        if let Some(old) = name.due.replace(due) {
            self.queue.remove(&(old, index));
        }
        self.queue.insert((due, index));
    }

    /// When there is something to start; never while nothing more may be started.
    pub fn next_due(&self) -> u64 {
        let flying = self.flying.len();
        let full = flying >= MAX_FLYING || flying - self.slow >= MAX_PROMPT;
        match self.queue.first() {
            Some(&(due, _)) if !full => due,
            _ => u64::MAX,
        }
    }

    pub fn start_due(&mut self, now: u64) {
        while self.next_due() <= now
            && let Some((_, index)) = self.queue.pop_first()
        {
            let name = &mut self.names[index];
            name.due = None;
            let Some(questions) = name.questions(now) else {
                // Without a time when it has to wait for what is under way.
                let due = name::due(&name.record, name.task.want, name.busy);
                if due > now {
                    self.enqueue(index, due);
                }
                continue;
            };
            let slow = !name.again && name::all_fail(&name.record, questions.families);
            if slow && self.slow >= MAX_FLYING - MAX_PROMPT {
                self.enqueue(index, now + CROWDED_MS);
            } else {
                self.start(index, questions, slow);
            }
        }
    }

    fn start(&mut self, index: usize, questions: Questions, slow: bool) {
        let name = &mut self.names[index];
        name.again &= !name.busy.is_empty();
        name.busy = name.busy.union(questions.families);
        let fixed = name.candidate.clone().filter(|_| questions.partial);
        let (view, text) = (self.resolver.view(), name.task.name.clone());
        let to_early = self.to_early.clone();
        let task = self.flying.spawn(async move {
            let id = tokio::task::id();
            // Nobody listens any more only when all is over.
            let early = |lookup| drop(to_early.send((id, lookup)));
            view.lookup_in_parts(&text, questions.families, fixed.as_deref(), Some(&early))
                .await
        });
        let left = questions.families;
        let flight = Flight { index, left, slow };
        self.tasks.insert(task.id(), flight);
        self.slow += usize::from(slow);
    }

    /// The first part of a look-up.
    fn part(&mut self, id: Id, lookup: &Lookup) {
        let Some(flight) = self.tasks.get_mut(&id) else {
            return;
        };
        if !std::mem::replace(&mut flight.slow, true) {
            self.slow += 1;
        }
        let left = name::pending(lookup);
        let answered = name::minus(std::mem::replace(&mut flight.left, left), left);
        let index = flight.index;
        let name = &mut self.names[index];
        name.busy = name::minus(name.busy, answered);
        self.count(lookup);
        self.apply(index, lookup);
    }

    /// The rest of a look-up, mostly all of it.
    fn finish(&mut self, done: Result<(Id, Lookup), JoinError>) {
        let id = match &done {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        let Some(Flight { index, left, slow }) = self.tasks.remove(&id) else {
            return;
        };
        self.slow -= usize::from(slow);
        let name = &mut self.names[index];
        name.busy = name::minus(name.busy, left);
        let mut lookup = match done {
            Ok((_, lookup)) => lookup,
            // A panic in the resolver must not stop the name for ever.
            Err(_) => failed(&name.task.name, left, Failure::Garbage),
        };
        for family in name::free(name.busy, left) {
            *lookup.outcome_mut(family) = Outcome::Pending;
        }
        self.count(&lookup);
        self.apply(index, &lookup);
    }

    fn count(&self, lookup: &Lookup) {
        let (board, outcomes) = (self.board, [&lookup.v4, &lookup.v6]);
        board.add(Counter::Queries, lookup.queries.into());
        if outcomes.iter().any(|o| matches!(o, Outcome::Failed(_))) {
            board.add(Counter::LookupFailures, 1);
        }
    }

    /// Works a look-up into the name, publishes what became of it and plans the next one.
    fn apply(&mut self, index: usize, lookup: &Lookup) {
        let (now, rnd) = (self.env.now_ms(), self.random.draw());
        let name = &mut self.names[index];
        let text = &name.task.name;
        let mut step = name.step(now, lookup, rnd);
        if name.again {
            // Asked before the files changed: the answer may be out of date.
            if name.busy.is_empty() {
                self.enqueue(index, now);
            }
            return;
        }
        self.spread_out(index, &mut step, now);
        let name = &mut self.names[index];
        match self.board.write(name.task.id, name.task.tag, &step.record) {
            Ok(_) => {}
            Err(WriteError::Overtaken) => return self.enqueue(index, now + OVERTAKEN_MS),
            Err(error) => {
                // The slot is another name's now: this leader is of an old configuration.
                let line = format!("name {text}: not followed any more: {error}");
                return self.env.log(Level::Debug, &line);
            }
        }
        if step.wake {
            self.board.bump_generation();
            self.env.published();
        }
        if step.changed {
            self.board.add(Counter::AddressChanges, 1);
            self.changed.push(index);
        }
        let (asked, queries) = (&lookup.candidate, lookup.queries);
        let line = format!("name {text}: asked for {asked}, {queries} queries");
        self.env.log(Level::Trace2, &line);
        for event in &step.events {
            self.env.log(event.level(), &event.text(text));
            if let Some(event) = event.noted(text, name.task.tag.0) {
                self.board.note(&event, self.env.unix_ms());
            }
        }
        if lookup.source == Source::Dns && lookup.gave_addresses() {
            name.candidate = Some(lookup.candidate.clone());
        }
        name.record = step.record;
        if name.busy.is_empty() {
            name.turn = None;
        }
        self.enqueue(index, step.due_ms.max(now + MIN_PAUSE_MS));
    }

    /// A good answer is not asked for again at the same instant as those of many other names.
    fn spread_out(&mut self, index: usize, step: &mut Step, now: u64) {
        if step.due_ms == step.record.expires_ms {
            let (spread, random) = (&mut self.spread, &mut self.random);
            let due = spread.book(index, now, step.due_ms, || random.draw());
            (step.record.expires_ms, step.due_ms) = (due, due);
        }
    }

    pub fn poll_files(&mut self, now: u64) {
        let changed = self.resolver.poll_files();
        if changed == FilesChanged::default() {
            return;
        }
        let view: Arc<_> = self.resolver.view();
        for index in 0..self.names.len() {
            let name = &mut self.names[index];
            let local = view.has_host(&name.task.name) || name.record.source == Source::Hosts;
            if changed.resolv {
                name.candidate = None;
                name::hurry(&mut name.record, now);
            }
            name.again |= changed.hosts && local;
            let urgent = name.again || changed.resolv && name::is_failing(&name.record);
            if urgent && name.busy.is_empty() {
                self.enqueue(index, now);
            }
        }
    }
}
