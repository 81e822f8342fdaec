//! The one thread that each child has: it adopts what the board says and tries to lead.

use std::time::Duration;

use super::child::Child;
use super::entry::Progress;
use super::growth::Growth;
use super::marks::{Marks, Role};
use super::observe;
use super::plan::IDLE_TICK;
use super::rescue_log::RescueLog;
use super::watch::Watch;
use crate::board::Kick;
use crate::ffi::guard::guard;
use crate::ffi::log::Level;
use crate::ffi::{clock, futex, hooks, tcp};
use crate::log;
use crate::monitor::leader::Leader;

mod heartbeat;

/// Between tries for a lock that httpd held.
const BUSY_TICK: Duration = Duration::from_millis(20);
/// Between rotations while connections are being opened.
const SPREAD_TICK: Duration = Duration::from_millis(100);
/// Rotations stay that frequent for so long after the last connection was opened.
const SPREAD_LINGER_MS: u64 = 2_000;
/// Idle sockets of removed addresses are left this long to requests that had just chosen them.
const SWEEP_AFTER_MS: u64 = 50;
/// Between looks for requests without an answer while there are requests.
const SILENCE_TICK: Duration = Duration::from_millis(125);
/// So long a child of the last epoch leads until the first new child is there.
const HANDOVER_MS: u64 = 5_000;
/// When the leader has ended with a reload, another child of the last epoch takes over only after this: idle ones
/// end within it, one by one, and each change of the leader wakes all that are still to end.
const TAKE_OVER_MS: u64 = 300;
/// Between looks for seats of children that were killed.
const CLEAR_SEATS_MS: u64 = 2_000;
/// After its own monitor failed a child lets others lead first.
const LEAD_AGAIN_MS: u64 = 1_000;

/// The thread's body.
pub fn run(child: &'static Child) {
    guard("keeper", (), || {
        if let Some(seat) = child.board.join(child.pid, child.epoch) {
            let _ = child.seat.set(seat);
        }
        let others = |(_, pid, epoch): (_, u32, u64)| epoch == child.epoch && pid != child.pid;
        if child.board.leader().pid != 0 && !child.board.children().any(others) {
            // The first child of its epoch: a leader of the last one makes way.
            child.nudge();
        }
        Keeper::new(child).live();
    });
    child.gate.end();
}

struct Keeper {
    child: &'static Child,
    leader: Option<Leader>,
    /// Whether the last step saw the child begin to end.
    stopping: bool,
    lead_after_ms: u64,
    /// When the leading child looks for seats of killed ones next.
    seats_at_ms: u64,
    /// When a newer epoch was first seen; 0 while there is none.
    outdated_ms: u64,
    generation: u32,
    swept_generation: u32,
    /// When idle sockets are to be looked at; 0 for no need.
    sweep_at_ms: u64,
    /// They are looked at once more after that.
    sweep_again: bool,
    rotated_ms: u64,
    opened_ms: u64,
    marks: Marks,
    rescues: RescueLog,
    growth: Growth,
    watch: Watch,
    heartbeat_lost: bool,
    /// Since when the heartbeat is late; 0 while it is not.
    late_since_ms: u64,
    /// While the heartbeat was lost this child wrote for all which workers came back.
    spoke: bool,
}

impl Keeper {
    fn new(child: &'static Child) -> Self {
        Self {
            child,
            leader: None,
            stopping: false,
            lead_after_ms: 0,
            seats_at_ms: 0,
            outdated_ms: 0,
            generation: 0,
            swept_generation: 0,
            sweep_at_ms: 0,
            sweep_again: false,
            rotated_ms: 0,
            opened_ms: 0,
            marks: Marks::default(),
            rescues: RescueLog::default(),
            growth: Growth::new(child),
            watch: Watch::default(),
            heartbeat_lost: false,
            late_since_ms: 0,
            spoke: false,
        }
    }

    /// Works until the child ends. Asleep it does not keep the child from ending, unless it leads; then the end
    /// of the child does what is left to do.
    fn live(&mut self) {
        while self.child.gate.enter() {
            // One failing step must not end the following of DNS for the child's whole life.
            let pause = guard("keeper's step", IDLE_TICK, || self.step());
            let leads = self.leader.is_some();
            self.child.gate.set_leads(leads);
            if !leads && !self.child.gate.rest() {
                break;
            }
            self.sleep(pause);
        }
        if !self.child.gate.is_at_work() {
            return;
        }
        self.child.leave_seat();
        if let Some(leader) = self.leader.take() {
            self.hand_over(leader);
        }
    }

    /// One round; returns how long to sleep at most.
    fn step(&mut self) -> Duration {
        let now = clock::now_ms();
        self.generation = self.child.board.generation();
        self.stopping = self.child.is_stopping();
        self.growth.step(self.child, self.leads());
        let busy = self.adopt(now);
        self.lead(now);
        self.clear_seats(now);
        self.watch_heartbeat(now);
        self.mark(busy);
        let in_use = self.watch.step(self.child, now, self.generation, busy);
        if self.leader.is_some() {
            observe::tell_addresses(self.child);
        }
        self.rescues.step(self.child, now, self.leader.is_some());
        let spreading = self.spread(now);
        self.sweep(now);
        if busy {
            BUSY_TICK
        } else if self.sweep_at_ms != 0 || spreading {
            SPREAD_TICK
        } else if in_use || self.marks.waits() {
            SILENCE_TICK
        } else {
            self.jittered(now)
        }
    }

    /// Sleeps until the board moves on, this child begins to end, or `pause` is over. What wakes other
    /// children's keepers (the word is the machine's) costs this one no step.
    fn sleep(&self, pause: Duration) {
        let child = self.child;
        let until = clock::now_ms() + pause.as_millis() as u64;
        loop {
            let left = until.saturating_sub(clock::now_ms());
            let word = child.board.generation_word();
            futex::wait(word, self.generation, Duration::from_millis(left));
            if child.board.generation() != self.generation
                || child.is_closing()
                || child.is_stopping() != self.stopping
                || clock::now_ms() >= until
            {
                return;
            }
        }
    }

    /// Children of a machine must not all wake at the same instant.
    fn jittered(&self, now: u64) -> Duration {
        let spread = (now ^ u64::from(self.child.pid).wrapping_mul(0x9E37_79B9)) % 100;
        IDLE_TICK - Duration::from_millis(spread)
    }

    fn leads(&self) -> bool {
        self.leader
            .as_ref()
            .is_some_and(|leader| !leader.has_ended())
    }

    fn adopt(&mut self, now: u64) -> bool {
        let mut busy = false;
        let mut adopted = 0;
        for (at, entry) in self.child.entries.iter().enumerate() {
            if !entry.is_behind(self.generation) || self.child.is_closing() {
                continue;
            }
            match self.child.refresh(at, entry) {
                Progress::Busy => busy = true,
                Progress::Adopted => adopted += 1,
                Progress::Same => {}
            }
        }
        if adopted > 0 {
            log!(
                Level::Debug,
                "{adopted} workers have new addresses in this child"
            );
        }
        // Also when a request adopted the change before the keeper woke.
        if adopted > 0 || self.generation != self.swept_generation {
            self.swept_generation = self.generation;
            self.sweep_at_ms = now + SWEEP_AFTER_MS;
            // The leader takes members out a moment later.
            self.sweep_again = true;
        }
        busy
    }

    /// Whether this child may lead: it belongs to the newest epoch and is not about to end.
    ///
    /// After a reload it takes up to some seconds until the first new child begins, because MPMs start
    /// them as old ones end. Until then, for a bounded time, a child of the last epoch leads, so that DNS
    /// is followed without a gap.
    fn may_lead(&mut self, now: u64) -> bool {
        let child = self.child;
        let newest = child.board.epoch();
        if child.epoch == newest {
            return !child.is_stopping() && !hooks::mpm_is_stopping();
        }
        if self.outdated_ms == 0 {
            self.outdated_ms = now;
        }
        let waited = now.saturating_sub(self.outdated_ms);
        let early = self.leader.is_none() && waited < TAKE_OVER_MS;
        !early && waited <= HANDOVER_MS && !self.newest_has_child()
    }

    /// Whether a child of the newest epoch is there.
    fn newest_has_child(&self) -> bool {
        let newest = self.child.board.epoch();
        let mut children = self.child.board.children();
        children.any(|(_, pid, epoch)| epoch == newest && clock::process_exists(pid))
    }

    /// Ends the leadership. The next one need not wait for its tick, if there may be one yet: the first child of a
    /// new epoch tries by itself.
    fn hand_over(&self, mut leader: Leader) {
        leader.end();
        if self.newest_has_child() {
            self.child.nudge();
        }
    }

    /// Leads if nobody does; makes way at once when the child ends or one of a newer epoch is there.
    fn lead(&mut self, now: u64) {
        let child = self.child;
        let may = self.may_lead(now);
        if let Some(mut leader) = self.leader.take() {
            if !may {
                self.hand_over(leader);
            } else if leader.has_ended() {
                leader.stop();
                self.lead_after_ms = now + LEAD_AGAIN_MS;
            } else if !self.growth.has_changed() {
                self.leader = Some(leader);
            } else if !leader.end() {
                // Never two monitors at once.
                self.leader = Some(leader);
            }
            // Else a new one begins with what was added, too; what the last one knew is on the board.
        }
        if self.leader.is_none()
            && may
            && now >= self.lead_after_ms
            && let Some(lock) = child.lock.try_lock()
        {
            let plan = self.growth.take_plan();
            match Leader::start(lock, child.board, child.bell, plan, child.pid, child.epoch) {
                Ok(leader) => self.leader = Some(leader),
                Err(e) => {
                    log!(Level::Error, "cannot start the monitor: {e}");
                    self.lead_after_ms = now + LEAD_AGAIN_MS;
                }
            }
        }
    }

    /// Children that were killed leave their seats taken.
    fn clear_seats(&mut self, now: u64) {
        if self.leader.is_none() || now < self.seats_at_ms {
            return;
        }
        self.seats_at_ms = now + CLEAR_SEATS_MS;
        let board = self.child.board;
        let dead = board
            .children()
            .filter(|(_, pid, _)| !clock::process_exists(*pid));
        for (seat, pid, _) in dead {
            board.clear_seat(seat, pid);
        }
    }

    /// Whether this child marks the members of its generation, which is not the newest: the one with the lowest process
    /// id does, unless the leader is of that generation, too.
    fn keeps_generation(&self) -> bool {
        let (child, board) = (self.child, self.child.board);
        if !self.is_outdated() {
            return false;
        }
        let leader = board.leader().pid;
        let own = board
            .children()
            .filter(|(_, _, epoch)| *epoch == child.epoch);
        let mut others = own.map(|(_, pid, _)| pid).filter(|pid| *pid != child.pid);
        // Killed ones leave their seats taken.
        !others.any(|pid| (pid < child.pid || pid == leader) && clock::process_exists(pid))
    }

    /// Brings the status of workers in line with what is known of their addresses.
    fn mark(&mut self, busy: bool) {
        let role = if self.heartbeat_lost {
            let speaks = self.speaks_for_others(self.child.board.leader().pid);
            self.spoke = speaks;
            Role::Lost { speaks }
        } else if self.leader.is_some() {
            Role::Leads
        } else if self.keeps_generation() {
            Role::Keeps
        } else {
            // Who wrote that a worker came back also writes that it goes down again: the leader's is down.
            Role::Follows {
                speaks: std::mem::take(&mut self.spoke),
            }
        };
        self.marks.step(self.child, self.generation, busy, role);
    }

    /// Counts connections opened and turns the lists; true while connections are being opened.
    fn spread(&mut self, now: u64) -> bool {
        let child = self.child;
        if now < self.rotated_ms + SPREAD_TICK.as_millis() as u64 {
            return now < self.opened_ms + SPREAD_LINGER_MS;
        }
        let opened = child.registry.take_opened();
        if opened.is_empty() {
            return now < self.opened_ms + SPREAD_LINGER_MS;
        }
        (self.rotated_ms, self.opened_ms) = (now, now);
        let mut touched: Vec<u32> = opened.iter().map(|(at, _)| *at).collect();
        for (at, addr) in &opened {
            child.entries[*at as usize].opened(addr.as_ref());
        }
        touched.sort_unstable();
        touched.dedup();
        for at in touched {
            let entry = &child.entries[at as usize];
            if entry.head_is_silent() {
                // Or its connects just take longer than the last turn of the list.
                child.kick(at as usize, Kick::Silent);
            }
            if !child.is_closing() {
                entry.rotate();
            }
        }
        true
    }

    /// Shuts down idle sockets to addresses that are no longer the worker's, or are down.
    fn sweep(&mut self, now: u64) {
        if self.sweep_at_ms == 0 || now < self.sweep_at_ms {
            return;
        }
        let child = self.child;
        let wanted = |at: u32, addr: &_| child.entries[at as usize].wants(addr);
        let swept = child.registry.sweep(wanted, tcp::shut_down);
        if swept.closed > 0 {
            log!(
                Level::Debug,
                "{} idle connections to removed or dead addresses shut down",
                swept.closed
            );
        }
        // Those in use are looked at again when their requests have ended.
        let again = std::mem::take(&mut self.sweep_again);
        self.sweep_at_ms = if swept.in_use > 0 || again {
            now + IDLE_TICK.as_millis() as u64
        } else {
            0
        };
    }
}
