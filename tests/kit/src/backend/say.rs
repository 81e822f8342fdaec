//! What a backend answers to one path, right or wrong.

use super::Shared;
use super::line::{Line, Wire};
use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A piece of an answer without an end.
const PIECE: usize = 64 * 1024;
/// Pause between the lines of a header without an end: it fills no buffer.
const LINE_PAUSE: Duration = Duration::from_millis(1);

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
        wire.write_all(b"HTTP/1.1 200 OK\r\n")?;
        let body = vec![b'.'; PIECE];
        if *self == Say::Large {
            let length = usize::MAX / 2;
            wire.write_all(format!("Content-Length: {length}\r\n\r\n").as_bytes())?;
        }
        loop {
            if *self == Say::Large {
                wire.write_all(&body)?;
            } else {
                wire.write_all(b"X-Again: and again and again\r\n")?;
                line.pause(LINE_PAUSE)?;
            }
            wire.flush()?;
            if line.is_over() {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }
}
