//! One worker: a row for each of its addresses, beside its own state.

use maud::{Markup, html};

use super::super::model::{Address, AddressState, Live, Probe, Requests, Worker};
use super::Page;
use super::chart::chart;
use super::state::{address_pill, admin, mark, pill, rank};
use super::text::{Text, age, grouped, setting, took, when};

/// The query takes no longer names (see `query`).
const MAX_LINKED: usize = 512;

impl Page<'_> {
    /// `known`: the server that need not be said again.
    pub fn worker(&self, worker: &Worker, known: Option<&str>) -> Markup {
        let rows = worker.addresses.len().max(1);
        let rows = (rows > 1).then_some(rows);
        html! {
            tbody class=[(rank(worker) < 3).then_some("bad")] {
                tr {
                    td.a rowspan=[rows] { (self.state(worker)) }
                    th.b scope="rowgroup" rowspan=[rows] { (self.about(worker, known)) }
                    @match worker.addresses.first() {
                        Some(address) => (self.address(address, worker.probe.is_some())),
                        None => { td.x colspan="3" { span.m { "no address" } } },
                    }
                }
                @for address in worker.addresses.iter().skip(1) {
                    tr { (self.address(address, worker.probe.is_some())) }
                }
            }
        }
    }

    fn state(&self, worker: &Worker) -> Markup {
        html! {
            (pill(worker.state))
            @if worker.live == Live::Observe { " " (mark("o", "observed")) }
            @if worker.live == Live::Off { " " i { "live=off" } }
            @if worker.held { " " (mark("h", "held by a storm")) }
            @for bit in &worker.admin { " " i { (admin(*bit)) } }
            @if worker.httpd_error { " " abbr title="mod_proxy's own error state, as in balancer-manager" { "Err" } }
            @if worker.httpd_failed { " " abbr title="marked as failed by health checks, as in balancer-manager" { "HcFl" } }
            @if let Some(state) = worker.would_be.filter(|state| *state != worker.state) {
                p { "would be " (pill(state)) }
            }
            @if let Some(at) = worker.since_at_ms { p { (when(at, self.now_ms)) } }
        }
    }

    fn about(&self, worker: &Worker, known: Option<&str>) -> Markup {
        let server = (known != Some(&worker.server)).then_some(&worker.server);
        html! {
            (self.name(worker))
            @if !worker.route.is_empty() { " " span.m { "route " code { (Text(&worker.route)) } } }
            @if !worker.reason.is_empty() { p.why { (Text(&worker.reason)) } }
            @if let Some(server) = server { p.m { "in " (Text(server)) } }
            @if let Some(probe) = &worker.probe { (settings(probe)) }
            (requests(&worker.requests, worker.live))
        }
    }

    fn name(&self, worker: &Worker) -> Markup {
        let name = Text(&worker.name);
        html! {
            @if (1..=MAX_LINKED).contains(&worker.name.len()) {
                a href=(self.link("", Some(&worker.name), "#events")) { (name) }
            } @else { (name) }
        }
    }

    /// The cells of one address.
    fn address(&self, address: &Address, probed: bool) -> Markup {
        html! {
            td.x {
                code { (Text(&address.ip)) } " "
                @if probed || address.state != AddressState::Unknown { (address_pill(address.state)) }
                @else { i { "not probed" } }
                @if address.held { " " (mark("h", "held")) }
                @if let Some(at) = address.since_at_ms { p { (when(at, self.now_ms)) } }
            }
            td.y { (self.last(address)) }
            td.z { (chart(&address.history)) }
        }
    }

    fn last(&self, address: &Address) -> Markup {
        html! {
            @if let Some(last) = &address.last {
                @if !last.ok { b.fail { (Text(&last.reason)) } }
                p {
                    @if !last.ok { "took " }
                    (took(last.took_us)) ", " span.m { (age(last.at_ms, self.now_ms)) }
                }
                p.m { (in_a_row(address)) }
            }
        }
    }
}

fn in_a_row(address: &Address) -> Markup {
    html! {
        @if address.failures > 0 { (grouped(address.failures.into())) " failed in a row" }
        @else if address.successes > 0 { (grouped(address.successes.into())) " good in a row" }
    }
}

fn settings(probe: &Probe) -> Markup {
    // the target begins with the kind when it is as the model promises
    let said = probe.target.starts_with(&probe.kind);
    html! {
        p.m {
            @if !said { (Text(&probe.kind)) " " }
            code { (Text(&probe.target)) }
            " every " (setting(probe.interval_ms)) ", within " (setting(probe.timeout_ms))
            ", fall\u{a0}" (probe.fall) "\u{a0}rise\u{a0}" (probe.rise)
        }
    }
}

/// Most workers never need it: a few words then.
fn requests(requests: &Requests, live: Live) -> Markup {
    let parts = [
        (requests.ended, "ended"),
        (requests.retried, "retried"),
        (requests.rescued, "rescued"),
        (requests.failed, "failed"),
    ];
    html! {
        @if parts.iter().any(|(number, _)| *number > 0) {
            p.req {
                @if live == Live::Observe { "requests, would be:" } @else { "requests:" }
                @for (at, (number, what)) in parts.iter().enumerate() {
                    @if at > 0 { "," }
                    " " (grouped(*number)) " " (what)
                }
            }
        } @else if live != Live::Off {
            p.m { "no request had to be rescued" }
        }
    }
}
