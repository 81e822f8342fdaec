//! Requests that kill whatever backend they reach, and backends that die in turns: the rescue does not carry the
//! trouble on.

use crate::common::noted::*;
use crate::common::pool::*;
use crate::common::*;
use live_kit::{
    Backend, Builder, Httpd, MANAGER, Mode, Mpm, Records, Request, World, answers, eventually,
    pause, scenario, scenario_within,
};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);
/// GETs that crash what they reach.
const CRASHES: usize = 40;

/// Five members `m0.test` to `m4.test`.
fn five(w: &mut World, mpm: Mpm, more: &str) -> (Vec<Backend>, Builder) {
    let ip = |n: usize| format!("127.0.0.{}", 11 + n);
    let start = |n: usize| {
        w.dns.set(&format!("m{n}.test"), answers(&[&ip(n)], 600));
        backend(&format!("M{n}"), &ip(n))
    };
    let backends: Vec<Backend> = (0..5).map(start).collect();
    let line = |n: usize| format!("BalancerMember {} live=on\n", member(n));
    let members: String = (0..5).map(line).collect();
    let text = format!(
        "{NOTED}\n{MANAGER}\n{more}
        <Proxy balancer://pool>\n{members}</Proxy>
        ProxyPass / balancer://pool/"
    );
    let builder = troubled(w.httpd().mpm(mpm).children(8).live(&text));
    (backends, builder)
}

fn member(n: usize) -> String {
    format!("http://m{n}.test:9000")
}

fn start_five(backends: &[Backend], builder: Builder) -> Httpd {
    let httpd = builder.start();
    (0..5).for_each(|n| wait_known(&httpd, &format!("m{n}.test")));
    wait_probed(&backends.iter().collect::<Vec<_>>());
    httpd
}

/// Each of these GETs reaches at most two members and is executed at most twice; the others notice nothing.
fn a_get_that_crashes(w: &mut World, mpm: Mpm, more: &str, how: &str) {
    let (backends, builder) = five(w, mpm, more);
    let httpd = start_five(&backends, builder);
    let all: Vec<&Backend> = backends.iter().collect();
    let load = httpd.load().clients(5).start();
    pause(0.5);
    let mut client = httpd.client();
    let path = |n: usize| format!("/crash?n={n}&die={how}");
    for n in 0..CRASHES {
        let reply = client.send(&Request::get(&path(n))).expect("an answer");
        is_error(&reply);
        pause(0.05);
    }
    let post = Request::post(&format!("/post?die={how}"), 100);
    is_error(&client.send(&post).expect("an answer"));
    pause(0.3);
    let records = load.stop();
    assert!(records.len() > 100, "{}", records.len());
    records.assert_clean(SOON);
    for n in 0..CRASHES {
        let reached = receivers(&all, &path(n));
        let times = reached.len();
        assert!((1..=2).contains(&times), "crash {n} reached {reached:?}");
    }
    assert_eq!(receivers(&all, &post.path).len(), 1);
    (0..5).for_each(|n| no_errors(&httpd, &[&member(n)]));
    assert_eq!(changes(&httpd), 0, "the probes found nothing");
}

#[test]
fn reset_kept_alive_event() {
    scenario(|w: &mut World| a_get_that_crashes(w, Mpm::Event, "", "reset"));
}

#[test]
fn reset_fresh_event() {
    scenario(|w: &mut World| a_get_that_crashes(w, Mpm::Event, FRESH, "reset"));
}

#[test]
fn reset_kept_alive_prefork() {
    scenario(|w: &mut World| a_get_that_crashes(w, Mpm::Prefork, "", "reset"));
}

#[test]
fn close_kept_alive_event() {
    scenario(|w: &mut World| a_get_that_crashes(w, Mpm::Event, "", "close"));
}

#[test]
fn close_fresh_prefork() {
    scenario(|w: &mut World| a_get_that_crashes(w, Mpm::Prefork, FRESH, "close"));
}

/// How often each request of the kit's clients was executed.
fn executions(backends: &[&Backend]) -> BTreeMap<u64, usize> {
    let mut times = BTreeMap::new();
    let seen = backends.iter().flat_map(|b| b.seen());
    seen.for_each(|s| *times.entry(s.id).or_insert(0) += 1);
    times
}

/// No request was executed more often than allowed, and not more of them than there were requests and rescues.
#[track_caller]
fn not_multiplied(httpd: &Httpd, backends: &[&Backend], gets: &Records, posts: &Records) {
    let times = executions(backends);
    let most = |records: &Records| {
        let of = |id: &u64| times.get(id).copied().unwrap_or(0);
        records.0.iter().map(|r| of(&r.id)).max().unwrap_or(0)
    };
    assert!(most(gets) <= 2, "a GET was executed {} times", most(gets));
    assert!(
        most(posts) <= 1,
        "a POST was executed {} times",
        most(posts)
    );
    let ids: BTreeSet<u64> = gets.0.iter().chain(&posts.0).map(|r| r.id).collect();
    let ours = times.iter().filter(|(id, _)| ids.contains(id));
    let executed: usize = ours.map(|(_, n)| n).sum();
    let lines = all_noted(httpd);
    let rescues = lines.iter().filter(|l| !l.rescue.is_empty()).count();
    let requests = gets.len() + posts.len();
    assert!(
        executed <= requests + rescues,
        "{executed} executed, {requests} sent, {rescues} rescued"
    );
    println!("figure: {requests} requests, {rescues} rescued, {executed} executed");
}

/// One member dies and returns, then the other one, and so on.
fn in_turns(w: &mut World, mpm: Mpm) {
    let (a, b) = backends();
    set_members(w);
    let text = format!("{NOTED}\n{}", pool(""));
    let builder = troubled(w.httpd().mpm(mpm).children(8).threads(16).live(&text));
    let httpd = start_pool(builder, &[&a, &b]);
    let load = httpd.load().clients(5).path("/get?delay=20").start();
    let posts = httpd
        .load()
        .clients(2)
        .path("/post?delay=20")
        .post(300)
        .start();
    pause(0.5);
    for round in 0..8 {
        let (dying, url) = [(&a, ONE), (&b, TWO)][round % 2];
        let (down, up) = (downs(&httpd, url), ups(&httpd, url));
        dying.kill();
        eventually(PATIENCE, || downs(&httpd, url) > down);
        pause(0.3);
        dying.revive();
        eventually(PATIENCE, || ups(&httpd, url) > up);
        pause(0.5);
    }
    let (gets, posts) = (load.stop(), posts.stop());
    gets.assert_clean(SOON);
    assert!(
        posts.0.iter().all(|r| r.failure.is_none()),
        "{:?}",
        posts.failed()[0]
    );
    not_multiplied(&httpd, &[&a, &b], &gets, &posts);
}

#[test]
fn in_turns_event() {
    scenario_within(LIMIT, |w: &mut World| in_turns(w, Mpm::Event));
}

#[test]
fn in_turns_prefork() {
    scenario_within(LIMIT, |w: &mut World| in_turns(w, Mpm::Prefork));
}

/// Many rescues at the same member at the same moment do not stand in each other's way.
fn many_at_once(w: &mut World, mpm: Mpm, children: usize) {
    const GETS: usize = 48;
    let (a, b) = backends();
    set_members(w);
    let text = format!("{FRESH}\n{MANAGER}\n{}", sticky_pool("", "", ""));
    let builder = troubled(w.httpd().mpm(mpm).children(children).live(&text));
    let httpd = start_pool(builder, &[&a, &b]);
    for round in 1..=3 {
        a.mode(Mode::Hang);
        let before = a.requests();
        let path = format!("/round?n={round}");
        let pending = send_all(&httpd, &get_to("one", &path), GETS);
        wait_requests(&a, before + GETS);
        // each child tells the others now and then how many it has
        pause(0.5);
        a.reset_all();
        answers_of(pending).iter().for_each(|r| is_from(r, "B"));
        assert_eq!(receivers(&[&b], &path).len(), GETS);
        // so many failures are the member's own, for as long as probes take; and the budget is one of each second
        pause(1.2);
        eventually(PATIENCE, || !httpd.manager("pool").has(ONE, "Err"));
        no_errors(&httpd, &[TWO]);
        is_well(&httpd, "one", &a);
    }
}

#[test]
fn many_at_once_event() {
    scenario(|w: &mut World| many_at_once(w, Mpm::Event, 7));
}

#[test]
fn many_at_once_prefork() {
    scenario(|w: &mut World| many_at_once(w, Mpm::Prefork, 50));
}

/// More crashes in a second than there is budget for: the rescues are bounded, and each client has its answer.
fn beyond_the_budget(w: &mut World, mpm: Mpm) {
    const CLIENTS: usize = 8;
    const SECONDS: usize = 3;
    let (a, b) = backends();
    set_members(w);
    let text = format!("{FRESH}\n{}", sticky_pool("", "", ""));
    // room in each child for all clients: a child that is full closes kept-alive connections
    let builder = w.httpd().mpm(mpm).children(10).threads(16);
    let builder = troubled(builder.live(&text));
    let httpd = start_pool(builder, &[&a, &b]);
    let load = httpd.load().clients(CLIENTS).path("/crash?die=reset");
    let records = load
        .pause(Duration::ZERO)
        .run(Duration::from_secs(SECONDS as u64));
    let unanswered = records.0.iter().find(|r| r.failure.is_some());
    assert!(unanswered.is_none(), "{unanswered:?}");
    let answered = |status: &u16| (502..=504).contains(status);
    assert!(
        records.by_status().keys().all(answered),
        "{:?}",
        records.by_status()
    );
    let lines = all_noted(&httpd);
    let rescues = lines.iter().filter(|l| !l.rescue.is_empty()).count();
    // the run touches one second more than it lasts, and its last requests another one
    let most = (CLIENTS + 10) * (SECONDS + 2);
    let requests = records.len();
    assert!(requests > 2 * most, "only {requests} requests");
    assert!(rescues > 0 && rescues <= most, "{rescues} rescues");
    let executed = executions(&[&a, &b]).into_values().sum::<usize>();
    assert!(
        executed <= requests + rescues,
        "{executed} of {requests}, {rescues} rescued"
    );
    println!("figure: {requests} crashes in {SECONDS} s, {rescues} rescued");
    // a moment later there is budget again
    pause(2.5);
    a.mode(Mode::ResetRequest);
    let reply = httpd.send(&get_to("one", "/later")).expect("an answer");
    assert_eq!((reply.status, reply.backend.as_str()), (200, "B"));
}

#[test]
fn beyond_the_budget_event() {
    scenario(|w: &mut World| beyond_the_budget(w, Mpm::Event));
}

#[test]
fn beyond_the_budget_prefork() {
    scenario(|w: &mut World| beyond_the_budget(w, Mpm::Prefork));
}
