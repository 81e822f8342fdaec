//! The first bytes that a port sends after a ClientHello: do they come from something that speaks TLS?
//!
//! A ServerHello tells it, and so does any alert: a server that wants another version, another name or other ciphers
//! than those offered is alive, and what the requests need is between it and the request path. SSL 3 and all versions
//! of TLS have the same records (RFC 8446, 5.1).

/// Content types of records.
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
/// Type of the handshake message; a HelloRetryRequest is one as well.
const SERVER_HELLO: u8 = 2;
/// The first byte of all versions.
const MAJOR: u8 = 3;
/// The longest record: what TLS 1.2 allows with all that encryption may add.
const LONGEST: u16 = (1 << 14) + 2048;

/// A reader of one answer.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct TlsAnswer {
    /// Bytes read of the record's head and the two behind it.
    read: u8,
    kind: u8,
    length: u16,
}

/// The answer is no TLS record that may come first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotTls;

impl TlsAnswer {
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what came next, in pieces of any length. Some when it is decided; nothing more is to be fed then.
    pub fn feed(&mut self, bytes: &[u8]) -> Option<Result<(), NotTls>> {
        bytes.iter().find_map(|byte| self.take(*byte))
    }

    fn take(&mut self, byte: u8) -> Option<Result<(), NotTls>> {
        let at = self.read;
        self.read += 1;
        let fits = match at {
            0 => {
                self.kind = byte;
                matches!(byte, ALERT | HANDSHAKE)
            }
            1 => byte == MAJOR,
            // Whatever minor version.
            2 => true,
            3 => {
                self.length = u16::from(byte) << 8;
                self.length <= LONGEST
            }
            4 => {
                self.length |= u16::from(byte);
                let least = if self.kind == ALERT { 2 } else { 1 };
                (least..=LONGEST).contains(&self.length)
            }
            5 if self.kind == HANDSHAKE => {
                return Some(if byte == SERVER_HELLO {
                    Ok(())
                } else {
                    Err(NotTls)
                });
            }
            // Warning or fatal.
            5 => matches!(byte, 1 | 2),
            // The alert's number.
            _ => return Some(Ok(())),
        };
        (!fits).then_some(Err(NotTls))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fed at once, byte by byte, and in two pieces of all lengths.
    fn answer(bytes: &[u8]) -> Option<Result<(), NotTls>> {
        let whole = TlsAnswer::new().feed(bytes);
        let mut slow = TlsAnswer::new();
        let single = bytes.iter().find_map(|byte| slow.feed(&[*byte]));
        assert_eq!(single, whole, "{bytes:?}");
        for at in 0..=bytes.len() {
            let mut two = TlsAnswer::new();
            let (first, second) = bytes.split_at(at);
            let found = two.feed(first).or_else(|| two.feed(second));
            assert_eq!(found, whole, "{bytes:?} cut at {at}");
        }
        whole
    }

    const GOOD: Option<Result<(), NotTls>> = Some(Ok(()));
    const BAD: Option<Result<(), NotTls>> = Some(Err(NotTls));

    #[test]
    fn server_hellos_of_all_versions() {
        for minor in 0..=4 {
            let hello = [22, 3, minor, 0, 122, 2, 0, 0, 118, 3, 3];
            assert_eq!(answer(&hello), GOOD);
        }
        assert_eq!(answer(&[22, 3, 3, 0, 1, 2]), GOOD, "over several records");
        assert_eq!(answer(&[22, 3, 3, 0x48, 0, 2]), GOOD, "the longest");
    }

    #[test]
    fn any_alert() {
        for level in [1, 2] {
            for number in [0, 10, 40, 70, 80, 112, 116, 255] {
                assert_eq!(answer(&[21, 3, 1, 0, 2, level, number]), GOOD);
            }
        }
        assert_eq!(
            answer(&[21, 3, 3, 0, 4, 1, 112, 2, 40]),
            GOOD,
            "two of them"
        );
    }

    #[test]
    fn half_an_answer_decides_nothing() {
        let hello = [22, 3, 3, 0, 122];
        let alert = [21, 3, 3, 0, 2, 2];
        for len in 0..=hello.len() {
            assert_eq!(answer(&hello[..len]), None);
        }
        for len in 0..=alert.len() {
            assert_eq!(answer(&alert[..len]), None);
        }
    }

    #[test]
    fn other_protocols() {
        for text in [
            "HTTP/1.1 400 Bad Request\r\n",
            "SSH-2.0-OpenSSH_9.2\r\n",
            "220 mail.test ESMTP\r\n",
            "\r\n",
            "<html>",
        ] {
            assert_eq!(answer(text.as_bytes()), BAD, "{text}");
            assert_eq!(
                answer(&text.as_bytes()[..1]),
                BAD,
                "the first byte tells it"
            );
        }
    }

    #[test]
    fn records_that_may_not_come_first() {
        for bytes in [
            &[23, 3, 3, 0, 5, 2][..], // application data
            &[20, 3, 3, 0, 1, 1],     // change of ciphers
            &[22, 2, 0, 0, 5, 2],     // no version of TLS
            &[22, 3, 3, 0, 0],        // empty
            &[22, 3, 3, 0x48, 1],     // too long
            &[22, 3, 3, 0xff],
            &[22, 3, 3, 0, 5, 1], // a ClientHello: an echo
            &[22, 3, 3, 0, 5, 11],
            &[21, 3, 3, 0, 1],
            &[21, 3, 3, 0, 2, 0],
            &[21, 3, 3, 0, 2, 3],
            // An HTTP/2 frame: SETTINGS of 18 bytes.
            &[0, 0, 18, 4, 0],
        ] {
            assert_eq!(answer(bytes), BAD, "{bytes:?}");
        }
    }
}
