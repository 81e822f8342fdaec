//! The module record that httpd loads, and the check of the server that loads it.

use std::cell::UnsafeCell;
use std::ffi::CStr;
use std::ptr;

use super::{hooks, sys};

/// What other modules call this one when they order their hooks.
pub(super) const NAME: &CStr = c"mod_proxy_live.c";

/// httpd writes its own fields of the record (index, handle, list) while it is single-threaded.
#[repr(transparent)]
pub struct Record(UnsafeCell<sys::module>);

// SAFETY: only httpd writes to it, while it loads modules in one thread; later it is only read.
unsafe impl Sync for Record {}

/// `LoadModule proxy_live_module ...` looks for this symbol.
// SAFETY: httpd's naming scheme makes the symbol this module's own.
#[unsafe(no_mangle)]
pub static proxy_live_module: Record = Record(UnsafeCell::new(sys::module {
    version: sys::MODULE_MAGIC_NUMBER_MAJOR as i32,
    minor_version: sys::MODULE_MAGIC_NUMBER_MINOR as i32,
    module_index: -1,
    name: NAME.as_ptr(),
    dynamic_load_handle: ptr::null_mut(),
    next: ptr::null_mut(),
    magic: sys::MODULE_MAGIC_COOKIE as std::ffi::c_ulong,
    rewrite_args: None,
    create_dir_config: None,
    merge_dir_config: None,
    create_server_config: None,
    merge_server_config: None,
    cmds: &raw const sys::live_commands as *const sys::command_rec,
    register_hooks: Some(hooks::register),
    flags: 0,
}));

/// The place that httpd has given the module in its vectors of configurations, for requests.
#[inline]
pub(super) fn index() -> usize {
    // SAFETY: httpd has set it when it loaded the module, and does not change it while there are requests.
    let index = unsafe { (*proxy_live_module.0.get()).module_index };
    index as usize
}

/// Whether this server can run the module; the error tells the administrator what to do.
pub fn check_server() -> Result<(), String> {
    // SAFETY: looks at addresses of weak symbols and at httpd's list of modules, in its only thread.
    if !hooks::proxy_was_before() || unsafe { sys::live_proxy_loaded() } == 0 {
        return Err(
            "mod_proxy is not loaded before mod_proxy_live, or it is older than httpd 2.4.59: put \
             \"LoadModule proxy_module ...\" above \"LoadModule proxy_live_module ...\" and restart"
                .into(),
        );
    }
    let built = sys::MODULE_MAGIC_NUMBER_MINOR as i32;
    // SAFETY: core is part of the server and mod_proxy is loaded, as just seen.
    let (core, proxy) = unsafe { (sys::live_core_minor(), sys::live_proxy_minor()) };
    for (what, running) in [("httpd", core), ("mod_proxy", proxy)] {
        if let Some(message) = too_old(what, running, built) {
            return Err(message);
        }
    }
    Ok(())
}

/// httpd itself compares only the major magic number, but structures grow with the minor one.
fn too_old(what: &str, running: i32, built: i32) -> Option<String> {
    (running < built).then(|| {
        format!(
            "this {what} (module magic number {major}:{running}) is older than the headers that \
             mod_proxy_live was built with ({major}:{built}): update httpd, or build the module with \
             the headers of this server",
            major = sys::MODULE_MAGIC_NUMBER_MAJOR
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_older_server_is_refused() {
        assert!(too_old("httpd", 142, 142).is_none() && too_old("httpd", 143, 142).is_none());
        let message = too_old("mod_proxy", 141, 142).unwrap();
        assert!(
            message.contains("mod_proxy") && message.contains(":141)"),
            "{message}"
        );
    }
}
