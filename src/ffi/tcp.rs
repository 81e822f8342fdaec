//! Sockets to backends: what the kernel knows of them, and what it is told.

use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::sys;
use crate::adopt::registry::{Conn, Silence};
use crate::logic::addr::Addr;
use crate::logic::ended::Pulse;

/// How long a request without the first byte of an answer counts as ordinary, in milliseconds.
const SILENT_MS: u32 = 250;
/// The kernel's question after a second of silence should have been answered by now.
const UNHEARD_MS: u32 = 1_050;
/// After so many seconds without a word from the peer the kernel asks whether it is still there, and again.
const KEEPALIVE_S: c_int = 1;
/// Questions without an answer after which a connection without TCP_USER_TIMEOUT is ended.
const KEEPALIVE_COUNT: c_int = 2;
/// What the peer leaves unacknowledged for so long ends the connection.
const USER_TIMEOUT: Duration = Duration::from_secs(3);

/// Whether a request went out on this connection a while ago and nothing has come back.
///
/// The caller holds the registry's lock, so the descriptor is still this connection's.
pub fn silence(conn: &Conn) -> Silence {
    let Some(info) = Info::of(conn.fd) else {
        return Silence::None;
    };
    if info.pulse.probes > 0 && info.pulse.last_ack_ms >= UNHEARD_MS {
        return Silence::Total;
    }
    // Each repetition of unacknowledged data is "sent" again: after the first one enough is known.
    // A clock tick cannot tell what was sent and received within it: one look too many.
    let long = info.pulse.retransmits > 0 || info.sent_ms >= SILENT_MS;
    if info.received_ms >= info.sent_ms && long {
        Silence::Answer
    } else {
        Silence::None
    }
}

/// The signs of life of this connection's peer. The caller holds the registry's lock.
pub fn pulse(conn: &Conn) -> Option<Pulse> {
    Info::of(conn.fd).map(|info| info.pulse)
}

/// Whether nothing has come since the last data were sent.
pub(super) fn waits(conn: &Conn) -> bool {
    Info::of(conn.fd).is_some_and(|info| info.never_heard || info.received_ms > info.sent_ms)
}

/// What the kernel knows of a connection.
struct Info {
    /// Milliseconds since the last data were sent and received (for a new connection: since it began).
    sent_ms: u32,
    received_ms: u32,
    /// Nothing was ever received.
    never_heard: bool,
    pulse: Pulse,
}

impl Info {
    /// Reads `struct tcp_info` of linux/tcp.h, whose later fields libc does not know.
    fn of(fd: i32) -> Option<Self> {
        const RETRANSMITS: usize = 2;
        const PROBES: usize = 3;
        const LAST_DATA_SENT: usize = 44;
        const LAST_DATA_RECV: usize = 52;
        const LAST_ACK_RECV: usize = 56;
        const BYTES_RECEIVED: usize = 128;
        const LEN: usize = BYTES_RECEIVED + 8;
        let mut info = [0u8; LEN];
        let mut len = LEN as libc::socklen_t;
        // SAFETY: `info` has room for `len` bytes.
        let status = unsafe {
            libc::getsockopt(
                fd,
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
        let received_ms = age(LAST_DATA_RECV)?;
        Some(Self {
            sent_ms: age(LAST_DATA_SENT)?,
            received_ms,
            never_heard: info[BYTES_RECEIVED..].iter().all(|b| *b == 0),
            pulse: Pulse {
                last_ack_ms: age(LAST_ACK_RECV)?.min(received_ms),
                probes: info[PROBES],
                retransmits: info[RETRANSMITS],
            },
        })
    }
}

/// Has the kernel find out when this socket's peer is gone: a connection whose peer answers nothing for 3 s,
/// although asked, ends with an error.
pub(super) fn watch_peer(fd: i32, limited: bool) {
    set(fd, libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1);
    set(fd, libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, KEEPALIVE_S);
    set(fd, libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, KEEPALIVE_S);
    set(fd, libc::IPPROTO_TCP, libc::TCP_KEEPCNT, KEEPALIVE_COUNT);
    if limited {
        limit(fd, true);
    }
}

/// Limits how long data may stay unacknowledged. Not for requests with a body, nor for tunnels: the kernel
/// counts a peer that lives, but reads nothing for long, as silent (tcp(7), TCP_USER_TIMEOUT; Linux, tcp_timer.c).
pub(super) fn limit(fd: i32, limited: bool) {
    let time = if limited { USER_TIMEOUT.as_millis() } else { 0 };
    set(fd, libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, time as c_int);
}

/// Sets a socket option. One that cannot be set leaves a connection as httpd has made it.
fn set(fd: i32, level: c_int, name: c_int, value: c_int) {
    // SAFETY: `value` is an int, as all these options want it.
    unsafe {
        libc::setsockopt(
            fd,
            level,
            name,
            (&raw const value).cast(),
            size_of::<c_int>() as libc::socklen_t,
        );
    }
}

/// Shuts a connection down; its owner finds it ended.
///
/// The caller holds the registry's lock, so the descriptor is still this connection's; the peer is
/// compared all the same, because a wrong shutdown would hit a stranger.
pub fn shut_down(conn: &Conn) {
    if peer_of(conn.fd) == Some((conn.peer, conn.port)) {
        // SAFETY: a system call on a descriptor that is open, as just seen.
        unsafe { libc::shutdown(conn.fd, libc::SHUT_RDWR) };
    }
}

/// apr's addresses hold a whole sockaddr_storage (APR_HAVE_SA_STORAGE).
const _: () = assert!(
    size_of::<sys::apr_sockaddr_t__bindgen_ty_1>() >= size_of::<libc::sockaddr_storage>()
        && align_of::<sys::apr_sockaddr_t__bindgen_ty_1>() >= align_of::<libc::sockaddr_storage>()
);

/// Descriptor, peer's address and port of an apr socket. One that was reset already is not connected any more:
/// then what was dialled counts.
///
/// # Safety
/// `socket` is an open apr socket that no other thread uses now.
pub(super) unsafe fn of_apr(socket: *mut sys::apr_socket_t) -> Option<(i32, Addr, u16)> {
    let mut fd = -1;
    // SAFETY: by the caller's promise; `fd` is written to.
    let status = unsafe { sys::apr_os_sock_get(&mut fd, socket) };
    if status != sys::APR_SUCCESS as i32 {
        return None;
    }
    let (addr, port) = peer_of(fd).or_else(|| {
        let mut dialled: *mut sys::apr_sockaddr_t = std::ptr::null_mut();
        let which = sys::apr_interface_e_APR_REMOTE;
        // SAFETY: as above; `dialled` is written to.
        let status = unsafe { sys::apr_socket_addr_get(&mut dialled, which, socket) };
        if status != sys::APR_SUCCESS as i32 || dialled.is_null() {
            return None;
        }
        // SAFETY: apr's address of the socket, which holds a whole sockaddr_storage.
        let storage = unsafe {
            (&raw const (*dialled).sa)
                .cast::<libc::sockaddr_storage>()
                .read()
        };
        addr_of(&storage)
    })?;
    Some((fd, addr, port))
}

/// Address and port of a socket's peer; None if it is no connected IP socket.
pub(super) fn peer_of(fd: i32) -> Option<(Addr, u16)> {
    let mut storage = MaybeUninit::<libc::sockaddr_storage>::zeroed();
    let mut len = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    // SAFETY: `storage` has room for `len` bytes.
    let status = unsafe { libc::getpeername(fd, storage.as_mut_ptr().cast(), &mut len) };
    if status != 0 {
        return None;
    }
    // SAFETY: zeroed before, and (partly) filled by the kernel: any bytes are valid.
    let storage = unsafe { storage.assume_init() };
    addr_of(&storage)
}

/// Address and port in a socket address; None if it is no IP address.
fn addr_of(storage: &libc::sockaddr_storage) -> Option<(Addr, u16)> {
    match i32::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says which type it is; sockaddr_storage is large and aligned enough.
            let sin = unsafe { &*(&raw const *storage).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(sin.sin_addr.s_addr));
            Some((Addr::v4(ip), u16::from_be(sin.sin_port)))
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let sin6 = unsafe { &*(&raw const *storage).cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(sin6.sin6_addr.s6_addr);
            Some((
                Addr::v6(ip, sin6.sin6_scope_id),
                u16::from_be(sin6.sin6_port),
            ))
        }
        _ => None,
    }
}
