//! The record of a name as words.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use super::region::Record;
use crate::logic::addr::Addr;
use crate::logic::record::{FamilyState, MAX_ADDRS, NameRecord, Source};

/// Words of one address.
pub const ADDR_WORDS: usize = 3;
/// Words of how the look-ups of one family go.
const FAMILY_WORDS: usize = 5;
/// Where these are, and where the name server is: its address and port.
const FAMILIES_AT: usize = 3;
const SERVER_AT: usize = FAMILIES_AT + 2 * FAMILY_WORDS;
const PORT_AT: usize = SERVER_AT + ADDR_WORDS;
/// Words before the addresses.
pub(super) const HEAD: usize = PORT_AT + 1;
/// Words of the longest record.
pub const RECORD_WORDS: usize = HEAD + MAX_ADDRS * ADDR_WORDS;

impl Record for NameRecord {
    /// Addresses beyond the first [`MAX_ADDRS`] are left out.
    fn encode(&self, out: &mut [u64]) -> usize {
        let count = self.addrs.len().min(MAX_ADDRS);
        let source = match self.source {
            Source::None => 0,
            Source::Dns => 1,
            Source::Hosts => 2,
        };
        out[0] = pack((count as u32) << 8 | source, self.ttl_s);
        (out[1], out[2]) = (self.expires_ms, self.asked_ms);
        let families = [self.v4.encode(), self.v6.encode()].concat();
        out[FAMILIES_AT..SERVER_AT].copy_from_slice(&families);
        out[SERVER_AT..HEAD].copy_from_slice(&encode_server(self.server));
        let words = out[HEAD..].chunks_exact_mut(ADDR_WORDS);
        for (words, addr) in words.zip(&self.addrs) {
            words.copy_from_slice(&encode_addr(addr));
        }
        HEAD + count * ADDR_WORDS
    }

    fn decode(words: &[u64]) -> Option<Self> {
        let (head, addrs) = words.split_at_checked(HEAD)?;
        let (kind, ttl_s) = unpack(head[0]);
        let source = match kind & 0xff {
            0 => Source::None,
            1 => Source::Dns,
            2 => Source::Hosts,
            _ => return None,
        };
        let count = (kind >> 8) as usize;
        if count > MAX_ADDRS || addrs.len() != count * ADDR_WORDS {
            return None;
        }
        Some(Self {
            addrs: addrs
                .chunks_exact(ADDR_WORDS)
                .map(decode_addr)
                .collect::<Option<_>>()?,
            v4: FamilyState::decode(&head[FAMILIES_AT..]),
            v6: FamilyState::decode(&head[FAMILIES_AT + FAMILY_WORDS..]),
            ttl_s,
            expires_ms: head[1],
            source,
            asked_ms: head[2],
            server: decode_server(&head[SERVER_AT..PORT_AT], head[PORT_AT]),
        })
    }
}

impl FamilyState {
    fn encode(&self) -> [u64; FAMILY_WORDS] {
        [
            self.good_ms,
            self.failing_since_ms,
            self.retry_ms,
            pack(self.failures, self.error),
            self.error_ms,
        ]
    }

    fn decode(words: &[u64]) -> Self {
        let (failures, error) = unpack(words[3]);
        Self {
            good_ms: words[0],
            failing_since_ms: words[1],
            retry_ms: words[2],
            failures,
            error,
            error_ms: words[4],
        }
    }
}

/// A name server as its address and port; all 0 for none.
fn encode_server(server: Option<SocketAddr>) -> [u64; ADDR_WORDS + 1] {
    let Some(server) = server else {
        return [0; ADDR_WORDS + 1];
    };
    let scope = match server {
        SocketAddr::V6(v6) => v6.scope_id(),
        SocketAddr::V4(_) => 0,
    };
    let [high, low, kind] = encode_addr(&Addr {
        ip: server.ip(),
        scope,
    });
    [high, low, kind, server.port().into()]
}

fn decode_server(addr: &[u64], port: u64) -> Option<SocketAddr> {
    let (Addr { ip, scope }, port) = (decode_addr(addr)?, u16::try_from(port).ok()?);
    Some(match ip {
        IpAddr::V4(_) => SocketAddr::new(ip, port),
        IpAddr::V6(ip) => SocketAddrV6::new(ip, port, 0, scope).into(),
    })
}

/// An address as two words of bits and one of family and scope.
pub(super) fn encode_addr(addr: &Addr) -> [u64; ADDR_WORDS] {
    match addr.ip {
        IpAddr::V4(ip) => [0, u64::from(ip.to_bits()), pack(4, addr.scope)],
        IpAddr::V6(ip) => {
            let bits = ip.to_bits();
            [(bits >> 64) as u64, bits as u64, pack(6, addr.scope)]
        }
    }
}

/// Reads an address; `None` when the words are not one.
pub(super) fn decode_addr(words: &[u64]) -> Option<Addr> {
    let &[high, low, kind] = words else {
        return None;
    };
    let (family, scope) = unpack(kind);
    let ip = match family {
        4 if high == 0 => IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(low).ok()?)),
        6 => IpAddr::V6(Ipv6Addr::from_bits(
            u128::from(high) << 64 | u128::from(low),
        )),
        _ => return None,
    };
    Some(Addr { ip, scope })
}

/// Two 32-bit values in one word.
pub(super) const fn pack(high: u32, low: u32) -> u64 {
    (high as u64) << 32 | low as u64
}

pub(super) const fn unpack(word: u64) -> (u32, u32) {
    ((word >> 32) as u32, word as u32)
}
