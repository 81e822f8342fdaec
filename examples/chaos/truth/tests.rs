//! What the model says of courses.

use super::*;
use live_kit::Fault as Dns;

/// A name that comes back with a reload while DNS fails has the addresses that were known last.
#[test]
fn names_that_come_back() {
    let edition = |without| Edition {
        without,
        ..Edition::FIRST
    };
    let mut truth = Truth::new();
    truth.note(1_000, &Action::Reload(Some(edition(Some(0)))));
    truth.note(5_000, &Action::Place(0, Spots::Second));
    truth.note(30_000, &Action::Fault(None, Dns::NxDomain, false));
    truth.note(31_000, &Action::Reload(Some(edition(None))));
    truth.note(34_000, &Action::FaultOver(None));
    assert_eq!(truth.stale(0, 0, 35_000, 35_010), None);
    assert!(truth.stale(0, 0, 60_000, 60_010).is_some());
    assert!(truth.stale(0, 0, 29_000, 29_010).is_some());
}

/// What fails again while its next try is awaited waits for longer.
#[test]
fn failures_in_a_row() {
    let mut truth = Truth::new();
    let fails = |truth: &mut Truth, from, to| {
        truth.note(from, &Action::Fault(None, Dns::NxDomain, false));
        truth.note(to, &Action::FaultOver(None));
    };
    fails(&mut truth, 20_000, 28_000);
    let alone = truth.known(0, 27_000);
    assert_eq!(alone, 28_000 + 10_000 + 3_000);
    fails(&mut truth, 40_000, 41_000);
    assert_eq!(truth.known(0, 27_000), 41_000 + 26_250 + 3_000);
    assert!(truth.known(0, 90_000) < 94_000, "long over");
}

#[test]
fn removed_addresses() {
    let mut truth = Truth::new();
    assert_eq!(truth.stale(0, 0, 100, 100), None);
    assert_eq!(truth.stale(0, 1, 100, 100), Some(100));
    assert_eq!(truth.stale(0, 1, 9_000, 9_900), Some(9_000));
    truth.note(10_000, &Action::Place(0, Spots::Second));
    assert_eq!(truth.stale(0, 1, 10_001, 10_001), None);
    // It began before the move and was answered, perhaps by a second attempt, after it.
    assert_eq!(truth.stale(0, 1, 9_000, 10_001), None);
    assert_eq!(truth.stale(0, 0, 12_250, 12_250), None);
    assert_eq!(truth.stale(0, 0, 12_260, 12_260), Some(10));
    truth.stall(11_500, 50);
    assert_eq!(truth.stale(0, 0, 12_300, 12_300), None);
    truth.note(11_000, &Action::KillLeader);
    assert_eq!(truth.stale(0, 0, 12_260, 12_260), None);
    truth.note(20_000, &Action::Place(0, Spots::Both));
    assert_eq!(truth.stale(0, 0, 20_000, 20_000), None);
}

#[test]
fn changes_while_dns_fails() {
    let mut truth = Truth::new();
    truth.note(9_000, &Action::Fault(None, Dns::ServFail, false));
    truth.note(10_000, &Action::Place(0, Spots::Second));
    assert_eq!(truth.stale(0, 0, 60_000, 60_000), None);
    truth.note(13_000, &Action::FaultOver(None));
    assert_eq!(truth.known(0, 10_000), 13_000 + 5_000 + 3_000);
    assert!(!truth.dns_is_calm(0, 20_000) && truth.dns_is_calm(0, 24_000));
}

#[test]
fn troubles_are_felt_in_their_pool() {
    let mut truth = Truth::new();
    truth.note(1_000, &Action::Harm(0, Spots::Both, Harm::Vanish));
    assert_eq!(truth.felt(3, 5_000, 5_100, 0).count(), 1);
    assert_eq!(truth.felt(5, 5_000, 5_100, 0).count(), 0);
    truth.note(6_000, &Action::Heal(0));
    assert_eq!(truth.felt(3, 7_000, 7_100, 0).count(), 0);
    assert_eq!(truth.felt(3, 7_000, 7_100, 1_500).count(), 1);
}

#[test]
fn the_link_and_what_it_leads_to() {
    let mut truth = Truth::new();
    truth.note(1_000, &Action::Harm(0, Spots::Both, Harm::Vanish));
    truth.note(2_000, &Action::LinkDown);
    truth.note(2_100, &Action::Heal(0));
    assert!(truth.felt(0, 3_000, 3_000, 0).all(|t| t.all));
    assert!(truth.felt(PLAIN, 3_000, 3_000, 0).any(|t| t.all));
    assert!(!truth.dns_is_calm(2, 3_000));
    truth.note(3_500, &Action::LinkUp);
    assert_eq!(truth.felt(0, 4_000, 4_000, 0).count(), 0);
    assert!(truth.may_be_unknown(0, 6_000) && !truth.may_be_unknown(0, 7_000));
}

#[test]
fn a_leader_that_stands_still() {
    let mut truth = Truth::new();
    truth.note(10_000, &Action::StopLeader(4_000));
    truth.note(11_000, &Action::Place(0, Spots::Second));
    assert_eq!(truth.known(0, 11_000), 17_000);
    assert_eq!(truth.stopped(12_000, 20_000), 2_000);
    assert!(truth.leaderless(14_900, 1_000) && !truth.leaderless(15_100, 1_000));
    truth.note(20_000, &Action::StopChild(1, 500));
    assert!(!truth.leaderless(20_100, 1_000));
}

#[test]
fn reloads_enable_members() {
    let mut truth = Truth::new();
    truth.note(1, &Action::Disable(2));
    truth.note(2, &Action::Reload(None));
    assert_eq!(truth.disabled, Some((None, 2)));
}
