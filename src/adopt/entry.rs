//! One live worker in one child: what it dials and what the board says it should dial.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::gather::{Planned, Source};
use crate::board::{Board, NameRecord, Tag};
use crate::ffi::address::{self, PublishError, Published};
use crate::ffi::clock;
use crate::ffi::log::Level;
use crate::log;
use crate::logic::addr::Addr;
use crate::logic::health::{self, AddrHealth, TargetRecord};
use crate::logic::spread::Spread;
use crate::logic::usable::{Usable, usable};

mod known;

pub use known::describe;

/// Time-out of a connect where another address or member can take over, and where none can.
const CONNECT_SHORT: Duration = Duration::from_secs(1);
const CONNECT_LONG: Duration = Duration::from_secs(3);

/// No balancer.
const NO_GROUP: u32 = u32::MAX;

/// A live worker of this child.
#[derive(Debug)]
pub struct Entry {
    pub planned: Planned,
    /// Generation of the board at which this entry was last up to date.
    seen: AtomicU32,
    /// What `worker->address` must be; 0 while nothing was published.
    published: AtomicUsize,
    /// On the board: attempts that failed since one succeeded.
    fails: Option<&'static AtomicU64>,
    /// httpd looked the name up itself, which it does when no address could be reached.
    unreached: AtomicBool,
    /// Its balancer has other members.
    has_peers: AtomicBool,
    /// The number of its balancer among the child's groups; [`NO_GROUP`] for none.
    group: AtomicU32,
    state: Mutex<State>,
}

#[derive(Default, Debug)]
struct State {
    /// Version of the slot that `record` is from; 0 for none.
    version: u64,
    record: NameRecord,
    /// The same for the health of the addresses.
    health_version: u64,
    health: Option<TargetRecord>,
    /// What may be dialled, in the record's order.
    set: Vec<Addr>,
    ours: Option<Published>,
    /// The order of `set`.
    spread: Spread,
    /// Connections opened to each of `set` since the last rotation.
    opened: Vec<u32>,
    /// Attempts since then that showed no connection (fcgi, ajp; nothing could be opened).
    unseen: u32,
    /// What was read last could not be put in force.
    again: bool,
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
    pub fn new(planned: Planned, board: Board) -> Self {
        let generation = board.generation();
        let mut state = State::default();
        if let Source::Fixed(addr) = planned.source {
            state.record.addrs.push(addr);
            state.set.push(addr);
        }
        Self {
            has_peers: AtomicBool::new(planned.has_peers),
            group: AtomicU32::new(NO_GROUP),
            fails: planned.seat.and_then(|(id, tag)| board.fails(id, tag)),
            planned,
            // Different from the present generation: the first look is never skipped.
            seen: AtomicU32::new(generation.wrapping_sub(1)),
            published: AtomicUsize::new(0),
            unreached: AtomicBool::new(false),
            state: Mutex::new(state),
        }
    }

    /// An attempt has succeeded: for each request, most often one load.
    pub fn succeeded(&self) {
        if let Some(fails) = self.fails
            && fails.load(Ordering::Relaxed) != 0
        {
            fails.store(0, Ordering::Relaxed);
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

    /// Whether httpd had to look the name up itself since the last call.
    pub fn take_unreached(&self) -> bool {
        self.unreached.load(Ordering::Relaxed) && self.unreached.swap(false, Ordering::AcqRel)
    }

    /// Brings the worker up to date with the board. Never waits.
    pub fn refresh(&self, board: Board, offset: u64) -> Progress {
        let generation = board.generation();
        let Some(mut state) = self.state.try_lock() else {
            return Progress::Busy;
        };
        let versions = |state: &State| (state.version, state.health_version);
        let before = versions(&state);
        // Both are tried: one that does not stand still must not hold up the other.
        let name = self.read_name(&mut state, board);
        let health = self.read_health(&mut state, board);
        // The generation moves for every worker; most often this one is not meant.
        let again = std::mem::take(&mut state.again) || self.planned.settings.stale.is_some();
        let mut progress = Progress::Same;
        if again || versions(&state) != before || self.is_foreign() {
            progress = self.apply(&mut state, offset);
            state.again = progress == Progress::Busy;
        }
        if !(name && health) {
            progress = Progress::Busy;
        }
        if progress != Progress::Busy {
            self.seen.store(generation, Ordering::Release);
        }
        progress
    }

    /// Looks at the board without bringing anything into mod_proxy. In the parent only.
    pub fn load(&self, board: Board) {
        let mut state = self.state.lock();
        self.read_name(&mut state, board);
        self.read_health(&mut state, board);
        let settings = &self.planned.settings;
        let stale = settings.stale.map(|s| s.as_millis() as u64);
        let now = clock::now_ms();
        if let Usable::Addresses(addrs) = usable(&state.record, settings.families, stale, now) {
            state.set = addrs;
        }
    }

    /// Looks at the health of the addresses alone.
    pub fn reread_health(&self, board: Board) {
        let mut state = self.state.lock();
        let before = state.health_version;
        self.read_health(&mut state, board);
        // The next refresh must not take it for known.
        state.again |= state.health_version != before;
    }

    /// False: not stable for a moment, try again.
    fn read_name(&self, state: &mut State, board: Board) -> bool {
        let Source::Name(id, tag) = self.planned.source else {
            return true;
        };
        let version = board.version(id);
        if version == state.version {
            return true;
        }
        match board.read(id, tag) {
            Some(read) => (state.version, state.record) = (read.version, read.record),
            None if is_owner(board.owner(id), tag) => return false,
            None => {
                // Another name's since a reload: nobody follows it here any more. The addresses stay, for good.
                state.version = version;
                state.record.v4.failing_since_ms = 0;
                state.record.v6.failing_since_ms = 0;
            }
        }
        true
    }

    /// The same for the health of the addresses.
    fn read_health(&self, state: &mut State, board: Board) -> bool {
        let Some((id, tag)) = self.planned.target else {
            return true;
        };
        let version = board.target_version(id);
        if version == state.health_version {
            return true;
        }
        match board.read_target(id, tag) {
            Some(mut read) => {
                let (rules, now) = (&self.planned.settings.rules, clock::now_ms());
                let old = |h: &&mut AddrHealth| health::is_stale(h, rules, now);
                let stale = read.record.addrs.iter_mut().filter(old);
                stale.for_each(|h| health::forgive(h, now));
                (state.health_version, state.health) = (read.version, Some(read.record));
            }
            None if is_owner(board.target_owner(id), tag) => return false,
            // Another's since a reload: nobody probes it here any more, and no verdict must last for ever.
            None => (state.health_version, state.health) = (version, None),
        }
        true
    }

    /// Publishes what the records say if that differs from what is in force.
    fn apply(&self, state: &mut State, offset: u64) -> Progress {
        if let Source::Fixed(_) = self.planned.source {
            return Progress::Same;
        }
        let settings = &self.planned.settings;
        let stale = settings.stale.map(|s| s.as_millis() as u64);
        let now = clock::now_ms();
        let addrs = match usable(&state.record, settings.families, stale, now) {
            // Expired: the keeper takes the worker out; what it dialled stays known.
            Usable::Unknown | Usable::Expired => return Progress::Same,
            Usable::Addresses(addrs) => addrs,
        };
        if self.is_foreign() {
            self.unreached.store(true, Ordering::Release);
        }
        let same = state.set == addrs;
        let mut spread = if same {
            state.spread.clone()
        } else {
            // Without livespread all children prefer the same address.
            Spread::new(addrs.len(), if settings.spread { offset } else { 0 })
        };
        let turned = spread.set_classes(&classes(&addrs, state.health.as_ref()), now);
        if same && !turned && !self.is_foreign() {
            state.spread = spread;
            return Progress::Same;
        }
        self.publish(state, addrs, spread)
    }

    fn publish(&self, state: &mut State, set: Vec<Addr>, spread: Spread) -> Progress {
        let p = &self.planned;
        if p.settings.observe {
            (state.set, state.spread) = (set, spread);
            return Progress::Same;
        }
        let list: Vec<Addr> = spread.order().iter().map(|i| set[*i]).collect();
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
        if self.planned.settings.observe {
            // httpd dials what it looked up itself.
            return;
        }
        let mut state = self.state.lock();
        let at = addr.and_then(|addr| state.set.iter().position(|a| a == addr));
        match at.and_then(|at| state.opened.get_mut(at)) {
            Some(count) => *count = count.saturating_add(1),
            None if addr.is_none() => state.unseen = state.unseen.saturating_add(1),
            None => {}
        }
    }

    /// Whether its addresses come from DNS.
    pub fn follows_dns(&self) -> bool {
        matches!(self.planned.source, Source::Name(..))
    }

    /// Whether the address dialled first got none of the connections that were opened.
    pub fn head_is_silent(&self) -> bool {
        let state = self.state.lock();
        let head = state.spread.order().first();
        let got = head.and_then(|head| state.opened.get(*head));
        got == Some(&0) && state.opened.iter().any(|n| *n > 0)
    }

    /// Lists an address last for a moment, because a request has just failed there. Never waits: if httpd is at
    /// the list, the order stays.
    pub fn avoid(&self, peer: &Addr) {
        let Some(mut state) = self.state.try_lock() else {
            return;
        };
        let Some(at) = state.set.iter().position(|addr| addr == peer) else {
            return;
        };
        let mut spread = state.spread.clone();
        if state.set.len() > 1 && spread.avoid(at, clock::now_ms()) && !self.is_foreign() {
            let set = state.set.clone();
            self.publish(&mut state, set, spread);
        }
    }

    /// Lists the address first whose turn it is; pooled connections stay. Keeper only.
    pub fn rotate(&self) -> Progress {
        let mut state = self.state.lock();
        if state.set.len() < 2 || self.is_foreign() || self.planned.settings.observe {
            return Progress::Same;
        }
        let mut spread = state.spread.clone();
        let turned = if self.planned.settings.spread {
            spread.count(&state.opened, state.unseen, clock::now_ms())
        } else {
            spread.avoids() && spread.resort(clock::now_ms())
        };
        if !turned {
            state.spread = spread;
            state.opened.fill(0);
            state.unseen = 0;
            return Progress::Same;
        }
        let set = state.set.clone();
        self.publish(&mut state, set, spread)
    }

    /// The time-out of connects for what is known now; None when the administrator has set one.
    pub fn connect_timeout(&self) -> Option<Duration> {
        let most = self.planned.connect_most?;
        let others = self.has_peers.load(Ordering::Relaxed) || self.state.lock().set.len() > 1;
        let ours = if others { CONNECT_SHORT } else { CONNECT_LONG };
        Some(ours.min(most))
    }

    /// The number of its balancer among the child's groups.
    pub fn group(&self) -> Option<usize> {
        let group = self.group.load(Ordering::Relaxed);
        (group != NO_GROUP).then_some(group as usize)
    }

    pub fn set_group(&self, group: usize) {
        let group = u32::try_from(group).unwrap_or(NO_GROUP);
        self.group.store(group, Ordering::Relaxed);
    }

    /// Its balancer has got further members.
    pub fn set_has_peers(&self) {
        self.has_peers.store(true, Ordering::Relaxed);
    }
}

fn is_owner(owner: Option<(Tag, String)>, tag: Tag) -> bool {
    owner.is_some_and(|(t, _)| t == tag)
}

/// The classes of the addresses; of those that are not known the one of unknown health.
fn classes(addrs: &[Addr], health: Option<&TargetRecord>) -> Vec<u8> {
    let unknown = AddrHealth::new;
    addrs
        .iter()
        .map(|addr| {
            let known = health.and_then(|t| t.addrs.iter().find(|h| h.addr == *addr));
            known.map_or_else(|| unknown(*addr).class(), AddrHealth::class)
        })
        .collect()
}
