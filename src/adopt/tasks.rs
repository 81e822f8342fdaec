//! What the leader has to do for the live workers: each name and each target once, however many
//! workers and virtual hosts use it; and the texts by which the board knows them.

use std::collections::HashMap;
use std::net::SocketAddr;

use super::gather::{Planned, Source};
use crate::board::{NameId, Tag, TargetId};
use crate::logic::addr::{Addr, Families};
use crate::logic::health::Rules;
use crate::monitor::probe::{self, Kind, TargetTask};
use crate::monitor::run::NameTask;

/// The tasks, and for each worker which are its own.
#[derive(Debug)]
pub struct Tasks {
    pub names: Vec<NameTask>,
    pub targets: Vec<TargetTask>,
    /// For each worker the index of its name; None for a numeric host.
    pub name_of: Vec<Option<usize>>,
    /// For each worker the index of its target; None without probes.
    pub target_of: Vec<Option<usize>>,
}

impl Tasks {
    pub fn of(workers: &[Planned]) -> Self {
        let mut tasks = Self {
            names: Vec::new(),
            targets: Vec::new(),
            name_of: Vec::new(),
            target_of: Vec::new(),
        };
        let (mut names, mut targets) = (HashMap::new(), HashMap::new());
        for worker in workers {
            let name = match worker.source {
                Source::Fixed(_) => None,
                Source::Name(..) => Some(tasks.name(worker, &mut names)),
            };
            tasks.name_of.push(name);
            let target = worker
                .wants_probes()
                .then(|| tasks.target(worker, name, &mut targets));
            tasks.target_of.push(target);
        }
        tasks
    }

    fn name(&mut self, worker: &Planned, known: &mut HashMap<String, usize>) -> usize {
        let host = worker.host.to_ascii_lowercase();
        let settings = &worker.settings;
        let new = NameTask {
            id: NameId(0),
            tag: Tag(1),
            name: host.clone(),
            want: Families::NONE,
            ttl_min: settings.ttl.min,
            ttl_max: settings.ttl.max,
        };
        let at = *known.entry(host).or_insert(self.names.len());
        if at == self.names.len() {
            self.names.push(new);
        }
        // Asked for as the more eager of the workers wants.
        let task = &mut self.names[at];
        task.want = task.want.union(settings.families);
        task.ttl_min = task.ttl_min.min(settings.ttl.min);
        task.ttl_max = task.ttl_max.min(settings.ttl.max).max(task.ttl_min);
        at
    }

    fn target(
        &mut self,
        worker: &Planned,
        name: Option<usize>,
        known: &mut HashMap<String, usize>,
    ) -> usize {
        let port = worker.probe_port();
        let label = label(worker, port);
        let key = format!("tcp {label}");
        let at = *known.entry(key.clone()).or_insert(self.targets.len());
        if at == self.targets.len() {
            self.targets.push(TargetTask {
                id: TargetId(0),
                tag: Tag(1),
                key,
                label,
                source: match (name, &worker.source) {
                    (Some(name), _) => probe::Source::Name(name),
                    (None, Source::Fixed(addr)) => probe::Source::Fixed(*addr),
                    (None, Source::Name(..)) => unreachable!("a name has its task"),
                },
                port,
                kind: Kind::Tcp,
                rules: worker.settings.rules,
            });
        }
        let task = &mut self.targets[at];
        task.rules = join(&task.rules, &worker.settings.rules);
        at
    }
}

/// Workers that share a target: probed as often as any of them wants, judged as carefully.
fn join(a: &Rules, b: &Rules) -> Rules {
    Rules {
        interval_ms: a.interval_ms.min(b.interval_ms),
        timeout_ms: a.timeout_ms.max(b.timeout_ms),
        fall: a.fall.max(b.fall),
        rise: a.rise.max(b.rise),
    }
}

/// `app.test:8080`, `192.0.2.1:80` or `[2001:db8::1]:80`.
fn label(worker: &Planned, port: u16) -> String {
    match &worker.source {
        Source::Name(..) => format!("{}:{port}", worker.host.to_ascii_lowercase()),
        Source::Fixed(Addr { ip, .. }) => SocketAddr::new(*ip, port).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_targets_are_probed_often_and_judged_carefully() {
        let rules = |interval_ms, timeout_ms, fall, rise| Rules {
            interval_ms,
            timeout_ms,
            fall,
            rise,
        };
        let joined = join(&rules(1000, 100, 5, 2), &rules(2000, 500, 1, 3));
        assert_eq!(joined, rules(1000, 500, 5, 3));
    }
}
