//! Keeps many names from being asked for at the same instant: after a start all answers come at once, and with like
//! TTLs they would run out at once for ever.
//!
//! A refresh whose moment is crowded is put forward, never off. In the first TTL that is one question more for most
//! of many names; from then on they keep their distance.

use std::collections::HashMap;

/// What counts as the same moment, in milliseconds.
const MOMENT_MS: u64 = 100;
/// So many refreshes in a moment are no crowd, whatever their number would be if they were even.
const FEW: u32 = 10;
/// A crowd is more than the even number by this factor.
const CROWD: f64 = 1.5;
/// Other moments that are looked at; the emptiest is taken.
const TRIES: u32 = 8;
/// No name is asked for again so soon because of others, in milliseconds.
const LEAST_MS: u64 = 1_000;

/// When refreshes are due.
#[derive(Debug)]
pub struct Level {
    /// How many are booked for each moment.
    moments: HashMap<u64, u32>,
    /// Of each name: its moment, and its questions per moment.
    booked: Vec<Option<(u64, f64)>>,
    /// The number in each moment if all were even.
    even: f64,
}

impl Level {
    /// For so many names.
    pub fn new(names: usize) -> Self {
        Self {
            moments: HashMap::new(),
            booked: vec![None; names],
            even: 0.0,
        }
    }

    /// When a name is to be asked for that should be at `due_ms` at the latest; books it. Not later than that.
    pub fn book(
        &mut self,
        name: usize,
        now_ms: u64,
        due_ms: u64,
        mut rnd: impl FnMut() -> u32,
    ) -> u64 {
        self.cancel(name);
        let room = due_ms.saturating_sub(now_ms);
        if name >= self.booked.len() {
            return due_ms;
        }
        let share = share(room);
        self.even += share;
        let mut best = (self.count(due_ms), due_ms);
        if f64::from(best.0) >= (CROWD * self.even).max(f64::from(FEW)) {
            for _ in 0..TRIES {
                let earlier = (room.saturating_sub(LEAST_MS) * u64::from(rnd())) >> 32;
                let at = due_ms - earlier;
                best = best.min((self.count(at), at));
            }
        }
        self.enter(name, best.1, share);
        best.1
    }

    /// What another leader has booked, of a name with this TTL.
    pub fn resume(&mut self, name: usize, due_ms: u64, ttl_ms: u64) {
        self.cancel(name);
        if name < self.booked.len() {
            let share = share(ttl_ms);
            self.even += share;
            self.enter(name, due_ms, share);
        }
    }

    fn enter(&mut self, name: usize, due_ms: u64, share: f64) {
        let moment = due_ms / MOMENT_MS;
        self.booked[name] = Some((moment, share));
        *self.moments.entry(moment).or_default() += 1;
    }

    fn count(&self, at_ms: u64) -> u32 {
        let count = self.moments.get(&(at_ms / MOMENT_MS));
        count.copied().unwrap_or(0)
    }

    /// Takes back what was booked last.
    fn cancel(&mut self, name: usize) {
        let Some((moment, share)) = self.booked.get_mut(name).and_then(Option::take) else {
            return;
        };
        self.even = (self.even - share).max(0.0);
        if let Some(count) = self.moments.get_mut(&moment) {
            *count -= 1;
            if *count == 0 {
                self.moments.remove(&moment);
            }
        }
    }
}

/// Questions per moment at this TTL.
fn share(ttl_ms: u64) -> f64 {
    MOMENT_MS as f64 / ttl_ms.max(MOMENT_MS) as f64
}

#[cfg(test)]
mod tests {
    use super::{CROWD, FEW, LEAST_MS, Level, MOMENT_MS};
    use std::collections::HashMap;

    const TTL: u64 = 10_000;

    fn numbers() -> impl FnMut() -> u32 {
        let mut state = 88_172_645_463_325_252_u64;
        move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u32
        }
    }

    /// All names are asked for at once, then each when it is due; of each round the fullest moment, and the earliest
    /// refresh.
    fn rounds(names: usize, count: usize) -> Vec<(u32, u64)> {
        let (mut level, mut rnd) = (Level::new(names), numbers());
        let mut at = vec![1_000; names];
        let mut found = Vec::new();
        for _ in 0..count {
            let mut order: Vec<usize> = (0..names).collect();
            order.sort_by_key(|name| at[*name]);
            let mut earliest = u64::MAX;
            for name in order {
                let latest = at[name] + TTL + u64::from(rnd() % 250);
                let due = level.book(name, at[name], latest, &mut rnd);
                assert!(due <= latest, "late");
                earliest = earliest.min(due - at[name]);
                at[name] = due;
            }
            let mut moments: HashMap<u64, u32> = HashMap::new();
            at.iter()
                .for_each(|due| *moments.entry(due / MOMENT_MS).or_default() += 1);
            found.push((moments.into_values().max().unwrap_or(0), earliest));
        }
        found
    }

    #[test]
    fn many_names_are_even_from_the_second_round_on() {
        let rounds = rounds(2_000, 20);
        // 2,000 in 100 moments.
        let most = (1.4 * CROWD * 20.0) as u32;
        assert!(
            rounds.iter().all(|(fullest, _)| *fullest <= most),
            "{rounds:?}"
        );
        assert!(rounds[0].1 >= LEAST_MS);
    }

    #[test]
    fn few_names_keep_their_times() {
        let rounds = rounds(FEW as usize, 5);
        assert!(
            rounds.iter().all(|(_, earliest)| *earliest >= TTL),
            "{rounds:?}"
        );
    }

    #[test]
    fn a_new_leader_goes_on_with_what_the_last_one_booked() {
        let (mut level, mut rnd) = (Level::new(2_000), numbers());
        let due = |name: usize| 1_000 + 5 * name as u64;
        (0..2_000).for_each(|name| level.resume(name, due(name), TTL));
        let early = (0..2_000).filter(|name| {
            let latest = due(*name) + TTL;
            level.book(*name, due(*name), latest, &mut rnd) < latest
        });
        assert_eq!(early.count(), 0);
    }

    #[test]
    fn what_was_booked_before_does_not_count() {
        let mut level = Level::new(1);
        for n in 0..1_000 {
            assert_eq!(level.book(0, n, 5_000, || 7), 5_000);
        }
        assert_eq!(level.moments.len(), 1);
        assert_eq!(
            level.book(9, 0, 5_000, || 7),
            5_000,
            "a name that is not known"
        );
    }
}
