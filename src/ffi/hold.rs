//! What mod_proxy_http2 does to a request, and may answer by itself, when an attempt has failed is held back
//! (hold.c), so that the attempt can be followed by another, or by one error of httpd's own.

use std::ffi::c_int;
use std::ptr::NonNull;

use super::request::Request;
use super::sys;

/// How far mod_proxy_http2 got with an attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reached {
    /// Nothing was sent to the backend.
    Nothing,
    /// It may have seen the request.
    Backend,
    /// Its answer has begun.
    Client,
}

/// A handler's output under control, from before the handler to its end.
pub(super) struct Hold(NonNull<sys::live_hold>);

pub(super) fn register() {
    // SAFETY: while modules are loaded, in httpd's only thread.
    unsafe { sys::live_hold_register() }
}

impl Hold {
    /// None: this request is an answer to an error itself.
    ///
    /// # Safety
    /// `r` is a live request of this thread, and lives until [`Hold::end`].
    pub(super) unsafe fn begin(r: *mut sys::request_rec) -> Option<Self> {
        // SAFETY: by the caller's promise.
        NonNull::new(unsafe { sys::live_hold_begin(r) }).map(Self)
    }

    /// Unless an answer has begun, the request is as it was before the handler. `status` is what the handler has
    /// returned; an answer that has not come whole is broken off (DONE).
    pub(super) fn end(self, status: &mut c_int) -> Reached {
        // SAFETY: made by `begin` for a request that lives; ended once.
        match unsafe { sys::live_hold_end(self.0.as_ptr(), status) } {
            0 => Reached::Nothing,
            1 => Reached::Backend,
            _ => Reached::Client,
        }
    }
}

/// The handler closes a connection it has used for this request. `failed`: its peer has ended it, and only the
/// rescue may send the request again.
pub(super) fn closed(r: Request, failed: bool) {
    // SAFETY: a view of the live request that this thread's handler is at.
    unsafe { sys::live_hold_closed(r.raw(), failed.into()) }
}
