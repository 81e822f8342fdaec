//! Requests to observed workers that fail: their clients see what they see without the module.

use super::*;
use crate::common::noted::kept_alive;
use live_kit::{AjpBackend, Backend, FcgiBackend, H2Backend, Reply, Request};

/// What becomes of a client: the status, or the word for no answer.
fn outcome(reply: Result<Reply, live_kit::Failure>) -> String {
    reply.map_or_else(
        |failure| format!("{failure:?}"),
        |r| format!("{} {}", r.status, r.backend),
    )
}

/// Requests that end badly at A, each as a new client and as one that has had an answer.
fn bad_ends(httpd: &Httpd) -> Vec<String> {
    let mut found = Vec::new();
    for word in ["close", "reset", "header-close", "body"] {
        let path = format!("/{word}?die={word}&at=A");
        for request in [Request::get(&path), Request::post(&path, 10)] {
            let request = request.header("Cookie", "ROUTEID=.one");
            found.push(outcome(httpd.send(&request)));
            let mut client = kept_alive(httpd, &Request::get("/").header("Cookie", "ROUTEID=.one"));
            found.push(outcome(client.send(&request)));
        }
    }
    found
}

/// How many requests the lines of this kind have told of.
fn requests_told(httpd: &Httpd, worker: &str, what: &str) -> usize {
    let count = |text: &str| {
        let (_, said) =
            text.split_once(&format!("worker {worker}: observe: would have {what} "))?;
        said.split_once(" requests (")?.0.parse::<usize>().ok()
    };
    let lines = httpd.live_lines().into_iter();
    lines.filter_map(|line| count(&line.text)).sum()
}

/// Requests fail at a member: their clients see what they see without the module, and those that would have been
/// retried are told.
fn requests_fail(w: &mut World, mpm: Mpm, reuse: &str) {
    let (a, b) = backends();
    set_members(w);
    let text = |live: &str| {
        format!(
            "{reuse}\n{MANAGER}
             <Proxy balancer://pool>
                 BalancerMember {ONE} {live} route=one retry=0
                 BalancerMember {TWO} {live} route=two retry=0
                 ProxySet stickysession=ROUTEID
             </Proxy>
             ProxyPass / balancer://pool/"
        )
    };
    let (observing, stock) = pair(w, mpm, &text("live=observe"), &text(""));
    wait_would(&observing, TWO, "use ");
    wait_probed(&[&a, &b]);
    let (found, wanted) = (bad_ends(&observing), bad_ends(&stock));
    assert_eq!(found, wanted);
    // Without an answer or with an error; what stock httpd does with clients that are kept alive is drop them.
    let dropped = found.iter().filter(|f| *f == "ClosedWithoutAnswer").count();
    let errors = found.iter().filter(|f| f.starts_with("502")).count();
    assert!(dropped > 0 && errors > 0, "{found:?}");
    assert!(!found.iter().any(|f| f.ends_with(" B")), "{found:?}");
    // The GETs that ended without any answer: closed, reset, and half a header, of both kinds of clients.
    eventually(PATIENCE, || requests_told(&observing, ONE, "retried") >= 6);
    pause(LATER);
    assert_eq!(requests_told(&observing, ONE, "retried"), 6, "{found:?}");
    assert!(observing.logged(" requests (reset, closed)") > 0);
    assert_eq!(requests_told(&observing, TWO, "retried"), 0);
    assert_eq!(requests_told(&observing, ONE, "ended"), 0);
    let flags = |httpd: &Httpd| [ONE, TWO].map(|member| httpd.manager("pool").flags(member));
    assert_eq!(flags(&observing), flags(&stock));
    nothing_done(&observing);
}

#[test]
fn requests_fail_event() {
    scenario(|w: &mut World| requests_fail(w, Mpm::Event, FRESH));
}

#[test]
fn requests_fail_prefork() {
    scenario(|w: &mut World| requests_fail(w, Mpm::Prefork, ""));
}

/// A machine vanishes: a request that waits there, and one that connects, wait as long as without the module.
#[test]
fn a_machine_vanishes() {
    scenario_within(LIMIT, |w: &mut World| {
        const URL: &str = "http://app.test:9000";
        const TIMEOUT: Duration = Duration::from_secs(4);
        let a = backend("A", IP_A);
        set_app(w, &[IP_A]);
        let text = format!("ProxyPass / {URL}/ live=observe timeout=4");
        let builder = troubled(w.httpd().children(1).log_level(LEVEL).live(&text));
        let httpd = builder.start();
        wait_would(&httpd, URL, "use ");
        wait_probed(&[&a]);
        assert_eq!(httpd.get("/").backend, "A");
        w.vanish(IP_A);
        // On the pooled connection: the system repeats what nobody acknowledges.
        let start = Instant::now();
        assert!(httpd.get("/").status >= 502);
        assert!(start.elapsed() >= TIMEOUT, "{:?}", start.elapsed());
        wait_would(&httpd, URL, "stay in as last resort (127.0.0.2 time-out)");
        let start = Instant::now();
        assert_eq!(httpd.get("/").status, 503);
        assert!(start.elapsed() >= TIMEOUT, "{:?}", start.elapsed());
        eventually(PATIENCE, || {
            requests_told(&httpd, "http://app.test:9000/", "ended") > 0
        });
        pause(LATER);
        assert_eq!(requests_told(&httpd, "http://app.test:9000/", "ended"), 1);
        w.appear(IP_A);
        wait_would(&httpd, URL, "no longer be the last resort");
        assert_eq!(httpd.get("/").backend, "A");
        assert_eq!(would(&httpd, URL, "stay in"), 1);
        assert_eq!(would(&httpd, URL, "mark"), 0);
        nothing_done(&httpd);
    });
}

/// Other kinds of workers than http: statuses before, while the backend is dead, and after.
#[test]
fn other_kinds_of_workers() {
    scenario_within(LIMIT, |w: &mut World| {
        let s = Backend::start_tls("S", "127.0.0.2:9443");
        let h = H2Backend::start("H", "127.0.0.2:9000");
        let _f = FcgiBackend::start("F", "127.0.0.2:9001");
        let _j = AjpBackend::start("J", "127.0.0.2:9002");
        set_app(w, &[IP_A]);
        let text = |live: &str| {
            format!(
                "SSLProxyEngine on
                 SSLProxyCheckPeerName off
                 ProxyPass /s https://app.test:9443/ {live}
                 ProxyPass /h h2c://app.test:9000/ {live}
                 ProxyPass /f fcgi://app.test:9001/ {live}
                 ProxyPass /j ajp://app.test:9002/ {live}"
            )
        };
        let with = |builder: Builder| {
            let builder = ["ssl", "proxy_http2", "proxy_fcgi", "proxy_ajp"]
                .iter()
                .fold(troubled(builder), |b, m| b.module(m));
            builder.expect("[proxy_http2:").expect("[ssl:")
        };
        let observing = with(w.httpd())
            .log_level(LEVEL)
            .live(&text("live=observe"))
            .start();
        let stock = with(w.httpd()).config(&text("")).start();
        const URLS: [&str; 2] = ["https://app.test:9443", "h2c://app.test:9000"];
        URLS.iter()
            .for_each(|url| wait_would(&observing, url, "use "));
        let all = |httpd: &Httpd| ["/s", "/h", "/f", "/j"].map(|path| outcome(httpd.try_get(path)));
        let alike = || {
            let (found, wanted) = (all(&observing), all(&stock));
            assert_eq!(found, wanted);
            found
        };
        assert!(alike().iter().all(|f| f.starts_with("200")));
        s.kill();
        h.kill();
        let dead = alike();
        assert!(
            dead[0].starts_with('5') && dead[1].starts_with('5'),
            "{dead:?}"
        );
        URLS.iter().for_each(|url| {
            wait_would(&observing, url, "mark down (127.0.0.2 connection refused)")
        });
        alike();
        s.revive();
        h.revive();
        URLS.iter()
            .for_each(|url| wait_would(&observing, url, "mark up"));
        assert!(alike().iter().all(|f| f.starts_with("200")));
        nothing_done(&observing);
    });
}
