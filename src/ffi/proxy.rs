//! Views of httpd's servers and of mod_proxy's workers.

use std::slice;

use super::sys;
use super::text;

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

    /// `ServerName` and port.
    pub fn name(self) -> String {
        // SAFETY: a live server_rec; its name is NULL or a C string in pconf.
        unsafe {
            let name = text((*self.0).server_hostname);
            format!("{name}:{}", (*self.0).port)
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

    fn conf(self) -> Option<&'static sys::proxy_server_conf> {
        // SAFETY: mod_proxy made a configuration for each server; it lives in pconf like the server.
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
            // SAFETY: NULL or the balancer's shared part; its name is a C string.
            let (name, recovers) = unsafe {
                let name = shared
                    .as_ref()
                    .map_or(std::ptr::null(), |s| s.name.as_ptr());
                (
                    text(name),
                    !shared.is_null() && sys::live_balancer_recovers(shared) != 0,
                )
            };
            let members = elements_of::<*mut sys::proxy_worker>(members)
                // SAFETY: an element of the array of pointers to members.
                .map(|member| Worker(unsafe { *member }))
                .collect();
            visit(&Balancer {
                name,
                members,
                recovers,
                handle: BalancerHandle(balancer),
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

/// A balancer as it was configured.
#[derive(Clone, Debug)]
pub struct Balancer {
    /// `balancer://...`
    pub name: String,
    pub members: Vec<Worker>,
    /// `forcerecovery`: when all members are in error, mod_proxy_balancer tries them all again.
    pub recovers: bool,
    /// mod_proxy's own.
    pub handle: BalancerHandle,
}

/// A balancer of mod_proxy, for what the administrator may change at run time.
#[derive(Clone, Copy, Debug)]
pub struct BalancerHandle(*mut sys::proxy_balancer);

// SAFETY: from post_config on a proxy_balancer stays where it is until its configuration is replaced; what
// is read of it are single words.
unsafe impl Send for BalancerHandle {}
// SAFETY: as above.
unsafe impl Sync for BalancerHandle {}

impl BalancerHandle {
    /// How often mod_proxy tries another member (`maxattempts`).
    pub fn max_attempts(self) -> i32 {
        // SAFETY: the balancer lives (see above), and its shared part is set since its definition.
        unsafe { sys::live_balancer_max_attempts(self.0) }
    }

    /// Whether sessions must not leave their member (`nofailover`).
    pub fn binds_sessions(self) -> bool {
        // SAFETY: as above.
        unsafe { sys::live_balancer_binds_sessions(self.0) != 0 }
    }

    /// Whether a response time-out puts a member into error (`failontimeout`).
    pub fn fails_on_timeout(self) -> bool {
        // SAFETY: as above.
        unsafe { sys::live_balancer_fails_on_timeout(self.0) != 0 }
    }
}

impl BalancerHandle {
    /// Copies of a balancer in virtual hosts have the same members, and the same key.
    pub fn members_key(self) -> usize {
        // SAFETY: as above; `workers` is set since its definition and never replaced.
        unsafe { (*self.0).workers as usize }
    }

    /// How many members can be added at run time (`growth=`).
    pub fn growth(self) -> u32 {
        // SAFETY: as above; set while the configuration is read.
        u32::try_from(unsafe { (*self.0).growth }).unwrap_or(0)
    }

    /// Whether members were added in another process that this one has not looked at yet.
    pub fn is_outdated(self) -> bool {
        // SAFETY: as above: two words.
        unsafe { sys::live_balancer_is_outdated(self.0) != 0 }
    }

    /// How many members this process knows.
    pub fn count(self) -> usize {
        // SAFETY: as above: one word of the array, which lives as long as the balancer.
        usize::try_from(unsafe { sys::live_balancer_count(self.0) }).unwrap_or(0)
    }

    /// Lets mod_proxy try so many other members when nobody has said how many, as httpd does when a child begins.
    pub fn allow_attempts(self, attempts: i32) {
        // SAFETY: words of the balancer's shared part that httpd itself writes without a lock (child_init).
        unsafe { sys::live_balancer_allow_attempts(self.0, attempts) }
    }
}

/// The copies of one balancer, with their locks.
#[derive(Debug)]
pub struct LockedBalancer<'a> {
    /// Those that are locked.
    copies: &'a [(Server, BalancerHandle)],
}

impl<'a> LockedBalancer<'a> {
    /// None when httpd holds one of the locks: never waits.
    pub fn try_lock(copies: &'a [(Server, BalancerHandle)]) -> Option<Self> {
        let mut locked = Self {
            copies: &copies[..0],
        };
        for (at, (_, handle)) in copies.iter().enumerate() {
            // SAFETY: a balancer of this child, whose lock was made in child_init.
            if unsafe { sys::live_balancer_trylock(handle.0) } == 0 {
                return None;
            }
            locked.copies = &copies[..=at];
        }
        Some(locked)
    }

    /// Adds the members that other processes have added, as each request does.
    pub fn sync(&self) {
        for (server, handle) in self
            .copies
            .iter()
            .filter(|(_, handle)| handle.is_outdated())
        {
            // SAFETY: this server's balancer, whose lock is held as httpd holds it for this call.
            unsafe { sys::live_balancer_sync(handle.0, server.0) };
        }
    }

    /// The members that this process knows. balancer-manager may be making one of them in another thread right
    /// now: see [`LockedBalancer::is_complete`].
    pub fn members(&self) -> Vec<Worker> {
        let Some((_, first)) = self.copies.first() else {
            return Vec::new();
        };
        let count = i32::try_from(first.count()).unwrap_or(0);
        let member = |i| {
            // SAFETY: the balancer lives, and its members as well.
            let worker = unsafe { sys::live_balancer_member(first.0, i) };
            (!worker.is_null()).then_some(Worker(worker))
        };
        (0..count).filter_map(member).collect()
    }

    /// Whether a member that came at run time is complete.
    pub fn is_complete(&self, worker: Worker) -> bool {
        let mut copies = self.copies.iter();
        // SAFETY: a member of this balancer; the function follows nothing that is not in place.
        copies.any(|(_, handle)| unsafe { sys::live_balancer_shares(handle.0, worker.0) != 0 })
    }
}

impl Drop for LockedBalancer<'_> {
    fn drop(&mut self) {
        for (_, handle) in self.copies {
            // SAFETY: locked by this thread, in `try_lock`.
            unsafe { sys::live_balancer_unlock(handle.0) }
        }
    }
}

/// Pointers to the elements of an apr array that holds values of type T.
///
/// A newer httpd may have appended fields to T: the array says how far its elements are apart.
fn elements_of<T>(array: *mut sys::apr_array_header_t) -> impl Iterator<Item = *mut T> {
    // SAFETY: `array` is NULL or an apr array of T (the callers name mod_proxy's arrays), not changed
    // meanwhile: post_config and child_init run alone.
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
        self.shared() as *const _ as usize
    }

    pub(super) fn shared(&self) -> &sys::proxy_worker_shared {
        // SAFETY: `s` is set by ap_proxy_define_worker and only ever replaced by a copy elsewhere
        // (slotmem) before the children start.
        unsafe { &*(*self.0).s }
    }

    pub(super) fn shared_raw(self) -> *mut sys::proxy_worker_shared {
        // SAFETY: as in `shared`.
        unsafe { (*self.0).s }
    }

    /// The worker's URL, as the balancer-manager shows it.
    pub fn name(&self) -> String {
        array_text(&self.shared().name_ex)
    }

    /// Name or address of the backend, as configured.
    pub fn host(&self) -> String {
        array_text(&self.shared().hostname_ex)
    }

    /// The member's `route`; empty without.
    pub fn route(&self) -> String {
        array_text(&self.shared().route)
    }

    pub fn scheme(&self) -> String {
        array_text(&self.shared().scheme)
    }

    /// mod_proxy_http2 serves it.
    pub fn speaks_http2(&self) -> bool {
        let scheme = &self.shared().scheme;
        let is = |name: &[u8]| scheme.iter().zip(name).all(|(c, n)| *c as u8 == *n);
        is(b"h2\0") || is(b"h2c\0")
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
        self.shared().port
    }

    pub fn is_unix_socket(&self) -> bool {
        self.shared().uds_path[0] != 0
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
        self.shared().method != sys::hcmethod_t_NONE
    }
}

/// Text in one of mod_proxy's fixed arrays, up to the NUL.
fn array_text(array: &[std::ffi::c_char]) -> String {
    let len = array.iter().position(|c| *c == 0).unwrap_or(array.len());
    // SAFETY: c_char and u8 have the same layout; `len` is within the array.
    let bytes = unsafe { slice::from_raw_parts(array.as_ptr().cast::<u8>(), len) };
    String::from_utf8_lossy(bytes).into_owned()
}
