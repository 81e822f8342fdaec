//! Text from somebody who means harm.

use super::super::model::*;
use super::parts::*;
use super::{HOSTILE, troubled};

/// [`HOSTILE`] in each text.
pub fn hostile() -> Status {
    let text = || HOSTILE.to_owned();
    let mut status = troubled();
    (status.version, status.server, status.ready.text) = (text(), text(), text());
    status.filter = Some(text());
    for balancer in &mut status.balancers {
        balancer.name = text();
        balancer.servers = vec![text()];
        balancer.members.iter_mut().for_each(spoil);
    }
    status.workers.iter_mut().for_each(spoil);
    for name in &mut status.names {
        (name.name, name.server, name.addresses) = (text(), Some(text()), vec![text()]);
        name.families = vec![Family {
            family: text(),
            error: Some(text()),
            failing_since_at_ms: Some(ago(9)),
            ..family("")
        }];
    }
    for left in &mut status.left {
        (left.worker, left.server, left.reason) = (text(), text(), text());
    }
    for event in &mut status.events {
        (event.subject, event.address, event.reason) = (text(), text(), text());
        (event.from, event.to) = (text(), text());
    }
    status
}

fn spoil(worker: &mut Worker) {
    let text = || HOSTILE.to_owned();
    (worker.name, worker.server, worker.route) = (text(), text(), text());
    (worker.reason, worker.dns) = (text(), Some(text()));
    if let Some(probe) = &mut worker.probe {
        (probe.kind, probe.target) = (text(), text());
    }
    for address in &mut worker.addresses {
        address.ip = text();
        if let Some(last) = &mut address.last {
            last.reason = text();
        }
    }
}
