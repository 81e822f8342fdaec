//! What /proc tells about processes.

use rustix::process::{Pid, Signal, kill_process};
use std::fs;

/// Sends a signal; nothing happens when the process is gone.
pub fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// Pids of the living children of `parent`, lowest first; zombies are not alive.
pub fn children_of(parent: u32) -> Vec<u32> {
    let mut found: Vec<u32> = all()
        .into_iter()
        .filter(|p| p.parent == parent && p.alive())
        .map(|p| p.pid)
        .collect();
    found.sort_unstable();
    found
}

/// Number of threads of a process; 0 when it is gone.
pub fn threads(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count)
}

/// Names of the threads of a process (its own first); empty when it is gone.
pub fn thread_names(pid: u32) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten();
    let name = |e: fs::DirEntry| fs::read_to_string(e.path().join("comm")).ok();
    entries
        .filter_map(name)
        .map(|n| n.trim_end().to_owned())
        .collect()
}

/// What the descriptors of a process point to (`socket:[..]`, paths); empty when it is gone.
pub fn descriptors(pid: u32) -> Vec<String> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return Vec::new();
    };
    let link = |e: fs::DirEntry| {
        fs::read_link(e.path())
            .ok()
            .map(|p| p.display().to_string())
    };
    entries.flatten().filter_map(link).collect()
}

/// Peak resident memory in KiB (`VmHWM`); 0 when it is gone.
pub fn peak_memory_kib(pid: u32) -> u64 {
    status_number(pid, "VmHWM:")
}

/// Resident memory that is not backed by files, in KiB (`RssAnon`); 0 when it is gone.
pub fn memory_kib(pid: u32) -> u64 {
    status_number(pid, "RssAnon:")
}

fn status_number(pid: u32, key: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|l| l.strip_prefix(key));
    line.and_then(|l| l.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// Command line of a process, blanks between the words; empty when it is gone.
pub(crate) fn command_line(pid: u32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}

pub(crate) struct Process {
    pub pid: u32,
    pub parent: u32,
    pub state: char,
    pub name: String,
}

impl Process {
    pub(crate) fn alive(&self) -> bool {
        !matches!(self.state, 'Z' | 'X')
    }
}

/// Every process of this process namespace.
pub(crate) fn all() -> Vec<Process> {
    let entries = fs::read_dir("/proc").expect("/proc is mounted");
    let pids = entries
        .flatten()
        .filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?))
        .collect()
}

/// proc(5): `pid (name) state ppid ...`; the name may hold blanks and brackets.
fn parse_stat(text: &str) -> Option<Process> {
    let (pid, rest) = text.split_once(" (")?;
    let (name, rest) = rest.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?.chars().next()?;
    Some(Process {
        pid: pid.parse().ok()?,
        parent: fields.next()?.parse().ok()?,
        state,
        name: name.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::parse_stat;

    #[test]
    fn stat_lines() {
        let p = parse_stat("17 (a) b) S 4 17 17 0").expect("valid line");
        assert_eq!(
            (p.pid, p.parent, p.state, p.name.as_str()),
            (17, 4, 'S', "a) b")
        );
        assert!(parse_stat("nonsense").is_none());
    }
}
