//! The bell that wakes the leader: an eventfd that all children inherit.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Made once per process lifetime, never closed. Never blocks.
#[derive(Debug)]
pub struct Bell(OwnedFd);

impl Bell {
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers; the result is checked before use.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` was just made and belongs to nobody else.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Wakes the leader; one system call.
    pub fn ring(&self) {
        let one = 1u64;
        // SAFETY: writes 8 bytes from `one`, which outlives the call. A full counter (EAGAIN) rings already.
        unsafe { libc::write(self.0.as_raw_fd(), (&raw const one).cast(), 8) };
    }

    pub fn fd(&'static self) -> BorrowedFd<'static> {
        self.0.as_fd()
    }
}
