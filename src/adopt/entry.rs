//! One live worker in one child: what it dials and what the board says it should dial.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::plan::Planned;
use crate::board::Board;
use crate::board::NameRecord;
use crate::ffi::address::{self, PublishError, Published};
use crate::ffi::clock;
use crate::ffi::log::Level;
use crate::log;
use crate::logic::addr::Addr;
use crate::logic::spread::Spread;
use crate::logic::usable::{Usable, usable};

/// A live worker of this child.
#[derive(Debug)]
pub struct Entry {
    pub planned: Planned,
    /// Generation of the board at which this entry was last up to date.
    seen: AtomicU32,
    /// What `worker->address` must be; 0 while nothing was published.
    published: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Default, Debug)]
struct State {
    /// Version of the slot that `record` is from; 0 for none.
    version: u64,
    record: NameRecord,
    /// The published set, in the record's order.
    set: Vec<Addr>,
    ours: Option<Published>,
    /// The order of `set`.
    spread: Spread,
    /// Connections opened to each of `set` since the last rotation.
    opened: Vec<u32>,
    /// Attempts since then that showed no connection (fcgi, ajp; nothing could be opened).
    unseen: u32,
}

/// Outcome of bringing an entry up to date.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// Nothing to do, or DNS has not answered yet.
    Same,
    /// New addresses are in force.
    Adopted,
    /// httpd or another thread is at it: try again soon.
    Busy,
}

impl Entry {
    pub fn new(planned: Planned, generation: u32) -> Self {
        Self {
            planned,
            // Different from the present generation: the first look is never skipped.
            seen: AtomicU32::new(generation.wrapping_sub(1)),
            published: AtomicUsize::new(0),
            state: Mutex::default(),
        }
    }

    /// Whether the board or httpd has moved on since the last look; a few loads, no lock.
    pub fn is_behind(&self, generation: u32) -> bool {
        self.seen.load(Ordering::Acquire) != generation || self.is_foreign()
    }

    /// httpd's own look-up has replaced what we published.
    fn is_foreign(&self) -> bool {
        let published = self.published.load(Ordering::Acquire);
        published != 0 && address::current(self.planned.worker) != published
    }

    /// Brings the worker up to date with the board. Never waits.
    pub fn refresh(&self, board: Board, offset: u64) -> Progress {
        let generation = board.generation();
        let Some(mut state) = self.state.try_lock() else {
            return Progress::Busy;
        };
        let (id, tag) = self.planned.slot;
        let version = board.version(id);
        let mut progress = Progress::Same;
        if version != state.version {
            match board.read(id, tag) {
                Some(read) => (state.version, state.record) = (read.version, read.record),
                // Not stable for a moment; a slot that is another name's now will never be.
                None if board.owner(id).is_some_and(|(t, _)| t == tag) => progress = Progress::Busy,
                None => {}
            }
        }
        if progress != Progress::Busy {
            progress = self.apply(&mut state, offset);
        }
        if progress != Progress::Busy {
            self.seen.store(generation, Ordering::Release);
        }
        progress
    }

    /// Publishes what the record says if that differs from what is in force.
    fn apply(&self, state: &mut State, offset: u64) -> Progress {
        let settings = &self.planned.settings;
        let stale = settings.stale.map(|s| s.as_millis() as u64);
        match usable(&state.record, settings.families, stale, clock::now_ms()) {
            // Expired: the keeper takes the worker out; what it dialled stays known.
            Usable::Unknown | Usable::Expired => Progress::Same,
            Usable::Addresses(addrs) => {
                if state.set == addrs && !self.is_foreign() {
                    return Progress::Same;
                }
                let spread = if state.set == addrs {
                    state.spread.clone()
                } else {
                    Spread::new(addrs.len(), offset)
                };
                self.publish(state, addrs, spread)
            }
        }
    }

    fn publish(&self, state: &mut State, set: Vec<Addr>, spread: Spread) -> Progress {
        let p = &self.planned;
        let list: Vec<Addr> = if p.settings.spread {
            spread.order().iter().map(|i| set[*i]).collect()
        } else {
            set.clone()
        };
        match address::publish(p.worker, &p.host, p.port, &list, &mut state.ours) {
            Ok(()) => {
                let key = state.ours.as_ref().map_or(0, Published::key);
                self.published.store(key, Ordering::Release);
                state.opened = vec![0; set.len()];
                state.unseen = 0;
                (state.set, state.spread) = (set, spread);
                Progress::Adopted
            }
            Err(PublishError::Busy) => Progress::Busy,
            Err(PublishError::Refused) => {
                log!(
                    Level::Error,
                    "worker {}: the addresses of {} were refused by apr; the old ones stay",
                    p.label,
                    p.host
                );
                Progress::Same
            }
        }
    }

    /// Counts a connection opened to `addr`, or an attempt that showed none (for `livespread`).
    pub fn opened(&self, addr: Option<&Addr>) {
        let mut state = self.state.lock();
        let at = addr.and_then(|addr| state.set.iter().position(|a| a == addr));
        match at.and_then(|at| state.opened.get_mut(at)) {
            Some(count) => *count = count.saturating_add(1),
            None if addr.is_none() => state.unseen = state.unseen.saturating_add(1),
            None => {}
        }
    }

    /// Lists the address first whose turn it is; pooled connections stay. Keeper only.
    pub fn rotate(&self) -> Progress {
        let mut state = self.state.lock();
        if !self.planned.settings.spread || state.set.len() < 2 || self.is_foreign() {
            return Progress::Same;
        }
        let mut spread = state.spread.clone();
        if !spread.count(&state.opened, state.unseen, clock::now_ms()) {
            state.spread = spread;
            state.opened.fill(0);
            state.unseen = 0;
            return Progress::Same;
        }
        let set = state.set.clone();
        self.publish(&mut state, set, spread)
    }

    /// Whether connections to `addr` may be kept: it is in the published set, or nothing was published.
    pub fn wants(&self, addr: &Addr) -> bool {
        let state = self.state.lock();
        state.set.is_empty() || state.set.contains(addr)
    }

    /// Whether `livestale` has run out. Looks at the clock: call it at each tick of the keeper.
    pub fn is_expired(&self) -> bool {
        let Some(stale) = self.planned.settings.stale else {
            return false;
        };
        let state = self.state.lock();
        let families = self.planned.settings.families;
        let now = usable(
            &state.record,
            families,
            Some(stale.as_millis() as u64),
            clock::now_ms(),
        );
        // A part of the families may have expired: the set shrinks at the next refresh.
        if now != Usable::Expired && !matches!(&now, Usable::Addresses(a) if *a == state.set) {
            self.seen.fetch_sub(1, Ordering::AcqRel);
        }
        now == Usable::Expired
    }

    /// Takes the worker out (HC_FAIL) or back; `why` is for the log. mod_proxy_hcheck's workers are left
    /// alone. A plain worker has a status in each child: only one of them is `loud`.
    pub fn set_down(&self, down: bool, why: &str, loud: bool) {
        let worker = self.planned.worker;
        if worker.is_hchecked() || !worker.set_failed(down) {
            return;
        }
        let (from, to, level) = if down {
            ("up", "down", Level::Warn)
        } else {
            ("down", "up", Level::Notice)
        };
        let (label, host) = (&self.planned.label, &self.planned.host);
        let level = if loud { level } else { Level::Debug };
        log!(level, "worker {label}: {from} -> {to} ({host}: {why})");
    }
}
