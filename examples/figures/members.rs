//! One of two members of a balancer dies and comes back: when does it get its last request, and when the first
//! one after its return?

use crate::arrivals::{Arrivals, Met, Users};
use crate::row;
use crate::times::seconds_after;
use live_kit::{Backend, Httpd, Mpm, Seen, World, answers, eventually, pause};
use std::time::{Duration, Instant, SystemTime};

/// Pairs of members; each round has one of its own, so that nobody takes them for flapping.
const ROUNDS: usize = 10;
/// A request to a machine that has vanished takes longer: the shortest connect time-out is 1 s.
const STUCK: Duration = Duration::from_millis(900);
/// From the death of an idle member to the first requests after it.
const IDLE: Duration = Duration::from_millis(2500);
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum How {
    Vanished,
    Killed,
}

pub fn run(world: &mut World) {
    let backends: Vec<Backend> = (0..ROUNDS)
        .map(|n| {
            let name = |kind| format!("{kind}{n}.test");
            world.dns.set(&name("a"), answers(&[&address(n)], 600));
            world
                .dns
                .set(&name("b"), answers(&[&format!("127.2.0.{}", n + 1)], 600));
            Backend::start("A", &format!("{}:9000", address(n)))
        })
        .collect();
    let _other = Backend::start("B", "0.0.0.0:9001");
    for mpm in [Mpm::Event, Mpm::Prefork] {
        println!("== one of two members dies (seconds; {mpm:?}; each row: another pair each time)");
        let httpd = start(world, mpm);
        for how in [How::Vanished, How::Killed] {
            let round = |n| Round {
                httpd: &httpd,
                n,
                backend: &backends[n],
                how,
            };
            let mut figures = Figures::default();
            (0..ROUNDS).for_each(|n| figures.idle(world, &round(n)));
            figures.print(&format!("{how:?}, idle"), true);
            let mut figures = Figures::default();
            (0..ROUNDS).for_each(|n| figures.loaded(world, &round(n)));
            figures.print(&format!("{how:?}, under load"), false);
        }
    }
}

fn address(n: usize) -> String {
    format!("127.1.0.{}", n + 1)
}

fn start(world: &mut World, mpm: Mpm) -> Httpd {
    let mut text = String::new();
    for n in 0..ROUNDS {
        text += &format!(
            "<Proxy balancer://pair{n}>
                 ProxyLive on
                 BalancerMember http://a{n}.test:9000 timeout=2
                 BalancerMember http://b{n}.test:9001 timeout=2
             </Proxy>
             ProxyPass /{n}/ balancer://pair{n}/\n"
        );
    }
    // Threads enough for those that are stuck at a dead member.
    let builder = world.httpd().mpm(mpm).threads(16).expect("").live(&text);
    let builder = match mpm {
        Mpm::Prefork => builder.children(40),
        _ => builder,
    };
    let httpd = builder.start();
    eventually(PATIENCE, || httpd.logged(".test: addresses ") >= 2 * ROUNDS);
    // Every address has been probed.
    pause(3.0);
    httpd
}

/// Of all rounds, in seconds.
#[derive(Default)]
struct Figures {
    /// From the death to the log line about the verdict.
    verdict: Vec<f64>,
    /// From the death to the start of the last request that was sent to the dead member.
    last: Vec<f64>,
    /// Requests sent to it although dead.
    sent: usize,
    requests: usize,
    failed: usize,
    /// From the return to the first request.
    first: Vec<f64>,
}

impl Figures {
    /// No request for 3 s before the death; they come when the verdict should be there.
    fn idle(&mut self, world: &mut World, round: &Round) {
        // Connections that requests have left behind, as in the life of a site.
        let load = round.load();
        pause(0.3);
        load.stop();
        // Another phase of the interval each time.
        pause(3.0 + 0.2 * round.n as f64);
        let death = round.dies(world);
        let known = round.verdict_before(death.at + IDLE);
        death.until(IDLE);
        let load = round.load();
        self.verdict(round, &death, known);
        pause(1.0);
        self.returns(world, round, &death, load);
    }

    fn loaded(&mut self, world: &mut World, round: &Round) {
        let load = round.load();
        pause(1.0 + 0.2 * round.n as f64);
        let death = round.dies(world);
        self.verdict(round, &death, None);
        death.until(Duration::from_secs(4));
        self.returns(world, round, &death, load);
    }

    /// Waits for the verdict, unless it is `known` when it came.
    fn verdict(&mut self, round: &Round, death: &Death, known: Option<Instant>) {
        let known = known.or_else(|| round.verdict_before(death.at + PATIENCE));
        let known = known.expect("a verdict");
        self.verdict
            .push(known.duration_since(death.at).as_secs_f64());
    }

    /// The member returns; the load goes on until it is used.
    fn returns(&mut self, world: &mut World, round: &Round, death: &Death, load: Arrivals) {
        let refused = round.refused(death.clock);
        let refused = &refused[death.refused..];
        round.backend.forget();
        // What has been sent to it before arrives late, and is no first request.
        let (back, before) = (Instant::now(), load.sent());
        match round.how {
            How::Vanished => world.appear(&address(round.n)),
            How::Killed => round.backend.revive(),
        }
        let mut first = None;
        eventually(PATIENCE, || {
            first = round.first_from(before, back);
            first.is_some()
        });
        let first = first.map(|at| at.duration_since(back).as_secs_f64());
        self.first.extend(first);
        pause(0.3);
        let met = load.stop();
        let after = || met.iter().filter(|m| m.start >= death.at && m.start < back);
        let lost = after().filter(|m| is_lost(m));
        let lost = lost.map(|m| m.start.duration_since(death.at).as_secs_f64());
        let sent: Vec<f64> = lost.chain(refused.iter().copied()).collect();
        self.requests += after().count();
        self.failed += after().filter(|m| m.backend.is_none()).count();
        self.sent += sent.len();
        self.last.extend(sent.into_iter().max_by(f64::total_cmp));
    }

    fn print(&self, what: &str, idle: bool) {
        row(
            &format!("{what}: death to verdict in the log"),
            &self.verdict,
        );
        let last = match idle {
            true => format!("{what}: last sent to it (asked from 2.5 s on)"),
            false => format!("{what}: death to last request sent to it"),
        };
        row(&last, &self.last);
        println!(
            "{:<58} {} of {} ({} failed)",
            format!("{what}: requests sent to it"),
            self.sent,
            self.requests,
            self.failed
        );
        row(&format!("{what}: return to first request"), &self.first);
    }
}

/// When a member died.
struct Death {
    at: Instant,
    clock: SystemTime,
    /// Attempts to connect that had been refused before.
    refused: usize,
}

impl Death {
    /// Waits until so long after it.
    fn until(&self, time: Duration) {
        std::thread::sleep(time.saturating_sub(self.at.elapsed()));
    }
}

/// One death of the member `n`.
struct Round<'a> {
    httpd: &'a Httpd,
    n: usize,
    backend: &'a Backend,
    how: How,
}

impl Round<'_> {
    fn load(&self) -> Arrivals {
        Users::get(&format!("/{}/", self.n)).start(self.httpd)
    }

    fn dies(&self, world: &mut World) -> Death {
        let refused = self.refused(SystemTime::now()).len();
        if self.how == How::Vanished {
            world.vanish(&address(self.n));
        }
        let death = Death {
            at: Instant::now(),
            clock: SystemTime::now(),
            refused,
        };
        if self.how == How::Killed {
            self.backend.kill();
        }
        death
    }

    /// Waits until the log tells that the member is out, but not beyond `end`: when it did.
    fn verdict_before(&self, end: Instant) -> Option<Instant> {
        while Instant::now() < end {
            if self.told("up -> down") > self.told("down -> up") {
                return Some(Instant::now());
            }
            pause(0.005);
        }
        None
    }

    fn told(&self, change: &str) -> usize {
        let line = format!("worker http://a{}.test:9000: {change}", self.n);
        self.httpd.logged(&line)
    }

    /// Attempts of requests to connect that were refused, all of them, in seconds after `since`: requests that
    /// another member answered at once tell nothing of them. (Those to a machine that vanished take their time.)
    fn refused(&self, since: SystemTime) -> Vec<f64> {
        if self.how == How::Vanished {
            return Vec::new();
        }
        let text = format!("attempt to connect to {}:9000", address(self.n));
        let log = self.httpd.error_log();
        let lines = log.lines().filter(|line| line.contains(&text));
        lines
            .filter_map(|line| seconds_after(since, line))
            .collect()
    }

    /// When the member first got, after `since`, a request of this number or a higher one.
    fn first_from(&self, number: usize, since: Instant) -> Option<Instant> {
        let seen = self.backend.seen();
        let new = |s: &&Seen| {
            let sent = s.path.rsplit_once("?n=").and_then(|(_, n)| n.parse().ok());
            s.at >= since && sent.is_some_and(|n: usize| n >= number)
        };
        seen.iter().find(new).map(|s| s.at)
    }
}

/// Sent to the dead member.
fn is_lost(met: &Met) -> bool {
    met.backend.is_none() || met.took >= STUCK
}
