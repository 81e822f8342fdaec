//! The prober: connects to the addresses of all targets when they are due, many at a time, and has the
//! outcome judged and written on the board.

use std::collections::HashMap;
use std::future::Future;
use std::time::Instant;

use tokio::task::{Id, JoinError, JoinSet};

use self::book::{Book, Job};
use self::connector::Connector;
use super::names::Names;
use super::run::{Plan, Surroundings};
use crate::board::Board;
use crate::logic::addr::Addr;
use crate::logic::epochs::Living;
use crate::logic::health::{Probe, Reason};

mod book;
pub mod connector;
mod http;
mod inherit;
pub mod kicks;
mod report;
mod setup;
mod target;
pub mod tcp;
#[cfg(test)]
mod test_server;
mod tls;

pub use inherit::seed;
pub use target::{HttpCheck, Kind, Source, TargetTask, TlsCheck};

/// Ended probes that are worked in before the children are woken.
const BATCH: usize = 64;

/// The probes of one leader.
pub struct Prober<'a, E> {
    book: Book<'a, E>,
    connector: Connector,
    flying: JoinSet<Outcome>,
    jobs: HashMap<Id, Job>,
}

/// How a probe ended, by the clock of its task.
pub struct Outcome {
    begun: Instant,
    ended: Instant,
    result: Result<(), Reason>,
}

/// The end of a probe's task.
pub type Done = Result<(Id, Outcome), JoinError>;

impl<'a, E: Surroundings> Prober<'a, E> {
    /// Takes over what the board knows, with the addresses that the names have now.
    pub fn new(
        plan: &'a Plan,
        names: &Names<'_, E>,
        connector: Connector,
        board: Board,
        env: &'a E,
    ) -> Self {
        let book = Book::new(plan, |name| names.addrs(name).to_vec(), board, env);
        Self {
            book,
            connector,
            flying: JoinSet::new(),
            jobs: HashMap::new(),
        }
    }

    /// Monotonic milliseconds at which the next probe is to be started.
    pub fn next_due(&self) -> u64 {
        self.book.next_due()
    }

    /// Starts what is due.
    pub fn start_due(&mut self, now: u64) {
        while let Some(job) = self.book.take_due(now) {
            let connecting = (self.connector)(&job.kind, job.to, job.timeout);
            let task = self.flying.spawn(timed(connecting));
            self.jobs.insert(task.id(), job);
        }
        self.wake();
    }

    /// Waits for the end of a probe. `None` when none is under way.
    pub async fn join_next(&mut self) -> Option<Done> {
        self.flying.join_next_with_id().await
    }

    /// Works in the end of a probe, and of others that ended as well.
    pub fn finish(&mut self, done: Done) {
        self.ended(done);
        for _ in 1..BATCH {
            let Some(done) = self.flying.try_join_next_with_id() else {
                break;
            };
            self.ended(done);
        }
        self.wake();
    }

    fn ended(&mut self, done: Done) {
        let id = match &done {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        let Some(job) = self.jobs.remove(&id) else {
            return;
        };
        let outcome = done.map_or_else(|_| Outcome::broken(), |(_, outcome)| outcome);
        let probe = outcome.probe(self.book.env.now_ms());
        self.book.ended(&job, &probe);
    }

    /// A name has these addresses now.
    pub fn moved(&mut self, name: usize, addrs: &[Addr], now: u64) {
        self.book.moved(name, addrs, now);
    }

    /// Gives up targets that no living child uses.
    pub fn retire(&mut self, living: &Living) {
        self.book.retire(living);
    }

    /// Looks for kicks on the board.
    pub fn kicked(&mut self, now: u64) {
        self.book.kicked(now);
    }

    /// The names (their places in the plan) to be asked for at once, since the last call.
    pub fn take_asks(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.book.asks)
    }

    /// Wakes the children when there is news for them.
    fn wake(&mut self) {
        if std::mem::take(&mut self.book.wake) {
            self.book.board.bump_generation();
            self.book.env.published();
        }
    }
}

async fn timed(connecting: impl Future<Output = Result<(), Reason>>) -> Outcome {
    let begun = Instant::now();
    let result = connecting.await;
    let ended = Instant::now();
    Outcome {
        begun,
        ended,
        result,
    }
}

impl Outcome {
    /// The task panicked: no word about the backend.
    fn broken() -> Self {
        let now = Instant::now();
        let result = Err(Reason::Local(libc::ECANCELED as u16));
        Self {
            begun: now,
            ended: now,
            result,
        }
    }

    /// In the time of the board.
    fn probe(&self, now_ms: u64) -> Probe {
        let ago = |at: Instant| u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX);
        let took = self.ended.saturating_duration_since(self.begun);
        Probe {
            begun_ms: now_ms.saturating_sub(ago(self.begun)),
            ended_ms: now_ms.saturating_sub(ago(self.ended)),
            took_us: u32::try_from(took.as_micros()).unwrap_or(u32::MAX),
            result: self.result,
        }
    }
}

#[cfg(test)]
mod tests;
