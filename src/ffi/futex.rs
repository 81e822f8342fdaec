//! A futex shared by processes (futex(2) without FUTEX_PRIVATE_FLAG).

use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// The 32 bits of `word` that the kernel compares: the low half.
fn low_half(word: &AtomicU64) -> *const u32 {
    let base = word.as_ptr().cast::<u32>().cast_const();
    if cfg!(target_endian = "big") {
        base.wrapping_add(1)
    } else {
        base
    }
}

/// Sleeps until the low half of `word` is woken, is not `seen` (any more), or `timeout` has passed.
pub fn wait(word: &AtomicU64, seen: u32, timeout: Duration) {
    let ts = libc::timespec {
        tv_sec: timeout.as_secs() as libc::time_t,
        tv_nsec: timeout.subsec_nanos() as libc::c_long,
    };
    // SAFETY: the address is inside `word`, aligned to 4, and stays mapped during the call; `ts` too.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            low_half(word),
            libc::FUTEX_WAIT,
            seen,
            &raw const ts,
        )
    };
}

/// Wakes every thread of every process that waits on `word`. Async-signal-safe.
pub fn wake_all(word: &AtomicU64) {
    // SAFETY: as in `wait`; FUTEX_WAKE only uses the address as a key.
    unsafe { libc::syscall(libc::SYS_futex, low_half(word), libc::FUTEX_WAKE, i32::MAX) };
}
