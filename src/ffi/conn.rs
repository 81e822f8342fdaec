//! Connections to backends: how they get into the registry, are marked as used, and leave it.

use std::ffi::{CStr, c_int, c_void};
use std::mem::offset_of;
use std::ptr;
use std::sync::Arc;

use super::guard::guard;
use super::request::Request;
use super::{eager, hold, sys, tcp};
use crate::adopt::child;
use crate::adopt::registry::{Conn, Ended};
use crate::adopt::request::{self, Touched};
use crate::adopt::wire::Watched;
use crate::board::Kick;
use crate::logic::retry::{Cause, Failure};

const OK: c_int = sys::OK as c_int;
const FILTER: &CStr = c"PROXY_LIVE_IN";

pub(super) fn register_filter() {
    // SAFETY: the name is a constant, the function lives forever. Above mod_ssl's filters, which are
    // of a higher type.
    unsafe {
        sys::ap_register_input_filter(
            FILTER.as_ptr(),
            Some(input_filter),
            None,
            sys::ap_filter_type_AP_FTYPE_CONNECTION,
        );
    }
}

/// mod_proxy makes a connection record for a new socket inside the scheme handler; the attempt under
/// way in this thread tells whose it is.
pub(super) unsafe extern "C" fn pre_connection(c: *mut sys::conn_rec, csd: *mut c_void) -> c_int {
    guard("pre_connection", OK, || {
        let (Some(child), Some((entry, attempt))) = (child::current(), request::current()) else {
            return OK;
        };
        // SAFETY: httpd passes a live connection record and, for a connection of its own, its socket.
        let secondary = unsafe { !(*c).master.is_null() };
        if secondary || csd.is_null() {
            return OK;
        }
        // SAFETY: `csd` is the apr socket of this connection.
        if let Some((fd, addr, port)) = unsafe { tcp::of_apr(csd.cast()) } {
            let conn = Arc::new(Conn::new(entry, addr, port, fd, Some(attempt), c as usize));
            if child.rescues(entry) {
                let limited = with_request(sends_header_only) == Some(true);
                tcp::watch_peer(fd, limited);
                conn.set_limited(limited);
            }
            if let Ok(Some(touched)) = request::touch(&conn, || conn.clone(), true) {
                say_addr(&conn, &touched);
            }
            eager::begin_wait(child, &conn);
            child.registry.add(conn.clone());
            // SAFETY: `c` is live and used by this thread only.
            unsafe { attach(c, conn, child.watched_by(entry)) };
        }
        OK
    })
}

/// Calls `look` with the request of the attempt under way in this thread, if it is at one of our workers.
pub(super) fn with_request<R>(look: impl FnOnce(Request) -> R) -> Option<R> {
    let key = request::current_request()?;
    // SAFETY: the wrapper noted this request before it called the handler we are in, and takes it off when
    // the handler returns; requests are used by one thread at a time.
    Some(look(unsafe { Request::new(key as *mut sys::request_rec) }))
}

/// Tells the request whom it has reached.
fn say_addr(conn: &Conn, touched: &Touched) {
    let Some(r) = request_of(touched) else { return };
    if touched.first {
        r.env_first(&conn.text);
    } else {
        r.env_addr(conn.text.as_ref());
    }
}

/// The request of the attempt under way in this thread, as [`request::touch`] has just told it.
fn request_of(touched: &Touched) -> Option<Request<'_>> {
    // SAFETY: as in `with_request`; the view ends with what `touch` has told, before the handler goes on.
    let view = |key| unsafe { Request::new(key as *mut sys::request_rec) };
    touched.request.map(view)
}

/// Whether the peer's window is large enough for what is sent, whatever it does.
pub(super) fn sends_header_only(r: Request) -> bool {
    !(r.has_body() || request::had_body() || r.upgrades())
}

/// Brings the kernel's patience in line with what the attempt that has just begun sends.
fn fit_limit(conn: &Conn, r: Request, had_body: bool) {
    if conn.is_limited() && !had_body && !r.may_have_body() {
        return;
    }
    let limited = child_rescues(conn) && sends_header_only(r);
    if limited != conn.is_limited() {
        tcp::limit(conn.fd, limited);
        conn.set_limited(limited);
    }
}

/// # Safety
/// `c` is a live connection that only this thread uses.
unsafe fn attach(c: *mut sys::conn_rec, conn: Arc<Conn>, watched: Watched) {
    let raw = Arc::into_raw(conn).cast_mut().cast::<c_void>();
    // SAFETY: the cleanup gives the reference back; it was registered after the socket's own, so it
    // runs before the descriptor is closed. The filter only runs while the connection's pool lives.
    unsafe {
        sys::apr_pool_cleanup_register(
            (*c).pool,
            raw,
            Some(forget),
            Some(sys::apr_pool_cleanup_null),
        );
        if watched == Watched::AtSocket {
            sys::live_source_attach(c, raw);
            return;
        }
        sys::ap_add_input_filter(FILTER.as_ptr(), raw, ptr::null_mut(), c);
        // After the other, so nearer to the network: what it makes of a late answer looks like an end there.
        if watched == Watched::Eagerly {
            eager::attach(c, raw);
        }
    }
}

/// Cleanup of a connection's pool.
unsafe extern "C" fn forget(data: *mut c_void) -> sys::apr_status_t {
    guard("a connection's end", (), || {
        // While the child ends (perhaps inside a signal handler) locks and the allocator are out of
        // bounds; nobody looks at the registry any more.
        let Some(child) = child::current().filter(|c| !c.is_closing()) else {
            return;
        };
        // SAFETY: `data` came from Arc::into_raw in `attach`, given back once.
        let conn = unsafe { Arc::from_raw(data.cast::<Conn>().cast_const()) };
        child.registry.remove(&conn);
        if !conn.is_used() {
            conn.forget_record();
            return;
        }
        let c = conn.record() as *const sys::conn_rec;
        // SAFETY: the record lives in the pool that is being cleaned, whose memory is freed after all cleanups.
        let (aborted, tls) = unsafe { ((*c).aborted != 0, sys::live_tls_failed(c) != 0) };
        let http2 = child.speaks_http2(conn.entry);
        // mod_proxy_http2 says farewell now, too late for some peers; it reads behind a failed write.
        if tls || (aborted && !http2) {
            // It was not possible to send the request (or what was left of it).
            let cause = if tls { Cause::Tls } else { Cause::Reset };
            note(&conn, cause);
        }
        conn.forget_record();
        if http2 && conn.is_used_by(request::number()) {
            with_request(|r| hold::closed(r, request::has_failed()));
        }
        // Closed in the middle of an attempt that has had no answer: it was reset, closed by its peer, or
        // given up by httpd.
        if tcp::waits(&conn) {
            child.kick(conn.entry as usize, Kick::Failed);
        }
    });
    sys::APR_SUCCESS as sys::apr_status_t
}

const WAITS: sys::apr_read_type_e = sys::apr_read_type_e_APR_BLOCK_READ;
const BYTES: sys::ap_input_mode_t = sys::ap_input_mode_t_AP_MODE_READBYTES;
const SUCCESS: sys::apr_status_t = sys::APR_SUCCESS as sys::apr_status_t;

/// The filter of backend connections that are not watched at their socket.
///
/// The lines of a header come by the dozen (and a look ahead after each of them): they pay for the call and the
/// test of its outcome, no more. What else is needed when they end is found in [`ended_line`].
unsafe extern "C" fn input_filter(
    f: *mut sys::ap_filter_t,
    bb: *mut sys::apr_bucket_brigade,
    mode: sys::ap_input_mode_t,
    block: sys::apr_read_type_e,
    readbytes: sys::apr_off_t,
) -> sys::apr_status_t {
    if block != WAITS || mode == BYTES {
        // SAFETY: httpd's own call, passed on.
        return unsafe { other_read(f, bb, mode, block, readbytes) };
    }
    // SAFETY: the next filter of this connection, with httpd's own arguments.
    let status = unsafe { sys::ap_get_brigade((*f).next, bb, mode, WAITS, readbytes) };
    // SAFETY: httpd's brigade; its list begins with a bucket, or is its own sentinel.
    unsafe {
        if status == SUCCESS && !begins_empty(bb) {
            return status;
        }
        ended_line(bb, status)
    }
}

/// The sentinel of a brigade is where a bucket would have to be for its links to be those of the list
/// (APR_RING_SENTINEL): at the list itself, because the links come first.
const _: () = assert!(offset_of!(sys::apr_bucket, link) == 0);

/// Whether there is nothing in it, or nothing at its begin.
///
/// # Safety
/// `bb` is a brigade of httpd's.
#[inline(always)]
pub(super) unsafe fn begins_empty(bb: *const sys::apr_bucket_brigade) -> bool {
    // SAFETY: by the caller's promise; its list begins with a bucket, or is its own sentinel.
    unsafe {
        let first = (*bb).list.next;
        ptr::eq(first.cast(), &raw const (*bb).list) || (*first).length == 0
    }
}

/// A line that did not come; or one of nothing, which is the first thing that is read at the end of a connection.
/// Returns what mod_proxy shall see: an answer that ends before it has begun looks like a time-out, because
/// mod_proxy_http drops the client's connection otherwise.
///
/// # Safety
/// `bb` is httpd's brigade of the read.
#[cold]
unsafe fn ended_line(
    bb: *const sys::apr_bucket_brigade,
    status: sys::apr_status_t,
) -> sys::apr_status_t {
    // SAFETY: by the caller's promise.
    if status == SUCCESS && unsafe { sys::live_brigade_is_empty(bb) == 0 } {
        return status;
    }
    let ended = if status == SUCCESS {
        sys::APR_EOF as sys::apr_status_t
    } else {
        status
    };
    guard("a line that did not come", status, || {
        let (Some(cause), Some(conn)) = (cause_of(ended), request::last_conn()) else {
            return status;
        };
        note(&conn, cause);
        let hide = cause != Cause::TimedOut && child_rescues(&conn);
        if hide && with_request(|r| !r.is_answered()) == Some(true) {
            sys::APR_TIMEUP as sys::apr_status_t
        } else {
            status
        }
    })
}

/// A read that does not wait, or one of any number of bytes.
///
/// # Safety
/// As for `input_filter`, which httpd calls.
#[inline(never)]
unsafe fn other_read(
    f: *mut sys::ap_filter_t,
    bb: *mut sys::apr_bucket_brigade,
    mode: sys::ap_input_mode_t,
    block: sys::apr_read_type_e,
    readbytes: sys::apr_off_t,
) -> sys::apr_status_t {
    // Before each use of a pooled connection ap_check_pipeline() has a look at it.
    if mode == sys::ap_input_mode_t_AP_MODE_SPECULATIVE {
        // SAFETY: httpd passes our filter with the context of `attach`, which holds a reference.
        let conn = unsafe { (*f).ctx.cast::<Conn>().cast_const() };
        // SAFETY: `conn` came from Arc::into_raw, and the connection's pool holds that reference.
        if unsafe { begin_use(conn) }.is_err() {
            return sys::APR_EOF as sys::apr_status_t;
        }
    }
    // SAFETY: the next filter of this connection, with httpd's own arguments.
    let status = unsafe { sys::ap_get_brigade((*f).next, bb, mode, block, readbytes) };
    // Nothing at all is what a read brings that would have to wait.
    // SAFETY: httpd's brigade of this read; its list begins with a bucket, or is its own sentinel.
    let ends = unsafe {
        let first = (*bb).list.next;
        if ptr::eq(first.cast(), &raw const (*bb).list) {
            block == WAITS
        } else {
            (*first).length == 0
        }
    };
    if mode == BYTES && (status != SUCCESS || ends) {
        // SAFETY: as above.
        unsafe { ended_piece(bb, status, block == WAITS) };
    }
    status
}

/// A piece that did not come, or one of nothing. An end may be the regular one, then the attempt succeeds.
///
/// # Safety
/// `bb` is httpd's brigade of the read, `status` its outcome.
#[cold]
unsafe fn ended_piece(bb: *const sys::apr_bucket_brigade, status: sys::apr_status_t, waits: bool) {
    guard("a piece that did not come", (), || {
        let Some(conn) = request::last_conn() else {
            return;
        };
        let http2 = child::current().is_some_and(|child| child.speaks_http2(conn.entry));
        let cause = if status == SUCCESS {
            // SAFETY: by the caller's promise.
            let ends = unsafe { sys::live_brigade_ends(bb, waits.into()) != 0 };
            ends.then_some(Cause::Closed)
        } else {
            cause_of(status).filter(|c| *c != Cause::TimedOut || (http2 && gives_up(&conn)))
        };
        if let Some(cause) = cause {
            note(&conn, cause);
        }
    });
}

/// How long mod_proxy_http2 waits at most for a backend that it has more to send to.
const ITS_TURN_US: sys::apr_interval_time_t = 100_000;

/// Whether a time-out is more than a turn of mod_proxy_http2's loop.
fn gives_up(conn: &Conn) -> bool {
    let c = conn.record() as *mut sys::conn_rec;
    // SAFETY: NULL, or a record that lives (see `note`).
    !c.is_null() && unsafe { sys::live_socket_timeout(c) } > ITS_TURN_US
}

pub(super) fn child_rescues(conn: &Conn) -> bool {
    child::current().is_some_and(|child| child.rescues(conn.entry))
}

/// Notes how the attempt under way in this thread has failed on this connection, which is its own.
pub(super) fn note(conn: &Conn, cause: Cause) {
    let c = conn.record() as *const sys::conn_rec;
    // SAFETY: NULL, or a record that lives: it is forgotten in the cleanup of its pool (`forget`), which only the
    // thread that uses the connection runs, and this is that thread.
    let served = unsafe { c.as_ref() }.is_some_and(|c| c.keepalives > 0);
    // mod_proxy_http2 does not count.
    let http2 = child::current().is_some_and(|child| child.speaks_http2(conn.entry));
    let reused = served || (http2 && conn.is_reused());
    let begun = with_request(|r| r.has_status()) == Some(true);
    // SAFETY: as above.
    let tls = !c.is_null() && unsafe { sys::live_tls_failed(c) != 0 };
    let cause = match cause {
        _ if conn.wait.is_over() => Cause::Hung,
        _ if conn.is_ended() => Cause::Dead,
        _ if tls => Cause::Tls,
        other => other,
    };
    request::note_failure(Failure {
        cause,
        reused,
        begun,
    });
}

/// What the status of a read says about the peer; None: nothing.
pub(super) fn cause_of(status: sys::apr_status_t) -> Option<Cause> {
    const EOF: sys::apr_status_t = sys::APR_EOF as sys::apr_status_t;
    const TIMEUP: sys::apr_status_t = sys::APR_TIMEUP as sys::apr_status_t;
    match status {
        EOF => Some(Cause::Closed),
        TIMEUP => Some(Cause::TimedOut),
        libc::EAGAIN | libc::EINTR => None,
        libc::ETIMEDOUT | libc::EHOSTUNREACH | libc::ENETUNREACH | libc::EHOSTDOWN => {
            Some(Cause::Dead)
        }
        _ => Some(Cause::Reset),
    }
}

/// A look at a pooled connection, which is an attempt's first one if it has not used it before: then true. The
/// error: it was shut down meanwhile.
///
/// # Safety
/// `conn` came from Arc::into_raw and somebody holds that reference during the call.
pub(super) unsafe fn begin_use(conn: *const Conn) -> Result<bool, Ended> {
    guard("the look at a connection", Ok(false), || {
        // SAFETY: by the caller's promise.
        let here = unsafe { &*conn };
        // SAFETY: as above; the count is raised for the Arc made here.
        let arc = || unsafe {
            Arc::increment_strong_count(conn);
            Arc::from_raw(conn)
        };
        let Some(touched) = request::touch(here, arc, false)? else {
            return Ok(false);
        };
        here.set_reused();
        say_addr(here, &touched);
        if let Some(r) = request_of(&touched) {
            fit_limit(here, r, touched.had_body);
        }
        if let Some(child) = child::current() {
            eager::begin_wait(child, here);
        }
        Ok(true)
    })
}
