//! What happens with a request whose attempt at a backend failed.
//!
//! It is tried once more when that is safe: nothing of the answer has reached the client, the backend may
//! have done the work already without harm (idempotent method), and there is no body that was consumed.

/// Why an attempt failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// The host is gone: the request was ended on that evidence, by us or by the kernel.
    Dead,
    /// The backend reset the connection.
    Reset,
    /// The backend closed the connection.
    Closed,
    /// No answer within the worker's time-out.
    TimedOut,
    /// The TLS handshake failed.
    Tls,
    /// The application hangs, and the request was taken away from it (`liverescue=eager`).
    Hung,
}

impl Cause {
    /// The word for it, as in the environment variable `LIVE_RESCUE`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Dead => "dead",
            Self::Reset => "reset",
            Self::Closed => "closed",
            Self::TimedOut => "timeout",
            Self::Tls => "tls",
            Self::Hung => "hung",
        }
    }
}

/// An attempt that failed after it had a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Failure {
    pub cause: Cause,
    /// The connection had served a request before.
    pub reused: bool,
    /// Some bytes of this answer had come, for example half a header.
    pub begun: bool,
}

impl Failure {
    /// Whether it speaks against the member, if it happens again and again: not what says nothing about its
    /// health, what probes find out, nor slowness.
    pub const fn is_evidence(&self) -> bool {
        !self.is_keepalive_race() && matches!(self.cause, Cause::Closed | Cause::Reset | Cause::Tls)
    }

    /// The backend closed a pooled connection just as the request was sent: it says nothing about the
    /// backend's health.
    pub const fn is_keepalive_race(&self) -> bool {
        self.reused && !self.begun && matches!(self.cause, Cause::Closed | Cause::Reset)
    }
}

/// What the decision needs to know of the request and its worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Facts {
    /// See [`is_idempotent`].
    pub idempotent: bool,
    /// There is a body, or it is not certain that there is none.
    pub has_body: bool,
    /// Something of the final answer went to the client.
    pub answered: bool,
    /// The request was rescued once already.
    pub rescued: bool,
    /// mod_proxy's own loop can reach another usable member.
    pub other_member: bool,
    /// The request belongs to a session of this member.
    pub sticky: bool,
    /// The worker has another address that is not known as down.
    pub other_address: bool,
}

impl Facts {
    const fn may_repeat(&self) -> bool {
        self.idempotent && !self.has_body && !self.answered && !self.rescued
    }
}

/// What to do with the request. Whether the budget has room is another question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// It fails, with an answer.
    Fail,
    /// Once more on the same worker, with a fresh connection.
    SameWorker,
    /// mod_proxy's loop goes on to another member.
    NextMember,
}

/// Whether so many failures without a success between them are the member's, not those of a request that kills
/// whatever it reaches.
pub const fn is_row(fails: u64) -> bool {
    fails >= 3
}

/// Decides what happens after a failed attempt.
pub const fn next(failure: &Failure, facts: &Facts) -> Next {
    if !facts.may_repeat() {
        Next::Fail
    } else if facts.other_member && !(facts.sticky && failure.is_keepalive_race()) {
        Next::NextMember
    } else if facts.other_address || failure.is_keepalive_race() {
        Next::SameWorker
    } else {
        Next::Fail
    }
}

/// Whether doing it twice is the same as doing it once (RFC 9110, 9.2.2). Methods are case-sensitive.
pub fn is_idempotent(method: &str) -> bool {
    matches!(
        method,
        "GET" | "HEAD" | "OPTIONS" | "TRACE" | "DELETE" | "PUT"
    )
}

/// Whether a request with this method may be taken away from a backend that hangs. Fewer than
/// [`is_idempotent`]: the backend has the request, and may work on it for long.
pub fn may_be_moved(method: &str) -> bool {
    matches!(method, "GET" | "HEAD")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAUSES: [Cause; 6] = [
        Cause::Dead,
        Cause::Reset,
        Cause::Closed,
        Cause::TimedOut,
        Cause::Tls,
        Cause::Hung,
    ];

    /// All combinations: six causes, nine yes-or-no questions.
    fn all() -> impl Iterator<Item = (Failure, Facts)> {
        let numbers = CAUSES
            .into_iter()
            .flat_map(|c| (0..1 << 9).map(move |n| (c, n)));
        numbers.map(|(cause, n): (Cause, u32)| {
            let bit = |at: u32| n >> at & 1 == 1;
            let failure = Failure {
                cause,
                reused: bit(0),
                begun: bit(1),
            };
            let facts = Facts {
                idempotent: bit(2),
                has_body: bit(3),
                answered: bit(4),
                rescued: bit(5),
                other_member: bit(6),
                other_address: bit(7),
                sticky: bit(8),
            };
            (failure, facts)
        })
    }

    /// The rules once more, as a table: what forbids a retry, then where it goes by
    /// (keep-alive race, other member, other address).
    #[test]
    fn all_combinations() {
        let mut counts = [0; 3];
        for (failure, facts) in all() {
            let forbidden = [
                !facts.idempotent,
                facts.has_body,
                facts.answered,
                facts.rescued,
            ];
            let race = match (failure.cause, failure.reused, failure.begun) {
                (Cause::Reset | Cause::Closed, true, false) => true,
                (Cause::Dead | Cause::TimedOut | Cause::Tls | Cause::Hung, _, _)
                | (_, false, _)
                | (_, _, true) => false,
            };
            let stays = race && facts.sticky;
            let place = match (stays, facts.other_member, facts.other_address, race) {
                (true, ..) | (false, false, true, _) | (false, false, false, true) => {
                    Next::SameWorker
                }
                (false, true, ..) => Next::NextMember,
                (false, false, false, false) => Next::Fail,
            };
            let wanted = if forbidden.contains(&true) {
                Next::Fail
            } else {
                place
            };
            assert_eq!(next(&failure, &facts), wanted, "{failure:?} {facts:?}");
            counts[wanted as usize] += 1;
        }
        // 6 causes x 32 combinations are not forbidden. Races: 2 x 8, of which 8 stay, 4 go to another member, 4
        // have none. Of the other 176 half have another member, and half of the rest another address.
        assert_eq!(counts, [3072 - 148, 12 + 44, 4 + 88]);
    }

    const LUCKY: Facts = Facts {
        idempotent: true,
        has_body: false,
        answered: false,
        rescued: false,
        other_member: true,
        sticky: false,
        other_address: true,
    };

    #[test]
    fn the_cases_that_matter() {
        let failure = |cause, reused, begun| Failure {
            cause,
            reused,
            begun,
        };
        for (failure, wanted) in [
            (failure(Cause::Closed, true, false), Next::NextMember),
            (failure(Cause::Reset, true, false), Next::NextMember),
            (failure(Cause::Reset, true, true), Next::NextMember),
            (failure(Cause::Reset, false, false), Next::NextMember),
            (failure(Cause::Dead, true, false), Next::NextMember),
            (failure(Cause::TimedOut, true, false), Next::NextMember),
            (failure(Cause::Tls, false, false), Next::NextMember),
        ] {
            assert_eq!(next(&failure, &LUCKY), wanted, "{failure:?}");
        }
        let alone = Facts {
            other_member: false,
            other_address: false,
            ..LUCKY
        };
        // The keep-alive race needs nobody else.
        let race = failure(Cause::Closed, true, false);
        assert_eq!(next(&race, &alone), Next::SameWorker);
        // A session stays where it is, if it can.
        let session = Facts {
            sticky: true,
            ..LUCKY
        };
        assert_eq!(next(&race, &session), Next::SameWorker);
        let fresh = failure(Cause::Closed, false, false);
        assert_eq!(next(&fresh, &session), Next::NextMember);
        let dead = failure(Cause::Dead, false, false);
        assert_eq!(next(&dead, &alone), Next::Fail);
        let one_of_many = Facts {
            other_address: true,
            ..alone
        };
        assert_eq!(next(&dead, &one_of_many), Next::SameWorker);
    }

    #[test]
    fn what_speaks_against_a_member() {
        for (failure, _) in all() {
            let fresh = !failure.reused || failure.begun;
            let wanted = match failure.cause {
                Cause::Closed | Cause::Reset => fresh,
                Cause::Tls => true,
                Cause::Dead | Cause::TimedOut | Cause::Hung => false,
            };
            assert_eq!(failure.is_evidence(), wanted, "{failure:?}");
        }
        assert!(!is_row(2) && is_row(3));
    }

    #[test]
    fn methods() {
        for method in ["GET", "HEAD", "OPTIONS", "TRACE", "DELETE", "PUT"] {
            assert!(is_idempotent(method), "{method}");
            assert!(!is_idempotent(&method.to_lowercase()), "{method}");
            assert_eq!(may_be_moved(method), ["GET", "HEAD"].contains(&method));
        }
        for method in [
            "POST", "PATCH", "CONNECT", "PROPFIND", "", "GET ", "Get", "GETX",
        ] {
            assert!(!is_idempotent(method), "{method}");
        }
    }

    #[test]
    fn words() {
        let words = CAUSES.map(Cause::word);
        assert_eq!(words, ["dead", "reset", "closed", "timeout", "tls", "hung"]);
    }
}
