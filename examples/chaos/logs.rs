//! Log files, read as they grow.

use crate::action::At;
use crate::judge::Sent;
use crate::site::name_of;
use live_kit::Line;
use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

/// The new whole lines of a file, each time.
pub struct Tail {
    path: PathBuf,
    offset: u64,
    rest: String,
}

impl Tail {
    pub fn of(path: PathBuf) -> Tail {
        Tail {
            path,
            offset: 0,
            rest: String::new(),
        }
    }

    pub fn lines(&mut self) -> Vec<String> {
        let mut bytes = Vec::new();
        let read = File::open(&self.path).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.offset))?;
            file.read_to_end(&mut bytes)
        });
        self.offset += read.unwrap_or(0) as u64;
        self.rest += &String::from_utf8_lossy(&bytes);
        let whole = self.rest.rfind('\n').map_or(0, |at| at + 1);
        let rest = self.rest.split_off(whole);
        let lines = std::mem::replace(&mut self.rest, rest);
        lines.lines().map(str::to_owned).collect()
    }
}

/// The error log of a server.
pub struct Errors {
    tail: Tail,
    expected: &'static [&'static str],
    /// Lines of the last minute or so, with the time at which they were read.
    recent: VecDeque<(At, String)>,
    /// Generations that have begun to serve.
    pub generations: usize,
}

/// So many lines are kept for reports.
const RECENT: usize = 4_000;

impl Errors {
    pub fn of(path: PathBuf, expected: &'static [&'static str]) -> Errors {
        Errors {
            tail: Tail::of(path),
            expected,
            recent: VecDeque::new(),
            generations: 0,
        }
    }

    /// New lines that nobody has announced.
    pub fn read(&mut self, now: At) -> Vec<String> {
        let mut wrong = Vec::new();
        for text in self.tail.lines() {
            self.generations += usize::from(text.contains("resuming normal operations"));
            let line = Line::parse(&text);
            let known = self.expected.iter().any(|e| text.contains(e));
            if line.is_trouble() && !known && !text.trim().is_empty() {
                wrong.push(text.clone());
            }
            self.recent.push_back((now, text));
        }
        let more = self.recent.len().saturating_sub(RECENT);
        self.recent.drain(..more);
        wrong
    }

    /// Lines read between the two that are the module's, or say something of proxied requests.
    pub fn between(&self, from: At, to: At) -> Vec<&str> {
        let told = |text: &str| {
            ["proxy", "mpm_", "ssl:", "http2:", "core:"]
                .iter()
                .any(|m| text.contains(&format!("[{m}")))
        };
        let within = self
            .recent
            .iter()
            .filter(|(at, _)| (from..=to).contains(at));
        within
            .map(|(_, text)| text.as_str())
            .filter(|text| told(text))
            .collect()
    }
}

/// The access log that [`crate::site`] configures.
pub struct Access {
    tail: Tail,
    /// By number of request: when the line was read, and the line.
    lines: HashMap<u64, (At, String)>,
    /// When rescues were read.
    rescues: VecDeque<At>,
    pub rescued: usize,
}

/// Lines are forgotten after so long.
const MEMORY: At = 90_000;

impl Access {
    pub fn of(path: PathBuf) -> Access {
        Access {
            tail: Tail::of(path),
            lines: HashMap::new(),
            rescues: VecDeque::new(),
            rescued: 0,
        }
    }

    pub fn read(&mut self, now: At) {
        for line in self.tail.lines() {
            let mut words = line.split(' ');
            let number = words.next().and_then(|n| n.parse().ok());
            let Some(number) = number else { continue };
            if words
                .nth(3)
                .is_some_and(|rescue| !matches!(rescue, "-" | ""))
            {
                self.rescues.push_back(now);
                self.rescued += 1;
            }
            self.lines.insert(number, (now, line));
        }
        self.lines.retain(|_, (at, _)| *at + MEMORY > now);
        while self.rescues.front().is_some_and(|at| at + MEMORY < now) {
            self.rescues.pop_front();
        }
    }

    pub fn line(&self, number: u64) -> Option<&str> {
        self.lines.get(&number).map(|(_, line)| line.as_str())
    }

    /// Who answered it.
    pub fn child(&self, number: u64) -> Option<u32> {
        self.line(number)?.split(' ').nth(1)?.parse().ok()
    }

    /// Which member it was sent to last, as far as the log has it.
    pub fn sent(&self, number: u64) -> Sent {
        let Some(line) = self.line(number) else {
            return Sent::Unknown;
        };
        let mut words = line.split(' ').skip(5).filter_map(name_of);
        words.next().map_or(Sent::Nowhere, Sent::To)
    }

    /// Rescues about the second before `at`.
    pub fn rescues(&self, at: At) -> usize {
        let about = at.saturating_sub(1_200)..=at + 600;
        self.rescues
            .iter()
            .filter(|one| about.contains(one))
            .count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_requests_went() {
        let mut access = Access::of(PathBuf::new());
        let mut note = |number: u64, rest: &str| {
            let line = format!("{number} 17 502 1 - {rest}");
            access.lines.insert(number, (0, line));
        };
        note(1, "http://xm2.test:9000 -");
        note(2, "https://t0.test:9443 127.1.5.1:9443");
        note(3, "- 127.1.8.2:9000");
        note(4, "- -");
        let sent: Vec<_> = (1..6).map(|n| access.sent(n)).collect();
        let to = Sent::To;
        assert_eq!(sent, [to(2), to(4), to(7), Sent::Nowhere, Sent::Unknown]);
    }

    #[test]
    fn lines_come_whole() {
        let path = std::env::temp_dir().join(format!("chaos-tail-{}", std::process::id()));
        let mut tail = Tail::of(path.clone());
        assert!(tail.lines().is_empty());
        std::fs::write(&path, "one\ntw").expect("file");
        assert_eq!(tail.lines(), ["one"]);
        std::fs::write(&path, "one\ntwo\n").expect("file");
        assert_eq!(tail.lines(), ["two"]);
        std::fs::remove_file(&path).expect("file");
    }
}
