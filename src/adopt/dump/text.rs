//! The text of the report: for people, and steady enough for grep.

use std::fmt::{self, Write as _};

use crate::config::explain::Value;
use crate::config::params::Mode;

/// So many servers that have a worker are named.
const NAMED: usize = 3;

/// Everything.
pub struct Report {
    pub version: &'static str,
    pub resolver: String,
    pub balancers: Vec<Group>,
    pub plain: Vec<Item>,
    /// Templates without effect: name and place.
    pub unused: Vec<(String, String)>,
}

/// A balancer.
pub struct Group {
    pub name: String,
    pub servers: Vec<String>,
    pub members: Vec<Item>,
    /// How many members can be added, and what becomes of them.
    pub growth: Option<(u32, String)>,
}

/// A worker.
pub struct Item {
    pub url: String,
    pub route: String,
    /// Those that have a plain worker.
    pub servers: Vec<String>,
    pub state: State,
    /// What is different in some of the servers.
    pub notes: Vec<String>,
}

/// What a worker came to.
pub enum State {
    Live {
        mode: Mode,
        values: Vec<Value>,
    },
    /// To httpd, for this reason.
    Left(&'static str),
    /// Where that is from.
    Off(String),
}

impl Report {
    pub fn text(&self) -> String {
        let mut text = format!("mod_proxy_live {}: {}\n", self.version, self.counts());
        // Writing to a string cannot fail.
        let _ = self.write(&mut text);
        text
    }

    fn counts(&self) -> String {
        let members = self.balancers.iter().flat_map(|group| &group.members);
        let mut counts = [0; 4];
        for item in members.chain(&self.plain) {
            let at = match item.state {
                State::Live { mode: Mode::On, .. } => 0,
                State::Live { .. } => 1,
                State::Left(_) => 2,
                State::Off(_) => 3,
            };
            counts[at] += 1;
        }
        let [live, observed, left, off] = counts;
        format!("{live} live, {observed} observed, {left} left to httpd, {off} not live")
    }

    fn write(&self, out: &mut String) -> fmt::Result {
        writeln!(out, "resolver: {}", self.resolver)?;
        for group in &self.balancers {
            writeln!(out, "\n{}, in {}", group.name, list(&group.servers))?;
            write_items(out, &group.members)?;
            if let Some((number, what)) = &group.growth {
                writeln!(
                    out,
                    "  growth={number}: members added at run time are {what}"
                )?;
            }
        }
        if !self.plain.is_empty() {
            writeln!(out, "\nworkers without a balancer")?;
            write_items(out, &self.plain)?;
        }
        for (at, (name, place)) in self.unused.iter().enumerate() {
            let line_before = if at == 0 { "\n" } else { "" };
            writeln!(out, "{line_before}template {name} ({place}): not used")?;
        }
        Ok(())
    }
}

fn write_items(out: &mut String, items: &[Item]) -> fmt::Result {
    for (at, item) in items.iter().enumerate() {
        let alike = items[..at].iter().find(|other| other.says_as(item));
        item.write(out, alike)?;
    }
    Ok(())
}

impl Item {
    fn write(&self, out: &mut String, alike: Option<&Self>) -> fmt::Result {
        let mut line = format!("  {}", self.url);
        if !self.route.is_empty() {
            write!(line, " route={}", self.route)?;
        }
        match &self.state {
            State::Live { mode: Mode::On, .. } => line.push_str(": live"),
            State::Live { .. } => line.push_str(": observed"),
            State::Left(reason) => write!(line, ": left to httpd: {reason}")?,
            State::Off(from) => write!(line, ": not live: off by {from}")?,
        }
        if !self.servers.is_empty() {
            write!(line, ", in {}", list(&self.servers))?;
        }
        if let Some(other) = alike {
            write!(line, ", all values as {}", other.url)?;
        }
        writeln!(out, "{line}")?;
        if let (State::Live { values, .. }, None) = (&self.state, alike) {
            for value in values {
                writeln!(
                    out,
                    "    {:<15} {:<12} {}",
                    value.name, value.value, value.from
                )?;
            }
        }
        for note in some(&self.notes) {
            writeln!(out, "    {note}")?;
        }
        Ok(())
    }

    /// Whether both have the same values from the same places. What follows from the worker's URL may differ.
    fn says_as(&self, other: &Self) -> bool {
        let (State::Live { values: a, .. }, State::Live { values: b, .. }) =
            (&self.state, &other.state)
        else {
            return false;
        };
        let same = |a: &Value, b: &Value| {
            a.name == b.name
                && a.from == b.from
                && (a.value == b.value || a.from.starts_with("default: the worker's"))
        };
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
    }
}

fn list(names: &[String]) -> String {
    some(names).join(", ")
}

/// The first ones, and how many there are beside them.
fn some(all: &[String]) -> Vec<String> {
    let mut named: Vec<String> = all.iter().take(NAMED).cloned().collect();
    if all.len() > NAMED {
        named.push(format!("and {} more", all.len() - NAMED));
    }
    named
}
