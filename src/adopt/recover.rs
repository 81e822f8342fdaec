//! `forcerecovery`: when no member of a balancer is usable, mod_proxy_balancer ends the errors of all of them.

use super::child::Child;
use super::groups::Group;
use crate::ffi::log::Level;
use crate::ffi::proxy::Worker;
use crate::log;
use crate::logic::redact;

/// Whether no member is usable, and one has a mark of ours: force_recovery() of mod_proxy_balancer.c takes a member
/// with HC_FAIL for one that is not in error, and so never comes to the others' help.
fn needs_recovery(child: &Child, group: &Group) -> bool {
    // Marks of mod_proxy_hcheck are httpd's own matter.
    let is_ours = |at: Option<usize>| {
        let entry = at.and_then(|at| child.entries.get(at));
        entry.is_some_and(|e| !e.planned.settings.observe && !e.planned.worker.is_hchecked())
    };
    let marked = |(w, at): (Worker, Option<usize>)| w.is_failed() && is_ours(at);
    !group.members().any(|(w, _)| w.is_usable()) && group.members().any(marked)
}

/// Whether the next request, or the leader within a moment, ends the errors of all members (`forcerecovery`).
pub fn are_forgiven(child: &Child, group: &Group) -> bool {
    let all = || group.members().all(|(worker, _)| worker.is_in_error());
    group.recovers && (all() || needs_recovery(child, group))
}

/// Ends them, in its place. Who marks the members only.
pub fn step(child: &Child, group: &Group) {
    if !needs_recovery(child, group) {
        return;
    }
    // Observed members too: without the marks of live ones httpd would do it itself.
    for (worker, _) in group.members().filter(|(w, _)| w.is_in_error()) {
        log!(
            Level::Debug,
            "worker {}: no member is usable: its error state ends (forcerecovery)",
            redact::url(&worker.name())
        );
        worker.forgive();
    }
}
