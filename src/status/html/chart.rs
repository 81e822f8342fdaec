//! The times of the last probes as a small chart: a bar for each, a dotted one of full height for each that failed.

use std::fmt::Write;

use maud::{Markup, html};

use super::super::model::Sample;
use super::text::{millis, took};

/// There is room for so many.
const SLOTS: usize = 32;
/// Width of one, and height of all, in pixels.
const STEP: usize = 4;
const HEIGHT: u32 = 22;

/// The chart with its scale; nothing without probes.
pub fn chart(history: &[Sample]) -> Markup {
    let history = &history[history.len().saturating_sub(SLOTS)..];
    if history.is_empty() {
        return html! {};
    }
    let failed = history.iter().filter(|sample| !sample.ok).count();
    let range = Range::of(history);
    let paths = Paths::of(history, range.as_ref().map_or(0, |range| range.max));
    html! {
        svg.c viewBox="0 0 128 22" width="128" height="22" role="img" aria-label=(label(history.len(), range.as_ref(), failed)) {
            @if !paths.good.is_empty() { path d=(paths.good) {} }
            @if !paths.failed.is_empty() { path.f d=(paths.failed) {} }
        }
        p.m {
            @if let Some(range) = &range { (range.scale()) }
            @if failed > 0 { @if range.is_some() { ", " } b.fail { (failed) " failed" } }
        }
    }
}

/// Shortest and longest time of those that succeeded.
struct Range {
    min: u32,
    max: u32,
}

impl Range {
    fn of(history: &[Sample]) -> Option<Self> {
        let times = || history.iter().filter(|s| s.ok).map(|s| s.took_us);
        Some(Self {
            min: times().min()?,
            max: times().max()?,
        })
    }

    fn scale(&self) -> String {
        format!("{}\u{2013}{}", millis(self.min), took(self.max))
    }
}

fn label(probes: usize, range: Option<&Range>, failed: usize) -> String {
    let mut text = match probes {
        1 => "1 probe".to_owned(),
        many => format!("{many} probes"),
    };
    // writing to a String does not fail
    let _ = match range {
        Some(range) => write!(text, ", {} to {} ms", millis(range.min), millis(range.max)),
        None => Ok(()),
    };
    let _ = match failed {
        0 => Ok(()),
        _ => write!(text, ", {failed} failed"),
    };
    text
}

/// One path for all that succeeded and one for the others: far smaller than an element for each.
struct Paths {
    good: String,
    failed: String,
}

impl Paths {
    /// The newest is at the right end; the longest one fills the height.
    fn of(history: &[Sample], max: u32) -> Self {
        let mut paths = Self {
            good: String::with_capacity(history.len() * 9),
            failed: String::new(),
        };
        let first = SLOTS - history.len();
        for (at, sample) in history.iter().enumerate() {
            let x = (first + at) * STEP + STEP / 2;
            // writing to a String does not fail
            let _ = if sample.ok {
                write!(paths.good, "M{x} 22v-{}", height(sample.took_us, max))
            } else {
                write!(paths.failed, "M{x} 0v22")
            };
        }
        paths
    }
}

/// From 1 to the whole height.
fn height(us: u32, max: u32) -> u64 {
    let share = u64::from(us) * u64::from(HEIGHT) / u64::from(max.max(1));
    share.clamp(1, u64::from(HEIGHT))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(times: &[Option<u32>]) -> Vec<Sample> {
        let sample = |time: &Option<u32>| Sample {
            took_us: time.unwrap_or(500_000),
            ok: time.is_some(),
        };
        times.iter().map(sample).collect()
    }

    #[test]
    fn bars_with_a_scale() {
        let text = chart(&samples(&[Some(200), None, Some(1_400)])).into_string();
        assert!(
            text.contains("aria-label=\"3 probes, 0.20 to 1.4 ms, 1 failed\""),
            "{text}"
        );
        assert!(
            text.contains("<path d=\"M118 22v-3M126 22v-22\">"),
            "{text}"
        );
        assert!(
            text.contains("<path class=\"f\" d=\"M122 0v22\">"),
            "{text}"
        );
        assert!(text.contains("0.20\u{2013}1.4\u{a0}ms"), "{text}");
    }

    #[test]
    fn extremes() {
        assert_eq!(chart(&[]).into_string(), "");
        let text = chart(&samples(&[None])).into_string();
        assert!(text.contains("\"1 probe, 1 failed\""), "{text}");
        assert!(!text.contains("<path d="), "{text}");
        let text = chart(&samples(&[Some(0), Some(u32::MAX)])).into_string();
        assert!(text.contains("M122 22v-1M126 22v-22"), "{text}");
        let text = chart(&samples(&[Some(0)])).into_string();
        assert!(text.contains("\"1 probe, 0.00 to 0.00 ms\""), "{text}");
        // more than there is room for: the newest ones
        let text = chart(&samples(&vec![Some(7); 40])).into_string();
        assert!(
            text.contains("\"32 probes") && text.contains("\"M2 22v"),
            "{text}"
        );
    }
}
