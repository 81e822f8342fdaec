//! The record of a name as words.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::region::Record;
use crate::logic::addr::Addr;
use crate::logic::record::{FamilyState, MAX_ADDRS, NameRecord, Source};

/// Words before the addresses.
const HEAD: usize = 10;
/// Words of one address.
pub const ADDR_WORDS: usize = 3;
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
        out[1] = self.expires_ms;
        out[2..6].copy_from_slice(&self.v4.encode());
        out[6..10].copy_from_slice(&self.v6.encode());
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
            v4: FamilyState::decode(&head[2..6]),
            v6: FamilyState::decode(&head[6..10]),
            ttl_s,
            expires_ms: head[1],
            source,
        })
    }
}

impl FamilyState {
    fn encode(&self) -> [u64; 4] {
        [
            self.good_ms,
            self.failing_since_ms,
            self.retry_ms,
            pack(self.failures, self.error),
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
        }
    }
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
