//! Rescue: what becomes of a request whose attempt at a backend has failed.
//!
//! The wrapper around mod_proxy's scheme handlers asks [`after`] when a handler has returned. Whether a
//! request may be repeated is [`retry`]'s decision; here the facts are gathered and the decision is carried out.

use std::ffi::CStr;
use std::time::Duration;

use crate::adopt::child::Child;
use crate::adopt::gather::Group;
use crate::adopt::request::Over;
use crate::board::RescueCount;
use crate::ffi::hold::Reached;
use crate::ffi::log::Level;
use crate::ffi::proxy::Worker;
use crate::ffi::request::{History, Request};
use crate::log;
use crate::logic::retry::{self, Cause, Facts, Failure, Next};

/// Statuses of httpd, as scheme handlers return them.
const SERVER_ERROR: i32 = 500;
const BAD_GATEWAY: i32 = 502;
const UNAVAILABLE: i32 = 503;
const GATEWAY_TIME_OUT: i32 = 504;
const DONE: i32 = -2;

/// What the wrapper does next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum After {
    /// Returns this status to mod_proxy.
    Over(i32),
    /// Runs the handlers once more.
    Again,
}

/// An attempt that is over, as the wrapper saw it.
#[derive(Debug)]
pub struct Outcome {
    /// What the handler returned.
    pub status: i32,
    /// The status was sent by the backend itself (`ProxyErrorOverride`).
    pub backends_answer: bool,
    /// mod_proxy's own loop had begun the attempt.
    pub turn: bool,
    /// How far mod_proxy_http2 got, if it was at work.
    pub http2: Option<Reached>,
}

/// Decides what follows an attempt at a live worker. On the ordinary path two comparisons.
pub fn after(child: &Child, r: Request, worker: Worker, over: &Over, outcome: &Outcome) -> After {
    let status = outcome.status;
    let failed = status == SERVER_ERROR || (BAD_GATEWAY..=GATEWAY_TIME_OUT).contains(&status);
    if failed && !outcome.backends_answer {
        return failed_attempt(child, r, worker, over, outcome);
    }
    let broken = status == DONE && over.failure.is_some();
    if broken && child.rescues(over.entry) && r.is_cut() {
        // Cut off in the midst of its answer.
        count(child, over.entry, RescueCount::Failed);
    }
    After::Over(status)
}

#[cold]
fn failed_attempt(
    child: &Child,
    r: Request,
    worker: Worker,
    over: &Over,
    outcome: &Outcome,
) -> After {
    if outcome.status != SERVER_ERROR {
        child.kick_worker(worker);
    }
    let history = r.make_history();
    history.add_run(outcome.turn);
    history.note_body(over.saved.is_some_and(|saved| saved.has_body()));
    history.note_tls(over.failure.is_some_and(|f| f.cause == Cause::Tls));
    // Without a failure on a connection nothing was sent: mod_proxy does what is right.
    let (Some(failure), true) = (over.failure, child.rescues(over.entry)) else {
        return After::Over(without_connection(outcome));
    };
    if failure.cause != Cause::TimedOut {
        r.forget_timeout();
    }
    let group = child.group_of(worker);
    let facts = facts(child, r, worker, over, history, group);
    let next = retry::next(&failure, &facts);
    if next == Next::Fail || !child.spend_rescue() {
        return give_up(
            child,
            r,
            worker,
            over,
            &facts,
            outcome.status,
            outcome.http2.is_some(),
        );
    }
    if let Some(saved) = &over.saved {
        r.reset(saved);
    }
    rescued(child, r, over.entry, failure.cause, history);
    if next == Next::SameWorker {
        child.avoid(over.entry, over.peer);
        return After::Again;
    }
    match failure.cause {
        Cause::TimedOut if group.is_some_and(|g| g.handle.fails_on_timeout()) => {
            child.keep_in_error(worker);
        }
        // As good as a failed connect: the error stays until probes end it.
        Cause::Tls => {}
        _ => provoke(child, over.entry, worker, history),
    }
    After::Over(UNAVAILABLE)
}

/// The request is on its way to where it is tried once more.
fn rescued(child: &Child, r: Request, entry: u32, cause: Cause, history: &mut History) {
    history.set_rescued();
    r.env_rescue(word(cause));
    count(child, entry, RescueCount::Retried);
    log!(
        Level::Debug,
        "worker {}: a request failed ({}), it is tried once more",
        child.label(entry),
        cause.word()
    );
}

fn facts(
    child: &Child,
    r: Request,
    worker: Worker,
    over: &Over,
    history: &History,
    group: Option<&Group>,
) -> Facts {
    Facts {
        idempotent: r.is_idempotent(),
        has_body: history.has_body() || r.has_body(),
        answered: r.is_answered(),
        rescued: history.is_rescued(),
        other_member: group.is_some_and(|group| reaches_another(group, worker, history.turns())),
        sticky: r.has_session(),
        other_address: child.has_other_address(over.entry, over.peer),
        allowed: true,
    }
}

/// Whether mod_proxy's loop (proxy_handler in mod_proxy.c) goes on to another member when this attempt, which
/// was its `turns`-th, returns 503. Sticky sessions may still forbid it: then the request ends with 503.
fn reaches_another(group: &Group, worker: Worker, turns: i32) -> bool {
    let stays = worker.ignores_errors() && worker.is_usable();
    let others = || {
        group
            .members
            .iter()
            .any(|(w, _)| *w != worker && w.is_usable())
    };
    !stays && turns <= group.handle.max_attempts() && others()
}

/// The request fails, with an answer; unless the backend has seen nothing of its body.
fn give_up(
    child: &Child,
    r: Request,
    worker: Worker,
    over: &Over,
    facts: &Facts,
    status: i32,
    http2: bool,
) -> After {
    let (entry, history) = (over.entry, r.make_history());
    let Some(Failure { cause, .. }) = over.failure else {
        return After::Over(status);
    };
    // 503 here means: no answer to `Expect: 100-continue`. httpd goes on to the next member after a time-out;
    // what looks like one to it is a rescue, of which there is one.
    if status == UNAVAILABLE && !http2 && r.body_is_unsent() && facts.other_member {
        if cause == Cause::TimedOut {
            count(child, entry, RescueCount::Retried);
            return After::Over(status);
        }
        if !facts.rescued && child.spend_rescue() {
            rescued(child, r, entry, cause, history);
            provoke(child, entry, worker, history);
            return After::Over(status);
        }
    }
    count(child, entry, RescueCount::Failed);
    // Without a body the backend may have done the work: no other member must see it.
    After::Over(match (status, cause) {
        // mod_proxy puts the member into error, as after a failed connect; the client gets 502 (`last_status`).
        (_, Cause::Tls) => SERVER_ERROR,
        // mod_proxy_http2 says 503 for everything.
        (UNAVAILABLE, Cause::TimedOut) if http2 => GATEWAY_TIME_OUT,
        (UNAVAILABLE | SERVER_ERROR, _) => BAD_GATEWAY,
        (other, _) => other,
    })
}

/// What the client gets instead of `status`, with which mod_proxy ends the request.
pub fn last_status(r: Request, status: i32) -> i32 {
    let tls = status == SERVER_ERROR && r.history().is_some_and(|history| history.tls_failed());
    if tls { BAD_GATEWAY } else { status }
}

/// The status of an attempt without a failure on a connection: mod_proxy goes on to the next member when it is
/// 503. Not with a request that mod_proxy_http2 has sent.
fn without_connection(outcome: &Outcome) -> i32 {
    let sent = outcome.http2.is_some_and(|at| at != Reached::Nothing);
    if sent && outcome.status == UNAVAILABLE {
        BAD_GATEWAY
    } else {
        outcome.status
    }
}

/// mod_proxy answers our 503 by putting the member into error, which it does not deserve.
fn provoke(child: &Child, entry: u32, worker: Worker, history: &mut History) {
    if child.provoke(entry, worker) {
        history.set_provoked(worker);
    }
}

/// mod_proxy is about to look for another member. With `retry=0` (and for sessions) it would end the error of the
/// one that failed first, and choose it again.
pub fn lead_away(r: Request) {
    if let Some(worker) = r.history().and_then(|history| history.provoked()) {
        worker.extend_error(LEAD_AWAY);
    }
}

/// Far longer than choosing takes, short enough for a child that is killed meanwhile.
const LEAD_AWAY: Duration = Duration::from_secs(2);

/// Takes an error back that a rescue of this request has provoked. At the request's next step, whatever it is.
pub fn take_back(child: &Child, r: Request) {
    if let Some(worker) = r.history().and_then(History::take_provoked) {
        child.take_back(worker);
    }
}

fn count(child: &Child, entry: u32, what: RescueCount) {
    child.count_rescue(entry, what, 1);
}

const fn word(cause: Cause) -> &'static CStr {
    match cause {
        Cause::Dead => c"dead",
        Cause::Reset => c"reset",
        Cause::Closed => c"closed",
        Cause::TimedOut => c"timeout",
        Cause::Tls => c"tls",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_those_of_the_documentation() {
        use Cause::{Closed, Dead, Reset, TimedOut, Tls};
        for cause in [Dead, Reset, Closed, TimedOut, Tls] {
            assert_eq!(word(cause).to_str(), Ok(cause.word()));
        }
    }
}
