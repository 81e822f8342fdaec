//! The record of a target as words.

use super::record::{ADDR_WORDS, decode_addr, encode_addr, pack, unpack};
use super::region::Record;
use crate::logic::health::{AddrHealth, Flaw, Layer, Reason, State, TargetRecord, TlsFault};
use crate::logic::history::{self, History};
use crate::logic::record::MAX_ADDRS;

/// Words before the addresses: kind of probe (16 bits, 0 today), a spare 16,
/// number of addresses (16), port (16).
const HEAD: usize = 1;
/// Words of an address before the history of its probes.
const STATE_WORDS: usize = ADDR_WORDS + 10;
/// Words of one address.
pub const PER_ADDR: usize = STATE_WORDS + history::WORDS;
/// Words of the longest record.
pub const TARGET_WORDS: usize = HEAD + MAX_ADDRS * PER_ADDR;

impl Record for TargetRecord {
    /// Addresses beyond the first [`MAX_ADDRS`] are left out.
    fn encode(&self, out: &mut [u64]) -> usize {
        let count = self.addrs.len().min(MAX_ADDRS);
        out[0] = (count as u64) << 16 | u64::from(self.port);
        let words = out[HEAD..].chunks_exact_mut(PER_ADDR);
        for (words, addr) in words.zip(&self.addrs) {
            encode_health(addr, words);
        }
        HEAD + count * PER_ADDR
    }

    fn decode(words: &[u64]) -> Option<Self> {
        let (head, addrs) = words.split_at_checked(HEAD)?;
        let (kind, low) = unpack(head[0]);
        let count = (low >> 16) as usize;
        if kind != 0 || count > MAX_ADDRS || addrs.len() != count * PER_ADDR {
            return None;
        }
        Some(Self {
            port: low as u16,
            addrs: addrs
                .chunks_exact(PER_ADDR)
                .map(decode_health)
                .collect::<Option<_>>()?,
        })
    }
}

fn encode_health(health: &AddrHealth, out: &mut [u64]) {
    let (known, history) = out.split_at_mut(STATE_WORDS);
    history.copy_from_slice(&health.history.0);
    let (addr, rest) = known.split_at_mut(ADDR_WORDS);
    addr.copy_from_slice(&encode_addr(&health.addr));
    rest.copy_from_slice(&[
        encode_state(health.state, health.reason),
        health.since_ms,
        health.held_ms,
        pack(health.fails, health.hard_fails),
        health.first_fail_ms,
        pack(health.oks, health.ok_total),
        health.last_ms,
        pack(health.last_us, health.flaps),
        health.due_ms,
        health.flaps_ms,
    ]);
}

fn decode_health(words: &[u64]) -> Option<AddrHealth> {
    let (known, history) = words.split_at_checked(STATE_WORDS)?;
    let (addr, rest) = known.split_at_checked(ADDR_WORDS)?;
    let &[
        state,
        since_ms,
        held_ms,
        fails,
        first_fail_ms,
        oks,
        last_ms,
        last,
        due_ms,
        flaps_ms,
    ] = rest
    else {
        return None;
    };
    let (state, reason) = decode_state(state)?;
    let (fails, hard_fails) = unpack(fails);
    let (oks, ok_total) = unpack(oks);
    let (last_us, flaps) = unpack(last);
    Some(AddrHealth {
        addr: decode_addr(addr)?,
        state,
        since_ms,
        reason,
        held_ms,
        fails,
        hard_fails,
        first_fail_ms,
        oks,
        ok_total,
        last_ms,
        last_us,
        due_ms,
        flaps,
        flaps_ms,
        history: History(history.try_into().ok()?),
    })
}

/// State (high half) and reason: its code, then what else there is to it.
fn encode_state(state: State, reason: Option<Reason>) -> u64 {
    let state = match state {
        State::Unknown => 0,
        State::Up => 1,
        State::Down => 2,
    };
    let (code, more) = match reason {
        None => (0, 0),
        Some(Reason::Refused) => (1, 0),
        Some(Reason::Reset) => (2, 0),
        Some(Reason::Timeout) => (3, 0),
        Some(Reason::Unreachable(errno)) => (4, errno),
        Some(Reason::Local(errno)) => (5, errno),
        Some(Reason::Silent(Layer::Tls)) => (6, 0),
        Some(Reason::Silent(Layer::Http)) => (6, 1),
        Some(Reason::Tls(fault)) => (7, encode_fault(fault)),
        Some(Reason::Status(status)) => (8, status),
        Some(Reason::Malformed(flaw)) => (9, position(&FLAWS, flaw)),
    };
    pack(state, code << 16 | u32::from(more))
}

fn decode_state(word: u64) -> Option<(State, Option<Reason>)> {
    let (state, reason) = unpack(word);
    let state = match state {
        0 => State::Unknown,
        1 => State::Up,
        2 => State::Down,
        _ => return None,
    };
    let reason = match (reason >> 16, reason as u16) {
        (0, 0) => None,
        (1, 0) => Some(Reason::Refused),
        (2, 0) => Some(Reason::Reset),
        (3, 0) => Some(Reason::Timeout),
        (4, errno) => Some(Reason::Unreachable(errno)),
        (5, errno) => Some(Reason::Local(errno)),
        (6, 0) => Some(Reason::Silent(Layer::Tls)),
        (6, 1) => Some(Reason::Silent(Layer::Http)),
        (7, fault) => Some(Reason::Tls(decode_fault(fault)?)),
        (8, status) => Some(Reason::Status(status)),
        (9, flaw) => Some(Reason::Malformed(*FLAWS.get(usize::from(flaw))?)),
        _ => return None,
    };
    Some((state, reason))
}

/// On the board their places in these lists.
const FLAWS: [Flaw; 10] = [
    Flaw::Closed,
    Flaw::Reset,
    Flaw::NotHttp,
    Flaw::Version,
    Flaw::Http2,
    Flaw::IsTls,
    Flaw::StatusLine,
    Flaw::HeaderLine,
    Flaw::TooLong,
    Flaw::Interim,
];
const FAULTS: [TlsFault; 4] = [
    TlsFault::Closed,
    TlsFault::Reset,
    TlsFault::NotTls,
    TlsFault::Unsupported,
];
/// An alert is its number above this.
const ALERT: u16 = 256;

fn position<T: PartialEq>(list: &[T], what: T) -> u16 {
    let at = list.iter().position(|known| *known == what);
    at.and_then(|at| u16::try_from(at).ok()).unwrap_or(u16::MAX)
}

fn encode_fault(fault: TlsFault) -> u16 {
    match fault {
        TlsFault::Alert(number) => ALERT + u16::from(number),
        other => position(&FAULTS, other),
    }
}

fn decode_fault(word: u16) -> Option<TlsFault> {
    match word.checked_sub(ALERT) {
        Some(number) => u8::try_from(number).ok().map(TlsFault::Alert),
        None => FAULTS.get(usize::from(word)).copied(),
    }
}
