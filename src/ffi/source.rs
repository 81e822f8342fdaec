//! A connection to a backend as it is watched at its socket: what Rust decides for the bucket of source.c.

use std::ffi::{c_int, c_void};

use super::conn::{begin_use, cause_of, child_rescues, note, with_request};
use super::guard::guard;
use super::sys;
use crate::adopt::registry::{Conn, Ended};
use crate::adopt::request;
use crate::logic::retry::Cause;

const SUCCESS: sys::apr_status_t = sys::APR_SUCCESS as sys::apr_status_t;

/// source.h says by which types C calls them.
const _: () = {
    let _ = [live_source_looks, sys::live_source_looks];
    let _ = [live_source_ended, sys::live_source_ended];
};

/// A read that does not wait is about to be made from the socket (see source.c).
// SAFETY: the name is this module's own.
#[unsafe(no_mangle)]
unsafe extern "C" fn live_source_looks(conn: *const c_void) -> c_int {
    // SAFETY: the context of `attach`, whose reference the connection's pool holds.
    let looked = match unsafe { begin_use(conn.cast()) } {
        Ok(false) => sys::LIVE_SOURCE_KNOWN,
        Ok(true) => sys::LIVE_SOURCE_NEW_USE,
        Err(Ended) => sys::LIVE_SOURCE_ENDED,
    };
    looked as c_int
}

/// A read from the socket has brought nothing. Returns what mod_proxy shall see, as `ended_line` of conn.rs does.
///
/// What the end means is told by how far the answer is: mod_proxy drops its client only while it waits for the
/// status line. Behind that an end may be the regular one, then the attempt succeeds.
// SAFETY: the name is this module's own.
#[unsafe(no_mangle)]
unsafe extern "C" fn live_source_ended(
    conn: *const c_void,
    status: sys::apr_status_t,
    waits: c_int,
) -> sys::apr_status_t {
    guard("a read that brought nothing", status, || {
        // SAFETY: the context of `attach`, whose reference the connection's pool holds.
        let conn = unsafe { &*conn.cast::<Conn>() };
        let ended = if status == SUCCESS {
            sys::APR_EOF as sys::apr_status_t
        } else {
            status
        };
        let ours = conn.is_used_by(request::number());
        let (Some(cause), true) = (cause_of(ended), ours) else {
            return status;
        };
        let far = with_request(|r| (r.is_answered(), r.has_final_status()));
        let (answered, begun) = far.unwrap_or((true, true));
        let awaited = !answered && !begun;
        let timed_out = cause == Cause::TimedOut;
        // A look at an idle connection fails for no request; a pause in a body is mod_proxy's affair.
        if (awaited && waits == 0) || (timed_out && answered) {
            return status;
        }
        note(conn, cause);
        if awaited && !timed_out && child_rescues(conn) {
            sys::APR_TIMEUP as sys::apr_status_t
        } else {
            status
        }
    })
}
