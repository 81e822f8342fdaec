//! Memory and descriptors of children at several moments, and the line through them.

use crate::memory::private_kib;
use crate::processes::Monitor;
use live_kit::{Httpd, descriptors};
use std::collections::BTreeMap;

pub struct Samples<'a> {
    httpd: &'a Httpd,
    leader: u32,
    /// Of each child: how much was done by then, KiB, descriptors.
    children: BTreeMap<u32, Vec<Sample>>,
    failed: usize,
}

#[derive(Clone, Copy)]
struct Sample {
    done: f64,
    kib: f64,
    descriptors: usize,
}

impl Samples<'_> {
    pub fn new(httpd: &Httpd) -> Samples<'_> {
        let mut samples = Samples {
            httpd,
            leader: Monitor::find(httpd).pid,
            children: BTreeMap::new(),
            failed: 0,
        };
        samples.take(0.0, 0);
        samples
    }

    pub fn take(&mut self, done: f64, failed: usize) {
        self.failed += failed;
        for pid in self.httpd.children() {
            let sample = Sample {
                done,
                kib: private_kib(pid) as f64,
                descriptors: descriptors(pid).len(),
            };
            self.children.entry(pid).or_default().push(sample);
        }
    }

    /// One line of the table. Slopes are those per `unit`, of so many.
    pub fn print(&self, what: &str, unit: &str, size: f64) {
        let slope = |samples: &Vec<Sample>| size * slope(warm(samples));
        let all = self.children.values();
        let steepest = all.clone().map(slope).fold(f64::MIN, f64::max);
        let leader = self.children.get(&self.leader).map_or(f64::NAN, slope);
        let most = |at: fn(&[Sample]) -> Option<&Sample>, of: fn(&Sample) -> f64| {
            let values = all.clone().filter_map(|samples| at(warm(samples)).map(of));
            values.fold(0.0, f64::max)
        };
        let (first, last) = (<[Sample]>::first, <[Sample]>::last);
        let fds = |sample: &Sample| sample.descriptors as f64;
        println!(
            "| {what} | {} | {:.0}, {:.0} | {steepest:+.2} per {unit} | {leader:+.2} | {:.0}, {:.0} |",
            self.failed,
            most(first, |s| s.kib),
            most(last, |s| s.kib),
            most(first, fds),
            most(last, fds),
        );
    }
}

/// All but the first quarter.
fn warm(samples: &[Sample]) -> &[Sample] {
    let end = samples.last().map_or(0.0, |s| s.done);
    let from = samples.iter().position(|s| s.done >= end / 4.0);
    &samples[from.unwrap_or(0)..]
}

/// KiB for each one done, by least squares; 0 of a single sample.
fn slope(samples: &[Sample]) -> f64 {
    let n = samples.len() as f64;
    let mean = |of: fn(&Sample) -> f64| samples.iter().map(of).sum::<f64>() / n;
    let (x, y) = (mean(|s| s.done), mean(|s| s.kib));
    let both = samples
        .iter()
        .map(|s| (s.done - x) * (s.kib - y))
        .sum::<f64>();
    let squares = samples.iter().map(|s| (s.done - x).powi(2)).sum::<f64>();
    if squares > 0.0 { both / squares } else { 0.0 }
}
