//! What a client of the kit sends.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Bodies are sent in pieces of so many bytes.
pub(crate) const PIECE: usize = 64 * 1024;

/// Request header that joins a request with httpd's access log and with [`crate::Seen::id`].
pub(crate) const ID_HEADER: &str = "X-Id";

/// A request id no other request of this process has.
pub(crate) fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// How the end of a request's body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// By Content-Length, also of an empty body.
    Length,
    /// HTTP/1: chunked. HTTP/2: no Content-Length, the end comes with a DATA frame, also that of an empty body.
    Open,
    /// An empty body without any field; HTTP/2: the end comes with the HEADERS frame.
    /// (HTTP/2 with a body: no Content-Length.)
    Bare,
}

/// What to send.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub body: Vec<u8>,
    pub headers: Vec<(String, String)>,
    pub framing: Framing,
    /// `Expect: 100-continue`: the body is sent when 100 has arrived; after another answer it is not.
    pub expect: bool,
    /// Pause before each 64 KB of the body.
    pub pace: Option<Duration>,
}

impl Request {
    /// A request without a body; framed as user agents do it: GET, HEAD, OPTIONS, TRACE and DELETE bare, all others with
    /// `Content-Length: 0`.
    pub fn new(method: &str, path: &str) -> Request {
        let bare = ["GET", "HEAD", "OPTIONS", "TRACE", "DELETE"].contains(&method);
        Request {
            method: method.into(),
            path: path.into(),
            body: Vec::new(),
            headers: Vec::new(),
            framing: if bare { Framing::Bare } else { Framing::Length },
            expect: false,
            pace: None,
        }
    }

    pub fn get(path: &str) -> Request {
        Request::new("GET", path)
    }

    /// A POST of `length` bytes.
    pub fn post(path: &str, length: usize) -> Request {
        Request::upload("POST", path, length)
    }

    /// `length` bytes with Content-Length. A load gives each of its requests bytes of its own.
    pub fn upload(method: &str, path: &str, length: usize) -> Request {
        Request {
            body: payload(0, length),
            framing: Framing::Length,
            ..Request::new(method, path)
        }
    }

    pub fn framed(mut self, framing: Framing) -> Request {
        self.framing = framing;
        self
    }

    /// See [`Request::expect`](field@Request::expect).
    pub fn expecting(mut self) -> Request {
        self.expect = true;
        self
    }

    /// See [`Request::pace`].
    pub fn slowly(mut self, pace: Duration) -> Request {
        self.pace = Some(pace);
        self
    }

    pub fn header(mut self, name: &str, value: &str) -> Request {
        self.headers.push((name.into(), value.into()));
        self
    }
}

/// `length` bytes that differ from those of every other `seed`, and wherever a piece is missing or repeated.
pub fn payload(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads() {
        for length in [0, 1, 7, 8, 9, 100] {
            assert_eq!(payload(5, length).len(), length);
        }
        assert_ne!(payload(5, 8), payload(6, 8));
        let long = payload(5, 64);
        assert_ne!(long[..8], long[8..16]);
        assert!(long.starts_with(&payload(5, 20)));
    }
}
