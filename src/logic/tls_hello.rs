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

/// Some load balancers of old hang when a ClientHello has 256 to 511 bytes: it is padded to this many then (RFC 7685).
const PADDED: usize = 512;
/// Type and length of an extension.
const EXTENSION: usize = 4;

/// The same ClientHello, which is one record, with old cipher suites offered behind its own, padded if it has to be.
/// None when it is no such thing.
pub fn for_old_servers(hello: &[u8]) -> Option<Vec<u8>> {
    let longer = with_old_suites(hello)?;
    match longer.len() - RECORD {
        256..PADDED => padded(&longer),
        _ => Some(longer),
    }
}

/// With a padding extension (21) as its last.
fn padded(hello: &[u8]) -> Option<Vec<u8>> {
    let suites = suites_at(hello)?;
    let methods = suites + 2 + number(hello.get(suites..suites + 2)?);
    let extensions = methods + 1 + usize::from(*hello.get(methods)?);
    // Some servers of old refuse a last extension that is empty.
    let missing = PADDED
        .saturating_sub(hello.len() - RECORD + EXTENSION)
        .max(1);
    let mut longer = hello.to_vec();
    longer.extend(21u16.to_be_bytes());
    longer.extend(u16::try_from(missing).ok()?.to_be_bytes());
    longer.resize(longer.len() + missing, 0);
    raise_all(&mut longer, extensions, missing + EXTENSION)?;
    Some(longer)
}

/// Where the length of the cipher suites stands.
fn suites_at(hello: &[u8]) -> Option<usize> {
    let session = RECORD + MESSAGE + FIXED;
    Some(session + 1 + usize::from(*hello.get(session)?))
}

/// Raises by `added` the lengths of the record, of the message and of its part whose length of two bytes stands at
/// `part`. None when they do not fit.
fn raise_all(hello: &mut [u8], part: usize, added: usize) -> Option<()> {
    for (at, len) in [(RECORD - 2, 2), (RECORD + 1, 3), (part, 2)] {
        let place = hello.get_mut(at..at + len)?;
        let new = (number(place) + added).to_be_bytes();
        place.copy_from_slice(&new[size_of::<usize>() - len..]);
    }
    (number(&hello[RECORD - 2..RECORD]) == hello.len() - RECORD).then_some(())
}

fn with_old_suites(hello: &[u8]) -> Option<Vec<u8>> {
    if hello.first() != Some(&22) || hello.get(RECORD) != Some(&1) {
        return None;
    }
    let suites = suites_at(hello)?;
    let count = number(hello.get(suites..suites + 2)?);
    let end = suites + 2 + count;
    let added: Vec<u8> = OLD.iter().flat_map(|suite| suite.to_be_bytes()).collect();
    let mut longer = hello.get(..end)?.to_vec();
    longer.extend(&added);
    longer.extend(&hello[end..]);
    raise_all(&mut longer, suites, added.len())?;
    Some(longer)
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
    fn awkward_lengths_are_padded() {
        assert_eq!(for_old_servers(&hello()), with_old_suites(&hello()));
        // With one extension of so many bytes.
        let with = |len: u16| {
            let mut hello = hello();
            hello.truncate(hello.len() - 5);
            hello.extend((len + 4).to_be_bytes());
            hello.extend([0, 99]);
            hello.extend(len.to_be_bytes());
            hello.resize(hello.len() + usize::from(len), 7);
            let len = hello.len();
            hello[3..5].copy_from_slice(&u16::try_from(len - 5).unwrap().to_be_bytes());
            hello[7..9].copy_from_slice(&u16::try_from(len - 9).unwrap().to_be_bytes());
            hello
        };
        let plain = |len: u16| with_old_suites(&with(len)).unwrap().len() - RECORD;
        let room = u16::try_from(256 - plain(0)).unwrap();
        assert_eq!(plain(room - 1), 255);
        for (len, wanted) in [
            (room - 1, 255),
            (room, 512),
            (room + 100, 512),
            (room + 251, 512),
        ] {
            let whole = for_old_servers(&with(len)).unwrap();
            assert_eq!(whole.len() - RECORD, wanted, "{len}");
            assert_eq!(number(&whole[3..5]), wanted);
            assert_eq!(number(&whole[6..9]), wanted - 4);
            let extensions = 5 + 4 + 34 + 3 + 2 + 34 + 2;
            let all = number(&whole[extensions..extensions + 2]);
            assert_eq!(extensions + 2 + all, whole.len());
        }
        // No room for a whole extension: a little more than asked for.
        let whole = for_old_servers(&with(room + 254)).unwrap();
        assert_eq!(whole.len() - RECORD, 515);
        assert_eq!(
            for_old_servers(&with(room + 256)).unwrap().len() - RECORD,
            512
        );
    }

    #[test]
    fn what_is_none_stays_alone() {
        let good = hello();
        for len in 0..good.len() {
            assert_eq!(for_old_servers(&good[..len]), None, "{len} bytes");
        }
        for at in [0, 5] {
            let mut other = good.clone();
            other[at] = 2;
            assert_eq!(for_old_servers(&other), None, "{at}");
        }
        let mut longer = good.clone();
        longer.push(0);
        assert_eq!(for_old_servers(&longer), None);
    }
}
