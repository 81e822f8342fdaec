//! httpd's hooks.

use std::ffi::{c_char, c_int, c_void};
use std::io::{self, Write as _};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

use super::guard::guard;
use super::hold::{self, Hold};
use super::log::{self, Level};
use super::proxy::{Server, Worker};
use super::request::Request;
use super::{address, conn, eager, engage, handler, module, params, sys, tree};
use crate::adopt::request::{self, Enter, How};
use crate::adopt::{child, dump, gather, plan};
use crate::config;
use crate::log as log_line;
use crate::rescue::{self, After, Outcome};
use crate::status::here;

const OK: c_int = sys::OK as c_int;
const DECLINED: c_int = sys::DECLINED as c_int;
const FAILED: c_int = sys::HTTP_INTERNAL_SERVER_ERROR as c_int;

/// A NULL-terminated list of module names for hook ordering.
#[repr(transparent)]
struct Names<const N: usize>([*const c_char; N]);
// SAFETY: constant pointers to constant strings.
unsafe impl<const N: usize> Sync for Names<N> {}

static PROXY: Names<2> = Names([c"mod_proxy.c".as_ptr(), ptr::null()]);
static BALANCER: Names<2> = Names([c"mod_proxy_balancer.c".as_ptr(), ptr::null()]);
static CHILDREN: Names<4> = Names([
    c"mod_proxy.c".as_ptr(),
    c"mod_proxy_balancer.c".as_ptr(),
    c"mod_proxy_hcheck.c".as_ptr(),
    ptr::null(),
]);

/// Whether mod_proxy was loaded when this module was, in the configuration that is being read.
static PROXY_BEFORE: AtomicBool = AtomicBool::new(false);

pub(super) fn proxy_was_before() -> bool {
    PROXY_BEFORE.load(Ordering::Acquire)
}

/// `register_hooks` of the module record.
pub(super) unsafe extern "C" fn register(_pool: *mut sys::apr_pool_t) {
    let none = ptr::null();
    // SAFETY: the lists and functions live forever (the library is never unloaded: nodelete); httpd
    // loads modules in its only thread, and live_proxy_loaded has seen mod_proxy's symbols.
    unsafe {
        let first = sys::APR_HOOK_FIRST as c_int;
        let last = sys::APR_HOOK_LAST as c_int;
        sys::ap_hook_pre_config(Some(pre_config), none, PROXY.0.as_ptr(), first);
        // Before members' shared parts move to slotmem in mod_proxy_balancer's post_config.
        sys::ap_hook_post_config(
            Some(post_config),
            PROXY.0.as_ptr(),
            BALANCER.0.as_ptr(),
            first,
        );
        sys::ap_hook_post_config(Some(post_config_late), BALANCER.0.as_ptr(), none, last);
        sys::ap_hook_check_config(Some(check_config), none, none, last);
        sys::ap_hook_test_config(Some(test_config), none, none, last);
        sys::ap_hook_child_init(Some(child_init), CHILDREN.0.as_ptr(), none, last);
        sys::ap_hook_child_stopping(Some(child_stopping), none, none, first);
        conn::register_filter();
        eager::register_filter();
        hold::register();
        handler::register();
        PROXY_BEFORE.store(sys::live_proxy_loaded() != 0, Ordering::Release);
    }
    engage::reset();
}

unsafe extern "C" fn pre_config(
    _pconf: *mut sys::apr_pool_t,
    _plog: *mut sys::apr_pool_t,
    _ptemp: *mut sys::apr_pool_t,
) -> c_int {
    log::set_main(ptr::null_mut());
    guard("pre_config", FAILED, || {
        config::with(|c| c.reset());
        plan::reset();
        match module::check_server() {
            Ok(()) => {
                params::register();
                OK
            }
            Err(message) => {
                log::write(Level::Crit, &message);
                FAILED
            }
        }
    })
}

unsafe extern "C" fn post_config(
    _pconf: *mut sys::apr_pool_t,
    _plog: *mut sys::apr_pool_t,
    _ptemp: *mut sys::apr_pool_t,
    main: *mut sys::server_rec,
) -> c_int {
    log::set_main(main);
    if is_first_pass() {
        return OK;
    }
    guard("post_config", FAILED, || {
        plan::note_configured(Server::new(main));
        match plan::make(Server::new(main)) {
            Ok(()) => {
                if plan::is_made() {
                    engage::late();
                }
                OK
            }
            Err(message) => {
                log::write(Level::Crit, &message);
                FAILED
            }
        }
    })
}

/// The first of two passes over the configuration at a start: its outcome is thrown away.
fn is_first_pass() -> bool {
    // SAFETY: asks httpd in which state it is.
    let state = unsafe { sys::ap_state_query(sys::AP_SQ_MAIN_STATE as c_int) };
    state == sys::AP_SQ_MS_CREATE_PRE_CONFIG as c_int
}

/// After mod_proxy_balancer's: members have their shared parts, possibly restored by BalancerPersist.
unsafe extern "C" fn post_config_late(
    _pconf: *mut sys::apr_pool_t,
    _plog: *mut sys::apr_pool_t,
    _ptemp: *mut sys::apr_pool_t,
    main: *mut sys::server_rec,
) -> c_int {
    if is_first_pass() {
        return OK;
    }
    guard("post_config", OK, || {
        plan::restore(Server::new(main));
        if plan::is_made() {
            plan::await_ends();
        }
        OK
    })
}

unsafe extern "C" fn child_init(pchild: *mut sys::apr_pool_t, main: *mut sys::server_rec) {
    log::set_main(main);
    guard("child_init", (), || {
        config::with(|c| here::begin(Server::new(main), c.drain_file()));
        let Some(plan) = plan::take() else { return };
        if let Err(different) = address::verify(Server::new(main), pchild) {
            log_line!(
                Level::Error,
                "this httpd keeps backend addresses in another way than mod_proxy_live knows \
                 ({different}): DNS is not followed in this child; please report the httpd version"
            );
            return;
        }
        // SAFETY: the hooks are sorted; there are no requests yet.
        unsafe { sys::live_find_scheme_handlers() };
        for planned in &plan.workers {
            // SAFETY: mod_proxy's own child_init has run; members may not be initialized in this child
            // yet, and initializing twice is harmless (ap_proxy_initialize_worker looks).
            unsafe {
                let worker = planned.worker.raw();
                if (*worker).cp.is_null() {
                    sys::live_initialize_worker(worker, planned.server.raw(), pchild);
                }
            }
        }
        // SAFETY: pchild is live; the callback needs no data. Registered after mod_proxy's, so it runs
        // before mod_proxy takes the connection pools away.
        unsafe { sys::apr_pool_pre_cleanup_register(pchild, ptr::null(), Some(child_exit)) };
        child::start(plan);
    });
}

/// The child begins to end: gracefully, it may serve for long, but it must not lead.
///
/// No guard here and in `child_exit`: only atomics and system calls, nothing that can panic.
unsafe extern "C" fn child_stopping(_pchild: *mut sys::apr_pool_t, _graceful: c_int) {
    if let Some(child) = child::current() {
        child.set_stopping();
    }
}

/// pchild is being destroyed; possibly inside a signal handler (prefork), so only atomics and system
/// calls from here on.
unsafe extern "C" fn child_exit(_data: *mut c_void) -> sys::apr_status_t {
    if let Some(child) = child::current() {
        child.close();
    }
    sys::APR_SUCCESS as sys::apr_status_t
}

/// Whether the MPM is ending this process.
pub fn mpm_is_stopping() -> bool {
    let mut state = 0;
    // SAFETY: reads the MPM's state into `state`.
    let status = unsafe { sys::ap_mpm_query(sys::AP_MPMQ_MPM_STATE as c_int, &mut state) };
    status == sys::APR_SUCCESS as i32 && state == sys::AP_MPMQ_STOPPING as c_int
}

/// The wrapper: runs the scheme handlers itself for a live worker, so that it sees begin and end.
pub(super) unsafe extern "C" fn scheme_handler(
    r: *mut sys::request_rec,
    worker: *mut sys::proxy_worker,
    conf: *mut sys::proxy_server_conf,
    url: *mut c_char,
    proxyhost: *const c_char,
    proxyport: sys::apr_port_t,
) -> c_int {
    let Some(child) = child::current() else {
        return DECLINED;
    };
    // SAFETY: mod_proxy's request, which lives during the hook and is this thread's.
    let (request, worker_view) = unsafe { (Request::new(r), Worker::new(worker)) };
    let mut turn = true;
    loop {
        let Enter::Run { hold } = before_handler(child, request, worker_view, !proxyhost.is_null())
        else {
            return DECLINED;
        };
        // SAFETY: mod_proxy's request; the hold ends before this function.
        let hold = unsafe { hold.then(|| Hold::begin(r)).flatten() };
        // SAFETY: mod_proxy's own arguments, passed on unchanged; our hook declines for the same request.
        let mut status =
            unsafe { sys::live_run_scheme_handler(r, worker, conf, url, proxyhost, proxyport) };
        let http2 = hold.map(|hold| hold.end(&mut status));
        let outcome = |backends_answer| Outcome {
            status,
            backends_answer,
            turn,
            http2,
        };
        match after_handler(child, request, worker_view, status, outcome) {
            After::Over(status) => return status,
            After::Again => turn = false,
        }
    }
}

/// The handlers are about to run.
fn before_handler(child: &child::Child, request: Request, worker: Worker, remote: bool) -> Enter {
    let entered = guard("the request's begin", None, || {
        let entered = request::enter(child, request, worker, remote);
        if entered != Enter::Inner {
            rescue::take_back(child, request);
        }
        Some(entered)
    });
    entered.unwrap_or_else(|| {
        request::abandon(request.key());
        Enter::Pass
    })
}

/// The handlers have returned.
fn after_handler(
    child: &child::Child,
    request: Request,
    worker: Worker,
    status: c_int,
    outcome: impl FnOnce(bool) -> Outcome,
) -> After {
    let how = match status {
        OK => How::Succeeded,
        sys::SUSPENDED => How::Suspended,
        _ => How::Failed,
    };
    let after = guard("the request's end", None, || {
        let Some(over) = request::leave(child, request, how) else {
            return Some(After::Over(status));
        };
        let outcome = outcome(request.has_backends_answer());
        Some(rescue::after(child, request, worker, &over, &outcome))
    });
    after.unwrap_or_else(|| {
        request::abandon(request.key());
        After::Over(status)
    })
}

/// Before mod_proxy chooses a worker; there is something to do only after an attempt has failed.
pub(super) unsafe extern "C" fn pre_request(
    _worker: *mut *mut sys::proxy_worker,
    balancer: *mut *mut sys::proxy_balancer,
    r: *mut sys::request_rec,
    _conf: *mut sys::proxy_server_conf,
    _url: *mut *mut c_char,
) -> c_int {
    // SAFETY: mod_proxy passes a place for the balancer, which is filled when the request comes back.
    let back = unsafe { !(*balancer).is_null() };
    if back {
        guard("the request's next member", (), || {
            // SAFETY: mod_proxy's request, which lives during the hook and is this thread's.
            rescue::lead_away(unsafe { Request::new(r) });
        });
    }
    DECLINED
}

/// shim.h says by which types C calls them.
const _: () = {
    let _ = [live_request_ends, sys::live_request_ends];
    let _ = [live_request_status, sys::live_request_status];
};

/// The request's pool is about to end: it may never have reached its last step in mod_proxy's hands.
#[unsafe(no_mangle)]
unsafe extern "C" fn live_request_ends(r: *mut sys::request_rec) {
    if let Some(child) = child::current().filter(|child| !child.is_closing()) {
        guard("the request's end", (), || {
            // SAFETY: the request, in a cleanup of its own pool, whose memory is freed after all cleanups.
            rescue::take_back(child, unsafe { Request::new(r) });
        });
    }
}

/// The last step of a request in mod_proxy's hands, also when no member was left for it. Called for requests with
/// a history.
// SAFETY: the name is this module's own.
#[unsafe(no_mangle)]
unsafe extern "C" fn live_request_status(status: *mut c_int, r: *mut sys::request_rec) {
    if let Some(child) = child::current() {
        guard("the request's status", (), || {
            // SAFETY: mod_proxy's request and its status, which live during the hook and are this thread's.
            let (request, status) = unsafe { (Request::new(r), &mut *status) };
            rescue::take_back(child, request);
            *status = rescue::last_status(request, *status);
        });
    }
}

/// `failonstatus` and `failontimeout`: mod_proxy_balancer, whose turn is next, puts the member into error
/// for its `retry`, and that must last.
pub(super) unsafe extern "C" fn post_request(
    worker: *mut sys::proxy_worker,
    balancer: *mut sys::proxy_balancer,
    r: *mut sys::request_rec,
    _conf: *mut sys::proxy_server_conf,
) -> c_int {
    if worker.is_null() || balancer.is_null() {
        return DECLINED;
    }
    // SAFETY: mod_proxy's own worker, balancer and request of a request that has just ended.
    if unsafe { sys::live_answer_fails_worker(worker, balancer, r) } != 0 {
        guard("an answer that fails its worker", (), || {
            if let Some(child) = child::current() {
                child.keep_in_error(Worker::new(worker));
            }
        });
    }
    DECLINED
}

/// What contradicts itself is an error of the configuration, for `httpd -t` too.
unsafe extern "C" fn check_config(
    _pconf: *mut sys::apr_pool_t,
    _plog: *mut sys::apr_pool_t,
    _ptemp: *mut sys::apr_pool_t,
    main: *mut sys::server_rec,
) -> c_int {
    guard("check_config", FAILED, || {
        match config::with(|c| gather::check(c, Server::new(main))) {
            Ok(()) => OK,
            Err(message) => {
                log::write(Level::Crit, &message);
                FAILED
            }
        }
    })
}

/// `httpd -t`, when the configuration is good: with `-D DUMP_PROXY_LIVE` it is told what it came to.
unsafe extern "C" fn test_config(_pconf: *mut sys::apr_pool_t, main: *mut sys::server_rec) {
    // SAFETY: a C string; httpd is single-threaded here.
    if unsafe { sys::ap_exists_config_define(c"DUMP_PROXY_LIVE".as_ptr()) } == 0 {
        return;
    }
    guard("test_config", (), || {
        let directives = tree::directives();
        let text = config::with(|c| dump::text(c, Server::new(main), &directives));
        // A reader that has left is no error of the configuration. httpd ends after this hook.
        // SAFETY: blocks a signal in the only thread of this process.
        unsafe { sys::apr_signal_block(libc::SIGPIPE) };
        let mut out = io::stdout().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    });
}
