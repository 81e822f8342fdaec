//! What `httpd -t -D DUMP_PROXY_LIVE` prints: the configuration as the module understood it.

use std::collections::HashMap;

use super::gather::{self, Gathered, Planned, is_numeric};
use super::tasks::Tasks;
use crate::config::explain::{Explained, Facts};
use crate::config::lines::{Directive, Places};
use crate::config::params::{Mode, Settings};
use crate::config::{Config, Subject};
use crate::ffi::proxy::{Balancer, Server, Worker};
use crate::logic::redact;

mod text;

use text::{Group, Item, Report, State};

/// The whole text.
pub fn text(config: &Config, main: Server, directives: &[Directive]) -> String {
    let view = View::new(config, main, config.places(directives));
    view.report().text()
}

/// Plain workers, each with its copies in virtual hosts.
#[derive(Default)]
struct Known {
    at: HashMap<usize, usize>,
    copies: Vec<Vec<(Worker, Server)>>,
}

impl Known {
    fn add(&mut self, worker: Worker, server: Server) {
        let new = self.copies.len();
        let at = *self.at.entry(worker.shared_key()).or_insert(new);
        if at == new {
            self.copies.push(Vec::new());
        }
        self.copies[at].push((worker, server));
    }
}

/// What was worked out for all workers.
struct View<'a> {
    config: &'a Config,
    main: Server,
    places: Places,
    found: Gathered,
    /// The settings of live workers, with what they share.
    shared: Vec<Settings>,
    /// Their places, by worker.
    at: HashMap<usize, usize>,
}

impl<'a> View<'a> {
    fn new(config: &'a Config, main: Server, places: Places) -> Self {
        let found = gather::workers(config, main);
        let tasks = Tasks::of(&found.live);
        let live = found.live.iter().enumerate();
        Self {
            config,
            main,
            places,
            shared: live
                .clone()
                .map(|(n, one)| shared(&tasks, n, one))
                .collect(),
            at: live.map(|(n, one)| (one.worker.key(), n)).collect(),
            found,
        }
    }

    fn report(&self) -> Report {
        let mut plain = Known::default();
        let mut groups: Vec<(Balancer, Vec<Server>)> = Vec::new();
        let mut known: HashMap<usize, usize> = HashMap::new();
        for server in self.main.chain() {
            server.workers(|worker, balancer| {
                if balancer.is_none() {
                    plain.add(worker, server);
                }
            });
            server.balancers(|balancer| {
                let key = balancer.handle.members_key();
                let at = *known.entry(key).or_insert(groups.len());
                if at == groups.len() {
                    groups.push((balancer.clone(), Vec::new()));
                }
                groups[at].1.push(server);
            });
        }
        let copies = plain.copies.iter();
        Report {
            version: env!("CARGO_PKG_VERSION"),
            resolver: self.config.resolver().to_string(),
            drain_file: self.config.drain_file().map(str::to_owned),
            balancers: groups.iter().map(|(b, in_)| self.group(b, in_)).collect(),
            plain: copies.map(|copies| self.plain(copies)).collect(),
            unused: self.config.unused_templates(),
        }
    }

    fn group(&self, balancer: &Balancer, servers: &[Server]) -> Group {
        let name = Some(balancer.name.as_str());
        let members = balancer.members.iter().map(|member| {
            let copies: Vec<_> = servers.iter().map(|server| (*member, *server)).collect();
            let cases = self.cases(&copies, name);
            item(*member, state(&cases))
        });
        Group {
            name: balancer.name.clone(),
            servers: self.labels(servers.iter().copied()),
            members: members.collect(),
            growth: self.growth(balancer, servers),
        }
    }

    /// What becomes of members that are added at run time.
    fn growth(&self, balancer: &Balancer, servers: &[Server]) -> Option<(u32, String)> {
        let growth = Some(balancer.handle.growth()).filter(|growth| *growth > 0)?;
        let explain = |server: &Server| {
            let subject = Subject {
                shared_key: 0,
                server: server.key(),
                main: self.main.key(),
                balancer: Some(&balancer.name),
                scheme: "http",
                port: 80,
                hchecked: false,
                left: false,
            };
            self.config.explain(&subject, &Facts::default())
        };
        let all: Vec<Explained> = servers.iter().map(explain).collect();
        let live = all.iter().find(|one| one.mode != Mode::Off);
        let said = live.or(all.first())?;
        let word = match said.mode {
            Mode::On => "live",
            Mode::Observe => "observed",
            Mode::Off => "not live",
        };
        Some((growth, format!("{word}: {}", said.from)))
    }

    fn plain(&self, copies: &[(Worker, Server)]) -> Item {
        let cases = self.cases(copies, None);
        let (worker, _) = copies[0];
        let servers = self.labels(copies.iter().map(|(_, server)| *server));
        let mut item = item(worker, state(&cases));
        item.servers = servers;
        if let State::Live { mode, .. } = item.state {
            for case in &cases {
                if let Some((what, why)) = different(case, mode) {
                    item.note(what, why, self.label(case.server));
                }
            }
        }
        item
    }

    /// The copies of a worker, or a member in each of its servers.
    fn cases(&self, copies: &[(Worker, Server)], balancer: Option<&str>) -> Vec<Case> {
        let case = |(worker, server): &(Worker, Server)| {
            let live = self.at.get(&worker.key()).copied();
            let left = self.found.left.iter();
            let left = left.filter(|left| left.shared_key == worker.shared_key());
            let explained = self.explain(*worker, *server, balancer, live);
            Case {
                server: *server,
                live,
                left: left.map(|left| left.reason).next(),
                explained,
            }
        };
        copies.iter().map(case).collect()
    }

    fn explain(
        &self,
        worker: Worker,
        server: Server,
        balancer: Option<&str>,
        live: Option<usize>,
    ) -> Explained {
        let (host, scheme) = (worker.host(), worker.scheme());
        let subject = Subject {
            shared_key: worker.shared_key(),
            server: server.key(),
            main: self.main.key(),
            balancer,
            scheme: &scheme,
            port: worker.port(),
            hchecked: worker.is_hchecked(),
            left: false,
        };
        let facts = Facts {
            numeric: is_numeric(&host),
            host: &host,
            places: Some(&self.places),
            shared: live.map(|at| &self.shared[at]),
        };
        self.config.explain(&subject, &facts)
    }

    fn labels(&self, servers: impl Iterator<Item = Server>) -> Vec<String> {
        servers.map(|server| self.label(server)).collect()
    }

    fn label(&self, server: Server) -> String {
        let name = server.name();
        match server.place() {
            Some(place) => format!("{name} ({place})"),
            None => format!("{name} (main server)"),
        }
    }
}

/// A worker in one server.
struct Case {
    server: Server,
    /// Its place among the live ones.
    live: Option<usize>,
    left: Option<&'static str>,
    explained: Explained,
}

/// What a worker came to. The settings of the first server that wants it live are in force in all of them, also when
/// it is left to httpd there (see `gather`).
fn state(cases: &[Case]) -> State {
    let wanted = |case: &&Case| case.explained.mode != Mode::Off;
    let Some(first) = cases.iter().find(wanted) else {
        let from = cases.first().map(|case| case.explained.from.clone());
        return State::Off(from.unwrap_or_default());
    };
    let mut live = cases
        .iter()
        .filter(wanted)
        .filter(|case| case.live.is_some());
    match (live.next(), first.left) {
        (Some(live), _) => {
            let mode = live.explained.values.iter().take(1);
            let others = first.explained.values.iter().skip(1);
            State::Live {
                mode: live.explained.mode,
                values: mode.chain(others).cloned().collect(),
            }
        }
        (None, Some(reason)) => State::Left(reason),
        (None, None) => State::Off(first.explained.from.clone()),
    }
}

/// What a worker of this mode came to in a server where it is something else, and why.
fn different(case: &Case, mode: Mode) -> Option<(&'static str, String)> {
    let Explained {
        mode: own, from, ..
    } = &case.explained;
    match (case.live, case.left) {
        (Some(_), _) if *own == mode => None,
        (Some(_), _) if *own == Mode::Observe => Some(("observed", from.clone())),
        (Some(_), _) => Some(("live", from.clone())),
        (None, Some(reason)) if *own != Mode::Off => Some(("left to httpd", reason.to_owned())),
        _ => Some(("not live", format!("off by {from}"))),
    }
}

fn item(worker: Worker, state: State) -> Item {
    Item {
        url: redact::url(&worker.name()),
        route: worker.route(),
        servers: Vec::new(),
        state,
        notes: Vec::new(),
    }
}

/// The settings of a live worker with what holds for all who share its name and its probes.
fn shared(tasks: &Tasks, number: usize, planned: &Planned) -> Settings {
    let mut settings = planned.settings.clone();
    if let Some(name) = tasks.name_of[number].map(|at| &tasks.names[at]) {
        (settings.ttl.min, settings.ttl.max) = (name.ttl_min, name.ttl_max);
    }
    if let Some(target) = tasks.target_of[number].map(|at| &tasks.targets[at]) {
        settings.rules = target.rules;
    }
    settings
}
