//! Gathers what there is to show from this child and the board. Reads only; takes no lock of httpd's.

use std::collections::{BTreeMap, HashSet};

use super::model::{self, Status};
use super::pools::Look;
use super::ready::Ready;
use super::workers;
use crate::adopt::child::{self, Child};
use crate::adopt::entry::Entry;
use crate::adopt::gather::{Left, Source};
use crate::board::{Board, Counter, FamilyState, NameId, NameRecord, Share, Source as From, Tag};
use crate::ffi::clock;
use crate::ffi::proxy::Server;
use crate::logic::addr::{Families, Family};
use crate::logic::answer::ErrorText;

/// Events that are shown.
const EVENTS: usize = 200;

/// From the board's monotonic milliseconds to the time of people.
#[derive(Clone, Copy, Debug)]
pub struct Time {
    pub now_ms: u64,
    unix_ms: u64,
}

impl Time {
    fn now() -> Self {
        Self {
            now_ms: clock::now_ms(),
            unix_ms: clock::unix_ms(),
        }
    }

    /// 0 is never.
    pub fn at(self, mono_ms: u64) -> Option<u64> {
        let ago = i128::from(self.now_ms) - i128::from(mono_ms);
        let at = i128::from(self.unix_ms) - ago;
        (mono_ms != 0).then(|| u64::try_from(at).unwrap_or(0))
    }
}

/// Everything; `filter`: events of this worker only.
pub fn status(main: Option<Server>, ready: Ready, filter: Option<String>) -> Status {
    let time = Time::now();
    let mut status = Status {
        format: model::FORMAT,
        version: env!("CARGO_PKG_VERSION").into(),
        time_at_ms: time.unix_ms,
        pid: clock::pid(),
        server: main.map(Server::name).unwrap_or_default(),
        ready: model::Ready {
            ready: ready.ready,
            text: ready.text,
        },
        filter,
        ..Status::default()
    };
    if let Some(child) = child::current() {
        fill(&mut status, child, time);
    }
    status
}

fn fill(status: &mut Status, child: &Child, time: Time) {
    let (board, look) = (child.board, Look::new(child));
    status.epoch = child.epoch;
    status.leader = leader(board, &look, time);
    status.board = usage(board);
    status.counters = counters(board);
    status.balancers = workers::balancers(child, &look, time);
    status.workers = workers::plain(child, &look, time);
    status.names = names(child, time);
    status.left = child.left.iter().map(left).collect();
    status.events = events(child, status.filter.as_deref());
}

fn left(left: &Left) -> model::Left {
    model::Left {
        worker: left.worker.clone(),
        server: left.server.clone(),
        reason: left.reason.into(),
    }
}

fn leader(board: Board, look: &Look, time: Time) -> model::Leader {
    let leader = board.leader();
    let leads = leader.pid != 0;
    model::Leader {
        pid: leads.then_some(leader.pid),
        since_at_ms: time.at(leader.since_ms).filter(|_| leads),
        heartbeat_age_ms: leads.then(|| time.now_ms.saturating_sub(leader.heartbeat_ms)),
        lost: look.lost,
    }
}

fn usage(board: Board) -> model::Board {
    let usage = board.usage();
    let of = |share: Share| model::Use {
        used: share.used,
        capacity: share.capacity,
    };
    model::Board {
        names: of(usage.names),
        targets: of(usage.targets),
        workers: of(usage.workers),
        children: of(usage.children),
        reserved_bytes: usage.reserved_bytes,
        used_bytes: usage.used_bytes,
    }
}

fn counters(board: Board) -> model::Counters {
    let get = |counter| board.get(counter);
    model::Counters {
        dns_queries: get(Counter::Queries),
        dns_failures: get(Counter::LookupFailures),
        address_changes: get(Counter::AddressChanges),
        takeovers: get(Counter::Takeovers),
        probes: get(Counter::Probes),
        probe_failures: get(Counter::ProbeFailures),
        health_changes: get(Counter::HealthChanges),
        probes_late: get(Counter::ProbesLate),
        probes_bound: get(Counter::InFlightBound),
        probes_local_errors: get(Counter::LocalErrors),
        kicks: get(Counter::Kicks),
        storms: get(Counter::Storms),
        releases: get(Counter::Releases),
        observed: get(Counter::Observed),
    }
}

/// The names that workers follow, each once, with all families that any of them wants.
fn names(child: &Child, time: Time) -> Vec<model::Name> {
    let mut found: BTreeMap<String, (NameId, Tag, Families)> = BTreeMap::new();
    for entry in child.entries.iter() {
        if let Source::Name(id, tag) = entry.planned.source {
            let host = entry.planned.host.to_ascii_lowercase();
            let known = found.entry(host).or_insert((id, tag, Families::NONE));
            known.2 = known.2.union(entry.planned.settings.families);
        }
    }
    let names = found.into_iter();
    names
        .map(|(name, (id, tag, want))| {
            let record = child.board.read(id, tag).map(|read| read.record);
            name_of(name, &record.unwrap_or_default(), want, time)
        })
        .collect()
}

fn name_of(name: String, record: &NameRecord, want: Families, time: Time) -> model::Name {
    let ttl_ms = u64::from(record.ttl_s) * 1_000;
    let left = record.expires_ms.saturating_sub(time.now_ms);
    let family = |family: Family| {
        let state = match family {
            Family::V4 => &record.v4,
            Family::V6 => &record.v6,
        };
        let own = record.addrs.iter().any(|addr| addr.family() == family);
        let other = record.addrs.iter().any(|addr| addr.family() != family);
        family_of(family, state, !own && other, time)
    };
    let wanted = [Family::V4, Family::V6]
        .into_iter()
        .filter(|f| want.has(*f));
    model::Name {
        name,
        source: match record.source {
            From::None => model::NameSource::None,
            From::Dns => model::NameSource::Dns,
            From::Hosts => model::NameSource::Hosts,
        },
        server: record.server.map(|server| server.to_string()),
        addresses: record.addrs.iter().map(ToString::to_string).collect(),
        ttl_s: record.ttl_s,
        ttl_left_ms: left.min(ttl_ms),
        asked_at_ms: time.at(record.asked_ms),
        families: wanted.map(family).collect(),
    }
}

fn family_of(family: Family, state: &FamilyState, quiet: bool, time: Time) -> model::Family {
    let failing = state.failing_since_ms != 0;
    model::Family {
        family: match family {
            Family::V4 => "ipv4".into(),
            Family::V6 => "ipv6".into(),
        },
        good_at_ms: time.at(state.good_ms),
        failing_since_at_ms: time.at(state.failing_since_ms),
        retry_at_ms: time.at(state.retry_ms).filter(|_| failing),
        failures: state.failures,
        error: (state.error_ms != 0).then(|| ErrorText(state.error).to_string()),
        error_at_ms: time.at(state.error_ms),
        quiet,
    }
}

fn events(child: &Child, filter: Option<&str>) -> Vec<model::Event> {
    let wanted = filter.map(|worker| (worker, tags_of(child, worker)));
    let shown = |event: &crate::logic::event::Event| {
        let of_worker = |(worker, tags): &(&str, HashSet<u64>)| {
            event.subject == *worker || tags.contains(&event.tag)
        };
        wanted.as_ref().is_none_or(of_worker)
    };
    let events = child.board.events().into_iter();
    let events = events.filter(|noted| shown(&noted.event)).take(EVENTS);
    events
        .map(|noted| model::Event {
            at_ms: noted.at_ms,
            kind: noted.event.kind,
            subject: noted.event.subject,
            address: noted.event.address,
            from: noted.event.from,
            to: noted.event.to,
            reason: noted.event.reason,
        })
        .collect()
}

/// What concerns a worker: itself, its target, its name.
fn tags_of(child: &Child, worker: &str) -> HashSet<u64> {
    let named = |entry: &&Entry| entry.planned.label == worker;
    let entries = child.entries.iter().filter(named);
    entries
        .flat_map(|entry| {
            let planned = &entry.planned;
            let name = match planned.source {
                Source::Name(_, tag) => Some(tag),
                Source::Fixed(_) => None,
            };
            let (seat, target) = (planned.seat, planned.target);
            [seat.map(|s| s.1), target.map(|t| t.1), name]
        })
        .flatten()
        .map(|tag| tag.0)
        .collect()
}
