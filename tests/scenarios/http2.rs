//! Clients that speak HTTP/2: their GETs survive the death of a backend, and so do their streams and connections.

use crate::common::pool::*;
use crate::common::uploads::*;
use crate::common::*;
use live_kit::{
    Death, Failure, H2Client, Mode, Mpm, Records, Request, World, eventually, pause,
    scenario_within,
};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(150);
const CONNECTIONS: usize = 3;
/// As many as mod_http2 serves of a new connection at the same time.
const STREAMS: usize = 6;

/// No stream failed or was reset, and no connection was replaced.
#[track_caller]
fn unharmed(records: &Records) {
    records.assert_clean(ENDED);
    let first = records.0.iter().filter(|r| !r.reused).count();
    assert_eq!(
        first,
        CONNECTIONS,
        "connections of {} requests",
        records.len()
    );
}

/// GETs under load while A has its trouble, `rounds` times.
fn gets(w: &mut World, trouble: Trouble, rounds: usize, rest: Duration) {
    let (httpd, a, b) = start_front(w, Mpm::Event, "", "");
    let load = httpd.load().clients(CONNECTIONS).http2(4).pause(rest);
    let gets = [Request::get("/again?delay=40"), Request::get(AGAIN)];
    let gets = trouble.requests(&gets);
    let load = load.requests(&gets).per_connection(usize::MAX).start();
    let mut troubles = Vec::new();
    for _ in 0..rounds {
        pause(1.0);
        let broken = Instant::now();
        trouble.begin(w, &a);
        pause(trouble.lasts());
        troubles.push((broken, Instant::now()));
        trouble.end(w, &a);
        wait_up(&httpd, ONE);
    }
    pause(0.5);
    let records = load.stop();
    for (broken, over) in troubles.into_iter().filter(|_| trouble.is_silent()) {
        none_waited(&records, broken, over);
    }
    unharmed(&records);
    judge(&records, &[&a, &b]);
    let by = records.by_backend();
    assert_eq!(by.len(), 2, "{by:?}");
    println!(
        "figure: {trouble:?}: {} GETs, slowest {:?}",
        records.len(),
        records.slowest()
    );
}

const BRISK: Duration = Duration::from_millis(20);
/// Each GET that A gets dies: the budget of rescues must last.
const SELDOM: Duration = Duration::from_millis(900);
/// Each third one does.
const OFTEN: Duration = Duration::from_millis(300);

#[test]
fn host_vanishes() {
    scenario_within(LIMIT, |w: &mut World| gets(w, Trouble::Vanishes, 1, BRISK));
}

#[test]
fn process_killed() {
    scenario_within(LIMIT, |w: &mut World| gets(w, Trouble::Killed, 3, BRISK));
}

#[test]
fn half_a_head() {
    let trouble = Trouble::Some(Death::Header);
    scenario_within(LIMIT, |w: &mut World| gets(w, trouble, 1, OFTEN));
}

#[test]
fn closed_after_half_a_head() {
    let trouble = Trouble::Some(Death::HeaderClose);
    scenario_within(LIMIT, |w: &mut World| gets(w, trouble, 1, OFTEN));
}

#[test]
fn closed_as_the_request_arrives() {
    let trouble = Trouble::Dies(Death::Arrival);
    scenario_within(LIMIT, |w: &mut World| gets(w, trouble, 1, SELDOM));
}

#[test]
fn reset() {
    let trouble = Trouble::Some(Death::Reset);
    scenario_within(LIMIT, |w: &mut World| gets(w, trouble, 1, OFTEN));
}

/// All streams of one connection wait for A as its host vanishes: each is answered by B on that connection.
#[test]
fn streams_under_way() {
    scenario_within(LIMIT, |w: &mut World| {
        let (httpd, a, b) = start_front(w, Mpm::Event, "", "");
        let load = |path: &str| {
            let load = httpd.load().requests(&[Request::get(path)]).rounds(1);
            load.clients(1).http2(STREAMS).start()
        };
        let waiting = load("/again?delay=1500");
        eventually(PATIENCE, || a.busy() + b.busy() == STREAMS);
        assert!(a.busy() > 0, "none at A");
        w.vanish(IP_A);
        let records = waiting.join();
        judge(&records, &[&a, &b]);
        records.assert_clean(ENDED);
        assert_eq!(
            records.from("B").len(),
            STREAMS,
            "{:?}",
            records.by_backend()
        );
        let first = records.0.iter().filter(|r| !r.reused).count();
        assert_eq!(first, 1, "connections");
        println!("figure: {STREAMS} streams, slowest {:?}", records.slowest());
    });
}

/// Half of the body has been sent: the client sees its stream end, the other streams of the connection go on.
#[test]
fn half_a_body() {
    scenario_within(LIMIT, |w: &mut World| {
        let (httpd, a, b) = start_front(w, Mpm::Event, "", "");
        a.mode(Mode::Die(Death::Body));
        b.mode(Mode::Die(Death::Body));
        let client = H2Client::new(httpd.addr(), PATIENCE);
        let cut = client.send(&Request::get("/again?bytes=300000"));
        assert_eq!(cut.map(|r| r.status), Err(Failure::Cut));
        assert_eq!(a.seen().len() + b.seen().len(), 1, "sent again");
        a.revive();
        b.revive();
        let answer = client.send(&Request::get(AGAIN)).expect("an answer");
        assert_eq!(answer.status, 200);
    });
}

fn posts(w: &mut World, trouble: Trouble) {
    let forms = [repeatable(), uploads()].concat();
    go_through(w, Mpm::Event, Speak::Http2, trouble, &forms, "");
}

#[test]
fn uploads_as_the_host_vanishes() {
    scenario_within(LIMIT, |w: &mut World| posts(w, Trouble::Vanishes));
}

#[test]
fn uploads_as_the_process_is_killed() {
    scenario_within(LIMIT, |w: &mut World| posts(w, Trouble::Killed));
}

#[test]
fn uploads_closed_as_they_arrive() {
    scenario_within(LIMIT, |w: &mut World| {
        posts(w, Trouble::Dies(Death::Arrival))
    });
}

#[test]
fn uploads_reset() {
    scenario_within(LIMIT, |w: &mut World| posts(w, Trouble::Some(Death::Reset)));
}

#[test]
fn uploads_and_half_a_head() {
    scenario_within(LIMIT, |w: &mut World| {
        posts(w, Trouble::Some(Death::Header))
    });
}

#[test]
fn uploads_and_a_full_backlog() {
    scenario_within(LIMIT, |w: &mut World| posts(w, Trouble::Full));
}

#[test]
fn uploads_and_keep_alive_races() {
    scenario_within(LIMIT, |w: &mut World| posts(w, Trouble::Races));
}
