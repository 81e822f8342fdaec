//! Balancers with live members, or where live members may be added at run time.

use std::collections::HashMap;

use once_cell::sync::OnceCell;

use super::gather::Planned;
use crate::config::Config;
use crate::ffi::proxy::{Balancer, BalancerHandle, Server, Worker};

/// A member that came at run time; its entry's number when it is live.
#[derive(Clone, Debug)]
struct Late {
    worker: Worker,
    entry: OnceCell<usize>,
}

/// One balancer. Its members only become more; who looks at them takes no lock.
#[derive(Clone, Debug)]
pub struct Group {
    /// Those of the configuration, with the numbers of the live ones' entries.
    base: Vec<(Worker, Option<usize>)>,
    late: Vec<OnceCell<Late>>,
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
        Self {
            base: balancer.members.iter().map(number).collect(),
            late: vec![OnceCell::new(); balancer.handle.growth() as usize],
            name: balancer.name.clone(),
            recovers: balancer.recovers,
            handle: balancer.handle,
            copies: vec![(server, balancer.handle)],
        }
    }

    /// All members that are known by now, with the number of the live ones' entries.
    pub fn members(&self) -> impl Iterator<Item = (Worker, Option<usize>)> {
        let late = self.late.iter().map_while(OnceCell::get);
        let late = late.map(|late| (late.worker, late.entry.get().copied()));
        self.base.iter().copied().chain(late)
    }

    /// How many they are.
    pub fn count(&self) -> usize {
        self.members().count()
    }

    /// Whether it has a live member; or none at all, and those that come would be live.
    pub fn is_live(&self) -> bool {
        let mut members = self.members().peekable();
        members.peek().is_none() || members.any(|(_, at)| at.is_some())
    }

    /// A further member is known. By one thread only.
    pub fn add(&self, worker: Worker) {
        let free = self.late.iter().find(|late| late.get().is_none());
        let entry = OnceCell::new();
        // There is no room for more than httpd itself has room for.
        let _ = free.map(|free| free.set(Late { worker, entry }));
    }

    /// A member that came at run time is live. By one thread only.
    pub fn enter(&self, worker: Worker, entry: usize) {
        let mut late = self.late.iter().map_while(OnceCell::get);
        let late = late.find(|late| late.worker == worker);
        let _ = late.map(|late| late.entry.set(entry));
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
        let peers = group.count() > 1;
        for at in group.members().filter_map(|(_, at)| at) {
            workers[at].has_peers = peers;
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
