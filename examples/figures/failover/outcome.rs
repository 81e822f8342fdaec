//! What became of the requests of one httpd, and the table.

use super::{Death, GIVE_UP, LENGTH};
use crate::arrivals::Met;
use live_kit::{Failure, Seen};
use std::collections::HashMap;
use std::time::Duration;

/// Of all rounds.
#[derive(Default)]
pub struct Outcome {
    gets: usize,
    failed_gets: usize,
    slowest: Duration,
    /// A client gave up.
    cut: bool,
    dropped: usize,
    posts: usize,
    failed_posts: usize,
    /// POSTs that reached the backends more than once.
    twice: usize,
    /// POSTs that reached a backend with another length than they were sent with.
    mangled: usize,
}

impl Outcome {
    pub fn gets(&mut self, met: &[Met]) {
        self.gets += met.len();
        self.failed_gets += failed(met);
        self.dropped += dropped(met);
        let slowest = met.iter().map(|one| one.took).max().unwrap_or_default();
        self.slowest = self.slowest.max(slowest);
        self.cut |= met.iter().any(|one| one.failure == Some(Failure::Timeout));
    }

    /// `seen`: at the backends; those with this `path` are ours.
    pub fn posts(&mut self, met: &[Met], seen: &[Seen], path: &str) {
        self.posts += met.len();
        self.failed_posts += failed(met);
        self.dropped += dropped(met);
        let ours = |s: &&Seen| s.method == "POST" && s.path.starts_with(path);
        let mut times: HashMap<u64, usize> = HashMap::new();
        for one in seen.iter().filter(ours) {
            *times.entry(one.id).or_default() += 1;
            self.mangled += usize::from(one.length != LENGTH);
        }
        self.twice += times.values().filter(|n| **n > 1).count();
    }

    pub fn print(&self, death: &str, variant: &str) {
        let slowest = match self.cut {
            true => format!("> {} s", GIVE_UP.as_secs()),
            false => format!("{:.2} s", self.slowest.as_secs_f64()),
        };
        row(
            [death, variant],
            [
                self.gets.to_string(),
                self.failed_gets.to_string(),
                slowest,
                self.dropped.to_string(),
                self.posts.to_string(),
                self.failed_posts.to_string(),
                self.twice.to_string(),
                self.mangled.to_string(),
            ],
        );
    }

    /// Whether this is what the module promises.
    pub fn kept(&self, death: Death) -> bool {
        let limit = match death {
            Death::Hung => Duration::from_secs(6),
            _ => Duration::from_secs(2),
        };
        let wrong = self.failed_gets + self.dropped + self.twice + self.mangled;
        wrong == 0 && self.slowest <= limit
    }
}

fn failed(met: &[Met]) -> usize {
    met.iter().filter(|one| one.backend.is_none()).count()
}

fn dropped(met: &[Met]) -> usize {
    let closed = |one: &&Met| one.failure == Some(Failure::ClosedWithoutAnswer);
    met.iter().filter(closed).count()
}

/// Prints the heads of the columns.
pub fn heads() {
    let columns = [
        "GETs", "failed", "slowest", "dropped", "POSTs", "failed", "twice", "mangled",
    ];
    row(["", ""], columns.map(str::to_owned));
}

fn row(first: [&str; 2], values: [String; 8]) {
    let [death, variant] = first;
    let values: String = values.iter().map(|v| format!("{v:>8}")).collect();
    println!("{death:<10} {variant:<14}{values}");
}
