//! What a backend answers to one path, right or wrong.

use super::Shared;
use super::line::{Line, Wire};
use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A piece of an answer without an end.
const PIECE: usize = 64 * 1024;

/// The answer to requests for one path; see [`Backend::say`](super::Backend::say).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Say {
    /// The usual answer with this status; one of 301 to 308 leads to another host.
    Status(u16),
    /// None, the connection stays open.
    Hang,
    /// None, the connection is closed.
    Close,
    /// None, the connection is reset.
    Reset,
    /// These bytes; then the connection is closed.
    Bytes(Vec<u8>),
    /// The usual answer, one byte per so long.
    Drip(Duration),
    /// 200, and then header fields without an end.
    Endless,
    /// 200, and a body that ends only with the connection.
    Large,
}

impl Say {
    /// Bytes in place of an answer.
    pub fn bytes(text: &str) -> Say {
        Say::Bytes(text.as_bytes().to_vec())
    }

    /// Says what is not the usual answer. The connection ends behind it.
    pub(super) fn send(
        &self,
        wire: &mut Wire,
        line: &Line,
        shared: &Arc<Shared>,
    ) -> io::Result<()> {
        match self {
            Say::Status(_) | Say::Drip(_) => unreachable!("the usual answer"),
            Say::Hang => line.wait_end(),
            Say::Close => wire.end(),
            Say::Reset => line.break_off(),
            Say::Bytes(bytes) => {
                wire.write_all(bytes)?;
                wire.flush()?;
                wire.end();
            }
            Say::Endless | Say::Large => {
                let result = self.go_on(wire, line);
                shared.counters.cut.fetch_add(1, Ordering::Relaxed);
                return result;
            }
        }
        Ok(())
    }

    /// Writes until the client ends the connection.
    fn go_on(&self, wire: &mut Wire, line: &Line) -> io::Result<()> {
        let (begin, more) = match self {
            Say::Large => (format!("Content-Length: {}\r\n\r\n", u32::MAX), "."),
            _ => (String::new(), "X-Again: and again\r\n"),
        };
        wire.write_all(format!("HTTP/1.1 200 OK\r\n{begin}").as_bytes())?;
        let piece = more.repeat(PIECE / more.len());
        while !line.is_over() {
            wire.write_all(piece.as_bytes())?;
            wire.flush()?;
        }
        Err(ErrorKind::UnexpectedEof.into())
    }
}
