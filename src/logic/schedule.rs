//! When a name is asked for next: bounds of the TTL, jitter, backoff.

use std::time::Duration;

/// The most that a refresh comes after the expiry of the TTL, in milliseconds.
pub const MAX_JITTER_MS: u64 = 250;
/// Pause after the first failure, in milliseconds; it doubles with each further one.
pub const FIRST_BACKOFF_MS: u64 = 1_000;
/// The longest pause between two tries of what fails, in milliseconds, before jitter.
pub const LAST_BACKOFF_MS: u64 = 30_000;

/// The TTL in force in milliseconds: that of the answer, in seconds, within its bounds.
/// When the bounds contradict each other the lower one wins.
pub fn ttl_ms(ttl: u32, min: Duration, max: Duration) -> u64 {
    let (min, max) = (millis(min), millis(max));
    (u64::from(ttl) * 1_000).min(max).max(min)
}

/// Milliseconds from an answer to its refresh: just after the TTL, spread by at most
/// a tenth of it. `rnd` is any random number.
pub fn refresh_after(ttl_ms: u64, rnd: u32) -> u64 {
    let room = (ttl_ms / 10).min(MAX_JITTER_MS);
    ttl_ms.saturating_add(part(room, rnd))
}

/// Milliseconds to the next try after `failures` (1 and up) failures in a row:
/// 1 s doubling to 30 s, and up to a fifth more. `rnd` is any random number.
pub fn backoff(failures: u32, rnd: u32) -> u64 {
    let doublings = failures.saturating_sub(1).min(16);
    let pause = (FIRST_BACKOFF_MS << doublings).min(LAST_BACKOFF_MS);
    pause + part(pause / 5, rnd)
}

/// A share of `room` (both ends included) in proportion to `rnd`.
fn part(room: u64, rnd: u32) -> u64 {
    ((room + 1) * u64::from(rnd)) >> 32
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn the_ttl_keeps_within_its_bounds() {
        let cases = [
            (0, SECOND, HOUR, 1_000),
            (1, SECOND, HOUR, 1_000),
            (5, SECOND, HOUR, 5_000),
            (1_000_000, SECOND, HOUR, 3_600_000),
            (u32::MAX, SECOND, Duration::MAX, 4_294_967_295_000),
            (0, Duration::from_millis(200), HOUR, 200),
            (60, SECOND, Duration::from_millis(1_500), 1_500),
            (60, HOUR, SECOND, 3_600_000),
        ];
        for (ttl, min, max, wanted) in cases {
            assert_eq!(ttl_ms(ttl, min, max), wanted, "{ttl} in {min:?}-{max:?}");
        }
    }

    #[test]
    fn a_refresh_comes_just_after_expiry() {
        for (ttl, latest) in [(1_000, 1_100), (2_500, 2_750), (60_000, 60_250), (0, 0)] {
            assert_eq!(refresh_after(ttl, 0), ttl);
            assert_eq!(refresh_after(ttl, u32::MAX), latest);
        }
        assert_eq!(refresh_after(u64::MAX, u32::MAX), u64::MAX);
    }

    #[test]
    fn the_backoff_doubles_to_its_end() {
        let pauses: Vec<_> = (0..9).map(|failures| backoff(failures, 0)).collect();
        let wanted = [
            1_000, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000,
        ];
        assert_eq!(pauses, wanted);
        assert_eq!(backoff(u32::MAX, 0), LAST_BACKOFF_MS);
        assert_eq!(backoff(1, u32::MAX), 1_200);
        assert_eq!(backoff(40, u32::MAX), 36_000);
        assert!((1..40).all(|n| backoff(n, 7 << 28) <= backoff(n + 1, 7 << 28)));
    }
}
