//! What the error log and the status page are told of workers: the same, in a line and in parts.

use super::child::Child;
use super::entry::Entry;
use crate::board::Known;
use crate::ffi::clock;
use crate::ffi::log::Level;
use crate::log;
use crate::logic::event::{Event, Kind};
use crate::logic::usable::Lack;
use crate::logic::verdict::Verdict;

impl Child {
    /// Remembers an event for the status page.
    pub fn note(&self, event: &Event) {
        self.board.note(event, clock::unix_ms());
    }

    /// Remembers an event at a worker.
    pub fn note_at(&self, entry: &Entry, kind: Kind, change: [&str; 2], reason: &str) {
        let [from, to] = change.map(str::to_owned);
        self.note(&Event {
            kind,
            tag: entry.planned.seat.map_or(0, |(_, tag)| tag.0),
            subject: entry.planned.label.clone(),
            address: String::new(),
            from,
            to,
            reason: reason.to_owned(),
        });
    }

    /// What a leader, or the parent, has left there.
    pub(super) fn decided(&self, entry: &Entry) -> Option<Known> {
        let (id, tag) = entry.planned.seat?;
        Some(self.board.known(id, tag).0)
    }

    /// Whether a request may meet it although DNS has not answered for it.
    pub(super) fn is_let_in(&self, entry: &Entry) -> bool {
        let seat = entry.planned.seat;
        seat.is_some_and(|(id, tag)| self.board.is_let_in(id, tag))
    }

    /// Leaves on the board what this leader has decided of a worker.
    pub(super) fn leave_known(&self, entry: &Entry, verdict: Verdict, lack: Option<Lack>) {
        let Some((id, tag)) = entry.planned.seat else {
            return;
        };
        let known = match verdict {
            Verdict::Out => match lack {
                Some(Lack::Unresolved) => Known::Unresolved,
                Some(Lack::Expired) => Known::Expired,
                Some(Lack::Awaited) => Known::Nothing,
                None => Known::Out,
            },
            Verdict::LastResort => Known::LastResort,
            Verdict::In if entry.has_no_route() => Known::NoRoute,
            // New addresses of a worker that was in use are used at once.
            Verdict::In if entry.is_decided() => Known::In,
            Verdict::In => match self.board.known(id, tag).0 {
                Known::Nothing | Known::Unresolved => Known::Nothing,
                _ => Known::In,
            },
        };
        self.board.set_known(id, tag, known, clock::now_ms());
    }
}

/// Another state of a worker. `loud`: this child speaks for all of them.
pub struct Change<'a> {
    pub loud: bool,
    pub level: Level,
    /// What the line says; empty for the states themselves.
    pub words: &'a str,
    pub states: [&'a str; 2],
    pub why: &'a str,
}

/// Tells of it.
pub fn worker(child: &Child, entry: &Entry, change: &Change) {
    let Change {
        loud, words, why, ..
    } = *change;
    let level = if loud { change.level } else { Level::Debug };
    let label = &entry.planned.label;
    let [from, to] = change.states;
    if words.is_empty() {
        log!(level, "worker {label}: {from} -> {to} ({why})");
    } else {
        log!(level, "worker {label}: {words} ({why})");
    }
    if loud {
        child.note_at(entry, Kind::Worker, change.states, why);
    }
}
