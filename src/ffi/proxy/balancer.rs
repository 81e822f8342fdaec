//! Views of mod_proxy's balancers, for what the administrator may change at run time.

use std::marker::PhantomData;

use super::{Server, Worker, sys};

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
    /// `raw` is a balancer of the configuration that is being read or in force.
    pub(super) const fn new(raw: *mut sys::proxy_balancer) -> Self {
        Self(raw)
    }

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
///
/// It stays in its thread: a mutex is unlocked by the thread that has locked it.
#[derive(Debug)]
pub struct LockedBalancer<'a> {
    /// Those that are locked.
    copies: &'a [(Server, BalancerHandle)],
    thread: PhantomData<*const ()>,
}

impl<'a> LockedBalancer<'a> {
    /// None when httpd holds one of the locks: never waits.
    pub fn try_lock(copies: &'a [(Server, BalancerHandle)]) -> Option<Self> {
        let mut locked = Self {
            copies: &copies[..0],
            thread: PhantomData,
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
            unsafe { sys::live_balancer_sync(handle.0, server.raw()) };
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
            (!worker.is_null()).then_some(Worker::new(worker))
        };
        (0..count).filter_map(member).collect()
    }

    /// Whether a member that came at run time is complete.
    pub fn is_complete(&self, worker: Worker) -> bool {
        let mut copies = self.copies.iter();
        // SAFETY: a member of this balancer; the function follows nothing that is not in place.
        copies.any(|(_, handle)| unsafe { sys::live_balancer_shares(handle.0, worker.raw()) != 0 })
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

#[cfg(test)]
mod tests {
    use super::LockedBalancer;

    /// A type that can be sent would have both implementations, and the one meant below would not be known.
    trait Stays<Which> {
        fn stays() {}
    }
    impl<T> Stays<()> for T {}
    impl<T: Send> Stays<u8> for T {}

    #[test]
    fn locks_are_not_sent_to_another_thread() {
        <LockedBalancer as Stays<_>>::stays();
    }
}
