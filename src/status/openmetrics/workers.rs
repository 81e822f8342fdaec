//! The families of workers and their addresses.

use std::collections::HashSet;

use super::super::model::{Address, AddressState, Admin, Live, State, Status, Worker};
use super::writer::{
    Kind::{Counter, Gauge},
    Labels, Writer, from_ms, from_us,
};

/// Balancers, in each server that has them.
pub fn balancers(status: &Status, out: &mut Writer) {
    let help = "Whether the balancer has a member that can be used.";
    out.family(Gauge, "balancer_ready", help);
    let mut seen = HashSet::new();
    for balancer in &status.balancers {
        for server in &balancer.servers {
            if seen.insert((&balancer.name, server)) {
                let labels = [("balancer", balancer.name.as_str()), ("server", server)];
                out.sample(&labels, u8::from(balancer.ready));
            }
        }
    }
}

/// Workers with labels of their own.
pub struct Workers<'a>(Vec<(Labels, &'a Worker)>);

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
        let help = "What becomes of requests for the worker: 1 for the state it is in.";
        self.by_state(out, "worker_state", help, |w| Some(w.state));
        let help = "For an observed worker: 1 for the state that it would be in with live=on.";
        self.by_state(out, "worker_would_be_state", help, |w| w.would_be);
        let help = "Since when it is in this state, since 1970.";
        out.family(Gauge, "worker_state_timestamp_seconds", help);
        self.each(|labels, worker| {
            if let Some(at) = worker.since_at_ms {
                out.sample_of(labels, &[], from_ms(at));
            }
        });
        self.flags(out);
    }

    fn flags(&self, out: &mut Writer) {
        let help = "Whether it is observed only.";
        self.flag(out, "worker_observed", help, |w| w.live == Live::Observe);
        let help = "Whether a verdict is held back because of a storm.";
        self.flag(out, "worker_held", help, |w| w.held);
        let help = "Whether it is in mod_proxy's own error state.";
        self.flag(out, "worker_httpd_error", help, |w| w.httpd_error);
        let help = "What the administrator has set: 1 for each bit that is set.";
        out.family(Gauge, "worker_admin", help);
        self.each(|labels, worker| {
            for (bit, word) in ADMIN {
                let set = worker.admin.contains(&bit);
                out.sample_of(labels, &[("bit", word)], u8::from(set));
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
                out.sample_of(labels, &[("outcome", outcome)], value);
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

    /// One sample for each state that there is.
    fn by_state(
        &self,
        out: &mut Writer,
        name: &str,
        help: &str,
        state: impl Fn(&Worker) -> Option<State>,
    ) {
        out.family(Gauge, name, help);
        self.each(|labels, worker| {
            let Some(state) = state(worker) else { return };
            for (one, word) in STATES {
                out.sample_of(labels, &[("state", word)], u8::from(state == one));
            }
        });
    }

    fn flag(&self, out: &mut Writer, name: &str, help: &str, is: impl Fn(&Worker) -> bool) {
        out.family(Gauge, name, help);
        self.each(|labels, worker| out.sample_of(labels, &[], u8::from(is(worker))));
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
                    out.sample_of(labels, &[("address", &address.ip)], value);
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

fn labels(balancer: &str, worker: &Worker) -> Labels {
    Labels::of(&[
        ("balancer", balancer),
        ("worker", &worker.name),
        ("server", &worker.server),
        ("route", &worker.route),
    ])
}
