//! What is carried over: to an earlier time, to the next leader, to another set of addresses.

use super::{AddrHealth, Rules, State};
use crate::logic::addr::Addr;
use crate::logic::record::MAX_ADDRS;

/// A kick brings no probe earlier than this after the last one, in milliseconds.
const KICK_PAUSE_MS: u64 = 100;
/// What is said against an address is old after three intervals and this, in milliseconds.
const STALE_MS: u64 = 10_000;
/// Overdue probes that are urgent are spread over this, in milliseconds.
const URGENT_MS: u64 = 100;

/// Somebody suspects the address: when its next probe is due now, in monotonic milliseconds; None when it
/// is due as early in any case.
pub fn kicked(health: &AddrHealth, now_ms: u64) -> Option<u64> {
    let due = match health.last_ms.min(now_ms) {
        0 => now_ms,
        last => now_ms.max(last.saturating_add(KICK_PAUSE_MS)),
    };
    (due < health.due_ms).then_some(due)
}

/// Takes an address over from the last leader: its schedule goes on, without a burst of all that was missed
/// in between. Times that cannot be are put right. `rnd` is any random number.
pub fn resume(health: &mut AddrHealth, rules: &Rules, now_ms: u64, rnd: u32) {
    for time in [
        &mut health.since_ms,
        &mut health.held_ms,
        &mut health.first_fail_ms,
        &mut health.last_ms,
        &mut health.flaps_ms,
    ] {
        *time = (*time).min(now_ms);
    }
    if is_stale(health, rules, now_ms) {
        forgive(health, now_ms);
    }
    if health.last_ms == 0 {
        health.due_ms = now_ms;
        return;
    }
    let overdue = now_ms.saturating_sub(health.due_ms);
    let room = rules.interval_ms / 2;
    health.due_ms = if overdue > room {
        let urgent = health.state == State::Down || health.is_failing();
        let room = if urgent { room.min(URGENT_MS) } else { room };
        now_ms.saturating_add(((u128::from(room) * u128::from(rnd)) >> 32) as u64)
    } else {
        health.due_ms.min(now_ms.saturating_add(rules.interval_ms))
    };
}

/// Whether what is said against an address is so old that nobody can have probed it lately: its target was
/// not in the configuration, or nobody led.
pub fn is_stale(health: &AddrHealth, rules: &Rules, now_ms: u64) -> bool {
    let most = rules.interval_ms.saturating_mul(3);
    let most = most.saturating_add(rules.timeout_ms.saturating_add(STALE_MS));
    let bad = health.state == State::Down || health.is_failing();
    bad && now_ms.saturating_sub(health.last_ms) > most
}

/// Forgets what is said against an address.
pub fn forgive(health: &mut AddrHealth, now_ms: u64) {
    *health = AddrHealth {
        ok_total: health.ok_total,
        flaps: health.flaps,
        flaps_ms: health.flaps_ms,
        history: health.history,
        since_ms: now_ms,
        due_ms: now_ms,
        ..AddrHealth::new(health.addr)
    };
}

/// The health of a target whose set of addresses is `addrs` now: what is known of them stays; a new one is what
/// `inherited` knows of it, or unknown, and its probe is due now.
pub fn merge(
    old: &[AddrHealth],
    addrs: &[Addr],
    inherited: impl Fn(&Addr) -> Option<AddrHealth>,
    now_ms: u64,
) -> Vec<AddrHealth> {
    let known = |addr: &Addr| old.iter().find(|health| health.addr == *addr).cloned();
    addrs
        .iter()
        .take(MAX_ADDRS)
        .map(|addr| {
            known(addr).unwrap_or_else(|| {
                let mut health = inherited(addr).unwrap_or_else(|| AddrHealth::new(*addr));
                health.addr = *addr;
                // What is in course is what one leader sees in one target.
                health.held_ms = 0;
                if health.state != State::Down {
                    (health.fails, health.hard_fails, health.first_fail_ms) = (0, 0, 0);
                }
                health.due_ms = now_ms;
                health
            })
        })
        .collect()
}
