//! This module's part of mod_status: a section of its page, and keys of `?auto`.

use std::fmt::Write as _;

use maud::html;

use super::model::{AddressState, Live, State, Status, Worker};

/// A worker with the name of its balancer, if it has one.
type Row<'a> = (Option<&'a str>, &'a Worker);

/// The live workers, members first.
fn rows(status: &Status) -> Vec<Row<'_>> {
    let members = status.balancers.iter().flat_map(|balancer| {
        let name = Some(balancer.name.as_str());
        balancer.members.iter().map(move |member| (name, member))
    });
    let plain = status.workers.iter().map(|worker| (None, worker));
    let live = |(_, worker): &Row| worker.live != Live::Off;
    members.chain(plain).filter(live).collect()
}

const fn word(state: State) -> &'static str {
    match state {
        State::Starting => "starting",
        State::Up => "up",
        State::Down => "down",
        State::LastResort => "last resort",
        State::Error => "error",
    }
}

fn described(worker: &Worker) -> String {
    let mut text = word(worker.state).to_owned();
    if let Some(would_be) = worker.would_be {
        let _ = write!(text, " (observed: would be {})", word(would_be));
    }
    if worker.held {
        text += " (held: storm)";
    }
    text
}

fn up(worker: &Worker) -> usize {
    let up = worker
        .addresses
        .iter()
        .filter(|a| a.state == AddressState::Up);
    up.count()
}

fn seconds_since(status: &Status, worker: &Worker) -> Option<u64> {
    let since = worker.since_at_ms?;
    Some(status.time_at_ms.saturating_sub(since) / 1_000)
}

/// Keys of `?auto`: one `key: value` a line. Numbers of workers count from 0, members first.
pub fn auto(status: &Status) -> String {
    let rows = rows(status);
    let count = |is: &dyn Fn(&Worker) -> bool| rows.iter().filter(|(_, w)| is(w)).count() as u64;
    let of = |state: State| count(&|w| w.state == state);
    let sum = |what: &dyn Fn(&Worker) -> u64| rows.iter().map(|(_, w)| what(w)).sum();
    let numbers: [(&str, u64); 19] = [
        ("Ready", status.ready.ready.into()),
        ("LeaderPid", status.leader.pid.unwrap_or(0).into()),
        ("Workers", rows.len() as u64),
        ("WorkersUp", of(State::Up)),
        ("WorkersDown", of(State::Down)),
        ("WorkersLastResort", of(State::LastResort)),
        ("WorkersError", of(State::Error)),
        ("WorkersStarting", of(State::Starting)),
        ("WorkersObserved", count(&|w| w.live == Live::Observe)),
        ("WorkersHeld", count(&|w| w.held)),
        ("RequestsEnded", sum(&|w| w.requests.ended)),
        ("RequestsRetried", sum(&|w| w.requests.retried)),
        ("RequestsRescued", sum(&|w| w.requests.rescued)),
        ("RequestsFailed", sum(&|w| w.requests.failed)),
        ("Probes", status.counters.probes),
        ("ProbeFailures", status.counters.probe_failures),
        ("DnsQueries", status.counters.dns_queries),
        ("DnsFailures", status.counters.dns_failures),
        ("AddressChanges", status.counters.address_changes),
    ];
    let mut text = String::new();
    for (key, value) in numbers {
        let _ = writeln!(text, "ProxyLive{key}: {value}");
    }
    for (n, (balancer, worker)) in rows.iter().enumerate() {
        one(&mut text, n, *balancer, worker);
    }
    text
}

fn one(text: &mut String, n: usize, balancer: Option<&str>, worker: &Worker) {
    let mut line = |key: &str, value: &str| {
        // A line is a line, whatever stands in it.
        let value = value.replace(char::is_control, " ");
        let _ = writeln!(text, "ProxyLiveWorker[{n}]{key}: {value}");
    };
    line("Name", &worker.name);
    line("Balancer", balancer.unwrap_or("-"));
    line("State", word(worker.state));
    line("AddressesUp", &up(worker).to_string());
    line("Addresses", &worker.addresses.len().to_string());
    let since = worker.since_at_ms.unwrap_or(0) / 1_000;
    line("Since", &since.to_string());
}

/// The section of mod_status's page.
pub fn html(status: &Status) -> String {
    let rows = rows(status);
    let leader = status.leader.pid;
    let page = html! {
        hr;
        h2 { "Live workers" }
        p {
            (status.ready.text) "; "
            @match leader {
                Some(pid) => { "child " (pid) " asks DNS and probes" }
                None => "no child leads"
            }
        }
        @if rows.is_empty() {
            p { "No worker is live." }
        } @else {
            table border="0" {
                tr {
                    @for head in ["Balancer", "Worker", "State", "Since", "Up", "Reason", "Ended", "Retried", "Rescued", "Failed"] {
                        th { (head) }
                    }
                }
                @for (balancer, worker) in &rows {
                    tr {
                        td { (balancer.unwrap_or("-")) }
                        td { (worker.name) }
                        td { (described(worker)) }
                        td { @if let Some(s) = seconds_since(status, worker) { (s) " s" } }
                        td { (up(worker)) "/" (worker.addresses.len()) }
                        td { (worker.reason) }
                        td { (worker.requests.ended) }
                        td { (worker.requests.retried) }
                        td { (worker.requests.rescued) }
                        td { (worker.requests.failed) }
                    }
                }
            }
        }
    };
    page.into_string()
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn keys_of_auto() {
        let status = sample::troubled();
        let text = auto(&status);
        let value = |key: &str| {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix(&format!("ProxyLive{key}: ")));
            line.unwrap_or_else(|| panic!("{key} in {text}")).to_owned()
        };
        let all = rows(&status).len();
        assert_eq!(value("Workers"), all.to_string());
        let states = ["Up", "Down", "LastResort", "Error", "Starting"];
        let counted = states.map(|s| value(&format!("Workers{s}")).parse::<usize>().unwrap());
        assert_eq!(counted.iter().sum::<usize>(), all);
        assert_eq!(value("Probes"), status.counters.probes.to_string());
        for n in 0..all {
            assert!(!value(&format!("Worker[{n}]Name")).is_empty());
        }
    }

    #[test]
    fn whatever_comes_from_outside_stays_text() {
        for (name, status) in sample::all() {
            let lines = auto(&status);
            let good = |line: &str| line.starts_with("ProxyLive") && line.contains(": ");
            assert!(lines.lines().all(good), "{name}: {lines}");
            let page = html(&status);
            assert!(
                !page.contains("<script") && !page.contains("<b>"),
                "{name}: {page}"
            );
        }
        assert!(html(&sample::empty()).contains("No worker is live"));
    }
}
