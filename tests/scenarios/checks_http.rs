//! HTTP probes: what they ask, what they take for an answer, and what a wrong answer does to requests: nothing but
//! lead new ones elsewhere.

use crate::common::pool::*;
use crate::common::rescue::{in_background, outcome, with_tls};
use crate::common::*;
use live_kit::{
    Backend, FcgiBackend, H2Backend, Httpd, MANAGER, Mode, Request, Say, Seen, Type, World,
    answers, eventually, pause, scenario,
};
use std::time::Duration;

/// Backends that no one vouches for.
const TLS: &str = "SSLProxyEngine on\nSSLProxyVerify none\nSSLProxyCheckPeerName off";
const GOOD: &str = "http://good.test:9000";
const CHECK: &str = "liveprobe=http liveuri=/healthz liveexpect=200 liveinterval=500ms";

/// Waits for a probe of this backend with a request; the last one.
#[track_caller]
fn asked(backend: &Backend) -> Seen {
    let mut probes = Vec::new();
    eventually(PATIENCE, || {
        probes = backend.probes();
        probes.iter().any(|p| !p.path.is_empty())
    });
    probes.pop().expect("a probe")
}

/// How many probes asked for this path.
fn count(backend: &Backend, path: &str) -> usize {
    let probes = backend.probes();
    probes.iter().filter(|p| p.path == path).count()
}

/// Path, Host and SNI.
fn facts(seen: &Seen) -> (&str, &str, Option<&str>) {
    (&seen.path, &seen.host, seen.sni.as_deref())
}

/// A worker of each kind that can have HTTP probes.
fn all_kinds() -> String {
    format!(
        "{TLS}
        ProxyLive on
        <Proxy balancer://members>
            BalancerMember http://app.test:9000 liveprobe=http
        </Proxy>
        ProxyPass /0/ balancer://members/
        ProxyPass /1/ http://app.test:9001/ liveprobe=http liveuri=/moved?deep=1 liveinterval=300ms
        ProxyPass /2/ http://app.test:9002/ liveprobe=http liveuri=/healthz livehost=other.test
        ProxyPass /3/ http://{IP_A}:9003/ liveprobe=http liveuri=/healthz
        ProxyPass /4/ https://app.test:9004/ liveprobe=http liveuri=/healthz
        ProxyPass /5/ https://app.test:9005/ liveprobe=http liveuri=/healthz liveport=9105
        ProxyPass /6/ wss://app.test:9006/ liveprobe=http liveuri=/healthz
        ProxyPass /7/ fcgi://app.test:9007/ liveprobe=http liveuri=/healthz liveport=9107
        ProxyPass /8/ h2c://app.test:9008/ liveprobe=http liveuri=/healthz
        ProxyPass /9/ http://app.test:9009/ liveprobe=http liveuri=/healthz liveinterval=300ms"
    )
}

/// One worker of each kind; each has a backend, and is well.
#[test]
fn what_is_asked() {
    scenario(|w: &mut World| {
        let plain = |port: u16| Backend::start("P", &format!("{IP_A}:{port}"));
        let tls = |port: u16| Backend::start_tls("T", &format!("{IP_A}:{port}"));
        let usual = plain(9000);
        let (path, host, number) = (plain(9001), plain(9002), plain(9003));
        let (https, port, wss) = (tls(9004), tls(9105), tls(9006));
        let _fcgi = FcgiBackend::start("F", &format!("{IP_A}:9007"));
        let (fcgi, h2c) = (plain(9107), plain(9008));
        let _front = tls(9005);
        let large = plain(9009);
        path.say("/moved", Say::Status(301));
        large.say("/healthz", Say::Large);
        w.dns.set("app.test", answers(&[IP_A], 600));
        let modules = ["proxy_fcgi", "proxy_wstunnel", "http2", "proxy_http2"];
        let builder = modules.iter().fold(w.httpd(), |b, m| b.module(m));
        let httpd = with_tls(builder).live(&all_kinds()).start();
        let app = Some("app.test");
        assert_eq!(facts(&asked(&usual)), ("/", "app.test:9000", None));
        assert_eq!(
            facts(&asked(&path)),
            ("/moved?deep=1", "app.test:9001", None)
        );
        let other = ("/healthz", "other.test:9002", None);
        assert_eq!(facts(&asked(&host)), other);
        let wanted = format!("{IP_A}:9003");
        assert_eq!(facts(&asked(&number)), ("/healthz", &*wanted, None));
        assert_eq!(facts(&asked(&https)), ("/healthz", "app.test:9004", app));
        assert_eq!(
            (asked(&port).sni.as_deref(), &*asked(&port).path),
            (app, "/healthz")
        );
        assert_eq!(facts(&asked(&wss)), ("/healthz", "app.test:9006", app));
        assert_eq!((asked(&fcgi).sni, &*asked(&fcgi).path), (None, "/healthz"));
        assert_eq!(facts(&asked(&h2c)), ("/healthz", "app.test:9008", None));
        let seen = asked(&usual);
        let agent = format!("mod_proxy_live/{}", env!("CARGO_PKG_VERSION"));
        assert_eq!((&*seen.agent, &*seen.method), (&*agent, "GET"));
        // the end of a body is not waited for, and a redirect not followed
        eventually(PATIENCE, || {
            large.cut() >= 3 && count(&path, "/moved?deep=1") >= 3
        });
        assert_eq!(w.dns.count("elsewhere.test", Type::A), 0);
        for n in [0, 2, 3, 4, 9] {
            assert_eq!(httpd.get(&format!("/{n}/x")).status, 200, "/{n}/");
        }
        assert_eq!(changes(&httpd) + httpd.logged("last resort"), 0);
        // what stands behind the path may be secret
        assert_eq!(httpd.logged("deep=1"), 0);
        // probes are no requests
        assert_eq!(usual.requests(), 1);
    });
}

/// Two workers with one check are probed once, two checks of one port are two, and one with HTTP/2 only is told so.
#[test]
fn one_stream_for_each_check() {
    scenario(|w: &mut World| {
        let a = backend("A", IP_A);
        let _h2 = H2Backend::start("H", "127.0.0.4:9000");
        w.dns.set("app.test", answers(&[IP_A], 600));
        w.dns.set("h2.test", answers(&["127.0.0.4"], 600));
        let text = "ProxyLive on
            ProxyPass /1/ http://app.test:9000/1/ liveprobe=http liveuri=/same liveinterval=500ms
            ProxyPass /2/ http://app.test:9000/2/ liveprobe=http liveuri=/same liveinterval=500ms
            ProxyPass /3/ http://app.test:9000/3/ liveprobe=http liveuri=/other liveinterval=500ms
            ProxyPass /4/ http://app.test:9000/4/ liveprobe=http liveuri=/broken liveinterval=500ms
            ProxyPass /5/ http://app.test:9000/5/
            ProxyPass /h2/ h2c://h2.test:9000/ liveprobe=http liveinterval=500ms";
        a.say("/broken", Say::Status(500));
        let modules = ["http2", "proxy_http2"];
        let builder = modules.iter().fold(w.httpd(), |b, m| b.module(m));
        let mut httpd = troubled(builder).live(text).start();
        asked(&a);
        pause(1.0);
        let before = (count(&a, "/same"), count(&a, "/other"));
        eventually(PATIENCE, || count(&a, "/other") >= before.1 + 6);
        let same = count(&a, "/same") - before.0;
        assert!((4..=8).contains(&same), "{same} probes beside 6");
        // only the one whose check fails is told of; as the only one it stays in use
        let resort = |worker: &str, why: &str| {
            told(
                &httpd,
                worker,
                &format!("last resort: stays in use although down ({why}"),
            )
        };
        eventually(PATIENCE, || {
            resort(
                "http://app.test:9000/4",
                "127.0.0.2 unexpected HTTP status 500",
            ) == 1
        });
        let http2 = "127.0.0.4 malformed HTTP answer: HTTP/2 only, probes speak HTTP/1.1";
        eventually(PATIENCE, || resort("h2c://h2.test:9000", http2) == 1);
        assert_eq!(httpd.logged("last resort"), 2);
        for n in 1..=5 {
            assert_eq!(httpd.get(&format!("/{n}/x")).status, 200, "/{n}/");
        }
        // another path in force at a reload, and nothing else
        httpd.rewrite(&text.replace("/same", "/renamed"));
        httpd.graceful();
        eventually(PATIENCE, || count(&a, "/renamed") >= 2);
        pause(1.0);
        a.forget();
        eventually(PATIENCE, || count(&a, "/renamed") >= 3);
        assert_eq!(count(&a, "/same"), 0);
        assert!(count(&a, "/other") > 0);
        assert_eq!(changes(&httpd), 0);
    });
}

/// What goes wrong with the check of a member.
struct Bad {
    scheme: &'static str,
    say: Say,
    reason: &'static str,
}

fn bad(scheme: &'static str, say: Say, reason: &'static str) -> Bad {
    Bad {
        scheme,
        say,
        reason,
    }
}

fn all_bad() -> Vec<Bad> {
    let settings = vec![0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 100];
    let alert = vec![21, 3, 3, 0, 2, 2, 40];
    vec![
        bad("http", Say::Status(503), "unexpected HTTP status 503"),
        bad("https", Say::Status(404), "unexpected HTTP status 404"),
        bad("http", Say::Status(301), "unexpected HTTP status 301"),
        bad("http", Say::Status(204), "unexpected HTTP status 204"),
        bad("http", Say::Hang, "HTTP time-out"),
        bad("https", Say::Hang, "HTTP time-out"),
        bad(
            "http",
            Say::Drip(Duration::from_millis(60)),
            "HTTP time-out",
        ),
        bad(
            "http",
            Say::Endless,
            "malformed HTTP answer: the header is too long",
        ),
        bad(
            "http",
            Say::bytes("SSH-2.0-x\r\n"),
            "malformed HTTP answer: no status line",
        ),
        bad(
            "https",
            Say::Bytes(settings),
            "malformed HTTP answer: HTTP/2 only",
        ),
        bad(
            "http",
            Say::Bytes(alert),
            "malformed HTTP answer: TLS on a port without TLS",
        ),
        bad(
            "http",
            Say::bytes("HTTP/1.1 999 x\r\n\r\n"),
            "malformed HTTP answer: a status that",
        ),
        bad(
            "http",
            Say::bytes("HTTP/3.0 200 x\r\n\r\n"),
            "malformed HTTP answer: not HTTP/1",
        ),
        bad("http", Say::Close, "malformed HTTP answer: closed before"),
        bad("https", Say::Close, "malformed HTTP answer: closed before"),
        bad("http", Say::Reset, "malformed HTTP answer: reset before"),
    ]
}

/// A member of the pool with its backend.
struct Member {
    worker: String,
    backend: Backend,
    bad: Bad,
}

/// A backend for each of them, `m0.test` at 127.0.0.10 and so on; the lines of the members.
fn members(w: &World) -> (Vec<Member>, String) {
    let mut lines = String::new();
    let make = |(n, bad): (usize, Bad)| {
        let (name, ip) = (format!("m{n}.test"), format!("127.0.0.{}", 10 + n));
        w.dns.set(&name, answers(&[&ip], 600));
        let start = match bad.scheme {
            "https" => Backend::start_tls,
            _ => Backend::start,
        };
        let backend = start(&format!("M{n}"), &format!("{ip}:9000"));
        let worker = format!("{}://{name}:9000", bad.scheme);
        lines += &format!("BalancerMember {worker} live=on route=m{n} {CHECK}\n");
        Member {
            worker,
            backend,
            bad,
        }
    };
    let members = all_bad().into_iter().enumerate().map(make).collect();
    (members, lines)
}

/// A GET and a POST that the member of this route works on for 5 s.
fn under_way(httpd: &Httpd, member: &Member, route: &str) -> Vec<live_kit::Pending> {
    let cookie = format!("ROUTE=x.{route}");
    let get = Request::get("/long?delay=5000").header("Cookie", &cookie);
    let post = Request::post("/long?delay=5000", 1000).header("Cookie", &cookie);
    let pending = vec![in_background(httpd, &get), in_background(httpd, &post)];
    eventually(PATIENCE, || long(&member.backend) == 2);
    pending
}

fn long(backend: &Backend) -> usize {
    let seen = backend.seen();
    seen.iter().filter(|s| s.path.starts_with("/long")).count()
}

/// A httpd with a balancer of these members and one that is always well.
fn start_members(w: &mut World, members: &[Member], lines: &str) -> Httpd {
    w.dns.set("good.test", answers(&[IP_A], 600));
    let text = format!(
        "{TLS}
        {MANAGER}
        <Proxy balancer://pool>
            {lines}
            BalancerMember {GOOD} live=on {CHECK}
            ProxySet stickysession=ROUTE
        </Proxy>
        ProxyPass / balancer://pool/"
    );
    let builder = with_tls(w.httpd().children(1).threads(32)).live(&text);
    let httpd = troubled(builder).start();
    for member in members {
        asked(&member.backend);
    }
    httpd
}

/// All their checks fail, and each says why.
#[track_caller]
fn go_down(httpd: &Httpd, members: &[Member]) {
    for member in members {
        member.backend.say("/healthz", member.bad.say.clone());
    }
    for Member { worker, bad, .. } in members {
        eventually(PATIENCE, || downs(httpd, worker) == 1);
        let begin = format!("worker {worker}: up -> down");
        let lines = httpd.live_lines();
        let line = lines.iter().find(|l| l.text.contains(&begin));
        let said = &line.expect("the line").text;
        assert!(said.contains(bad.reason), "{said}");
    }
}

#[track_caller]
fn come_back(httpd: &Httpd, members: &[Member]) {
    for member in members {
        member.backend.say_usual("/healthz");
    }
    for Member { worker, .. } in members {
        eventually(PATIENCE, || ups(httpd, worker) == 1);
    }
    eventually(BACK, || used(httpd).len() == members.len() + 1);
    for Member { worker, .. } in members {
        let changes = (downs(httpd, worker), ups(httpd, worker));
        assert_eq!(changes, (1, 1), "{worker}");
    }
}

/// Connections with requests, of each of them.
fn open(members: &[Member]) -> Vec<usize> {
    members.iter().map(|m| m.backend.open()).collect()
}

/// Every bad answer takes its member out, with its reason; nothing that is under way there is touched, and idle
/// connections stay. Good answers bring it back.
#[test]
fn bad_answers() {
    scenario(|w: &mut World| {
        let (members, lines) = members(w);
        let good = backend("G", IP_A);
        let httpd = start_members(w, &members, &lines);
        let load = httpd.load().start();
        eventually(PATIENCE, || open(&members).iter().all(|n| *n > 0));
        let slow = [0, 4].map(|n| (n, under_way(&httpd, &members[n], &format!("m{n}"))));
        let before = open(&members);
        go_down(&httpd, &members);
        assert_eq!(used(&httpd), ["G"]);
        let now = open(&members);
        let kept = before.iter().zip(&now).all(|(before, now)| now >= before);
        assert!(kept, "idle connections: {before:?} -> {now:?}");
        for (n, slow) in slow {
            for one in slow {
                assert_eq!(outcome(one), (200, format!("M{n}")));
            }
            assert_eq!(long(&members[n].backend), 2, "executed again");
        }
        come_back(&httpd, &members);
        load.stop().assert_clean(PROMPT);
        assert_eq!(httpd.logged("requests ended"), 0);
        assert_eq!(downs(&httpd, GOOD), 0);
        assert!(good.requests() > 0);
    });
}

/// The last usable member of a balancer stays in use on bad answers, and it serves; with `livelastresort=off` it goes.
#[test]
fn the_last_one_stays() {
    scenario(|w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        w.dns.set("off.test", answers(&[IP_A], 600));
        let off = Backend::start("O", &format!("{IP_A}:9001"));
        let text = format!(
            "ProxyPass /off/ http://off.test:9001/ live=on {CHECK} livelastresort=off
            {}",
            pool(CHECK)
        );
        let httpd = start_pool(troubled(w.httpd().live(&text)), &[&a, &b, &off]);
        let load = httpd.load().start();
        a.say("/healthz", Say::Status(503));
        wait_down(&httpd, ONE);
        b.say("/healthz", Say::Hang);
        let why = "last resort: stays in use although down (127.0.0.3 HTTP time-out";
        eventually(PATIENCE, || told(&httpd, TWO, why) == 1);
        assert_eq!(
            (used(&httpd), downs(&httpd, TWO)),
            (vec!["B".to_owned()], 0)
        );
        off.say("/healthz", Say::Status(500));
        let out = "http://off.test:9001";
        eventually(PATIENCE, || downs(&httpd, out) == 1);
        let before = off.requests();
        assert_eq!((httpd.get("/off/x").status, off.requests()), (503, before));
        b.say_usual("/healthz");
        eventually(BACK, || told(&httpd, TWO, "no longer the last resort") == 1);
        a.say_usual("/healthz");
        off.say_usual("/healthz");
        eventually(BACK, || used(&httpd) == ["A", "B"]);
        eventually(BACK, || httpd.get("/off/x").status == 200);
        // the port closes: that is certain, whatever the kind of probe
        b.mode(Mode::Refuse);
        wait_down(&httpd, TWO);
        a.mode(Mode::Refuse);
        wait_down(&httpd, ONE);
        a.revive();
        b.revive();
        wait_up(&httpd, ONE);
        wait_up(&httpd, TWO);
        let records = load.stop();
        let bad = records.failed();
        assert!(bad.iter().all(|r| r.status == 503), "{bad:?}");
        eventually(BACK, || used(&httpd) == ["A", "B"]);
    });
}
