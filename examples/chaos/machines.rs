//! The machines behind both servers, two for each name, what DNS says of them, and what befalls them.

use crate::action::{Harm, Spots};
use crate::site::{HEALTH, NAME_SERVER, NAMES, Pool, ip};
use live_kit::{Backend, H2Backend, Mode, Say, World, answers};
use std::collections::{BTreeMap, BTreeSet};

enum Machine {
    One(Backend),
    Two(H2Backend),
}

/// A POST that was executed.
pub struct Post {
    pub path: String,
    pub length: usize,
    pub sum: u64,
    /// Name and spot of the machine.
    pub by: String,
}

/// Why an address has vanished.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Why {
    Own,
    Link,
}

pub struct Machines {
    all: Vec<[Machine; 2]>,
    gone: BTreeMap<String, BTreeSet<Why>>,
}

impl Machines {
    pub fn start(world: &mut World) -> Machines {
        world.dns.listen(&format!("{NAME_SERVER}:53"));
        world.resolv_conf(&format!(
            "nameserver {NAME_SERVER}\noptions timeout:1 attempts:1\n"
        ));
        for (n, name) in NAMES.iter().enumerate() {
            place(world, n, Spots::First);
            world.dns.cname(&name.alias(), name.host, name.ttl);
        }
        let both = |name: usize| [0, 1].map(|spot| Machine::start(name, spot));
        Machines {
            all: (0..NAMES.len()).map(both).collect(),
            gone: BTreeMap::new(),
        }
    }

    /// POSTs since the last time.
    pub fn take_posts(&self) -> Vec<Post> {
        let machines = self.all.iter().enumerate();
        let machines = machines.flat_map(|(n, both)| [(n, 0, &both[0]), (n, 1, &both[1])]);
        machines
            .flat_map(|(name, spot, machine)| machine.take_posts(&format!("{name}/{spot}")))
            .collect()
    }

    pub fn begin(&mut self, world: &mut World, name: usize, spots: Spots, harm: Harm) {
        let (port, machines) = (NAMES[name].port(), &self.all[name]);
        for spot in spots.list() {
            match harm {
                Harm::RefuseOnce => world.refuse_next(&ip(name, spot), port, 1),
                Harm::LostSyn => world.drop_first_syn(&ip(name, spot), port, 1),
                Harm::Vanish => {}
                other => machines[spot].harm(other),
            }
        }
        if harm == Harm::Vanish {
            let ips = spots.list().map(|spot| ip(name, spot));
            ips.for_each(|ip| self.vanish(world, ip, Why::Own));
        }
    }

    pub fn heal(&mut self, world: &mut World, name: usize) {
        for spot in 0..2 {
            self.appear(world, &ip(name, spot), Why::Own);
            self.all[name][spot].heal();
        }
    }

    /// The link to all of them and to the name server.
    pub fn link(&mut self, world: &mut World, up: bool) {
        let ips = (0..NAMES.len()).flat_map(|name| [ip(name, 0), ip(name, 1)]);
        let ips: Vec<String> = ips.chain([NAME_SERVER.to_owned()]).collect();
        for ip in ips {
            match up {
                true => self.appear(world, &ip, Why::Link),
                false => self.vanish(world, ip, Why::Link),
            }
        }
    }

    fn vanish(&mut self, world: &mut World, ip: String, why: Why) {
        let causes = self.gone.entry(ip.clone()).or_default();
        if causes.is_empty() {
            world.vanish(&ip);
        }
        causes.insert(why);
    }

    fn appear(&mut self, world: &mut World, ip: &str, why: Why) {
        let Some(causes) = self.gone.get_mut(ip) else {
            return;
        };
        if causes.remove(&why) && causes.is_empty() {
            world.appear(ip);
        }
    }
}

impl Machine {
    fn start(name: usize, spot: usize) -> Machine {
        let addr = format!("{}:{}", ip(name, spot), NAMES[name].port());
        let said = format!("{name}/{spot}");
        match NAMES[name].pool {
            Pool::Tls => Machine::One(Backend::start_tls(&said, &addr)),
            Pool::Http2 => Machine::Two(H2Backend::start(&said, &addr)),
            _ => Machine::One(Backend::start(&said, &addr)),
        }
    }

    fn harm(&self, harm: Harm) {
        match (self, harm) {
            (Machine::One(one), Harm::Kill) => one.kill(),
            (Machine::Two(two), Harm::Kill) => two.kill(),
            (Machine::One(one), Harm::ResetAll) => one.reset_all(),
            (Machine::Two(two), Harm::ResetAll) => two.reset_all(),
            (Machine::One(one), Harm::CloseAll) => one.close_all(),
            (Machine::One(one), Harm::Mode(mode)) => one.mode(mode),
            (Machine::One(one), Harm::SickPage) => one.say(HEALTH, Say::Status(503)),
            (Machine::Two(two), Harm::Http2(mode)) => two.mode(mode),
            // Not drawn for machines of this kind, except for all members at once.
            (Machine::Two(two), Harm::Mode(Mode::Freeze)) => two.mode(live_kit::H2Mode::Hang),
            (Machine::Two(two), _) => two.kill(),
            (Machine::One(one), _) => one.kill(),
        }
    }

    fn heal(&self) {
        match self {
            Machine::One(one) => {
                one.mode(Mode::Ok);
                one.say_usual(HEALTH);
            }
            Machine::Two(two) => two.revive(),
        }
    }

    fn take_posts(&self, by: &str) -> Vec<Post> {
        let post = |method: String, path, length, sum| {
            let by = by.to_owned();
            (method == "POST").then_some(Post {
                path,
                length,
                sum,
                by,
            })
        };
        match self {
            Machine::One(one) => {
                let seen = one.take_seen().into_iter();
                seen.filter_map(|s| post(s.method, s.path, s.length, s.sum))
                    .collect()
            }
            Machine::Two(two) => {
                let seen = two.take_seen().into_iter();
                seen.filter_map(|s| post(s.method, s.path, s.length, s.sum))
                    .collect()
            }
        }
    }
}

/// DNS says this of the name.
pub fn place(world: &World, name: usize, spots: Spots) {
    let ips: Vec<String> = spots.list().map(|spot| ip(name, spot)).collect();
    let ips: Vec<&str> = ips.iter().map(String::as_str).collect();
    world
        .dns
        .set(NAMES[name].host, answers(&ips, NAMES[name].ttl));
}
