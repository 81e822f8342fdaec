//! Storm: when most addresses fail at once, the trouble is probably here.
//!
//! A backend that vanishes fails by time-out, and so does everything when this machine's own network is gone.
//! So the first time-out of an address makes the leader probe a few others (the control group), and when
//! the verdict is due, most of those who had a probe meanwhile must have answered. Otherwise the verdict is held
//! until a second round confirms it ([`super::health::step`]).

use std::collections::{BTreeMap, BTreeSet};

use super::addr::Addr;
use super::health::{AddrHealth, Probe, Reason, Rules, State};

/// Other addresses probed at once after a first time-out.
const CONTROLS: usize = 16;
/// Pause between two control groups, in milliseconds.
const CONTROL_PAUSE_MS: u64 = 100;
/// IP addresses looked at for one verdict.
const SAMPLE: usize = 512;
/// Besides the interval: how long ago others may have gone down to count as failing now, in milliseconds.
const WINDOW_EXTRA_MS: u64 = 1_000;

/// How the IP addresses do that had a result since a series of failures began.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Census {
    /// Those that time out or cannot be reached.
    pub bad: usize,
    /// All of them.
    pub known: usize,
}

impl Census {
    /// Whether more than half fail, and not just one.
    pub const fn is_storm(self) -> bool {
        self.bad >= 2 && self.bad * 2 > self.known
    }
}

/// Looks at `all` addresses of all targets when `probe` of `judged` (its health before that probe) brings a
/// verdict by time-out. Several ports of one IP address are one: it is bad when all of them fail. Looks at
/// most at 512 of them.
pub fn census<'a>(
    all: impl IntoIterator<Item = &'a AddrHealth>,
    judged: &AddrHealth,
    probe: &Probe,
    rules: &Rules,
) -> Census {
    let since = judged.series_began(probe);
    let window = rules.interval_ms.saturating_add(WINDOW_EXTRA_MS);
    let mut seen: BTreeMap<Addr, bool> = BTreeMap::new();
    for health in all {
        if health.addr == judged.addr {
            continue;
        }
        if let Some(bad) = outcome(health, since, probe.ended_ms, window) {
            if seen.len() >= SAMPLE && !seen.contains_key(&health.addr) {
                break;
            }
            *seen.entry(health.addr).or_insert(true) &= bad;
        }
    }
    Census {
        bad: 1 + seen.values().filter(|bad| **bad).count(),
        known: 1 + seen.len(),
    }
}

/// Whether an address fails as in a storm; None when nothing is known of it since `since_ms`.
fn outcome(health: &AddrHealth, since_ms: u64, now_ms: u64, window_ms: u64) -> Option<bool> {
    let stormy = health.reason.is_some_and(Reason::is_stormy);
    let answered = health.reason.is_some_and(Reason::is_bad_answer);
    if health.state == State::Down && health.fails > 0 && !answered {
        // Long dead, or refusing: says nothing about today.
        let lately = now_ms.saturating_sub(health.since_ms) <= window_ms;
        return (stormy && lately).then_some(true);
    }
    if health.last_ms < since_ms || health.last_ms == 0 {
        return None;
    }
    match health.reason {
        Some(Reason::Local(_)) => None,
        // Refused is an answer as well, and so is a bad one.
        _ => Some(stormy),
    }
}

/// What the log says of a storm.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// The first verdict is held.
    Begun,
    /// None is held any more, after that many milliseconds; of the addresses that were held so many answer
    /// again and so many went down.
    Over {
        took_ms: u64,
        recovered: u32,
        down: u32,
    },
}

/// The storm in course, if any.
#[derive(Clone, Default, Debug)]
pub struct Storm {
    began_ms: u64,
    held: u32,
    recovered: u32,
    down: u32,
    /// Last control group; 0 for never.
    control_ms: u64,
}

impl Storm {
    /// For a new leader: `all` addresses as the last one left them.
    pub fn resume<'a>(all: impl IntoIterator<Item = &'a AddrHealth>) -> Self {
        let mut storm = Self::default();
        for health in all.into_iter().filter(|health| health.held_ms != 0) {
            if storm.held == 0 || health.held_ms < storm.began_ms {
                storm.began_ms = health.held_ms;
            }
            storm.held = storm.held.saturating_add(1);
        }
        storm
    }

    /// Works in one step of an address at monotonic `now_ms`.
    pub fn note(&mut self, before: &AddrHealth, after: &AddrHealth, now_ms: u64) -> Option<Event> {
        match (before.held_ms != 0, after.held_ms != 0) {
            (false, true) => self.hold(now_ms),
            (true, false) if after.state == State::Down => {
                self.down = self.down.saturating_add(1);
                self.let_go(now_ms)
            }
            (true, false) => {
                self.recovered = self.recovered.saturating_add(1);
                self.let_go(now_ms)
            }
            _ => None,
        }
    }

    /// An address is no longer one of its target.
    pub fn forget(&mut self, removed: &AddrHealth, now_ms: u64) -> Option<Event> {
        if removed.held_ms == 0 {
            return None;
        }
        self.let_go(now_ms)
    }

    /// Verdicts held now.
    pub const fn held(&self) -> u32 {
        self.held
    }

    fn hold(&mut self, now_ms: u64) -> Option<Event> {
        self.held = self.held.saturating_add(1);
        if self.held > 1 {
            return None;
        }
        (self.began_ms, self.recovered, self.down) = (now_ms, 0, 0);
        Some(Event::Begun)
    }

    fn let_go(&mut self, now_ms: u64) -> Option<Event> {
        self.held = self.held.checked_sub(1)?;
        (self.held == 0).then(|| Event::Over {
            took_ms: now_ms.saturating_sub(self.began_ms),
            recovered: self.recovered,
            down: self.down,
        })
    }

    /// The addresses to probe at once after a first time-out, `probe` of `suspect` (its health before that
    /// probe): at most 16 on other IP addresses that are not down and have no probe since the series
    /// began. None when a group went out a moment ago. `rnd` is any random number.
    pub fn control_group<'a, K>(
        &mut self,
        all: impl IntoIterator<Item = (K, &'a AddrHealth)>,
        suspect: &AddrHealth,
        probe: &Probe,
        now_ms: u64,
        rnd: u32,
    ) -> Vec<K> {
        if self.control_ms != 0 && now_ms < self.control_ms.saturating_add(CONTROL_PAUSE_MS) {
            return Vec::new();
        }
        self.control_ms = now_ms.max(1);
        let since = suspect.series_began(probe);
        let mut ips: BTreeSet<Addr> = BTreeSet::new();
        let fit: Vec<K> = all
            .into_iter()
            .filter(|(_, health)| {
                health.addr != suspect.addr
                    && health.state != State::Down
                    && last_began(health) < since
                    && ips.insert(health.addr)
            })
            .map(|(key, _)| key)
            .collect();
        spread_out(fit, CONTROLS, rnd)
    }
}

/// When the last probe of an address began.
fn last_began(health: &AddrHealth) -> u64 {
    health
        .last_ms
        .saturating_sub(u64::from(health.last_us) / 1_000)
}

/// `most` of `all`, evenly apart, from a start that `rnd` gives.
fn spread_out<K>(all: Vec<K>, most: usize, rnd: u32) -> Vec<K> {
    let len = all.len();
    if len <= most {
        return all;
    }
    let start = rnd as usize % len;
    let wanted: BTreeSet<usize> = (0..most).map(|i| (start + i * len / most) % len).collect();
    all.into_iter()
        .enumerate()
        .filter(|(i, _)| wanted.contains(i))
        .map(|(_, key)| key)
        .collect()
}

#[cfg(test)]
mod tests;
