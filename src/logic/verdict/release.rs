//! Release of a worker that mod_proxy itself put in error.
//!
//! One refused connection blacks a member out for its `retry`, 60 s by default, also when the backend is back
//! a moment later. Probes know better.

use super::find;
use crate::logic::addr::Addr;
use crate::logic::health::TargetRecord;

/// What is seen of a member at one look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sight {
    /// mod_proxy's IN_ERROR.
    pub in_error: bool,
    /// Our own HC_FAIL: coming back will clear both.
    pub hc_fail: bool,
    /// `failonstatus` and `failontimeout` keep it in error until then, in monotonic milliseconds; 0 for no.
    pub kept_until_ms: u64,
    pub now_ms: u64,
    /// `liverise`.
    pub rise: u32,
}

/// What to do about the member.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    None,
    /// Have it probed at once.
    Probe,
    /// Clear the error.
    Release,
}

/// A member in error again within this time after its release comes back more slowly, in milliseconds.
const REPEAT_MS: u64 = 60_000;
/// Repeats without consequence.
const FREE_REPEATS: u32 = 2;
/// Doublings of `liverise` at most.
const MOST_DOUBLINGS: u32 = 4;

/// Watches one member.
#[derive(Clone, Default, Debug)]
pub struct Release {
    seen: Option<Seen>,
    /// Last release; 0 for none.
    released_ms: u64,
    /// Errors in a row, each soon after a release: probes are answered, requests are not.
    repeats: u32,
}

/// What was known when the error was first seen.
#[derive(Clone, Default, Debug)]
struct Seen {
    /// Successes of each address until then.
    base: Vec<(Addr, u32)>,
    /// Most new successes of an address when a probe was last asked for.
    asked: Option<u32>,
}

impl Release {
    /// One look at the member, whose addresses are `addrs` and whose target's record is `health`.
    ///
    /// It is released when, since the error was first seen, one of its addresses had `liverise` new successes
    /// (more when it falls into error again and again) and does not fail. A probe is asked for at once, and again
    /// after each success until there are `liverise`: at the ordinary pace they would take one interval each.
    pub fn step(&mut self, sight: Sight, addrs: &[Addr], health: Option<&TargetRecord>) -> Action {
        if !sight.in_error {
            self.seen = None;
            return Action::None;
        }
        if self.seen.is_none() {
            self.begin(sight.now_ms);
        }
        let needed = self.needed(sight.rise);
        let seen = self.seen.get_or_insert_default();
        let fresh = seen.successes(addrs, health);
        if sight.hc_fail {
            return Action::None;
        }
        if fresh >= needed {
            if sight.now_ms < sight.kept_until_ms {
                return Action::None;
            }
            self.seen = None;
            self.released_ms = sight.now_ms.max(1);
            return Action::Release;
        }
        if fresh >= sight.rise || seen.asked.is_some_and(|asked| fresh <= asked) {
            return Action::None;
        }
        seen.asked = Some(fresh);
        Action::Probe
    }

    fn begin(&mut self, now_ms: u64) {
        let again = self.released_ms != 0 && now_ms.saturating_sub(self.released_ms) < REPEAT_MS;
        self.repeats = if again {
            self.repeats.saturating_add(1)
        } else {
            0
        };
        self.seen = Some(Seen::default());
    }

    fn needed(&self, rise: u32) -> u32 {
        let doublings = self.repeats.saturating_sub(FREE_REPEATS);
        rise.saturating_mul(1 << doublings.min(MOST_DOUBLINGS))
    }
}

impl Seen {
    /// The most new successes that an address had which is up now.
    fn successes(&mut self, addrs: &[Addr], health: Option<&TargetRecord>) -> u32 {
        // What left the set is forgotten: its successes may be another's when it comes back.
        self.base.retain(|(addr, _)| addrs.contains(addr));
        let mut most = 0;
        for found in addrs.iter().filter_map(|addr| find(addr, health)) {
            let at = match self.base.iter().position(|(addr, _)| *addr == found.addr) {
                Some(at) => at,
                None => {
                    self.base.push((found.addr, found.ok_total));
                    self.base.len() - 1
                }
            };
            let new = found.ok_total.wrapping_sub(self.base[at].1);
            if new > u32::MAX / 2 {
                // The record began anew.
                self.base[at].1 = found.ok_total;
            } else if found.class() == 0 {
                most = most.max(new);
            }
        }
        most
    }
}
