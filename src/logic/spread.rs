//! Which address new connections dial first (`livespread`).
//!
//! httpd dials the head of the list, and the others in order only when that fails. So what was opened
//! while an address was the head is charged to it: each address gets the same share of first dials. A
//! head that got nothing of what was opened did not answer; it goes behind for a while, each time longer.
//! Health comes first: addresses that the probes think worse of are listed behind the others.

/// How long a head that did not answer stays behind the first time, in milliseconds; it doubles.
const BEHIND_MS: u64 = 2_000;
/// So long after one head went behind, connects that began before the turn may still end elsewhere (a default
/// time-out of connects and a little): they say nothing about the next head.
const STRAGGLERS_MS: u64 = 1_200;
/// How long an address at which a request has just failed is dialled last, in milliseconds.
const AVOIDED_MS: u64 = 1_000;
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
    /// When a head was put behind last; None for never.
    turned_ms: Option<u64>,
    /// Health of each: 0 up, 1 unknown or failing, 2 down.
    classes: Vec<u8>,
    /// The address that requests have just failed at, and until when it is the last resort.
    avoided: Option<(usize, u64)>,
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
            turned_ms: None,
            classes: vec![0; n],
            avoided: None,
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
        } else if sum > 0 && self.turned_ms.is_none_or(|at| now_ms >= at + STRAGGLERS_MS) {
            self.turned_ms = Some(now_ms);
            self.behind[head] = now_ms + (BEHIND_MS << self.missed[head].min(MISSES));
            self.missed[head] += 1;
        }
        self.charged[head] = self.charged[head].saturating_add(sum.saturating_add(unseen));
        self.resort(now_ms)
    }

    /// Works in the health of the addresses: `classes[i]` of address i, as
    /// [`AddrHealth::class`](super::health::AddrHealth::class) gives it; a missing one is unknown.
    /// `now_ms` is monotonic. True when the order is another one now.
    pub fn set_classes(&mut self, classes: &[u8], now_ms: u64) -> bool {
        for (i, class) in self.classes.iter_mut().enumerate() {
            let new = classes.get(i).copied().unwrap_or(1);
            if new == 0 && *class != 0 {
                // A probe was answered: that is newer than what its connections told.
                (self.missed[i], self.behind[i]) = (0, 0);
            }
            *class = new;
        }
        self.resort(now_ms)
    }

    /// Lists the address last for a moment, whatever its probes say. True when the order is another one now.
    pub fn avoid(&mut self, at: usize, now_ms: u64) -> bool {
        self.avoided = Some((at, now_ms + AVOIDED_MS));
        self.resort(now_ms)
    }

    /// Whether an address is avoided, so that the order will be another one soon.
    pub const fn avoids(&self) -> bool {
        self.avoided.is_some()
    }

    /// Brings the order up to date with the clock. True when it is another one now.
    pub fn resort(&mut self, now_ms: u64) -> bool {
        self.avoided = self.avoided.filter(|(_, until)| *until > now_ms);
        self.settle(now_ms);
        let before = std::mem::take(&mut self.order);
        self.sort(now_ms);
        self.order != before
    }

    /// Keeps the charges small. One that stays behind, or is not as healthy as the best, falls back to the
    /// least of the others, so that it gets its share again later, not all that it missed.
    fn settle(&mut self, now_ms: u64) {
        let best = self.classes.iter().min().copied().unwrap_or(0);
        let present = (0..self.charged.len())
            .filter(|i| self.classes[*i] == best && self.behind[*i] <= now_ms);
        let least = present.map(|i| self.charged[i]).min().unwrap_or(0);
        for count in &mut self.charged {
            *count = count.saturating_sub(least);
        }
    }

    /// The healthiest first, then the least charged; among equals the rotation decides (the sort is stable).
    fn sort(&mut self, now_ms: u64) {
        let n = self.charged.len();
        self.order = (0..n).map(|i| (self.offset + i) % n).collect();
        let avoided = self.avoided.map(|(at, _)| at);
        self.order.sort_by_key(|i| {
            let behind = self.behind[*i] > now_ms;
            (
                avoided == Some(*i),
                self.classes[*i],
                behind,
                self.charged[*i],
            )
        });
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
    fn an_address_at_which_a_request_failed_is_last_for_a_moment() {
        let mut spread = Spread::new(3, 0);
        spread.set_classes(&[0, 1, 1], 1_000);
        assert_eq!(spread.order(), [0, 1, 2]);
        assert!(spread.avoid(0, 1_000) && spread.avoids());
        assert_eq!(spread.order(), [1, 2, 0]);
        assert!(!spread.resort(1_900));
        assert!(spread.resort(2_000) && !spread.avoids());
        assert_eq!(spread.order(), [0, 1, 2]);
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

    /// A connect to the dead head that began last ends after the turn, at another address than the new head.
    #[test]
    fn stragglers_are_no_evidence_against_the_next_head() {
        let mut spread = Spread::new(3, 0);
        spread.count(&[0, 1, 0], 0, 1_000);
        let next = spread.order()[0];
        assert_ne!(next, 0, "the dead head is behind");
        let mut other = [0; 3];
        other[3 - next] = 1;
        spread.count(&other, 0, 1_100);
        assert_eq!((spread.missed[next], spread.behind[next]), (0, 0));
        // A second dead one is found out a little later.
        let head = spread.order()[0];
        let mut elsewhere = [0; 3];
        elsewhere[3 - head] = 1;
        spread.count(&elsewhere, 0, 1_100 + STRAGGLERS_MS);
        assert_eq!(spread.missed[head], 1);
    }

    #[test]
    fn the_healthy_come_first() {
        let mut spread = Spread::new(3, 1);
        assert_eq!(spread.order(), [1, 2, 0]);
        assert!(!spread.set_classes(&[0, 0, 0], 1_000));
        assert!(spread.set_classes(&[0, 2, 1], 1_000));
        assert_eq!(spread.order(), [0, 2, 1]);
        assert!(!spread.set_classes(&[0, 2, 1], 1_001));
        // Charges turn only those that are equally healthy.
        for now in 1_002..1_020 {
            spread.count(&[3, 0, 0], 0, now);
            assert_eq!(spread.order(), [0, 2, 1]);
        }
        // All are down: the rotation goes on.
        assert!(spread.set_classes(&[2, 2, 2], 1_020));
        assert_eq!(spread.order().len(), 3);
        // What is missing is unknown; what is too much is ignored.
        spread.set_classes(&[0], 1_021);
        assert_eq!(spread.order()[0], 0);
        spread.set_classes(&[1, 1, 0, 0, 0], 1_022);
        assert_eq!(spread.order()[0], 2);
        assert!(!Spread::new(0, 0).set_classes(&[1], 1));
    }

    /// An address that was down for a while does not get all connections when it is back.
    #[test]
    fn an_address_that_is_healthy_again_gets_its_share() {
        let mut spread = Spread::new(3, 0);
        let mut total = [0u32; 3];
        for now in 0..3_000 {
            let down = (1_000..2_000).contains(&now);
            spread.set_classes(&[0, if down { 2 } else { 0 }, 0], now);
            let head = spread.order()[0];
            assert!(!(down && head == 1));
            let mut opened = [0; 3];
            opened[head] = 1;
            spread.count(&opened, 0, now);
            if now >= 2_000 {
                total[head] += 1;
            }
        }
        assert!(total.iter().all(|n| (330..=336).contains(n)), "{total:?}");
    }

    /// Behind because its connections failed: an answered probe is newer than that.
    #[test]
    fn a_probe_ends_the_time_behind() {
        let mut spread = Spread::new(2, 0);
        for now in [1_000, 10_000, 100_000] {
            while spread.order()[0] != 0 {
                spread.count(&[0, 1], 0, now);
            }
            spread.count(&[0, 1], 0, now);
        }
        assert_eq!(spread.order(), [1, 0]);
        spread.set_classes(&[2, 0], 100_001);
        assert!(spread.behind[0] > 100_002 && spread.missed[0] == 3);
        spread.set_classes(&[0, 0], 100_002);
        assert_eq!((spread.behind[0], spread.missed[0]), (0, 0));
    }
}
