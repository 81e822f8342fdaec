//! The families of workers and their addresses.

use std::collections::HashSet;

use super::super::model::{Address, AddressState, Admin, Live, State, Status, Worker};
use super::writer::{
    Kind::{Counter, Gauge},
    Labels, Writer, from_ms, from_us,
};

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
