//! Uploads of every form while their backend dies: never executed twice, never mutilated, each answered.

use crate::common::pool::*;
use crate::common::uploads::*;
use crate::common::*;
use live_kit::{
    Backend, Death, Framing, Mode, Mpm, Request, World, eventually, pause, scenario_within,
};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(150);

fn every_form() -> Vec<Request> {
    [repeatable(), uploads()].concat()
}

fn go(w: &mut World, mpm: Mpm, trouble: Trouble) {
    go_through(w, mpm, Speak::Http1, trouble, &every_form(), "");
}

#[test]
fn host_vanishes() {
    scenario_within(LIMIT, |w: &mut World| go(w, Mpm::Event, Trouble::Vanishes));
}

#[test]
fn host_vanishes_prefork() {
    scenario_within(LIMIT, |w: &mut World| {
        go(w, Mpm::Prefork, Trouble::Vanishes)
    });
}

#[test]
fn process_killed() {
    scenario_within(LIMIT, |w: &mut World| go(w, Mpm::Event, Trouble::Killed));
}

#[test]
fn process_killed_prefork() {
    scenario_within(LIMIT, |w: &mut World| go(w, Mpm::Prefork, Trouble::Killed));
}

#[test]
fn closed_as_the_request_arrives() {
    let trouble = Trouble::Dies(Death::Arrival);
    scenario_within(LIMIT, |w: &mut World| go(w, Mpm::Event, trouble));
}

#[test]
fn closed_instead_of_an_answer() {
    let trouble = Trouble::Some(Death::Close);
    scenario_within(LIMIT, |w: &mut World| go(w, Mpm::Event, trouble));
}

#[test]
fn reset_instead_of_an_answer() {
    let trouble = Trouble::Some(Death::Reset);
    scenario_within(LIMIT, |w: &mut World| go(w, Mpm::Event, trouble));
}

#[test]
fn reset_instead_of_an_answer_prefork() {
    let trouble = Trouble::Some(Death::Reset);
    scenario_within(LIMIT, |w: &mut World| go(w, Mpm::Prefork, trouble));
}

#[test]
fn reset_after_half_a_head() {
    let trouble = Trouble::Some(Death::Header);
    scenario_within(LIMIT, |w: &mut World| go(w, Mpm::Event, trouble));
}

#[test]
fn closed_after_half_a_head() {
    let trouble = Trouble::Some(Death::HeaderClose);
    scenario_within(LIMIT, |w: &mut World| go(w, Mpm::Event, trouble));
}

#[test]
fn full_backlog() {
    scenario_within(LIMIT, |w: &mut World| go(w, Mpm::Event, Trouble::Full));
}

#[test]
fn keep_alive_races() {
    scenario_within(LIMIT, |w: &mut World| go(w, Mpm::Event, Trouble::Races));
}

#[test]
fn graceful_stop() {
    scenario_within(LIMIT, |w: &mut World| go(w, Mpm::Event, Trouble::Leaves));
}

/// What may be repeated and what not, request by request: A reads each one and ends the connection without a word.
fn rules(w: &mut World, speak: Speak, death: Death) {
    let (httpd, a, b) = start_front(w, Mpm::Event, "", "");
    let mut again = repeatable();
    if speak == Speak::Http2 {
        again.push(Request::new("PUT", AGAIN).framed(Framing::Bare));
    }
    let at_a = |forms: &[Request]| -> Vec<Request> {
        forms.iter().map(|form| dying(form, death)).collect()
    };
    let records = one_by_one(&httpd, speak, &at_a(&again), 4);
    judge(&records, &[&a, &b]);
    records.assert_clean(ENDED);
    let died = met(&a, "die=");
    assert!(died >= again.len(), "{died} of {} met A", records.len());
    a.forget();
    let mut once = uploads();
    once.retain(|request| request.path == ONCE);
    if speak == Speak::Http2 {
        let bare = |method| Request::new(method, ONCE).framed(Framing::Bare);
        once.extend([bare("POST"), bare("PATCH")]);
    }
    let records = one_by_one(&httpd, speak, &at_a(&once), 4);
    judge(&records, &[&a, &b]);
    let (failed, died) = (records.failed().len(), met(&a, "die="));
    assert_eq!(failed, died, "{:?}", records.by_status());
    assert!(died >= once.len(), "{died} of {} met A", records.len());
}

#[test]
fn what_is_repeated() {
    scenario_within(LIMIT, |w: &mut World| rules(w, Speak::Http1, Death::Reset));
}

#[test]
fn what_is_repeated_over_http_2() {
    scenario_within(LIMIT, |w: &mut World| rules(w, Speak::Http2, Death::Close));
}

/// Backends that speak TLS.
fn over_tls(w: &mut World, trouble: Trouble) {
    let (a, b) = (tls_backend("A", IP_A), tls_backend("B", IP_B));
    set_members(w);
    let text = pool("").replace("http://", "https://");
    let text = format!("SSLProxyEngine on\nSSLProxyVerify none\nSSLProxyCheckPeerName off\n{text}");
    let builder = w.httpd().children(2).threads(16).module("ssl");
    let builder = unwhole(troubled(builder.live(&text)));
    let builder = builder.expect("AH01873:").expect("AH01882:");
    let httpd = start_pool(builder, &[&a, &b]);
    through(w, &httpd, [&a, &b], Speak::Http1, trouble, &every_form());
}

fn tls_backend(name: &str, ip: &str) -> Backend {
    Backend::start_tls(name, &format!("{ip}:9000"))
}

#[test]
fn tls_host_vanishes() {
    scenario_within(LIMIT, |w: &mut World| over_tls(w, Trouble::Vanishes));
}

#[test]
fn tls_process_killed() {
    scenario_within(LIMIT, |w: &mut World| over_tls(w, Trouble::Killed));
}

#[test]
fn tls_closed_instead_of_an_answer() {
    let trouble = Trouble::Some(Death::Close);
    scenario_within(LIMIT, |w: &mut World| over_tls(w, trouble));
}

/// Uploads that take seconds, because their clients are slow, as A dies in the midst of them: those to A end with an
/// answer of the proxy, and B sees nothing of them; those to B are delivered.
fn slow_clients(w: &mut World, speak: Speak, trouble: Trouble) {
    let (httpd, a, b) = start_front(w, Mpm::Event, "", "");
    let pace = Duration::from_millis(600);
    let slowly = |framing| {
        let upload = Request::upload("POST", ONCE, 1_000_000);
        upload.framed(framing).slowly(pace)
    };
    let requests = [slowly(Framing::Length), slowly(Framing::Open)];
    let load = httpd.load().requests(&requests).rounds(1);
    let load = match speak {
        Speak::Http1 => load.clients(6),
        Speak::Http2 => load.clients(2).http2(3),
    };
    let load = load.start();
    pause(2.0);
    trouble.begin(w, &a);
    let records = load.join();
    trouble.end(w, &a);
    judge(&records, &[&a, &b]);
    let (good, bad): (Vec<_>, Vec<_>) = records.0.iter().partition(|r| r.status == 200);
    assert!(
        good.len() >= 6,
        "{} of {} delivered",
        good.len(),
        records.len()
    );
    assert!(!bad.is_empty(), "none was at A");
    let told = bad.iter().map(|r| r.took).max();
    let done = good.iter().map(|r| r.took).min();
    // at once, not when they had sent everything; over HTTP/1 httpd reads the body before it answers
    if speak == Speak::Http2 {
        assert!(told < done, "told after {told:?}, delivered after {done:?}");
    }
    println!(
        "figure: {speak:?} {trouble:?}: {:?}, told after {told:?}, delivered after {done:?}",
        records.by_status()
    );
}

#[test]
fn slow_clients_and_a_vanished_host() {
    scenario_within(LIMIT, |w: &mut World| {
        slow_clients(w, Speak::Http1, Trouble::Vanishes);
    });
}

#[test]
fn slow_clients_and_a_killed_process() {
    scenario_within(LIMIT, |w: &mut World| {
        slow_clients(w, Speak::Http1, Trouble::Killed);
    });
}

#[test]
fn slow_clients_over_http_2_and_a_vanished_host() {
    scenario_within(LIMIT, |w: &mut World| {
        slow_clients(w, Speak::Http2, Trouble::Vanishes);
    });
}

#[test]
fn slow_clients_over_http_2_and_a_killed_process() {
    scenario_within(LIMIT, |w: &mut World| {
        slow_clients(w, Speak::Http2, Trouble::Killed);
    });
}

/// How A refuses connections.
#[derive(Debug, Clone, Copy)]
enum Closed {
    Refused,
    Vanished,
    Full,
}

/// Requests that found no connection to A go on to B whole, whatever their method: nothing was sent yet.
fn unconnected(w: &mut World, closed: Closed, more: &str) {
    // no verdict: each second request tries A first
    let parameters = "liveprobe=off retry=0 connectiontimeout=300ms";
    let (httpd, a, b) = start_front(w, Mpm::Event, parameters, &format!("{FRESH}\n{more}"));
    match closed {
        Closed::Refused => a.kill(),
        Closed::Vanished => w.vanish(IP_A),
        Closed::Full => a.mode(Mode::Full),
    }
    let forms = [every_form(), big_uploads()].concat();
    let patient = expecting(big_uploads());
    for (speak, requests) in [
        (Speak::Http1, &forms),
        (Speak::Http2, &forms),
        (Speak::Http1, &patient),
        (Speak::Http2, &patient),
    ] {
        let before = attempts(&httpd, IP_A);
        let records = one_by_one(&httpd, speak, requests, 2);
        judge(&records, &[&a, &b]);
        records.assert_clean(ENDED);
        let tried = attempts(&httpd, IP_A) - before;
        assert!(tried >= requests.len() / 2, "{tried} tried A");
    }
}

#[test]
fn unconnected_refused() {
    scenario_within(LIMIT, |w: &mut World| unconnected(w, Closed::Refused, ""));
}

/// Bodies of unknown length are spooled before the connect.
#[test]
fn unconnected_spooled() {
    scenario_within(LIMIT, |w: &mut World| {
        unconnected(w, Closed::Refused, "SetEnv proxy-sendcl 1");
    });
}

#[test]
fn unconnected_vanished() {
    scenario_within(LIMIT, |w: &mut World| unconnected(w, Closed::Vanished, ""));
}

#[test]
fn unconnected_full_backlog() {
    scenario_within(LIMIT, |w: &mut World| unconnected(w, Closed::Full, ""));
}

/// Big uploads to B, which does not read for 10 s, while A dies: they are delivered, once. Those to A end.
fn slow_reader(w: &mut World, speak: Speak) {
    let (a, b) = backends();
    set_members(w);
    let text = pool_of("route=a", "route=b", "ProxySet stickysession=ROUTEID");
    let builder = w.httpd().children(2).threads(16).module("http2");
    let builder = builder.config("Protocols h2c http/1.1").live(&text);
    let httpd = start_pool(troubled(builder), &[&a, &b]);
    let to = |route: &str, framing| {
        Request::upload("POST", "/once?hold=10000", BIG)
            .framed(framing)
            .header("Cookie", &format!("ROUTEID=.{route}"))
    };
    let [to_a, to_b] = ["a", "b"].map(|route| {
        let requests = [to(route, Framing::Length), to(route, Framing::Open)];
        let load = httpd.load().requests(&requests).rounds(1);
        match speak {
            Speak::Http1 => load.clients(2),
            Speak::Http2 => load.clients(1).http2(2),
        }
        .start()
    });
    eventually(PATIENCE, || a.busy() >= 2 && b.busy() >= 2);
    pause(1.0);
    assert_eq!(b.seen().len(), 0, "read before its time");
    w.vanish(IP_A);
    let (to_a, to_b) = (to_a.join(), to_b.join());
    judge(&to_a, &[&a, &b]);
    judge(&to_b, &[&a, &b]);
    to_b.assert_clean(Duration::from_secs(40));
    assert_eq!(to_b.from("B").len(), to_b.len(), "{:?}", to_b.by_backend());
    // the first upload of each; the second of each finds A down
    let waited = to_a.slowest();
    assert!(waited < ENDED, "waited for a dead host: {waited:?}");
    println!(
        "figure: {speak:?}: to the dead host {:?}, slowest {waited:?}",
        to_a.by_status()
    );
}

#[test]
fn a_slow_reader() {
    scenario_within(LIMIT, |w: &mut World| slow_reader(w, Speak::Http1));
}

#[test]
fn a_slow_reader_over_http_2() {
    scenario_within(LIMIT, |w: &mut World| slow_reader(w, Speak::Http2));
}

/// The only member dies: nobody can take over, and each client is told so.
#[test]
fn nowhere_else_to_go() {
    scenario_within(LIMIT, |w: &mut World| {
        let a = backend("A", IP_A);
        w.dns.set("app.test", live_kit::answers(&[IP_A], 600));
        let httpd = start_following(troubled(w.httpd().children(2).threads(16).live(FOLLOW)));
        let loads = loads(
            &httpd,
            Speak::Http1,
            Trouble::Killed,
            &every_form(),
            &big_uploads(),
        );
        for _ in 0..3 {
            pause(1.0);
            a.kill();
            pause(0.5);
            a.revive();
        }
        pause(3.0);
        let records = stop(loads);
        judge(&records, &[&a]);
        assert!(!records.failed().is_empty(), "no request met a kill");
    });
}
