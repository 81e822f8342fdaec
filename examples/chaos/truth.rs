//! What is so, and since when: the model that answers and pages are held against. Pure; times are those of the run.

use crate::action::{Action, At, Edition, Harm, Spots};
use crate::schedule::pool_of;
use crate::site::{APP, NAMES};

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
}

struct Fault {
    span: Span,
    name: Option<usize>,
}

pub struct Truth {
    /// Of each name: since when it has been where, oldest first.
    places: Vec<Vec<(At, Spots)>>,
    pub troubles: Vec<Trouble>,
    faults: Vec<Fault>,
    /// kill -9 of children: just before, and just after.
    pub kills: Vec<At>,
    pub killed: Vec<At>,
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
                let open = self.troubles.iter_mut().filter(|t| t.span.to.is_none());
                open.filter(|t| t.name == *name)
                    .for_each(|t| t.span.to = Some(at));
            }
            Action::Place(name, spots) => {
                if self.place(*name) != *spots {
                    self.places[*name].push((at, *spots));
                }
            }
            Action::Fault(name, ..) => self.faults.push(Fault {
                span: Span::begins(at),
                name: *name,
            }),
            Action::FaultOver(_) => {
                if let Some(last) = self.faults.last_mut() {
                    last.span.to = Some(at);
                }
            }
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

    fn trouble(&mut self, at: At, name: usize, spots: Spots, harm: Harm, all: bool) {
        let to = harm.is_instant().then_some(at);
        self.troubles.push(Trouble {
            span: Span { from: at, to },
            name,
            spots,
            harm,
            all,
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
    fn reloads_enable_members() {
        let mut truth = Truth::new();
        truth.note(1, &Action::Disable(2));
        truth.note(2, &Action::Reload(None));
        assert_eq!(truth.disabled, Some((None, 2)));
    }
}
