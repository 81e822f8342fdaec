//! The sockets of this child to backends of live workers.
//!
//! A connection is idle (in mod_proxy's pool), in use by an attempt, or closed by us. The step from
//! idle to either is one compare-and-swap, so a connection that a request picks is never shut down
//! under it, and one that was shut down is never used by a request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

pub use texts::Text;
pub use wait::Wait;

use crate::logic::addr::Addr;

mod texts;
mod wait;

const IDLE: u64 = 0;
const CLOSED: u64 = u64::MAX;
/// In use by something that is no attempt we know; never shut down.
const UNKNOWN: u64 = 1;
/// No attempt: no connection is ever in this state.
pub const NO_ATTEMPT: u64 = u64::MAX - 1;
/// The first number for an attempt.
pub const FIRST_ATTEMPT: u64 = 2;
/// Connections opened that the keeper has not counted yet; more are not needed to see the balance.
const OPENED_MAX: usize = 65_536;
/// The keeper looks at an attempt so often (for some 5 s) each time it comes by, and then each so many times.
const OFTEN: u32 = 40;
const SELDOM: u32 = 8;
/// Entries looked at under one hold of the lock.
const BATCH: usize = 64;

/// One connection to a backend.
#[derive(Debug)]
pub struct Conn {
    state: AtomicU64,
    /// Index of the worker's entry in this child.
    pub entry: u32,
    pub peer: Addr,
    pub port: u16,
    pub fd: i32,
    /// `peer` and `port` as text, for the environment.
    pub text: Text,
    /// Address of httpd's record of the connection; 0 when that has ended.
    record: AtomicUsize,
    /// The kernel's patience with unacknowledged data is limited.
    limited: AtomicBool,
    /// More than one attempt has used it.
    reused: AtomicBool,
    /// The keeper has ended the attempt on it: its peer is gone.
    ended: AtomicBool,
    /// The attempt whose silence was told already, and how much of it.
    told: AtomicU64,
    told_silence: AtomicU8,
    /// How often the keeper has looked at that attempt.
    looks: AtomicU32,
    /// The attempt that would have been ended, had its worker not been observed only.
    imagined: AtomicU64,
    /// Whether the request on it may be taken away.
    pub wait: Wait,
}

/// How silent the peer of a connection in use is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Silence {
    None,
    /// A request has been without the first byte of an answer for a while.
    Answer,
    /// The peer does not even acknowledge that it was asked whether it is there.
    Total,
}

/// The connection was shut down by the keeper: it must be treated as ended.
#[derive(PartialEq, Eq, Debug)]
pub struct Ended;

impl Conn {
    /// A connection just opened by `attempt` (None: by something unknown).
    pub fn new(
        entry: u32,
        peer: Addr,
        port: u16,
        fd: i32,
        attempt: Option<u64>,
        record: usize,
    ) -> Self {
        Self {
            state: AtomicU64::new(attempt.unwrap_or(UNKNOWN)),
            entry,
            peer,
            port,
            fd,
            text: Text::of(peer, port),
            record: AtomicUsize::new(record),
            limited: AtomicBool::new(false),
            reused: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            told: AtomicU64::new(IDLE),
            told_silence: AtomicU8::new(0),
            looks: AtomicU32::new(0),
            imagined: AtomicU64::new(IDLE),
            wait: Wait::default(),
        }
    }

    /// In use by `attempt` already: nothing needs to be done. One load, for the filter that runs for
    /// each line of an answer.
    ///
    /// Another attempt's number is not enough: the last user puts the connection to rest only after it
    /// went back to mod_proxy's pool, where its next user may have got it already.
    #[inline]
    pub fn is_used_by(&self, attempt: u64) -> bool {
        self.state.load(Ordering::Acquire) == attempt
    }

    /// Marks the connection as used by `attempt`. Ok(true): it was not before.
    pub fn touch(&self, attempt: Option<u64>) -> Result<bool, Ended> {
        let mine = attempt.unwrap_or(UNKNOWN);
        let mut seen = self.state.load(Ordering::Acquire);
        loop {
            if seen == mine {
                return Ok(false);
            }
            if seen == CLOSED {
                return Err(Ended);
            }
            match self
                .state
                .compare_exchange(seen, mine, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => return Ok(true),
                Err(now) => seen = now,
            }
        }
    }

    /// The attempt is over: idle again, unless another attempt has it already.
    pub fn rest(&self, attempt: u64) {
        let _ = self
            .state
            .compare_exchange(attempt, IDLE, Ordering::AcqRel, Ordering::Relaxed);
    }

    /// The attempt that uses it, if one does.
    fn user(&self) -> Option<u64> {
        let state = self.state.load(Ordering::Acquire);
        (FIRST_ATTEMPT..NO_ATTEMPT)
            .contains(&state)
            .then_some(state)
    }

    /// An attempt uses it.
    pub fn is_used(&self) -> bool {
        self.user().is_some()
    }

    /// Address of httpd's record of the connection, for the thread that uses it; 0 when that has ended.
    pub fn record(&self) -> usize {
        self.record.load(Ordering::Relaxed)
    }

    /// The record is about to end.
    pub fn forget_record(&self) {
        self.record.store(0, Ordering::Relaxed);
    }

    /// Whether data may stay unacknowledged on it for a limited time only.
    pub fn is_limited(&self) -> bool {
        self.limited.load(Ordering::Relaxed)
    }

    pub fn set_limited(&self, limited: bool) {
        self.limited.store(limited, Ordering::Relaxed);
    }

    /// Another attempt has used it before.
    pub fn is_reused(&self) -> bool {
        self.reused.load(Ordering::Relaxed)
    }

    pub fn set_reused(&self) {
        self.reused.store(true, Ordering::Relaxed);
    }

    /// The keeper has ended it while it was in use.
    pub fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// The attempt on it would have been ended: true the first time.
    pub fn imagine_end(&self) -> bool {
        let user = self.user();
        user.is_some_and(|user| self.imagined.swap(user, Ordering::Relaxed) != user)
    }

    /// The keeper comes by while an attempt uses it.
    fn pass(&self, user: u64) {
        if self.told.swap(user, Ordering::Relaxed) != user {
            self.told_silence.store(0, Ordering::Relaxed);
            self.looks.store(0, Ordering::Relaxed);
        }
        self.looks.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether it is worth a look this time: what has been going on for long (a tunnel) seldom is.
    pub fn is_due(&self) -> bool {
        let looks = self.looks.load(Ordering::Relaxed);
        looks <= OFTEN || looks.is_multiple_of(SELDOM)
    }

    /// Whether this silence was not told yet of the attempt.
    fn is_news(&self, silence: Silence) -> bool {
        let told = self.told_silence.load(Ordering::Relaxed);
        // A peer that is heard again may fall silent once more; that the answer is awaited is told once.
        let now = (silence as u8).max(told.min(Silence::Answer as u8));
        self.told_silence.store(now, Ordering::Relaxed);
        silence as u8 > told
    }

    fn close_if_idle(&self) -> bool {
        self.state
            .compare_exchange(IDLE, CLOSED, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    fn is_closed(&self) -> bool {
        self.state.load(Ordering::Acquire) == CLOSED
    }
}

#[derive(Default, Debug)]
struct Inner {
    conns: Vec<Arc<Conn>>,
    opened: Vec<(u32, Option<Addr>)>,
}

/// All connections of one child.
#[derive(Default, Debug)]
pub struct Registry(Mutex<Inner>);

impl Inner {
    fn note_opened(&mut self, entry: u32, addr: Option<Addr>) {
        if self.opened.len() < OPENED_MAX {
            self.opened.push((entry, addr));
        }
    }
}

/// What a sweep found.
#[derive(Default, PartialEq, Eq, Debug)]
pub struct Swept {
    /// Idle ones shut down now.
    pub closed: usize,
    /// Unwanted ones still in use: look again later.
    pub in_use: usize,
}

impl Registry {
    pub fn add(&self, conn: Arc<Conn>) {
        let mut inner = self.0.lock();
        inner.note_opened(conn.entry, Some(conn.peer));
        inner.conns.push(conn);
    }

    /// An attempt at this entry has ended without any connection of the registry: the handler makes no
    /// connection records (fcgi, ajp, scgi), or nothing could be opened.
    pub fn unseen(&self, entry: u32) {
        self.0.lock().note_opened(entry, None);
    }

    /// Must run before the descriptor is closed.
    pub fn remove(&self, conn: &Conn) {
        let mut inner = self.0.lock();
        let at = inner.conns.iter().position(|c| std::ptr::eq(&**c, conn));
        if let Some(at) = at {
            inner.conns.swap_remove(at);
        }
    }

    /// Connections opened since the last call: entry, and address if it was seen.
    pub fn take_opened(&self) -> Vec<(u32, Option<Addr>)> {
        std::mem::take(&mut self.0.lock().opened)
    }

    /// Looks for attempts without an answer: whether any connection is in use, and the entries of those
    /// that `silence` (called while the descriptor cannot be closed by others) says so of, each attempt
    /// once for each degree, with that.
    pub fn silent(&self, silence: impl Fn(&Conn) -> Silence) -> (bool, Vec<(u32, Silence)>) {
        let (mut used, mut entries) = (false, Vec::new());
        let mut at = 0;
        loop {
            let inner = self.0.lock();
            for conn in inner.conns.iter().skip(at).take(BATCH) {
                let Some(user) = conn.user() else { continue };
                used = true;
                conn.pass(user);
                if !conn.is_due() {
                    continue;
                }
                let degree = silence(conn);
                if conn.is_news(degree) {
                    entries.push((conn.entry, degree));
                }
            }
            at += BATCH;
            if at >= inner.conns.len() {
                entries.sort_unstable();
                entries.dedup();
                return (used, entries);
            }
        }
    }

    /// Ends attempts whose peer `is_gone`: `shutdown` gets their connections, as does `sweep`'s. Returns their
    /// entries, once for each.
    pub fn end(&self, is_gone: impl Fn(&Conn) -> bool, shutdown: impl Fn(&Conn)) -> Vec<u32> {
        let (mut ended, mut at) = (Vec::new(), 0);
        loop {
            let inner = self.0.lock();
            for conn in inner.conns.iter().skip(at).take(BATCH) {
                if conn.is_used() && !conn.is_ended() && is_gone(conn) {
                    conn.ended.store(true, Ordering::Release);
                    shutdown(conn);
                    ended.push(conn.entry);
                }
            }
            at += BATCH;
            if at >= inner.conns.len() {
                return ended;
            }
        }
    }

    /// Takes requests away from backends that hang. `may` says of a connection whether, and pays for it; the rest
    /// is as in [`Registry::end`].
    pub fn take_away(&self, may: impl Fn(&Conn) -> bool, shutdown: impl Fn(&Conn)) -> Vec<u32> {
        let is_gone = |conn: &Conn| may(conn) && conn.wait.take_away();
        self.end(is_gone, shutdown)
    }

    /// Shuts down idle connections whose address is not wanted any more. `shutdown` gets each of them
    /// while its descriptor cannot be closed by others.
    pub fn sweep(&self, wanted: impl Fn(u32, &Addr) -> bool, shutdown: impl Fn(&Conn)) -> Swept {
        let mut swept = Swept::default();
        let mut at = 0;
        loop {
            let inner = self.0.lock();
            // Entries that swap_remove moved in between are seen at the next sweep.
            for conn in inner.conns.iter().skip(at).take(BATCH) {
                if conn.is_closed() || wanted(conn.entry, &conn.peer) {
                    continue;
                }
                if conn.close_if_idle() {
                    shutdown(conn);
                    swept.closed += 1;
                } else {
                    swept.in_use += 1;
                }
            }
            at += BATCH;
            if at >= inner.conns.len() {
                return swept;
            }
        }
    }
}

#[cfg(test)]
mod tests;
