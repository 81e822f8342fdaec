//! Addresses in `worker->address`, as httpd's proxy_util.c (ap_proxy_determine_address) keeps them.
//!
//! `struct proxy_address` is private to mod_proxy. Its layout is checked in each child on an object
//! that mod_proxy made itself ([`verify`]) before the module ever touches one.

use std::ffi::{CString, c_char};
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use super::proxy::{Server, Worker};
use super::sys;
use super::to_pool;
use crate::logic::addr::{Addr, Family};

/// `struct proxy_address` of proxy_util.c, 2.4.59 and later.
#[repr(C)]
struct ProxyAddress {
    addr: *mut sys::apr_sockaddr_t,
    hostname: *const c_char,
    hostport: sys::apr_port_t,
    /// One for `worker->address`, one for `cp->addr` if that is this one, one for each connection;
    /// and one of ours, so that a pointer that we compare with is never a recycled one.
    refcount: AtomicU32,
    /// Seconds since httpd's start; u32::MAX is never.
    expiry: AtomicU32,
}

/// apr_palloc aligns to so much (APR_ALIGN_DEFAULT).
const _: () = assert!(align_of::<ProxyAddress>() <= 8);

/// An address list that this module made and holds a reference on.
#[derive(PartialEq, Eq, Debug)]
pub struct Published(*mut ProxyAddress);

// SAFETY: the object is immutable but for its atomic counters; the reference keeps it alive.
unsafe impl Send for Published {}

impl Published {
    /// The value to compare `worker->address` with.
    pub fn key(&self) -> usize {
        self.0 as usize
    }

    /// Gives the reference back (nothing may compare with the key any more).
    fn release(self) {
        // SAFETY: we hold a reference, given up here.
        unsafe { unref(self.0) }
    }
}

/// Why addresses could not be published now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PublishError {
    /// httpd holds the worker's lock (it may be looking the name up): try again later.
    Busy,
    /// An address that apr does not take, or no memory.
    Refused,
}

/// The current value of `worker->address` (0 for none): the key of what new connections dial.
pub fn current(worker: Worker) -> usize {
    field(&worker).load(Ordering::Acquire) as usize
}

fn field(worker: &Worker) -> &AtomicPtr<ProxyAddress> {
    // SAFETY: `address` is a pointer-sized field that mod_proxy itself accesses atomically; the worker
    // outlives its view (see Worker).
    unsafe { AtomicPtr::from_ptr((&raw mut (*worker.raw()).address).cast()) }
}

/// Makes `addrs` (not empty) what new connections of `worker` dial, in this order.
///
/// Never waits. `old` is what this module published before; its reference is given back on success.
pub fn publish(
    worker: Worker,
    host: &str,
    port: u16,
    addrs: &[Addr],
    old: &mut Option<Published>,
) -> Result<(), PublishError> {
    // SAFETY: the worker is live; trylock fails for one that is not initialized.
    if unsafe { sys::live_worker_trylock(worker.raw()) } == 0 {
        return Err(PublishError::Busy);
    }
    // SAFETY: trylock saw `cp` set, and we hold the worker's lock.
    let result = unsafe { publish_locked(worker, host, port, addrs) };
    // SAFETY: locked above by this thread.
    unsafe { sys::live_worker_unlock(worker.raw()) };
    let new = result?;
    if let Some(previous) = old.replace(new) {
        previous.release();
    }
    Ok(())
}

/// # Safety
/// The worker's lock is held and its `cp` is set.
unsafe fn publish_locked(
    worker: Worker,
    host: &str,
    port: u16,
    addrs: &[Addr],
) -> Result<Published, PublishError> {
    // SAFETY: `cp` is set by the caller's promise; dns_pool is made together with it.
    let (cp, parent) = unsafe {
        let cp = (*worker.raw()).cp;
        (cp, (*cp).dns_pool)
    };
    // SAFETY: dns_pool has an allocator with a mutex: any thread may make subpools of it.
    let made = unsafe { build(parent, host, port, addrs) }.ok_or(PublishError::Refused)?;
    let slot = field(&worker);
    // SAFETY: `made` is ours alone until it is stored; cp->addr is guarded by the worker's lock.
    unsafe {
        let first = slot.load(Ordering::Acquire).is_null() && (*cp).addr.is_null();
        let refs = if first { 3 } else { 2 };
        (*made).refcount.store(refs, Ordering::Relaxed);
        if first {
            (*cp).addr = (*made).addr;
        }
    }
    let before = slot.swap(made, Ordering::AcqRel);
    if !before.is_null() {
        // SAFETY: worker->address held a reference on it, which is given back now.
        unsafe { unref(before) };
    }
    Ok(Published(made))
}

/// Builds the list and its owner in a pool of their own; None if an address is refused.
///
/// # Safety
/// `parent` is a live pool whose allocator is locked.
unsafe fn build(
    parent: *mut sys::apr_pool_t,
    host: &str,
    port: u16,
    addrs: &[Addr],
) -> Option<*mut ProxyAddress> {
    let mut pool = ptr::null_mut();
    // SAFETY: out-pointer and parent are valid; no abort function, the parent's allocator.
    let made = unsafe { sys::apr_pool_create_ex(&mut pool, parent, None, ptr::null_mut()) };
    if made != sys::APR_SUCCESS as i32 || pool.is_null() {
        return None;
    }
    // SAFETY: `pool` is ours alone until the object is published.
    let filled = unsafe { fill(pool, host, port, addrs) };
    if filled.is_none() {
        // SAFETY: nothing refers to the pool yet.
        unsafe { sys::apr_pool_destroy(pool) };
    }
    filled
}

/// # Safety
/// `pool` is a live pool that only this thread uses.
unsafe fn fill(
    pool: *mut sys::apr_pool_t,
    host: &str,
    port: u16,
    addrs: &[Addr],
) -> Option<*mut ProxyAddress> {
    // SAFETY: the pool is ours by the caller's promise, for this and the calls below.
    let hostname = unsafe { to_pool(pool, host) };
    let mut head: *mut sys::apr_sockaddr_t = ptr::null_mut();
    let mut tail: *mut sys::apr_sockaddr_t = ptr::null_mut();
    for addr in addrs {
        // SAFETY: as above.
        let Some(one) = (unsafe { sockaddr(pool, addr, port) }) else {
            // One that apr does not take (a scope that is gone) must not cost the others.
            continue;
        };
        // SAFETY: `one` was just made; `tail` is the one before it in the same pool.
        unsafe {
            (*one).hostname = hostname.cast_mut();
            (*one).next = ptr::null_mut();
            if tail.is_null() {
                head = one;
            } else {
                (*tail).next = one;
            }
        }
        tail = one;
    }
    if head.is_null() {
        return None;
    }
    // SAFETY: the pool is ours; apr aligns to 8, which is enough for ProxyAddress.
    unsafe {
        let memory = sys::apr_palloc(pool, size_of::<ProxyAddress>() as sys::apr_size_t);
        let address = memory.cast::<ProxyAddress>();
        address.write(ProxyAddress {
            addr: head,
            hostname,
            hostport: port,
            refcount: AtomicU32::new(1),
            expiry: AtomicU32::new(u32::MAX),
        });
        Some(address)
    }
}

/// # Safety
/// `pool` is a live pool that only this thread uses.
unsafe fn sockaddr(
    pool: *mut sys::apr_pool_t,
    addr: &Addr,
    port: u16,
) -> Option<*mut sys::apr_sockaddr_t> {
    let numeric = CString::new(addr.to_string()).ok()?;
    let family = match addr.family() {
        Family::V4 => sys::APR_INET,
        Family::V6 => sys::APR_INET6,
    };
    let mut made = ptr::null_mut();
    // SAFETY: `numeric` outlives the call; a numeric address is parsed without asking anybody.
    let status = unsafe {
        sys::apr_sockaddr_info_get(&mut made, numeric.as_ptr(), family as i32, port, 0, pool)
    };
    (status == sys::APR_SUCCESS as i32 && !made.is_null()).then_some(made)
}

/// Gives one reference back, as proxy_address_dec of proxy_util.c does.
///
/// # Safety
/// The caller owns one reference on `address`, made by mod_proxy or by this module.
unsafe fn unref(address: *mut ProxyAddress) {
    // SAFETY: alive while we hold our reference; the last owner destroys the pool that holds it all.
    unsafe {
        if (*address).refcount.fetch_sub(1, Ordering::AcqRel) == 1 {
            sys::apr_pool_destroy((*(*address).addr).pool);
        }
    }
}

/// Lets mod_proxy make an address of its own for a scratch worker and compares it with what this
/// module expects; then publishes one and lets mod_proxy use it.
///
/// Runs in child_init, before requests. The error says what was different.
pub(super) fn verify(main: Server, pchild: *mut sys::apr_pool_t) -> Result<(), String> {
    const URL: &std::ffi::CStr = c"http://127.0.0.1:9/";
    let mut raw = ptr::null_mut();
    // SAFETY: pchild is live and child_init is single-threaded; URL is a C string.
    let error = unsafe { sys::live_define_worker(pchild, &mut raw, URL.as_ptr()) };
    if !error.is_null() || raw.is_null() {
        return Err("mod_proxy refused a scratch worker".into());
    }
    // SAFETY: the worker was just defined; mod_proxy's child_init has run.
    if unsafe { sys::live_initialize_worker(raw, main.raw(), pchild) } != 0 {
        return Err("mod_proxy did not initialize a scratch worker".into());
    }
    let worker = Worker::new(raw);
    check_theirs(worker, main)?;
    let mut ours = None;
    let want = Addr::v4(std::net::Ipv4Addr::new(127, 0, 0, 2));
    publish(worker, "127.0.0.1", 9, &[want], &mut ours)
        .map_err(|e| format!("publishing an address failed: {e:?}"))?;
    check_ours(worker, main, &ours)
}

/// Has mod_proxy resolve the scratch worker's numeric address and looks at each field it filled in.
fn check_theirs(worker: Worker, main: Server) -> Result<(), String> {
    with_connection(worker, main, |conn| {
        // SAFETY: acquired and resolved just now; nobody else knows this worker.
        let c = unsafe { &*conn };
        let theirs: *mut ProxyAddress = c.address.cast();
        if theirs.is_null() || theirs as usize != current(worker) {
            return Err("the connection does not carry the worker's address".into());
        }
        // SAFETY: read as the layout we expect, from an object in an 8 KB pool block: in bounds.
        let seen = unsafe { &*theirs };
        let refs = seen.refcount.load(Ordering::Relaxed);
        let expiry = seen.expiry.load(Ordering::Relaxed);
        if seen.addr != c.addr || seen.hostname != c.hostname || seen.hostport != 9 {
            return Err("struct proxy_address starts with other fields".into());
        }
        if refs != 3 || expiry != u32::MAX {
            return Err(format!(
                "struct proxy_address counts differently (refcount {refs}, expiry {expiry})"
            ));
        }
        Ok(())
    })
}

/// Has mod_proxy take up what this module published.
fn check_ours(worker: Worker, main: Server, ours: &Option<Published>) -> Result<(), String> {
    with_connection(worker, main, |conn| {
        // SAFETY: as in `check_theirs`.
        let taken = unsafe { (*conn).address } as usize;
        match ours {
            Some(p) if p.key() == taken => Ok(()),
            _ => Err("mod_proxy did not take up a published address".into()),
        }
    })
}

fn with_connection(
    worker: Worker,
    main: Server,
    look: impl FnOnce(*mut sys::proxy_conn_rec) -> Result<(), String>,
) -> Result<(), String> {
    let mut conn = ptr::null_mut();
    // SAFETY: the scratch worker is initialized and used by this thread only.
    if unsafe { sys::live_acquire_connection(&mut conn, worker.raw(), main.raw()) } != 0
        || conn.is_null()
    {
        return Err("mod_proxy gave no connection of a scratch worker".into());
    }
    // SAFETY: `conn` was just acquired; the address is numeric, nobody is asked.
    let status = unsafe { sys::live_determine_address(conn, c"127.0.0.1".as_ptr(), 9, main.raw()) };
    let result = if status == sys::APR_SUCCESS as i32 {
        look(conn)
    } else {
        Err(format!(
            "mod_proxy could not resolve 127.0.0.1 (status {status})"
        ))
    };
    // SAFETY: acquired above, given back once.
    unsafe { sys::live_release_connection(conn, main.raw()) };
    result
}
