//! The model for Prometheus and its relatives. `docs/status.md` has the table, and says which names are stable.
//!
//! Each family is written at once, its samples in the order of the model. Where two workers have the same labels (the
//! same URL twice in a balancer), the first one counts: two samples with the same labels would spoil the whole answer.

mod families;
mod workers;
mod writer;

use super::model::Status;
use writer::Writer;

/// How it is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dialect {
    /// OpenMetrics 1.0.0: `application/openmetrics-text; version=1.0.0; charset=utf-8`.
    OpenMetrics,
    /// Prometheus' text format: `text/plain; version=0.0.4; charset=utf-8`.
    Prometheus,
}

/// The model as metrics.
pub fn text(status: &Status, dialect: Dialect) -> String {
    let mut out = Writer::new(dialect);
    families::module(status, &mut out);
    families::counters(&status.counters, &mut out);
    workers::balancers(status, &mut out);
    let workers = workers::Workers::of(status);
    workers.states(&mut out);
    workers.requests(&mut out);
    workers.addresses(&mut out);
    families::names(status, &mut out);
    out.end()
}

#[cfg(test)]
mod tests;
