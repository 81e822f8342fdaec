//! What is followed and probed for the children of earlier configurations, which finish their requests beside those of
//! the newest one: names and targets that a reload took out of the configuration.

use std::collections::{HashMap, HashSet};

use super::tasks::Tasks;
use crate::logic::epochs::Living;
use crate::monitor::probe::{Source, TargetTask};
use crate::monitor::run::{Epochs, NameTask, Plan};

impl Tasks {
    /// Says since when these tasks are wanted, now that they are those of `epoch`: what the plan `last` has as well
    /// goes on.
    pub fn begin(&mut self, last: &Plan, epoch: u64) {
        let names = last.names.iter();
        let known: HashMap<&str, u64> = names.map(|t| (t.name.as_str(), t.epochs.since)).collect();
        for task in &mut self.names {
            let since = known.get(task.name.as_str());
            task.epochs.since = since.copied().unwrap_or(epoch);
        }
        let targets = last.targets.iter();
        let known: HashMap<&str, u64> = targets.map(|t| (t.key.as_str(), t.epochs.since)).collect();
        for task in &mut self.targets {
            let since = known.get(task.key.as_str());
            task.epochs.since = since.copied().unwrap_or(epoch);
        }
    }

    /// Adds what the plan `last`, of the configuration `epoch`, has and these tasks have not, for the `living` children
    /// that still use it.
    pub fn add_past(&mut self, last: &Plan, epoch: u64, living: &Living) {
        let past = |epochs: Epochs| Epochs {
            until: epochs.until.or(Some(epoch)),
            ..epochs
        };
        let is_used = |epochs: Epochs| past(epochs).are_left(living);
        let known: HashSet<&str> = self.names.iter().map(|t| t.name.as_str()).collect();
        let names = last.names.iter().filter(|t| is_used(t.epochs));
        let names = names.filter(|t| !known.contains(t.name.as_str())).cloned();
        let names: Vec<NameTask> = names.collect();
        self.names.extend(names.into_iter().map(|t| NameTask {
            epochs: past(t.epochs),
            ..t
        }));
        let places: HashMap<&str, usize> = self
            .names
            .iter()
            .map(|t| t.name.as_str())
            .zip(0..)
            .collect();
        let place = |name: usize| places.get(last.names.get(name)?.name.as_str()).copied();
        let known: HashSet<&str> = self.targets.iter().map(|t| t.key.as_str()).collect();
        let targets = last.targets.iter().filter(|t| is_used(t.epochs));
        let targets = targets.filter(|t| !known.contains(t.key.as_str()));
        let targets: Vec<TargetTask> = targets
            .filter_map(|t| {
                let source = match t.source {
                    Source::Name(name) => Source::Name(place(name)?),
                    fixed => fixed,
                };
                let epochs = past(t.epochs);
                Some(TargetTask {
                    source,
                    epochs,
                    ..t.clone()
                })
            })
            .collect();
        self.targets.extend(targets);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::board::{NameId, Tag, TargetId};
    use crate::logic::addr::Families;
    use crate::logic::health::Rules;
    use crate::monitor::probe::Kind;

    fn living<const N: usize>(epochs: [u64; N]) -> Living {
        Living::from_iter(epochs)
    }

    fn name(text: &str, until: Option<u64>) -> NameTask {
        NameTask {
            id: NameId(0),
            tag: Tag::new(text, 1),
            name: text.into(),
            want: Families::ANY,
            ttl_min: Duration::from_secs(1),
            ttl_max: Duration::from_secs(9),
            epochs: Epochs { since: 3, until },
        }
    }

    fn target(name: usize, key: &str, until: Option<u64>) -> TargetTask {
        TargetTask {
            id: TargetId(0),
            tag: Tag::new(key, 1),
            key: key.into(),
            label: key.into(),
            source: Source::Name(name),
            port: 80,
            kind: Kind::Tcp,
            rules: Rules {
                interval_ms: 2_000,
                timeout_ms: 500,
                fall: 2,
                rise: 2,
            },
            epochs: Epochs { since: 3, until },
        }
    }

    fn plan(names: Vec<NameTask>, targets: Vec<TargetTask>) -> Plan {
        Plan {
            names,
            targets,
            ..Plan::default()
        }
    }

    type Names<'a> = Vec<(&'a str, Option<u64>)>;
    type Targets<'a> = Vec<(&'a str, &'a str, Option<u64>)>;

    /// Names, and the targets with their names, each with the last configuration that wants it.
    fn shown(tasks: &Tasks) -> (Names<'_>, Targets<'_>) {
        let names = tasks
            .names
            .iter()
            .map(|t| (t.name.as_str(), t.epochs.until));
        let targets = tasks.targets.iter().map(|t| {
            let name = match t.source {
                Source::Name(at) => tasks.names[at].name.as_str(),
                Source::Fixed(_) => "",
            };
            (t.key.as_str(), name, t.epochs.until)
        });
        (names.collect(), targets.collect())
    }

    #[test]
    fn what_old_children_use_is_kept_and_no_more() {
        // The last configuration (7) had `a` and `b`; `c` is still there for children of 4.
        let last = plan(
            vec![name("a", None), name("b", None), name("c", Some(4))],
            vec![
                target(0, "a:1", None),
                target(0, "a:2", None),
                target(1, "b:1", None),
                target(2, "c:1", Some(4)),
            ],
        );
        // Now `a` alone is wanted, behind a new name, and on one port.
        let new = || {
            let now = plan(
                vec![name("new", None), name("a", None)],
                vec![target(1, "a:1", None)],
            );
            Tasks::beyond(&now, &[])
        };
        let now = (vec![("new", None), ("a", None)], vec![("a:1", "a", None)]);
        let mut tasks = new();
        tasks.add_past(&last, 7, &living([4, 8]));
        let (names, targets) = shown(&tasks);
        assert_eq!(names[..2], now.0);
        assert_eq!(names[2..], [("b", Some(7)), ("c", Some(4))]);
        assert_eq!(targets[..1], now.1);
        let past = [
            ("a:2", "a", Some(7)),
            ("b:1", "b", Some(7)),
            ("c:1", "c", Some(4)),
        ];
        assert_eq!(targets[1..], past);
        // The children of 4 have ended.
        let mut tasks = new();
        tasks.add_past(&last, 7, &living([5]));
        let (names, targets) = shown(&tasks);
        assert_eq!((names.len(), targets.len()), (3, 3));
        assert_eq!(names[2], ("b", Some(7)));
        // All have; one that is older than all of it is left.
        let mut tasks = new();
        tasks.add_past(&last, 7, &living([2, 8]));
        assert_eq!(shown(&tasks), now);
    }

    /// A member that comes at run time has tasks of its own: those of the past end.
    #[test]
    fn what_is_of_the_past_is_nobody_elses() {
        let past = plan(vec![name("a", None), name("b", Some(3))], Vec::new());
        let mut tasks = Tasks::beyond(&past, &[]);
        assert_eq!(tasks.names.len(), 2);
        // Wanted again: as of now.
        let again = plan(vec![name("b", None)], Vec::new());
        tasks = Tasks::beyond(&again, &[]);
        tasks.add_past(&past, 4, &living([3]));
        assert_eq!(shown(&tasks).0, [("b", None), ("a", Some(4))]);
    }

    /// A child of the first configuration is left through many reloads, each of which brings another name: what was
    /// added and taken out behind its back is not kept for it.
    #[test]
    fn one_child_that_stays_keeps_only_its_own() {
        let living = living([1]);
        let mut last = (0, Plan::default());
        for epoch in 1..=50 {
            let moving = format!("n{epoch}");
            let names = ["stays", &moving].map(|text| name(text, None));
            let targets = vec![target(0, "stays:1", None), target(1, &moving, None)];
            let mut tasks = Tasks::beyond(&plan(names.into(), targets), &[]);
            tasks.begin(&last.1, epoch);
            tasks.add_past(&last.1, last.0, &living);
            let past = if epoch == 1 { &[][..] } else { &["n1"] };
            let (names, targets) = shown(&tasks);
            let names: Vec<&str> = names[2..].iter().map(|(name, _)| *name).collect();
            assert_eq!(names, past, "epoch {epoch}");
            assert_eq!(targets.len(), 2 + past.len(), "epoch {epoch}");
            let since: Vec<u64> = tasks.names.iter().map(|t| t.epochs.since).collect();
            assert_eq!(since[..2], [1, epoch]);
            last = (epoch, plan(tasks.names, tasks.targets));
        }
    }
}
