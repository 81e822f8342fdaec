//! The border to httpd and the kernel: the only place with `unsafe`.
//!
//! Everything above sees views with safe methods; every function that httpd calls runs under [`guard`].

pub mod address;
pub mod clock;
pub mod commands;
pub mod conn;
pub(crate) mod eager;
mod engage;
pub mod eventfd;
pub mod futex;
pub mod guard;
pub(crate) mod handler;
pub mod hold;
pub mod hooks;
pub mod lock;
pub mod log;
pub mod module;
pub mod params;
pub mod proxy;
pub mod reload;
pub mod request;
pub mod shm;
mod source;
pub mod status;
pub mod tcp;
pub mod thread;
mod tree;

/// Generated from httpd's headers by build.rs.
#[allow(
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    dead_code,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unnecessary_transmutes,
    unsafe_op_in_unsafe_fn
)]
pub(crate) mod sys {
    include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
}

use std::ffi::{CStr, c_char};

/// A C string of httpd as text; NULL is "". Bytes that are not UTF-8 are replaced.
///
/// # Safety
/// `text` is NULL or points to a NUL-terminated string that is not changed during the call.
pub(crate) unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: not NULL, and NUL-terminated by the caller's promise.
    unsafe { CStr::from_ptr(text) }
        .to_string_lossy()
        .into_owned()
}

/// Copies `text` into `pool` as a C string; bytes behind a NUL are cut off.
///
/// # Safety
/// `pool` is a live pool that no other thread uses now.
pub(crate) unsafe fn to_pool(pool: *mut sys::apr_pool_t, text: &str) -> *const c_char {
    let len = text.bytes().position(|b| b == 0).unwrap_or(text.len());
    // SAFETY: `text` has at least `len` bytes; the pool is live by the caller's promise.
    unsafe { sys::apr_pstrmemdup(pool, text.as_ptr().cast(), len as sys::apr_size_t) }
}
