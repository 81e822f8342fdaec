//! What /proc/PID/smaps_rollup tells.

use std::fs;

/// Memory that no other process shares, in KiB; 0 when it is gone.
pub fn private_kib(pid: u32) -> u64 {
    sum(pid, &["Private_Clean:", "Private_Dirty:"])
}

/// The same, and a share of what others share as well.
pub fn pss_kib(pid: u32) -> u64 {
    sum(pid, &["Pss:"])
}

fn sum(pid: u32, keys: &[&str]) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let of = |line: &str| {
        let mut words = line.split_whitespace();
        let wanted = words.next().is_some_and(|key| keys.contains(&key));
        wanted.then(|| words.next()?.parse::<u64>().ok()).flatten()
    };
    text.lines().filter_map(of).sum()
}
