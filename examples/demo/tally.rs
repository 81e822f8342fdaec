//! What users met, counted, and the columns of the tables.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// One request of a user.
#[derive(Debug, Clone)]
pub struct Event {
    /// 0: stock, 1: with the module.
    pub server: usize,
    pub start: Instant,
    pub took: Duration,
    /// The backend that answered; none: an error.
    pub backend: Option<String>,
}

impl Event {
    pub fn failed(&self) -> bool {
        self.backend.is_none()
    }

    pub fn is_from(&self, backend: &str) -> bool {
        self.backend.as_deref() == Some(backend)
    }
}

/// Counts of answers.
#[derive(Default, Clone)]
pub struct Tally {
    answers: BTreeMap<String, usize>,
    errors: usize,
    slowest: Duration,
}

impl Tally {
    pub fn of<'a>(events: impl IntoIterator<Item = &'a Event>) -> Tally {
        let mut tally = Tally::default();
        for event in events {
            match &event.backend {
                Some(name) => *tally.answers.entry(name.clone()).or_default() += 1,
                None => tally.errors += 1,
            }
            tally.slow(event.took);
        }
        tally
    }

    /// Somebody waited so long.
    pub fn slow(&mut self, time: Duration) {
        self.slowest = self.slowest.max(time);
    }

    pub fn columns(&self) -> String {
        let answers: Vec<String> = self
            .answers
            .iter()
            .map(|(name, n)| format!("{name} {n}"))
            .collect();
        let answers = if answers.is_empty() {
            "none".to_owned()
        } else {
            answers.join(", ")
        };
        columns(&answers, &self.errors.to_string(), &text_of(self.slowest))
    }
}

fn columns(answers: &str, errors: &str, slowest: &str) -> String {
    format!("{answers:<18} {errors:>7} {slowest:>9}")
}

/// `87 ms`, `1.2 s`.
pub fn text_of(time: Duration) -> String {
    match time.as_millis() {
        ms if ms < 1000 => format!("{ms} ms"),
        ms => format!("{:.1} s", ms as f64 / 1000.0),
    }
}

/// Prints one line for both servers.
pub fn row(first: &str, stock: &str, live: &str) {
    println!("{}", format!("{first:<17} {stock:<36}   {live}").trim_end());
}

/// Prints the heads of the columns.
pub fn heads(first: &str) {
    row(first, "stock httpd", "with mod_proxy_live");
    let columns = columns("answers", "errors", "slowest");
    row("", &columns, &columns);
}

/// Prints one number of each server.
pub fn line(what: &str, values: [String; 2]) {
    let [stock, live] = values;
    println!("{what:<58} {stock:>10} {live:>20}");
}
