//! Threads inside a child of httpd.

use std::io;
use std::mem::MaybeUninit;
use std::thread::{Builder, JoinHandle};

/// Starts a thread with every signal blocked: signals stay with httpd's own threads.
pub fn spawn(
    name: &str,
    stack_bytes: usize,
    work: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let old = block_all();
    let started = Builder::new()
        .name(name.into())
        .stack_size(stack_bytes)
        .spawn(work);
    restore(&old);
    started
}

fn block_all() -> libc::sigset_t {
    let mut all = MaybeUninit::uninit();
    let mut old = MaybeUninit::uninit();
    // SAFETY: sigfillset initializes `all`; pthread_sigmask reads it and writes `old` whole (it can
    // only fail for a wrong `how`).
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), old.as_mut_ptr());
        old.assume_init()
    }
}

fn restore(old: &libc::sigset_t) {
    // SAFETY: `old` is a mask that pthread_sigmask gave; NULL means the present one is not wanted.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, old, std::ptr::null_mut()) };
}

/// Sleeps; async-signal-safe (nanosleep(2)), for the end of a child inside a signal handler.
pub fn pause_us(us: u32) {
    let ts = libc::timespec {
        tv_sec: (us / 1_000_000) as libc::time_t,
        tv_nsec: ((us % 1_000_000) * 1000) as libc::c_long,
    };
    // SAFETY: `ts` is valid; the remainder is not asked for.
    unsafe { libc::nanosleep(&ts, std::ptr::null_mut()) };
}

/// How many descriptors this process may have open (soft RLIMIT_NOFILE).
pub fn descriptor_limit() -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a valid rlimit to write to; if the call fails it stays 0.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    limit.rlim_cur
}
