//! What requests of a httpd meet beside something else that goes on: as many as possible, and a steady few.

use live_kit::{LoadBuilder, Record};
use std::time::{Duration, Instant};

/// How long each load takes.
pub const ROUND: Duration = Duration::from_secs(1);

#[derive(Default)]
pub struct Beside {
    per_second: Vec<f64>,
    /// Of the steady ones, in milliseconds.
    took: Vec<f64>,
    failed: usize,
}

impl Beside {
    pub fn add(&mut self, load: LoadBuilder) {
        let began = Instant::now();
        let fast = load.clone().pause(Duration::ZERO).run(ROUND);
        self.per_second
            .push(fast.len() as f64 / began.elapsed().as_secs_f64());
        let steady = load.run(ROUND);
        let millis = |r: &Record| r.took.as_secs_f64() * 1e3;
        self.took.extend(steady.0.iter().map(millis));
        // A busy event MPM closes kept-alive connections, now and then under a request: with stock httpd as well.
        self.failed += fast.failed().len() + steady.failed().len();
    }

    pub fn print(&self, what: &str) {
        let (per_second, took) = (sorted(&self.per_second), sorted(&self.took));
        println!(
            "{what:<58} {:.0}/s at full speed; steady: median {:.2} ms, 99 of 100 {:.2} ms, slowest {:.1} ms; {} failed",
            part(&per_second, 50),
            part(&took, 50),
            part(&took, 99),
            part(&took, 100),
            self.failed
        );
    }

    /// The median of the throughput against the other's of the same round.
    pub fn ratio(&self, other: &Beside) -> f64 {
        let both = self.per_second.iter().zip(&other.per_second);
        median(&both.map(|(this, other)| this / other).collect::<Vec<f64>>())
    }

    /// The value that so many percent of the steady requests do not exceed, against the other's.
    pub fn slower(&self, other: &Beside, percent: usize) -> f64 {
        part(&sorted(&self.took), percent) / part(&sorted(&other.took), percent)
    }
}

/// The value that so many percent of these, sorted, do not exceed; 0 of none.
pub fn part(sorted: &[f64], percent: usize) -> f64 {
    let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).copied().unwrap_or(0.0)
}

pub fn median(values: &[f64]) -> f64 {
    part(&sorted(values), 50)
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}
