//! How long a graceful restart waits for children to end.
//!
//! MPMs start new children in the places of those that have ended, and sleep a second when they find none
//! (mpm_common.c `ap_wait_or_timeout`); until then nobody accepts connections. Reading the configuration takes some
//! milliseconds, and so does the end of a child: whether the first look comes too early is chance.

/// So long for the first one.
const FIRST_MS: u64 = 50;
/// So long for the next one.
const NEXT_MS: u64 = 10;
/// So long in all: new children must not be kept back by the ends of many.
const ALL_MS: u64 = 250;

/// Children of the generation that ends.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Children {
    pub all: usize,
    pub ended: usize,
}

/// One wait.
#[derive(Debug)]
pub struct Patience {
    began_ms: u64,
    /// When another one was last seen to have ended, and how many they were.
    moved_ms: u64,
    ended: usize,
}

impl Patience {
    /// Begins at `now_ms`, monotonic milliseconds.
    pub const fn new(now_ms: u64) -> Self {
        Self {
            began_ms: now_ms,
            moved_ms: now_ms,
            ended: 0,
        }
    }

    /// Whether to look again in a moment.
    pub fn waits(&mut self, children: Children, now_ms: u64) -> bool {
        if children.ended > self.ended {
            self.ended = children.ended;
            self.moved_ms = now_ms;
        }
        let limit = if self.ended == 0 { FIRST_MS } else { NEXT_MS };
        children.ended < children.all
            && now_ms.saturating_sub(self.moved_ms) < limit
            && now_ms.saturating_sub(self.began_ms) < ALL_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn of(ended: usize, all: usize) -> Children {
        Children { all, ended }
    }

    #[test]
    fn nobody_to_wait_for() {
        assert!(!Patience::new(7).waits(of(0, 0), 7), "a start");
        assert!(!Patience::new(7).waits(of(3, 3), 7));
    }

    #[test]
    fn the_first_has_longer_than_the_next() {
        let mut patience = Patience::new(1_000);
        assert!(patience.waits(of(0, 3), 1_000));
        assert!(patience.waits(of(0, 3), 1_049));
        assert!(patience.waits(of(1, 3), 1_049));
        assert!(patience.waits(of(1, 3), 1_058));
        assert!(!patience.waits(of(1, 3), 1_059), "a long request");
        assert!(!Patience::new(0).waits(of(0, 3), 50), "all are busy");
    }

    #[test]
    fn as_long_as_it_goes_on_but_not_for_ever() {
        let mut patience = Patience::new(0);
        for ms in 0..250 {
            assert!(patience.waits(of(ms as usize, 256), ms), "{ms}");
        }
        assert!(!patience.waits(of(250, 256), 250));
    }

    /// A child that another one has waited for meanwhile is no step back.
    #[test]
    fn fewer_than_before() {
        let mut patience = Patience::new(0);
        assert!(patience.waits(of(2, 4), 0));
        assert!(patience.waits(of(1, 3), 9));
        assert!(!patience.waits(of(1, 3), 10));
    }
}
