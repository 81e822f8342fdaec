//! `liverescue=eager`: which came first, the first byte of an answer or the end of the patience with its backend.
//!
//! A filter of its own beside that of [`super::conn`], for the workers that want it; the others do not pay.

use std::ffi::{CStr, c_void};
use std::ptr;

use super::conn::{begins_empty, sends_header_only, with_request};
use super::request::Request;
use super::{clock, sys};
use crate::adopt::child::Child;
use crate::adopt::registry::Conn;
use crate::rescue;

const FILTER: &CStr = c"PROXY_LIVE_EAGER";

pub(super) fn register_filter() {
    // SAFETY: the name is a constant, the function lives forever. Of the same type as the filter of `conn`.
    unsafe {
        sys::ap_register_input_filter(
            FILTER.as_ptr(),
            Some(input_filter),
            None,
            sys::ap_filter_type_AP_FTYPE_CONNECTION,
        );
    }
}

/// # Safety
/// `c` is a live connection that only this thread uses; `conn` points to its [`Conn`], which lives as long.
pub(super) unsafe fn attach(c: *mut sys::conn_rec, conn: *mut c_void) {
    // SAFETY: by the caller's promise.
    unsafe { sys::ap_add_input_filter(FILTER.as_ptr(), conn, ptr::null_mut(), c) };
}

/// The attempt that has just begun will wait for its answer on this connection.
pub(super) fn begin_wait(child: &Child, conn: &Conn) {
    if child.moves(conn.entry) {
        let may = |r: Request| sends_header_only(r) && rescue::may_be_moved(child, r, conn.entry);
        let may = with_request(may) == Some(true);
        conn.wait.begin(may.then(clock::now_ms));
    }
}

/// Two loads and a comparison for each line after the first; nothing in it can panic.
unsafe extern "C" fn input_filter(
    f: *mut sys::ap_filter_t,
    bb: *mut sys::apr_bucket_brigade,
    mode: sys::ap_input_mode_t,
    block: sys::apr_read_type_e,
    readbytes: sys::apr_off_t,
) -> sys::apr_status_t {
    const SUCCESS: sys::apr_status_t = sys::APR_SUCCESS as sys::apr_status_t;
    // SAFETY: the next filter of this connection, with httpd's own arguments.
    let status = unsafe { sys::ap_get_brigade((*f).next, bb, mode, block, readbytes) };
    // SAFETY: httpd's brigade of this read.
    let brings = unsafe { status == SUCCESS && !begins_empty(bb) };
    if !brings || mode == sys::ap_input_mode_t_AP_MODE_SPECULATIVE {
        return status;
    }
    // SAFETY: the filter has the context of `attach`, which lives as long as the connection.
    let begins = unsafe { (*(*f).ctx.cast::<Conn>().cast_const()).wait.answer() };
    if begins {
        return status;
    }
    // The request is on its way to another backend: for this one the connection ends here.
    // SAFETY: httpd's brigade of this read.
    unsafe { sys::apr_brigade_cleanup(bb.cast::<c_void>()) };
    sys::APR_EOF as sys::apr_status_t
}
