//! The first message of a TLS handshake, made to please old servers.
//!
//! What a TLS library offers is what it can carry on with. A probe carries nothing on, so it may offer more: a server
//! that finds nothing it knows should send an alert, but some (Schannel of old) just reset the connection.

/// Cipher suites of TLS 1.2 and before that servers of the last twenty years know: ECDHE with CBC, RSA key exchange
/// with GCM, CBC and 3DES (the TLS Cipher Suites registry of IANA).
const OLD: [u16; 15] = [
    0xc028, 0xc027, 0xc014, 0xc013, 0xc024, 0xc023, 0xc00a, 0xc009, 0x009d, 0x009c, 0x003d, 0x003c,
    0x0035, 0x002f, 0x000a,
];

/// Lengths of the heads: of a record, and of a message of the handshake in it (RFC 8446, 5.1 and 4).
const RECORD: usize = 5;
const MESSAGE: usize = 4;
/// Version and random number of a ClientHello, before its session id (RFC 8446, 4.1.2).
const FIXED: usize = 2 + 32;

/// The same ClientHello, which is one record, with old cipher suites offered behind its own. None when it is no such
/// thing.
pub fn with_old_suites(hello: &[u8]) -> Option<Vec<u8>> {
    if hello.first() != Some(&22) || hello.get(RECORD) != Some(&1) {
        return None;
    }
    let session = RECORD + MESSAGE + FIXED;
    let suites = session + 1 + usize::from(*hello.get(session)?);
    let count = number(hello.get(suites..suites + 2)?);
    let end = suites + 2 + count;
    let added: Vec<u8> = OLD.iter().flat_map(|suite| suite.to_be_bytes()).collect();
    let mut longer = hello.get(..end)?.to_vec();
    longer.extend(&added);
    longer.extend(&hello[end..]);
    let mut raise = |at: usize, len: usize| {
        let place = longer.get_mut(at..at + len)?;
        let new = (number(place) + added.len()).to_be_bytes();
        let new = &new[size_of::<usize>() - len..];
        place.copy_from_slice(new);
        Some(())
    };
    raise(RECORD - 2, 2)?;
    raise(RECORD + 1, 3)?;
    raise(suites, 2)?;
    (number(&longer[RECORD - 2..RECORD]) == longer.len() - RECORD).then_some(longer)
}

/// A number in network order.
fn number(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |n, byte| n << 8 | usize::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With a session id of 2 bytes and two suites; as long as its heads say.
    fn hello() -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([2, 0xaa, 0xbb]);
        body.extend([0, 4, 0x13, 0x01, 0xc0, 0x2b]);
        body.extend([1, 0]);
        body.extend([0, 3, 9, 9, 9]);
        let mut whole = vec![
            22,
            3,
            1,
            0,
            (body.len() + 4) as u8,
            1,
            0,
            0,
            body.len() as u8,
        ];
        whole.extend(body);
        whole
    }

    #[test]
    fn old_suites_stand_behind_the_others() {
        let (short, long) = (hello(), with_old_suites(&hello()).unwrap());
        assert_eq!(long.len(), short.len() + 30);
        assert_eq!(number(&long[3..5]), long.len() - 5);
        assert_eq!(number(&long[6..9]), long.len() - 9);
        let suites = 5 + 4 + 34 + 3;
        assert_eq!(long[9..suites], short[9..suites], "up to the suites");
        assert_eq!(number(&long[suites..suites + 2]), 4 + 30);
        assert_eq!(long[suites + 2..suites + 6], [0x13, 0x01, 0xc0, 0x2b]);
        assert_eq!(long[suites + 6..suites + 8], [0xc0, 0x28]);
        assert_eq!(long[suites + 34..suites + 36], [0x00, 0x0a]);
        assert_eq!(long[suites + 36..], short[suites + 6..], "behind them");
    }

    #[test]
    fn what_is_none_stays_alone() {
        let good = hello();
        for len in 0..good.len() {
            assert_eq!(with_old_suites(&good[..len]), None, "{len} bytes");
        }
        for at in [0, 5] {
            let mut other = good.clone();
            other[at] = 2;
            assert_eq!(with_old_suites(&other), None, "{at}");
        }
        let mut longer = good.clone();
        longer.push(0);
        assert_eq!(with_old_suites(&longer), None);
    }
}
