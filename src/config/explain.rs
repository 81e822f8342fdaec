//! What the configuration came to for one worker, and where each value is from: for people.

use std::collections::HashSet;
use std::time::Duration;

use super::lines::Places;
use super::merge::{self, Layer};
use super::origin::Origin;
use super::params::{Mode, Params, Probe, Rescue, Settings};
use super::{Config, Subject};
use crate::logic::addr::Families;
use crate::logic::redact;

/// What is in force for a worker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Explained {
    pub mode: Mode,
    /// Where the mode is from.
    pub from: String,
    /// `live` first; empty for a worker that is not live.
    pub values: Vec<Value>,
}

/// A parameter in force.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Value {
    pub name: &'static str,
    /// As it is written in the configuration; `-` when it is given and means nothing for this worker.
    pub value: String,
    pub from: String,
}

/// What else there is to know of a worker.
#[derive(Clone, Copy, Default, Debug)]
pub struct Facts<'a> {
    pub host: &'a str,
    /// The host is an address.
    pub numeric: bool,
    /// Where parameters stand.
    pub places: Option<&'a Places>,
    /// Its settings with what it has to share: the rules of its probes, the bounds of its name.
    pub shared: Option<&'a Settings>,
}

/// A worker and what was worked out for it.
struct Case<'a> {
    worker: &'a Subject<'a>,
    facts: &'a Facts<'a>,
    settings: &'a Settings,
}

/// What a parameter is about; a worker without it has no use for the parameter.
#[derive(Clone, Copy)]
enum Topic {
    /// Following DNS.
    Name,
    /// Being taken out when DNS gives no address.
    Stale,
    Probe,
    Probes,
    Answers,
    Http,
    Requests,
}

/// One parameter.
struct Row {
    name: &'static str,
    topic: Topic,
    given: fn(&Params) -> bool,
    value: fn(&Settings, &Case) -> String,
}

const ROWS: [Row; 15] = [
    Row {
        name: "livettl",
        topic: Topic::Name,
        given: |p| p.ttl.is_some(),
        value: |s, _| format!("{}-{}", time(s.ttl.min), time(s.ttl.max)),
    },
    Row {
        name: "livefamily",
        topic: Topic::Name,
        given: |p| p.families.is_some(),
        value: |s, _| family(s.families).into(),
    },
    Row {
        name: "livestale",
        topic: Topic::Stale,
        given: |p| p.stale.is_some(),
        value: |s, _| s.stale.map_or_else(|| "forever".into(), time),
    },
    Row {
        name: "livespread",
        topic: Topic::Name,
        given: |p| p.spread.is_some(),
        value: |s, _| on_off(s.spread),
    },
    Row {
        name: "liveprobe",
        topic: Topic::Probe,
        given: |p| p.probe.is_some(),
        value: |s, _| s.probe.word().into(),
    },
    Row {
        name: "liveuri",
        topic: Topic::Http,
        given: |p| p.uri.is_some(),
        value: |s, _| redact::path(&s.uri),
    },
    Row {
        name: "liveexpect",
        topic: Topic::Http,
        given: |p| p.expect.is_some(),
        value: |s, _| s.expect.to_string(),
    },
    Row {
        name: "livehost",
        topic: Topic::Answers,
        given: |p| p.host.is_some(),
        value: |s, case| s.host.clone().unwrap_or_else(|| case.facts.host.into()),
    },
    Row {
        name: "liveport",
        topic: Topic::Probes,
        given: |p| p.port.is_some(),
        value: |s, case| s.port.unwrap_or(case.worker.port).to_string(),
    },
    Row {
        name: "liveinterval",
        topic: Topic::Probes,
        given: |p| p.interval.is_some(),
        value: |s, _| time(Duration::from_millis(s.rules.interval_ms)),
    },
    Row {
        name: "livetimeout",
        topic: Topic::Probes,
        given: |p| p.timeout.is_some(),
        value: |s, _| time(Duration::from_millis(s.rules.timeout_ms)),
    },
    Row {
        name: "livefall",
        topic: Topic::Probes,
        given: |p| p.fall.is_some(),
        value: |s, _| s.rules.fall.to_string(),
    },
    Row {
        name: "liverise",
        topic: Topic::Probes,
        given: |p| p.rise.is_some(),
        value: |s, _| s.rules.rise.to_string(),
    },
    Row {
        name: "livelastresort",
        topic: Topic::Probes,
        given: |p| p.last_resort.is_some(),
        value: |s, _| on_off(s.last_resort),
    },
    Row {
        name: "liverescue",
        topic: Topic::Requests,
        given: |p| p.rescue.is_some(),
        value: |s, _| rescue(s).into(),
    },
];

impl Config {
    /// Templates that neither a worker nor a `ProxyLive` line names, with their places.
    pub fn unused_templates(&self) -> Vec<(String, String)> {
        let lines = self.workers.values().filter_map(|w| w.template.as_deref());
        let naming = self.defaults.naming().iter();
        let naming = naming.filter_map(|live| live.template.as_deref());
        let used: HashSet<String> = lines.chain(naming).map(str::to_ascii_lowercase).collect();
        let unused = self.templates.all();
        let unused = unused.filter(|t| !used.contains(&t.name.to_ascii_lowercase()));
        unused.map(|t| (t.name.clone(), t.place.clone())).collect()
    }

    /// What is in force for a worker, and where it is from.
    pub fn explain(&self, worker: &Subject, facts: &Facts) -> Explained {
        let line = self.workers.get(&worker.shared_key);
        let levels = self.levels(
            worker.shared_key,
            worker.server,
            worker.main,
            worker.balancer,
        );
        let from = |origin: Origin, name| facts.from(worker, origin, name);
        let mode = levels.mode;
        let mode_from = from(levels.mode_from, "live");
        let mut values = Vec::new();
        if mode != Mode::Off {
            let live = |name, value: &str, from| Value {
                name,
                value: value.to_owned(),
                from,
            };
            values.push(live("live", mode.word(), mode_from.clone()));
            if let Some(name) = line.and_then(|line| line.template.as_deref()) {
                let from = from(Origin::Lines, "livetemplate");
                values.push(live("livetemplate", name, from));
            }
            let merged = merge::merged(&levels.layers);
            let settings = merged.settings(mode, worker.scheme);
            let case = Case {
                worker,
                facts,
                settings: &settings,
            };
            let rows = ROWS.iter();
            values.extend(rows.filter_map(|row| case.value(row, &levels.layers, &merged)));
        }
        Explained {
            mode,
            from: mode_from,
            values,
        }
    }
}

impl Facts<'_> {
    fn from(&self, worker: &Subject, origin: Origin, name: &str) -> String {
        let place = |name: &str| self.places?.of(worker.shared_key, name);
        origin.words(name, place)
    }
}

impl Case<'_> {
    fn value(&self, row: &Row, layers: &[Layer], merged: &Params) -> Option<Value> {
        let found = merge::origin(layers, row.given);
        let found = found.map(|origin| self.facts.from(self.worker, origin, row.name));
        let value = |value: String, from: String| Value {
            name: row.name,
            value,
            from,
        };
        if let Some(why) = self.useless(row.topic) {
            return match (row.topic, found) {
                (Topic::Probe, _) => Some(value("-".into(), why.to_owned())),
                // Worth a word only to who has written it.
                (_, found) => found.map(|f| value("-".into(), format!("{f}; no effect: {why}"))),
            };
        }
        let own = (row.value)(self.settings, self);
        let from = match found {
            None => self.default(row),
            Some(from) if row.name == "liverescue" && self.is_vainly_eager(merged) => {
                format!("{from}; eager is not for this worker")
            }
            Some(from) => from,
        };
        let shared = self.facts.shared.map(|all| (row.value)(all, self));
        Some(match shared.filter(|all| *all != own) {
            Some(all) => value(
                all,
                format!("shared with other workers; of its own {own}: {from}"),
            ),
            None => value(own, from),
        })
    }

    /// Why a parameter means nothing for this worker.
    fn useless(&self, topic: Topic) -> Option<&'static str> {
        let (numeric, hchecked) = (self.facts.numeric, self.worker.hchecked);
        let probe = self.settings.probe;
        let checked = "mod_proxy_hcheck checks this worker (hcmethod)";
        match topic {
            Topic::Name | Topic::Stale if numeric => Some("the host is an address"),
            Topic::Name | Topic::Requests => None,
            _ if hchecked => Some(checked),
            Topic::Probes if probe == Probe::Off => Some("liveprobe is off"),
            Topic::Answers if !probe.reads_answers() => Some("liveprobe is neither tls nor http"),
            Topic::Http if probe != Probe::Http => Some("liveprobe is not http"),
            _ => None,
        }
    }

    fn default(&self, row: &Row) -> String {
        match row.name {
            "liveprobe" => format!("default for {}", self.worker.scheme),
            "livehost" => "default: the worker's host".into(),
            "liveport" => "default: the worker's port".into(),
            _ => "default".into(),
        }
    }

    /// `eager` stands in a template for many workers.
    fn is_vainly_eager(&self, merged: &Params) -> bool {
        merged.rescue == Some(Rescue::Eager) && !self.settings.eager
    }
}

/// As httpd reads it; the longest unit that needs no fraction.
pub fn time(time: Duration) -> String {
    let ms = time.as_millis();
    let units = [(3_600_000, "h"), (60_000, "min"), (1_000, "s")];
    let unit = units
        .iter()
        .find(|(size, _)| ms > 0 && ms.is_multiple_of(*size));
    unit.map_or_else(
        || format!("{ms}ms"),
        |(size, unit)| format!("{}{unit}", ms / size),
    )
}

fn family(families: Families) -> &'static str {
    match families {
        Families::V4 => "ipv4",
        Families::V6 => "ipv6",
        _ => "any",
    }
}

fn on_off(on: bool) -> String {
    if on { "on" } else { "off" }.into()
}

const fn rescue(settings: &Settings) -> &'static str {
    match (settings.rescue, settings.eager) {
        (false, _) => "off",
        (true, false) => "on",
        (true, true) => "eager",
    }
}
