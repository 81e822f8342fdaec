//! The ways in which a request ends badly.

/// How a request ends badly, and its connection with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Death {
    /// Closed (FIN) as the request arrives: it is neither read nor recorded as seen.
    Arrival,
    /// Read (and recorded), then closed without a word.
    Close,
    /// Read, then reset without a word.
    Reset,
    /// Half of the head of the answer, then reset.
    Header,
    /// Half of the head of the answer, then closed.
    HeaderClose,
    /// The head and half of the body, then reset.
    Body,
    /// The head and half of the body, then closed.
    BodyClose,
}

impl Death {
    /// The word of the query parameter `die`; [`Death::Arrival`] has none: it comes before the path is known.
    pub(super) fn from_word(word: &str) -> Option<Death> {
        Some(match word {
            "close" => Death::Close,
            "reset" => Death::Reset,
            "header" => Death::Header,
            "header-close" => Death::HeaderClose,
            "body" => Death::Body,
            "body-close" => Death::BodyClose,
            _ => return None,
        })
    }

    /// The connection ends with a FIN.
    pub(super) fn is_orderly(self) -> bool {
        matches!(
            self,
            Death::Arrival | Death::Close | Death::HeaderClose | Death::BodyClose
        )
    }

    /// How much of an answer with a head and a body of these lengths is sent before.
    pub(super) fn share(self, head: usize, body: usize) -> usize {
        match self {
            Death::Arrival | Death::Close | Death::Reset => 0,
            Death::Header | Death::HeaderClose => head / 2,
            Death::Body | Death::BodyClose => head + body / 2,
        }
    }
}

/// FNV-1a, 64 bits: what tells a body from a truncated or an empty one.
pub fn checksum(bytes: &[u8]) -> u64 {
    let step = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums() {
        // from the authors' list of test vectors
        assert_eq!(checksum(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(checksum(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(checksum(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn shares() {
        assert_eq!(Death::Close.share(10, 20), 0);
        assert_eq!(Death::Header.share(10, 20), 5);
        assert_eq!(Death::BodyClose.share(10, 20), 20);
        assert_eq!(Death::from_word("body"), Some(Death::Body));
        assert_eq!(Death::from_word("bodies"), None);
    }
}
