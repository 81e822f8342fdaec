//! Bytes on a connection: summed up, and read as heads and bodies without keeping them.

use super::PATIENCE;
use crate::http::Head;
use std::io::{self, ErrorKind, Read};
use std::net::TcpStream;

/// Length and checksum of bytes, however they were cut into pieces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Content {
    pub length: u64,
    sum: u64,
    /// Bytes that do not fill a word yet.
    tail: [u8; 8],
}

impl Default for Content {
    fn default() -> Content {
        Content {
            length: 0,
            sum: 0xcbf2_9ce4_8422_2325,
            tail: [0; 8],
        }
    }
}

impl Content {
    pub fn of(bytes: &[u8]) -> Content {
        let mut content = Content::default();
        content.add(bytes);
        content
    }

    pub fn add(&mut self, mut bytes: &[u8]) {
        // A word at a time: 100 MB are summed up in no time.
        while !bytes.is_empty() {
            let at = (self.length % 8) as usize;
            let word = match bytes.first_chunk() {
                Some(word) if at == 0 => {
                    bytes = &bytes[8..];
                    self.length += 8;
                    *word
                }
                _ => {
                    self.tail[at] = bytes[0];
                    bytes = &bytes[1..];
                    self.length += 1;
                    if at != 7 {
                        continue;
                    }
                    std::mem::take(&mut self.tail)
                }
            };
            let mixed = (self.sum ^ u64::from_le_bytes(word)).wrapping_mul(0x0100_0000_01b3);
            self.sum = mixed ^ (mixed >> 29);
        }
    }
}

/// Reads heads and bodies, long ones without keeping them.
pub(super) struct Reader {
    pub(super) stream: TcpStream,
    /// Read ahead and not consumed yet.
    pub(super) buf: Vec<u8>,
}

impl Reader {
    pub(super) fn new(stream: TcpStream) -> io::Result<Reader> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Reader {
            stream,
            buf: Vec::new(),
        })
    }

    pub(super) fn fill(&mut self) -> io::Result<()> {
        let mut chunk = [0; 32 * 1024];
        let n = loop {
            match self.stream.read(&mut chunk) {
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        if n == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.buf.extend_from_slice(&chunk[..n]);
        Ok(())
    }

    /// Up to and with `mark`.
    fn until(&mut self, mark: &[u8]) -> io::Result<String> {
        loop {
            let found = self.buf.windows(mark.len()).position(|w| w == mark);
            if let Some(at) = found {
                let bytes: Vec<u8> = self.buf.drain(..at + mark.len()).collect();
                return Ok(String::from_utf8_lossy(&bytes).into_owned());
            }
            self.fill()?;
        }
    }

    pub(super) fn head(&mut self) -> io::Result<String> {
        self.until(b"\r\n\r\n")
    }

    pub(super) fn exactly(&mut self, n: u64, into: &mut Content) -> io::Result<()> {
        let mut left = n;
        while left > 0 {
            if self.buf.is_empty() {
                self.fill()?;
            }
            let now = self
                .buf
                .len()
                .min(usize::try_from(left).unwrap_or(usize::MAX));
            into.add(&self.buf[..now]);
            self.buf.drain(..now);
            left -= now as u64;
        }
        Ok(())
    }

    /// The body that belongs to `head`, and its trailers; `to_end`: without framing it lasts until the stream ends.
    pub(super) fn body(
        &mut self,
        head: &Head,
        to_end: bool,
        into: &mut Content,
    ) -> io::Result<String> {
        if head.chunked() {
            return self.chunks(into);
        }
        match head.length() {
            Some(n) => self.exactly(n as u64, into)?,
            None if to_end => loop {
                let rest = std::mem::take(&mut self.buf);
                into.add(&rest);
                match self.fill() {
                    Ok(()) => {}
                    Err(e) if e.kind() == ErrorKind::UnexpectedEof => break,
                    Err(e) => return Err(e),
                }
            },
            None => {}
        }
        Ok(String::new())
    }

    fn chunks(&mut self, into: &mut Content) -> io::Result<String> {
        loop {
            let line = self.until(b"\r\n")?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let n = u64::from_str_radix(size, 16).map_err(|_| ErrorKind::InvalidData)?;
            if n == 0 {
                let mut trailers = String::new();
                loop {
                    match self.until(b"\r\n")?.as_str() {
                        "\r\n" => return Ok(trailers),
                        line => trailers += line,
                    }
                }
            }
            self.exactly(n, into)?;
            self.until(b"\r\n")?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Content;

    #[test]
    fn pieces_make_no_difference() {
        let bytes: Vec<u8> = (0..1000u32).map(|n| (n * n % 251) as u8).collect();
        let whole = Content::of(&bytes);
        for size in [1, 3, 8, 13, 999] {
            let mut content = Content::default();
            bytes.chunks(size).for_each(|piece| content.add(piece));
            assert_eq!(content, whole, "pieces of {size}");
        }
        assert_ne!(Content::of(&bytes[..999]), whole);
        assert_ne!(Content::of(&bytes[1..]), Content::of(&bytes[..999]));
    }
}
