//! Rescue: what becomes of a request whose attempt at a backend has failed.
//!
//! The wrapper around mod_proxy's scheme handlers asks [`after`] when a handler has returned. Whether a
//! request may be repeated is [`retry`]'s decision; here the facts are gathered and the decision is carried out.

use std::ffi::CStr;
use std::time::Duration;

use crate::adopt::child::Child;
use crate::adopt::groups::Group;
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
const OK: i32 = 0;
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
    if status == OK && child.would_rescue(over.entry) {
        // The client's connection was dropped without an answer.
        return failed_attempt(child, r, worker, over, outcome);
    }
    let broken = status == DONE && over.failure.is_some();
    if broken && child.rescues(over.entry) && r.is_cut() {
        // Cut off in the midst of its answer.
        child.count_rescue(over.entry, RescueCount::Failed, 1);
    }
    After::Over(status)
}

/// An attempt that failed on its connection.
struct Failed<'a> {
    child: &'a Child,
    r: Request<'a>,
    worker: Worker,
    over: &'a Over,
    failure: Failure,
    group: Option<&'a Group>,
    status: i32,
    http2: bool,
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
    let group = child.group_of(worker);
    if let Some(group) = group {
        child.let_awaited_in(group, worker);
    }
    let history = r.make_history();
    history.add_run(outcome.turn);
    history.note_body(over.saved.has_body());
    // Without a failure on a connection nothing was sent: mod_proxy does what is right.
    let observed = child.would_rescue(over.entry);
    let concerned = observed || child.rescues(over.entry);
    let (Some(failure), true) = (over.failure, concerned) else {
        let closed = outcome.status == UNAVAILABLE && child.meets_provoked(worker, over);
        if closed && child.provoke(over.entry, worker) {
            history.set_provoked(worker);
            r.watch_end();
        }
        return After::Over(without_connection(outcome));
    };
    if failure.cause != Cause::TimedOut && !observed {
        r.forget_timeout();
    }
    let failed = Failed {
        child,
        r,
        worker,
        over,
        failure,
        group,
        status: outcome.status,
        http2: outcome.http2.is_some(),
    };
    if observed {
        failed.imagine(history)
    } else {
        failed.follow(history)
    }
}

impl Failed<'_> {
    fn follow(&self, history: &History) -> After {
        let facts = self.facts(history);
        let next = retry::next(&self.failure, &facts);
        let deserved = self.is_deserved();
        // A request that was taken away has been paid for.
        let paid = || self.failure.cause == Cause::Hung || self.child.spend_rescue();
        if next == Next::Fail || !paid() {
            return self.give_up(history, &facts, deserved);
        }
        self.r.reset(&self.over.saved);
        self.rescued(history);
        if next == Next::SameWorker {
            if !self.failure.is_keepalive_race() {
                self.child.avoid(self.over.entry, self.over.peer);
            }
            return After::Again;
        }
        let fails_on_timeout = || self.group.is_some_and(|g| g.handle.fails_on_timeout());
        if self.failure.cause == Cause::TimedOut && fails_on_timeout() {
            self.child.keep_in_error(self.worker);
            self.leave(history);
        } else if deserved {
            self.leave(history);
        } else {
            self.provoke(history);
        }
        After::Over(UNAVAILABLE)
    }

    /// The worker is only observed: what would be done is counted, and mod_proxy goes on as it does alone.
    fn imagine(&self, history: &History) -> After {
        let mut facts = self.facts(history);
        // mod_proxy_http drops a kept-alive client when nothing comes: that is no answer.
        facts.answered &= self.failure.begun || self.r.has_status();
        if retry::next(&self.failure, &facts) != Next::Fail {
            self.child.would_retry(self.over.entry, self.failure.cause);
        }
        After::Over(self.status)
    }

    fn facts(&self, history: &History) -> Facts {
        let (r, group) = (self.r, self.group);
        let another = group.is_some_and(|group| self.reaches_another(group, history.turns()));
        Facts {
            idempotent: r.is_idempotent(),
            has_body: history.has_body() || r.has_body(),
            answered: r.is_answered(),
            rescued: history.is_rescued(),
            other_member: another && !self.is_bound(),
            sticky: r.is_in_session_of(self.worker),
            other_address: self
                .child
                .has_other_address(self.over.entry, self.over.peer),
        }
    }

    /// Its session must not leave this member (`nofailover`).
    fn is_bound(&self) -> bool {
        let forced = self
            .group
            .is_some_and(|group| group.handle.binds_sessions());
        forced && self.r.is_in_session_of(self.worker)
    }

    /// mod_proxy may keep the member in error: all its requests fail (or all handshakes with it), while another
    /// member could serve them. Probes end the error.
    fn is_deserved(&self) -> bool {
        let row = self.failure.is_evidence() && self.child.count_fail(self.over.entry);
        row && self.group.is_some_and(|g| self.has_another(g))
    }

    /// Whether mod_proxy's loop (proxy_handler in mod_proxy.c) goes on to another member when this attempt, which
    /// was its `turns`-th, returns 503. Sticky sessions may still forbid it.
    fn reaches_another(&self, group: &Group, turns: i32) -> bool {
        let stays = self.worker.ignores_errors() && self.worker.is_usable();
        !stays && turns <= group.handle.max_attempts() && self.has_another(group)
    }

    /// One whose error is only provoked counts: it is over in a moment.
    fn has_another(&self, group: &Group) -> bool {
        self.child.has_other_member(group, self.worker)
    }

    /// The request is on its way to where it is tried once more.
    fn rescued(&self, history: &History) {
        history.set_rescued(self.over.entry);
        self.r.env_rescue(word(self.failure.cause));
        self.count(RescueCount::Retried);
        log!(
            Level::Debug,
            "worker {}: a request failed ({}), it is tried once more",
            self.child.label(self.over.entry),
            self.failure.cause.word()
        );
    }

    /// mod_proxy answers our 503 by putting the member into error, and may keep it there.
    fn leave(&self, history: &History) {
        if !self.worker.ignores_errors() {
            history.set_leaving(self.worker);
        }
    }

    /// mod_proxy answers our 503 by putting the member into error, which it does not deserve.
    fn provoke(&self, history: &History) {
        if self.child.provoke(self.over.entry, self.worker) {
            history.set_provoked(self.worker);
            self.r.watch_end();
        }
    }

    /// The request fails, with an answer; unless the backend has seen nothing of its body.
    fn give_up(&self, history: &History, facts: &Facts, deserved: bool) -> After {
        let (status, cause) = (self.status, self.failure.cause);
        // 503 here means: no answer to `Expect: 100-continue`. httpd goes on to the next member after a time-out;
        // what looks like one to it is a rescue, of which there is one.
        if status == UNAVAILABLE && !self.http2 && self.r.body_is_unsent() && facts.other_member {
            if cause == Cause::TimedOut {
                self.count(RescueCount::Retried);
                return After::Over(status);
            }
            if !facts.rescued && self.child.spend_rescue() {
                self.rescued(history);
                self.provoke(history);
                return After::Over(status);
            }
        }
        self.count(RescueCount::Failed);
        if deserved && self.group.is_some() && !self.worker.ignores_errors() {
            self.worker.set_in_error();
        }
        let elsewhere = Facts {
            other_member: true,
            ..*facts
        };
        if self.is_bound() && retry::next(&self.failure, &elsewhere) == Next::NextMember {
            // As httpd says it of a session whose member takes no requests.
            history.set_shown(UNAVAILABLE);
        }
        // Without a body the backend may have done the work: no other member must see it.
        After::Over(match (status, cause) {
            // mod_proxy_http2 says 503 for everything.
            (UNAVAILABLE, Cause::TimedOut) if self.http2 => GATEWAY_TIME_OUT,
            (UNAVAILABLE | SERVER_ERROR, _) => BAD_GATEWAY,
            (other, _) => other,
        })
    }

    fn count(&self, what: RescueCount) {
        self.child.count_rescue(self.over.entry, what, 1);
    }
}

/// Whether a request that begins to wait for its answer may be taken away from this worker, if that hangs
/// (`liverescue=eager`): what [`after`] will need then is asked now.
pub fn may_be_moved(child: &Child, r: Request, entry: u32) -> bool {
    let Some(worker) = child.worker(entry) else {
        return false;
    };
    let history = r.history();
    let (rescued, turns) = history.map_or((false, 0), |h| (h.is_rescued(), h.turns()));
    let reachable = child.group_of(worker).is_none_or(|group| {
        let bound = group.handle.binds_sessions() && r.is_in_session_of(worker);
        turns < group.handle.max_attempts() && !bound
    });
    r.may_be_moved() && !rescued && reachable
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

/// What the client gets instead of `status`, with which mod_proxy ends the request.
pub fn last_status(r: Request, status: i32) -> i32 {
    let shown = r.history().map_or(0, |history| history.shown());
    if status == BAD_GATEWAY && shown != 0 {
        shown
    } else {
        status
    }
}

/// mod_proxy is about to look for another member. With `retry=0` (and for sessions) it would end the error of the
/// one that failed first, and choose it again.
pub fn lead_away(r: Request) {
    let Some(history) = r.history() else { return };
    if let Some(worker) = history.take_leaving().or_else(|| history.provoked()) {
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

const fn word(cause: Cause) -> &'static CStr {
    match cause {
        Cause::Dead => c"dead",
        Cause::Reset => c"reset",
        Cause::Closed => c"closed",
        Cause::TimedOut => c"timeout",
        Cause::Tls => c"tls",
        Cause::Hung => c"hung",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_those_of_the_documentation() {
        use Cause::{Closed, Dead, Hung, Reset, TimedOut, Tls};
        for cause in [Dead, Reset, Closed, TimedOut, Tls, Hung] {
            assert_eq!(word(cause).to_str(), Ok(cause.word()));
        }
    }
}
