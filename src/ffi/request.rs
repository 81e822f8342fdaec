//! A view of the request that is being proxied.

use std::cell::Cell;
use std::ffi::CStr;
use std::marker::PhantomData;

use super::proxy::Worker;
use super::{module, sys};
use crate::adopt::registry::Text;
use crate::logic::retry;

/// httpd's request during one of its hooks: only the hook's own thread has it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'hook> {
    raw: *mut sys::request_rec,
    hook: PhantomData<&'hook ()>,
}

/// What an attempt changes in its request and a further attempt needs back.
#[derive(Clone, Copy, Default, Debug)]
pub struct Saved(sys::live_saved);

impl Saved {
    /// Whether the request had a body then, if it may not show any more.
    pub fn has_body(&self) -> bool {
        self.0.has_body != 0
    }
}

impl Request<'_> {
    /// # Safety
    /// `raw` is a request that lives, and is used by no other thread, for as long as the view is used.
    pub(super) const unsafe fn new(raw: *mut sys::request_rec) -> Self {
        Self {
            raw,
            hook: PhantomData,
        }
    }

    pub(super) const fn raw(self) -> *mut sys::request_rec {
        self.raw
    }

    /// Tells requests apart.
    pub fn key(self) -> usize {
        self.raw as usize
    }

    /// Whether RFC 9110 section 9.2.2 calls its method idempotent.
    pub fn is_idempotent(self) -> bool {
        // SAFETY: the request lives (see `new`); its method is a C string.
        let method = unsafe { CStr::from_ptr((*self.raw).method) };
        method.to_str().is_ok_and(retry::is_idempotent)
    }

    /// Whether its method lets it be taken away from a backend that hangs.
    pub fn may_be_moved(self) -> bool {
        // SAFETY: as above.
        let method = unsafe { CStr::from_ptr((*self.raw).method) };
        method.to_str().is_ok_and(retry::may_be_moved)
    }

    /// Whether it has a body, or may have one.
    pub fn has_body(self) -> bool {
        // SAFETY: the request lives and is this thread's (see `new`).
        unsafe { sys::live_request_has_body(self.raw) != 0 }
    }

    /// Whether it has a body that nothing was sent of, after a backend has left an `Expect: 100-continue`
    /// without an answer.
    pub fn body_is_unsent(self) -> bool {
        // SAFETY: as above.
        unsafe { sys::live_request_body_is_unsent(self.raw) != 0 }
    }

    /// Whether more than a header may be sent: a body, or what a tunnel carries.
    pub fn may_have_body(self) -> bool {
        // SAFETY: as above.
        unsafe { sys::live_request_may_have_body(self.raw) != 0 }
    }

    /// Whether its client gets only a part of the answer that has begun.
    pub fn is_cut(self) -> bool {
        // SAFETY: as above.
        unsafe { sys::live_request_is_cut(self.raw) != 0 }
    }

    /// Whether it asks for another protocol (a WebSocket).
    pub fn upgrades(self) -> bool {
        // SAFETY: as above.
        unsafe { sys::live_request_upgrades(self.raw) != 0 }
    }

    /// Whether something of the final response has gone to the client.
    pub fn is_answered(self) -> bool {
        // SAFETY: as above.
        unsafe { sys::live_request_is_answered(self.raw) != 0 }
    }

    /// Whether it belongs to a session of this member (`stickysession`).
    pub fn is_in_session_of(self, worker: Worker) -> bool {
        // SAFETY: as above; mod_proxy's own worker.
        unsafe { sys::live_request_is_in_session_of(self.raw, worker.raw()) != 0 }
    }

    /// Whether the status of this attempt was sent by the backend itself (`ProxyErrorOverride`).
    pub fn has_backends_answer(self) -> bool {
        // SAFETY: as above.
        unsafe { sys::live_is_backends_answer(self.raw) != 0 }
    }

    /// Whether this attempt has brought a status line.
    pub fn has_status(self) -> bool {
        // SAFETY: as above.
        unsafe { sys::live_request_has_status(self.raw) != 0 }
    }

    /// Whether that was one of a final answer.
    pub fn has_final_status(self) -> bool {
        // SAFETY: as above.
        unsafe { sys::live_request_has_final_status(self.raw) != 0 }
    }

    /// Notes what [`Request::reset`] needs, before an attempt.
    pub fn save(self, saved: &mut Saved) {
        // SAFETY: as above; `saved` is written to.
        unsafe { sys::live_request_save(self.raw, &mut saved.0) };
    }

    /// Makes the request as it was before the attempt, as far as httpd allows: not after an answer has begun.
    pub fn reset(self, saved: &Saved) {
        // SAFETY: as above; what is put back came from the same request.
        unsafe { sys::live_request_reset(self.raw, &saved.0) };
    }

    /// The attempt did not end by a time-out, although mod_proxy_http believes so.
    pub fn forget_timeout(self) {
        // SAFETY: as above.
        unsafe { sys::live_request_forget_timeout(self.raw) };
    }

    /// What is remembered of the attempts of this request that failed; None before the first.
    pub fn history<'a>(self) -> Option<&'a History>
    where
        Self: 'a,
    {
        // SAFETY: as above, and so does the vector of the modules' configurations, in which this module has the
        // place that httpd gave it (ap_get_module_config). What is there lives in the request's pool and is used by
        // this thread only. History is transparent and a cell, so any number of references may look at it.
        unsafe {
            let places = (*self.raw).request_config.cast::<*const History>();
            (*places.add(module::index())).as_ref()
        }
    }

    /// The same, made if there is none.
    pub fn make_history<'a>(self) -> &'a History
    where
        Self: 'a,
    {
        // SAFETY: as in `history`; the pool's memory is never NULL (httpd aborts without memory).
        unsafe { &*sys::live_request_make(self.raw).cast::<History>() }
    }

    /// Environment of a first attempt with a connection to `addr`, a text that most often needs no copy.
    pub fn env_first(self, addr: &Text) {
        let copied = match addr {
            Text::Kept(_) => 0,
            Text::Own(text) => text.as_bytes_with_nul().len() as sys::apr_size_t,
        };
        // SAFETY: the request lives and is this thread's (see `new`); the text lives for ever, or its bytes with
        // their end are copied.
        unsafe { sys::live_env_first(self.raw, addr.as_ref().as_ptr(), copied) }
    }

    /// Environment of a first attempt without a connection.
    pub fn env_begin(self) {
        // SAFETY: the request lives and is this thread's (see `new`).
        unsafe { sys::live_env_begin(self.raw) }
    }

    /// Has [`crate::rescue::take_back`] called when the request ends, whatever way.
    pub fn watch_end(self) {
        // SAFETY: as above.
        unsafe { sys::live_request_watch_end(self.raw) }
    }

    /// Sets `LIVE_ATTEMPTS`.
    pub fn env_attempts(self, attempts: i32) {
        // SAFETY: as above.
        unsafe { sys::live_env_attempts(self.raw, attempts) }
    }

    /// Sets `LIVE_ADDR`.
    pub fn env_addr(self, addr: &CStr) {
        // SAFETY: as above; the text is copied.
        unsafe { sys::live_env_addr(self.raw, addr.as_ptr()) }
    }

    /// Sets `LIVE_RESCUE`.
    pub fn env_rescue(self, reason: &'static CStr) {
        // SAFETY: as above; a constant lives longer than the request.
        unsafe { sys::live_env_rescue(self.raw, reason.as_ptr()) }
    }
}

/// What is remembered of a request between its attempts.
#[repr(transparent)]
#[derive(Debug)]
pub struct History(Cell<sys::live_request>);

impl History {
    fn change(&self, change: impl FnOnce(&mut sys::live_request)) {
        let mut now = self.0.get();
        change(&mut now);
        self.0.set(now);
    }

    /// Attempts that have not succeeded.
    pub fn runs(&self) -> i32 {
        self.0.get().runs
    }

    /// Those of them that mod_proxy's loop began.
    pub fn turns(&self) -> i32 {
        self.0.get().turns
    }

    /// One more attempt has failed; `turn`: mod_proxy's loop began it.
    pub fn add_run(&self, turn: bool) {
        self.change(|now| {
            now.runs = now.runs.saturating_add(1);
            now.turns = now.turns.saturating_add(turn.into());
        });
    }

    pub fn is_rescued(&self) -> bool {
        self.0.get().rescued != 0
    }

    /// A body was seen before one of the attempts.
    pub fn has_body(&self) -> bool {
        self.0.get().has_body != 0
    }

    pub fn note_body(&self, has_body: bool) {
        self.change(|now| now.has_body |= i32::from(has_body));
    }

    /// The status for the client instead of 502; 0 for none.
    pub fn shown(&self) -> i32 {
        self.0.get().shown
    }

    pub fn set_shown(&self, status: i32) {
        self.change(|now| now.shown = status);
    }

    /// It leaves the worker of this entry for another attempt.
    pub fn set_rescued(&self, entry: u32) {
        let number = i32::try_from(entry).map_or(i32::MAX, |n| n.saturating_add(1));
        self.change(|now| now.rescued = number);
    }

    /// The entry of the worker that it left.
    pub fn rescued_from(&self) -> Option<u32> {
        u32::try_from(self.0.get().rescued.checked_sub(1)?).ok()
    }

    /// mod_proxy is about to put this member into error for nothing.
    pub fn set_provoked(&self, worker: Worker) {
        self.change(|now| now.provoked = worker.raw());
    }

    /// The member that is in error for nothing.
    pub fn provoked(&self) -> Option<Worker> {
        let worker = self.0.get().provoked;
        (!worker.is_null()).then(|| Worker::new(worker))
    }

    /// mod_proxy is about to put this member into error, as it deserves.
    pub fn set_leaving(&self, worker: Worker) {
        self.change(|now| now.leaving = worker.raw());
    }

    /// The same, once.
    pub fn take_leaving(&self) -> Option<Worker> {
        let worker = self.0.get().leaving;
        self.change(|now| now.leaving = std::ptr::null_mut());
        (!worker.is_null()).then(|| Worker::new(worker))
    }

    /// The member to take out of error again, once.
    pub fn take_provoked(&self) -> Option<Worker> {
        let worker = self.provoked();
        self.change(|now| now.provoked = std::ptr::null_mut());
        worker
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two looks at one request's history are one history.
    #[test]
    fn all_who_look_see_the_same_history() {
        let first = History(Cell::new(sys::live_request::default()));
        let second = &first;
        first.add_run(true);
        second.add_run(false);
        second.set_rescued(6);
        first.note_body(true);
        second.note_body(false);
        assert_eq!((first.runs(), first.turns()), (2, 1));
        assert_eq!(first.rescued_from(), Some(6));
        assert!(first.is_rescued() && first.has_body());
    }

    #[test]
    fn a_member_is_taken_once() {
        let history = History(Cell::new(sys::live_request::default()));
        let mut record = sys::proxy_worker::default();
        let worker = Worker::new(&raw mut record);
        assert_eq!(history.take_provoked(), None);
        history.set_provoked(worker);
        history.set_leaving(worker);
        assert_eq!(history.provoked(), Some(worker));
        assert_eq!(history.take_provoked(), Some(worker));
        assert_eq!((history.provoked(), history.take_provoked()), (None, None));
        assert_eq!(history.take_leaving(), Some(worker));
        assert_eq!(history.take_leaving(), None);
    }
}
