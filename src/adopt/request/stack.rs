//! The attempts under way in a thread, the innermost last.

use std::sync::Arc;

use crate::adopt::registry::Conn;
use crate::ffi::request::Saved;
use crate::logic::retry::Failure;

/// Connections that one attempt is expected to touch at most; more cost an allocation.
const TRACKED: usize = 2;

/// One attempt; its place on the stack is used again, so that each request writes only what differs.
#[derive(Default)]
pub(super) struct Attempt {
    pub(super) request: usize,
    /// None: a worker that is not ours, inside an attempt at one that is.
    pub(super) entry: Option<u32>,
    /// Not the request's first.
    pub(super) again: bool,
    /// It rescues the request.
    pub(super) rescues: bool,
    /// The request was rescued, and is counted when it is answered.
    pub(super) rescued: bool,
    pub(super) id: u64,
    /// What the request was like before, if the worker is ours.
    pub(super) saved: Saved,
    /// How it failed on its connection.
    pub(super) failure: Option<Failure>,
    pub(super) touched: [Option<Arc<Conn>>; TRACKED],
    pub(super) more: Vec<Arc<Conn>>,
}

impl Attempt {
    /// It uses this connection, too.
    pub(super) fn add(&mut self, conn: Arc<Conn>) {
        let [first, second] = &mut self.touched;
        if first.is_none() {
            *first = Some(conn);
        } else if second.is_none() {
            *second = Some(conn);
        } else {
            self.more.push(conn);
        }
    }

    /// It is over: lets go of its connections.
    pub(super) fn clear(&mut self) {
        self.failure = None;
        self.touched[0] = None;
        if self.touched[1].is_some() {
            self.touched[1] = None;
            self.more.clear();
        }
    }
}

/// The attempts under way, the innermost last.
#[derive(Default)]
pub(super) struct Stack {
    places: Vec<Attempt>,
    depth: usize,
}

impl Stack {
    pub(super) const fn new() -> Self {
        Self {
            places: Vec::new(),
            depth: 0,
        }
    }

    pub(super) fn last(&self) -> Option<&Attempt> {
        self.places.get(self.depth.wrapping_sub(1))
    }

    pub(super) fn last_mut(&mut self) -> Option<&mut Attempt> {
        self.places.get_mut(self.depth.wrapping_sub(1))
    }

    /// A place for one more, as [`Attempt::clear`] left it.
    pub(super) fn push(&mut self) -> &mut Attempt {
        let at = self.depth;
        self.depth += 1;
        if at == self.places.len() {
            self.places.push(Attempt::default());
        }
        &mut self.places[at]
    }

    pub(super) fn pop(&mut self) {
        if let Some(attempt) = self.last_mut() {
            attempt.clear();
            self.depth -= 1;
        }
    }

    /// Takes all attempts of a request off.
    pub(super) fn remove(&mut self, request: usize) {
        self.places.truncate(self.depth);
        self.places.retain(|attempt| attempt.request != request);
        self.depth = self.places.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logic::addr::Addr;
    use std::net::Ipv4Addr;

    fn conn() -> Arc<Conn> {
        let peer = Addr::v4(Ipv4Addr::LOCALHOST);
        Arc::new(Conn::new(0, peer, 80, -1, None, 0))
    }

    /// Its connections are let go of, and nothing of the last attempt is seen by the next one.
    #[test]
    fn a_place_is_used_again() {
        let (mut stack, conns) = (Stack::new(), [conn(), conn(), conn()]);
        let attempt = stack.push();
        conns.iter().for_each(|conn| attempt.add(conn.clone()));
        assert_eq!(attempt.more.len(), 1);
        stack.pop();
        assert!(stack.last().is_none());
        assert!(conns.iter().all(|conn| Arc::strong_count(conn) == 1));
        let attempt = stack.push();
        assert!(attempt.touched.iter().all(Option::is_none));
        assert!(attempt.more.is_empty() && attempt.failure.is_none());
    }

    #[test]
    fn attempts_of_one_request_go_from_the_midst() {
        let mut stack = Stack::new();
        for request in [64, 128, 64, 192] {
            stack.push().request = request;
        }
        stack.pop();
        stack.remove(64);
        assert_eq!(stack.last().map(|a| a.request), Some(128));
        stack.pop();
        stack.pop();
        assert!(stack.last().is_none());
        stack.remove(1);
    }
}
