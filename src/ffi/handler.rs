//! The module's own pages: the handlers `proxy-live-status` and `proxy-live-ready`, and a section of mod_status.

use std::ffi::{CStr, CString, c_int};

use super::guard::guard;
use super::{sys, text};
use crate::status::here::Here;
use crate::status::pages::{self, Answer, Asked};

const OK: c_int = sys::OK as c_int;
const FAILED: c_int = sys::HTTP_INTERNAL_SERVER_ERROR as c_int;

/// # Safety
/// While httpd loads modules, in its only thread.
pub(super) unsafe fn register() {
    // SAFETY: by the caller's promise; the functions live forever.
    unsafe {
        sys::live_hook_handler();
        sys::live_hook_mod_status(Some(mod_status));
    }
}

/// shim.h says by which type C calls it.
const _: () = {
    let _ = [live_handle, sys::live_handle];
};

/// A request for one of the handlers.
// SAFETY: the name is this module's own.
#[unsafe(no_mangle)]
unsafe extern "C" fn live_handle(r: *mut sys::request_rec, which: c_int) -> c_int {
    guard("a page of this module", FAILED, || {
        // SAFETY: httpd's request, which lives during the hook and is this thread's.
        unsafe {
            if sys::live_is_get(r) == 0 {
                sys::live_allow_get(r);
                return sys::HTTP_METHOD_NOT_ALLOWED as c_int;
            }
            let asked = asked(r);
            let answer = match which as u32 {
                sys::LIVE_HANDLER_STATUS => pages::status(&asked, &Here),
                _ => pages::ready(&asked, &Here),
            };
            respond(r, &answer);
        }
        OK
    })
}

/// # Safety
/// `r` is a live request of this thread.
unsafe fn asked(r: *mut sys::request_rec) -> Asked {
    // SAFETY: by the caller's promise; what it holds are C strings or NULL.
    unsafe {
        let args = (*r).args;
        let query = (!args.is_null()).then(|| encoded(CStr::from_ptr(args)));
        Asked {
            query,
            accept: text(sys::live_header_in(r, c"Accept".as_ptr())),
            path: text((*r).uri),
        }
    }
}

/// A query as it should have been written: bytes beyond ASCII encoded, whether they are UTF-8 or not.
fn encoded(query: &CStr) -> String {
    let mut text = String::new();
    for byte in query.to_bytes() {
        match byte.is_ascii() {
            true => text.push(char::from(*byte)),
            false => text += &format!("%{byte:02X}"),
        }
    }
    text
}

/// # Safety
/// `r` is a live request of this thread that nothing was sent for.
unsafe fn respond(r: *mut sys::request_rec, answer: &Answer) {
    let body = answer.body.as_bytes();
    let c_string = |text: &str| CString::new(text).unwrap_or_default();
    let kind = c_string(answer.content_type);
    for (name, value) in &answer.headers {
        let (name, value) = (c_string(name), c_string(value));
        // SAFETY: by the caller's promise; both texts are copied into the request's pool.
        unsafe { sys::live_set_header(r, name.as_ptr(), value.as_ptr()) };
    }
    // SAFETY: as above; the body has `len` bytes.
    unsafe {
        let (bytes, len) = (body.as_ptr().cast(), body.len() as sys::apr_size_t);
        sys::live_respond(r, answer.status.into(), kind.as_ptr(), bytes, len);
    }
}

/// mod_status asks each module for its part of the page.
unsafe extern "C" fn mod_status(r: *mut sys::request_rec, flags: c_int) -> c_int {
    guard("mod_status's page", (), || {
        let section = pages::mod_status(flags as u32 & sys::AP_STATUS_SHORT != 0, &Here);
        let len = section.len() as sys::apr_size_t;
        // SAFETY: mod_status's request, which lives during the hook and is this thread's; the text has `len` bytes.
        unsafe { sys::live_write(r, section.as_ptr().cast(), len) };
    });
    OK
}
