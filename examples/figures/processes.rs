//! What /proc tells about the leading child.

use live_kit::{Httpd, eventually};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Clock ticks of /proc in a second: USER_HZ is 100 on all of Linux.
const TICKS: f64 = 100.0;

/// The thread that only a leading child has.
pub struct Monitor {
    pub pid: u32,
    tid: String,
}

impl Monitor {
    /// Waits until a child leads.
    pub fn find(httpd: &Httpd) -> Monitor {
        let mut found = None;
        eventually(Duration::from_secs(10), || {
            found = httpd.children().into_iter().find_map(of);
            found.is_some()
        });
        found.expect("a leading child")
    }

    /// CPU time used so far, in seconds; 0 when the thread is gone.
    pub fn cpu(&self) -> f64 {
        cpu(&format!("/proc/{}/task/{}/stat", self.pid, self.tid))
    }
}

/// CPU time of all threads of a process so far, in seconds; 0 when it is gone.
pub fn cpu_of(pid: u32) -> f64 {
    cpu(&format!("/proc/{pid}/stat"))
}

/// The same to the nanosecond: of threads that use less than a clock tick, too. Without those that have ended.
pub fn exact_cpu_of(pid: u32) -> f64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter();
    let paths = tasks.flatten().flatten().map(|task| task.path());
    paths.map(|path| on_cpu(&path)).sum()
}

/// Seconds that a thread was on the CPU.
fn on_cpu(task: &Path) -> f64 {
    let stat = fs::read_to_string(task.join("schedstat")).unwrap_or_default();
    let nanoseconds = stat.split(' ').next().and_then(|n| n.parse::<f64>().ok());
    nanoseconds.unwrap_or(0.0) / 1e9
}

/// CPU time of the threads that answer requests, in seconds: all but those of the module.
pub fn serving_cpu(httpd: &Httpd) -> f64 {
    let tasks = |pid| fs::read_dir(format!("/proc/{pid}/task")).into_iter();
    let all = httpd.children().into_iter().flat_map(tasks);
    let threads = all.flatten().flatten().map(|task| task.path());
    threads
        .filter(|path| {
            let name = fs::read_to_string(path.join("comm"));
            name.is_ok_and(|name| !name.starts_with("live-"))
        })
        // Clock ticks would be too coarse for so many threads.
        .map(|path| on_cpu(&path))
        .sum()
}

fn cpu(stat: &str) -> f64 {
    let stat = fs::read_to_string(stat).unwrap_or_default();
    // proc(5): behind the name in brackets comes field 3; user and system time are 14 and 15.
    let fields = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let ticks = fields.split(' ').skip(11).take(2);
    ticks.filter_map(|n| n.parse::<f64>().ok()).sum::<f64>() / TICKS
}

fn of(pid: u32) -> Option<Monitor> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let found = tasks.flatten().find(|task| {
        let name = fs::read_to_string(task.path().join("comm"));
        name.is_ok_and(|name| name.trim_end() == "live-monitor")
    })?;
    let tid = found.file_name().to_string_lossy().into_owned();
    Some(Monitor { pid, tid })
}

/// Size and resident part, in KiB, of the largest anonymous memory that a process shares with others: the board.
pub fn board_kib(pid: u32) -> (u64, u64) {
    let maps = fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap_or_default();
    let (mut shared, mut size, mut largest) = (false, 0, (0, 0));
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let first = words.next().unwrap_or_default();
        let number = words.next().and_then(|n| n.parse().ok()).unwrap_or(0);
        match first {
            "Size:" => size = number,
            "Rss:" if shared => largest = largest.max((size, number)),
            _ if !first.ends_with(':') => shared = line.contains("/dev/zero (deleted)"),
            _ => {}
        }
    }
    largest
}
