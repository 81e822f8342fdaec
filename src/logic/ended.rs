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

/// A request has waited this long for the first byte of its answer before it is taken away, in milliseconds.
pub const HUNG_MS: u64 = 1_000;
/// A peer that is asked each second was heard within this time, in milliseconds.
const HEARD_MS: u32 = 1_500;

/// Whether the application at an address hangs: TLS or HTTP probes of the address, on the connection's own port,
/// found it down by time-out. Together with [`is_heard`].
pub fn app_hangs(health: Option<&TargetRecord>, addr: &Addr) -> bool {
    let known = health.and_then(|target| target.addrs.iter().find(|known| known.addr == *addr));
    known.is_some_and(|known| {
        known.state == State::Down && known.reason.is_some_and(Reason::is_time_out)
    })
}

/// Whether the peer of a connection is there: nothing that it was asked waits for an answer of its system.
pub const fn is_heard(p: &Pulse) -> bool {
    p.retransmits == 0 && p.last_ack_ms < HEARD_MS
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
    fn who_is_heard() {
        let pulse = |last_ack_ms, probes, retransmits| Pulse {
            last_ack_ms,
            probes,
            retransmits,
        };
        assert!(is_heard(&pulse(0, 0, 0)) && is_heard(&pulse(1_499, 0, 0)));
        // Asked just now: the answer is on its way.
        assert!(is_heard(&pulse(1_010, 1, 0)));
        for silent in [pulse(1_500, 0, 0), pulse(1_500, 1, 0), pulse(300, 0, 1)] {
            assert!(!is_heard(&silent), "{silent:?}");
        }
    }

    #[test]
    fn hanging_applications() {
        use crate::logic::health::Layer;
        let addr = Addr::v4(Ipv4Addr::LOCALHOST);
        let target = |state, reason| TargetRecord {
            port: 80,
            addrs: vec![AddrHealth {
                state,
                reason,
                ..AddrHealth::new(addr)
            }],
        };
        let hangs = |state, reason| app_hangs(Some(&target(state, reason)), &addr);
        let silent = [Layer::Tls, Layer::Http].map(Reason::Silent);
        // A full backlog: not even the port answers any more.
        for reason in silent.into_iter().chain([Reason::Timeout]) {
            assert!(hangs(State::Down, Some(reason)), "{reason}");
            assert!(!hangs(State::Up, Some(reason)), "{reason}");
        }
        for reason in [
            Reason::Status(503),
            Reason::Refused,
            Reason::Unreachable(113),
        ] {
            assert!(!hangs(State::Down, Some(reason)), "{reason}");
        }
        assert!(!hangs(State::Down, None) && !app_hangs(None, &addr));
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
