//! Worker parameters: mod_proxy hands unknown ones to the optional function `set_worker_hc_param`
//! (mod_proxy.c, set_worker_param), which is mod_proxy_hcheck's. Ours takes its place and passes on.

use std::ffi::{CStr, c_char, c_void};
use std::sync::atomic::{AtomicPtr, Ordering};

use super::guard::guard;
use super::proxy::Worker;
use super::{engage, sys, text, to_pool};
use crate::config;

/// `APR_DECLARE_OPTIONAL_FN(const char *, set_worker_hc_param, ...)` of mod_proxy.h.
type SetParam = unsafe extern "C" fn(
    *mut sys::apr_pool_t,
    *mut sys::server_rec,
    *mut sys::proxy_worker,
    *const c_char,
    *const c_char,
    *mut c_void,
) -> *const c_char;

/// By hand, so that it can be cast; here it is compared with the headers.
const _: sys::apr_OFN_set_worker_hc_param_t = Some(set_worker_param as SetParam);

const NAME: &CStr = c"set_worker_hc_param";

/// mod_proxy_hcheck's function while ours is registered; NULL without mod_proxy_hcheck.
static NEXT: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());

/// Registers ours in front of what is registered now. In every pre_config, before mod_proxy's looks.
pub(super) fn register() {
    let ours = set_worker_param as SetParam as *mut c_void;
    // SAFETY: pre_config is single-threaded; the name is a C string that lives forever, and the
    // optional function's signature is the one it is declared with.
    unsafe {
        let known = sys::apr_dynamic_fn_retrieve(NAME.as_ptr());
        let known = known.map_or(std::ptr::null_mut(), |f| f as *mut c_void);
        // A restart without mod_proxy_hcheck finds nothing, one with it its function again.
        let next = if known == ours {
            std::ptr::null_mut()
        } else {
            known
        };
        NEXT.store(next, Ordering::Release);
        let function = std::mem::transmute::<SetParam, unsafe extern "C" fn()>(set_worker_param);
        sys::apr_dynamic_fn_register(NAME.as_ptr(), Some(function));
    }
}

unsafe extern "C" fn set_worker_param(
    pool: *mut sys::apr_pool_t,
    server: *mut sys::server_rec,
    worker: *mut sys::proxy_worker,
    key: *const c_char,
    value: *const c_char,
    ctx: *mut c_void,
) -> *const c_char {
    let outcome = guard("a worker parameter", Ok(false), || {
        if worker.is_null() {
            return Ok(false);
        }
        // SAFETY: mod_proxy passes C strings from the configuration.
        let (key, value) = unsafe { (text(key), text(value)) };
        let worker = Worker::new(worker);
        let url = worker.name();
        if key == "live" && is_live(&value) {
            engage::engage();
        }
        config::with(|c| c.write(worker.shared_key(), &url, &key, &value, &read_time))
    });
    match outcome {
        Ok(true) => std::ptr::null(),
        // SAFETY: `pool` is the configuration pool, used by this thread only.
        Err(message) => unsafe { to_pool(pool, &message) },
        Ok(false) => {
            let next = NEXT.load(Ordering::Acquire);
            if next.is_null() {
                return c"unknown Worker parameter".as_ptr();
            }
            // SAFETY: registered under this name by mod_proxy_hcheck, so it has this signature; the
            // arguments are passed on as they came.
            unsafe {
                let next = std::mem::transmute::<*mut c_void, SetParam>(next);
                next(pool, server, worker, key, value, ctx)
            }
        }
    }
}

/// Whether a mode (or what is not one) may make workers live.
pub(super) fn is_live(mode: &str) -> bool {
    !mode.eq_ignore_ascii_case("off")
}

/// httpd's own reading of a time, in microseconds; a bare number is seconds.
pub(super) fn read_time(value: &str) -> Option<i64> {
    let value = std::ffi::CString::new(value).ok()?;
    let mut micros = 0;
    // SAFETY: both strings are C strings and outlive the call; `micros` is written to.
    let status =
        unsafe { sys::ap_timeout_parameter_parse(value.as_ptr(), &mut micros, c"s".as_ptr()) };
    (status == sys::APR_SUCCESS as i32).then_some(micros)
}
