//! The text of the report: for people, and steady enough for grep.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};

use crate::config::explain::Value;
use crate::config::params::Mode;

/// So many servers that have a worker are named.
const NAMED: usize = 3;

/// How the origin of values on a worker's own lines begins.
const OWN: &str = "its own line";

/// Everything.
pub struct Report {
    pub version: &'static str,
    pub resolver: String,
    pub drain_file: Option<String>,
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
    pub notes: Vec<Note>,
}

/// What a worker came to elsewhere.
pub struct Note {
    pub what: &'static str,
    pub why: String,
    pub servers: Vec<String>,
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
        if let Some(file) = &self.drain_file {
            writeln!(out, "drain file: {file}")?;
        }
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
        if let Some(other) = alike {
            write!(line, ", values as {}", other.url)?;
            self.own_places()
                .try_for_each(|place| write!(line, ", {place}"))?;
        }
        writeln!(out, "{line}")?;
        if !self.servers.is_empty() {
            writeln!(out, "    in {}", list(&self.servers))?;
        }
        if alike.is_none() {
            let widths = self.values().iter().map(|value| value.value.len());
            let width = widths.max().unwrap_or(0).clamp(12, 40);
            for value in self.values() {
                writeln!(
                    out,
                    "    {:<15} {:<width$} {}",
                    value.name, value.value, value.from
                )?;
            }
        }
        for Note { what, why, servers } in &self.notes {
            writeln!(out, "    {what} in {}: {why}", list(servers))?;
        }
        Ok(())
    }

    /// In this server it is something else.
    pub fn note(&mut self, what: &'static str, why: String, server: String) {
        let mut notes = self.notes.iter_mut();
        match notes.find(|note| note.what == what && note.why == why) {
            Some(note) => note.servers.push(server),
            None => self.notes.push(Note {
                what,
                why,
                servers: vec![server],
            }),
        }
    }

    /// Whether both have the same values from the same places, or each from its own line. What follows from the
    /// worker's URL may differ.
    fn says_as(&self, other: &Self) -> bool {
        let (a, b) = (self.values(), other.values());
        let alike = |a: &Value, b: &Value| {
            let of_url = a.from.starts_with("default: the worker's");
            let own = a.from.starts_with(OWN) && b.from.starts_with(OWN);
            let same = (a.from == b.from || own) && (a.value == b.value || of_url);
            a.name == b.name && same
        };
        !a.is_empty() && a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b))
    }

    fn values(&self) -> &[Value] {
        match &self.state {
            State::Live { values, .. } => values,
            _ => &[],
        }
    }

    /// Its own lines, each once.
    fn own_places(&self) -> impl Iterator<Item = &str> {
        let from = self.values().iter().map(|value| value.from.as_str());
        let own: BTreeSet<&str> = from.filter(|from| from.starts_with(OWN)).collect();
        own.into_iter()
    }
}

/// The first ones, and how many there are beside them.
fn list(names: &[String]) -> String {
    let named = names.iter().take(NAMED).map(String::as_str);
    let named = named.collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(url: &str, mode: Mode, values: &[(&'static str, &str, &str)]) -> Item {
        let value = |(name, value, from): &(&'static str, &str, &str)| Value {
            name,
            value: (*value).into(),
            from: (*from).into(),
        };
        let values = values.iter().map(value).collect();
        worker(url, State::Live { mode, values })
    }

    fn worker(url: &str, state: State) -> Item {
        Item {
            url: url.into(),
            route: String::new(),
            servers: Vec::new(),
            state,
            notes: Vec::new(),
        }
    }

    fn names(count: usize) -> Vec<String> {
        (1..=count).map(|n| format!("s{n}")).collect()
    }

    const HOST: &str = "default: the worker's host";

    fn report() -> Report {
        let mut one = live(
            "http://one",
            Mode::On,
            &[
                ("live", "on", "its own line (a:1)"),
                ("livehost", "one", HOST),
            ],
        );
        one.route = "1".into();
        let two = live(
            "http://two",
            Mode::On,
            &[
                ("live", "on", "its own line (a:2)"),
                ("livehost", "two", HOST),
            ],
        );
        let off = worker("http://off", State::Off("default".into()));
        let mut plain = live(
            "http://p/",
            Mode::Observe,
            &[("live", "observe", "template x")],
        );
        plain.servers = names(5);
        plain.note("not live", "off by default".into(), "s6".into());
        plain.note("left to httpd", "a reason".into(), "s7".into());
        plain.note("not live", "off by default".into(), "s8".into());
        let mut left = worker("http://l/", State::Left("a reason"));
        left.servers = names(1);
        Report {
            version: "0.0",
            resolver: "system".into(),
            drain_file: None,
            balancers: vec![Group {
                name: "balancer://b".into(),
                servers: names(2),
                members: vec![one, two, off],
                growth: Some((5, "not live: default".into())),
            }],
            plain: vec![plain, left],
            unused: vec![("old".into(), "a:3".into()), ("older".into(), "a:4".into())],
        }
    }

    #[test]
    fn the_whole_text() {
        let want = "\
mod_proxy_live 0.0: 2 live, 1 observed, 1 left to httpd, 1 not live
resolver: system

balancer://b, in s1, s2
  http://one route=1: live
    live            on           its own line (a:1)
    livehost        one          default: the worker's host
  http://two: live, values as http://one, its own line (a:2)
  http://off: not live: off by default
  growth=5: members added at run time are not live: default

workers without a balancer
  http://p/: observed
    in s1, s2, s3 and 2 more
    live            observe      template x
    not live in s6, s8: off by default
    left to httpd in s7: a reason
  http://l/: left to httpd: a reason
    in s1

template old (a:3): not used
template older (a:4): not used
";
        assert_eq!(report().text(), want);
    }

    #[test]
    fn nothing_configured() {
        let report = Report {
            balancers: Vec::new(),
            plain: Vec::new(),
            unused: Vec::new(),
            ..report()
        };
        let want = "mod_proxy_live 0.0: 0 live, 0 observed, 0 left to httpd, 0 not live\n\
                    resolver: system\n";
        assert_eq!(report.text(), want);
    }
}
