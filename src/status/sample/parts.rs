//! What the samples are put together from.

use super::super::model::*;
use super::NOW_MS;

pub fn ago(seconds: u64) -> u64 {
    NOW_MS - seconds * 1_000
}

/// Times of probes as they are met: alike, with some that took longer.
fn history(count: u32, base_us: u32, failed: &[u32]) -> Vec<Sample> {
    let sample = |at: u32| Sample {
        took_us: base_us
            + (at * 7_919 % 97) * base_us / 250
            + if at % 11 == 7 { base_us } else { 0 },
        ok: !failed.contains(&at),
    };
    (0..count).map(sample).collect()
}

pub fn address(ip: &str, base_us: u32) -> Address {
    Address {
        ip: ip.to_owned(),
        state: AddressState::Up,
        since_at_ms: Some(ago(7_384)),
        successes: 3_692,
        last: Some(LastProbe {
            at_ms: NOW_MS - 1_240,
            took_us: base_us,
            ok: true,
            reason: String::new(),
        }),
        next_at_ms: Some(NOW_MS + 760),
        history: history(32, base_us, &[]),
        ..Address::default()
    }
}

pub fn down_address(ip: &str, reason: &str, since_s: u64) -> Address {
    Address {
        state: AddressState::Down,
        since_at_ms: Some(ago(since_s)),
        failures: 94,
        successes: 0,
        last: Some(LastProbe {
            at_ms: NOW_MS - 640,
            took_us: 150,
            ok: false,
            reason: reason.to_owned(),
        }),
        history: history(32, 800, &(14..32).collect::<Vec<_>>()),
        ..address(ip, 800)
    }
}

fn probe(kind: &str, target: &str, port: u16) -> Option<Probe> {
    Some(Probe {
        kind: kind.to_owned(),
        target: format!("{kind} {target}"),
        port,
        interval_ms: 2_000,
        timeout_ms: 500,
        fall: 2,
        rise: 2,
    })
}

pub fn worker(host: &str, route: &str, addresses: Vec<Address>) -> Worker {
    Worker {
        name: format!("http://{host}:8080"),
        server: "www.example.com:443".to_owned(),
        route: route.to_owned(),
        live: Live::On,
        state: State::Up,
        since_at_ms: Some(ago(7_384)),
        dns: Some(host.to_owned()),
        probe: probe("http", &format!("{host}:8080/healthz"), 8080),
        addresses,
        ..Worker::default()
    }
}

pub fn family(family: &str) -> Family {
    Family {
        family: family.to_owned(),
        good_at_ms: Some(ago(36)),
        ..Family::default()
    }
}

pub fn name(host: &str, addresses: &[&str]) -> Name {
    Name {
        name: host.to_owned(),
        source: NameSource::Dns,
        server: Some("192.0.2.53:53".to_owned()),
        addresses: addresses.iter().map(|ip| (*ip).to_owned()).collect(),
        ttl_s: 60,
        ttl_left_ms: 24_000,
        asked_at_ms: Some(ago(36)),
        families: vec![
            family("ipv4"),
            Family {
                good_at_ms: None,
                quiet: true,
                ..family("ipv6")
            },
        ],
    }
}

pub fn event(seconds: u64, kind: EventKind, texts: [&str; 5]) -> Event {
    let [subject, address, from, to, reason] = texts.map(str::to_owned);
    Event {
        at_ms: ago(seconds),
        kind,
        subject,
        address,
        from,
        to,
        reason,
    }
}
