//! TLS probes: what they say, and ports that do not answer them.

use crate::common::pool::*;
use crate::common::rescue::*;
use crate::common::*;
use live_kit::{
    Backend, Httpd, Mode, Mpm, Pending, Request, World, answers, eventually, pause, scenario,
};

const ONE_TLS: &str = "https://one.test:9000";
const TWO_TLS: &str = "https://two.test:9000";

/// Waits for a probe; the name that it sent. None of them asked for anything.
#[track_caller]
fn name_sent(backend: &Backend) -> Option<String> {
    eventually(PATIENCE, || !backend.probes().is_empty());
    let mut probes = backend.probes();
    assert!(probes.iter().all(|p| p.path.is_empty()), "{probes:?}");
    probes.pop().and_then(|p| p.sni)
}

/// The kind is the default of the scheme, or the one that is written.
#[test]
fn what_is_said() {
    scenario(|w: &mut World| {
        let tls = |port: u16| Backend::start_tls("T", &format!("{IP_A}:{port}"));
        let (https, wss, h2, host, number) =
            (tls(9000), tls(9001), tls(9002), tls(9003), tls(9004));
        let (port, other, upper) = (tls(9105), tls(9106), tls(9008));
        let _fronts = (tls(9005), Backend::start("P", &format!("{IP_A}:9006")));
        let plain = Backend::start("P", &format!("{IP_A}:9007"));
        let quiet = tls(9009);
        w.dns.set("app.test", answers(&[IP_A], 600));
        let text = format!(
            "SSLProxyEngine on
            SSLProxyVerify none
            SSLProxyCheckPeerName off
            ProxyLive on
            <Proxy balancer://members>
                BalancerMember https://app.test:9000
            </Proxy>
            ProxyPass /0/ balancer://members/
            ProxyPass /1/ wss://app.test:9001/
            ProxyPass /2/ h2://app.test:9002/
            ProxyPass /3/ https://app.test:9003/ livehost=other.test
            ProxyPass /4/ https://{IP_A}:9004/
            ProxyPass /5/ https://app.test:9005/ liveport=9105
            ProxyPass /6/ http://app.test:9006/ liveprobe=tls liveport=9106 livehost=Other.Test
            ProxyPass /7/ http://app.test:9007/
            ProxyPass /8/ https://App.Test.:9008/
            ProxyPass /9/ https://app.test:9009/ liveprobe=tcp"
        );
        let modules = ["proxy_wstunnel", "http2", "proxy_http2"];
        let builder = modules.iter().fold(w.httpd(), |b, m| b.module(m));
        let httpd = with_tls(builder).live(&text).start();
        let name = |backend: &Backend| name_sent(backend).map(|n| n.to_ascii_lowercase());
        for backend in [&https, &wss, &h2, &port, &upper] {
            assert_eq!(
                name(backend).as_deref(),
                Some("app.test"),
                "{}",
                backend.addr()
            );
        }
        for backend in [&host, &other] {
            assert_eq!(
                name(backend).as_deref(),
                Some("other.test"),
                "{}",
                backend.addr()
            );
        }
        assert_eq!(name(&number), None);
        // by TCP: connected, nothing said
        for backend in [&plain, &quiet] {
            eventually(PATIENCE, || backend.probed() > 0);
            assert!(backend.probes().is_empty());
        }
        for n in [0, 3, 4, 5, 6, 7, 9] {
            assert_eq!(httpd.get(&format!("/{n}/x")).status, 200, "/{n}/");
        }
        assert_eq!(changes(&httpd) + httpd.logged("last resort"), 0);
    });
}

/// GETs and POSTs that A works on for 10 s.
fn under_way(httpd: &Httpd, a: &Backend) -> Vec<Pending> {
    let get = bound(Request::get("/?long&delay=10000"), "a");
    let post = bound(Request::post("/?long&delay=10000", 1000), "a");
    let pending = [&get, &post, &get].map(|r| in_background(httpd, r));
    eventually(PATIENCE, || long(a) == 3);
    pending.into()
}

fn long(backend: &Backend) -> usize {
    let seen = backend.seen();
    seen.iter().filter(|s| s.path.contains("?long")).count()
}

/// The port of A goes on taking connections, but TLS does not answer; new requests go to B, those under way are
/// finished by A. An alert is an answer.
fn no_tls(w: &mut World, mpm: Mpm) {
    let (a, b, httpd) = start_pair(w, mpm, Scheme::Https, "liveinterval=500ms");
    let slow = under_way(&httpd, &a);
    for (mode, reason) in [
        (Mode::SilentTls, "TLS time-out"),
        (Mode::CloseTls, "TLS failure: closed without an answer"),
        (Mode::PlainTls, "TLS failure: the answer is not TLS"),
    ] {
        a.mode(mode);
        let why = format!("up -> down (127.0.0.2 {reason})");
        eventually(PATIENCE, || told(&httpd, ONE_TLS, &why) == 1);
        assert_eq!(used(&httpd), ["B"]);
        a.revive();
        wait_up(&httpd, ONE_TLS);
        eventually(BACK, || used(&httpd) == ["A", "B"]);
    }
    for one in slow {
        assert_eq!(outcome(one), (200, "A".to_owned()));
    }
    assert_eq!((long(&a), long(&b)), (3, 0));
    assert_eq!((downs(&httpd, ONE_TLS), ups(&httpd, ONE_TLS)), (3, 3));
    assert_eq!(downs(&httpd, TWO_TLS), 0);
    a.mode(Mode::BadTls);
    let before = a.died();
    eventually(PATIENCE, || a.died() >= before + 5);
    pause(0.5);
    assert_eq!(downs(&httpd, ONE_TLS), 3, "an alert is an answer");
    a.revive();
    // the last one stays
    b.kill();
    wait_down(&httpd, TWO_TLS);
    a.mode(Mode::SilentTls);
    let why = "last resort: stays in use although down (127.0.0.2 TLS time-out)";
    eventually(PATIENCE, || told(&httpd, ONE_TLS, why) == 1);
    assert_eq!(downs(&httpd, ONE_TLS), 3);
    assert_eq!(httpd.logged("requests ended"), 0);
}

#[test]
fn no_tls_event() {
    scenario(|w: &mut World| no_tls(w, Mpm::Event));
}

#[test]
fn no_tls_prefork() {
    scenario(|w: &mut World| no_tls(w, Mpm::Prefork));
}
