//! A name with sixty addresses, and then with 120, of which DNS cannot tell by UDP: all are probed, used and shown; half
//! of them die and return.

use crate::common::pool::troubled;
use crate::common::processes::numbers;
use crate::common::status::{PAGES, json, text, worker};
use crate::common::*;
use live_kit::{Backend, Httpd, Type, World, answers, eventually, pause, scenario_within};
use std::collections::BTreeMap;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);
const MANY: usize = 60;
const NAME: &str = "many.test";
const WORKER: &str = "http://many.test:9000/";
/// A connection for each request.
const FRESH: &str = "SetEnv proxy-nokeepalive 1";
const SOON: Duration = Duration::from_secs(20);

fn address(n: usize) -> String {
    format!("127.6.0.{}", n + 1)
}

fn set(w: &World, count: usize, ttl: u32) {
    let all: Vec<String> = (0..count).map(address).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    w.dns.set(NAME, answers(&all, ttl));
}

#[test]
fn probed_used_shown_and_half_of_them_die() {
    scenario_within(LIMIT, |w: &mut World| {
        let backend = |n| Backend::start(&address(n), &format!("{}:9000", address(n)));
        let backends: Vec<Backend> = (0..2 * MANY).map(backend).collect();
        set(w, MANY, 2);
        let config =
            format!("{PAGES}\nProxyPass / http://{NAME}:9000/ live=on liveinterval=1s\n{FRESH}");
        let builder = troubled(w.httpd().live(&config)).expect("proxy_live:warn");
        let httpd = builder.start();
        wait_known(&httpd, NAME);
        assert!(w.dns.queries().iter().all(|q| !q.tcp), "60 fit into UDP");
        all_in_use(&httpd, &backends[..MANY]);
        half_die(&httpd, &backends[..MANY]);
        w.dns.forget();
        set(w, 2 * MANY, 60);
        eventually(SOON, || shown(&httpd).len() == 2 * MANY);
        let by_tcp = |q: &live_kit::Query| q.tcp && q.kind == Type::A;
        assert!(w.dns.queries().iter().any(by_tcp), "120 do not");
        all_in_use(&httpd, &backends);
    });
}

/// Each is probed, up on the page, and has got connections, none of them very many.
#[track_caller]
fn all_in_use(httpd: &Httpd, backends: &[Backend]) {
    eventually(SOON, || backends.iter().all(|b| b.probed() > 0));
    eventually(SOON, || {
        let shown = shown(httpd);
        shown.len() == backends.len() && shown.values().all(|state| state == "up")
    });
    let before: Vec<usize> = backends.iter().map(Backend::accepted).collect();
    let got = || -> Vec<usize> {
        let both = backends.iter().zip(&before);
        both.map(|(b, before)| b.accepted() - before).collect()
    };
    // A child turns its list each 0.1 s; all of it, so that none has been first more often than others by much.
    let turn = 0.15 * backends.len() as f64;
    let load = httpd.load().pause(Duration::from_millis(4)).start();
    pause(turn);
    eventually(SOON, || got().iter().all(|n| *n > 0));
    let records = load.stop();
    records.assert_clean(QUICK);
    let got = got();
    let fair = records.len() as f64 / backends.len() as f64;
    let (least, most) = (got.iter().min(), got.iter().max());
    println!(
        "figure: {} requests at {} addresses: {least:?} to {most:?} each",
        records.len(),
        backends.len()
    );
    assert!(got.iter().all(|n| (*n as f64) < 4.0 * fair), "{got:?}");
}

/// Some 30, not in a row, are killed under load: no request fails, then none comes to them any more.
#[track_caller]
fn half_die(httpd: &Httpd, backends: &[Backend]) {
    let mut number = numbers(60);
    let mut order: Vec<usize> = (0..backends.len()).collect();
    order.sort_by_cached_key(|_| number(1_000_000));
    let (dead, alive) = order.split_at(backends.len() / 2);
    let load_on = httpd.load().start();
    pause(0.5);
    dead.iter().for_each(|n| backends[*n].kill());
    eventually(SOON, || {
        let shown = shown(httpd);
        dead.iter().all(|n| shown[&address(*n)] == "down")
    });
    pause(1.0);
    load_on.stop().assert_clean(Duration::from_secs(5));
    let shown_now = shown(httpd);
    assert!(alive.iter().all(|n| shown_now[&address(*n)] == "up"));
    let load = httpd.load().pause(Duration::from_millis(4));
    let records = load.run(Duration::from_secs(4));
    records.assert_clean(QUICK);
    let wrong = records
        .0
        .iter()
        .find(|r| dead.iter().any(|n| r.backend == address(*n)));
    assert!(wrong.is_none(), "{wrong:?}");
    dead.iter().for_each(|n| backends[*n].revive());
    eventually(SOON, || shown(httpd).values().all(|state| state == "up"));
}

/// The states of the addresses on the page.
fn shown(httpd: &Httpd) -> BTreeMap<String, String> {
    let page = json(httpd);
    let list = worker(&page, WORKER)["addresses"].as_array();
    let list = list.expect("a list").iter();
    list.map(|one| (text(&one["ip"]), text(&one["state"])))
        .collect()
}
