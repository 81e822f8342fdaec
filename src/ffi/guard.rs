//! No panic crosses into httpd.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::log::{self, Level};

/// Runs `work`; a panic in it is logged with `place` and turned into `otherwise`.
pub fn guard<R>(place: &str, otherwise: R, work: impl FnOnce() -> R) -> R {
    // A second panic while the payload is described must not escape either, so it is only downcast.
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result,
        Err(payload) => {
            let what = payload
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| payload.downcast_ref::<&str>().copied())
                .unwrap_or("no text");
            log::write(
                Level::Crit,
                &format!("internal error in {place}: {what}; httpd goes on without this step"),
            );
            otherwise
        }
    }
}
