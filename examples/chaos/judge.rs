//! What one request met, held against the truth. Pure.

use crate::action::{At, Harm};
use crate::site::{APP, NAMES, PLAIN, Pool, TLS, machine};
use crate::truth::Truth;
use live_kit::{Failure, Mode};

/// A request of the load, and what came of it.
#[derive(Clone, Debug)]
pub struct Event {
    /// At the httpd with the module.
    pub live: bool,
    pub pool: Pool,
    pub post: bool,
    pub http2: bool,
    /// On a connection that was used before, as far as the client knows.
    pub kept: bool,
    pub number: u64,
    pub start: At,
    pub end: At,
    pub status: u16,
    pub backend: String,
    pub failure: Option<Failure>,
}

impl Event {
    pub fn failed(&self) -> bool {
        self.failure.is_some() || self.status != 200
    }

    pub fn kind(&self) -> &'static str {
        match (self.pool, self.post, self.http2) {
            (_, true, true) => "POST over HTTP/2",
            (_, false, true) => "GET over HTTP/2",
            (Pool::App, true, _) => "POST, balancer",
            (Pool::App, false, _) => "GET, balancer",
            (Pool::Tls, true, _) => "POST, TLS members",
            (Pool::Tls, false, _) => "GET, TLS members",
            (Pool::Plain, true, _) => "POST, plain worker",
            (Pool::Plain, false, _) => "GET, plain worker",
        }
    }

    fn name(&self) -> usize {
        match self.pool {
            Pool::App => APP.start,
            Pool::Tls => TLS.start,
            Pool::Plain => PLAIN,
        }
    }
}

/// What other sources tell of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Noted {
    /// It has a line in the access log, by a child that was not killed.
    pub logged: bool,
    /// Rescues of all requests in the second before its end.
    pub rescues: usize,
    /// The child that answered belongs to a generation that had ended when the request came.
    pub outlived: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Good,
    /// No answer, but a child was killed just then and nobody logged the request.
    KilledChild,
    /// Not read by a generation that ended; stock httpd has these, too.
    EndedGeneration,
    /// No member was left.
    Outage,
    /// A POST at a member in trouble, with an answer.
    UnsafeToRepeat,
    /// More rescues than there is budget for.
    Budget,
    /// Wrong, but by a child that httpd has not told to end with its generation.
    Outlived(String),
    Wrong(String),
}

/// Loss by kill -9 shows within this.
const KILLED: At = 400;
/// So long a generation takes to end.
const GENERATION: At = 12_000;
/// After an outage, and after a trouble for requests that cannot be repeated.
const RECOVERY: At = 6_000;
/// The budget of rescues of an idle second.
const BUDGET: usize = 10;
/// No GET takes longer: a hanging TLS member costs its time-out first.
const LONGEST: At = 8_000;

pub fn judge(event: &Event, noted: Noted, truth: &Truth) -> Verdict {
    match of_newest(event, noted, truth) {
        Verdict::Wrong(what) if noted.outlived => Verdict::Outlived(what),
        verdict => verdict,
    }
}

fn of_newest(event: &Event, noted: Noted, truth: &Truth) -> Verdict {
    if event.failure.is_some() {
        return unanswered(event, noted, truth);
    }
    if event.status == 200 {
        return answered(event, truth);
    }
    let felt = || truth.felt(event.name(), event.start, event.end, RECOVERY);
    let proxy = (502..=504).contains(&event.status);
    if proxy && felt().any(|t| t.all) {
        return Verdict::Outage;
    }
    if proxy && event.post && felt().next().is_some() {
        return Verdict::UnsafeToRepeat;
    }
    let wears = |harm: Harm| harm.wears() || matches!(harm, Harm::Mode(Mode::Kill(_)));
    if proxy && noted.rescues >= BUDGET && felt().any(|t| wears(t.harm)) {
        return Verdict::Budget;
    }
    Verdict::Wrong(format!("status {}", event.status))
}

fn answered(event: &Event, truth: &Truth) -> Verdict {
    let Some((name, spot)) = machine(&event.backend) else {
        return Verdict::Wrong(format!("answered by '{}'", event.backend));
    };
    if NAMES[name].pool != event.pool {
        return Verdict::Wrong(format!("answered by {}", NAMES[name].host));
    }
    if let Some(late) = truth.stale(name, spot, event.start, event.end) {
        let host = NAMES[name].host;
        return Verdict::Wrong(format!(
            "answered by machine {spot} of {host}, {late} ms after it had to be forgotten"
        ));
    }
    let took = event.end - event.start;
    let outage = truth.felt(event.name(), event.start, event.end, RECOVERY);
    let longest = LONGEST + 3 * truth.stalled(event.start, event.end);
    if took > longest && !outage.into_iter().any(|t| t.all) {
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
    if torn && !noted.logged && truth.since_kill(event.end) <= soon {
        return Verdict::KilledChild;
    }
    let reload = Truth::last_before(&truth.reloads, event.end);
    let closed = matches!(why, Failure::ClosedWithoutAnswer | Failure::StreamReset(_));
    let recent = reload.is_some_and(|at| event.end - at <= GENERATION);
    // A stream's request is logged before its answer has left.
    let unread = event.kept && !noted.logged || event.http2;
    if closed && unread && recent {
        return Verdict::EndedGeneration;
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
            kept: true,
            number: 1,
            start: 10_000,
            end: 10_100,
            status,
            backend: "0/0".into(),
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
