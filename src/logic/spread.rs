//! Which address new connections dial first (`livespread`).
//!
//! httpd dials the head of the list, and the others in order only when that fails. So what was opened
//! while an address was the head is charged to it: each address gets the same share of first dials. A
//! head that got nothing of what was opened did not answer; it goes behind for a while, each time longer.

/// How long a head that did not answer stays behind the first time, in milliseconds; it doubles.
const BEHIND_MS: u64 = 2_000;
/// Doublings at most: 64 s.
const MISSES: u32 = 5;

/// The order of one worker's addresses in one child.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Spread {
    /// Connections charged to each address; the least is 0.
    charged: Vec<u32>,
    /// How often in a row each address was head and got nothing.
    missed: Vec<u32>,
    /// Until when each stays behind the others, in monotonic milliseconds.
    behind: Vec<u64>,
    order: Vec<usize>,
    /// The child's own start.
    offset: usize,
}

impl Spread {
    /// For `n` addresses, in rotation from the child's own `offset`.
    pub fn new(n: usize, offset: u64) -> Self {
        let mut spread = Self {
            charged: vec![0; n],
            missed: vec![0; n],
            behind: vec![0; n],
            order: Vec::new(),
            offset: (offset % n.max(1) as u64) as usize,
        };
        spread.sort(0);
        spread
    }

    /// Indices of the addresses in the order to dial them.
    pub fn order(&self) -> &[usize] {
        &self.order
    }

    /// Works in what was opened since the last call: `opened[i]` connections to address i, and
    /// `unseen` attempts that showed no connection. `now_ms` is monotonic. True when the order is another
    /// one now.
    pub fn count(&mut self, opened: &[u32], unseen: u32, now_ms: u64) -> bool {
        let Some(&head) = self.order.first() else {
            return false;
        };
        let sum = opened.iter().fold(0u32, |sum, n| sum.saturating_add(*n));
        let answered = opened.get(head).is_some_and(|n| *n > 0);
        if answered {
            self.missed[head] = 0;
        } else if sum > 0 {
            self.behind[head] = now_ms + (BEHIND_MS << self.missed[head].min(MISSES));
            self.missed[head] += 1;
        }
        self.charged[head] = self.charged[head].saturating_add(sum.saturating_add(unseen));
        self.settle(now_ms);
        let before = std::mem::take(&mut self.order);
        self.sort(now_ms);
        self.order != before
    }

    /// Keeps the charges small. One that stays behind falls back to the least of the others, so that it
    /// gets its share again later, not all that it missed.
    fn settle(&mut self, now_ms: u64) {
        let present = (0..self.charged.len()).filter(|i| self.behind[*i] <= now_ms);
        let least = present.map(|i| self.charged[i]).min().unwrap_or(0);
        for count in &mut self.charged {
            *count = count.saturating_sub(least);
        }
    }

    /// The least charged first; among equals the rotation decides (the sort is stable).
    fn sort(&mut self, now_ms: u64) {
        let n = self.charged.len();
        self.order = (0..n).map(|i| (self.offset + i) % n).collect();
        self.order
            .sort_by_key(|i| (self.behind[*i] > now_ms, self.charged[*i]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Opens `batches` of connections as httpd does: to the first living address of the order.
    fn run(alive: &[bool], offset: u64, batches: impl Iterator<Item = u32>) -> (Vec<u32>, u32) {
        let mut spread = Spread::new(alive.len(), offset);
        let (mut total, mut dead_first) = (vec![0; alive.len()], 0);
        for (batch, now) in batches.zip((1_000..).step_by(100)) {
            let mut opened = vec![0; alive.len()];
            let to = *spread.order().iter().find(|i| alive[**i]).unwrap();
            opened[to] = batch;
            total[to] += batch;
            if !alive[spread.order()[0]] {
                dead_first += batch;
            }
            spread.count(&opened, 0, now);
        }
        (total, dead_first)
    }

    #[test]
    fn children_start_at_different_addresses() {
        let first = |child| Spread::new(3, child).order()[0];
        assert_eq!([first(0), first(1), first(2), first(3)], [0, 1, 2, 0]);
        assert_eq!(Spread::new(3, 1).order(), [1, 2, 0]);
        assert!(Spread::new(0, 7).order().is_empty());
        assert!(!Spread::new(0, 7).count(&[], 9, 1));
        assert!(!Spread::new(1, u64::MAX).count(&[5], 1, 1));
    }

    #[test]
    fn uneven_batches_even_out() {
        let (total, _) = run(&[true; 3], 2, (0..300u32).map(|n| 1 + (n * 7919) % 13));
        let sum: u32 = total.iter().sum();
        for count in &total {
            assert!(count.abs_diff(sum / 3) <= 13, "{total:?}");
        }
    }

    /// An address that does not answer is dialled first ever more seldom, the others stay even.
    #[test]
    fn a_dead_address_goes_behind() {
        for offset in 0..3 {
            // A minute of ten batches a second.
            let (total, dead_first) = run(&[true, false, true], offset, (0..600).map(|_| 1));
            assert!(dead_first <= 6, "{dead_first} of 600 dialled it first");
            assert!(total[0].abs_diff(total[2]) <= 8, "{total:?}");
        }
    }

    #[test]
    fn an_address_that_is_back_gets_its_share() {
        let mut spread = Spread::new(2, 0);
        let mut total = [0u32; 2];
        for now in (1_000..400_000).step_by(100) {
            // The first minute address 0 is away; it is found back within the longest pause.
            let to = if now < 60_000 { 1 } else { spread.order()[0] };
            let mut opened = [0; 2];
            opened[to] = 1;
            if now > 130_000 {
                total[to] += 1;
            }
            spread.count(&opened, 0, now);
        }
        assert!(total[0].abs_diff(total[1]) <= 2, "{total:?}");
    }

    /// All are silent: they take turns.
    #[test]
    fn when_all_are_behind_the_order_still_turns() {
        let mut spread = Spread::new(2, 0);
        spread.count(&[0, 1], 0, 1_000);
        assert_eq!(spread.order(), [1, 0]);
        spread.count(&[1, 0], 0, 1_001);
        assert_eq!(spread.order().len(), 2);
    }

    /// Handlers without a connection record (fcgi, ajp) turn the list as well.
    #[test]
    fn unseen_attempts_turn_the_list() {
        let mut spread = Spread::new(3, 0);
        let heads: Vec<usize> = (0..6)
            .map(|_| {
                let head = spread.order()[0];
                spread.count(&[0; 3], 5, 1);
                head
            })
            .collect();
        assert_eq!(heads, [0, 1, 2, 0, 1, 2]);
    }
}
