//! What is so, and since when: the model that answers and pages are held against. Pure; times are those of the run.

use crate::action::{Action, At, Edition, Harm, Spots};
use crate::schedule::pool_of;
use crate::site::{APP, HTTP2, NAMES, PLAIN, TLS};
use std::collections::BTreeMap;

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
    /// When a reload last gave a member another name, or brought it back: what is known of that name may be from long
    /// ago, and stays in force while DNS fails.
    renamed: BTreeMap<usize, At>,
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
            renamed: BTreeMap::new(),
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
                    let before: Vec<_> = self.members().collect();
                    self.edition = edition.clone();
                    let now: Vec<_> = self.members().collect();
                    let new = now.iter().filter(|member| !before.contains(member));
                    self.renamed.extend(new.map(|(name, _)| (*name, at)));
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
        let mut due = self.known(name, removed);
        if let Some(renamed) = self.renamed.get(&name).filter(|at| **at <= start) {
            due = due.max(self.known(name, *renamed));
        }
        (start > due).then(|| start - due)
    }

    /// When a change that DNS made at `changed` must be in force everywhere.
    pub fn known(&self, name: usize, changed: At) -> At {
        let ttl = At::from(NAMES[name].ttl) * 1_000;
        let mut due = changed + ttl + 1_000 + GRACE;
        let mine = |f: &&Fault| f.name.is_none_or(|n| n == name);
        // The next try may be as far away as the failure was long; one that begins before it goes on with it.
        let (mut began, mut tried) = (0, 0);
        for fault in self.faults.iter().filter(mine) {
            if fault.span.from > tried {
                began = fault.span.from;
            }
            let over = fault.span.to.unwrap_or(At::MAX / 16);
            tried = tried.max(over + ((over - began) * 5 / 4).min(36_000) + 3_000);
            if fault.span.from <= due && tried >= changed.saturating_sub(1_000) {
                due = due.max(tried);
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
mod tests;
