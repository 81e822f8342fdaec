//! One line of the error log per event, with the counts of all children.

use crate::common::noted::*;
use crate::common::pool::*;
use crate::common::*;
use live_kit::{Httpd, Mode, Mpm, Request, World, eventually, pause, scenario};
use std::time::Duration;

/// Requests ended, retried, failed.
type Counts = (usize, usize, usize);

/// Level and counts of each line about a worker's requests, oldest first.
fn events(httpd: &Httpd, worker: &str) -> Vec<(String, Counts)> {
    let parse = |text: &str| {
        let (_, said) = text.split_once(&format!("worker {worker}: "))?;
        let (ended, rest) = said.split_once(" requests ended, ")?;
        let (retried, rest) = rest.split_once(" retried, ")?;
        let (failed, _) = rest.split_once(" failed")?;
        Some((
            ended.parse().ok()?,
            retried.parse().ok()?,
            failed.parse().ok()?,
        ))
    };
    let lines = httpd.live_lines().into_iter();
    lines
        .filter_map(|line| Some((line.level.clone(), parse(&line.text)?)))
        .collect()
}

/// Waits for the next event of a worker beyond `known` ones, and whether more than that one comes.
#[track_caller]
fn next_event(httpd: &Httpd, worker: &str, known: usize) -> (String, Counts) {
    eventually(SOON, || events(httpd, worker).len() > known);
    pause(3.0);
    let found = events(httpd, worker);
    assert_eq!(found.len(), known + 1, "{found:?}");
    found[known].clone()
}

/// Each client waits at A: GETs and POSTs in all children.
fn a_machine_vanishes(w: &mut World, mpm: Mpm) {
    const GETS: usize = 9;
    const POSTS: usize = 4;
    let (a, b) = backends();
    set_members(w);
    let text = format!("{FRESH}\n{}", sticky_pool("", "", ""));
    let children = if mpm == Mpm::Prefork { 16 } else { 7 };
    let builder = w.httpd().mpm(mpm).children(children).threads(2);
    let httpd = start_pool(troubled(builder.live(&text)), &[&a, &b]);
    a.mode(Mode::Hang);
    let mut pending = send_all(&httpd, &get_to("one", "/get"), GETS);
    let post = to("one", Request::post("/post", 100));
    pending.extend(send_all(&httpd, &post, POSTS));
    wait_requests(&a, GETS + POSTS);
    w.vanish(IP_A);
    let failed = answers_of(pending)
        .iter()
        .filter(|r| r.status >= 500)
        .count();
    assert_eq!(failed, POSTS);
    let (level, (ended, retried, failed)) = next_event(&httpd, ONE, 0);
    assert_eq!((level.as_str(), retried, failed), ("notice", GETS, POSTS));
    // a machine under load may leave some to the kernel
    assert!((1..=GETS + POSTS).contains(&ended), "{ended} ended");
    assert_eq!(events(&httpd, TWO), []);
    println!(
        "figure: {ended} of {} ended by probes and socket",
        GETS + POSTS
    );
}

#[test]
fn a_machine_vanishes_event() {
    scenario(|w: &mut World| a_machine_vanishes(w, Mpm::Event));
}

#[test]
fn a_machine_vanishes_prefork() {
    scenario(|w: &mut World| a_machine_vanishes(w, Mpm::Prefork));
}

/// A retried request alone is no news for everybody; a failed one is.
#[test]
fn levels() {
    scenario(|w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        let text = format!("{FRESH}\n{}", sticky_pool("", "", ""));
        let httpd = start_pool(troubled(w.httpd().live(&text)), &[&a, &b]);
        a.mode(Mode::ResetRequest);
        let reply = httpd.send(&get_to("one", "/get")).expect("an answer");
        assert_eq!(reply.backend, "B");
        assert_eq!(next_event(&httpd, ONE, 0), ("info".into(), (0, 1, 0)));
        let reply = httpd.send(&to("one", Request::post("/post", 10)));
        assert!(reply.expect("an answer").status >= 500);
        assert_eq!(next_event(&httpd, ONE, 1), ("notice".into(), (0, 0, 1)));
        assert_eq!(events(&httpd, TWO), []);
    });
}

/// At the usual LogLevel a killed process is told once, whatever the number of children that saw it.
#[test]
fn a_killed_process() {
    scenario(|w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        let builder = w.httpd().children(8).threads(2);
        let text = format!("{FRESH}\n{}", sticky_pool("", "", ""));
        let httpd = start_pool(troubled(builder.live(&text)), &[&a, &b]);
        a.mode(Mode::Hang);
        let pending = send_all(&httpd, &get_to("one", "/get"), 12);
        wait_requests(&a, 12);
        a.kill();
        answers_of(pending).iter().for_each(|r| is_from(r, "B"));
        let (_, counts) = next_event(&httpd, ONE, 0);
        assert_eq!(counts, (0, 12, 0));
        assert_eq!(events(&httpd, TWO), []);
    });
}

/// Requests that meet no trouble leave no trace, nor do slow ones, nor statuses of the backend.
#[test]
fn ordinary_traffic() {
    scenario(|w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        let builder = w.httpd().log_level("warn proxy_live:trace8");
        let httpd = start_pool(builder.live(&pool("")), &[&a, &b]);
        let slow = httpd.load().clients(2).path("/?delay=700").start();
        let status = httpd.load().clients(2).path("/?status=503").start();
        let records = httpd.load().clients(4).run(Duration::from_secs(4));
        assert!(slow.stop().failed().is_empty());
        assert!(status.stop().0.iter().all(|r| r.status == 503));
        records.assert_clean(PROMPT);
        assert!(records.len() > 100, "{}", records.len());
        pause(2.0);
        assert_eq!(httpd.logged("requests ended"), 0);
        assert_eq!(httpd.logged("retried"), 0);
    });
}
