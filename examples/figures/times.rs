//! Times of log lines.

use std::time::SystemTime;

/// Seconds from `since` to the time of a line (`[Fri Nov 20 11:43:21.433122 2026] ..`), less than a quarter of an
/// hour: by that time zones differ.
pub fn seconds_after(since: SystemTime, line: &str) -> Option<f64> {
    const QUARTER: f64 = 900.0;
    let mut clock = line.split(' ').nth(3)?.split(':').skip(1);
    let (minutes, seconds) = (clock.next()?, clock.next()?);
    let at = minutes.parse::<f64>().ok()? * 60.0 + seconds.parse::<f64>().ok()?;
    let since = since.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some((at - since.as_secs_f64() % QUARTER).rem_euclid(QUARTER))
}
