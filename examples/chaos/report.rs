//! What is printed: each thing that is done, each violation with what led to it, and the table at the end.

use crate::action::{Action, At};
use crate::judge::{Event, Verdict};
use std::collections::{BTreeMap, VecDeque};

/// Actions that are told with a violation.
const LAST: usize = 30;
/// Violations that are told whole; further ones in a line each.
const WHOLE: usize = 12;

/// Of one kind of request at one server.
#[derive(Default)]
pub struct Tally {
    pub all: usize,
    pub failed: usize,
    pub killed: usize,
    pub ended: usize,
    pub outage: usize,
    pub unsafe_to_repeat: usize,
    pub begun: usize,
    pub budget: usize,
    pub wrong: usize,
    pub slowest: At,
}

impl Tally {
    fn add(&mut self, event: &Event, verdict: &Verdict) {
        self.all += 1;
        self.failed += usize::from(event.failed());
        self.slowest = self.slowest.max(event.end - event.start);
        let count = match verdict {
            Verdict::Good => return,
            Verdict::KilledChild => &mut self.killed,
            Verdict::EndedGeneration => &mut self.ended,
            Verdict::Outage => &mut self.outage,
            Verdict::UnsafeToRepeat => &mut self.unsafe_to_repeat,
            Verdict::Begun => &mut self.begun,
            Verdict::Budget => &mut self.budget,
            Verdict::Wrong(_) => &mut self.wrong,
        };
        *count += 1;
    }
}

pub struct Report {
    command: String,
    actions: VecDeque<String>,
    done: BTreeMap<String, usize>,
    pub violations: Vec<String>,
    tallies: BTreeMap<(bool, &'static str), Tally>,
}

impl Report {
    /// `command` repeats this run.
    pub fn new(command: String) -> Report {
        Report {
            command,
            actions: VecDeque::new(),
            done: BTreeMap::new(),
            violations: Vec::new(),
            tallies: BTreeMap::new(),
        }
    }

    pub fn action(&mut self, at: At, action: &Action, done: bool) {
        let not = if done { "" } else { " (left out)" };
        let line = format!("{:>9.3} s  {action}{not}", at as f64 / 1e3);
        println!("{line}");
        self.actions.push_back(line);
        if self.actions.len() > LAST {
            self.actions.pop_front();
        }
        if done {
            *self.done.entry(action.sort()).or_insert(0) += 1;
        }
    }

    pub fn count(&mut self, event: &Event, verdict: &Verdict) {
        let key = (event.live, event.kind());
        self.tallies.entry(key).or_default().add(event, verdict);
    }

    /// Sum over all kinds of requests of a server.
    pub fn sum(&self, live: bool, of: fn(&Tally) -> usize) -> usize {
        let mine = self.tallies.iter().filter(|((l, _), _)| *l == live);
        mine.map(|(_, tally)| of(tally)).sum()
    }

    pub fn violation(&mut self, at: At, what: &str, log: &[&str]) {
        let line = format!("{:.3} s: {what}", at as f64 / 1e3);
        println!("VIOLATION at {line}");
        self.violations.push(line);
        if self.violations.len() > WHOLE {
            return;
        }
        println!("  the last actions:");
        self.actions.iter().for_each(|a| println!("    {a}"));
        println!("  the error log about then:");
        let some = log.len().saturating_sub(40);
        log[some..].iter().for_each(|l| println!("    {l}"));
        println!("  again: {}", self.command);
    }

    pub fn print(&self) {
        println!("\nwhat was done:");
        for (what, times) in &self.done {
            println!("  {times:>5}  {what}");
        }
        println!("{LEGEND}");
        self.tallies.iter().for_each(|(key, tally)| row(key, tally));
        println!(
            "(what is wrong with the stock httpd is no violation: it is what the module is for)"
        );
        println!("\n{} violations", self.violations.len());
        self.violations.iter().for_each(|v| println!("  {v}"));
        if !self.violations.is_empty() {
            println!("again: {}", self.command);
        }
    }
}

const LEGEND: &str = "
requests (without an answer: with a killed child, with an ended generation; answered with an error: no member left,
unsafe to repeat; begun: broken off with its member; beyond the budget):
                                 all  killed   ended  outage  unsafe   begun  budget   WRONG   slowest";

fn row((live, kind): &(bool, &'static str), t: &Tally) {
    let server = if *live { "live" } else { "stock" };
    println!(
        "  {:<26}{:>8}{:>8}{:>8}{:>8}{:>8}{:>8}{:>8}{:>8}{:>8.2} s",
        format!("{server}: {kind}"),
        t.all,
        t.killed,
        t.ended,
        t.outage,
        t.unsafe_to_repeat,
        t.begun,
        t.budget,
        t.wrong,
        t.slowest as f64 / 1e3
    );
}
