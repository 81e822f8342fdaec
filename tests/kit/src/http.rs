//! The little of HTTP/1.1 that client and backend share: heads and bodies on a byte stream.

use std::io::{self, ErrorKind, Read};

/// Heads longer than this are refused.
const MAX_HEAD: usize = 64 * 1024;

/// A start line and its header fields, names in lower case.
#[derive(Debug, Clone, Default)]
pub(crate) struct Head {
    pub start: String,
    pub fields: Vec<(String, String)>,
}

impl Head {
    pub(crate) fn parse(text: &str) -> Head {
        let mut lines = text.split("\r\n").filter(|l| !l.is_empty());
        let start = lines.next().unwrap_or_default().to_owned();
        let field = |l: &str| {
            l.split_once(':')
                .map(|(n, v)| (n.trim().to_ascii_lowercase(), v.trim().to_owned()))
        };
        Head {
            start,
            fields: lines.filter_map(field).collect(),
        }
    }

    /// First field of that (lower-case) name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }

    /// The comma-separated field `name` holds `token`, case ignored.
    pub(crate) fn has_token(&self, name: &str, token: &str) -> bool {
        let value = self.get(name).unwrap_or_default();
        value
            .split(',')
            .any(|t| t.trim().eq_ignore_ascii_case(token))
    }

    /// The body's length as announced; `None` without Content-Length.
    pub(crate) fn length(&self) -> Option<usize> {
        self.get("content-length")?.parse().ok()
    }

    pub(crate) fn chunked(&self) -> bool {
        self.has_token("transfer-encoding", "chunked")
    }
}

/// Buffered reader that remembers whether anything arrived since the last [`Inbox::mark`].
pub(crate) struct Inbox<R> {
    source: R,
    buf: Vec<u8>,
    /// Bytes received since the mark.
    pub got: usize,
}

impl<R: Read> Inbox<R> {
    pub(crate) fn new(source: R) -> Self {
        Inbox {
            source,
            buf: Vec::new(),
            got: 0,
        }
    }

    pub(crate) fn mark(&mut self) {
        self.got = self.buf.len();
    }

    pub(crate) fn source(&self) -> &R {
        &self.source
    }

    pub(crate) fn source_mut(&mut self) -> &mut R {
        &mut self.source
    }

    /// Nothing has been read ahead.
    pub(crate) fn is_empty(&self) -> bool {
        self.buf.is_empty()
    }

    /// Bytes read ahead and not consumed yet.
    pub(crate) fn take_rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buf)
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut chunk = [0; 16 * 1024];
        let n = loop {
            match self.source.read(&mut chunk) {
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        if n == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.got += n;
        self.buf.extend_from_slice(&chunk[..n]);
        Ok(())
    }

    /// Reads up to and with the empty line.
    pub(crate) fn head(&mut self) -> io::Result<Head> {
        loop {
            if let Some(end) = find(&self.buf, b"\r\n\r\n") {
                let bytes: Vec<u8> = self.buf.drain(..end + 4).collect();
                return Ok(Head::parse(&String::from_utf8_lossy(&bytes)));
            }
            if self.buf.len() > MAX_HEAD {
                return Err(io::Error::new(ErrorKind::InvalidData, "head too long"));
            }
            self.fill()?;
        }
    }

    /// Exactly `n` bytes.
    pub(crate) fn exact(&mut self, n: usize) -> io::Result<Vec<u8>> {
        while self.buf.len() < n {
            self.fill()?;
        }
        Ok(self.buf.drain(..n).collect())
    }

    /// The body that belongs to `head`; `to_end`: without framing it lasts until the stream ends.
    pub(crate) fn body(&mut self, head: &Head, to_end: bool) -> io::Result<Vec<u8>> {
        if head.chunked() {
            return self.chunks();
        }
        if let Some(n) = head.length() {
            return self.exact(n);
        }
        if !to_end {
            return Ok(Vec::new());
        }
        loop {
            match self.fill() {
                Ok(()) => {}
                Err(e) if e.kind() == ErrorKind::UnexpectedEof => return Ok(self.take_rest()),
                Err(e) => return Err(e),
            }
        }
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = find(&self.buf, b"\r\n") {
                let bytes: Vec<u8> = self.buf.drain(..end + 2).collect();
                return Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned());
            }
            self.fill()?;
        }
    }

    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let bad =
                |_| io::Error::new(ErrorKind::InvalidData, format!("bad chunk size {size:?}"));
            let n = usize::from_str_radix(size, 16).map_err(bad)?;
            if n == 0 {
                while !self.line()?.is_empty() {}
                return Ok(body);
            }
            body.extend(self.exact(n)?);
            self.exact(2)?;
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|w| w == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_and_bodies() {
        let text = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n3;x\r\nyou\r\n0\r\n\r\nrest";
        let mut inbox = Inbox::new(&text[..]);
        let head = inbox.head().expect("a head");
        assert_eq!(
            (head.start.as_str(), head.get("host")),
            ("POST /x HTTP/1.1", Some("a"))
        );
        assert_eq!(inbox.body(&head, false).expect("body"), b"abc");
        let head = inbox.head().expect("second head");
        assert_eq!(inbox.body(&head, true).expect("chunks"), b"hiyou");
        assert_eq!(
            inbox.body(&Head::default(), true).expect("to the end"),
            b"rest"
        );
        assert_eq!(
            inbox.head().expect_err("the end").kind(),
            ErrorKind::UnexpectedEof
        );
    }
}
