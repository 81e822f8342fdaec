//! What the end of one probe does to an address.

use super::{AddrHealth, Probe, Reason, Rules, State};
use crate::logic::history::Sample;

/// Pause before a refused connection, or a bad answer, is confirmed, in milliseconds.
const CONFIRM_HARD_MS: u64 = 100;
/// Pause before a time-out is confirmed, in milliseconds.
const CONFIRM_SOFT_MS: u64 = 120;
/// Pause between the successes that bring an address back, in milliseconds.
const COMING_BACK_MS: u64 = 100;
/// The least pause between two probes of an address, in milliseconds.
const LEAST_PAUSE_MS: u64 = 20;
/// Pause before what this machine was to blame for is tried again, in milliseconds, when a change is due.
const LOCAL_AGAIN_MS: u64 = 250;
/// Failures are no series any more when nothing was probed for two intervals and this, in milliseconds.
const SERIES_GAP_MS: u64 = 1_000;
/// A verdict by time-out takes at least this long from the begin of the first failure, in milliseconds:
/// a lost SYN is repeated after a second.
const SOFT_SERIES_MS: u64 = 1_000;
/// A held verdict waits at least this long, in milliseconds, ...
const HOLD_MS: u64 = 3_000;
/// ... and this much longer than the interval.
const HOLD_EXTRA_MS: u64 = 1_000;

/// One change of state, in the score's thousandths.
const FLAP: u32 = 1_000;
/// The highest score.
const MOST_FLAPS: u32 = 10_000;
/// The score leaks one thousandth in this many milliseconds: four changes a minute.
const LEAK_MS: u64 = 15;
/// Points without consequence.
const FREE_FLAPS: u32 = 4;
/// Doublings of `liverise` at most.
const MOST_DAMPING: u32 = 4;

/// What one probe changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    pub health: AddrHealth,
    /// From and to, when the state is another one now.
    pub change: Option<(State, State)>,
    /// The name should be asked again (the caller bounds how often).
    pub ask_dns: bool,
    /// Whether [`AddrHealth::class`] is another one now.
    pub class_changed: bool,
    /// The first failure of an address that was not down: others may be looked at (storm).
    pub first_failure: bool,
    /// It went down and flaps: successes needed in a row to come back, as of now.
    pub damped: Option<u32>,
}

/// Whether this probe takes the address down unless there is a storm. Only then is `storm` of [`step`]
/// looked at.
pub fn verdict_due(health: &AddrHealth, probe: &Probe, rules: &Rules) -> bool {
    let Err(reason) = probe.result else {
        return false;
    };
    let open = health.state != State::Down && health.held_ms == 0;
    if !open || !reason.is_stormy() {
        return false;
    }
    let mut next = without_old_failures(health, probe, rules);
    count_failure(&mut next, probe, reason);
    is_condemned(&next, probe, reason, rules)
}

/// The health after `probe`. `storm`: many addresses fail at once. `rnd` is any random number.
pub fn step(health: &AddrHealth, probe: &Probe, rules: &Rules, storm: bool, rnd: u32) -> Step {
    let mut next = without_old_failures(health, probe, rules);
    next.last_ms = probe.ended_ms;
    next.last_us = probe.took_us;
    if !probe.result.is_err_and(Reason::is_local) {
        next.history.push(Sample {
            took_us: probe.took_us,
            ok: probe.result.is_ok(),
        });
    }
    match probe.result {
        Ok(()) => succeed(&mut next, probe, rules, rnd),
        Err(reason) if reason.is_local() => {
            if !next.is_failing() {
                next.reason = Some(reason);
            }
            // A verdict that is due, or a return, must not wait for a whole interval because of us.
            next.due_ms = if next.is_failing() || next.oks > 0 && next.state == State::Down {
                after(probe, LOCAL_AGAIN_MS, rules)
            } else {
                steady(probe, rules, rnd)
            };
        }
        Err(reason) => fail(&mut next, probe, reason, rules, storm, rnd),
    }
    let failed = probe.result.is_err_and(|reason| !reason.is_local());
    let change = (health.state != next.state).then_some((health.state, next.state));
    let went_down = change.is_some() && next.state == State::Down;
    Step {
        change,
        ask_dns: failed && (next.fails == rules.fall || next.fails.is_power_of_two()),
        class_changed: health.class() != next.class(),
        first_failure: failed && !health.is_failing() && health.state != State::Down,
        damped: (went_down && level(&next, probe.ended_ms) > 0)
            .then(|| needed(&next, rules, probe.ended_ms)),
        health: next,
    }
}

/// The health before this probe. Failures of long ago (nobody probed in between) do not count with it.
fn without_old_failures(health: &AddrHealth, probe: &Probe, rules: &Rules) -> AddrHealth {
    let mut next = health.clone();
    let gap = rules.interval_ms.saturating_mul(2);
    let gap = gap.saturating_add(rules.timeout_ms.saturating_add(SERIES_GAP_MS));
    let age = probe.begun_ms.saturating_sub(health.last_ms);
    if next.state != State::Down && next.is_failing() && age > gap {
        next.fails = 0;
        next.hard_fails = 0;
        next.first_fail_ms = 0;
        next.held_ms = 0;
    }
    next
}

fn succeed(next: &mut AddrHealth, probe: &Probe, rules: &Rules, rnd: u32) {
    next.fails = 0;
    next.first_fail_ms = 0;
    next.held_ms = 0;
    next.reason = None;
    next.oks = next.oks.saturating_add(1);
    next.ok_total = next.ok_total.wrapping_add(1);
    let back = match next.state {
        State::Up => true,
        State::Unknown => {
            enter(next, State::Up, probe);
            true
        }
        State::Down => next.oks >= needed(next, rules, probe.ended_ms),
    };
    if !back {
        // Those beyond `liverise` are the price of flapping: there is no hurry.
        let pause = if next.oks < rules.rise {
            COMING_BACK_MS
        } else {
            COMING_BACK_MS.max(rules.interval_ms / 4)
        };
        next.due_ms = after(probe, pause, rules);
        return;
    }
    next.hard_fails = 0;
    if next.state == State::Down {
        enter(next, State::Up, probe);
    }
    next.due_ms = steady(probe, rules, rnd);
}

fn fail(
    next: &mut AddrHealth,
    probe: &Probe,
    reason: Reason,
    rules: &Rules,
    storm: bool,
    rnd: u32,
) {
    count_failure(next, probe, reason);
    if next.state != State::Down && is_condemned(next, probe, reason, rules) {
        if storm && reason.is_stormy() && next.held_ms == 0 {
            // The second round is counted afresh.
            next.held_ms = probe.ended_ms.max(1);
            next.fails = 0;
            next.hard_fails = 0;
        } else {
            next.held_ms = 0;
            enter(next, State::Down, probe);
        }
    }
    next.due_ms = if next.state == State::Down || next.held_ms != 0 {
        steady(probe, rules, rnd)
    } else if reason.is_time_out() {
        after(probe, CONFIRM_SOFT_MS, rules)
    } else {
        after(probe, CONFIRM_HARD_MS, rules)
    };
}

fn count_failure(next: &mut AddrHealth, probe: &Probe, reason: Reason) {
    if !next.is_failing() {
        next.first_fail_ms = probe.begun_ms;
    }
    next.oks = 0;
    next.fails = next.fails.saturating_add(1);
    next.hard_fails = if reason.is_hard() {
        next.hard_fails.saturating_add(1)
    } else {
        0
    };
    next.reason = Some(reason);
}

/// Whether the failures, this one counted, are enough for the verdict "down". All of a mixed series count.
fn is_condemned(next: &AddrHealth, probe: &Probe, reason: Reason, rules: &Rules) -> bool {
    let enough = next.fails >= rules.fall;
    if next.held_ms == 0 {
        let series = probe.ended_ms.saturating_sub(next.first_fail_ms);
        return enough && (!reason.is_time_out() || series >= SOFT_SERIES_MS);
    }
    if !reason.is_stormy() {
        // Somebody answered: what was held is confirmed.
        return true;
    }
    let hold = HOLD_MS.max(rules.interval_ms.saturating_add(HOLD_EXTRA_MS));
    enough && probe.ended_ms.saturating_sub(next.held_ms) >= hold
}

fn enter(next: &mut AddrHealth, state: State, probe: &Probe) {
    let now = probe.ended_ms;
    if next.state != State::Unknown {
        next.flaps = leaked(next, now).saturating_add(FLAP).min(MOST_FLAPS);
        next.flaps_ms = now;
    }
    next.state = state;
    next.since_ms = now;
}

/// The flap score of today, in thousandths.
fn leaked(health: &AddrHealth, now_ms: u64) -> u32 {
    let leak = now_ms.saturating_sub(health.flaps_ms) / LEAK_MS;
    health
        .flaps
        .saturating_sub(u32::try_from(leak).unwrap_or(u32::MAX))
}

fn level(health: &AddrHealth, now_ms: u64) -> u32 {
    let points = leaked(health, now_ms) / FLAP;
    points.saturating_sub(FREE_FLAPS).min(MOST_DAMPING)
}

/// Successes needed in a row to come back.
fn needed(health: &AddrHealth, rules: &Rules, now_ms: u64) -> u32 {
    rules.rise.saturating_mul(1 << level(health, now_ms))
}

/// The next probe of a settled address: one interval, give or take a twentieth, after the begin of this
/// one, so that the time a probe takes does not add up.
fn steady(probe: &Probe, rules: &Rules, rnd: u32) -> u64 {
    let interval = rules.interval_ms;
    let jitter = (u128::from(interval / 10 + 1) * u128::from(rnd)) >> 32;
    let pause = (interval - interval / 20).saturating_add(jitter as u64);
    let due = probe.begun_ms.saturating_add(pause);
    due.max(probe.ended_ms.saturating_add(LEAST_PAUSE_MS))
}

/// The next probe of an address that is about to change: `pause` after this one, never more than the interval.
fn after(probe: &Probe, pause: u64, rules: &Rules) -> u64 {
    let pause = pause.min(rules.interval_ms).max(LEAST_PAUSE_MS);
    probe.ended_ms.saturating_add(pause)
}
