//! Lines in httpd's error log, under this module's own `LogLevel proxy_live:...`.

use std::sync::atomic::{AtomicPtr, Ordering};

use super::sys;

/// httpd's log levels (http_log.h) as far as the module uses them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    Crit,
    Error,
    Warn,
    Notice,
    Info,
    Debug,
    Trace2,
}

impl Level {
    const fn code(self) -> i32 {
        (match self {
            Self::Crit => sys::APLOG_CRIT,
            Self::Error => sys::APLOG_ERR,
            Self::Warn => sys::APLOG_WARNING,
            Self::Notice => sys::APLOG_NOTICE,
            Self::Info => sys::APLOG_INFO,
            Self::Debug => sys::APLOG_DEBUG,
            Self::Trace2 => sys::APLOG_TRACE2,
        }) as i32
    }
}

/// The main server of the configuration in force; NULL while one is being read.
static MAIN: AtomicPtr<sys::server_rec> = AtomicPtr::new(std::ptr::null_mut());

pub(super) fn set_main(server: *mut sys::server_rec) {
    MAIN.store(server, Ordering::Release);
}

/// Whether a line of this level would be written: test before building an expensive text.
pub fn enabled(level: Level) -> bool {
    let main = MAIN.load(Ordering::Acquire);
    // SAFETY: `main` is NULL or the main server_rec of the configuration in force. It lives in pconf,
    // which no child clears; in the parent nothing of this module logs between that and pre_config, which sets NULL.
    unsafe { sys::live_log_enabled(main, level.code()) != 0 }
}

/// Writes one line; `text` is data, never a format. Line ends inside become spaces.
pub fn write(level: Level, text: &str) {
    if !enabled(level) {
        return;
    }
    let mut line: Vec<u8> = text
        .bytes()
        .map(|b| {
            if b == b'\n' || b == b'\r' || b == 0 {
                b' '
            } else {
                b
            }
        })
        .collect();
    line.push(0);
    let main = MAIN.load(Ordering::Acquire);
    // SAFETY: `main` as in `enabled`; `line` is NUL-terminated and outlives the call.
    unsafe { sys::live_log(main, level.code(), line.as_ptr().cast()) }
}

/// `log!(Level::Info, "text {}", value)`: the text is built only if the level is on.
#[macro_export]
macro_rules! log {
    ($level:expr, $($arg:tt)+) => {
        if $crate::ffi::log::enabled($level) {
            $crate::ffi::log::write($level, &format!($($arg)+));
        }
    };
}
