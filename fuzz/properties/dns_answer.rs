//! What holds for every series of DNS messages that a name server sends. Shared by the fuzz target and its unit test;
//! whoever includes this file has the module `server` in scope.
//!
//! The input is a stream of messages as on TCP, each behind its length: the answers to the questions for
//! `app.test.`, A and AAAA in turn. See `dns_wire.rs` for their identifiers.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::proto::op::{Message, MessageType, ResponseCode};
use hickory_resolver::proto::rr::{DNSClass, Name, RData, Record};
use tokio::runtime::{Builder, Runtime};

use super::server::Server;
use crate::logic::addr::{Addr, Families, Family};
use crate::logic::answer::{Failure, Lookup, Outcome};
use crate::logic::name::{self, Bounds, Step};
use crate::logic::record::{FamilyState, MAX_ADDRS, NameRecord, Source};
use crate::logic::schedule::{FIRST_BACKOFF_MS, LAST_BACKOFF_MS, MAX_JITTER_MS};

#[path = "dns_wire.rs"]
mod wire;

use wire::{Exchange, Wire};

const NAME: &str = "app.test.";
const FAMILIES: [Family; 2] = [Family::V4, Family::V6];
/// For each of eight names of a chain: with EDNS and without, by UDP and by TCP.
const MOST_QUESTIONS: usize = 8 * 2 * 2;
/// Look-ups of one input.
const MOST_LOOKUPS: u64 = 4;

const BOUNDS: Bounds = Bounds {
    ttl_min: Duration::from_secs(5),
    ttl_max: Duration::from_secs(3_600),
    want: Families::ANY,
};

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
}

/// Panics when `bytes` lead to addresses that nobody promised, or take any that were good.
pub fn check(bytes: &[u8]) {
    RUNTIME.with(|runtime| runtime.block_on(follow(bytes)));
}

async fn follow(bytes: &[u8]) {
    let wire = Wire::new(bytes);
    let addr = SocketAddr::from(([192, 0, 2, 53], 53));
    let server = Server::over(wire.clone(), addr, Duration::from_secs(3), false);
    let server = server.expect("a server");
    let question = Name::from_ascii(NAME).expect("a name");
    let mut record = NameRecord::default();
    for round in 1..=MOST_LOOKUPS {
        let mut lookup = Lookup {
            source: Source::Dns,
            by: Some(addr),
            ..Lookup::default()
        };
        for family in FAMILIES {
            let (outcome, queries) = server.ask(&question, family).await;
            let seen = wire.take_seen();
            assert_eq!(queries as usize, seen.len());
            assert!((1..=MOST_QUESTIONS).contains(&seen.len()));
            deserved(&outcome, family, &seen);
            simple(&outcome, &seen);
            plain(&outcome, family, &seen);
            *lookup.outcome_mut(family) = outcome;
        }
        let (now, rnd) = (round * 10_000_000, (round as u32).wrapping_mul(0x9e37_79b9));
        let step = name::step(&record, now, &lookup, &BOUNDS, rnd);
        kept(&record, &step, &lookup);
        planned(&record, &step, &lookup, now);
        record = step.record;
        if wire.is_done() {
            return;
        }
    }
}

/// The messages that answer the question they came for.
fn accepted(seen: &[Exchange]) -> Vec<Message> {
    let mut messages = Vec::new();
    for exchange in seen {
        let question = Message::from_vec(&exchange.question).expect("hickory's own");
        for bytes in &exchange.answers {
            // what does not fit into the buffer for packets is cut
            let Ok(message) = Message::from_vec(bytes) else {
                continue;
            };
            let same = exchange.tcp || message.queries == question.queries && !message.truncation;
            let answers = message.message_type == MessageType::Response;
            if message.id == question.id && answers && same {
                messages.push(message);
            }
        }
    }
    messages
}

/// Each address stands in an answer to our question, with a good code, and belongs to a name that aliases lead to from
/// the one asked for. The TTL is not longer than its own.
fn deserved(outcome: &Outcome, family: Family, seen: &[Exchange]) {
    let Outcome::Addresses { addrs, ttl } = outcome else {
        let other = [Outcome::NotAsked, Outcome::Pending];
        return assert!(!other.contains(outcome), "{outcome:?}");
    };
    let messages = accepted(seen);
    let names = reached(&messages);
    let good = |m: &&Message| {
        matches!(
            m.response_code,
            ResponseCode::NoError | ResponseCode::NXDomain
        )
    };
    let given = messages.iter().filter(good).flat_map(Message::all_sections);
    let given: Vec<(IpAddr, u32)> = given
        .filter(|record| names.contains(&record.name.to_ascii().to_lowercase()))
        .filter_map(|record| match &record.data {
            RData::A(ip) => Some((IpAddr::V4(ip.0), record.ttl)),
            RData::AAAA(ip) => Some((IpAddr::V6(ip.0), record.ttl)),
            _ => None,
        })
        .collect();
    assert!(!addrs.is_empty() && i32::try_from(*ttl).is_ok());
    for (at, addr) in addrs.iter().enumerate() {
        assert!(
            addr.family() == family && addr.scope == 0,
            "{addr} for {family:?}"
        );
        assert!(!addrs[..at].contains(addr), "{addr} twice");
        let is = |(ip, longest): &(IpAddr, u32)| *ip == addr.ip && ttl <= longest;
        assert!(
            given.iter().any(is),
            "{addr} with TTL {ttl}: {given:?} for {names:?}"
        );
    }
}

/// The names that aliases lead to.
fn reached(messages: &[Message]) -> BTreeSet<String> {
    let mut names = BTreeSet::from([NAME.to_owned()]);
    loop {
        let before = names.len();
        for record in messages.iter().flat_map(Message::all_sections) {
            if let RData::CNAME(target) = &record.data
                && names.contains(&record.name.to_ascii().to_lowercase())
            {
                names.insert(target.0.to_ascii().to_lowercase());
            }
        }
        if names.len() == before {
            return names;
        }
    }
}

/// What one answer without any record says.
fn simple(outcome: &Outcome, seen: &[Exchange]) {
    let [exchange] = seen else { return };
    let messages = accepted(seen);
    let ([message], [_]) = (&messages[..], &exchange.answers[..]) else {
        // silence, or only what was meant for somebody else
        if exchange.answers.is_empty() {
            assert_eq!(*outcome, Outcome::Failed(Failure::Network));
        }
        return;
    };
    if message.all_sections().next().is_some() || message.edns.is_some() {
        return;
    }
    let wanted = match message.response_code {
        ResponseCode::NoError => Outcome::Empty,
        ResponseCode::NXDomain => Outcome::NoName,
        ResponseCode::ServFail => Outcome::Failed(Failure::ServFail),
        ResponseCode::Refused => Outcome::Failed(Failure::Refused),
        other => Outcome::Failed(Failure::Code(u16::from(other) as u8)),
    };
    assert_eq!(*outcome, wanted, "{message:?}");
}

/// What one answer of addresses alone gives: all that are its name's, each once, and the least of their TTLs.
fn plain(outcome: &Outcome, family: Family, seen: &[Exchange]) {
    let messages = accepted(seen);
    let ([message], [_]) = (&messages[..], seen) else {
        return;
    };
    let ours = |r: &&Record| r.dns_class == DNSClass::IN && r.data.ip_addr().is_some();
    let all = message.all_sections().count();
    let answers = message.answers.iter().filter(ours);
    if all != answers.clone().count() || message.response_code != ResponseCode::NoError {
        return;
    }
    let named = answers.filter(|r| r.name.to_ascii().eq_ignore_ascii_case(NAME));
    let named = named.filter_map(|r| Some((r.data.ip_addr()?, r.ttl)));
    let named = named.filter(|(ip, _)| ip.is_ipv6() == (family == Family::V6));
    let sane = |ttl: u32| if ttl >> 31 == 1 { 0 } else { ttl };
    let mut addrs = Vec::new();
    for (ip, _) in named.clone() {
        let addr = Addr { ip, scope: 0 };
        if !addrs.contains(&addr) {
            addrs.push(addr);
        }
    }
    let wanted = match named.map(|(_, ttl)| sane(ttl)).min() {
        Some(ttl) => Outcome::Addresses { addrs, ttl },
        None => Outcome::Empty,
    };
    assert_eq!(*outcome, wanted, "{message:?}");
}

/// A family's addresses are replaced by a good answer only.
fn kept(before: &NameRecord, step: &Step, lookup: &Lookup) {
    let after = &step.record;
    let of = |record: &NameRecord, family: Family| -> BTreeSet<Addr> {
        let addrs = record.addrs.iter().copied();
        addrs.filter(|addr| addr.family() == family).collect()
    };
    assert!(after.addrs.len() <= MAX_ADDRS);
    let is_v6 = |addr: &Addr| addr.family() == Family::V6;
    assert!(after.addrs.is_sorted_by_key(is_v6));
    let all: BTreeSet<Addr> = after.addrs.iter().copied().collect();
    assert_eq!(all.len(), after.addrs.len(), "an address twice");
    for family in FAMILIES {
        let (old, new) = (of(before, family), of(after, family));
        match lookup.outcome(family) {
            Outcome::Addresses { addrs, .. } => {
                let given: BTreeSet<Addr> = addrs.iter().copied().collect();
                assert!(new.is_subset(&given));
                assert!(new == given || after.addrs.len() == MAX_ADDRS);
            }
            Outcome::Empty | Outcome::NoName if lookup.gave_addresses() => assert!(new.is_empty()),
            failed => {
                assert!(new == old || after.addrs.len() == MAX_ADDRS, "{failed:?}");
                assert_ne!(state(after, family).failing_since_ms, 0);
            }
        }
    }
    assert_eq!(step.changed, all != before.addrs.iter().copied().collect());
    if step.changed {
        assert!(lookup.gave_addresses() && step.wake);
    }
}

const fn state(record: &NameRecord, family: Family) -> &FamilyState {
    match family {
        Family::V4 => &record.v4,
        Family::V6 => &record.v6,
    }
}

/// The TTL in force and the next look-up keep their bounds, and each line for the log is one.
fn planned(before: &NameRecord, step: &Step, lookup: &Lookup, now: u64) {
    let record = &step.record;
    let (least, most) = (
        BOUNDS.ttl_min.as_millis() as u64,
        BOUNDS.ttl_max.as_millis() as u64,
    );
    if lookup.gave_addresses() {
        let ttl = u64::from(record.ttl_s) * 1_000;
        assert!((least..=most).contains(&ttl), "TTL {} s", record.ttl_s);
        let expires = record.expires_ms - now;
        assert!(
            (ttl..=ttl + MAX_JITTER_MS).contains(&expires),
            "in {expires} ms"
        );
        assert_eq!(record.server, lookup.by);
    } else {
        assert_eq!(
            (record.ttl_s, record.expires_ms),
            (before.ttl_s, before.expires_ms)
        );
        assert_eq!(
            (record.source, record.server),
            (before.source, before.server)
        );
    }
    for family in FAMILIES {
        let state = state(record, family);
        if state.failing_since_ms != 0 {
            let pause = state.retry_ms - now;
            assert!(
                (FIRST_BACKOFF_MS..=LAST_BACKOFF_MS * 6 / 5).contains(&pause),
                "{pause} ms"
            );
            assert_ne!((state.failures, state.error), (0, 0));
        }
    }
    assert!(step.due_ms >= now + FIRST_BACKOFF_MS && step.due_ms <= now + most + MAX_JITTER_MS);
    for event in &step.events {
        let line = event.text("app.test");
        assert!(
            line.len() < 8_000 && !line.contains(char::is_control),
            "{line:?}"
        );
    }
}
