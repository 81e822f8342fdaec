//! What there is to show of balancers and workers.

use super::collect::Time;
use super::model::{
    Address, AddressState, Admin, Balancer, LastProbe, Live, Probe, Requests, Sample, State, Worker,
};
use super::pools::Look;
use super::ready::Fitness;
use crate::adopt::child::Child;
use crate::adopt::entry::{self, Entry};
use crate::adopt::gather::{Planned, Source};
use crate::adopt::groups::Group;
use crate::adopt::tasks;
use crate::board::{Known, TargetRecord};
use crate::ffi::clock;
use crate::ffi::proxy::Worker as Raw;
use crate::logic::addr::Addr;
use crate::logic::health::{AddrHealth, State as Health};
use crate::logic::redact;

/// The balancers with a live member.
pub fn balancers(child: &Child, look: &Look, time: Time) -> Vec<Balancer> {
    let groups = child.groups.iter().filter(|group| group.is_live());
    groups
        .map(|group| Balancer {
            name: group.name.clone(),
            servers: group
                .copies
                .iter()
                .map(|(server, _)| server.name())
                .collect(),
            ready: look.best(group) >= Fitness::LastResort,
            members: group
                .members()
                .map(|(raw, at)| match at.and_then(|at| child.entries.get(at)) {
                    Some(entry) => live_worker(child, look, entry, time),
                    None => other(group, raw),
                })
                .collect(),
        })
        .collect()
}

/// The live workers outside of balancers.
pub fn plain(child: &Child, look: &Look, time: Time) -> Vec<Worker> {
    let plain = child.entries.iter().filter(|e| !e.planned.member);
    plain
        .map(|entry| live_worker(child, look, entry, time))
        .collect()
}

/// A member that is not live.
fn other(group: &Group, raw: Raw) -> Worker {
    let server = group.copies.first();
    Worker {
        name: redact::url(&raw.name()),
        server: server.map(|(server, _)| server.name()).unwrap_or_default(),
        state: httpd_state(raw),
        since_at_ms: error_since(raw),
        ..of_httpd(raw)
    }
}

/// What mod_proxy itself knows of a worker.
fn of_httpd(raw: Raw) -> Worker {
    Worker {
        route: raw.route(),
        admin: admin(raw),
        httpd_error: raw.is_in_error(),
        httpd_failed: raw.is_failed(),
        ..Worker::default()
    }
}

fn httpd_state(raw: Raw) -> State {
    match (raw.is_failed(), raw.is_in_error()) {
        (true, _) => State::Down,
        (false, true) => State::Error,
        (false, false) => State::Up,
    }
}

fn error_since(raw: Raw) -> Option<u64> {
    (raw.is_in_error() && !raw.is_failed()).then(|| raw.error_at_ms())
}

fn admin(raw: Raw) -> Vec<Admin> {
    let set = raw.set_by_admin();
    [
        (set.disabled, Admin::Disabled),
        (set.stopped, Admin::Stopped),
        (set.draining, Admin::Draining),
        (set.hot_standby, Admin::HotStandby),
        (set.hot_spare, Admin::HotSpare),
        // Plain workers always do.
        (set.ignores_errors, Admin::IgnoreErrors),
    ]
    .into_iter()
    .filter_map(|(is, word)| is.then_some(word))
    .collect()
}

fn live_worker(child: &Child, look: &Look, entry: &Entry, time: Time) -> Worker {
    let planned = &entry.planned;
    let raw = planned.worker;
    let record = planned
        .target
        .and_then(|(id, tag)| child.board.read_target(id, tag))
        .map(|read| read.record);
    let set = entry.with_health(|set, _| set.to_vec());
    let (state, since) = state(child, look, entry, time);
    let addresses: Vec<Address> = set
        .iter()
        .map(|addr| address(addr, record.as_ref(), time))
        .collect();
    let mut shown = of_httpd(raw);
    if !planned.member {
        shown.admin.retain(|word| *word != Admin::IgnoreErrors);
    }
    let observe = planned.settings.observe;
    Worker {
        name: planned.label.clone(),
        server: planned.server.name(),
        live: if observe { Live::Observe } else { Live::On },
        state,
        reason: reason(child, entry, state, &set, record.as_ref()),
        since_at_ms: since,
        would_be: observe.then(|| would_be(child, entry)),
        held: addresses.iter().any(|address| address.held),
        dns: matches!(planned.source, Source::Name(..)).then(|| planned.host.to_ascii_lowercase()),
        probe: planned.target.map(|_| probe(planned)),
        addresses,
        requests: requests(child, planned),
        ..shown
    }
}

/// Its state, and since when.
fn state(child: &Child, look: &Look, entry: &Entry, time: Time) -> (State, Option<u64>) {
    let raw = entry.planned.worker;
    let (known, since) = known(child, entry);
    let since = time.at(since);
    if entry.planned.settings.observe {
        return (httpd_state(raw), error_since(raw));
    }
    // Before DNS has answered it is kept out as well.
    if raw.is_failed() && (known != Known::Nothing || raw.is_hchecked()) {
        return (State::Down, since.filter(|_| known != Known::In));
    }
    if look.is_in_lasting_error(entry) {
        return (State::Error, error_since(raw));
    }
    match known {
        Known::Nothing => (State::Starting, None),
        _ if look.lost => (State::Up, None),
        Known::LastResort => (State::LastResort, since),
        Known::In => (State::Up, since),
        // This child has not marked it yet.
        Known::Out | Known::Expired | Known::Unresolved => (State::Down, since),
        Known::NoRoute => (State::Error, since),
    }
}

fn known(child: &Child, entry: &Entry) -> (Known, u64) {
    let seat = entry.planned.seat;
    seat.map_or((Known::In, 0), |(id, tag)| child.board.known(id, tag))
}

fn would_be(child: &Child, entry: &Entry) -> State {
    match known(child, entry).0 {
        Known::Nothing => State::Starting,
        Known::In => State::Up,
        Known::Out | Known::Expired | Known::Unresolved => State::Down,
        Known::LastResort => State::LastResort,
        Known::NoRoute => State::Error,
    }
}

/// Why it is in this state: what the log says.
fn reason(
    child: &Child,
    entry: &Entry,
    state: State,
    set: &[Addr],
    record: Option<&TargetRecord>,
) -> String {
    let planned = &entry.planned;
    let raw = planned.worker;
    let imagined = planned.settings.observe && would_be(child, entry) != State::Up;
    match state {
        State::Error if known(child, entry).0 == Known::NoRoute => entry::describe(set, record),
        State::Error => {
            let until = raw.error_at_ms() + raw.retry().as_millis() as u64;
            let left = until.saturating_sub(clock::unix_ms()).div_ceil(1_000);
            format!("httpd found an error; it tries again in {left} s")
        }
        State::Starting if set.is_empty() => format!("DNS has not answered for {}", planned.host),
        State::Starting => "the first probe has not ended".into(),
        State::Down if raw.is_hchecked() => "mod_proxy_hcheck".into(),
        _ if known(child, entry).0 == Known::Unresolved => {
            format!(
                "name not resolved yet: DNS has no address for {}",
                planned.host
            )
        }
        _ if known(child, entry).0 == Known::Expired => {
            "DNS has given no usable answer for longer than livestale".into()
        }
        State::Up if !imagined => String::new(),
        State::Up | State::Down | State::LastResort => entry::describe(set, record),
    }
}

fn probe(planned: &Planned) -> Probe {
    let rules = planned.settings.rules;
    Probe {
        kind: planned.settings.probe.word().into(),
        target: tasks::target_label(planned),
        port: planned.probe_port(),
        interval_ms: rules.interval_ms,
        timeout_ms: rules.timeout_ms,
        fall: rules.fall,
        rise: rules.rise,
    }
}

fn address(addr: &Addr, record: Option<&TargetRecord>, time: Time) -> Address {
    let known = record.and_then(|r| r.addrs.iter().find(|h| h.addr == *addr));
    let Some(health) = known else {
        return Address {
            ip: addr.to_string(),
            ..Address::default()
        };
    };
    let samples = health.history.samples().into_iter();
    Address {
        ip: addr.to_string(),
        state: match health.state {
            Health::Unknown => AddressState::Unknown,
            Health::Up => AddressState::Up,
            Health::Down => AddressState::Down,
        },
        since_at_ms: time.at(health.since_ms),
        held: health.held_ms != 0,
        failures: health.fails,
        successes: health.oks,
        last: last(health, time),
        next_at_ms: time.at(health.due_ms),
        history: samples
            .map(|sample| Sample {
                took_us: sample.took_us,
                ok: sample.ok,
            })
            .collect(),
    }
}

fn last(health: &AddrHealth, time: Time) -> Option<LastProbe> {
    let reason = health.reason;
    Some(LastProbe {
        at_ms: time.at(health.last_ms)?,
        took_us: health.last_us,
        ok: reason.is_none(),
        reason: reason.map(|reason| reason.to_string()).unwrap_or_default(),
    })
}

fn requests(child: &Child, planned: &Planned) -> Requests {
    let Some((id, tag)) = planned.seat else {
        return Requests::default();
    };
    let board = child.board;
    let counted = match planned.settings.observe {
        true => board.would(id, tag),
        false => board.rescues(id, tag),
    };
    let counted = counted.unwrap_or_default();
    Requests {
        ended: counted.ended,
        retried: counted.retried,
        rescued: board.rescued(id, tag),
        failed: counted.failed,
    }
}
