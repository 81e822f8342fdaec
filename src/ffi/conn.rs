//! Connections to backends: how they get into the registry, are marked as used, and leave it.

use std::ffi::{CStr, c_int, c_void};
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ptr;
use std::sync::Arc;

use super::guard::guard;
use super::sys;
use crate::adopt::child;
use crate::adopt::registry::{Conn, Ended};
use crate::adopt::request;
use crate::board::Kick;
use crate::logic::addr::Addr;

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
        let mut fd = -1;
        // SAFETY: `csd` is the apr socket of this connection.
        let status = unsafe { sys::apr_os_sock_get(&mut fd, csd.cast()) };
        let peer = (status == sys::APR_SUCCESS as i32)
            .then(|| peer_of(fd))
            .flatten();
        if let Some((addr, port)) = peer {
            let conn = Arc::new(Conn::new(entry, addr, port, fd, Some(attempt)));
            let _ = request::touch(&conn, true);
            child.registry.add(conn.clone());
            // SAFETY: `c` is live and used by this thread only.
            unsafe { attach(c, conn) };
        }
        OK
    })
}

/// # Safety
/// `c` is a live connection that only this thread uses.
unsafe fn attach(c: *mut sys::conn_rec, conn: Arc<Conn>) {
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
        sys::ap_add_input_filter(FILTER.as_ptr(), raw, ptr::null_mut(), c);
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
        // Closed in the middle of an attempt that has had no answer: it was reset, closed by its peer, or
        // given up by httpd.
        if conn.is_used() && Ages::of(&conn).is_some_and(|ages| ages.waits()) {
            child.kick(conn.entry as usize, Kick::Failed);
        }
    });
    sys::APR_SUCCESS as sys::apr_status_t
}

/// Every use of a pooled connection begins with a look through its filters (ap_check_pipeline).
unsafe extern "C" fn input_filter(
    f: *mut sys::ap_filter_t,
    bb: *mut sys::apr_bucket_brigade,
    mode: sys::ap_input_mode_t,
    block: sys::apr_read_type_e,
    readbytes: sys::apr_off_t,
) -> sys::apr_status_t {
    // SAFETY: httpd passes our filter with the context of `attach`, which holds a reference.
    let (conn, next) = unsafe { ((*f).ctx.cast::<Conn>().cast_const(), (*f).next) };
    // SAFETY: as above; the reference ends before `begin_use`.
    let known = unsafe { (*conn).is_used_by(request::number()) };
    // Runs for each line of an answer: the ordinary case is two loads.
    // SAFETY: `conn` came from Arc::into_raw, and the connection's pool holds that reference.
    if !known && unsafe { begin_use(conn) }.is_err() {
        return sys::APR_EOF as sys::apr_status_t;
    }
    // SAFETY: the next filter of this connection, with httpd's own arguments.
    unsafe { sys::ap_get_brigade(next, bb, mode, block, readbytes) }
}

/// The first look of an attempt at a pooled connection. The error: it was shut down meanwhile.
///
/// # Safety
/// `conn` came from Arc::into_raw and somebody holds that reference during the call.
#[cold]
unsafe fn begin_use(conn: *const Conn) -> Result<(), Ended> {
    guard("the input filter", Ok(()), || {
        // SAFETY: by the caller's promise; the count is raised for the Arc made here and lowered when
        // that drops.
        let conn = unsafe {
            Arc::increment_strong_count(conn);
            Arc::from_raw(conn)
        };
        request::touch(&conn, false)
    })
}

/// How long a request without the first byte of an answer counts as ordinary, in milliseconds.
const SILENT_MS: u32 = 250;

/// Whether a request went out on this connection a while ago and nothing has come back.
///
/// The caller holds the registry's lock, so the descriptor is still this connection's.
pub fn is_silent(conn: &Conn) -> bool {
    Ages::of(conn).is_some_and(|ages| {
        // Each repetition of unacknowledged data is "sent" again: after the first one enough is known.
        // A clock tick cannot tell what was sent and received within it: one look too many.
        ages.received_ms >= ages.sent_ms && (ages.repeats || ages.sent_ms >= SILENT_MS)
    })
}

/// What the kernel knows of the data on a connection.
struct Ages {
    /// Milliseconds since the last data were sent and received (for a new connection: since it began).
    sent_ms: u32,
    received_ms: u32,
    /// Sent data are being repeated, because nobody acknowledges them.
    repeats: bool,
    /// Nothing was ever received.
    never_heard: bool,
}

impl Ages {
    /// Reads `struct tcp_info` of linux/tcp.h, whose later fields libc does not know.
    fn of(conn: &Conn) -> Option<Self> {
        const RETRANSMITS: usize = 2;
        const LAST_DATA_SENT: usize = 44;
        const LAST_DATA_RECV: usize = 52;
        const BYTES_RECEIVED: usize = 128;
        const LEN: usize = BYTES_RECEIVED + 8;
        let mut info = [0u8; LEN];
        let mut len = LEN as libc::socklen_t;
        // SAFETY: `info` has room for `len` bytes.
        let status = unsafe {
            libc::getsockopt(
                conn.fd,
                libc::IPPROTO_TCP,
                libc::TCP_INFO,
                info.as_mut_ptr().cast(),
                &mut len,
            )
        };
        if status != 0 || len as usize != LEN {
            return None;
        }
        let age = |at: usize| info[at..].first_chunk().map(|b| u32::from_ne_bytes(*b));
        Some(Self {
            sent_ms: age(LAST_DATA_SENT)?,
            received_ms: age(LAST_DATA_RECV)?,
            repeats: info[RETRANSMITS] > 0,
            never_heard: info[BYTES_RECEIVED..].iter().all(|b| *b == 0),
        })
    }

    /// Nothing has come since the last data were sent.
    fn waits(&self) -> bool {
        self.never_heard || self.received_ms > self.sent_ms
    }
}

/// Shuts an idle connection down; its owner finds it ended at its next use.
///
/// The caller holds the registry's lock, so the descriptor is still this connection's; the peer is
/// compared all the same, because a wrong shutdown would hit a stranger.
pub fn shut_down(conn: &Conn) {
    if peer_of(conn.fd) == Some((conn.peer, conn.port)) {
        // SAFETY: a system call on a descriptor that is open, as just seen.
        unsafe { libc::shutdown(conn.fd, libc::SHUT_RDWR) };
    }
}

/// Address and port of a socket's peer; None if it is no connected IP socket.
fn peer_of(fd: i32) -> Option<(Addr, u16)> {
    let mut storage = MaybeUninit::<libc::sockaddr_storage>::zeroed();
    let mut len = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    // SAFETY: `storage` has room for `len` bytes.
    let status = unsafe { libc::getpeername(fd, storage.as_mut_ptr().cast(), &mut len) };
    if status != 0 {
        return None;
    }
    // SAFETY: zeroed before, and (partly) filled by the kernel: any bytes are valid.
    let storage = unsafe { storage.assume_init() };
    match i32::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says which type it is; sockaddr_storage is large and aligned enough.
            let sin = unsafe { &*(&raw const storage).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(sin.sin_addr.s_addr));
            Some((Addr::v4(ip), u16::from_be(sin.sin_port)))
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let sin6 = unsafe { &*(&raw const storage).cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(sin6.sin6_addr.s6_addr);
            Some((
                Addr::v6(ip, sin6.sin6_scope_id),
                u16::from_be(sin6.sin6_port),
            ))
        }
        _ => None,
    }
}
