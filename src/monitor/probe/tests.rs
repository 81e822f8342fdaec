//! The book with a clock and a network of the tests' own: exact times.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::book::{Book, Job};
use super::*;
use crate::board::{Capacity, Counter, Kick, Tag, TargetId};
use crate::logic::health::{AddrHealth, Layer, Rules, State, TargetRecord};
use crate::logic::statuses::Statuses;
use crate::monitor::run::{Epochs, Level, Surroundings};

mod health;
mod others;
mod storms;
mod trouble;

const RULES: Rules = Rules {
    interval_ms: 2_000,
    timeout_ms: 500,
    fall: 2,
    rise: 2,
};
const START: u64 = 1_000_000;

type Outcome = Result<(), Reason>;
const OK: Outcome = Ok(());
const REFUSED: Outcome = Err(Reason::Refused);
const SILENT: Outcome = Err(Reason::Timeout);
const BUSY: Outcome = Err(Reason::Status(503));
const HANGING: Outcome = Err(Reason::Silent(Layer::Http));

/// What a process is to its prober, and what addresses answer.
struct World {
    now: Cell<u64>,
    lines: RefCell<Vec<(Level, String)>>,
    descriptors: u64,
    answers: RefCell<BTreeMap<SocketAddr, Outcome>>,
    /// All other addresses.
    rest: Cell<Outcome>,
    /// When a probe of which address began.
    probes: RefCell<Vec<(u64, SocketAddr)>>,
    flying: RefCell<Vec<(u64, Job, u64, Outcome)>>,
    most: Cell<usize>,
}

impl World {
    fn new() -> Self {
        Self {
            now: Cell::new(START),
            lines: RefCell::default(),
            descriptors: 4_096,
            answers: RefCell::default(),
            rest: Cell::new(OK),
            probes: RefCell::default(),
            flying: RefCell::default(),
            most: Cell::new(0),
        }
    }

    fn set(&self, addr: &str, outcome: Outcome) {
        let addr = addr.parse().unwrap();
        self.answers.borrow_mut().insert(addr, outcome);
    }

    /// Lines of this level and louder since the last call.
    fn lines(&self, least: Level) -> Vec<String> {
        let lines = std::mem::take(&mut *self.lines.borrow_mut());
        let seen = lines.into_iter().filter(|(level, _)| *level <= least);
        seen.map(|(level, text)| format!("{level:?} {text}"))
            .collect()
    }

    /// Milliseconds from the start at which probes of an address began since the last call.
    fn probes_of(&self, addr: &str) -> Vec<u64> {
        let addr: SocketAddr = addr.parse().unwrap();
        let all = std::mem::take(&mut *self.probes.borrow_mut());
        let these = all.iter().filter(|(_, to)| *to == addr);
        these.map(|(at, _)| at - START).collect()
    }

    /// Lets so many milliseconds pass.
    fn pass(&self, book: &mut Book<'_, Self>, ms: u64) {
        let until = self.now.get() + ms;
        loop {
            while let Some(job) = book.take_due(self.now.get()) {
                self.begin(job);
            }
            let ends = self.flying.borrow().iter().map(|(end, ..)| *end).min();
            let next = ends.unwrap_or(u64::MAX).min(book.next_due());
            if next > until {
                break;
            }
            self.now.set(next.max(self.now.get()));
            self.end_due(book);
        }
        self.now.set(until);
    }

    fn begin(&self, job: Job) {
        let now = self.now.get();
        let answers = self.answers.borrow();
        let outcome = *answers.get(&job.to).unwrap_or(&self.rest.get());
        let took = match outcome {
            Err(reason) if reason.is_time_out() => u64::try_from(job.timeout.as_millis()).unwrap(),
            _ => 0,
        };
        self.probes.borrow_mut().push((now, job.to));
        let mut flying = self.flying.borrow_mut();
        flying.push((now + took, job, now, outcome));
        self.most.set(self.most.get().max(flying.len()));
    }

    fn end_due(&self, book: &mut Book<'_, Self>) {
        let now = self.now.get();
        let all = std::mem::take(&mut *self.flying.borrow_mut());
        let (ended, left) = all.into_iter().partition(|(end, ..)| *end <= now);
        *self.flying.borrow_mut() = left;
        for (ended_ms, job, begun_ms, result) in ended {
            let probe = Probe {
                begun_ms,
                ended_ms,
                took_us: u32::try_from((ended_ms - begun_ms) * 1_000).unwrap(),
                result,
            };
            book.ended(&job, &probe);
        }
    }
}

impl Surroundings for World {
    fn now_ms(&self) -> u64 {
        self.now.get()
    }

    fn unix_ms(&self) -> u64 {
        self.now_ms()
    }

    fn log(&self, level: Level, text: &str) {
        self.lines.borrow_mut().push((level, text.to_owned()));
    }

    fn published(&self) {}

    fn descriptors(&self) -> u64 {
        self.descriptors
    }

    fn kick_fd(&self) -> Option<BorrowedFd<'static>> {
        None
    }
}

fn board() -> Board {
    let capacity = Capacity {
        names: 4,
        targets: 1_100,
        workers: 4,
        children: 4,
        late: 0,
    };
    let len = Board::words_needed(capacity);
    let words: Vec<AtomicU64> = (0..len).map(|_| AtomicU64::new(0)).collect();
    Board::format(words.leak(), capacity).unwrap()
}

fn addr(text: &str) -> Addr {
    let ip = text.parse().unwrap();
    Addr { ip, scope: 0 }
}

fn addrs(list: &[&str]) -> Vec<Addr> {
    list.iter().map(|text| addr(text)).collect()
}

fn target(board: Board, id: u32, label: &str, source: Source) -> TargetTask {
    let key = format!("tcp {label}");
    let (_, port) = label.rsplit_once(':').unwrap();
    let (id, tag) = (TargetId(id), Tag::new(&key, 1));
    board.assign_target(id, tag, &key);
    TargetTask {
        id,
        tag,
        key,
        label: label.to_owned(),
        source,
        port: port.parse().unwrap(),
        kind: Kind::Tcp,
        rules: RULES,
        epochs: Epochs::default(),
    }
}

/// One with an HTTP probe, of `path`.
fn http_target(board: Board, id: u32, label: &str, path: &str, source: Source) -> TargetTask {
    let key = format!("http {label} {path}");
    let tag = Tag::new(&key, 1);
    let check = HttpCheck {
        tls: None,
        host: label.to_owned(),
        uri: path.to_owned(),
        expect: Statuses::default(),
    };
    let task = TargetTask {
        tag,
        key: key.clone(),
        label: key.clone(),
        kind: Kind::Http(Arc::new(check)),
        ..target(board, id, label, source)
    };
    board.assign_target(task.id, tag, &key);
    task
}

/// A plan with the target app.test:80, which follows the first name.
fn app(board: Board) -> Plan {
    Plan {
        targets: vec![target(board, 0, "app.test:80", Source::Name(0))],
        ..Plan::default()
    }
}

fn book<'a>(plan: &'a Plan, list: &[&str], board: Board, world: &'a World) -> Book<'a, World> {
    Book::new(plan, |_| addrs(list), board, world)
}

fn record(board: Board, task: &TargetTask) -> TargetRecord {
    board.read_target(task.id, task.tag).unwrap().record
}

/// What the board says of an address of the plan's first target.
fn health(board: Board, plan: &Plan, text: &str) -> AddrHealth {
    let record = record(board, &plan.targets[0]);
    let mut all = record.addrs.into_iter();
    all.find(|health| health.addr == addr(text)).unwrap()
}

fn state(board: Board, plan: &Plan, text: &str) -> State {
    health(board, plan, text).state
}
