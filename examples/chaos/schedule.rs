//! From a seed the whole course of a run: what happens when. The same seed gives the same course.
//!
//! Lanes go on beside each other; within a lane one thing at a time, so that each balancer keeps a healthy member:
//! of four members at most one is in trouble, one disabled and one not configured.

use crate::action::*;
use crate::site::{APP, HTTP2, NAMES, PLAIN, Pool, TLS};
use std::ops::Range;

/// A member that was in trouble is used again long before: the next one may have trouble.
const SETTLE: At = 9_000;
/// Edits are not made so shortly after a reload: they might meet either generation.
const AFTER_RELOAD: At = 3_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub at: At,
    pub action: Action,
}

/// Numbers without a pattern, the same for the same seed: xorshift.
pub struct Numbers(u64);

impl Numbers {
    /// `lane` tells the sequences of one run apart.
    pub fn new(seed: u64, lane: u64) -> Numbers {
        let mut numbers = Numbers((seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (lane << 32)) | 1);
        // Small seeds are alike in the beginning.
        for _ in 0..8 {
            numbers.below(2);
        }
        numbers
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % n
    }

    fn between(&mut self, range: Range<u64>) -> u64 {
        range.start + self.below(range.end - range.start)
    }

    fn of<T: Clone>(&mut self, list: &[T]) -> T {
        list[self.below(list.len() as u64) as usize].clone()
    }

    fn percent(&mut self, n: u64) -> bool {
        self.below(100) < n
    }
}

/// What happens from the begin of the load to `end`, by time; `http2`: there are members that speak it. Everything is
/// well again at the end.
pub fn schedule(seed: u64, end: At, http2: bool) -> Vec<Step> {
    let mut lanes = [1, 2, 3, 4, 5, 6, 7, 8, 9].map(|lane| Lane {
        numbers: Numbers::new(seed, lane),
        end,
        steps: Vec::new(),
    });
    lanes[0].members(APP, &APP_HARMS);
    lanes[1].members(TLS, &TLS_HARMS);
    lanes[2].plain();
    lanes[3].moves();
    lanes[4].faults();
    lanes[5].processes();
    lanes[6].manager();
    lanes[7].network();
    if http2 {
        lanes[8].members(HTTP2, &HTTP2_HARMS);
    }
    let mut steps: Vec<Step> = lanes.into_iter().flat_map(|lane| lane.steps).collect();
    steps.sort_by_key(|step| step.at);
    without_conflicts(without_waits(steps))
}

/// An edit of the balancer-manager would wait for a child that stands still: none does then.
fn without_waits(mut steps: Vec<Step>) -> Vec<Step> {
    let is_edit = |a: &Action| matches!(a, Action::Disable(_) | Action::Enable(_) | Action::Grow);
    let edits: Vec<At> = steps
        .iter()
        .filter(|s| is_edit(&s.action))
        .map(|s| s.at)
        .collect();
    steps.retain(|step| match step.action {
        Action::StopLeader(ms) | Action::StopChild(_, ms) => {
            let still = step.at.saturating_sub(2_000)..step.at + ms + 500;
            !edits.iter().any(|at| still.contains(at))
        }
        _ => true,
    });
    steps
}

/// Edits near reloads are left out.
fn without_conflicts(steps: Vec<Step>) -> Vec<Step> {
    let mut reload = None;
    let mut left = Vec::new();
    for step in steps {
        let since = reload.map_or(At::MAX, |at| step.at - at);
        match &step.action {
            Action::Disable(_) | Action::Enable(_) | Action::Grow if since < AFTER_RELOAD => {
                continue;
            }
            Action::Reload(_) => reload = Some(step.at),
            _ => {}
        }
        left.push(step);
    }
    left
}

struct Lane {
    numbers: Numbers,
    end: At,
    steps: Vec<Step>,
}

impl Lane {
    fn push(&mut self, at: At, action: Action) {
        self.steps.push(Step { at, action });
    }

    /// Members of a balancer in turns; now and then all of them.
    fn members(&mut self, names: Range<usize>, harms: &[Harm]) {
        let mut at = self.numbers.between(5_000..8_000);
        let mut last = names.start;
        while at + 9_000 < self.end {
            if self.numbers.percent(8) {
                at = self.outage(at, names.start);
                continue;
            }
            let harm = self.numbers.of(harms);
            let spots = match self.numbers.below(5) {
                0 => Spots::First,
                1 => Spots::Second,
                _ => Spots::Both,
            };
            self.push(at, Action::Harm(last, spots, harm));
            if !harm.is_instant() {
                at += self.numbers.between(300..8_000);
                self.push(at, Action::Heal(last));
            }
            if self.numbers.percent(30) {
                at += self.numbers.between(400..2_500);
            } else {
                last = self.numbers.between(names.start as u64..names.end as u64) as usize;
                at += SETTLE + self.numbers.below(2_000);
            }
        }
    }

    /// When the next trouble may begin.
    fn outage(&mut self, at: At, name: usize) -> At {
        let harm = self.numbers.of(&OUTAGES);
        let at = at + SETTLE;
        let over = at + self.numbers.between(1_500..5_000);
        if over + 2_000 >= self.end {
            return over + SETTLE;
        }
        self.push(at, Action::Outage(name, harm));
        self.push(over, Action::OutageOver(name));
        over + SETTLE
    }

    /// The name of the worker outside of balancers moves for a while; then one of its addresses has trouble.
    fn plain(&mut self) {
        let mut at = self.numbers.between(4_000..7_000);
        loop {
            for _ in 0..self.numbers.between(2..6) {
                if at + 3_000 >= self.end {
                    return;
                }
                let spots = self.numbers.of(&Spots::ALL);
                self.push(at, Action::Place(PLAIN, spots));
                at += self.numbers.between(1_500..5_000);
            }
            if at + 14_000 >= self.end {
                return;
            }
            self.push(at, Action::Place(PLAIN, Spots::Both));
            at += 6_000;
            let spots = self.numbers.of(&Spots::ALL[..2]);
            let harm = self.numbers.of(&PLAIN_HARMS);
            self.push(at, Action::Harm(PLAIN, spots, harm));
            if !harm.is_instant() {
                at += self.numbers.between(300..6_000);
                self.push(at, Action::Heal(PLAIN));
            }
            at += SETTLE;
        }
    }

    /// Names of members move.
    fn moves(&mut self) {
        let mut at = self.numbers.between(3_000..6_000);
        while at + 3_000 < self.end {
            let names: Vec<usize> = APP.chain(TLS).chain(HTTP2).collect();
            let name = self.numbers.of(&names);
            let spots = self.numbers.of(&Spots::ALL);
            self.push(at, Action::Place(name, spots));
            at += self.numbers.between(1_500..6_000);
        }
    }

    fn faults(&mut self) {
        let mut at = self.numbers.between(7_000..12_000);
        while at + 9_000 < self.end {
            let all = self.numbers.percent(50);
            let name = self.numbers.below(NAMES.len() as u64) as usize;
            let name = (!all).then_some(name);
            let (fault, one) = (self.numbers.of(&FAULTS), self.numbers.percent(30));
            self.push(at, Action::Fault(name, fault, one));
            at += self.numbers.between(800..5_500);
            self.push(at, Action::FaultOver(name));
            at += self.numbers.between(9_000..20_000);
        }
    }

    /// Nothing beyond this machine is reached for a while, or only the name server is gone.
    fn network(&mut self) {
        let mut at = self.numbers.between(25_000..60_000);
        while at + 14_000 < self.end {
            let (down, up) = match self.numbers.percent(50) {
                true => (Action::LinkDown, Action::LinkUp),
                false => (Action::DnsDown, Action::DnsUp),
            };
            self.push(at, down);
            at += self.numbers.between(1_500..5_000);
            self.push(at, up);
            at += self.numbers.between(25_000..70_000);
        }
    }

    /// Children are killed and stopped, and generations end.
    fn processes(&mut self) {
        let (mut at, mut reload) = (self.numbers.between(4_000..8_000), 0);
        while at + 4_000 < self.end {
            if at > reload + 7_000 && self.numbers.percent(40) {
                let edition = self.numbers.percent(50).then(|| self.edition());
                self.push(at, Action::Reload(edition));
                reload = at;
            } else if self.numbers.percent(25) && at + 10_000 < self.end {
                self.stop(at);
            } else {
                self.kill(at);
            }
            // Soon another one, also into a reload.
            if self.numbers.percent(25) {
                let more = at + self.numbers.between(10..1_200);
                self.kill(more);
            }
            at += self.numbers.between(2_500..8_500);
        }
    }

    fn kill(&mut self, at: At) {
        let pick = self.numbers.below(1_000);
        let action = match self.numbers.percent(60) {
            true => Action::KillLeader,
            false => Action::KillChild(pick),
        };
        self.push(at, action);
    }

    fn stop(&mut self, at: At) {
        let pick = self.numbers.below(1_000);
        let action = match self.numbers.percent(60) {
            true => Action::StopLeader(self.numbers.between(500..5_000)),
            false => Action::StopChild(pick, self.numbers.between(100..1_500)),
        };
        self.push(at, action);
    }

    fn edition(&mut self) -> Edition {
        let members = APP.len() as u64;
        let maybe = |numbers: &mut Numbers| {
            let which = numbers.below(members) as usize;
            numbers.percent(40).then_some(which)
        };
        Edition {
            without: maybe(&mut self.numbers),
            renamed: maybe(&mut self.numbers),
            first: self.numbers.below(members) as usize,
            interval_ms: self.numbers.of(&[500, 1000, 2000]),
            fall: self.numbers.of(&[2, 2, 3]),
            more: self.numbers.below(4) as usize,
        }
    }

    fn manager(&mut self) {
        let mut at = self.numbers.between(9_000..15_000);
        while at + 10_000 < self.end {
            if self.numbers.percent(20) {
                self.push(at, Action::Grow);
                at += self.numbers.between(3_000..8_000);
                continue;
            }
            let name = self.numbers.below(APP.len() as u64) as usize;
            self.push(at, Action::Disable(name));
            at += self.numbers.between(1_500..8_000);
            self.push(at, Action::Enable(name));
            at += self.numbers.between(5_000..15_000);
        }
    }
}

/// Names of the pool of this name.
pub fn pool_of(name: usize) -> Range<usize> {
    match NAMES[name].pool {
        Pool::App => APP,
        Pool::Tls => TLS,
        Pool::Plain => PLAIN..PLAIN + 1,
        Pool::Http2 => HTTP2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: At = 3_600_000;

    #[test]
    fn the_same_seed_gives_the_same_course() {
        assert_eq!(schedule(7, HOUR, true), schedule(7, HOUR, true));
        assert_ne!(schedule(7, HOUR, true), schedule(8, HOUR, true));
    }

    #[test]
    fn one_member_at_a_time() {
        for seed in 0..50 {
            for pool in [APP, TLS, HTTP2] {
                let mut last: Option<(usize, At)> = None;
                for step in schedule(seed, HOUR, true) {
                    let (name, new) = match step.action {
                        Action::Harm(name, ..) | Action::Outage(name, _) => (name, true),
                        Action::Heal(name) | Action::OutageOver(name) => (name, false),
                        _ => continue,
                    };
                    if !pool.contains(&name) {
                        continue;
                    }
                    let other = last.filter(|(before, _)| new && *before != name);
                    assert!(other.is_none_or(|(_, at)| at + SETTLE <= step.at), "{seed}");
                    last = Some((name, step.at));
                }
            }
        }
    }

    #[test]
    fn no_edit_waits_for_a_child() {
        let (mut stops, mut until) = (0, 0);
        for step in schedule(3, HOUR, true) {
            match step.action {
                Action::StopLeader(ms) | Action::StopChild(_, ms) => {
                    stops += 1;
                    until = until.max(step.at + ms);
                }
                Action::Disable(_) | Action::Enable(_) | Action::Grow => assert!(step.at > until),
                _ => {}
            }
        }
        assert!(stops > 20, "{stops}");
    }

    #[test]
    fn everything_ends_in_time() {
        for seed in 0..50 {
            let steps = schedule(seed, 120_000, true);
            assert!(steps.last().is_some_and(|s| s.at < 120_000), "{seed}");
            assert!(steps.len() > 30, "{seed}: {}", steps.len());
            let open = |begin: fn(&Action) -> bool, end: fn(&Action) -> bool| {
                let count = |f: fn(&Action) -> bool| steps.iter().filter(|s| f(&s.action)).count();
                count(begin) - count(end)
            };
            let lasting = |a: &Action| matches!(a, Action::Harm(_, _, h) if !h.is_instant());
            assert_eq!(open(lasting, |a| matches!(a, Action::Heal(_))), 0);
            let down = |a: &Action| matches!(a, Action::DnsDown | Action::LinkDown);
            let up = |a: &Action| matches!(a, Action::DnsUp | Action::LinkUp);
            assert_eq!(open(down, up), 0);
            assert_eq!(
                open(
                    |a| matches!(a, Action::Fault(..)),
                    |a| matches!(a, Action::FaultOver(_))
                ),
                0
            );
        }
    }
}
