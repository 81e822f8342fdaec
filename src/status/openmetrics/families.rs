//! The families, each with its samples.

use std::collections::HashSet;

use super::super::model::{
    Address, AddressState, Admin, Counters, Family, Live, Name, NameSource, State, Status, Worker,
};
use super::writer::{Kind, Labels, Writer, from_ms, from_us};

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

/// Workers with labels of their own.
pub struct Workers<'a>(Vec<(Labels<'a>, &'a Worker)>);

impl<'a> Workers<'a> {
    pub fn of(status: &'a Status) -> Self {
        let members = status.balancers.iter().flat_map(|balancer| {
            let name = balancer.name.as_str();
            balancer.members.iter().map(move |worker| (name, worker))
        });
        let plain = status.workers.iter().map(|worker| ("", worker));
        let mut seen = HashSet::new();
        let labelled = members
            .chain(plain)
            .map(|(balancer, w)| (labels(balancer, w), w));
        Self(
            labelled
                .filter(|(labels, _)| seen.insert(labels.clone()))
                .collect(),
        )
    }

    pub fn states(&self, out: &mut Writer) {
        out.family(
            Gauge,
            "worker_state",
            "What becomes of requests for the worker: 1 for the state it is in.",
        );
        self.each(|labels, worker| {
            for (state, word) in STATES {
                out.sample(
                    &with(labels, "state", word),
                    u8::from(worker.state == state),
                );
            }
        });
        out.family(
            Gauge,
            "worker_would_be_state",
            "For an observed worker: 1 for the state that it would be in with live=on.",
        );
        self.each(|labels, worker| {
            let would_be = worker
                .would_be
                .into_iter()
                .flat_map(|state| STATES.map(|(s, word)| (word, s == state)));
            would_be.for_each(|(word, is)| out.sample(&with(labels, "state", word), u8::from(is)));
        });
        out.family(
            Gauge,
            "worker_state_timestamp_seconds",
            "Since when it is in this state, since 1970.",
        );
        self.each(|labels, worker| {
            if let Some(at) = worker.since_at_ms {
                out.sample(labels, from_ms(at));
            }
        });
        self.flag(
            out,
            "worker_observed",
            "Whether it is observed only.",
            |w| w.live == Live::Observe,
        );
        self.flag(
            out,
            "worker_held",
            "Whether a verdict is held back because of a storm.",
            |w| w.held,
        );
        self.flag(
            out,
            "worker_httpd_error",
            "Whether it is in mod_proxy's own error state.",
            |w| w.httpd_error,
        );
        out.family(
            Gauge,
            "worker_admin",
            "What the administrator has set: 1 for each bit that is set.",
        );
        self.each(|labels, worker| {
            for (bit, word) in ADMIN {
                out.sample(
                    &with(labels, "bit", word),
                    u8::from(worker.admin.contains(&bit)),
                );
            }
        });
    }

    pub fn requests(&self, out: &mut Writer) {
        let help = "Requests whose attempts at the worker failed: ended by the module, retried, rescued by that, failed.";
        out.family(Counter, "worker_requests", help);
        self.each(|labels, worker| {
            let requests = &worker.requests;
            for (outcome, value) in [
                ("ended", requests.ended),
                ("retried", requests.retried),
                ("rescued", requests.rescued),
                ("failed", requests.failed),
            ] {
                out.sample(&with(labels, "outcome", outcome), value);
            }
        });
    }

    pub fn addresses(&self, out: &mut Writer) {
        let up = |a: &Address| match a.state {
            AddressState::Unknown => None,
            state => Some(u8::from(state == AddressState::Up).to_string()),
        };
        let last = |a: &Address| a.last.as_ref().map(|last| from_us(last.took_us));
        let at = |a: &Address| a.last.as_ref().map(|last| from_ms(last.at_ms));
        self.by_address(
            out,
            "address_up",
            "Whether the address is up; no sample while that is unknown.",
            up,
        );
        self.by_address(
            out,
            "address_held",
            "Whether \"down\" is held back because of a storm.",
            |a| Some(u8::from(a.held).to_string()),
        );
        self.by_address(
            out,
            "address_probe_duration_seconds",
            "How long the last probe took.",
            last,
        );
        self.by_address(
            out,
            "address_probe_timestamp_seconds",
            "When the last probe ended, since 1970.",
            at,
        );
        self.by_address(
            out,
            "address_consecutive_failures",
            "Failed probes in a row.",
            |a| Some(a.failures.to_string()),
        );
    }

    fn each(&self, mut write: impl FnMut(&Labels, &Worker)) {
        self.0
            .iter()
            .for_each(|(labels, worker)| write(labels, worker));
    }

    fn flag(&self, out: &mut Writer, name: &str, help: &str, is: impl Fn(&Worker) -> bool) {
        out.family(Gauge, name, help);
        self.each(|labels, worker| out.sample(labels, u8::from(is(worker))));
    }

    fn by_address(
        &self,
        out: &mut Writer,
        name: &str,
        help: &str,
        value: impl Fn(&Address) -> Option<String>,
    ) {
        out.family(Gauge, name, help);
        for (labels, worker) in &self.0 {
            let mut seen = HashSet::new();
            for address in worker.addresses.iter().filter(|a| seen.insert(&a.ip)) {
                if let Some(value) = value(address) {
                    out.sample(&with(labels, "address", &address.ip), value);
                }
            }
        }
    }
}

const STATES: [(State, &str); 5] = [
    (State::Up, "up"),
    (State::Down, "down"),
    (State::LastResort, "last-resort"),
    (State::Starting, "starting"),
    (State::Error, "error"),
];

const ADMIN: [(Admin, &str); 6] = [
    (Admin::Disabled, "disabled"),
    (Admin::Stopped, "stopped"),
    (Admin::Draining, "draining"),
    (Admin::HotStandby, "hot-standby"),
    (Admin::HotSpare, "hot-spare"),
    (Admin::IgnoreErrors, "ignore-errors"),
];

fn labels<'a>(balancer: &'a str, worker: &'a Worker) -> Labels<'a> {
    vec![
        ("balancer", balancer),
        ("worker", &worker.name),
        ("server", &worker.server),
        ("route", &worker.route),
    ]
}

fn with<'a>(labels: &Labels<'a>, key: &'static str, value: &'a str) -> Labels<'a> {
    let mut more = labels.clone();
    more.push((key, value));
    more
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
