//! When a request under way is ended: only on evidence from its own connection, and only while the probes
//! of its address tell the same.

use super::addr::Addr;
use super::health::{Reason, State, TargetRecord};

/// A peer that is asked answers within this time, in milliseconds.
const SILENT_MS: u32 = 1_000;
/// So long, when it was asked only once: keep-alive asks after a second of silence, and the answer needs
/// its time on the way.
const SILENT_ONCE_MS: u32 = 1_500;

/// What the system (`TCP_INFO`) says about the peer of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pulse {
    /// Milliseconds since the peer acknowledged or sent anything.
    pub last_ack_ms: u32,
    /// Keep-alive probes sent without an answer.
    pub probes: u8,
    /// Repetitions of data sent without an answer.
    pub retransmits: u8,
}

/// Whether the peer is gone: it was asked, and has sent nothing back for a second and more.
///
/// A slow backend acknowledges what it is asked, however long its answer takes.
pub const fn is_dead(p: &Pulse) -> bool {
    match p.probes.saturating_add(p.retransmits) {
        0 => false,
        1 => p.last_ack_ms >= SILENT_ONCE_MS,
        _ => p.last_ack_ms >= SILENT_MS,
    }
}

/// Data that the peer has not acknowledged for so long are lost, in milliseconds.
const LOST_MS: u32 = 3_000;

/// Whether the peer is gone, on the word of this connection alone: it has acknowledged nothing for 3 s although
/// data were repeated. What the kernel's TCP_USER_TIMEOUT does, except that a peer that lives and reads nothing
/// (its window is closed, it is asked by window probes) is left alone.
pub const fn is_lost(p: &Pulse) -> bool {
    p.retransmits > 0 && p.last_ack_ms >= LOST_MS
}

/// Whether the probes found that nobody is at the address any more: down by time-out, or unreachable.
///
/// A refused connection is no such evidence: a server that shuts down gracefully closes its listener first
/// and then finishes its requests. `health` must be that of the connection's own port.
pub fn address_is_gone(health: Option<&TargetRecord>, addr: &Addr) -> bool {
    let known = health.and_then(|target| target.addrs.iter().find(|known| known.addr == *addr));
    known.is_some_and(|known| {
        known.state == State::Down
            && matches!(known.reason, Some(Reason::Timeout | Reason::Unreachable(_)))
    })
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::logic::health::AddrHealth;

    #[test]
    fn pulses() {
        let pulse = |last_ack_ms, probes, retransmits| Pulse {
            last_ack_ms,
            probes,
            retransmits,
        };
        for (pulse, dead) in [
            (pulse(u32::MAX, 0, 0), false), // Nobody asked it.
            (pulse(1_010, 1, 0), false),    // Asked just now.
            (pulse(1_010, 0, 1), false),
            (pulse(1_499, 1, 0), false),
            (pulse(1_500, 1, 0), true),
            (pulse(1_500, 0, 1), true),
            (pulse(999, 0, 4), false),
            (pulse(1_000, 0, 2), true),
            (pulse(1_000, 1, 1), true),
            (pulse(2_010, 2, 0), true),
            (pulse(0, 255, 255), false),
            (pulse(u32::MAX, 255, 255), true),
        ] {
            assert_eq!(is_dead(&pulse), dead, "{pulse:?}");
        }
    }

    #[test]
    fn addresses() {
        let addr = |n| Addr::v4(Ipv4Addr::new(10, 0, 0, n));
        let known = |n, state, reason| AddrHealth {
            state,
            reason,
            ..AddrHealth::new(addr(n))
        };
        let timeout = Some(Reason::Timeout);
        let cases = [
            (known(1, State::Down, timeout), true),
            (known(2, State::Down, Some(Reason::Unreachable(113))), true),
            (known(3, State::Down, Some(Reason::Unreachable(101))), true),
            (known(4, State::Down, Some(Reason::Refused)), false),
            (known(5, State::Down, Some(Reason::Reset)), false),
            (known(6, State::Down, Some(Reason::Local(24))), false),
            (known(7, State::Down, None), false), // On its way back.
            (known(8, State::Up, timeout), false),
            (known(9, State::Unknown, timeout), false),
        ];
        let target = TargetRecord {
            port: 80,
            addrs: cases.iter().map(|(health, _)| health.clone()).collect(),
        };
        for (health, gone) in &cases {
            assert_eq!(
                address_is_gone(Some(&target), &health.addr),
                *gone,
                "{health:?}"
            );
        }
        assert!(!address_is_gone(Some(&target), &addr(99)), "not known");
        assert!(!address_is_gone(None, &addr(1)));
    }
}
