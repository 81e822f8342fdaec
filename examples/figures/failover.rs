//! One of two members dies under load: what becomes of requests with the module, with stock httpd, and with stock
//! httpd as its users tune it. All three stand in front of the same members and meet the same deaths, at the same
//! time and under the same load.

mod outcome;

use crate::arrivals::{Arrivals, Users};
use live_kit::{Backend, Builder, Httpd, Mode, Mpm, World, answers, eventually, pause};
use outcome::{Outcome, heads};
use std::time::Duration;

/// Pairs of members: each death meets one that has not died yet.
const ROUNDS: usize = 3;
const GETS: Duration = Duration::from_millis(50);
const POSTS: Duration = Duration::from_millis(100);
/// Bytes of a POST.
const LENGTH: usize = 1000;
/// An answer takes so long, or few requests would be under way when a member dies.
const ANSWER: u64 = 100;
/// Connections that users keep for GETs, and for POSTs.
const KEPT: [usize; 2] = [8, 4];
/// Seconds of load before and after a death.
const BEFORE: f64 = 2.0;
const AFTER: f64 = 6.0;
/// A stock httpd can take 60 s, and its user some patience more; nobody waits for that here.
const GIVE_UP: Duration = Duration::from_secs(20);
/// What the kernels still have to deliver to a machine that is back has arrived.
const LATE: f64 = 4.0;

/// How a member dies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Death {
    /// The machine loses its power: packets are lost.
    Vanished,
    /// The process is killed: its connections are reset, its port is closed.
    Killed,
    /// Killed, and back after a second.
    Restarted,
    /// Connections are accepted, requests are read and never answered.
    Hung,
}

/// A httpd in front of the members.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Variant {
    Live,
    Stock,
    Tuned,
}

const VARIANTS: [Variant; 3] = [Variant::Live, Variant::Stock, Variant::Tuned];

impl Variant {
    fn label(self) -> &'static str {
        match self {
            Variant::Live => "live=on",
            Variant::Stock => "stock",
            Variant::Tuned => "stock, tuned",
        }
    }

    /// Tells its requests apart at the backends.
    fn path(self) -> &'static str {
        match self {
            Variant::Live => "/live",
            Variant::Stock => "/stock",
            Variant::Tuned => "/tuned",
        }
    }

    /// Parameters of the members. Against a member that hangs only a response time-out helps.
    fn parameters(self, death: Death) -> &'static str {
        match (self, death) {
            (Variant::Tuned, _) => {
                "connectiontimeout=1 timeout=5 retry=1 hcmethod=TCP hcinterval=1"
            }
            (_, Death::Hung) => "timeout=5",
            _ => "",
        }
    }

    fn start(self, world: &mut World, mpm: Mpm, death: Death) -> Httpd {
        let section = match self {
            Variant::Live => "ProxyLive on",
            _ => "",
        };
        let parameters = self.parameters(death);
        let mut text = String::new();
        for n in 0..ROUNDS {
            text += &format!(
                "<Proxy balancer://pair{n}>
                     {section}
                     BalancerMember http://a{n}.test:9000 {parameters}
                     BalancerMember http://b{n}.test:9001 {parameters}
                 </Proxy>
                 ProxyPass /{n}/ balancer://pair{n}/\n"
            );
        }
        // Every line is allowed: members die.
        let builder = room(world.httpd(), mpm).expect("");
        match self {
            Variant::Live => builder.live(&text).start(),
            Variant::Stock => builder.config(&text).start(),
            Variant::Tuned => builder.module("proxy_hcheck").config(&text).start(),
        }
    }
}

/// Threads enough for all requests that can be stuck at a dead member: nobody waits for a thread.
fn room(builder: Builder, mpm: Mpm) -> Builder {
    match mpm {
        Mpm::Prefork => builder.mpm(mpm).children(130),
        _ => builder.mpm(mpm).threads(40),
    }
}

pub fn run(world: &mut World, mpm: Mpm) {
    let backends: Vec<Backend> = (0..ROUNDS)
        .map(|n| {
            let (a, b) = (format!("a{n}.test"), format!("b{n}.test"));
            world.dns.set(&a, answers(&[&address(n)], 600));
            world
                .dns
                .set(&b, answers(&[&format!("127.2.0.{}", n + 1)], 600));
            Backend::start("A", &format!("{}:9000", address(n)))
        })
        .collect();
    let other = Backend::start("B", "0.0.0.0:9001");
    introduce(mpm);
    let mut missed = Vec::new();
    for death in [
        Death::Vanished,
        Death::Killed,
        Death::Restarted,
        Death::Hung,
    ] {
        let servers = VARIANTS.map(|variant| variant.start(world, mpm, death));
        eventually(GIVE_UP, || {
            servers[0].logged(".test: addresses ") >= 2 * ROUNDS
        });
        // Every address has been probed, also by mod_proxy_hcheck.
        pause(3.0);
        let mut outcomes: [Outcome; 3] = Default::default();
        for (n, backend) in backends.iter().enumerate() {
            let round = Round {
                n,
                backend,
                other: &other,
                death,
            };
            round.run(world, &servers, &mut outcomes);
        }
        for (variant, outcome) in VARIANTS.iter().zip(&outcomes) {
            let first = match variant {
                Variant::Live => format!("{death:?}"),
                _ => String::new(),
            };
            outcome.print(&first, variant.label());
        }
        if !outcomes[0].kept(death) {
            missed.push(death);
        }
    }
    match missed.as_slice() {
        [] => println!("goals of live=on: kept"),
        missed => println!("goals of live=on: MISSED ({missed:?})"),
    }
}

fn introduce(mpm: Mpm) {
    println!(
        "== one of two members dies under load ({mpm:?}; {ROUNDS} times each; the same deaths for all three httpds)"
    );
    println!(
        "   {} GETs and {} POSTs per second for each httpd, answered in {ANSWER} ms, from {BEFORE} s before a death to \
         {AFTER} s after",
        1000 / GETS.as_millis(),
        1000 / POSTS.as_millis()
    );
    println!(
        "   Hung has timeout=5 in all three. A client gives up after {} s (stock httpd may take 60 s): failed, and",
        GIVE_UP.as_secs()
    );
    println!(
        "   \"> {} s\". Dropped: connection closed without an answer. Tuned:\n   {}",
        GIVE_UP.as_secs(),
        Variant::Tuned.parameters(Death::Hung)
    );
    println!(
        "   Goals of live=on: no GET fails, none takes longer than 2 s (Hung: 6 s), nobody is dropped, no POST twice"
    );
    heads();
}

fn address(n: usize) -> String {
    format!("127.1.0.{}", n + 1)
}

/// One death of the first member of the pair `n`.
struct Round<'a> {
    n: usize,
    backend: &'a Backend,
    other: &'a Backend,
    death: Death,
}

impl Round<'_> {
    fn run(&self, world: &mut World, servers: &[Httpd; 3], outcomes: &mut [Outcome; 3]) {
        self.backend.forget();
        self.other.forget();
        let loads = [0, 1, 2].map(|i| self.load(&servers[i], VARIANTS[i]));
        pause(BEFORE);
        self.dies(world);
        loads.iter().flatten().for_each(Arrivals::cease);
        let met = loads.map(|series| series.map(Arrivals::stop));
        self.is_back(world);
        let seen = [self.backend.seen(), self.other.seen()].concat();
        for ((outcome, [gets, posts]), variant) in outcomes.iter_mut().zip(&met).zip(VARIANTS) {
            outcome.gets(gets);
            outcome.posts(posts, &seen, variant.path());
        }
    }

    /// GETs and POSTs.
    fn load(&self, httpd: &Httpd, variant: Variant) -> [Arrivals; 2] {
        let path = format!("/{}{}?delay={ANSWER}", self.n, variant.path());
        let users = [
            Users::get(&path).every(GETS).kept(KEPT[0]),
            Users::post(&path, LENGTH).every(POSTS).kept(KEPT[1]),
        ];
        users.map(|users| users.give_up(GIVE_UP).start(httpd))
    }

    /// Dies, and stays so for the rest of the load.
    fn dies(&self, world: &mut World) {
        match self.death {
            Death::Vanished => world.vanish(&address(self.n)),
            Death::Hung => self.backend.mode(Mode::Hang),
            Death::Killed => self.backend.kill(),
            Death::Restarted => {
                self.backend.kill();
                pause(1.0);
                self.backend.revive();
                return pause(AFTER - 1.0);
            }
        }
        pause(AFTER);
    }

    fn is_back(&self, world: &mut World) {
        if self.death == Death::Vanished {
            world.appear(&address(self.n));
            pause(LATE);
        }
        // Whatever still hangs on its connections ends.
        self.backend.kill();
        self.backend.revive();
    }
}
