//! The lock of the leading child: a POSIX record lock, which the kernel drops when its process dies.
//!
//! `fcntl(F_SETLK)` only: flock and open-file-description locks belong to the description that all
//! children inherit, so each of them would hold the lock.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// The file behind the lock; made once per process lifetime, inherited by all children.
///
/// Closing any descriptor of the file in a process drops that process's lock: it is never closed.
#[derive(Debug)]
pub struct LockFile(OwnedFd);

impl LockFile {
    pub fn new() -> io::Result<Self> {
        const NAME: &CStr = c"proxy_live leader";
        // SAFETY: NAME is a C string; the result is checked before use.
        let fd = unsafe { libc::memfd_create(NAME.as_ptr(), libc::MFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` was just made and belongs to nobody else.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Takes the lock if no other process has it; never waits.
    pub fn try_lock(&'static self) -> Option<LeaderLock> {
        self.set(libc::F_WRLCK as libc::c_short)
            .then_some(LeaderLock(self))
    }

    fn set(&self, kind: libc::c_short) -> bool {
        let request = libc::flock {
            l_type: kind,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: 0,
            l_len: 0,
            l_pid: 0,
        };
        // SAFETY: the descriptor is open (owned by self) and `request` is a valid struct flock.
        unsafe { libc::fcntl(self.0.as_raw_fd(), libc::F_SETLK, &raw const request) == 0 }
    }
}

/// Proof of leadership; dropping it (also while unwinding) gives the lock up.
#[derive(Debug)]
pub struct LeaderLock(&'static LockFile);

impl Drop for LeaderLock {
    fn drop(&mut self) {
        self.0.set(libc::F_UNLCK as libc::c_short);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_can_be_taken_again_after_drop() {
        let file: &'static LockFile = Box::leak(Box::new(LockFile::new().unwrap()));
        let held = file.try_lock();
        assert!(held.is_some());
        drop(held);
        assert!(file.try_lock().is_some());
    }
}
