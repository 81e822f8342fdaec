//! A keeper's look at the leader: whether it is heard, and who says so when it is not.

use super::Keeper;
use crate::ffi::hooks;
use crate::ffi::log::Level;
use crate::log;
use crate::logic::event::Event;

/// A leader that is silent for longer counts as lost.
const HEARTBEAT_LOST_MS: u64 = 3_000;
/// What happens then.
const HEARTBEAT_LOST: &str =
    "has been silent for more than 3 s: addresses stay as they are, no worker is kept out";
/// It must still be silent after this.
const LATE_AGAIN_MS: u64 = 300;

impl Keeper {
    pub(super) fn watch_heartbeat(&mut self, now: u64) {
        let leader = self.child.board.leader();
        let beat = leader.heartbeat_ms;
        let late = beat != 0 && now.saturating_sub(beat) > HEARTBEAT_LOST_MS;
        // After the whole machine (or just the leading child) stood still, the leader gets the time to
        // speak first. The leading child watches too: its monitor may hang while its keeper lives.
        self.late_since_ms = match (late, self.late_since_ms) {
            (false, _) => 0,
            (true, 0) => now,
            (true, since) => since,
        };
        let lost = late && now.saturating_sub(self.late_since_ms) >= LATE_AGAIN_MS;
        let ends = || self.child.is_stopping() || hooks::mpm_is_stopping();
        // When the server ends, nobody leads any more. A child that a reload has ended may serve for long.
        if lost == self.heartbeat_lost || (!self.is_outdated() && ends()) {
            return;
        }
        self.heartbeat_lost = lost;
        if !self.speaks_for_others(leader.pid) {
            return;
        }
        let who = match leader.pid {
            0 => "no child leads and the last leader".into(),
            pid => format!("the leading child (pid {pid})"),
        };
        let (level, what) = if lost {
            (Level::Warn, HEARTBEAT_LOST)
        } else {
            (Level::Notice, "is heard again")
        };
        log!(level, "{who} {what}");
        self.child.note(&Event::of_module(who, what));
    }

    /// A newer configuration is in force.
    pub(super) fn is_outdated(&self) -> bool {
        self.child.epoch != self.child.board.epoch()
    }

    /// One line is enough for all children: of the newest ones the one with the lowest process id writes it.
    pub(super) fn speaks_for_others(&self, leader: u32) -> bool {
        if self.is_outdated() {
            return false;
        }
        let child = self.child;
        let seats = child.board.children();
        let lowest = seats
            .filter(|(_, pid, epoch)| *epoch == child.epoch && *pid != leader)
            .map(|(_, pid, _)| pid)
            .min();
        match lowest {
            None => true,
            Some(pid) => child.pid != leader && pid >= child.pid,
        }
    }
}
