//! What the leader has to do for the live workers: each name and each target once, however many
//! workers and virtual hosts use it; and the texts by which the board knows them.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::gather::{Planned, Source};
use super::wire::Wire;
use crate::board::{NameId, Tag, TargetId};
use crate::config::params::Probe;
use crate::logic::addr::{Addr, Families};
use crate::logic::health::Rules;
use crate::logic::statuses::Statuses;
use crate::monitor::probe::{self, HttpCheck, Kind, TargetTask, TlsCheck};
use crate::monitor::run::{Epochs, NameTask, Plan as MonitorPlan};

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
        Self::beyond(&MonitorPlan::default(), workers)
    }

    /// The tasks of a plan, and behind them those that further workers add.
    pub fn beyond(plan: &MonitorPlan, workers: &[Planned]) -> Self {
        let mut tasks = Self {
            names: plan.names.clone(),
            targets: plan.targets.clone(),
            name_of: Vec::new(),
            target_of: Vec::new(),
        };
        // What is there for the children of earlier configurations goes with them.
        let names = plan
            .names
            .iter()
            .zip(0..)
            .filter(|(t, _)| !t.epochs.is_past());
        let mut names = names.map(|(t, at)| (t.name.clone(), at)).collect();
        let targets = plan
            .targets
            .iter()
            .zip(0..)
            .filter(|(t, _)| !t.epochs.is_past());
        let mut targets = targets.map(|(t, at)| (t.key.clone(), at)).collect();
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
            epochs: Epochs::default(),
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
        let (kind, place) = (kind_of(worker), place(worker, port));
        let key = key(&kind, &place);
        let at = *known.entry(key.clone()).or_insert(self.targets.len());
        if at == self.targets.len() {
            self.targets.push(TargetTask {
                id: TargetId(0),
                tag: Tag(1),
                key,
                label: label(&kind, &place),
                source: match (name, &worker.source) {
                    (Some(name), _) => probe::Source::Name(name),
                    (None, Source::Fixed(addr)) => probe::Source::Fixed(*addr),
                    (None, Source::Name(..)) => unreachable!("a name has its task"),
                },
                port,
                kind,
                rules: worker.settings.rules,
                epochs: Epochs::default(),
            });
        }
        let task = &mut self.targets[at];
        task.rules = join(&task.rules, &worker.settings.rules);
        at
    }
}

/// What is probed for a worker, as the log calls it.
pub fn target_label(worker: &Planned) -> String {
    label(&kind_of(worker), &place(worker, worker.probe_port()))
}

fn kind_of(worker: &Planned) -> Kind {
    let settings = &worker.settings;
    kind(&Wanted {
        probe: settings.probe,
        over_tls: worker.wire == Wire::Tls,
        host: settings.host.as_deref().unwrap_or(&worker.host),
        port: worker.probe_port(),
        uri: &settings.uri,
        expect: &settings.expect,
    })
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

/// What the probes of a worker are to be.
struct Wanted<'a> {
    probe: Probe,
    /// The worker speaks TLS, and so do its HTTP probes.
    over_tls: bool,
    /// Name or address for Host and SNI, IPv6 with brackets or without.
    host: &'a str,
    /// The port probed.
    port: u16,
    uri: &'a str,
    expect: &'a Statuses,
}

fn kind(wanted: &Wanted) -> Kind {
    let host = wanted.host.trim_end_matches('.').to_ascii_lowercase();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let ip: Option<IpAddr> = bare.parse().ok();
    let hello = || TlsCheck {
        name: ip.is_none().then(|| host.clone()),
    };
    match wanted.probe {
        Probe::Tcp | Probe::Off => Kind::Tcp,
        Probe::Tls => Kind::Tls(Arc::new(hello())),
        Probe::Http => Kind::Http(Arc::new(HttpCheck {
            tls: wanted.over_tls.then(hello),
            host: host_field(&host, ip, wanted),
            uri: wanted.uri.to_owned(),
            expect: wanted.expect.clone(),
        })),
    }
}

/// As clients write it: the port stands there unless it is the scheme's.
fn host_field(host: &str, ip: Option<IpAddr>, wanted: &Wanted) -> String {
    let host = match ip {
        Some(IpAddr::V6(ip)) => format!("[{ip}]"),
        _ => host.to_owned(),
    };
    let usual = if wanted.over_tls { 443 } else { 80 };
    if wanted.port == usual {
        host
    } else {
        format!("{host}:{}", wanted.port)
    }
}

/// Where it is probed: `app.test:8080`, `192.0.2.1:80` or `[2001:db8::1]:80`.
fn place(worker: &Planned, port: u16) -> String {
    match &worker.source {
        Source::Name(..) => format!("{}:{port}", worker.host.to_ascii_lowercase()),
        Source::Fixed(Addr { ip, .. }) => SocketAddr::new(*ip, port).to_string(),
    }
}

/// For the log: `app.test:8080`, `tls app.test:8443`, `https app.test:8443/healthz`. What stands behind the `?` of a
/// URL may be secret.
fn label(kind: &Kind, place: &str) -> String {
    match kind {
        Kind::Tcp => place.to_owned(),
        Kind::Tls(_) => format!("{} {place}", kind.word()),
        Kind::Http(check) => {
            let path = check.uri.split('?').next().unwrap_or_default();
            format!("{} {place}{path}", kind.word())
        }
    }
}

/// What makes the identity of a target: all that is sent and all that is expected.
fn key(kind: &Kind, place: &str) -> String {
    let word = kind.word();
    let name = |check: &TlsCheck| check.name.clone().unwrap_or_default();
    match kind {
        Kind::Tcp => format!("{word} {place}"),
        Kind::Tls(check) => format!("{word} {place} {}", name(check)),
        Kind::Http(check) => {
            let HttpCheck {
                host, uri, expect, ..
            } = &**check;
            let name = check.tls.as_ref().map(name).unwrap_or_default();
            format!("{word} {place} {host} {name} {expect} {uri}")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

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

    fn wanted<'a>(probe: Probe, host: &'a str, port: u16, expect: &'a Statuses) -> Wanted<'a> {
        Wanted {
            probe,
            over_tls: false,
            host,
            port,
            uri: "/healthz?token=secret",
            expect,
        }
    }

    /// Host field and name of an HTTP probe; without TLS no name.
    fn names(host: &str, port: u16, over_tls: bool) -> (String, Option<String>) {
        let expect = Statuses::default();
        let Kind::Http(check) = kind(&Wanted {
            over_tls,
            ..wanted(Probe::Http, host, port, &expect)
        }) else {
            panic!("another kind");
        };
        assert_eq!(check.tls.is_some(), over_tls);
        let name = check.tls.as_ref().and_then(|tls| tls.name.clone());
        (check.host.clone(), name)
    }

    #[test]
    fn hosts_as_clients_write_them() {
        for (host, port, over_tls, field, name) in [
            ("app.test", 80, false, "app.test", None),
            ("App.Test.", 8080, false, "app.test:8080", None),
            ("app.test", 443, false, "app.test:443", None),
            ("app.test", 443, true, "app.test", Some("app.test")),
            ("App.Test.", 80, true, "app.test:80", Some("app.test")),
            ("192.0.2.1", 8443, true, "192.0.2.1:8443", None),
            ("2001:DB8::1", 443, true, "[2001:db8::1]", None),
            ("[2001:db8::1]", 8080, false, "[2001:db8::1]:8080", None),
        ] {
            let wanted = (field.to_owned(), name.map(str::to_owned));
            assert_eq!(
                names(host, port, over_tls),
                wanted,
                "{host} {port} {over_tls}"
            );
        }
    }

    #[test]
    fn kinds_and_what_they_are_called() {
        let place = "app.test:8443";
        let expect = Statuses::parse("200,204").unwrap();
        let described = |probe, over_tls| {
            let kind = kind(&Wanted {
                over_tls,
                ..wanted(probe, "www.test", 8443, &expect)
            });
            (label(&kind, place), key(&kind, place))
        };
        let texts = |label: &str, key: &str| (label.to_owned(), key.to_owned());
        assert_eq!(
            described(Probe::Tcp, true),
            texts("app.test:8443", "tcp app.test:8443")
        );
        for over_tls in [false, true] {
            assert_eq!(
                described(Probe::Tls, over_tls),
                texts("tls app.test:8443", "tls app.test:8443 www.test")
            );
        }
        assert_eq!(
            described(Probe::Http, false),
            texts(
                "http app.test:8443/healthz",
                "http app.test:8443 www.test:8443  200,204 /healthz?token=secret"
            )
        );
        assert_eq!(
            described(Probe::Http, true),
            texts(
                "https app.test:8443/healthz",
                "https app.test:8443 www.test:8443 www.test 200,204 /healthz?token=secret"
            )
        );
    }

    #[test]
    fn all_that_is_sent_and_expected_tells_targets_apart() {
        let (some, more) = (Statuses::parse("200").unwrap(), Statuses::default());
        let base = || wanted(Probe::Http, "app.test", 80, &some);
        let all = [
            base(),
            Wanted {
                over_tls: true,
                ..base()
            },
            Wanted {
                host: "www.test",
                ..base()
            },
            Wanted {
                uri: "/healthz",
                ..base()
            },
            Wanted {
                expect: &more,
                ..base()
            },
            Wanted {
                probe: Probe::Tls,
                ..base()
            },
            Wanted {
                probe: Probe::Tcp,
                ..base()
            },
        ];
        let keys: HashSet<String> = all.iter().map(|w| key(&kind(w), "app.test:80")).collect();
        assert_eq!(keys.len(), all.len());
    }
}
