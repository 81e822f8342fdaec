//! The module's own families, and those of the names.

use std::collections::HashSet;

use super::super::model::{Counters, Family, Name, NameSource, Status};
use super::writer::{Kind, Writer, from_ms};

use Kind::{Counter, Gauge, Info};

/// Leader, readiness, board.
pub fn module(status: &Status, out: &mut Writer) {
    out.family(Info, "build", "Version of the module.");
    out.sample(&[("version", &status.version)], 1);
    out.family(Gauge, "ready", "Whether the ready handler answers 200.");
    out.sample(&[], u8::from(status.ready.ready));
    out.family(
        Gauge,
        "epoch",
        "Configurations (the start and each reload) since httpd was started.",
    );
    out.sample(&[], status.epoch);
    leader(status, out);
    let board = &status.board;
    let uses = [
        ("names", board.names),
        ("targets", board.targets),
        ("workers", board.workers),
        ("children", board.children),
    ];
    out.family(Gauge, "board_used", "Places of the shared memory in use.");
    uses.iter()
        .for_each(|(kind, one)| out.sample(&[("kind", kind)], one.used));
    out.family(Gauge, "board_capacity", "Places of the shared memory.");
    uses.iter()
        .for_each(|(kind, one)| out.sample(&[("kind", kind)], one.capacity));
    out.family(Gauge, "board_used_bytes", "Bytes of the places in use.");
    out.sample(&[], board.used_bytes);
    out.family(
        Gauge,
        "board_reserved_bytes",
        "Bytes of address space; only what is used takes memory.",
    );
    out.sample(&[], board.reserved_bytes);
}

fn leader(status: &Status, out: &mut Writer) {
    let leader = &status.leader;
    out.family(
        Gauge,
        "leader_up",
        "Whether a child leads and gives signs of life.",
    );
    out.sample(&[], u8::from(leader.pid.is_some() && !leader.lost));
    if let Some(at) = leader.since_at_ms {
        out.family(
            Gauge,
            "leader_start_time_seconds",
            "Since when this child leads, since 1970.",
        );
        out.sample(&[], from_ms(at));
    }
    if let Some(age) = leader.heartbeat_age_ms {
        out.family(
            Gauge,
            "leader_heartbeat_age_seconds",
            "Age of the leader's last sign of life.",
        );
        out.sample(&[], from_ms(age));
    }
}

pub fn counters(counters: &Counters, out: &mut Writer) {
    let all = [
        ("dns_queries", "DNS questions sent.", counters.dns_queries),
        (
            "dns_failures",
            "Look-ups that gave no usable answer.",
            counters.dns_failures,
        ),
        (
            "address_changes",
            "Changed sets of addresses.",
            counters.address_changes,
        ),
        (
            "takeovers",
            "Children that became leader.",
            counters.takeovers,
        ),
        ("probes", "Probes that ended.", counters.probes),
        (
            "probe_failures",
            "Probes that failed, those by local trouble not among them.",
            counters.probe_failures,
        ),
        (
            "health_changes",
            "Addresses that changed their state.",
            counters.health_changes,
        ),
        (
            "probes_late",
            "Probes that began much later than they were due.",
            counters.probes_late,
        ),
        (
            "probes_bound",
            "Times that as many probes were under way as are allowed.",
            counters.probes_bound,
        ),
        (
            "probes_local_errors",
            "Probes that this machine could not even try.",
            counters.probes_local_errors,
        ),
        (
            "kicks",
            "Kicks from the request path that woke the leader.",
            counters.kicks,
        ),
        (
            "storms",
            "Times that so many addresses timed out at once that verdicts were held.",
            counters.storms,
        ),
        (
            "releases",
            "Workers in error by mod_proxy's own doing that were put back.",
            counters.releases,
        ),
        (
            "observed_actions",
            "Things that would have been done, had workers not been observed only.",
            counters.observed,
        ),
    ];
    for (name, help, value) in all {
        out.family(Counter, name, help);
        out.sample(&[], value);
    }
}

/// The names that are followed.
pub fn names(status: &Status, out: &mut Writer) {
    let mut seen = HashSet::new();
    let names: Vec<&Name> = status
        .names
        .iter()
        .filter(|name| seen.insert(&name.name))
        .collect();
    let mut gauge = |name: &str, help: &str, value: &dyn Fn(&Name) -> Option<String>| {
        out.family(Gauge, name, help);
        for one in &names {
            if let Some(value) = value(one) {
                out.sample(&[("name", &one.name)], value);
            }
        }
    };
    let from_dns = |name: &Name, value: String| (name.source == NameSource::Dns).then_some(value);
    gauge("name_addresses", "Addresses of the name.", &|n| {
        Some(n.addresses.len().to_string())
    });
    gauge("name_ttl_seconds", "The TTL in force.", &|n| {
        from_dns(n, n.ttl_s.to_string())
    });
    gauge("name_ttl_left_seconds", "What is left of the TTL.", &|n| {
        from_dns(n, from_ms(n.ttl_left_ms))
    });
    by_family(&names, out, "name_failing", "Whether look-ups fail.", |f| {
        Some(u8::from(is_failing(f)).to_string())
    });
    by_family(
        &names,
        out,
        "name_consecutive_failures",
        "Failed look-ups in a row.",
        |f| Some(f.failures.to_string()),
    );
    by_family(
        &names,
        out,
        "name_last_good_timestamp_seconds",
        "When DNS gave a usable answer last, since 1970.",
        |f| f.good_at_ms.map(from_ms),
    );
}

/// A family without addresses beside one that has some is no failure.
fn is_failing(family: &Family) -> bool {
    family.failing_since_at_ms.is_some() && !family.quiet
}

fn by_family(
    names: &[&Name],
    out: &mut Writer,
    name: &str,
    help: &str,
    value: impl Fn(&Family) -> Option<String>,
) {
    out.family(Gauge, name, help);
    for one in names {
        let mut seen = HashSet::new();
        for family in one.families.iter().filter(|f| seen.insert(&f.family)) {
            if let Some(value) = value(family) {
                out.sample(&[("name", &one.name), ("family", &family.family)], value);
            }
        }
    }
}
