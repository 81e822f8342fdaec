//! Families of samples, as both dialects write them.

use std::fmt::{Display, Write};

use super::Dialect;

/// What a family is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Gauge,
    Counter,
    /// Its only value is 1, its labels tell.
    Info,
}

/// Labels and their values, as they are written: those of a worker are in dozens of samples.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Labels(String);

impl Labels {
    pub fn of(labels: &[(&str, &str)]) -> Self {
        let mut text = String::new();
        for label in labels {
            push(&mut text, label);
        }
        Self(text)
    }
}

pub struct Writer {
    dialect: Dialect,
    text: String,
    /// `proxy_live_...` as the samples of the family at hand are called.
    sample: String,
}

impl Writer {
    pub fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            text: String::with_capacity(16 * 1024),
            sample: String::new(),
        }
    }

    /// Begins a family. The name goes without prefix and without `_total` or `_info`; the unit is its end.
    pub fn family(&mut self, kind: Kind, name: &str, help: &str) {
        let family = format!("proxy_live_{name}");
        let (word, end) = match (kind, self.dialect) {
            (Kind::Gauge, _) => ("gauge", ""),
            (Kind::Counter, _) => ("counter", "_total"),
            (Kind::Info, Dialect::OpenMetrics) => ("info", "_info"),
            (Kind::Info, Dialect::Prometheus) => ("gauge", "_info"),
        };
        self.sample = format!("{family}{end}");
        let about = match self.dialect {
            Dialect::OpenMetrics => &family,
            Dialect::Prometheus => &self.sample,
        };
        // writing to a String does not fail
        let _ = writeln!(self.text, "# TYPE {about} {word}");
        if let Some(unit) = unit(name).filter(|_| self.dialect == Dialect::OpenMetrics) {
            let _ = writeln!(self.text, "# UNIT {about} {unit}");
        }
        let _ = writeln!(self.text, "# HELP {about} {help}");
    }

    /// A sample of the family that was begun last.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.write(
            |text| labels.iter().for_each(|label| push(text, label)),
            value,
        );
    }

    /// One with labels that are there already, and `more` behind them.
    pub fn sample_of(&mut self, labels: &Labels, more: &[(&str, &str)], value: impl Display) {
        let write = |text: &mut String| {
            text.push_str(&labels.0);
            more.iter().for_each(|label| push(text, label));
        };
        self.write(write, value);
    }

    fn write(&mut self, labels: impl FnOnce(&mut String), value: impl Display) {
        self.text.push_str(&self.sample);
        let bare = self.text.len();
        labels(&mut self.text);
        if self.text.len() > bare {
            // each label begins with a comma: the first one's is the bracket's place
            self.text.replace_range(bare..=bare, "{");
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }

    /// The whole text.
    pub fn end(mut self) -> String {
        if self.dialect == Dialect::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

fn unit(name: &str) -> Option<&str> {
    let end = name.rsplit('_').next()?;
    matches!(end, "seconds" | "bytes").then_some(end)
}

/// `,label="value"`.
fn push(out: &mut String, (label, value): &(&str, &str)) {
    out.extend([",", label, "=\""]);
    escape(out, value);
    out.push('"');
}

/// As both formats want it; a NUL, which some readers take for the end, is replaced.
fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            '\0' => out.push(char::REPLACEMENT_CHARACTER),
            other => out.push(other),
        }
    }
}

/// Milliseconds as seconds, exactly.
pub fn from_ms(ms: u64) -> String {
    format!("{}.{:03}", ms / 1_000, ms % 1_000)
}

/// Microseconds as seconds, exactly.
pub fn from_us(us: u32) -> String {
    format!("{}.{:06}", us / 1_000_000, us % 1_000_000)
}
