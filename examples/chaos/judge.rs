//! What one request met, held against the truth. Pure.

use crate::action::{At, Harm};
use crate::site::{APP, HTTP2, NAMES, PLAIN, Pool, TLS, machine};
use crate::truth::{Trouble, Truth};
use live_kit::{Failure, H2Mode, Mode};

/// A request of the load, and what came of it.
#[derive(Clone, Debug)]
pub struct Event {
    /// At the httpd with the module.
    pub live: bool,
    pub pool: Pool,
    pub post: bool,
    pub http2: bool,
    /// The client spoke TLS.
    pub secure: bool,
    /// On a connection that was used before, as far as the client knows.
    pub kept: bool,
    /// The request before it on the same connection, if that is known.
    pub last: Option<u64>,
    pub number: u64,
    pub start: At,
    pub end: At,
    pub status: u16,
    pub backend: String,
    /// The body is the one that the machine sent.
    pub whole: bool,
    pub failure: Option<Failure>,
}

impl Event {
    pub fn failed(&self) -> bool {
        self.failure.is_some() || self.status != 200
    }

    pub fn kind(&self) -> &'static str {
        match (self.pool, self.post, self.http2, self.secure) {
            (_, true, true, false) => "POST over HTTP/2",
            (_, false, true, false) => "GET over HTTP/2",
            (_, true, true, true) => "POST over HTTP/2, TLS",
            (_, false, true, true) => "GET over HTTP/2, TLS",
            (_, true, false, true) => "POST over TLS",
            (_, false, false, true) => "GET over TLS",
            (Pool::App, true, ..) => "POST, balancer",
            (Pool::App, false, ..) => "GET, balancer",
            (Pool::Tls, true, ..) => "POST, TLS members",
            (Pool::Tls, false, ..) => "GET, TLS members",
            (Pool::Plain, true, ..) => "POST, plain worker",
            (Pool::Plain, false, ..) => "GET, plain worker",
            (Pool::Http2, true, ..) => "POST, HTTP/2 members",
            (Pool::Http2, false, ..) => "GET, HTTP/2 members",
        }
    }

    fn name(&self) -> usize {
        match self.pool {
            Pool::App => APP.start,
            Pool::Tls => TLS.start,
            Pool::Plain => PLAIN,
            Pool::Http2 => HTTP2.start,
        }
    }
}

/// What the access log tells of the way of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sent {
    To(usize),
    /// It has a line, and no member was tried.
    Nowhere,
    #[default]
    Unknown,
}

/// What other sources tell of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Noted {
    /// It has a line in the access log, by a child that was not killed.
    pub logged: bool,
    /// Rescues of all requests in the second before its end.
    pub rescues: usize,
    /// Which member it was sent to last.
    pub sent: Sent,
    /// The child behind the connection, known from the request before: whether it was killed, and whether it belongs to
    /// a generation that has ended.
    pub child: Option<(bool, bool)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Good,
    /// No answer, but the child was killed just then and nobody logged the request.
    KilledChild,
    /// Not read by a generation that ended; stock httpd has these, too.
    EndedGeneration,
    /// No member was left.
    Outage,
    /// A POST at a member in trouble, with an answer.
    UnsafeToRepeat,
    /// The answer had begun when trouble came over its member.
    Begun,
    /// More rescues than there is budget for.
    Budget,
    Wrong(String),
}

/// Loss by kill -9 shows within this.
const KILLED: At = 400;
/// So long a generation takes to end.
const GENERATION: At = 12_000;
/// After an outage.
const RECOVERY: At = 3_000;
/// What befalls a member is felt by requests that were sent there so shortly after.
const FELT: At = 500;
/// The budget of rescues of an idle second, and how long it may stay used up.
const BUDGET: usize = 10;
const EXHAUSTED: At = 2_000;
/// No GET takes longer: a hanging TLS member costs its time-out first.
const LONGEST: At = 10_000;

pub fn judge(event: &Event, noted: Noted, truth: &Truth) -> Verdict {
    if event.failure.is_some() {
        return unanswered(event, noted, truth);
    }
    if event.status == 200 {
        return answered(event, truth);
    }
    let proxy = (502..=504).contains(&event.status);
    // 500: a member that DNS has not answered for yet is all that is left, and httpd looks its name up.
    if (proxy || event.status == 500) && is_outage(event, truth) {
        return Verdict::Outage;
    }
    if proxy && event.post && troubled(event, noted, truth) {
        return Verdict::UnsafeToRepeat;
    }
    let wears = |t: &Trouble| {
        t.harm.wears()
            || matches!(
                t.harm,
                Harm::Mode(Mode::Kill(_)) | Harm::Http2(H2Mode::Kill(_))
            )
    };
    let mut felt = truth.felt(event.name(), event.start, event.end, EXHAUSTED);
    if proxy && noted.rescues >= BUDGET && felt.any(wears) {
        return Verdict::Budget;
    }
    Verdict::Wrong(format!("status {}", event.status))
}

/// No member is left, or the only address of one is not known because DNS fails.
fn is_outage(event: &Event, truth: &Truth) -> bool {
    // Nobody finds out that it is over while the leader stands still.
    let from = event.start.saturating_sub(RECOVERY);
    let after = RECOVERY + truth.stopped(from, event.end);
    let mut felt = truth.felt(event.name(), event.start, event.end, after);
    let unknown = event.pool == Pool::Plain;
    felt.any(|t| t.all || unknown && truth.may_be_unknown(PLAIN, event.start))
}

/// The member that it was sent to had trouble just then; when the log has no line, any of the pool.
fn troubled(event: &Event, noted: Noted, truth: &Truth) -> bool {
    let here = |t: &Trouble| match noted.sent {
        Sent::To(name) => t.all || t.name == name,
        Sent::Nowhere => event.pool == Pool::Plain,
        Sent::Unknown => true,
    };
    let late = FELT + truth.stalled(event.start, event.end);
    let mut felt = truth.felt(event.name(), event.start, event.end, late);
    felt.any(here)
}

fn answered(event: &Event, truth: &Truth) -> Verdict {
    let Some((name, spot)) = machine(&event.backend) else {
        return Verdict::Wrong(format!("answered by '{}'", event.backend));
    };
    if NAMES[name].pool != event.pool {
        return Verdict::Wrong(format!("answered by {}", NAMES[name].host));
    }
    if !event.whole {
        return Verdict::Wrong(format!(
            "answered by {} with another body",
            NAMES[name].host
        ));
    }
    if let Some(late) = truth.stale(name, spot, event.start, event.end) {
        let host = NAMES[name].host;
        return Verdict::Wrong(format!(
            "answered by machine {spot} of {host}, {late} ms after it had to be forgotten"
        ));
    }
    let took = event.end - event.start;
    let stood = 3 * truth.stalled(event.start, event.end) + truth.stopped(event.start, event.end);
    let outage = truth.felt(event.name(), event.start, event.end, RECOVERY);
    if took > LONGEST + stood && !outage.into_iter().any(|t| t.all) {
        return Verdict::Wrong(format!("answered after {took} ms"));
    }
    Verdict::Good
}

/// No (whole) answer came.
fn unanswered(event: &Event, noted: Noted, truth: &Truth) -> Verdict {
    let why = event.failure.as_ref().expect("looked at before");
    let torn = matches!(
        why,
        Failure::ClosedWithoutAnswer
            | Failure::Cut
            | Failure::StreamReset(_)
            | Failure::Connect(_)
            | Failure::Other(_)
    );
    let soon = KILLED + truth.stalled(event.start, event.end);
    let killed = noted.child.is_none_or(|(killed, _)| killed);
    if torn && !noted.logged && killed && truth.since_kill(event.end) <= soon {
        return Verdict::KilledChild;
    }
    let reload = Truth::last_before(&truth.reloads, event.end);
    let closed = matches!(why, Failure::ClosedWithoutAnswer | Failure::StreamReset(_));
    let recent = reload.is_some_and(|at| event.end - at <= GENERATION);
    let ended = noted.child.is_none_or(|(_, ended)| ended);
    // A stream's request is logged before its answer has left.
    let unread = event.kept && !noted.logged || event.http2;
    if closed && unread && recent && ended {
        return Verdict::EndedGeneration;
    }
    let begun =
        matches!(why, Failure::Cut) || event.http2 && matches!(why, Failure::StreamReset(_));
    if begun && troubled(event, noted, truth) {
        return Verdict::Begun;
    }
    let logged = match noted.logged {
        true => "read by httpd",
        false => "not in its access log",
    };
    Verdict::Wrong(format!("no answer: {why:?}; {logged}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::{Action, Spots};

    fn event(status: u16, failure: Option<Failure>) -> Event {
        Event {
            live: true,
            pool: Pool::App,
            post: false,
            http2: false,
            secure: false,
            kept: true,
            last: None,
            number: 1,
            start: 10_000,
            end: 10_100,
            status,
            backend: "0/0".into(),
            whole: true,
            failure,
        }
    }

    fn verdict(event: &Event, logged: bool, truth: &Truth) -> Verdict {
        let noted = Noted {
            logged,
            ..Noted::default()
        };
        judge(event, noted, truth)
    }

    fn is_wrong(verdict: &Verdict) -> bool {
        matches!(verdict, Verdict::Wrong(_))
    }

    #[test]
    fn statuses() {
        let mut truth = Truth::new();
        assert_eq!(verdict(&event(200, None), true, &truth), Verdict::Good);
        assert!(is_wrong(&verdict(&event(503, None), true, &truth)));
        truth.note(9_000, &Action::Harm(1, Spots::Both, Harm::Kill));
        assert!(is_wrong(&verdict(&event(502, None), true, &truth)));
        let post = Event {
            post: true,
            ..event(502, None)
        };
        assert_eq!(verdict(&post, true, &truth), Verdict::UnsafeToRepeat);
        truth.note(9_500, &Action::Outage(0, Harm::Kill));
        assert_eq!(verdict(&event(502, None), true, &truth), Verdict::Outage);
        assert!(is_wrong(&verdict(&event(404, None), true, &truth)));
    }

    #[test]
    fn no_answers() {
        let mut truth = Truth::new();
        let lost = event(0, Some(Failure::ClosedWithoutAnswer));
        assert!(is_wrong(&verdict(&lost, false, &truth)));
        truth.note(10_050, &Action::KillLeader);
        assert_eq!(verdict(&lost, false, &truth), Verdict::KilledChild);
        // A child that wrote its log was not killed.
        assert!(is_wrong(&verdict(&lost, true, &truth)));
        let mut truth = Truth::new();
        truth.note(9_900, &Action::Reload(None));
        assert_eq!(verdict(&lost, false, &truth), Verdict::EndedGeneration);
        let fresh = Event {
            kept: false,
            ..lost
        };
        assert!(is_wrong(&verdict(&fresh, false, &truth)));
        let late = event(0, Some(Failure::Timeout));
        assert!(is_wrong(&verdict(&late, false, &truth)));
    }

    #[test]
    fn posts_fail_with_their_own_member_only() {
        let mut truth = Truth::new();
        truth.note(9_000, &Action::Harm(1, Spots::Both, Harm::Kill));
        let post = Event {
            post: true,
            ..event(502, None)
        };
        let sent = |member| Noted {
            logged: true,
            sent: Sent::To(member),
            ..Noted::default()
        };
        assert_eq!(judge(&post, sent(1), &truth), Verdict::UnsafeToRepeat);
        assert!(is_wrong(&judge(&post, sent(2), &truth)));
        let nowhere = Noted {
            sent: Sent::Nowhere,
            ..sent(1)
        };
        assert!(is_wrong(&judge(&post, nowhere, &truth)));
        truth.note(9_400, &Action::Heal(1));
        assert!(is_wrong(&judge(&post, sent(1), &truth)));
        let cut = Event {
            end: 9_300,
            start: 9_200,
            ..event(0, Some(Failure::Cut))
        };
        assert_eq!(judge(&cut, sent(1), &truth), Verdict::Begun);
        assert!(is_wrong(&judge(&cut, sent(0), &truth)));
    }

    #[test]
    fn other_children_excuse_nothing() {
        let mut truth = Truth::new();
        truth.note(9_900, &Action::Reload(None));
        truth.note(10_050, &Action::KillLeader);
        let lost = event(0, Some(Failure::ClosedWithoutAnswer));
        let of = |child| {
            let noted = Noted {
                child: Some(child),
                ..Noted::default()
            };
            judge(&lost, noted, &truth)
        };
        assert_eq!(of((true, false)), Verdict::KilledChild);
        assert_eq!(of((false, true)), Verdict::EndedGeneration);
        assert!(is_wrong(&of((false, false))));
    }

    #[test]
    fn answers_in_time_with_their_own_body() {
        let mut truth = Truth::new();
        let other = Event {
            whole: false,
            ..event(200, None)
        };
        assert!(is_wrong(&verdict(&other, true, &truth)));
        let late = Event {
            end: 21_000,
            ..event(200, None)
        };
        assert!(is_wrong(&verdict(&late, true, &truth)));
        truth.note(10_000, &Action::StopChild(1, 3_000));
        assert_eq!(verdict(&late, true, &truth), Verdict::Good);
    }

    #[test]
    fn wrong_machines() {
        let truth = Truth::new();
        let of = |backend: &str| Event {
            backend: backend.into(),
            ..event(200, None)
        };
        for backend in ["", "0/1", "5/0"] {
            assert!(is_wrong(&verdict(&of(backend), true, &truth)), "{backend}");
        }
    }
}
