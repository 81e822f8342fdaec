//! The header of an HTTP/1 answer (RFC 9112), read piece by piece as it comes: what a probe wants to know is
//! the status, and whether this is an HTTP answer at all.
//!
//! Liberal where mod_proxy_http is by default, so that backends whose answers are relayed are not called malformed:
//! lines may end with a bare LF, one empty line may stand before a status line, the reason phrase may be missing,
//! fields may be folded. (Lines without a colon, which `ProxyBadHeader` can let pass, are malformed here.) Nothing of the answer is kept, only where in it the reader is.
//! Imports nothing else of the crate than [`Flaw`]: a fuzz target includes this file as it is.

use super::flaw::Flaw;

/// The longest status line in bytes, without its end. Fields may be longer, as `responsefieldsize` allows them to be.
pub const MAX_LINE: u32 = 8_190;
/// All lines together in bytes, those of interim answers included.
pub const MAX_HEADER: u32 = 64 * 1024;
/// So many interim answers (1xx) are skipped.
pub const MAX_INTERIM: u8 = 8;

/// What a status line begins with.
const WORD: &[u8] = b"HTTP/";
/// The longest frame of HTTP/2 that may come before anything was agreed on (RFC 9113, 4.2).
const MAX_FRAME: u32 = 16_384;

/// A reader of one answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    at: Place,
    /// A CR came, which belongs to the end of the line if an LF follows.
    cr: bool,
    /// An empty line came before the status line.
    empty: bool,
    /// Bytes of this line, and of all lines.
    line: u32,
    total: u32,
    /// The status, as far as it was read.
    status: u16,
    interims: u8,
    decided: Option<Result<u16, Flaw>>,
}

/// What the next byte is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    /// Byte of [`WORD`].
    Word(u8),
    Major,
    Dot,
    Minor,
    /// The blank that must follow the version.
    Gap,
    /// The first digit of the status, or another blank.
    Blanks,
    /// Digit of the status.
    Digit(u8),
    /// The end of the status.
    Behind,
    Reason,
    /// The first byte of a line in the header; folded lines may come only when a field was there.
    LineStart {
        folds: bool,
    },
    Name,
    Value,
    /// Byte of what may be the first frame of an HTTP/2 server.
    Frame {
        at: u8,
        length: u32,
    },
    /// Byte of what may be a TLS record.
    Record(u8),
}

impl Default for Answer {
    fn default() -> Self {
        Self::new()
    }
}

impl Answer {
    pub const fn new() -> Self {
        Self {
            at: Place::Word(0),
            cr: false,
            empty: false,
            line: 0,
            total: 0,
            status: 0,
            interims: 0,
            decided: None,
        }
    }

    /// Takes the next bytes. Some as soon as the outcome is known, and the same ever after: the status of
    /// the final answer (100 to 599; of the 1xx only 101 is final), at the end of its header, or what is
    /// wrong with it, at the first byte that shows it.
    pub fn feed(&mut self, bytes: &[u8]) -> Option<Result<u16, Flaw>> {
        for byte in bytes {
            if self.decided.is_some() {
                break;
            }
            self.decided = self.byte(*byte).err();
        }
        self.decided
    }

    /// What is wrong when the connection ended (was closed) and nothing was decided before.
    pub const fn ended(&self) -> Flaw {
        match (self.decided, self.at) {
            (Some(Err(flaw)), _) => flaw,
            (_, Place::Frame { .. } | Place::Record(_)) => Flaw::NotHttp,
            _ => Flaw::Closed,
        }
    }

    /// One byte; Err is the outcome of all.
    fn byte(&mut self, byte: u8) -> Result<(), Result<u16, Flaw>> {
        self.total += 1;
        if self.total > MAX_HEADER {
            return Err(Err(Flaw::TooLong));
        }
        if self.total == 1 {
            match byte {
                0x00 => self.at = Place::Frame { at: 0, length: 0 },
                0x15 | 0x16 => self.at = Place::Record(0),
                _ => {}
            }
        }
        if let Place::Frame { .. } | Place::Record(_) = self.at {
            self.at = binary(self.at, byte).map_err(Err)?;
            return Ok(());
        }
        let cr = std::mem::replace(&mut self.cr, byte == b'\r');
        if byte == b'\n' {
            return self.line_end();
        }
        if cr {
            self.content(b'\r').map_err(Err)?;
        }
        if byte != b'\r' {
            self.content(byte).map_err(Err)?;
        }
        Ok(())
    }

    /// One byte of a line.
    fn content(&mut self, byte: u8) -> Result<(), Flaw> {
        self.line += 1;
        self.at = match self.at {
            Place::LineStart { .. } | Place::Name | Place::Value => self.field(byte)?,
            _ if self.line > MAX_LINE => return Err(Flaw::TooLong),
            _ => self.status_line(byte)?,
        };
        Ok(())
    }

    fn status_line(&mut self, byte: u8) -> Result<Place, Flaw> {
        Ok(match (self.at, byte) {
            (Place::Word(at), _) => match WORD.get(usize::from(at)) {
                Some(expected) if *expected == byte && usize::from(at) + 1 == WORD.len() => {
                    Place::Major
                }
                Some(expected) if *expected == byte => Place::Word(at + 1),
                _ => return Err(Flaw::NotHttp),
            },
            (Place::Major, b'1') => Place::Dot,
            (Place::Major, b'0' | b'2'..=b'9') => return Err(Flaw::Version),
            (Place::Major, _) => return Err(Flaw::NotHttp),
            (Place::Dot, b'.') => Place::Minor,
            (Place::Minor, b'0'..=b'9') => Place::Gap,
            (Place::Dot | Place::Minor, _) | (Place::Gap, b'0'..=b'9') => {
                return Err(Flaw::Version);
            }
            (Place::Gap | Place::Blanks, b' ') => Place::Blanks,
            (Place::Blanks, b'1'..=b'5') => {
                self.status = u16::from(byte - b'0');
                Place::Digit(1)
            }
            (Place::Digit(at), b'0'..=b'9') => {
                self.status = self.status * 10 + u16::from(byte - b'0');
                if at == 1 {
                    Place::Digit(2)
                } else {
                    Place::Behind
                }
            }
            // as mod_proxy_http does: a comma was seen here
            (Place::Behind, byte) if !byte.is_ascii_digit() && !is_control(byte) => Place::Reason,
            (Place::Reason, byte) if !is_control(byte) => Place::Reason,
            _ => return Err(Flaw::StatusLine),
        })
    }

    fn field(&self, byte: u8) -> Result<Place, Flaw> {
        match (self.at, byte) {
            (Place::Value, _) => Ok(Place::Value),
            (Place::LineStart { folds: true }, b' ' | b'\t') => Ok(Place::Value),
            (Place::LineStart { .. }, b' ' | b'\t' | b':') => Err(Flaw::HeaderLine),
            (_, b':') => Ok(Place::Value),
            (_, byte) if is_control(byte) => Err(Flaw::HeaderLine),
            _ => Ok(Place::Name),
        }
    }

    /// A line is complete; Err is the outcome of all.
    fn line_end(&mut self) -> Result<(), Result<u16, Flaw>> {
        self.line = 0;
        self.at = match self.at {
            Place::Word(0) if !self.empty => {
                self.empty = true;
                Place::Word(0)
            }
            Place::Behind | Place::Reason => Place::LineStart { folds: false },
            Place::Value => Place::LineStart { folds: true },
            Place::LineStart { .. } => self.header_end()?,
            Place::Name => return Err(Err(Flaw::HeaderLine)),
            Place::Word(_) => return Err(Err(Flaw::NotHttp)),
            Place::Major | Place::Dot | Place::Minor => return Err(Err(Flaw::Version)),
            _ => return Err(Err(Flaw::StatusLine)),
        };
        Ok(())
    }

    /// A header is complete: the outcome, or the place where the next answer begins.
    fn header_end(&mut self) -> Result<Place, Result<u16, Flaw>> {
        if self.status >= 200 || self.status == 101 {
            return Err(Ok(self.status));
        }
        self.interims += 1;
        if self.interims > MAX_INTERIM {
            return Err(Err(Flaw::Interim));
        }
        self.empty = false;
        Ok(Place::Word(0))
    }
}

/// One byte of what cannot be HTTP/1. A server's first frame in HTTP/2 is SETTINGS, type 4, without flags,
/// on stream 0 (RFC 9113, 3.4 and 4.1); a TLS record that answers is an alert (21) or of the handshake (22).
fn binary(at: Place, byte: u8) -> Result<Place, Flaw> {
    match at {
        Place::Frame { at: 8, .. } if byte == 0 => Err(Flaw::Http2),
        Place::Frame { at, length } => {
            let length = if at < 3 {
                length << 8 | u32::from(byte)
            } else {
                length
            };
            let fits = at < 3 || byte == if at == 3 { 4 } else { 0 };
            match fits && length <= MAX_FRAME {
                true => Ok(Place::Frame { at: at + 1, length }),
                false => Err(Flaw::NotHttp),
            }
        }
        Place::Record(2) if byte <= 4 => Err(Flaw::IsTls),
        Place::Record(0) => Ok(Place::Record(1)),
        Place::Record(1) if byte == 3 => Ok(Place::Record(2)),
        _ => Err(Flaw::NotHttp),
    }
}

/// Control characters, among them NUL and DEL, but not the tabulator.
const fn is_control(byte: u8) -> bool {
    byte.is_ascii_control() && byte != b'\t'
}

#[cfg(test)]
#[path = "http_answer/tests.rs"] // said, for those who include this file from elsewhere
mod tests;
