//! What verdicts are made from: what is known of a worker.

use crate::adopt::child::Child;
use crate::adopt::entry::Entry;
use crate::board::Board;
use crate::ffi::proxy::Worker;
use crate::logic::usable::Lack;
use crate::logic::verdict::Member;

/// A worker that is up to the module.
pub fn member(entry: &Entry, lack: Option<Lack>) -> Member {
    Member {
        health: Some(entry.health()),
        usable: true,
        last_resort: entry.planned.settings.last_resort,
        lacks_address: matches!(lack, Some(Lack::Unresolved | Lack::Expired)),
        // The look-up of a member that is only observed is httpd's.
        awaits_dns: lack == Some(Lack::Awaited) && !entry.planned.settings.observe,
    }
}

/// What is known of a member.
pub struct Seen {
    /// What the verdict needs.
    pub member: Member,
    pub lack: Option<Lack>,
    /// Until when its error state must last.
    pub kept: u64,
}

pub fn sight(child: &Child, worker: Worker, at: Option<usize>, now: u64) -> Seen {
    let ours = at.filter(|_| !worker.is_hchecked());
    let Some(entry) = ours.map(|at| &child.entries[at]) else {
        return Seen {
            member: stranger(worker),
            lack: None,
            kept: 0,
        };
    };
    let (kept, lack) = (kept_until(child.board, entry, now), entry.lack());
    let mut member = member(entry, lack);
    // Other errors of mod_proxy are ended by probes.
    member.usable = worker.is_open() && !(worker.is_in_error() && kept > now);
    Seen { member, lack, kept }
}

/// What httpd sees of a member that is only observed; None for a live one.
pub fn seen_by_httpd(entry: &Entry, worker: Worker) -> Option<Member> {
    entry.planned.settings.observe.then(|| stranger(worker))
}

fn stranger(worker: Worker) -> Member {
    Member {
        health: None,
        usable: worker.is_open() && !worker.is_in_error() && !worker.is_failed(),
        last_resort: false,
        lacks_address: false,
        awaits_dns: false,
    }
}

/// Until when `failonstatus` or `failontimeout` keep a member out. From shared memory: never later than
/// its `retry` from now.
pub fn kept_until(board: Board, entry: &Entry, now: u64) -> u64 {
    let Some((id, tag)) = entry.planned.seat else {
        return 0;
    };
    let latest = now.saturating_add(entry.planned.worker.retry().as_millis() as u64);
    board.kept_until(id, tag).min(latest)
}
