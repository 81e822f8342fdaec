//! What a worker's status says and what the module changes in it: HC_FAIL, errors that mod_proxy found,
//! and the time-out of connects.

use std::time::Duration;

use super::proxy::{Server, Worker};
use super::sys;

/// With these the administrator keeps new requests away: of PROXY_WORKER_NOT_USABLE_BITMAP (mod_proxy.h)
/// all but errors, and draining, which takes only the sessions it has.
const CLOSED: u32 = sys::PROXY_WORKER_IN_SHUTDOWN
    | sys::PROXY_WORKER_DISABLED
    | sys::PROXY_WORKER_STOPPED
    | sys::PROXY_WORKER_DRAIN;

/// What the administrator has set (`status=`, balancer-manager).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct SetByAdmin {
    pub disabled: bool,
    pub stopped: bool,
    pub draining: bool,
    pub hot_standby: bool,
    pub hot_spare: bool,
    pub ignores_errors: bool,
}

impl Worker {
    /// The administrator's bits.
    pub fn set_by_admin(&self) -> SetByAdmin {
        let status = self.status();
        let has = |bit| status & bit != 0;
        SetByAdmin {
            disabled: has(sys::PROXY_WORKER_DISABLED),
            stopped: has(sys::PROXY_WORKER_STOPPED),
            draining: has(sys::PROXY_WORKER_DRAIN),
            hot_standby: has(sys::PROXY_WORKER_HOT_STANDBY),
            hot_spare: has(sys::PROXY_WORKER_HOT_SPARE),
            ignores_errors: has(sys::PROXY_WORKER_IGNORE_ERRORS),
        }
    }

    /// When mod_proxy's error began, in milliseconds since 1970; 0 for never. It lasts for [`Worker::retry`].
    pub fn error_at_ms(&self) -> u64 {
        // SAFETY: reads a word of the worker's shared part.
        let micros = unsafe { sys::live_error_time(self.shared_raw()) };
        u64::try_from(micros).unwrap_or(0) / 1_000
    }

    fn status(&self) -> u32 {
        // SAFETY: an atomic read of the worker's status word.
        unsafe { sys::live_status_get(self.shared_raw()) }
    }

    /// One of mod_proxy's catch-all workers.
    pub fn is_generic(&self) -> bool {
        self.status() & sys::PROXY_WORKER_GENERIC != 0
    }

    /// Whether mod_proxy refuses requests for this worker because of HC_FAIL.
    pub fn is_failed(&self) -> bool {
        self.status() & sys::PROXY_WORKER_HC_FAIL != 0
    }

    /// Whether mod_proxy itself has put the worker into its error state.
    pub fn is_in_error(&self) -> bool {
        self.status() & sys::PROXY_WORKER_IN_ERROR != 0
    }

    /// Whether new requests may go there as far as the administrator is concerned, errors or not. Hot
    /// standbys and spares count.
    pub fn is_open(&self) -> bool {
        self.status() & CLOSED == 0
    }

    /// Whether mod_proxy's loop takes it now, as far as its status goes.
    pub fn is_usable(&self) -> bool {
        self.is_open() && !self.is_failed() && !self.is_in_error()
    }

    /// `status=+I`: mod_proxy never puts it into error.
    pub fn ignores_errors(&self) -> bool {
        self.status() & sys::PROXY_WORKER_IGNORE_ERRORS != 0
    }

    /// Sets or clears HC_FAIL; true when that changed something. Other bits are left alone.
    pub fn set_failed(&self, failed: bool) -> bool {
        if self.is_failed() == failed {
            return false;
        }
        // SAFETY: an atomic change of the worker's status word.
        let old = unsafe {
            if failed {
                sys::live_status_or(self.shared_raw(), sys::PROXY_WORKER_HC_FAIL)
            } else {
                sys::live_status_and_not(self.shared_raw(), sys::PROXY_WORKER_HC_FAIL)
            }
        };
        (old & sys::PROXY_WORKER_HC_FAIL != 0) != failed
    }

    /// Ends mod_proxy's error state: IN_ERROR, its time and its count of retries.
    pub fn forgive(&self) {
        // SAFETY: the words that mod_proxy itself writes without a lock (ap_proxy_connect_backend).
        unsafe { sys::live_forgive(self.shared_raw()) }
    }

    /// Puts the worker into mod_proxy's error state, from now on.
    pub fn set_in_error(&self) {
        // SAFETY: the words that mod_proxy itself writes without a lock (proxy_handler).
        unsafe { sys::live_set_in_error(self.shared_raw()) }
    }

    /// Keeps mod_proxy's error state for so long and `retry`, which may be 0.
    pub fn extend_error(&self, time: Duration) {
        let micros = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        // SAFETY: a word that mod_proxy itself writes without a lock (proxy_handler).
        unsafe { sys::live_extend_error(self.shared_raw(), micros) }
    }

    /// How long mod_proxy keeps a worker in its error state (`retry`).
    pub fn retry(&self) -> Duration {
        // SAFETY: reads a word of the worker's shared part.
        let micros = unsafe { sys::live_worker_retry(self.shared_raw()) };
        Duration::from_micros(u64::try_from(micros).unwrap_or(0))
    }

    /// Whether `connectiontimeout` is in force.
    pub fn has_connect_timeout(&self) -> bool {
        // SAFETY: reads a bit-field of the worker's shared part.
        unsafe { sys::live_connect_timeout_is_set(self.shared_raw()) != 0 }
    }

    /// Puts a time-out of connects in force, or takes it out again. In post_config only.
    pub fn put_connect_timeout(&self, timeout: Option<Duration>) {
        self.change_connect_timeout(timeout.unwrap_or_default());
        // SAFETY: in post_config no child has the workers of the configuration that is being made, and the
        // parent has one thread: the bit-field is this call's alone.
        unsafe { sys::live_connect_timeout_mark(self.shared_raw(), timeout.is_some().into()) }
    }

    /// Changes a time-out of connects that is in force.
    pub fn change_connect_timeout(&self, timeout: Duration) {
        let micros = i64::try_from(timeout.as_micros()).unwrap_or(i64::MAX);
        // SAFETY: atomic accesses to one word of the worker's shared part.
        unsafe {
            if sys::live_connect_timeout(self.shared_raw()) != micros {
                sys::live_connect_timeout_store(self.shared_raw(), micros);
            }
        }
    }

    /// The same for a member that may have come at run time, on which nobody has put one yet.
    pub fn keep_connect_timeout(&self, timeout: Duration) {
        self.change_connect_timeout(timeout);
        if !self.has_connect_timeout() {
            // SAFETY: httpd writes the neighbours of this bit-field before others know the member, and later, when
            // further processes initialize it, only with what they are. A mark lost that way is put back.
            unsafe { sys::live_connect_timeout_mark(self.shared_raw(), 1) }
        }
    }

    /// The time-out of connects without `connectiontimeout`: of the worker, of mod_proxy, of the server.
    pub fn timeout(&self, server: Server) -> Duration {
        // SAFETY: reads the worker's shared part and the server's configuration, both live.
        let micros = unsafe { sys::live_worker_timeout(self.shared_raw(), server.raw()) };
        Duration::from_micros(u64::try_from(micros).unwrap_or(0))
    }
}
