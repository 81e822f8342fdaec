//! The resolver: from a configured name to addresses, by way of the hosts file, the
//! search list and the name servers.
//!
//! It knows no TTLs and keeps no answers; when to ask is decided by the schedule of the
//! names. What was read of the system's files is a [`View`]; a change of the files makes
//! a new one, look-ups under way finish with the old one.

use std::path::PathBuf;
use std::sync::Arc;

use self::dns::Dns;
use self::question::dns_name;
use super::files::{Watched, host_name, interface_index};
use crate::board::Source;
use crate::config::resolver::{ResolverConfig, Servers};
use crate::logic::addr::{Families, Family};
use crate::logic::answer::{Failure, Lookup, Outcome};
use crate::logic::hosts::Hosts;
use crate::logic::resolvconf::ResolvConf;
use crate::logic::search::{Rules, Search};

mod dns;
mod question;
mod server;
#[cfg(test)]
pub mod test_server;

/// Gets the first part of a look-up; see [`View::lookup_in_parts`].
pub type Early<'a> = &'a (dyn Fn(Lookup) + Send + Sync);

/// The system's files that say how names are resolved.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SystemFiles {
    pub resolv_conf: PathBuf,
    pub hosts: PathBuf,
}

impl Default for SystemFiles {
    fn default() -> Self {
        Self {
            resolv_conf: "/etc/resolv.conf".into(),
            hosts: "/etc/hosts".into(),
        }
    }
}

/// Which of the system's files say something new.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FilesChanged {
    pub resolv: bool,
    pub hosts: bool,
}

/// The resolver of one leader.
pub struct Resolver {
    config: ResolverConfig,
    /// `None` when the servers are given explicitly.
    files: Option<(Watched, Watched)>,
    conf: ResolvConf,
    view: Arc<View>,
}

/// What a look-up works with; does not change.
pub struct View {
    hosts: Arc<Hosts>,
    rules: Rules,
    dns: Arc<Dns>,
}

impl Resolver {
    /// Reads the system's files when the configuration asks for them.
    pub fn new(config: &ResolverConfig) -> Self {
        Self::with_files(config, &SystemFiles::default())
    }

    /// The same with files at other places.
    pub fn with_files(config: &ResolverConfig, files: &SystemFiles) -> Self {
        let mut hosts = Hosts::default();
        let mut conf = ResolvConf {
            servers: Vec::new(),
            ..ResolvConf::default()
        };
        let files = match &config.servers {
            Servers::Explicit(servers) => {
                conf.servers.clone_from(servers);
                None
            }
            Servers::System => {
                let (resolv_file, text) = Watched::open(&files.resolv_conf);
                conf = parse_conf(&text);
                let (hosts_file, text) = Watched::open(&files.hosts);
                hosts = Hosts::parse(&text, &interface_index);
                Some((resolv_file, hosts_file))
            }
        };
        let view = View {
            hosts: Arc::new(hosts),
            rules: conf.rules.clone(),
            dns: Arc::new(Dns::new(config, &conf)),
        };
        Self {
            config: config.clone(),
            files,
            conf,
            view: Arc::new(view),
        }
    }

    /// Looks whether the system's files changed (two `stat` calls) and reads what did.
    pub fn poll_files(&mut self) -> FilesChanged {
        let mut changed = FilesChanged::default();
        let Some((resolv_file, hosts_file)) = &mut self.files else {
            return changed;
        };
        let mut hosts = self.view.hosts.clone();
        let mut dns = self.view.dns.clone();
        if let Some(text) = hosts_file.poll() {
            let new = Hosts::parse(&text, &interface_index);
            changed.hosts = new != *hosts;
            hosts = Arc::new(new);
        }
        if let Some(text) = resolv_file.poll() {
            let conf = parse_conf(&text);
            if conf != self.conf {
                changed.resolv = true;
                dns = Arc::new(Dns::new(&self.config, &conf));
                self.conf = conf;
            }
        }
        if changed != FilesChanged::default() {
            let rules = self.conf.rules.clone();
            self.view = Arc::new(View { hosts, rules, dns });
        }
        changed
    }

    /// The files as they were last read, for look-ups in tasks of their own.
    pub fn view(&self) -> Arc<View> {
        self.view.clone()
    }

    /// See [`View::lookup`].
    pub async fn lookup(&self, name: &str, want: Families, fixed: Option<&str>) -> Lookup {
        self.view.lookup(name, want, fixed).await
    }
}

impl View {
    /// Looks a name up, both families in parallel. `fixed` asks for this fully qualified
    /// name only: the repetition for a part of what an earlier look-up gave.
    pub async fn lookup(&self, name: &str, want: Families, fixed: Option<&str>) -> Lookup {
        self.lookup_in_parts(name, want, fixed, None).await
    }

    /// The same for somebody who does not want to wait for a slow family: when the other
    /// one has addresses, `early` gets a look-up with these and [`Outcome::Pending`], and
    /// what is returned later has the rest.
    pub async fn lookup_in_parts(
        &self,
        name: &str,
        want: Families,
        fixed: Option<&str>,
        early: Option<Early<'_>>,
    ) -> Lookup {
        if let Some(lookup) = self.hosts.answer(name, want) {
            return lookup;
        }
        let mut search = match fixed {
            Some(candidate) => Search::only(candidate),
            None => Search::new(name, &self.rules),
        };
        let mut last = failed(name, want, Failure::BadName);
        let mut queries = 0;
        while let Some(candidate) = search.next() {
            // Too long with this suffix: there is no such name.
            let Some(question) = dns_name(&candidate) else {
                continue;
            };
            let mut sent_early = false;
            let mut send_early = |mut lookup: Lookup| {
                sent_early = true;
                lookup.candidate.clone_from(&candidate);
                early.inspect(|early| early(lookup));
            };
            let send_early: Option<&mut (dyn FnMut(Lookup) + Send)> = match early {
                Some(_) => Some(&mut send_early),
                None => None,
            };
            last = self.dns.ask(&question, want, send_early).await;
            queries += last.queries;
            last.candidate = candidate;
            if sent_early {
                break;
            }
            search.answered(&last.v4, &last.v6);
        }
        last.queries = queries;
        last
    }

    /// Whether the hosts file has addresses for a name.
    pub fn has_host(&self, name: &str) -> bool {
        !self.hosts.get(name).is_empty()
    }
}

/// A look-up in which everything failed.
pub fn failed(name: &str, want: Families, failure: Failure) -> Lookup {
    let of = |family| match want.has(family) {
        true => Outcome::Failed(failure),
        false => Outcome::NotAsked,
    };
    Lookup {
        v4: of(Family::V4),
        v6: of(Family::V6),
        candidate: name.to_owned(),
        source: Source::Dns,
        by: None,
        queries: 0,
    }
}

fn parse_conf(text: &str) -> ResolvConf {
    ResolvConf::parse(text, &host_name(), &interface_index)
}

#[cfg(test)]
mod tests;
