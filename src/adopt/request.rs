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

/// Connections that one attempt is expected to touch at most; more cost an allocation.
const TRACKED: usize = 2;

struct Attempt {
    request: usize,
    /// None: a worker that is not ours, inside an attempt at one that is.
    entry: Option<u32>,
    id: u64,
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

/// The attempt of this thread has a connection, or is over.
fn clear_desk() {
    let _ = DESK.try_with(|desk| desk.get().map(|desk| desk.clear()));
}

/// What the scheme handler's wrapper has to do.
#[derive(PartialEq, Eq, Debug)]
pub enum Enter {
    /// Nothing: let mod_proxy go on.
    Pass,
    /// Run the handlers, then call [`leave`].
    Run,
}

/// An attempt begins: the worker is brought up to date and the attempt noted.
///
/// `remote`: the request goes to another proxy (ProxyRemote), so the worker's addresses are not used.
pub fn enter(child: &Child, request: usize, worker: Worker, remote: bool) -> Enter {
    let entry = child.entry_of(worker).filter(|_| !remote);
    STACK
        .try_with(|stack| {
            let mut stack = stack.borrow_mut();
            // The handlers that the wrapper itself runs come through the wrapper once more.
            if stack.last().is_some_and(|a| a.request == request) {
                return Enter::Pass;
            }
            if entry.is_none() && stack.is_empty() {
                return Enter::Pass;
            }
            if let Some(at) = entry {
                child.refresh_for_request(at);
            }
            stack.push(Attempt {
                request,
                entry,
                id: child.next_attempt(),
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

/// The attempt of [`Enter::Run`] is over: its connections are idle again, unless the handler goes on
/// elsewhere (`suspended`); then they stay in use for good.
pub fn leave(child: &Child, request: usize, suspended: bool) {
    let _ = STACK.try_with(|stack| {
        let mut stack = stack.borrow_mut();
        if stack.last().is_some_and(|a| a.request == request)
            && let Some(attempt) = stack.pop()
        {
            top_changed(&stack);
            clear_desk();
            if let (Some(entry), None) = (attempt.entry, &attempt.touched[0]) {
                child.registry.unseen(entry);
            }
            if suspended {
                return;
            }
            // Spelled out: this runs for every request, and a chain of iterators costs more than it does.
            let [first, second] = &attempt.touched;
            if let Some(conn) = first {
                conn.rest(attempt.id);
            }
            if let Some(conn) = second {
                conn.rest(attempt.id);
                attempt.more.iter().for_each(|conn| conn.rest(attempt.id));
            }
        }
    });
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
        clear_desk();
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
