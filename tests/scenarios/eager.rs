//! `liverescue=eager`: GETs leave a member whose application hangs, and nothing else is moved.

use crate::common::noted::{NOTED, all_noted, noted};
use crate::common::pool::*;
use crate::common::rescue::*;
use crate::common::*;
use live_kit::{
    Backend, Httpd, Mode, Mpm, Pending, Request, Say, World, answers, eventually, pause, scenario,
};
use std::time::Duration;

const HTTP: &str = "liveprobe=http liveuri=/healthz liverescue=eager";
/// No GET takes longer when one of two members hangs.
const MOVED: Duration = Duration::from_secs(4);

/// One of two members stands still for 6 s under load: its port goes on answering. GETs on new and on kept connections
/// are moved, POSTs wait for it.
fn one_hangs(w: &mut World, mpm: Mpm, scheme: Scheme, parameters: &str) {
    let (a, b) = (scheme.backend("A", IP_A), scheme.backend("B", IP_B));
    set_members(w);
    let text = format!("{NOTED}\n{}", rescue_pool(scheme, parameters));
    let httpd = start_pool(server(w, mpm, scheme).live(&text), &[&a, &b]);
    let one = scheme.worker("one.test");
    let loads = Loads::of(&httpd, "/?delay=100", Duration::from_millis(20));
    wait_busy(&a, RESCUABLE);
    a.mode(Mode::Freeze);
    pause(6.0);
    assert_eq!(downs(&httpd, &one), 1);
    a.revive();
    wait_up(&httpd, &one);
    eventually(BACK, || a.busy() > 0);
    let outcome = loads.stop();
    let what = format!("{mpm:?}, {scheme:?}, hangs with eager");
    outcome.figure(&what, &[&a, &b]);
    outcome.judge_within(MOVED, GIVEN_UP, &[&a, &b]);
    // a POST that it had taken was left to it
    assert!(outcome.posts.failed().is_empty());
    assert!(
        outcome.posts.slowest() > MOVED,
        "{:?}",
        outcome.posts.slowest()
    );
    let moved: Vec<_> = all_noted(&httpd);
    let moved: Vec<_> = moved.iter().filter(|n| !n.rescue.is_empty()).collect();
    println!("figure: {what}: {} moved", moved.len());
    assert!(!moved.is_empty(), "nothing was moved");
    for line in moved {
        let facts = (&*line.method, line.status, line.facts());
        assert_eq!(facts, ("GET", 200, ("127.0.0.3:9000", 2, "hung")));
    }
}

#[test]
fn one_hangs_event() {
    scenario(|w: &mut World| one_hangs(w, Mpm::Event, Scheme::Http, HTTP));
}

#[test]
fn one_hangs_prefork() {
    scenario(|w: &mut World| one_hangs(w, Mpm::Prefork, Scheme::Http, HTTP));
}

/// The TLS handshake is what the probe waits for; requests hang in theirs, too.
#[test]
fn one_hangs_event_tls() {
    scenario(|w: &mut World| one_hangs(w, Mpm::Event, Scheme::Https, "liverescue=eager"));
}

/// A balancer of its own port: A at the path `/n/`, route `a`, and B.
struct Pair {
    n: u16,
    a: Backend,
    b: Backend,
}

impl Pair {
    fn start(n: u16) -> Pair {
        let backend = |name: &str, ip: &str| {
            Backend::start(&format!("{name}{n}"), &format!("{ip}:{}", 9000 + n))
        };
        Pair {
            n,
            a: backend("A", IP_A),
            b: backend("B", IP_B),
        }
    }

    fn config(&self, parameters: &str) -> String {
        let (n, port) = (self.n, 9000 + self.n);
        format!(
            "<Proxy balancer://p{n}>
                 BalancerMember http://one.test:{port} live=on route=a {parameters}
                 BalancerMember http://two.test:{port} live=on route=b {parameters}
                 ProxySet stickysession=ROUTE
            </Proxy>
            ProxyPass /{n}/ balancer://p{n}/\n"
        )
    }

    /// A worker whose name has both addresses.
    fn config_of_one(&self, parameters: &str) -> String {
        let n = self.n;
        format!(
            "ProxyPass /{n}/ http://app.test:{}/ live=on {parameters}\n",
            9000 + n
        )
    }

    /// `one.test` or `two.test` as a worker's name.
    fn worker(&self, name: &str) -> String {
        format!("http://{name}.test:{}", 9000 + self.n)
    }

    /// Sends a GET for this query to A or B (`a`, `b`), which are sure to have it when this returns unless they stand
    /// still.
    fn send(&self, httpd: &Httpd, route: &str, query: &str) -> Pending {
        let request = bound(Request::get(&format!("/{}/?{query}", self.n)), route);
        in_background(httpd, &request)
    }

    /// The request was answered by this backend, as the access log tells it.
    fn is_from(&self, httpd: &Httpd, one: Pending, query: &str, backend: &str, rescue: &str) {
        assert_eq!(outcome(one), (200, backend.to_owned()), "{query}");
        let line = noted(httpd, &format!("/{}/?{query}", self.n));
        let attempts = if rescue.is_empty() { 1 } else { 2 };
        assert_eq!(
            (line.attempts, &*line.rescue),
            (attempts, rescue),
            "{query}"
        );
    }
}

/// The address that new connections go to first hangs: its requests go to the other.
#[track_caller]
fn other_address(httpd: &Httpd, pair: &Pair) {
    let first = httpd.get(&format!("/{}/?first", pair.n)).backend;
    let (hangs, other) = match first == pair.a.name() {
        true => (&pair.a, &pair.b),
        false => (&pair.b, &pair.a),
    };
    hangs.mode(Mode::Freeze);
    let paths: Vec<_> = (0..6).map(|i| format!("/{}/?i={i}", pair.n)).collect();
    let send = |path: &String| in_background(httpd, &Request::get(path));
    let pending: Vec<_> = paths.iter().map(send).collect();
    for one in pending {
        assert_eq!(outcome(one), (200, other.name().to_owned()));
    }
    let hung = |path: &&String| noted(httpd, path).rescue == "hung";
    assert!(paths.iter().any(|path| hung(&path)), "nobody met it");
    hangs.revive();
}

/// Workers that are well, of a backend on port 9100: a few that hang are no storm beside them.
fn many_well() -> String {
    let line = |n| format!("ProxyPass /{n}/ http://127.0.0.{n}:9100/ live=on\n");
    (20..32).map(line).collect()
}

/// Slow URLs of a member whose check answers; members that hang without `eager`; answers that have begun; members
/// that hang all.
#[test]
fn who_stays() {
    scenario(|w: &mut World| {
        set_members(w);
        let (slow, plain, begun, all) = (
            Pair::start(1),
            Pair::start(2),
            Pair::start(3),
            Pair::start(4),
        );
        let _well = Backend::start("W", "0.0.0.0:9100");
        let mut text = format!("{NOTED}\n{}", many_well());
        text += &slow.config(HTTP);
        text += &plain.config("liveprobe=http liveuri=/healthz");
        text += &begun.config(HTTP);
        text += &all.config(HTTP);
        let addresses = Pair::start(5);
        text += &addresses.config_of_one(HTTP);
        w.dns.set("app.test", answers(&[IP_A, IP_B], 600));
        let builder = server(w, Mpm::Event, Scheme::Http).children(1).live(&text);
        let pairs = [&slow, &plain, &begun, &all];
        let probed: Vec<_> = pairs.iter().flat_map(|p| [&p.a, &p.b]).collect();
        let httpd = start_pool(builder, &probed);
        let long = slow.send(&httpd, "a", "delay=7000");
        let drips = begun.send(&httpd, "a", "drip=50&bytes=140");
        let waits = begun.send(&httpd, "a", "delay=30000&at=A3");
        eventually(PATIENCE, || slow.a.busy() == 1 && begun.a.busy() == 2);
        begun.a.say("/healthz", Say::Hang);
        for backend in [&plain.a, &all.a, &all.b] {
            backend.mode(Mode::Freeze);
        }
        let stays = plain.send(&httpd, "a", "stays");
        let at_a = all.send(&httpd, "a", "at_a");
        let at_b = all.send(&httpd, "b", "at_b");
        for pair in [&plain, &begun] {
            eventually(PATIENCE, || downs(&httpd, &pair.worker("one")) == 1);
        }
        // one of the two stays in use, as the last resort
        let resort = |name| told(&httpd, &all.worker(name), "last resort");
        eventually(PATIENCE, || resort("one") + resort("two") >= 1);
        begun.is_from(&httpd, waits, "delay=30000&at=A3", "B3", "hung");
        pause(3.0);
        for backend in [&plain.a, &all.a, &all.b] {
            backend.revive();
        }
        plain.is_from(&httpd, stays, "stays", "A2", "");
        begun.is_from(&httpd, drips, "drip=50&bytes=140", "A3", "");
        slow.is_from(&httpd, long, "delay=7000", "A1", "");
        assert_eq!(downs(&httpd, &slow.worker("one")), 0);
        other_address(&httpd, &addresses);
        all.is_from(&httpd, at_a, "at_a", "A4", "");
        all.is_from(&httpd, at_b, "at_b", "B4", "");
    });
}
