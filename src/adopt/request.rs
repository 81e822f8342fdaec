//! The attempts under way in this thread: which request is at which worker.
//!
//! mod_proxy runs one scheme handler at a time in a thread, but a handler may run sub-requests that
//! run handlers of their own: a stack, keyed by the request.

use std::cell::{Cell, OnceCell, RefCell};
use std::mem::{self, ManuallyDrop};
use std::sync::Arc;

use stack::{Attempt, Stack};

use super::child::{self, Child};
use super::desks::Desk;
use super::registry::{Conn, Ended, NO_ATTEMPT};
use crate::ffi::proxy::Worker;
use crate::ffi::request::{Request, Saved};
use crate::logic::addr::Addr;
use crate::logic::retry::Failure;

mod stack;

/// The attempt on top of the stack, for the looks that each request takes often.
struct Top {
    /// Its request; 0 for none.
    request: Cell<usize>,
    /// Its number, if it is at one of our workers.
    number: Cell<u64>,
    /// It takes no pooled connection.
    fresh: Cell<bool>,
    /// The worker of the last attempt and its entry: most often the next one's, too.
    worker: Cell<usize>,
    entry: Cell<Option<u32>>,
    /// How many workers had come at run time then.
    late: Cell<usize>,
}

/// What one thread knows of its attempts. In one piece: in a library that was loaded at run time each look for a
/// thread's own variable is a call.
struct Here {
    top: Top,
    stack: ManuallyDrop<RefCell<Stack>>,
    /// Where the keeper sees attempts of this thread that have no connection yet.
    desk: ManuallyDrop<OnceCell<Arc<Desk>>>,
}

impl Drop for Here {
    fn drop(&mut self) {
        // prefork ends a child inside a signal handler, with exit(3), which brings us here: what the signal has
        // interrupted may be half done, the allocator too.
        if !child::current().is_some_and(Child::is_closing) {
            drop(mem::take(&mut *self.stack));
            drop(mem::take(&mut *self.desk));
        }
    }
}

thread_local! {
    static HERE: Here = const {
        Here {
            top: Top::new(),
            stack: ManuallyDrop::new(RefCell::new(Stack::new())),
            desk: ManuallyDrop::new(OnceCell::new()),
        }
    };
}

/// Number of the attempt under way in this thread; [`NO_ATTEMPT`] if none is at one of our workers.
#[inline]
pub fn number() -> u64 {
    HERE.try_with(|here| here.top.number.get())
        .unwrap_or(NO_ATTEMPT)
}

/// Whether the request of the attempt under way had a body before it, if that may not show any more.
#[cold]
pub fn had_body() -> bool {
    let had = |here: &Here| {
        let stack = here.stack.borrow();
        let ours = stack.last().filter(|attempt| attempt.entry.is_some());
        ours.is_some_and(|attempt| attempt.saved.has_body())
    };
    HERE.try_with(had).unwrap_or(true)
}

/// The request of the attempt under way in this thread, if it is at one of our workers.
pub fn current_request() -> Option<usize> {
    HERE.try_with(|here| here.top.request_at_ours()).ok()?
}

impl Top {
    const fn new() -> Self {
        Self {
            request: Cell::new(0),
            number: Cell::new(NO_ATTEMPT),
            fresh: Cell::new(false),
            worker: Cell::new(0),
            entry: Cell::new(None),
            late: Cell::new(0),
        }
    }

    fn request_at_ours(&self) -> Option<usize> {
        (self.number.get() != NO_ATTEMPT).then(|| self.request.get())
    }

    fn show(&self, last: Option<&Attempt>) {
        let ours = last.filter(|a| a.entry.is_some());
        self.request.set(last.map_or(0, |a| a.request));
        self.number.set(ours.map_or(NO_ATTEMPT, |a| a.id));
        self.fresh.set(ours.is_some_and(|a| a.rescues));
    }

    /// The worker's entry, if it is live.
    #[inline]
    fn entry_of(&self, child: &Child, worker: Worker) -> Option<u32> {
        let same = self.worker.get() == worker.key();
        if let (true, Some(entry)) = (same, self.entry.get()) {
            return Some(entry);
        }
        // One that is not live may be so a moment later, when it came at run time.
        let late = child.entries.late_count();
        if !same || self.late.get() != late {
            self.worker.set(worker.key());
            self.entry.set(child.entry_of(worker));
            self.late.set(late);
        }
        self.entry.get()
    }
}

/// What the scheme handler's wrapper has to do.
#[derive(PartialEq, Eq, Debug)]
pub enum Enter {
    /// Nothing: the wrapper is at it already.
    Inner,
    /// Nothing: the worker is not ours.
    Pass,
    /// Run the handlers, then call [`leave`]. `hold`: under the control of [`crate::ffi::hold`].
    Run { hold: bool },
}

/// An attempt begins: the worker is brought up to date and the attempt noted.
///
/// `remote`: the request goes to another proxy (ProxyRemote), so the worker's addresses are not used.
pub fn enter(child: &Child, request: Request, worker: Worker, remote: bool) -> Enter {
    let enter = |here: &Here| enter_at(here, child, request, worker, remote);
    HERE.try_with(enter).unwrap_or(Enter::Pass)
}

#[inline]
fn enter_at(here: &Here, child: &Child, request: Request, worker: Worker, remote: bool) -> Enter {
    let top = here.top.request.get();
    // The handlers that the wrapper itself runs come through the wrapper once more.
    if top == request.key() {
        return Enter::Inner;
    }
    let entry = here.top.entry_of(child, worker).filter(|_| !remote);
    let history = request.history();
    let rescued = history.as_ref().is_some_and(|h| h.is_rescued());
    if entry.is_none() && top == 0 && !rescued {
        return Enter::Pass;
    }
    if let Some(at) = entry {
        child.refresh_for_request(at);
        if let Some(history) = &history {
            request.env_attempts(history.runs().saturating_add(1));
        }
    }
    let desk = entry.map(|at| (at, here.desk.get_or_init(|| child.desks.add())));
    let mut stack = here.stack.borrow_mut();
    let attempt = stack.push();
    attempt.request = request.key();
    attempt.entry = entry;
    attempt.again = history.is_some();
    attempt.rescues = rescued && !entry.is_some_and(|at| child.observes(at));
    attempt.rescued = rescued;
    attempt.id = child.next_attempt();
    here.top.show(Some(attempt));
    if let Some((at, desk)) = desk {
        request.save(&mut attempt.saved);
        desk.begin(attempt.id, at);
    }
    let hold = entry.is_some_and(|at| child.holds(at));
    Enter::Run { hold }
}

/// An attempt at one of our workers that is over.
#[derive(Debug)]
pub struct Over {
    pub entry: u32,
    /// What the request was like before it.
    pub saved: Saved,
    /// How it failed on its connection, if it did.
    pub failure: Option<Failure>,
    /// The address it was at last.
    pub peer: Option<Addr>,
}

impl Over {
    #[cold]
    fn of(attempt: &Attempt, entry: u32, peer: Option<Addr>) -> Box<Self> {
        Box::new(Self {
            entry,
            saved: attempt.saved,
            failure: attempt.failure,
            peer,
        })
    }
}

/// The attempt of [`Enter::Run`] is over: its connections are idle again, unless the handler goes on
/// elsewhere ([`How::Suspended`]); then they stay in use for good. None for a worker that is not ours, and
/// for an attempt that succeeded.
pub fn leave(child: &Child, request: Request, how: How) -> Option<Box<Over>> {
    let leave = |here: &Here| {
        let mut stack = here.stack.borrow_mut();
        let attempt = stack.last().filter(|a| a.request == request.key())?;
        let over = over(child, request, attempt, how);
        stack.pop();
        here.top.show(stack.last());
        if let Some(desk) = here.desk.get() {
            desk.leave();
        }
        over
    };
    HERE.try_with(leave).ok().flatten()
}

/// A step of this request has failed in the midst, so nobody may call [`leave`]: whoever looks for the request of
/// the attempt under way in this thread would find one that has ended long ago.
#[cold]
pub fn abandon(request: usize) {
    let _ = HERE.try_with(|here| {
        let mut stack = here.stack.borrow_mut();
        stack.remove(request);
        here.top.show(stack.last());
        if let Some(desk) = here.desk.get() {
            desk.leave();
        }
    });
}

/// How a handler has returned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How {
    Succeeded,
    Failed,
    Suspended,
}

#[inline]
fn over(child: &Child, request: Request, attempt: &Attempt, how: How) -> Option<Box<Over>> {
    if attempt.rescued && how == How::Succeeded {
        child.count_rescued(request);
    }
    let entry = attempt.entry?;
    let suspended = how == How::Suspended;
    let Some(first) = &attempt.touched[0] else {
        child.registry.unseen(entry);
        if request.history().is_none() {
            request.env_begin();
        }
        return (how != How::Succeeded).then(|| Over::of(attempt, entry, None));
    };
    // mod_proxy_http calls it a success when it drops the client's connection because nothing came.
    let dropped = how == How::Succeeded
        && attempt.failure.is_some_and(|failure| !failure.begun)
        && child.would_rescue(entry)
        && !request.has_status();
    let how = if dropped { How::Failed } else { how };
    if how == How::Succeeded {
        child.succeeded(entry);
    }
    // Spelled out: this runs for every request, and a chain of iterators costs more than it does.
    let mut last = first;
    if !suspended {
        first.rest(attempt.id);
    }
    if let Some(second) = &attempt.touched[1] {
        last = attempt.more.last().unwrap_or(second);
        if !suspended {
            second.rest(attempt.id);
            attempt.more.iter().for_each(|conn| conn.rest(attempt.id));
        }
    }
    (how != How::Succeeded).then(|| Over::of(attempt, entry, Some(last.peer)))
}

/// The attempt under way in this thread has failed on its connection; the first failure counts.
#[cold]
pub fn note_failure(failure: Failure) {
    let _ = HERE.try_with(|here| {
        if let Some(attempt) = here.stack.borrow_mut().last_mut() {
            attempt.failure.get_or_insert(failure);
        }
    });
}

/// The connection that the attempt under way in this thread has used last.
pub fn last_conn() -> Option<Arc<Conn>> {
    let last = |here: &Here| {
        let stack = here.stack.borrow();
        let attempt = stack.last()?;
        let [first, second] = &attempt.touched;
        attempt
            .more
            .last()
            .or(second.as_ref())
            .or(first.as_ref())
            .cloned()
    };
    HERE.try_with(last).ok().flatten()
}

/// Whether [`note_failure`] was called in the attempt under way in this thread.
#[cold]
pub fn has_failed() -> bool {
    let failed = |here: &Here| {
        let stack = here.stack.borrow();
        stack.last().is_some_and(|a| a.failure.is_some())
    };
    HERE.try_with(failed).unwrap_or(false)
}

/// The entry and number of the attempt under way in this thread, if it is at one of our workers.
pub fn current() -> Option<(u32, u64)> {
    let top = |here: &Here| {
        let stack = here.stack.borrow();
        let attempt = stack.last()?;
        Some((attempt.entry?, attempt.id))
    };
    HERE.try_with(top).ok().flatten()
}

/// A connection that the attempt under way in this thread has not used before.
#[derive(Debug)]
pub struct Touched {
    /// The attempt's request; None if there is no attempt at one of our workers.
    pub request: Option<usize>,
    /// The first connection of the request's first attempt.
    pub first: bool,
    /// The request had a body before the attempt, if that may not show any more.
    pub had_body: bool,
}

/// A connection is used in this thread (or has just been opened); None when that is known. The error: the keeper
/// has shut it down, its next user must see it as ended.
#[inline]
pub fn touch(
    conn: &Conn,
    arc: impl FnOnce() -> Arc<Conn>,
    opened: bool,
) -> Result<Option<Touched>, Ended> {
    let touch = |here: &Here| touch_at(here, conn, arc, opened);
    HERE.try_with(touch).unwrap_or(Ok(None))
}

#[inline]
fn touch_at(
    here: &Here,
    conn: &Conn,
    arc: impl FnOnce() -> Arc<Conn>,
    opened: bool,
) -> Result<Option<Touched>, Ended> {
    let id = here.top.number.get();
    if conn.is_used_by(id) && !opened {
        return Ok(None);
    }
    // Other pooled connections may have met the end of the one that failed, also those to other members (all
    // were left idle as long): a rescue dials.
    if here.top.fresh.get() && !opened {
        return Err(Ended);
    }
    let ours = (id != NO_ATTEMPT).then_some(id);
    if !(conn.touch(ours)? || opened) {
        return Ok(None);
    }
    let request = here.top.request_at_ours();
    if request.is_none() {
        return Ok(Some(Touched {
            request,
            first: false,
            had_body: false,
        }));
    }
    if let Some(desk) = here.desk.get() {
        desk.clear();
    }
    let mut stack = here.stack.borrow_mut();
    let Some(attempt) = stack.last_mut() else {
        return Ok(None);
    };
    let first = attempt.touched[0].is_none() && !attempt.again;
    attempt.add(arc());
    Ok(Some(Touched {
        request,
        first,
        had_body: attempt.saved.has_body(),
    }))
}

#[cfg(test)]
mod tests;
