//! What a backend answers to a request, as the query parameters of the request say.

use super::Mode;
use crate::http::Head;
use std::io::{self, Write};
use std::net::TcpStream;
use std::time::Duration;

/// One answer, ready to be sent.
pub(super) struct Answer {
    head: String,
    body: Vec<u8>,
    drip: Option<Duration>,
    /// The connection ends behind it.
    pub(super) close: bool,
}

impl Answer {
    /// Waits for the `delay` of the request.
    pub(super) fn new(
        name: &str,
        mode: Mode,
        method: &str,
        target: &str,
        head: &Head,
        length: usize,
    ) -> Answer {
        let query = target.split_once('?').map_or("", |(_, q)| q);
        let number = |key| parameter(query, key);
        if let Some(ms) = number("delay") {
            std::thread::sleep(Duration::from_millis(ms));
        }
        let status = match (number("status"), mode) {
            (Some(n), _) => n,
            (None, Mode::Status(n)) => u64::from(n),
            _ => 200,
        };
        let host = head.get("host").unwrap_or_default();
        let facts = format!(
            "backend={name}\nmethod={method}\npath={target}\nhost={host}\nlength={length}\n"
        );
        let body = number("bytes").map_or(facts.into_bytes(), |n| vec![b'.'; n as usize]);
        let close = head.has_token("connection", "close") || head.start.ends_with("HTTP/1.0");
        let last = if close { "Connection: close\r\n" } else { "" };
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status} Status\r\nX-Backend: {name}\r\nContent-Length: {length}\r\n{last}\r\n"
        );
        let body = if method == "HEAD" { Vec::new() } else { body };
        Answer {
            head,
            body,
            drip: number("drip").map(Duration::from_millis),
            close,
        }
    }

    pub(super) fn send(&self, mut stream: &TcpStream) -> io::Result<()> {
        let Some(pause) = self.drip else {
            return stream.write_all(&[self.head.as_bytes(), &self.body].concat());
        };
        stream.write_all(self.head.as_bytes())?;
        for byte in &self.body {
            std::thread::sleep(pause);
            stream.write_all(std::slice::from_ref(byte))?;
        }
        Ok(())
    }
}

fn parameter(query: &str, key: &str) -> Option<u64> {
    query
        .split('&')
        .find_map(|p| p.strip_prefix(key)?.strip_prefix('=')?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::parameter;

    #[test]
    fn parameters() {
        assert_eq!(parameter("delay=20&bytes=5", "bytes"), Some(5));
        assert_eq!(parameter("delays=20", "delay"), None);
        assert_eq!(parameter("", "delay"), None);
    }
}
