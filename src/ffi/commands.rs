//! The functions behind the directives; the table itself is in shim.c (httpd's macros).

use std::ffi::{c_char, c_int, c_void};

use super::guard::guard;
use super::params::{is_live, read_time};
use super::proxy::Server;
use super::{engage, sys, text, to_pool};
use crate::config;
use crate::config::directives::{self, Live};

/// shim.h says by which types C calls these: each pair is of one type.
const _: () = {
    let _ = [live_cmd_proxy_live, sys::live_cmd_proxy_live];
    let _ = [live_cmd_resolver, sys::live_cmd_resolver];
    let _ = [live_cmd_template, sys::live_cmd_template];
    let _ = [live_cmd_drain_file, sys::live_cmd_drain_file];
};

/// `ProxyLive on|off|observe [template]`
///
/// # Safety
/// Called by httpd while it reads its configuration.
// SAFETY: the name is this module's own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn live_cmd_proxy_live(
    cmd: *mut sys::cmd_parms,
    _dir: *mut c_void,
    mode: *const c_char,
    template: *const c_char,
) -> *const c_char {
    // SAFETY: httpd passes a valid cmd and C strings (the second NULL if not given).
    let (cmd, mode, template) = unsafe { (&*cmd, text(mode), text(template)) };
    answer(cmd, "ProxyLive", || {
        if is_live(&mode) {
            engage::engage();
        }
        let live = Live::read(&mode, &template, place(cmd))?;
        let section = section(cmd)?;
        let server = Server::new(cmd.server).key();
        config::with(|c| c.defaults().set(server, section.as_deref(), live))
    })
}

/// `ProxyLiveResolver system | address[:port] ... [timeout=2s] [attempts=2]`
///
/// # Safety
/// Called by httpd while it reads its configuration.
// SAFETY: the name is this module's own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn live_cmd_resolver(
    cmd: *mut sys::cmd_parms,
    _dir: *mut c_void,
    args: *const c_char,
) -> *const c_char {
    // SAFETY: httpd passes a valid cmd and a C string.
    let (cmd, args) = unsafe { (&*cmd, text(args)) };
    answer(cmd, "ProxyLiveResolver", || {
        if Server::new(cmd.server).is_virtual() {
            return Err("is allowed in the main server only, not in <VirtualHost>".into());
        }
        let resolver = directives::resolver(&args, &read_time)?;
        config::with(|c| c.set_resolver(resolver))
    })
}

/// `ProxyLiveTemplate name key=value ...`
///
/// # Safety
/// Called by httpd while it reads its configuration.
// SAFETY: the name is this module's own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn live_cmd_template(
    cmd: *mut sys::cmd_parms,
    _dir: *mut c_void,
    argc: c_int,
    argv: *const *mut c_char,
) -> *const c_char {
    let count = usize::try_from(argc).unwrap_or(0);
    // SAFETY: httpd passes a valid cmd and an array of `argc` C strings.
    let (cmd, words) = unsafe {
        let words = (0..count).map(|i| text(*argv.add(i)));
        (&*cmd, words.collect::<Vec<String>>())
    };
    answer(cmd, "ProxyLiveTemplate", || {
        if words
            .iter()
            .skip(1)
            .any(|w| w.strip_prefix("live=").is_some_and(is_live))
        {
            engage::engage();
        }
        config::with(|c| c.templates().define(&words, place(cmd), &read_time))
    })
}

/// `ProxyLiveDrainFile path`
///
/// # Safety
/// Called by httpd while it reads its configuration.
// SAFETY: the name is this module's own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn live_cmd_drain_file(
    cmd: *mut sys::cmd_parms,
    _dir: *mut c_void,
    path: *const c_char,
) -> *const c_char {
    // SAFETY: httpd passes a valid cmd and a C string; the result is NULL or a C string in the pool.
    let (cmd, path, whole) = unsafe {
        let whole = text(sys::ap_server_root_relative((*cmd).pool, path));
        (&*cmd, text(path), whole)
    };
    answer(cmd, "ProxyLiveDrainFile", || {
        if Server::new(cmd.server).is_virtual() {
            return Err("is allowed in the main server only, not in <VirtualHost>".into());
        }
        let file =
            directives::drain_file(&path, &whole, &|path| std::path::Path::new(path).is_dir())?;
        config::with(|c| c.set_drain_file(file))
    })
}

/// Runs a directive; its error message gets the directive's name in front.
fn answer(
    cmd: &sys::cmd_parms,
    name: &str,
    work: impl FnOnce() -> Result<(), String>,
) -> *const c_char {
    match guard(name, Ok(()), work) {
        Ok(()) => std::ptr::null(),
        // SAFETY: the configuration pool, used by this thread only.
        Err(message) => unsafe { to_pool(cmd.pool, &format!("{name} {message}")) },
    }
}

/// `file:line` of the directive, for messages.
fn place(cmd: &sys::cmd_parms) -> String {
    // SAFETY: httpd's configuration tree; the directive is NULL or valid while it is run, and its file's name
    // a C string.
    let directive = unsafe { cmd.directive.as_ref() };
    directive.map_or_else(String::new, |d| {
        // SAFETY: as above.
        let file = unsafe { text(d.filename) };
        format!("{file}:{}", d.line_num)
    })
}

/// The URL of the `<Proxy>` section around the directive; None outside of sections.
fn section(cmd: &sys::cmd_parms) -> Result<Option<String>, String> {
    if cmd.path.is_null() {
        return Ok(None);
    }
    // SAFETY: httpd's configuration tree; parent and names are NULL or valid while it is walked.
    let around = unsafe {
        cmd.directive
            .as_ref()
            .and_then(|d| d.parent.as_ref())
            .map(|parent| text(parent.directive))
    };
    if around.is_some_and(|name| name.eq_ignore_ascii_case("<Proxy")) {
        // SAFETY: `path` is not NULL here; mod_proxy's section sets it to the section's URL.
        return Ok(Some(unsafe { text(cmd.path) }));
    }
    Err(
        "is allowed in the server, in <VirtualHost> and in <Proxy \"balancer://...\"> only, not in \
         other sections"
            .into(),
    )
}
