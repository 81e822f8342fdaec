//! Does what the schedule says, to the machines, DNS and both servers.

use crate::action::{Action, At, Edition, Spots};
use crate::board::{epoch, is_disabled};
use crate::machines::{Machines, place};
use crate::schedule::pool_of;
use crate::site::{GROWN, NAMES, edition, worker};
use crate::truth::Truth;
use live_kit::{Httpd, Mpm, Signal, Type, World, signal, thread_names};
use std::collections::HashSet;
use std::time::Duration;

/// The thread that only a leading child has.
const MONITOR: &str = "live-monitor";

/// The module knows a member of run time within this.
const FOUND: Duration = Duration::from_millis(1_500);

/// Edits until the newest generation shows what was wanted.
const EDITS: usize = 60;

pub struct Servers {
    pub live: Httpd,
    pub stock: Httpd,
    pub mpm: Mpm,
    /// Children of the httpd with the module that were killed.
    pub killed: HashSet<u32>,
}

/// Whether it was done; some things make no sense at the moment.
pub fn act(
    action: &Action,
    world: &mut World,
    machines: &mut Machines,
    servers: &mut Servers,
    truth: &Truth,
) -> bool {
    match action {
        Action::Harm(name, spots, harm) => machines.begin(world, *name, *spots, *harm),
        Action::Heal(name) => machines.heal(world, *name),
        Action::Outage(name, harm) => {
            pool_of(*name).for_each(|n| machines.begin(world, n, Spots::Both, *harm));
        }
        Action::OutageOver(name) => pool_of(*name).for_each(|n| machines.heal(world, n)),
        Action::Place(name, spots) => place(world, *name, *spots),
        Action::Fault(name, fault, true) => world.dns.fail_type(dns(*name), Type::A, *fault),
        Action::Fault(name, fault, false) => world.dns.fail(dns(*name), *fault),
        Action::FaultOver(name) => world.dns.heal(dns(*name)),
        Action::DnsDown => world.dns.down(),
        Action::DnsUp => world.dns.up(),
        Action::LinkDown => machines.link(world, false),
        Action::LinkUp => machines.link(world, true),
        Action::StopLeader(ms) => return stop(servers, None, *ms),
        Action::StopChild(pick, ms) => return stop(servers, Some(*pick), *ms),
        Action::KillLeader => return kill(servers, None),
        Action::KillChild(pick) => return kill(servers, Some(*pick)),
        Action::Reload(edition) => reload(servers, edition.as_ref()),
        Action::Grow => return truth.grown.is_none() && grow(servers),
        Action::Disable(name) => return disable(servers, truth, *name, true),
        Action::Enable(name) => return disable(servers, truth, *name, false),
    }
    true
}

fn dns(name: Option<usize>) -> &'static str {
    name.map_or("*", |n| NAMES[n].host)
}

/// A child of each server: the leader of the one with the module unless there is a `pick`. None of a server that would
/// have nobody left to serve.
fn victims(servers: &Servers, pick: Option<u64>) -> Vec<(u32, bool)> {
    let mut found = Vec::new();
    for (httpd, live) in [(&servers.live, true), (&servers.stock, false)] {
        let children = httpd.children();
        if children.len() < 2 {
            continue;
        }
        let leads = |pid: &&u32| thread_names(**pid).iter().any(|n| n == MONITOR);
        let leader = children.iter().find(|pid| live && leads(pid));
        let any = children[pick.unwrap_or(0) as usize % children.len()];
        let victim = match pick {
            None => leader.copied().unwrap_or(any),
            Some(_) => any,
        };
        found.push((victim, live));
    }
    found
}

fn kill(servers: &mut Servers, pick: Option<u64>) -> bool {
    let victims = victims(servers, pick);
    for (pid, live) in &victims {
        signal(*pid, Signal::KILL);
        if *live {
            servers.killed.insert(*pid);
        }
    }
    !victims.is_empty()
}

/// They go on by themselves: nothing else may wait for that.
fn stop(servers: &Servers, pick: Option<u64>, ms: At) -> bool {
    let victims = victims(servers, pick);
    victims
        .iter()
        .for_each(|(pid, _)| signal(*pid, Signal::STOP));
    let pids: Vec<u32> = victims.iter().map(|(pid, _)| *pid).collect();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(ms));
        pids.into_iter().for_each(|pid| signal(pid, Signal::CONT));
    });
    !victims.is_empty()
}

/// The signal only: what else happens meanwhile happens into the reload.
fn reload(servers: &mut Servers, changed: Option<&Edition>) {
    let mpm = servers.mpm;
    for (httpd, live) in [(&mut servers.live, true), (&mut servers.stock, false)] {
        if let Some(changed) = changed {
            httpd.rewrite(&edition(mpm, changed, live));
        }
        httpd.signal(httpd.pid(), Signal::USR1);
    }
}

/// As an administrator does it, who looks whether it was done; not for a member that is not configured.
fn disable(servers: &Servers, truth: &Truth, name: usize, on: bool) -> bool {
    let Some((_, renamed)) = truth.members().find(|(n, _)| *n == name) else {
        return false;
    };
    let (live, member) = (&servers.live, worker(name, renamed));
    let edit = format!("w_status_D={}", u8::from(on));
    until(live, &member, on, || {
        live.manager("app").edit(&member, &edit)
    })
}

/// A new member comes disabled. The module finds it within a second or two, and an administrator takes no less: enabled
/// at once, httpd's own look-up might fail.
fn grow(servers: &Servers) -> bool {
    let (live, member) = (&servers.live, worker(GROWN, false));
    let manager = || live.manager("app");
    let add = || {
        if !manager().members().contains(&member) {
            manager().add(&member);
        }
    };
    let there = until(live, &member, true, add);
    std::thread::sleep(FOUND);
    there
        && until(live, &member, false, || {
            manager().edit(&member, "w_status_D=0")
        })
}

/// Does it until the newest generation's page shows it. The child that answers may be killed just then, or belong to
/// an old generation, which has members of its own.
fn until(live: &Httpd, member: &str, disabled: bool, edit: impl Fn()) -> bool {
    let newest = live.logged("resuming normal operations") as u64;
    for _ in 0..EDITS {
        quietly(&edit);
        // A member of run time is seen by and by.
        std::thread::sleep(Duration::from_millis(20));
        let page = live.try_get("/live-status?format=json").ok();
        let page = page.and_then(|page| serde_json::from_slice(&page.body).ok());
        let page: serde_json::Value = page.unwrap_or_default();
        if epoch(&page) == newest && is_disabled(&page, member) == Some(disabled) {
            return true;
        }
    }
    false
}

/// The kit's edits panic when they are not answered as they should be; here they are made once more.
fn quietly(edit: impl Fn()) {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(edit));
    std::panic::set_hook(usual);
}
