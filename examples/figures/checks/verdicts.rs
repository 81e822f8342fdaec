//! One of two members begins to fail, in every way a probe can tell: when does the log call it down?

use crate::arrivals::{Arrivals, Users};
use crate::row;
use crate::times::seconds_after;
use live_kit::{Backend, Httpd, Mode, Say, World, eventually, pause};
use std::time::{Duration, SystemTime};

/// Pairs of members for each failure; each round has one of its own, so that nobody takes them for flapping. The
/// first half is idle, the others meet theirs under load.
const PAIRS: usize = 12;
const HTTP: &str = "liveprobe=http liveuri=/healthz";
/// For each pair; on connections of their own, as new users do.
const GETS: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(20);
/// A probe that has just passed, `liveinterval` and a twentieth, and two that fail 100 ms apart.
const ANSWERED: f64 = 2.3;
/// The same with two time-outs and their second.
const SILENT: f64 = 3.7;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Failure {
    Refused,
    Vanished,
    SilentTls,
    ClosedTls,
    Hangs,
    Unavailable,
    Garbage,
}

const FAILURES: [Failure; 7] = [
    Failure::Refused,
    Failure::Vanished,
    Failure::SilentTls,
    Failure::ClosedTls,
    Failure::Hangs,
    Failure::Unavailable,
    Failure::Garbage,
];

impl Failure {
    fn label(self) -> &'static str {
        match self {
            Failure::Refused => "refused (tcp)",
            Failure::Vanished => "vanished: time-out (tcp)",
            Failure::SilentTls => "TLS time-out (tls)",
            Failure::ClosedTls => "TLS failure: closed (tls)",
            Failure::Hangs => "HTTP time-out: the application hangs (http)",
            Failure::Unavailable => "status 503 (http)",
            Failure::Garbage => "malformed answer (http)",
        }
    }

    fn is_tls(self) -> bool {
        matches!(self, Failure::SilentTls | Failure::ClosedTls)
    }

    fn is_http(self) -> bool {
        matches!(
            self,
            Failure::Hangs | Failure::Unavailable | Failure::Garbage
        )
    }

    /// Seconds within which an idle member should be down, with the defaults.
    fn limit(self) -> f64 {
        match self {
            Failure::Vanished | Failure::SilentTls | Failure::Hangs => SILENT,
            _ => ANSWERED,
        }
    }
}

/// One of two members that is going to fail.
struct Member {
    failure: Failure,
    pair: usize,
    backend: Backend,
}

impl Member {
    fn start(failure: Failure, pair: usize) -> Member {
        let addr = format!("{}:9000", address(failure, pair));
        let backend = match failure.is_tls() {
            true => Backend::start_tls("A", &addr),
            false => Backend::start("A", &addr),
        };
        Member {
            failure,
            pair,
            backend,
        }
    }

    fn path(&self) -> String {
        format!("/{}-{}/", self.failure as usize, self.pair)
    }

    fn worker(&self) -> String {
        let scheme = if self.failure.is_tls() {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://{}:9000", address(self.failure, self.pair))
    }

    fn config(&self) -> String {
        let (name, worker) = (self.path().replace('/', ""), self.worker());
        let other = match self.failure.is_tls() {
            true => format!("https://127.2.0.{}:9002", self.pair + 1),
            false => format!("http://127.2.0.{}:9001", self.pair + 1),
        };
        let probe = if self.failure.is_http() { HTTP } else { "" };
        format!(
            "<Proxy balancer://p{name}>
                 ProxyLive on
                 BalancerMember {worker} timeout=2 {probe}
                 BalancerMember {other} timeout=2
             </Proxy>
             ProxyPass {} balancer://p{name}/\n",
            self.path()
        )
    }

    fn fails(&self, world: &mut World) -> SystemTime {
        let address = address(self.failure, self.pair);
        match self.failure {
            Failure::Vanished => world.vanish(&address),
            Failure::Refused => self.backend.kill(),
            Failure::SilentTls => self.backend.mode(Mode::SilentTls),
            Failure::ClosedTls => self.backend.mode(Mode::CloseTls),
            Failure::Hangs => self.backend.mode(Mode::Hang),
            Failure::Unavailable => self.backend.mode(Mode::Status(503)),
            Failure::Garbage => self.backend.say("/healthz", Say::bytes("hello\r\n")),
        }
        SystemTime::now()
    }

    /// Seconds from `since` to the line of the log that says so, once it is there.
    fn down(&self, httpd: &Httpd, since: SystemTime) -> Option<f64> {
        let text = format!("worker {}: up -> down", self.worker());
        let log = httpd.error_log();
        let line = log.lines().find(|line| line.contains(&text))?;
        seconds_after(since, line)
    }
}

fn address(failure: Failure, pair: usize) -> String {
    format!("127.1.{}.{}", failure as usize, pair + 1)
}

pub fn run(world: &mut World) {
    let members: Vec<Member> = FAILURES
        .iter()
        .flat_map(|failure| (0..PAIRS).map(|pair| Member::start(*failure, pair)))
        .collect();
    let _others = [
        Backend::start("B", "0.0.0.0:9001"),
        Backend::start_tls("B", "0.0.0.0:9002"),
    ];
    let httpd = start(world, &members);
    println!("== one of two members begins to fail (defaults): seconds to the verdict in the log");
    let load = format!("under load ({} GETs/s)", 1000 / GETS.as_millis());
    for (what, loaded, pairs) in [
        ("idle", false, 0..PAIRS / 2),
        (load.as_str(), true, PAIRS / 2..PAIRS),
    ] {
        let mut took = vec![Vec::new(); FAILURES.len()];
        for pair in pairs {
            let failing: Vec<&Member> = members.iter().filter(|m| m.pair == pair).collect();
            round(world, &httpd, &failing, loaded, &mut took);
        }
        for (failure, took) in FAILURES.iter().zip(&took) {
            row(&format!("{what}: {}", failure.label()), took);
        }
        let late = |(failure, took): (&Failure, &Vec<f64>)| {
            let late = took.iter().any(|s| *s > failure.limit());
            late.then(|| failure.label())
        };
        let missed: Vec<_> = FAILURES.iter().zip(&took).filter_map(late).collect();
        let kept = match missed.as_slice() {
            [] => "kept".to_owned(),
            missed => format!("MISSED ({})", missed.join(", ")),
        };
        println!("{what}: goals ({ANSWERED} s, time-outs {SILENT} s): {kept}");
    }
}

fn start(world: &mut World, members: &[Member]) -> Httpd {
    let mut text = "SSLProxyEngine on\nSSLProxyVerify none\nSSLProxyCheckPeerName off\n".to_owned();
    text.extend(members.iter().map(Member::config));
    // Threads enough for those that are stuck at a failing member.
    let builder = world.httpd().threads(32).module("ssl");
    let httpd = builder.expect("").live(&text).start();
    eventually(PATIENCE, || members.iter().all(|m| m.backend.probed() > 0));
    pause(3.0);
    httpd
}

/// All of them fail, one shortly after the other: far from all that are probed, so it is no storm.
fn round(
    world: &mut World,
    httpd: &Httpd,
    members: &[&Member],
    loaded: bool,
    took: &mut [Vec<f64>],
) {
    let users = |member: &&Member| Users::get(&member.path()).every(GETS).start(httpd);
    let load: Vec<Arrivals> = members.iter().filter(|_| loaded).map(users).collect();
    // Another phase of the interval each time.
    pause(1.0 + 0.31 * members[0].pair as f64);
    let since: Vec<SystemTime> = members
        .iter()
        .map(|member| {
            pause(0.05);
            member.fails(world)
        })
        .collect();
    let downs = || members.iter().zip(&since).map(|(m, at)| m.down(httpd, *at));
    let end = SystemTime::now() + PATIENCE;
    while downs().any(|down| down.is_none()) && SystemTime::now() < end {
        pause(0.1);
    }
    load.into_iter().for_each(|load| drop(load.stop()));
    for (took, (member, down)) in took.iter_mut().zip(members.iter().zip(downs())) {
        match down {
            Some(seconds) => took.push(seconds),
            None => println!("{}: no verdict", member.worker()),
        }
    }
}
