//! What a backend answers to a request, as the query parameters of the request say.

use super::Mode;
use super::death::Death;
use super::line::{Line, Wire};
use crate::http::Head;
use crate::request::payload;
use std::io::{self, Write};
use std::time::Duration;

/// What arrived on the wire is with httpd before the connection ends.
const SETTLED: Duration = Duration::from_millis(50);

/// The query parameters of a request.
#[derive(Debug, Clone, Default)]
pub(super) struct Query {
    /// Pause between the head of the request and the reading of its body.
    pub(super) hold: Option<Duration>,
    /// Pause before the answer.
    pub(super) delay: Option<Duration>,
    pub(super) die: Option<Death>,
    drip: Option<Duration>,
    bytes: Option<u64>,
    seed: Option<u64>,
    status: Option<u64>,
}

impl Query {
    /// As the backend of this name takes them.
    pub(super) fn of(target: &str, name: &str) -> Query {
        let query = target.split_once('?').map_or("", |(_, q)| q);
        if parameter(query, "at").is_some_and(|at| at != name) {
            return Query::default();
        }
        let number = |key| parameter(query, key)?.parse().ok();
        let time = |key| number(key).map(Duration::from_millis);
        Query {
            hold: time("hold"),
            delay: time("delay"),
            die: parameter(query, "die").and_then(Death::from_word),
            drip: time("drip"),
            bytes: number("bytes"),
            seed: number("seed"),
            status: number("status"),
        }
    }
}

/// What a request was.
pub(super) struct Asked<'a> {
    pub(super) head: &'a Head,
    pub(super) method: &'a str,
    pub(super) target: &'a str,
    /// Length and checksum of the body.
    pub(super) length: usize,
    pub(super) sum: u64,
}

/// One answer, ready to be sent.
pub(super) struct Answer {
    head: String,
    body: Vec<u8>,
    drip: Option<Duration>,
    /// The connection ends behind it.
    pub(super) close: bool,
}

impl Answer {
    pub(super) fn new(name: &str, mode: Mode, query: &Query, asked: &Asked<'_>) -> Answer {
        let status = match (query.status, mode) {
            (Some(n), _) => n,
            (None, Mode::Status(n)) => u64::from(n),
            _ => 200,
        };
        let Asked {
            head,
            method,
            target,
            length,
            sum,
        } = asked;
        let host = head.get("host").unwrap_or_default();
        let facts = format!(
            "backend={name}\nmethod={method}\npath={target}\nhost={host}\nlength={length}\nsum={sum:016x}\n"
        );
        let body = match query.bytes {
            Some(n) => body_of(query.seed, n as usize),
            None => facts.into_bytes(),
        };
        let close = mode == Mode::Leave
            || head.has_token("connection", "close")
            || head.start.ends_with("HTTP/1.0");
        let last = if close { "Connection: close\r\n" } else { "" };
        let moved = match status {
            301..=303 | 307 | 308 => "Location: http://elsewhere.test/\r\n",
            _ => "",
        };
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status} Status\r\nX-Backend: {name}\r\nX-Sum: {sum:016x}\r\n{moved}Content-Length: {length}\r\n{last}\r\n"
        );
        let body = if *method == "HEAD" { Vec::new() } else { body };
        Answer {
            head,
            body,
            drip: query.drip,
            close,
        }
    }

    /// The same, one byte of it all per so long.
    pub(super) fn dripping(self, pause: Duration) -> Answer {
        Answer {
            body: [self.head.into_bytes(), self.body].concat(),
            head: String::new(),
            drip: Some(pause),
            close: self.close,
        }
    }

    pub(super) fn send(&self, wire: &mut Wire, line: &Line) -> io::Result<()> {
        let Some(pause) = self.drip else {
            wire.write_all(&[self.head.as_bytes(), &self.body].concat())?;
            return wire.flush();
        };
        wire.write_all(self.head.as_bytes())?;
        for byte in &self.body {
            wire.flush()?;
            line.pause(pause)?;
            wire.write_all(std::slice::from_ref(byte))?;
        }
        wire.flush()
    }

    /// Sends what this death lets through.
    pub(super) fn send_part(&self, wire: &mut Wire, line: &Line, death: Death) -> io::Result<()> {
        let all = [self.head.as_bytes(), &self.body].concat();
        let share = death.share(self.head.len(), self.body.len());
        if share == 0 {
            return Ok(());
        }
        wire.write_all(&all[..share])?;
        wire.flush()?;
        line.pause(SETTLED)
    }
}

/// A body of this length: dots, or bytes that only this seed gives.
pub(crate) fn body_of(seed: Option<u64>, length: usize) -> Vec<u8> {
    match seed {
        Some(seed) => payload(seed, length),
        None => vec![b'.'; length],
    }
}

fn parameter<'q>(query: &'q str, key: &str) -> Option<&'q str> {
    query
        .split('&')
        .find_map(|p| p.strip_prefix(key)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters() {
        assert_eq!(parameter("delay=20&bytes=5", "bytes"), Some("5"));
        assert_eq!(parameter("delays=20", "delay"), None);
        assert_eq!(parameter("", "delay"), None);
        let query = Query::of("/x?delay=20&die=header&status=404", "A");
        assert_eq!(query.delay, Some(Duration::from_millis(20)));
        assert_eq!(
            (query.die, query.status, query.bytes),
            (Some(Death::Header), Some(404), None)
        );
        assert_eq!(Query::of("/die=reset", "A").die, None);
        let at_b = "/x?die=reset&at=B";
        assert_eq!(Query::of(at_b, "A").die, None);
        assert_eq!(Query::of(at_b, "B").die, Some(Death::Reset));
    }
}
