//! Balancers with live members, or where live members may be added at run time.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;

use super::gather::Planned;
use crate::config::Config;
use crate::ffi::proxy::{Balancer, BalancerHandle, Server, Worker};

/// Members of a balancer, with the number of the live ones' entries.
pub type Known = Arc<[(Worker, Option<usize>)]>;

/// They can become more at run time. Each copy goes its own way.
#[derive(Debug)]
struct Members(RwLock<Known>);

impl Clone for Members {
    fn clone(&self) -> Self {
        Self(RwLock::new(self.0.read().clone()))
    }
}

/// One balancer.
#[derive(Clone, Debug)]
pub struct Group {
    members: Members,
    /// `balancer://...`
    pub name: String,
    /// `forcerecovery` is on, which is the default.
    pub recovers: bool,
    pub handle: BalancerHandle,
    /// The servers that have it, each with a copy of its own; all copies have the same members.
    pub copies: Vec<(Server, BalancerHandle)>,
}

impl Group {
    fn new(server: Server, balancer: &Balancer, index: &HashMap<usize, usize>) -> Self {
        let number = |w: &Worker| (*w, index.get(&w.key()).copied());
        let members = balancer.members.iter().map(number).collect();
        Self {
            members: Members(RwLock::new(members)),
            name: balancer.name.clone(),
            recovers: balancer.recovers,
            handle: balancer.handle,
            copies: vec![(server, balancer.handle)],
        }
    }

    /// All members that are known by now.
    pub fn members(&self) -> Known {
        self.members.0.read().clone()
    }

    /// How many they are.
    pub fn count(&self) -> usize {
        self.members.0.read().len()
    }

    /// Further members are known, or more is known of them. By one thread only.
    pub fn set_members(&self, members: Vec<(Worker, Option<usize>)>) {
        *self.members.0.write() = members.into();
    }
}

/// The balancers of all servers that have a live member or may get one, each once.
pub fn groups(config: &Config, workers: &mut [Planned], main: Server) -> Vec<Group> {
    let index: HashMap<usize, usize> = workers
        .iter()
        .enumerate()
        .map(|(i, p)| (p.worker.key(), i))
        .collect();
    let mut groups: Vec<(Group, bool)> = Vec::new();
    let mut known: HashMap<usize, usize> = HashMap::new();
    for server in main.chain() {
        server.balancers(|balancer| {
            let at = *known
                .entry(balancer.handle.members_key())
                .or_insert(groups.len());
            if at == groups.len() {
                groups.push((Group::new(server, balancer, &index), false));
            } else {
                groups[at].0.copies.push((server, balancer.handle));
            }
            groups[at].1 |= welcomes(config, server, main, balancer);
        });
    }
    for (group, wanted) in &mut groups {
        let members = group.members();
        for at in members.iter().filter_map(|(_, at)| *at) {
            workers[at].has_peers = members.len() > 1;
            *wanted = true;
        }
    }
    let wanted = groups.into_iter().filter(|(_, wanted)| *wanted);
    wanted.map(|(group, _)| group).collect()
}

/// Whether a member that is added at run time would be live.
fn welcomes(config: &Config, server: Server, main: Server, balancer: &Balancer) -> bool {
    const NO_LINE: usize = 0;
    let name = Some(balancer.name.as_str());
    let live = || config.settings(NO_LINE, server.key(), main.key(), name, "http");
    balancer.handle.growth() > 0 && live().is_some()
}
