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
    use crate::ffi::guard::caught;

    /// Whether another process, which has inherited the file, gets the lock.
    fn free_for_others(file: &'static LockFile) -> bool {
        // SAFETY: the child calls nothing but fcntl and _exit, which are allowed after a fork.
        let child = unsafe { libc::fork() };
        assert!(child >= 0, "{}", io::Error::last_os_error());
        if child == 0 {
            let got = file.set(libc::F_WRLCK as libc::c_short);
            // SAFETY: ends the child at once, without the exit handlers of the test program.
            unsafe { libc::_exit(if got { 10 } else { 11 }) };
        }
        let mut status = 0;
        // SAFETY: `status` is valid; the child is this function's own.
        let ended = unsafe { libc::waitpid(child, &mut status, 0) };
        assert!(ended == child && libc::WIFEXITED(status), "{status}");
        match libc::WEXITSTATUS(status) {
            10 => true,
            11 => false,
            other => panic!("the other process ended with {other}"),
        }
    }

    fn file() -> &'static LockFile {
        Box::leak(Box::new(LockFile::new().expect("a file")))
    }

    #[test]
    fn other_processes_wait_until_the_drop() {
        let file = file();
        assert!(free_for_others(file));
        // The other process had it: its end gave it back.
        let held = file.try_lock();
        assert!(held.is_some() && !free_for_others(file));
        drop(held);
        assert!(free_for_others(file));
    }

    #[test]
    fn a_panic_of_the_leader_gives_it_back() {
        let file = file();
        let lock = file.try_lock().expect("the lock");
        let mut held = false;
        let led = || {
            let _lock = lock;
            held = !free_for_others(file);
            panic!("the monitor fails");
        };
        let mut told = 0;
        caught("monitor", (), led, |_| told += 1);
        assert!(held && told == 1);
        assert!(free_for_others(file));
    }

    #[test]
    fn another_process_has_it_until_it_is_killed() {
        let file = file();
        let mut ends = [0; 2];
        // SAFETY: room for the two descriptors.
        assert_eq!(unsafe { libc::pipe(ends.as_mut_ptr()) }, 0);
        // SAFETY: the child calls only async-signal-safe functions.
        let child = unsafe { libc::fork() };
        assert!(child >= 0, "{}", io::Error::last_os_error());
        if child == 0 {
            // SAFETY: as above; it holds the lock until it is killed.
            unsafe {
                let got = file.set(libc::F_WRLCK as libc::c_short);
                libc::write(ends[1], (&raw const got).cast(), 1);
                loop {
                    libc::pause();
                }
            }
        }
        let mut got = 0_u8;
        // SAFETY: room for one byte. Without our own writing end the read ends with the child at the latest.
        unsafe {
            libc::close(ends[1]);
            libc::read(ends[0], (&raw mut got).cast(), 1);
        }
        let refused = file.try_lock().is_none();
        // SAFETY: the child is this test's own and not waited for yet.
        unsafe {
            libc::kill(child, libc::SIGKILL);
            libc::waitpid(child, std::ptr::null_mut(), 0);
            libc::close(ends[0]);
        }
        assert!(got == 1 && refused);
        assert!(
            file.try_lock().is_some(),
            "the kernel took it from the dead"
        );
    }
}
