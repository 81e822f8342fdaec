//! What the prober says in the log.

use super::target::TargetTask;
use crate::logic::addr::Addr;
use crate::logic::event::{Event as Noted, Kind};
use crate::logic::health::{AddrHealth, Probe, Reason, State, Step};
use crate::logic::storm::{Census, Event};
use crate::monitor::run::Level;

/// Milliseconds between two lines about the module's own trouble of one kind.
const MINUTE_MS: u64 = 60_000;

/// Lets something be said at most once a minute.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rarely(Option<u64>);

impl Rarely {
    /// Whether it may be said now.
    pub fn now(&mut self, now_ms: u64) -> bool {
        let may = self.0.is_none_or(|last| now_ms >= last + MINUTE_MS);
        if may {
            self.0 = Some(now_ms);
        }
        may
    }
}

/// What is remembered of a change of state; not of the first answer, which is no change.
pub fn event(task: &TargetTask, before: &AddrHealth, step: &Step, probe: &Probe) -> Option<Noted> {
    let (old, new) = step.change.filter(|c| *c != (State::Unknown, State::Up))?;
    Some(Noted {
        kind: Kind::Address,
        tag: task.tag.0,
        subject: task.label.clone(),
        address: before.addr.to_string(),
        from: old.to_string(),
        to: new.to_string(),
        reason: match new {
            State::Down => went_down(&step.health, probe),
            _ => came_back(before, &step.health, probe),
        },
    })
}

/// A change of state of an address of the target `label`. `alone`: its only one, then the line about the
/// worker says it loudly.
pub fn change(
    label: &str,
    alone: bool,
    before: &AddrHealth,
    step: &Step,
    probe: &Probe,
) -> Option<(Level, String)> {
    let (old, new) = step.change?;
    let (addr, after) = (before.addr, &step.health);
    let (level, why) = match (old, new) {
        (_, State::Down) => (Level::Warn, went_down(after, probe)),
        (State::Down, State::Up) => (Level::Notice, came_back(before, after, probe)),
        _ => {
            let line = format!("target {label}: {addr} {old} -> {new}");
            return Some((Level::Debug, line));
        }
    };
    let level = if alone { Level::Info } else { level };
    Some((
        level,
        format!("target {label}: {addr} {old} -> {new} ({why})"),
    ))
}

fn went_down(after: &AddrHealth, probe: &Probe) -> String {
    let reason = match probe.result {
        Err(reason) => reason.to_string(),
        Ok(()) => String::new(),
    };
    let ms = probe.ended_ms.saturating_sub(after.first_fail_ms);
    format!("{reason}; {} in {ms} ms", probes(after.fails))
}

fn came_back(before: &AddrHealth, after: &AddrHealth, probe: &Probe) -> String {
    let ms = probe.ended_ms.saturating_sub(before.since_ms);
    let seconds = ((ms + 500) / 1_000).max(1);
    format!(
        "{} answered; was down for {seconds} s",
        probes(after.oks.max(1))
    )
}

fn probes(count: u32) -> String {
    match count {
        1 => "1 probe".to_owned(),
        many => format!("{many} probes"),
    }
}

/// An address changes too often.
pub fn flaps(label: &str, addr: &Addr, needed: u32) -> String {
    format!("target {label}: {addr} flaps: needs {needed} successes in a row to come back")
}

/// This machine cannot probe an address.
pub fn local(label: &str, addr: &Addr, reason: Reason) -> String {
    format!("{label}: {addr} cannot be probed: {reason}; health stays as it is")
}

/// Each probe, for those who look closely.
pub fn outcome(label: &str, addr: &Addr, probe: &Probe) -> String {
    let took = probe.took_us;
    match probe.result {
        Ok(()) => format!("target {label}: {addr} answered after {took} us"),
        Err(reason) => format!("target {label}: {addr} failed after {took} us: {reason}"),
    }
}

/// Begin and end of a storm; `census` is what made it begin.
pub fn storm(event: &Event, census: Census) -> (Level, String) {
    match event {
        Event::Begun => {
            let Census { bad, known } = census;
            let line = format!(
                "storm: {bad} of {known} probed addresses time out at once: the trouble is probably here; \
                 verdicts are held until a second round confirms them"
            );
            (Level::Warn, line)
        }
        Event::Over {
            took_ms,
            recovered,
            down,
        } => {
            let tenths = (took_ms + 50) / 100;
            let (whole, part) = (tenths / 10, tenths % 10);
            let line = format!(
                "storm over after {whole}.{part} s: {recovered} answer again, {down} went down"
            );
            (Level::Notice, line)
        }
    }
}

/// What is remembered of a storm and why; `line` is what the log says.
pub fn storm_event<'a>(event: &Event, line: &'a str) -> (&'static str, &'a str) {
    let to = match event {
        Event::Begun => "storm",
        Event::Over { .. } => "storm over",
    };
    let (_, reason) = line.split_once(": ").unwrap_or_default();
    (to, reason)
}

/// As many probes in flight as there may be, and how many have to wait.
pub fn bound(flying: usize, waiting: usize) -> String {
    format!("{flying} probes in flight, the bound; {waiting} wait")
}

/// Probes that did not start in time.
pub fn late(ms: u64) -> String {
    format!("probes are late by up to {ms} ms: this machine is overloaded")
}
