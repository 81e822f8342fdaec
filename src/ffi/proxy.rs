//! Views of httpd's servers and of mod_proxy's workers.

use std::ffi::c_char;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use super::sys;
use super::text;

mod balancer;

pub use balancer::{Balancer, BalancerHandle, LockedBalancer};

/// A server or virtual host of the configuration in force.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Server(*mut sys::server_rec);

// SAFETY: server_recs live in pconf as long as the configuration (in a child: as long as it lives) and
// are only read after the configuration phase.
unsafe impl Send for Server {}
// SAFETY: as above: read only.
unsafe impl Sync for Server {}

impl Server {
    /// `raw` is a server_rec of the configuration that is being read or in force.
    pub(super) const fn new(raw: *mut sys::server_rec) -> Self {
        Self(raw)
    }

    pub(super) const fn raw(self) -> *mut sys::server_rec {
        self.0
    }

    /// Tells servers apart while one configuration lives.
    pub fn key(self) -> usize {
        self.0 as usize
    }

    /// `ServerName` and port: that of a virtual host's first address when its `ServerName` has none. The main server
    /// may have none at all.
    pub fn name(self) -> String {
        // SAFETY: a live server_rec; its name is NULL or a C string in pconf, its addresses NULL or a list there.
        let (name, port) = unsafe {
            let addrs = (*self.0).addrs.as_ref().filter(|_| self.is_virtual());
            let port = match (*self.0).port {
                0 => addrs.map_or(0, |addr| addr.host_port),
                port => port,
            };
            (text((*self.0).server_hostname), port)
        };
        match port {
            0 => name,
            port => format!("{name}:{port}"),
        }
    }

    /// `file:line` of its `<VirtualHost>`; None for the main server.
    pub fn place(self) -> Option<String> {
        // SAFETY: a live server_rec; the file's name is NULL or a C string in pconf.
        let place = unsafe {
            let file = text((*self.0).defn_name);
            format!("{file}:{}", (*self.0).defn_line_number)
        };
        self.is_virtual().then_some(place)
    }

    pub fn is_virtual(self) -> bool {
        // SAFETY: a live server_rec (see `new`).
        unsafe { (*self.0).is_virtual != 0 }
    }

    /// This server and those behind it in httpd's list; from the main server: all of them.
    pub fn chain(self) -> impl Iterator<Item = Self> {
        std::iter::successors(Some(self), |s| {
            // SAFETY: a live server_rec; `next` is NULL or another one.
            let next = unsafe { (*s.0).next };
            (!next.is_null()).then_some(Self(next))
        })
    }

    fn conf(&self) -> Option<&sys::proxy_server_conf> {
        // SAFETY: mod_proxy made a configuration for each server; it lives in pconf like the server, and is
        // changed last in mod_proxy's own child_init, which comes before ours.
        unsafe { sys::live_proxy_conf(self.0).as_ref() }
    }

    /// Calls `visit` for each worker that mod_proxy knows in this server: first the plain ones, then
    /// the members of its balancers (with the balancer's name, `balancer://...`).
    pub fn workers(self, mut visit: impl FnMut(Worker, Option<&str>)) {
        let Some(conf) = self.conf() else { return };
        for worker in elements_of::<sys::proxy_worker>(conf.workers) {
            visit(Worker(worker), None);
        }
        self.balancers(|balancer| {
            for member in &balancer.members {
                visit(*member, Some(&balancer.name));
            }
        });
    }

    /// Calls `visit` for each balancer that mod_proxy knows in this server. Virtual hosts that inherit a
    /// balancer have the same members.
    pub fn balancers(self, mut visit: impl FnMut(&Balancer)) {
        let Some(conf) = self.conf() else { return };
        for balancer in elements_of::<sys::proxy_balancer>(conf.balancers) {
            // SAFETY: an element of mod_proxy's array of balancers; `s` is set since its definition.
            let (shared, members) = unsafe { ((*balancer).s, (*balancer).workers) };
            let (name, recovers) = if shared.is_null() {
                (String::new(), false)
            } else {
                // SAFETY: the balancer's shared part. Other processes write to it: no reference to it.
                unsafe {
                    let name = array_text(&raw const (*shared).name);
                    (name, sys::live_balancer_recovers(shared) != 0)
                }
            };
            let members = elements_of::<*mut sys::proxy_worker>(members)
                // SAFETY: an element of the array of pointers to members.
                .map(|member| Worker(unsafe { *member }))
                .collect();
            visit(&Balancer {
                name,
                members,
                recovers,
                handle: BalancerHandle::new(balancer),
            });
        }
    }

    /// The `ProxyRemote` lines in force: the pattern, or None for a regular expression.
    pub fn remotes(self) -> Vec<Option<String>> {
        let Some(conf) = self.conf() else {
            return Vec::new();
        };
        elements_of::<sys::proxy_remote>(conf.proxies)
            .map(|remote| {
                // SAFETY: an element of mod_proxy's array of struct proxy_remote.
                let remote = unsafe { &*remote };
                // SAFETY: `scheme` is a C string in pconf.
                (remote.use_regex == 0).then(|| unsafe { text(remote.scheme) })
            })
            .collect()
    }
}

/// Pointers to the elements of an apr array that holds values of type T.
///
/// A newer httpd may have appended fields to T: the array says how far its elements are apart.
fn elements_of<T>(array: *mut sys::apr_array_header_t) -> impl Iterator<Item = *mut T> {
    // SAFETY: `array` is NULL or an apr array of T (the callers name mod_proxy's arrays), not changed
    // meanwhile: post_config and child_init run alone; remotes, which are looked at later too, never change.
    let (base, size, count) = unsafe {
        match array.as_ref() {
            Some(a) => (a.elts, a.elt_size, a.nelts),
            None => (std::ptr::null_mut(), 0, 0),
        }
    };
    let size = usize::try_from(size).unwrap_or(0);
    let fits = size >= size_of::<T>();
    let count = if fits {
        usize::try_from(count).unwrap_or(0)
    } else {
        0
    };
    (0..count).map(move |i| base.wrapping_add(i * size).cast::<T>())
}

/// A worker of mod_proxy: a plain one or a member of a balancer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Worker(*mut sys::proxy_worker);

// SAFETY: from post_config on a proxy_worker stays where it is until its configuration is replaced
// (in a child: until it ends); what changes in it is used under mod_proxy's own locks or atomically.
unsafe impl Send for Worker {}
// SAFETY: as above.
unsafe impl Sync for Worker {}

impl Worker {
    pub(super) const fn new(raw: *mut sys::proxy_worker) -> Self {
        Self(raw)
    }

    pub(super) const fn raw(self) -> *mut sys::proxy_worker {
        self.0
    }

    /// Tells workers apart (the same worker in two virtual hosts has two keys).
    pub fn key(self) -> usize {
        self.0 as usize
    }

    /// The key of the part that copies of a worker share while the configuration is read.
    pub fn shared_key(self) -> usize {
        self.shared_raw() as usize
    }

    /// Other processes and threads write to it all the time (counters, status, what balancer-manager changes), so
    /// there is no reference to it, and what may change is read atomically.
    pub(super) fn shared_raw(self) -> *mut sys::proxy_worker_shared {
        // SAFETY: `s` is set by ap_proxy_define_worker and only ever replaced by a copy elsewhere
        // (slotmem) before the children start.
        unsafe { (*self.0).s }
    }

    /// The worker's URL, as the balancer-manager shows it.
    pub fn name(&self) -> String {
        // SAFETY: an array in the worker's shared part.
        unsafe { array_text(&raw const (*self.shared_raw()).name_ex) }
    }

    /// Name or address of the backend, as configured.
    pub fn host(&self) -> String {
        // SAFETY: an array in the worker's shared part.
        unsafe { array_text(&raw const (*self.shared_raw()).hostname_ex) }
    }

    /// The member's `route`; empty without.
    pub fn route(&self) -> String {
        // SAFETY: an array in the worker's shared part.
        unsafe { array_text(&raw const (*self.shared_raw()).route) }
    }

    pub fn scheme(&self) -> String {
        // SAFETY: an array in the worker's shared part.
        unsafe { array_text(&raw const (*self.shared_raw()).scheme) }
    }

    /// mod_proxy_http2 serves it.
    pub fn speaks_http2(&self) -> bool {
        matches!(self.scheme().as_str(), "h2" | "h2c")
    }

    /// Its connections to backends have records (http, https, ws, wss, h2, h2c).
    pub fn speaks_http(&self) -> bool {
        matches!(
            self.scheme().as_str(),
            "http" | "https" | "ws" | "wss" | "h2" | "h2c"
        )
    }

    /// The backend's port (never 0: mod_proxy fills in the scheme's).
    pub fn port(&self) -> u16 {
        // SAFETY: a word of the worker's shared part that nobody changes after the worker's definition.
        unsafe { (*self.shared_raw()).port }
    }

    pub fn is_unix_socket(&self) -> bool {
        // SAFETY: a byte of the worker's shared part that nobody changes after the worker's definition.
        unsafe { (*self.shared_raw()).uds_path[0] != 0 }
    }

    /// `ProxyPassMatch` with a substitution in the host part: every request has a host of its own.
    pub fn host_is_substituted(&self) -> bool {
        // SAFETY: reads a bit-field of the worker's shared part.
        let matchable = unsafe { sys::live_worker_host_matchable(self.shared_raw()) };
        matchable != 0 || self.host().contains('$')
    }

    /// Whether mod_proxy keeps the backend's address (`is_address_reusable` after initialization).
    pub fn keeps_address(&self) -> bool {
        // SAFETY: as above.
        unsafe { sys::live_worker_address_reusable(self.shared_raw()) != 0 }
    }

    /// `disablereuse=on`, given or implied.
    pub fn disables_reuse(&self) -> bool {
        // SAFETY: as above.
        unsafe { sys::live_worker_disables_reuse(self.shared_raw()) != 0 }
    }

    /// Whether mod_proxy_hcheck checks this worker (`hcmethod`), which then owns HC_FAIL.
    pub fn is_hchecked(&self) -> bool {
        // SAFETY: an aligned word of the worker's shared part, which balancer-manager may be writing to.
        let method = unsafe { AtomicU32::from_ptr(&raw mut (*self.shared_raw()).method) };
        method.load(Ordering::Relaxed) != sys::hcmethod_t_NONE
    }
}

/// Text in one of mod_proxy's fixed arrays, up to the NUL. Byte by byte: balancer-manager may be writing another
/// route there.
///
/// # Safety
/// `array` lies in memory that lives and may be written to.
unsafe fn array_text<const N: usize>(array: *const [c_char; N]) -> String {
    // SAFETY: by the caller's promise; a byte is always aligned, and valid whatever it is.
    let bytes = unsafe { &*array.cast::<[AtomicU8; N]>() };
    let bytes = bytes.iter().map(|byte| byte.load(Ordering::Relaxed));
    let bytes: Vec<u8> = bytes.take_while(|byte| *byte != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_end_at_the_nul_or_with_their_array() {
        let read = |mut bytes: [u8; 4]| {
            // SAFETY: an array of this test's own, which may be written to.
            unsafe { array_text((&raw mut bytes).cast::<[c_char; 4]>()) }
        };
        assert_eq!(read(*b"a\0b\0"), "a");
        assert_eq!(read(*b"abcd"), "abcd");
        assert_eq!(read(*b"\0bcd"), "");
        assert_eq!(read(*b"a\xff\0\0"), "a\u{fffd}");
    }

    /// The shared part is read while others write to it: each text is one of those that were there.
    #[test]
    fn what_others_change_is_read_without_a_reference() {
        let mut shared = Box::<sys::proxy_worker_shared>::default();
        let mut record = Box::<sys::proxy_worker>::default();
        record.s = &raw mut *shared;
        let worker = Worker::new(&raw mut *record);
        let raw = worker.shared_raw();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                // SAFETY: memory of this test that outlives the thread; each access is atomic.
                let (route, method) = unsafe {
                    let raw = worker.shared_raw();
                    (
                        AtomicU8::from_ptr((&raw mut (*raw).route).cast()),
                        AtomicU32::from_ptr(&raw mut (*raw).method),
                    )
                };
                for turn in 0..1_000 {
                    route.store(b"ab"[turn % 2], Ordering::Relaxed);
                    method.store(sys::hcmethod_t_TCP, Ordering::Relaxed);
                }
            });
            for _ in 0..1_000 {
                assert!(matches!(worker.route().as_str(), "" | "a" | "b"));
            }
        });
        assert!(worker.is_hchecked() && worker.shared_key() == raw as usize);
    }
}
