//! Does what the schedule says, to the machines, DNS and both servers.

use crate::action::{Action, Edition, Harm, Spots};
use crate::board::{epoch, is_disabled};
use crate::schedule::pool_of;
use crate::site::{GROWN, HEALTH, Machines, NAMES, edition, ip, place, worker};
use crate::truth::Truth;
use live_kit::{Httpd, Mode, Mpm, Say, Signal, Type, World, thread_names};
use std::collections::HashSet;
use std::time::Duration;

/// The thread that only a leading child has.
const MONITOR: &str = "live-monitor";

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
    machines: &Machines,
    servers: &mut Servers,
    truth: &Truth,
) -> bool {
    match action {
        Action::Harm(name, spots, harm) => begin(world, machines, *name, *spots, *harm),
        Action::Heal(name) => heal(world, machines, *name, truth),
        Action::Outage(name, harm) => {
            pool_of(*name).for_each(|n| begin(world, machines, n, Spots::Both, *harm));
        }
        Action::OutageOver(name) => pool_of(*name).for_each(|n| heal(world, machines, n, truth)),
        Action::Place(name, spots) => place(world, *name, *spots),
        Action::Fault(name, fault, true) => world.dns.fail_type(dns(*name), Type::A, *fault),
        Action::Fault(name, fault, false) => world.dns.fail(dns(*name), *fault),
        Action::FaultOver(name) => world.dns.heal(dns(*name)),
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

fn begin(world: &mut World, machines: &Machines, name: usize, spots: Spots, harm: Harm) {
    for spot in spots.list() {
        let machine = machines.of(name, spot);
        match harm {
            Harm::Vanish => world.vanish(&ip(name, spot)),
            Harm::Kill => machine.kill(),
            Harm::Mode(mode) => machine.mode(mode),
            Harm::SickPage => machine.say(HEALTH, Say::Status(503)),
            Harm::RefuseOnce => world.refuse_next(&ip(name, spot), NAMES[name].port(), 1),
            Harm::LostSyn => world.drop_first_syn(&ip(name, spot), NAMES[name].port(), 1),
            Harm::ResetAll => machine.reset_all(),
            Harm::CloseAll => machine.close_all(),
        }
    }
}

fn heal(world: &mut World, machines: &Machines, name: usize, truth: &Truth) {
    let open = truth.troubles.iter().filter(|t| t.span.to.is_none());
    let vanished = |spot: usize| {
        let mut open = open.clone();
        open.any(|t| {
            let here = t.name == name || t.all && pool_of(t.name).contains(&name);
            here && t.harm == Harm::Vanish && t.spots.has(spot)
        })
    };
    for spot in 0..2 {
        if vanished(spot) {
            world.appear(&ip(name, spot));
        }
        let machine = machines.of(name, spot);
        machine.mode(Mode::Ok);
        machine.say_usual(HEALTH);
    }
}

/// kill -9 of a child of each server; the leader of the one with the module unless there is a `pick`. Somebody is left
/// to serve.
fn kill(servers: &mut Servers, pick: Option<u64>) -> bool {
    let mut done = false;
    let killed = &mut servers.killed;
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
        httpd.kill9(victim);
        if live {
            killed.insert(victim);
        }
        done = true;
    }
    done
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

/// A new member comes disabled.
fn grow(servers: &Servers) -> bool {
    let (live, member) = (&servers.live, worker(GROWN, false));
    let manager = || live.manager("app");
    let add = || {
        if !manager().members().contains(&member) {
            manager().add(&member);
        }
        manager().edit(&member, "w_status_D=0");
    };
    until(live, &member, false, add)
}

/// Does it until the newest generation's page shows it. The child that answers may be killed just then, or belong to
/// an old generation, which has members of its own.
fn until(live: &Httpd, member: &str, disabled: bool, edit: impl Fn()) -> bool {
    let newest = live.logged("resuming normal operations") as u64;
    for _ in 0..EDITS {
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(&edit));
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
