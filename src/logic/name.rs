//! The state of one name and what a look-up does to it.
//!
//! DNS failing never hurts: whatever is no good answer leaves the last good
//! addresses in force, is asked again with a backoff and is said once in the log.

use std::time::Duration;

use super::addr::{Addr, Families, Family};
use super::answer::{Lookup, Outcome};
use super::record::{FamilyState, MAX_ADDRS, NameRecord, Source};
use super::schedule;

pub use event::{Event, Level, Origin};

mod event;
mod turn;

pub use turn::{hurry, keep_turn};

/// How often a name from the hosts file is looked at without any change of the file,
/// in milliseconds. It costs no query.
pub const HOSTS_RECHECK_MS: u64 = 60_000;

/// The pause between tries of a name without any address is the one after so many failures at the longest: 4 s.
const UNRESOLVED_BACKOFF: u32 = 3;

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

/// What the workers want of a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    pub ttl_min: Duration,
    pub ttl_max: Duration,
    pub want: Families,
}

/// The outcome of [`step`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    pub record: NameRecord,
    /// The set of addresses is another one.
    pub changed: bool,
    /// The children have to know: other addresses, or failing began or ended.
    pub wake: bool,
    pub events: Vec<Event>,
    /// Monotonic milliseconds at which the name is to be asked for again, for families
    /// that are not being asked for already.
    pub due_ms: u64,
}

/// What to ask for now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Questions {
    pub families: Families,
    /// Only a part of what is wanted: ask the candidate that decided last time.
    pub partial: bool,
}

/// What a look-up says about one family.
enum Verdict<'a> {
    /// Not wanted by anybody.
    Unwanted,
    /// Not asked: everything stays.
    Kept,
    /// Being asked: everything stays for now.
    Pending,
    /// The set now in force (possibly, and truly, empty) and its TTL in seconds.
    Good(&'a [Addr], Option<u32>),
    /// No usable answer; the code of why.
    Bad(u32),
}

/// Applies a look-up that ended at `now_ms` (monotonic milliseconds) to a name.
/// `rnd` is any random number, for the jitter.
pub fn step(state: &NameRecord, now_ms: u64, lookup: &Lookup, bounds: &Bounds, rnd: u32) -> Step {
    let now_ms = now_ms.max(1);
    let verdicts = FAMILIES.map(|family| verdict(state, lookup, bounds.want, family));
    let mut record = state.clone();
    record.asked_ms = now_ms;
    for (family, verdict) in FAMILIES.into_iter().zip(&verdicts) {
        mark(family_mut(&mut record, family), verdict, now_ms);
    }
    let found = put_addrs(&mut record, state, &verdicts);
    set_retries(&mut record, bounds.want, now_ms, rnd);
    set_expiry(&mut record, state, &verdicts, lookup, bounds, now_ms, rnd);
    let changed = !same_set(&state.addrs, &record.addrs);
    let flipped = FAMILIES
        .iter()
        .any(|&family| fails(state, family) != fails(&record, family));
    let mut events = event::failures(state, &record, bounds.want, now_ms);
    if changed {
        events.push(event::changed(state, &record, lookup));
        if found > record.addrs.len() {
            events.push(Event::TooMany { found });
        }
    }
    Step {
        due_ms: due(&record, bounds.want, pending(lookup)),
        wake: changed || flipped,
        changed,
        events,
        record,
    }
}

/// When the name is to be asked for, in monotonic milliseconds; 0 for at once. `busy` are
/// families that are being asked for now.
pub fn due(state: &NameRecord, want: Families, busy: Families) -> u64 {
    free(want, busy)
        .map(|family| match family_of(state, family) {
            _ if never_asked(state, family) => 0,
            _ if !fails(state, family) => state.expires_ms,
            failing => failing.retry_ms,
        })
        .min()
        .unwrap_or(u64::MAX)
}

/// What to ask for at `now_ms`, besides `busy`; `None` when nothing is due.
///
/// A failing family is asked alone while the other one is good, each at its own time;
/// when none is good all are asked together.
pub fn questions(
    state: &NameRecord,
    want: Families,
    busy: Families,
    now_ms: u64,
) -> Option<Questions> {
    if due(state, want, busy) > now_ms {
        return None;
    }
    let unknown = free(want, busy).any(|family| never_asked(state, family));
    if unknown || all_fail(state, want) {
        return Some(Questions {
            families: minus(want, busy),
            partial: !busy.is_empty(),
        });
    }
    let families = free(want, busy)
        .filter(|&family| match fails(state, family) {
            true => family_of(state, family).retry_ms <= now_ms,
            false => state.expires_ms <= now_ms,
        })
        .fold(Families::NONE, with);
    Some(Questions {
        families,
        partial: families != want,
    })
}

/// The families of `all` that are not in `busy`.
pub fn free(all: Families, busy: Families) -> impl Iterator<Item = Family> {
    let free = move |family: &Family| all.has(*family) && !busy.has(*family);
    FAMILIES.into_iter().filter(free)
}

/// `all` without `some`.
pub fn minus(all: Families, some: Families) -> Families {
    free(all, some).fold(Families::NONE, with)
}

/// The families of a look-up that have not answered yet.
pub fn pending(lookup: &Lookup) -> Families {
    FAMILIES
        .into_iter()
        .filter(|&family| *lookup.outcome(family) == Outcome::Pending)
        .fold(Families::NONE, with)
}

fn with(families: Families, family: Family) -> Families {
    families.union(family.into())
}

/// All that is wanted, whatever is due.
pub const fn all(want: Families) -> Questions {
    Questions {
        families: want,
        partial: false,
    }
}

/// Takes over a record that another leader left: its schedule stays, within the bounds
/// that are in force now.
pub fn resume(record: &mut NameRecord, bounds: &Bounds, now_ms: u64) {
    let longest = schedule::ttl_ms(u32::MAX, bounds.ttl_min, bounds.ttl_max);
    let latest = now_ms.saturating_add(schedule::refresh_after(longest, u32::MAX));
    record.expires_ms = record.expires_ms.min(latest);
    let latest = now_ms + schedule::backoff(u32::MAX, u32::MAX);
    for family in FAMILIES {
        let state = family_mut(record, family);
        state.retry_ms = state.retry_ms.min(latest);
    }
}

/// Whether the look-ups of any family fail.
pub fn is_failing(record: &NameRecord) -> bool {
    FAMILIES.into_iter().any(|family| fails(record, family))
}

/// Whether the look-ups of all these families fail.
pub fn all_fail(record: &NameRecord, families: Families) -> bool {
    free(families, Families::NONE).all(|family| fails(record, family))
}

fn verdict<'a>(
    state: &NameRecord,
    lookup: &'a Lookup,
    want: Families,
    family: Family,
) -> Verdict<'a> {
    if !want.has(family) {
        return Verdict::Unwanted;
    }
    match lookup.outcome(family) {
        Outcome::NotAsked => Verdict::Kept,
        Outcome::Pending => Verdict::Pending,
        Outcome::Addresses { addrs, ttl } if !addrs.is_empty() => Verdict::Good(addrs, Some(*ttl)),
        Outcome::Empty | Outcome::NoName if other_has(state, lookup, want, family) => {
            Verdict::Good(&[], None)
        }
        Outcome::Addresses { .. } => Verdict::Bad(Outcome::Empty.error()),
        bad => Verdict::Bad(bad.error()),
    }
}

/// Whether the other family has addresses, so that an empty answer may be believed.
fn other_has(state: &NameRecord, lookup: &Lookup, want: Families, family: Family) -> bool {
    let other = match family {
        Family::V4 => Family::V6,
        Family::V6 => Family::V4,
    };
    match lookup.outcome(other) {
        Outcome::Addresses { addrs, .. } => !addrs.is_empty(),
        Outcome::NotAsked | Outcome::Pending => {
            want.has(other) && !fails(state, other) && of(state, other).next().is_some()
        }
        _ => false,
    }
}

fn mark(state: &mut FamilyState, verdict: &Verdict<'_>, now_ms: u64) {
    match *verdict {
        Verdict::Unwanted => *state = FamilyState::default(),
        Verdict::Kept | Verdict::Pending => {}
        Verdict::Good(..) => {
            *state = FamilyState {
                good_ms: now_ms,
                error: state.error,
                error_ms: state.error_ms,
                ..FamilyState::default()
            }
        }
        Verdict::Bad(error) => {
            if state.failing_since_ms == 0 {
                state.failing_since_ms = now_ms;
            }
            state.failures = state.failures.saturating_add(1);
            (state.error, state.error_ms) = (error, now_ms);
            // Marks it for set_retries().
            state.retry_ms = 0;
        }
    }
}

/// Puts the addresses in force into the record, what was there before in its old order
/// and in front. Returns how many there would have been without the limit.
fn put_addrs(record: &mut NameRecord, state: &NameRecord, verdicts: &[Verdict<'_>; 2]) -> usize {
    record.addrs.clear();
    for (family, verdict) in FAMILIES.into_iter().zip(verdicts) {
        match verdict {
            Verdict::Unwanted => {}
            Verdict::Kept | Verdict::Pending | Verdict::Bad(_) => {
                record.addrs.extend(of(state, family))
            }
            Verdict::Good(addrs, _) => {
                let old: Vec<Addr> = of(state, family).filter(|a| addrs.contains(a)).collect();
                let mut new: Vec<Addr> =
                    addrs.iter().copied().filter(|a| !old.contains(a)).collect();
                new.sort_unstable();
                new.dedup();
                record.addrs.extend(old.into_iter().chain(new));
            }
        }
    }
    let found = record.addrs.len();
    record.addrs.truncate(MAX_ADDRS);
    found
}

/// Sets when the families that just failed are asked again. When no family is good they
/// are asked together, at the pace of the one that fails least long.
fn set_retries(record: &mut NameRecord, want: Families, now_ms: u64, rnd: u32) {
    let wanted = || FAMILIES.into_iter().filter(|&family| want.has(family));
    let together = wanted().all(|family| fails(record, family));
    let least = wanted()
        .map(|family| family_of(record, family).failures)
        .min()
        .unwrap_or(1);
    // Nothing can be served until it answers.
    let unresolved = together && record.addrs.is_empty();
    for family in wanted() {
        let state = family_mut(record, family);
        if state.failing_since_ms != 0 && (state.retry_ms == 0 || together) {
            let failures = if together { least } else { state.failures };
            let failures = if unresolved {
                failures.min(UNRESOLVED_BACKOFF)
            } else {
                failures
            };
            state.retry_ms = now_ms + schedule::backoff(failures, rnd);
        }
    }
}

fn set_expiry(
    record: &mut NameRecord,
    state: &NameRecord,
    verdicts: &[Verdict<'_>; 2],
    lookup: &Lookup,
    bounds: &Bounds,
    now_ms: u64,
    rnd: u32,
) {
    let ttls = verdicts.iter().filter_map(|verdict| match verdict {
        Verdict::Good(_, ttl) => *ttl,
        _ => None,
    });
    let any = |kind: fn(&Verdict<'_>) -> bool| verdicts.iter().any(kind);
    let Some(ttl) = ttls.min() else {
        // A family without addresses answered while the other one, due as well, is still
        // being asked: it has its time from now on.
        let early =
            any(|v| matches!(v, Verdict::Good(..))) && any(|v| matches!(v, Verdict::Pending));
        if early && state.expires_ms <= now_ms {
            record.expires_ms = now_ms + u64::from(state.ttl_s) * 1_000;
        }
        return;
    };
    record.source = lookup.source;
    record.server = lookup.by;
    let (ttl_s, after) = match lookup.source {
        Source::Hosts => (0, HOSTS_RECHECK_MS),
        _ => {
            let ttl_ms = schedule::ttl_ms(ttl, bounds.ttl_min, bounds.ttl_max);
            let seconds = u32::try_from(ttl_ms.div_ceil(1_000)).unwrap_or(u32::MAX);
            (seconds, schedule::refresh_after(ttl_ms, rnd))
        }
    };
    record.ttl_s = ttl_s;
    record.expires_ms = now_ms.saturating_add(after);
    // A family that was not asked, because it is good, keeps its time.
    let other_good = FAMILIES
        .into_iter()
        .zip(verdicts)
        .any(|(family, verdict)| matches!(verdict, Verdict::Kept) && !fails(state, family));
    if other_good && state.expires_ms < record.expires_ms {
        record.expires_ms = state.expires_ms;
        record.ttl_s = state.ttl_s;
    }
}

fn same_set(a: &[Addr], b: &[Addr]) -> bool {
    a.len() == b.len() && a.iter().all(|addr| b.contains(addr))
}

/// The addresses of one family.
fn of(record: &NameRecord, family: Family) -> impl Iterator<Item = Addr> + '_ {
    record
        .addrs
        .iter()
        .copied()
        .filter(move |addr| addr.family() == family)
}

fn fails(record: &NameRecord, family: Family) -> bool {
    family_of(record, family).failing_since_ms != 0
}

fn never_asked(record: &NameRecord, family: Family) -> bool {
    let state = family_of(record, family);
    state.good_ms == 0 && state.failing_since_ms == 0
}

const fn family_of(record: &NameRecord, family: Family) -> &FamilyState {
    match family {
        Family::V4 => &record.v4,
        Family::V6 => &record.v6,
    }
}

const fn family_mut(record: &mut NameRecord, family: Family) -> &mut FamilyState {
    match family {
        Family::V4 => &mut record.v4,
        Family::V6 => &mut record.v6,
    }
}

#[cfg(test)]
mod tests;
