//! The hooks that requests run through, registered only when there is a live worker.

use std::ffi::c_int;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{conn, hooks, module, sys};

/// Whether the hooks of requests are registered in the configuration that is being read.
static ENGAGED: AtomicBool = AtomicBool::new(false);

/// The module is loaded; its configuration is about to be read.
pub(super) fn reset() {
    ENGAGED.store(false, Ordering::Release);
}

/// Registers the hooks that requests and connections run through. Called when the configuration names the first
/// worker (or a default) that is live, before httpd sorts the hooks: without one, requests do not pay for them.
pub(super) fn engage() {
    if !hooks::proxy_was_before() || ENGAGED.swap(true, Ordering::AcqRel) {
        return;
    }
    // SAFETY: the functions live forever; httpd reads its configuration in its only thread.
    unsafe {
        let before = sys::live_hooking(module::NAME.as_ptr());
        sys::ap_hook_pre_connection(
            Some(conn::pre_connection),
            ptr::null(),
            ptr::null(),
            sys::APR_HOOK_LAST as c_int,
        );
        sys::live_source_hook();
        sys::live_hook_scheme_handler(Some(hooks::scheme_handler));
        // What is between attempts concerns members only.
        if sys::live_balances() != 0 {
            sys::live_hook_post_request(Some(hooks::post_request));
            sys::live_hook_pre_request(Some(hooks::pre_request));
            sys::live_hook_request_status();
        }
        sys::live_hooking(before);
    }
}

/// The configuration has been read, and there is something to do: makes sure of [`engage`].
pub(super) fn late() {
    if !ENGAGED.load(Ordering::Acquire) {
        engage();
        // SAFETY: httpd has one thread here; the lists that it is running are copies.
        unsafe { sys::apr_hook_sort_all() };
    }
}
