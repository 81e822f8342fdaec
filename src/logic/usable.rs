//! What a worker may dial: the record of its name, its families and `livestale`.

use super::record::{FamilyState, NameRecord};

use super::addr::{Addr, Families, Family};

/// The addresses a worker may use now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Usable {
    /// DNS never gave any.
    Unknown,
    /// In the record's order, never empty.
    Addresses(Vec<Addr>),
    /// There were some, but DNS has failed for longer than `livestale`.
    Expired,
}

/// Why a worker has no address that it may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lack {
    /// DNS has not answered yet.
    Awaited,
    /// DNS was asked and has never given any.
    Unresolved,
    /// There were some, but DNS has failed for longer than `livestale`.
    Expired,
}

/// Whether DNS was asked for all of `families` and has given no address of them, ever.
pub fn is_unresolved(record: &NameRecord, families: Families) -> bool {
    let asked = |family: Family, state: &FamilyState| {
        !families.has(family) || state.good_ms != 0 || state.failing_since_ms != 0
    };
    let known = record.addrs.iter().any(|a| families.has(a.family()));
    !known && asked(Family::V4, &record.v4) && asked(Family::V6, &record.v6)
}

/// Picks from `record` what a worker of these `families` may use at `now_ms` (monotonic).
///
/// A family's addresses expire when its look-ups have failed for longer than `stale_ms` (None: never).
pub fn usable(
    record: &NameRecord,
    families: Families,
    stale_ms: Option<u64>,
    now_ms: u64,
) -> Usable {
    let wanted = |a: &&Addr| families.has(a.family());
    if !record.addrs.iter().any(|a| wanted(&a)) {
        return Usable::Unknown;
    }
    let expired = |family| {
        let state: &FamilyState = match family {
            Family::V4 => &record.v4,
            Family::V6 => &record.v6,
        };
        let failing = state.failing_since_ms;
        failing != 0 && stale_ms.is_some_and(|s| now_ms.saturating_sub(failing) > s)
    };
    let left: Vec<Addr> = record
        .addrs
        .iter()
        .filter(|a| wanted(a) && !expired(a.family()))
        .copied()
        .collect();
    if left.is_empty() {
        Usable::Expired
    } else {
        Usable::Addresses(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    fn record(v4_failing: u64, v6_failing: u64) -> NameRecord {
        let mut r = NameRecord {
            addrs: vec![
                Addr::v4(Ipv4Addr::LOCALHOST),
                Addr::v6(Ipv6Addr::LOCALHOST, 0),
            ],
            ..NameRecord::default()
        };
        r.v4.failing_since_ms = v4_failing;
        r.v6.failing_since_ms = v6_failing;
        r
    }

    #[test]
    fn families_are_filtered() {
        let r = record(0, 0);
        assert_eq!(
            usable(&r, Families::V6, None, 5),
            Usable::Addresses(vec![r.addrs[1]])
        );
        assert_eq!(
            usable(&r, Families::ANY, None, 5),
            Usable::Addresses(r.addrs.clone())
        );
        let never = NameRecord::default();
        assert_eq!(usable(&never, Families::ANY, Some(1), 5), Usable::Unknown);
    }

    #[test]
    fn unresolved_is_what_dns_was_asked_for_in_vain() {
        let all = [Families::ANY, Families::V4, Families::V6];
        let is = |r: &NameRecord| all.map(|families| is_unresolved(r, families));
        let mut r = NameRecord::default();
        assert_eq!(is(&r), [false; 3], "not asked yet");
        r.v4.failing_since_ms = 7;
        assert_eq!(is(&r), [false, true, false], "the other one is under way");
        r.v6.failing_since_ms = 9;
        assert_eq!(is(&r), [true; 3]);
        // Only the other family has addresses, and that is all there is.
        r.addrs.push(Addr::v6(Ipv6Addr::LOCALHOST, 0));
        (r.v4.failing_since_ms, r.v4.good_ms) = (0, 11);
        (r.v6.failing_since_ms, r.v6.good_ms) = (0, 11);
        assert_eq!(is(&r), [false, true, false]);
        // DNS fails later: what it gave stays.
        assert_eq!(is(&record(1, 1)), [false; 3]);
    }

    #[test]
    fn failing_families_expire_alone() {
        let r = record(1000, 0);
        let at = |now| usable(&r, Families::ANY, Some(500), now);
        assert_eq!(at(1500), Usable::Addresses(r.addrs.clone()));
        assert_eq!(at(1501), Usable::Addresses(vec![r.addrs[1]]));
        assert_eq!(usable(&r, Families::V4, Some(500), 1501), Usable::Expired);
        assert_eq!(
            usable(&r, Families::V4, None, u64::MAX),
            Usable::Addresses(vec![r.addrs[0]])
        );
    }
}
