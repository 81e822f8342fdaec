//! `Expect: 100-continue` and the worker's `ping`: the head of an upload is already on its way when its backend dies,
//! and that of an empty one is the whole request.

use crate::common::pool::*;
use crate::common::uploads::*;
use live_kit::{Backend, Death, Framing, Mode, Mpm, Request, World, scenario_within};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(150);

/// Repeatable ones without `Expect`: nobody sends it without a body.
fn mixed() -> Vec<Request> {
    [expecting(uploads()), repeatable()].concat()
}

fn go(w: &mut World, speak: Speak, trouble: Trouble, parameters: &str) {
    go_through(w, Mpm::Event, speak, trouble, &mixed(), parameters);
}

#[test]
fn host_vanishes() {
    scenario_within(LIMIT, |w: &mut World| {
        go(w, Speak::Http1, Trouble::Vanishes, "")
    });
}

#[test]
fn host_vanishes_over_http_2() {
    scenario_within(LIMIT, |w: &mut World| {
        go(w, Speak::Http2, Trouble::Vanishes, "")
    });
}

#[test]
fn process_killed() {
    scenario_within(LIMIT, |w: &mut World| {
        go(w, Speak::Http1, Trouble::Killed, "ping=2")
    });
}

#[test]
fn closed_as_the_request_arrives() {
    let trouble = Trouble::Dies(Death::Arrival);
    scenario_within(LIMIT, |w: &mut World| go(w, Speak::Http1, trouble, ""));
}

#[test]
fn reset_instead_of_an_answer() {
    let trouble = Trouble::Some(Death::Reset);
    scenario_within(LIMIT, |w: &mut World| {
        go(w, Speak::Http1, trouble, "ping=2")
    });
}

#[test]
fn reset_after_half_a_head_over_http_2() {
    let trouble = Trouble::Some(Death::Header);
    scenario_within(LIMIT, |w: &mut World| {
        go(w, Speak::Http2, trouble, "ping=2")
    });
}

/// Uploads that the head tells to be empty, or that turn out to be.
fn empty() -> Vec<Request> {
    let post = Request::new("POST", ONCE);
    let open = post.clone().framed(Framing::Open);
    let patch = Request::new("PATCH", ONCE);
    let plain = vec![post, open, patch];
    [expecting(plain.clone()), plain].concat()
}

/// A reads an empty upload and dies before any answer: with `Expect` or `ping`, mod_proxy_http takes that for a backend
/// that did not want the body, and 503 for a reason to try another one.
fn empty_uploads(w: &mut World, speak: Speak, parameters: &str, more: &str, queries: &[&str]) {
    let (httpd, a, b) = start_front(w, Mpm::Event, parameters, more);
    for query in queries {
        a.forget();
        let at_a = |form: &Request| asking(form, &format!("{query}&at=A"));
        let forms: Vec<Request> = empty().iter().map(at_a).collect();
        let records = one_by_one(&httpd, speak, &forms, 4);
        judge(&records, &[&a, &b]);
        let (failed, met) = (records.failed().len(), met(&a, query));
        assert!(met >= forms.len(), "{query}: {met} met A");
        assert_eq!(failed, met, "{query}: {:?}", records.by_status());
        println!("figure: {speak:?} {parameters} {query}: {met} met A, {failed} failed");
    }
}

const DEATHS: [&str; 4] = ["die=close", "die=reset", "die=header", "die=header-close"];

#[test]
fn empty_uploads_die() {
    scenario_within(LIMIT, |w: &mut World| {
        empty_uploads(w, Speak::Http1, "", "", &DEATHS);
    });
}

#[test]
fn empty_uploads_die_with_ping() {
    scenario_within(LIMIT, |w: &mut World| {
        empty_uploads(w, Speak::Http1, "ping=1", "", &DEATHS);
    });
}

#[test]
fn empty_uploads_die_with_a_100_of_the_proxy() {
    scenario_within(LIMIT, |w: &mut World| {
        empty_uploads(w, Speak::Http1, "ping=1", "Proxy100Continue Off", &DEATHS);
    });
}

#[test]
fn empty_uploads_die_over_http_2() {
    scenario_within(LIMIT, |w: &mut World| {
        empty_uploads(w, Speak::Http2, "ping=1", "", &DEATHS);
    });
}

/// Slower than `ping` and `timeout`: they have been executed, or will be.
#[test]
fn empty_uploads_are_slow() {
    scenario_within(LIMIT, |w: &mut World| {
        let slow = "delay=1500";
        empty_uploads(w, Speak::Http1, "ping=300ms timeout=1", "", &[slow]);
    });
}

/// A big upload whose backend dies after its 100 is not sent again; one whose backend never says 100 either.
#[test]
fn big_uploads_die() {
    scenario_within(LIMIT, |w: &mut World| {
        let (httpd, a, b) = start_front(w, Mpm::Event, "ping=2", "");
        for speak in [Speak::Http1, Speak::Http2] {
            for death in [Death::Arrival, Death::Close, Death::Header] {
                a.mode(Mode::Die(death));
                let requests = [expecting(big_uploads()), big_uploads()].concat();
                let records = one_by_one(&httpd, speak, &requests, 2);
                judge(&records, &[&a, &b]);
            }
        }
        assert!(!a.seen().is_empty(), "none met A");
    });
}

/// An upload that kills whatever backend it reaches, before its 100: it does not go through all of them.
#[test]
fn at_most_two_backends() {
    scenario_within(LIMIT, |w: &mut World| {
        let start = |n: usize| Backend::start(&n.to_string(), &format!("127.0.0.{}:9000", n + 20));
        let backends: Vec<_> = (1..=5).map(start).collect();
        let member = |b: &Backend| format!("BalancerMember http://{} live=on\n", b.addr());
        let members: String = backends.iter().map(member).collect();
        let text =
            format!("<Proxy balancer://pool>\n{members}</Proxy>\nProxyPass / balancer://pool/");
        let httpd = troubled(w.httpd().children(1).live(&text)).start();
        wait_probed(&backends.iter().collect::<Vec<_>>());
        for death in [Death::Arrival, Death::Reset] {
            backends.iter().for_each(|b| b.mode(Mode::Die(death)));
            for request in [uploads(), expecting(uploads())].concat() {
                let before: usize = backends.iter().map(Backend::died).sum();
                let answer = httpd.send(&request).expect("an answer");
                assert!([502, 503].contains(&answer.status), "{answer:?}");
                let died = backends.iter().map(Backend::died).sum::<usize>() - before;
                assert!((1..=2).contains(&died), "{died} for {request:?}");
            }
        }
    });
}
