//! The attempts under way in this thread: which request is at which worker.
//!
//! mod_proxy runs one scheme handler at a time in a thread, but a handler may run sub-requests that
//! run handlers of their own: a stack, keyed by the request.

use std::cell::{Cell, OnceCell, RefCell};
use std::sync::Arc;

use super::child::Child;
use super::desks::Desk;
use super::registry::{Conn, Ended, NO_ATTEMPT};
use crate::ffi::proxy::Worker;
use crate::ffi::request::{Request, Saved};
use crate::logic::addr::Addr;
use crate::logic::retry::Failure;

/// Connections that one attempt is expected to touch at most; more cost an allocation.
const TRACKED: usize = 2;

struct Attempt {
    request: usize,
    /// None: a worker that is not ours, inside an attempt at one that is.
    entry: Option<u32>,
    id: u64,
    /// What the request was like before; None if the worker is not ours.
    saved: Option<Saved>,
    /// How it failed on its connection.
    failure: Option<Failure>,
    touched: [Option<Arc<Conn>>; TRACKED],
    more: Vec<Arc<Conn>>,
}

thread_local! {
    static STACK: RefCell<Vec<Attempt>> = const { RefCell::new(Vec::new()) };
    /// Where the keeper sees attempts of this thread that have no connection yet.
    static DESK: OnceCell<Arc<Desk>> = const { OnceCell::new() };
    /// The number of the attempt on top, if it is at one of our workers.
    static NUMBER: Cell<u64> = const { Cell::new(NO_ATTEMPT) };
}

/// Number of the attempt under way in this thread; [`NO_ATTEMPT`] if none is at one of our workers.
#[inline]
pub fn number() -> u64 {
    NUMBER.get()
}

fn top_changed(stack: &[Attempt]) {
    let ours = stack.last().filter(|a| a.entry.is_some());
    NUMBER.set(ours.map_or(NO_ATTEMPT, |a| a.id));
}

/// Tells the keeper something of the attempt of this thread.
fn at_desk(tell: impl Fn(&Desk)) {
    let _ = DESK.try_with(|desk| desk.get().map(|desk| tell(desk)));
}

/// What the scheme handler's wrapper has to do.
#[derive(PartialEq, Eq, Debug)]
pub enum Enter {
    /// Nothing: the wrapper is at it already.
    Inner,
    /// Nothing: the worker is not ours.
    Pass,
    /// Run the handlers, then call [`leave`].
    Run,
}

/// An attempt begins: the worker is brought up to date and the attempt noted.
///
/// `remote`: the request goes to another proxy (ProxyRemote), so the worker's addresses are not used.
pub fn enter(child: &Child, request: Request, worker: Worker, remote: bool) -> Enter {
    let entry = child.entry_of(worker).filter(|_| !remote);
    STACK
        .try_with(|stack| {
            let mut stack = stack.borrow_mut();
            // The handlers that the wrapper itself runs come through the wrapper once more.
            if stack.last().is_some_and(|a| a.request == request.key()) {
                return Enter::Inner;
            }
            if entry.is_none() && stack.is_empty() {
                return Enter::Pass;
            }
            if let Some(at) = entry {
                child.refresh_for_request(at);
                match request.history() {
                    None => request.env_begin(),
                    Some(history) => request.env_attempts(history.runs().saturating_add(1)),
                }
            }
            stack.push(Attempt {
                request: request.key(),
                entry,
                id: child.next_attempt(),
                saved: entry.map(|_| request.save()),
                failure: None,
                touched: [const { None }; TRACKED],
                more: Vec::new(),
            });
            top_changed(&stack);
            if let (Some(at), Some(attempt)) = (entry, stack.last()) {
                let _ = DESK.try_with(|desk| {
                    let desk = desk.get_or_init(|| child.desks.add());
                    desk.begin(attempt.id, at);
                });
            }
            Enter::Run
        })
        .unwrap_or(Enter::Pass)
}

/// An attempt at one of our workers that is over.
#[derive(Debug)]
pub struct Over {
    pub entry: u32,
    pub saved: Saved,
    /// How it failed on its connection, if it did.
    pub failure: Option<Failure>,
    /// The address it was at last.
    pub peer: Option<Addr>,
}

/// The attempt of [`Enter::Run`] is over: its connections are idle again, unless the handler goes on
/// elsewhere (`suspended`); then they stay in use for good. None for a worker that is not ours.
pub fn leave(child: &Child, request: Request, suspended: bool) -> Option<Over> {
    let left = STACK.try_with(|stack| {
        let mut stack = stack.borrow_mut();
        if stack.last().is_none_or(|a| a.request != request.key()) {
            return None;
        }
        let attempt = stack.pop()?;
        top_changed(&stack);
        at_desk(Desk::leave);
        if let (Some(entry), None) = (attempt.entry, &attempt.touched[0]) {
            child.registry.unseen(entry);
        }
        // Spelled out: this runs for every request, and a chain of iterators costs more than it does.
        let [first, second] = &attempt.touched;
        if let (Some(conn), false) = (first, suspended) {
            conn.rest(attempt.id);
        }
        if let (Some(conn), false) = (second, suspended) {
            conn.rest(attempt.id);
            attempt.more.iter().for_each(|conn| conn.rest(attempt.id));
        }
        let last = attempt.more.last().or(second.as_ref()).or(first.as_ref());
        Some(Over {
            entry: attempt.entry?,
            saved: attempt.saved?,
            failure: attempt.failure,
            peer: last.map(|conn| conn.peer),
        })
    });
    left.ok().flatten()
}

/// The attempt under way in this thread has failed on its connection; the first failure counts.
#[cold]
pub fn note_failure(failure: Failure) {
    let _ = STACK.try_with(|stack| {
        if let Some(attempt) = stack.borrow_mut().last_mut() {
            attempt.failure.get_or_insert(failure);
        }
    });
}

/// The request of the attempt under way in this thread, if it is at one of our workers.
pub fn current_request() -> Option<usize> {
    let top = |stack: &RefCell<Vec<Attempt>>| {
        let stack = stack.borrow();
        let attempt = stack.last()?;
        attempt.entry.and(Some(attempt.request))
    };
    STACK.try_with(top).ok().flatten()
}

/// The entry and number of the attempt under way in this thread, if it is at one of our workers.
pub fn current() -> Option<(u32, u64)> {
    STACK
        .try_with(|stack| {
            let stack = stack.borrow();
            let attempt = stack.last()?;
            Some((attempt.entry?, attempt.id))
        })
        .ok()
        .flatten()
}

/// A connection is used in this thread (or has just been opened). The error: the keeper has shut it
/// down, its next user must see it as ended.
pub fn touch(conn: &Arc<Conn>, opened: bool) -> Result<(), Ended> {
    let id = current().map(|(_, id)| id);
    if conn.touch(id)? || opened {
        at_desk(Desk::clear);
        let _ = STACK.try_with(|stack| {
            let mut stack = stack.borrow_mut();
            let Some(attempt) = stack.last_mut().filter(|_| id.is_some()) else {
                return;
            };
            match attempt.touched.iter_mut().find(|slot| slot.is_none()) {
                Some(slot) => *slot = Some(conn.clone()),
                None => attempt.more.push(conn.clone()),
            }
        });
    }
    Ok(())
}
