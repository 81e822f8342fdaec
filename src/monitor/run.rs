//! The leader's work: follows the names of the plan and probes its targets.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use tokio::sync::oneshot;

use super::names::Names;
use super::probe::connector::{self, Connector};
use super::probe::kicks::Kicks;
use super::probe::{Prober, TargetTask};
use super::resolver::Resolver;
use crate::board::{Board, NameId, Tag};
use crate::config::resolver::ResolverConfig;
use crate::logic::addr::Families;
use crate::logic::epochs::Living;

pub use crate::logic::name::Level;

/// Milliseconds between two signs of life.
const HEARTBEAT_MS: u64 = 250;
/// Milliseconds between two looks at the system's files.
const FILES_MS: u64 = 1_000;

/// A name to follow.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NameTask {
    pub id: NameId,
    pub tag: Tag,
    pub name: String,
    pub want: Families,
    pub ttl_min: Duration,
    pub ttl_max: Duration,
    pub epochs: Epochs,
}

/// The configurations that want a name or a target.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Epochs {
    /// The first of them.
    pub since: u64,
    /// The last; None: the present one. Others are worked on for the children of theirs.
    pub until: Option<u64>,
}

impl Epochs {
    pub const fn is_past(self) -> bool {
        self.until.is_some()
    }

    /// Whether the present configuration wants it, or a living child is of one that did.
    pub fn are_left(self, living: &Living) -> bool {
        self.until
            .is_none_or(|until| living.any_of(self.since, until))
    }
}

/// All that a leader has to do.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Plan {
    pub names: Vec<NameTask>,
    pub targets: Vec<TargetTask>,
    pub resolver: ResolverConfig,
}

impl Plan {
    /// Whether some of it is for children of earlier configurations.
    fn has_past(&self) -> bool {
        self.names.iter().any(|task| task.epochs.is_past())
            || self.targets.iter().any(|task| task.epochs.is_past())
    }
}

/// What the work needs of the process around it.
pub trait Surroundings {
    /// Monotonic milliseconds, the same for all processes of the machine.
    fn now_ms(&self) -> u64;
    /// Puts a line into the error log; drops it when the level is not wanted.
    fn log(&self, level: Level, text: &str);
    /// Milliseconds since 1970, for people.
    fn unix_ms(&self) -> u64;
    /// The generation was counted up: wakes the children.
    fn published(&self);
    /// How many descriptors this process may have open (the soft limit).
    fn descriptors(&self) -> u64;
    /// The eventfd by which children say that they set a kick bit; it must not block.
    fn kick_fd(&self) -> Option<BorrowedFd<'static>>;
}

/// Does the work of the plan until `stop` gets a message or its sender is gone, and
/// returns within milliseconds then. Wants a tokio runtime with I/O and time.
pub async fn run(plan: &Plan, board: Board, env: &impl Surroundings, stop: oneshot::Receiver<()>) {
    let with = With {
        resolver: Resolver::new(&plan.resolver),
        connector: connector::connector(),
    };
    run_with(plan, with, board, env, stop).await;
}

/// By which means the work is done; tests have others.
pub struct With {
    pub resolver: Resolver,
    pub connector: Connector,
}

/// The same with a resolver and a connector that are there already.
pub async fn run_with(
    plan: &Plan,
    with: With,
    board: Board,
    env: &impl Surroundings,
    mut stop: oneshot::Receiver<()>,
) {
    let mut names = Names::new(plan, with.resolver, board, env);
    let mut prober = Prober::new(plan, &names, with.connector, board, env);
    let mut kicks = Kicks::new(plan, env);
    let (mut next_beat, mut next_files) = (0, env.now_ms() + FILES_MS);
    let with_past = plan.has_past();
    if with_past {
        retire(board, &mut names, &mut prober);
    }
    loop {
        let now = env.now_ms();
        if now >= next_beat {
            board.heartbeat(now);
            // Also those whose wake got lost.
            prober.kicked(now);
            next_beat = now + HEARTBEAT_MS;
        }
        if now >= next_files {
            names.poll_files(now);
            next_files = now + FILES_MS;
            if with_past {
                retire(board, &mut names, &mut prober);
            }
        }
        let due = start_due(&mut names, &mut prober, now);
        let wake = next_beat.min(next_files).min(due);
        let pause = Duration::from_millis(wake.saturating_sub(now));
        tokio::select! {
            biased;
            _ = &mut stop => return,
            news = names.wait() => names.arrived(news),
            Some(done) = prober.join_next() => prober.finish(done),
            () = kicks.wait() => prober.kicked(env.now_ms()),
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Gives up what only children of earlier configurations wanted that have ended.
fn retire<E: Surroundings>(board: Board, names: &mut Names<'_, E>, prober: &mut Prober<'_, E>) {
    let living = board.living();
    names.retire(&living);
    prober.retire(&living);
}

/// Tells names and prober of each other, starts what is due and returns when something is due next.
fn start_due<E: Surroundings>(
    names: &mut Names<'_, E>,
    prober: &mut Prober<'_, E>,
    now: u64,
) -> u64 {
    for index in names.take_changed() {
        prober.moved(index, names.addrs(index), now);
    }
    prober.start_due(now);
    for index in prober.take_asks() {
        names.ask(index, now);
    }
    names.start_due(now);
    names.next_due().min(prober.next_due())
}

#[cfg(test)]
mod tests;
