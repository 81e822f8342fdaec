//! What the module is known not to do yet. Each goes when it does.

/// An answer that is wrong because a child of an ended generation gave it, which httpd did not end, is a violation; else
/// it is only counted.
pub const OUTLIVED_IS_VIOLATION: bool = false;

/// Members whose name has never been looked up get no request: they may come while DNS fails (added in the
/// balancer-manager, or by a reload). Else that is avoided.
pub const UNRESOLVED_IS_UNUSED: bool = false;

/// The last known address of a name dies while DNS fails: the name is asked again before its back-off is over. Else that
/// is avoided.
pub const DEATH_ENDS_BACKOFF: bool = false;
