//! How many requests may be rescued: a share of those under way and a few more in each second, so that
//! backends which fail all the time are not given twice the work.

/// Rescues in one second for 100 requests under way.
const SHARE_PERCENT: u64 = 100;
/// Rescues that each second allows in any case.
const PER_SECOND: u64 = 10;
/// A second that lies further ahead is none that another child's clock has shown.
const AHEAD_S: u32 = 2;

/// Whether one more rescue is allowed, and the budget's word with it counted.
///
/// The word holds a second (of the monotonic clock) in its high 32 bits, below it the most requests that were
/// under way in that second, and in the low 16 bits its rescues. The most, because requests that fail together
/// are fewer with each one that was rescued. A second a little ahead counts as this one: another child has just
/// seen the clock tick. One far ahead, or in the past, is over. So whatever the word says, it forbids nothing
/// for long.
pub const fn allows(word: u64, now_s: u64, running: u64) -> Option<u64> {
    let (second, most, spent) = ((word >> 32) as u32, word as u32 >> 16, word & LOW);
    let now = now_s as u32;
    let (second, most, spent) = if second.wrapping_sub(now) <= AHEAD_S {
        (second, most as u64, spent)
    } else {
        (now, 0, 0)
    };
    let running = if running < LOW { running } else { LOW };
    let most = if running > most { running } else { most };
    if spent < LOW && spent < most * SHARE_PERCENT / 100 + PER_SECOND {
        Some((second as u64) << 32 | most << 16 | (spent + 1))
    } else {
        None
    }
}

/// The most that 16 bits hold.
const LOW: u64 = 0xffff;

#[cfg(test)]
mod tests {
    use super::*;

    /// Rescues that one second gives from this word on, at most 10,000, and the word after it.
    fn spend(mut word: u64, now_s: u64, running: u64) -> (u32, u64) {
        let mut count = 0;
        while count < 10_000
            && let Some(next) = allows(word, now_s, running)
        {
            (count, word) = (count + 1, next);
        }
        (count, word)
    }

    #[test]
    fn a_share_and_a_few_more() {
        for (running, wanted) in [(0, 10), (1, 11), (16, 26), (400, 410), (u64::MAX, 10_000)] {
            assert_eq!(spend(0, 77, running).0, wanted, "{running} running");
        }
    }

    /// Requests that die together are fewer with each one that was rescued.
    #[test]
    fn all_that_die_together_are_rescued() {
        let mut word = 0;
        for left in (1..=200).rev() {
            word = allows(word, 77, left).expect("its share");
        }
        let (count, _) = spend(word, 77, 0);
        assert_eq!(count, 10, "then only the few");
    }

    #[test]
    fn each_second_begins_anew() {
        let mut word = 0;
        for now in [5, 6, 7, 100] {
            let (count, after) = spend(word, now, 0);
            assert_eq!(count, 10, "second {now}");
            assert_eq!(allows(after, now, 0), None);
            // More requests under way: more room in the same second.
            let (more, _) = spend(after, now, 3);
            assert_eq!(more, 3);
            word = after;
        }
    }

    /// Children that read the clock just before and just after a tick share one budget.
    #[test]
    fn the_tick_gives_no_second_budget() {
        let (mut word, mut counts) = (0, 0);
        for turn in 0..100 {
            if let Some(next) = allows(word, 9 + turn % 2, 0) {
                (word, counts) = (next, counts + 1);
            }
        }
        // One in the old second, ten in the new one.
        assert_eq!(counts, 11);
    }

    #[test]
    fn no_word_forbids_for_long() {
        let words = (0..64)
            .map(|bit| 1 << bit)
            .chain([0, u64::MAX, u32::MAX.into()]);
        for word in words.flat_map(|w| [w, !w, w | 0xffff_ffff]) {
            for now in [0, 1, 1_000_000, u64::from(u32::MAX), u64::MAX, 1 << 40] {
                let open = |wait: &u64| spend(word, u64::wrapping_add(now, *wait), 0).0 == 10;
                assert!((0..4).any(|wait| open(&wait)), "{word:x} at {now}");
            }
        }
        // Its counts cannot overflow into each other.
        let full = 5 << 32 | u64::from(u32::MAX);
        assert_eq!(allows(full, 5, u64::MAX), None);
        let almost = full - 1;
        assert_eq!(allows(almost, 5, u64::MAX), Some(full));
        // The clock went far back.
        assert_eq!(spend(900 << 32 | 50, 5, 0).0, 10);
    }
}
