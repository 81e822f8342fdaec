//! Memory shared by the parent and all children, as plain atomic words.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::AtomicU64;

/// Maps `words` zeroed words that children inherit. They stay mapped for the life of the process;
/// pages that nobody writes to cost nothing.
pub fn map_anonymous(words: usize) -> io::Result<&'static [AtomicU64]> {
    map(
        words,
        libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
        -1,
    )
}

/// Maps the first `words` words of a memory file (used to test the board between unrelated processes).
pub fn map_fd(fd: &OwnedFd, words: usize) -> io::Result<&'static [AtomicU64]> {
    map(words, libc::MAP_SHARED, fd.as_raw_fd())
}

fn map(words: usize, flags: i32, fd: i32) -> io::Result<&'static [AtomicU64]> {
    let bytes = words
        .checked_mul(8)
        .filter(|b| *b > 0)
        .ok_or(io::ErrorKind::InvalidInput)?;
    // SAFETY: a new mapping at an address of the kernel's choice touches no existing memory.
    let base = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            flags,
            fd,
            0,
        )
    };
    if base == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the mapping is page-aligned, `words` words long, and never unmapped; every access goes
    // through atomics, for which any bit pattern is valid.
    Ok(unsafe { std::slice::from_raw_parts(base.cast::<AtomicU64>(), words) })
}
