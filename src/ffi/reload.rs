//! The children that a graceful restart ends.

use std::ffi::c_int;

use super::sys;
use crate::logic::reload::Children;

/// Those of the generation before the running one, and how many of them the MPM may wait for at once. None outside of
/// a graceful restart (scoreboard.h; a full restart has waited for all).
pub fn children() -> Children {
    let (mut all, mut ended): (c_int, c_int) = (0, 0);
    // SAFETY: called in the parent, whose only thread it is, after the MPM has read its configuration; the pointers
    // are valid during the call.
    unsafe { sys::live_reload_children(&mut all, &mut ended) };
    let count = |n: c_int| usize::try_from(n).unwrap_or(0);
    Children {
        all: count(all),
        ended: count(ended),
    }
}
