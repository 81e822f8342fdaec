//! Leadership of one child: the lock, the monitor's thread and its end.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::run::{self, Level as RunLevel, Plan, Surroundings};
use crate::board::{Board, Counter};
use crate::ffi::eventfd::Bell;
use crate::ffi::guard::guard;
use crate::ffi::lock::LeaderLock;
use crate::ffi::log::Level;
use crate::ffi::{clock, futex, log as error_log, thread};
use crate::log;
use crate::logic::event::Event;

/// Debug builds of the async code overflow a quarter of this.
const STACK: usize = 1024 * 1024;
/// How long the end of leadership waits for the monitor; it returns within milliseconds.
const STOP_WAIT: Duration = Duration::from_millis(500);

/// This child leads as long as this lives and the monitor runs.
#[derive(Debug)]
pub struct Leader {
    stop: Option<oneshot::Sender<()>>,
    thread: JoinHandle<()>,
}

impl Leader {
    /// Starts the monitor. The lock is held by its thread and given up when that ends, however it ends.
    pub fn start(
        lock: LeaderLock,
        board: Board,
        bell: &'static Bell,
        plan: Arc<Plan>,
        pid: u32,
        epoch: u64,
    ) -> io::Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn("live-monitor", STACK, move || {
            // Dropped last, also while a panic unwinds to the guard.
            let _lock = lock;
            guard("monitor", (), || {
                lead(board, bell, &plan, pid, epoch, stopped)
            });
            board.clear_leader(pid);
        })?;
        Ok(Self {
            stop: Some(stop),
            thread,
        })
    }

    /// The monitor has ended by itself: it panicked or could not start.
    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Ends the monitor and waits a bounded time for it.
    pub fn stop(mut self) {
        self.end();
    }

    /// The same; true when it has ended, and the lock is free.
    pub fn end(&mut self) -> bool {
        self.stop = None;
        let until = Instant::now() + STOP_WAIT;
        while !self.thread.is_finished() && Instant::now() < until {
            thread::pause_us(100);
        }
        self.has_ended()
    }
}

fn lead(
    board: Board,
    bell: &'static Bell,
    plan: &Plan,
    pid: u32,
    epoch: u64,
    stopped: oneshot::Receiver<()>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
    {
        Ok(runtime) => runtime,
        Err(e) => {
            log!(Level::Error, "cannot start the monitor: {e}");
            return;
        }
    };
    let before = board.leader();
    board.set_leader(pid, clock::now_ms());
    board.add(Counter::Takeovers, 1);
    // Children compare with what the last leader may have written and died over.
    let httpd = Httpd { board, bell };
    httpd.published_first();
    let before = match before.pid {
        0 => "nobody".to_owned(),
        pid => pid.to_string(),
    };
    let event = Event::of_module(
        format!("child {pid} leads"),
        format!("epoch {epoch}, before: {before}"),
    );
    board.note(&event, clock::unix_ms());
    log!(
        Level::Info,
        "child {pid} leads (epoch {epoch}, before: {before})"
    );
    runtime.block_on(run::run(plan, board, &httpd, stopped));
}

/// The monitor's surroundings inside httpd.
struct Httpd {
    board: Board,
    bell: &'static Bell,
}

impl Httpd {
    fn published_first(&self) {
        self.board.bump_generation();
        self.published();
    }
}

impl Surroundings for Httpd {
    fn now_ms(&self) -> u64 {
        clock::now_ms()
    }

    fn log(&self, level: RunLevel, text: &str) {
        let level = match level {
            RunLevel::Error => Level::Error,
            RunLevel::Warn => Level::Warn,
            RunLevel::Notice => Level::Notice,
            RunLevel::Info => Level::Info,
            RunLevel::Debug => Level::Debug,
            RunLevel::Trace2 => Level::Trace2,
        };
        error_log::write(level, text);
    }

    fn unix_ms(&self) -> u64 {
        clock::unix_ms()
    }

    fn published(&self) {
        futex::wake_all(self.board.generation_word());
    }

    fn descriptors(&self) -> u64 {
        thread::descriptor_limit()
    }

    fn kick_fd(&self) -> Option<BorrowedFd<'static>> {
        Some(self.bell.fd())
    }
}
