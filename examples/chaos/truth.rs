//! What is so, and since when: the model that answers and pages are held against. Pure; times are those of the run.

use crate::action::{Action, At, Edition, Harm, Spots};
use crate::schedule::pool_of;
use crate::site::{APP, HTTP2, NAMES, PLAIN, TLS};

/// A stretch of time; without an end it goes on.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub from: At,
    pub to: Option<At>,
}

impl Span {
    fn begins(from: At) -> Span {
        Span { from, to: None }
    }

    fn of(from: At, length: At) -> Span {
        let to = Some(from + length);
        Span { from, to }
    }

    /// Some of it, prolonged by `after`, lies between the two.
    pub fn meets(&self, from: At, to: At, after: At) -> bool {
        self.from <= to && self.to.is_none_or(|end| end + after >= from)
    }
}

#[derive(Clone, Debug)]
pub struct Trouble {
    pub span: Span,
    pub name: usize,
    pub spots: Spots,
    pub harm: Harm,
    /// The whole pool has it.
    pub all: bool,
    /// It is the link's.
    link: bool,
}

struct Fault {
    span: Span,
    name: Option<usize>,
    /// The name server's or the link's, not one of its answers.
    down: bool,
}

pub struct Truth {
    /// Of each name: since when it has been where, oldest first.
    places: Vec<Vec<(At, Spots)>>,
    pub troubles: Vec<Trouble>,
    faults: Vec<Fault>,
    /// kill -9 of children: just before, and just after.
    pub kills: Vec<At>,
    pub killed: Vec<At>,
    /// When the leader, or some child, stood still.
    stops: Vec<(Span, bool)>,
    pub reloads: Vec<At>,
    pub edition: Edition,
    /// Member that is disabled, and since when it is, or none is; `None`: an edit may have failed.
    pub disabled: Option<(Option<usize>, At)>,
    /// Since when there is a member of run time.
    pub grown: Option<At>,
    /// When this machine did not run the driver, and for how long.
    pub stalls: Vec<(At, At)>,
}

/// Beyond TTL + 1 s: for the clocks of two machines.
const GRACE: At = 250;
/// On top for each leader that died and each reload meanwhile.
const TAKEOVER: At = 1_000;

impl Truth {
    pub fn new() -> Truth {
        Truth {
            places: vec![vec![(0, Spots::First)]; NAMES.len()],
            troubles: Vec::new(),
            faults: Vec::new(),
            kills: Vec::new(),
            killed: Vec::new(),
            stops: Vec::new(),
            reloads: Vec::new(),
            edition: Edition::FIRST,
            disabled: Some((None, 0)),
            grown: None,
            stalls: Vec::new(),
        }
    }

    /// Notes what has just been done.
    pub fn note(&mut self, at: At, action: &Action) {
        match action {
            Action::Harm(name, spots, harm) => self.trouble(at, *name, *spots, *harm, false),
            Action::Outage(name, harm) => self.trouble(at, *name, Spots::Both, *harm, true),
            Action::Heal(name) | Action::OutageOver(name) => {
                self.over(at, |t| t.name == *name && !t.link);
            }
            Action::Place(name, spots) => {
                if self.place(*name) != *spots {
                    self.places[*name].push((at, *spots));
                }
            }
            Action::Fault(name, ..) => self.fault(at, *name, false),
            Action::FaultOver(_) => self.faults_end(at, false),
            Action::DnsDown => self.fault(at, None, true),
            Action::DnsUp => self.faults_end(at, true),
            Action::LinkDown => {
                self.fault(at, None, true);
                for name in [APP.start, TLS.start, HTTP2.start, PLAIN] {
                    self.trouble(at, name, Spots::Both, Harm::Vanish, true);
                    self.troubles.last_mut().expect("just pushed").link = true;
                }
            }
            Action::LinkUp => {
                self.faults_end(at, true);
                self.over(at, |t| t.link);
            }
            Action::StopLeader(ms) => self.stops.push((Span::of(at, *ms), true)),
            Action::StopChild(_, ms) => self.stops.push((Span::of(at, *ms), false)),
            Action::KillLeader | Action::KillChild(_) => self.kills.push(at),
            Action::Reload(edition) => {
                self.reloads.push(at);
                self.disabled = Some((None, at));
                self.grown = None;
                if let Some(edition) = edition {
                    self.edition = edition.clone();
                }
            }
            Action::Disable(name) => self.disabled = Some((Some(*name), at)),
            Action::Enable(_) => self.disabled = Some((None, at)),
            Action::Grow => self.grown = Some(at),
        }
    }

    fn fault(&mut self, at: At, name: Option<usize>, down: bool) {
        let span = Span::begins(at);
        self.faults.push(Fault { span, name, down });
    }

    fn faults_end(&mut self, at: At, down: bool) {
        let open = self.faults.iter_mut().filter(|f| f.span.to.is_none());
        open.filter(|f| f.down == down)
            .for_each(|f| f.span.to = Some(at));
    }

    fn over(&mut self, at: At, which: impl Fn(&Trouble) -> bool) {
        let open = self.troubles.iter_mut().filter(|t| t.span.to.is_none());
        open.filter(|t| which(t)).for_each(|t| t.span.to = Some(at));
    }

    fn trouble(&mut self, at: At, name: usize, spots: Spots, harm: Harm, all: bool) {
        let to = harm.is_instant().then_some(at);
        self.troubles.push(Trouble {
            span: Span { from: at, to },
            name,
            spots,
            harm,
            all,
            link: false,
        });
    }

    pub fn place(&self, name: usize) -> Spots {
        self.places[name].last().expect("never empty").1
    }

    /// Since when.
    pub fn placed(&self, name: usize) -> At {
        self.places[name].last().expect("never empty").0
    }

    /// A request that lasted so long was answered by this machine: how many ms behind the last instant at which that
    /// was right it began.
    pub fn stale(&self, name: usize, spot: usize, start: At, end: At) -> Option<At> {
        let places = &self.places[name];
        let mut meanwhile = places.iter().filter(|(at, _)| (start..=end).contains(at));
        if meanwhile.any(|(_, s)| s.has(spot)) {
            return None;
        }
        // The last removal before the request; nothing is wrong while the machine is listed.
        let at = places.iter().rposition(|(at, _)| *at <= start)?;
        let listed = places[..=at].iter().rposition(|(_, s)| s.has(spot));
        let Some(listed) = listed else {
            return Some(start);
        };
        if listed == at {
            return None;
        }
        let removed = places[listed + 1].0;
        let due = self.known(name, removed);
        (start > due).then(|| start - due)
    }

    /// When a change that DNS made at `changed` must be in force everywhere.
    pub fn known(&self, name: usize, changed: At) -> At {
        let ttl = At::from(NAMES[name].ttl) * 1_000;
        let mut due = changed + ttl + 1_000 + GRACE;
        let mine = |f: &&Fault| f.name.is_none_or(|n| n == name);
        for fault in self.faults.iter().filter(mine) {
            if fault.span.meets(changed.saturating_sub(1_000), due, 8_000) {
                // The next try may be as far away as the failure was long.
                let over = fault.span.to.unwrap_or(At::MAX / 16);
                due = due.max(over + (over - fault.span.from) * 5 / 4 + 3_000);
            }
        }
        for (span, _) in self.stops.iter().filter(|(_, leads)| *leads) {
            if span.meets(changed, due, 0) {
                due = due.max(span.to.unwrap_or(due) + 3_000);
            }
        }
        let late = self.kills.iter().chain(&self.reloads);
        let count = late.filter(|at| **at + 1_000 >= changed && **at <= due);
        due + count.count() as At * TAKEOVER + 3 * self.stalled(changed, due)
    }

    /// Notes that the driver was not run for so long before `at`.
    pub fn stall(&mut self, at: At, length: At) {
        self.stalls.push((at, length));
    }

    /// How long this machine stood still about this time, for the driver.
    pub fn stalled(&self, from: At, to: At) -> At {
        let about = from.saturating_sub(2_000)..=to.saturating_add(2_000);
        let recent = self.stalls.iter().rev().take(500);
        recent
            .filter(|(at, _)| about.contains(at))
            .map(|(_, length)| length)
            .sum()
    }

    /// For how long some child stood still between the two.
    pub fn stopped(&self, from: At, to: At) -> At {
        let recent = self.stops.iter().rev().take(20);
        let part = |(span, _): &(Span, bool)| {
            let end = span.to.unwrap_or(to).min(to);
            end.saturating_sub(span.from.max(from))
        };
        recent.map(part).sum()
    }

    /// Nobody led within the last so many ms: the leader stood still.
    pub fn leaderless(&self, now: At, after: At) -> bool {
        let mut recent = self.stops.iter().rev().take(20);
        recent.any(|(span, leads)| *leads && span.meets(now, now, after))
    }

    /// DNS has failed since this name was placed where it is, or just before: nobody may know of it.
    pub fn may_be_unknown(&self, name: usize, now: At) -> bool {
        let mine = |f: &&Fault| f.name.is_none_or(|n| n == name);
        let mut mine = self.faults.iter().filter(mine);
        let placed = self.placed(name).saturating_sub(4_000);
        mine.any(|f| f.span.to.is_none_or(|to| to >= placed) && f.span.meets(now, now, 3_000))
    }

    /// DNS is well, and has been for longer than any back-off lasts.
    pub fn dns_is_calm(&self, name: usize, now: At) -> bool {
        let mine = |f: &&Fault| f.name.is_none_or(|n| n == name);
        let mut mine = self.faults.iter().filter(mine);
        !mine.any(|f| f.span.meets(now, now, 10_000))
    }

    /// Troubles of the pool of this name that may still be felt between the two.
    pub fn felt(&self, name: usize, from: At, to: At, after: At) -> impl Iterator<Item = &Trouble> {
        let pool = pool_of(name);
        let recent = self.troubles.iter().rev().take(40);
        recent.filter(move |t| pool.contains(&t.name) && t.span.meets(from, to, after))
    }

    /// How long before `at` a child was killed.
    pub fn since_kill(&self, at: At) -> At {
        let both = [&self.kills, &self.killed];
        let last = both
            .into_iter()
            .filter_map(|list| Truth::last_before(list, at));
        last.max().map_or(At::MAX, |kill| at - kill)
    }

    /// The last of these instants that is not behind `at`.
    pub fn last_before(list: &[At], at: At) -> Option<At> {
        list.iter().rev().find(|one| **one <= at).copied()
    }

    /// Members of the balancer `app` as they are configured: name, and whether by the second one.
    pub fn members(&self) -> impl Iterator<Item = (usize, bool)> {
        let edition = &self.edition;
        let there = APP.filter(|name| edition.without != Some(*name));
        there.map(|name| (name, edition.renamed == Some(name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use live_kit::Fault as Dns;

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
}
