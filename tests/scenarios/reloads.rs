//! Reload after reload: nothing grows; live workers, the module and mod_proxy go and come back.

use crate::common::processes::*;
use crate::common::*;
use live_kit::{
    Httpd, Mpm, Signal, World, descriptors, memory_kib, pause, scenario, scenario_within, threads,
};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(120);

/// Kinds of descriptors (sockets and pipes by kind, files by name) and how many of each.
fn kinds(pid: u32) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for link in descriptors(pid) {
        let kind = link.split(":[").next().unwrap_or_default().to_owned();
        *found.entry(kind).or_insert(0) += 1;
    }
    found
}

/// Shared memory without a file: the board, the scoreboard.
fn shared_areas(pid: u32) -> usize {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).expect("maps of the parent");
    maps.lines().filter(|l| l.contains(" rw-s ")).count()
}

/// The new generation alone is there.
#[track_caller]
fn reload(httpd: &mut Httpd) {
    let old = httpd.children();
    httpd.graceful();
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let now = httpd.children();
        if now.len() >= 4 && now.iter().all(|p| !old.contains(p)) {
            return;
        }
        assert!(
            Instant::now() < end,
            "before the reload: {old:?}, now: {now:?}"
        );
        pause(0.01);
    }
}

/// 20 graceful restarts with and without the module: descriptors and memory of the parent, descriptors of a child.
fn nothing_grows(w: &mut World, mpm: Mpm) {
    let (_a, _b) = backends();
    set_app(w, &[IP_A]);
    let room = spare(mpm);
    let mut httpd = start_following(w.httpd().mpm(mpm).live(&format!("{room}{FOLLOW}")));
    let stock_text = format!("{room}{}", FOLLOW.replace("live=on", ""));
    let mut stock = w.httpd().mpm(mpm).config(&stock_text).start();
    let look = |httpd: &Httpd| {
        assert_eq!(threads(httpd.pid()), 1, "a thread in the parent");
        let child = leader(httpd);
        (
            kinds(httpd.pid()),
            kinds(child),
            memory_kib(httpd.pid()),
            shared_areas(httpd.pid()),
        )
    };
    // The first reloads bring the parent to its size.
    (0..5).for_each(|_| reload(&mut httpd));
    (0..5).for_each(|_| reload(&mut stock));
    let (before, stock_before) = (look(&httpd), memory_kib(stock.pid()));
    for round in 0..15 {
        set_app(w, &[[IP_A, IP_B][round % 2]]);
        reload(&mut httpd);
        reload(&mut stock);
    }
    let (after, stock_after) = (look(&httpd), memory_kib(stock.pid()));
    let grown = after.2.saturating_sub(before.2);
    let stock_grown = stock_after.saturating_sub(stock_before);
    println!(
        "figure: {mpm:?}: memory of the parent (anonymous): {} -> {} KiB in 15 graceful restarts, stock {stock_before} -> {stock_after} KiB",
        before.2, after.2
    );
    assert_eq!(after.0, before.0, "descriptors of the parent");
    assert_eq!(after.1, before.1, "descriptors of the leading child");
    assert!(
        grown <= stock_grown + 96,
        "the parent grew by {grown} KiB, the stock httpd's by {stock_grown} KiB"
    );
    assert_eq!(after.3, before.3, "shared areas of the parent");
    after_ttl(Instant::now(), 1);
    all_children_use(&httpd, "/", "A");
}

#[test]
fn nothing_grows_event() {
    scenario_within(LIMIT, |w: &mut World| nothing_grows(w, Mpm::Event));
}

#[test]
fn nothing_grows_prefork() {
    scenario_within(LIMIT, |w: &mut World| nothing_grows(w, Mpm::Prefork));
}

/// To a configuration without live workers and back: nobody leads or asks meanwhile.
#[test]
fn without_live_workers_and_back() {
    scenario(|w: &mut World| {
        let (_a, _b) = backends();
        set_app(w, &[IP_A]);
        let spare = spare(Mpm::Event);
        let mut httpd = start_following(w.httpd().live(&format!("{spare}{FOLLOW}")));
        for ip in [IP_B, IP_A] {
            httpd.rewrite(&format!("{spare}{}", FOLLOW.replace("live=on", "live=off")));
            reload(&mut httpd);
            assert!(leaders(&httpd).is_empty());
            assert!(httpd.children().iter().all(|p| !has_keeper(*p)));
            w.dns.forget();
            // Longer than a leader may be silent.
            pause(3.5);
            assert!(w.dns.queries().is_empty(), "{:?}", w.dns.queries());
            assert_eq!(httpd.get("/").status, 200);
            set_app(w, &[ip]);
            httpd.rewrite(&format!("{spare}{FOLLOW}"));
            reload(&mut httpd);
            leader(&httpd);
            after_ttl(Instant::now(), 1);
            all_children_use(&httpd, "/", if ip == IP_A { "A" } else { "B" });
        }
        assert_eq!(httpd.logged("has been silent"), 0);
    });
}

/// The module itself goes out of the configuration and comes back, mod_proxy is loaded at another place each time.
#[test]
fn unloaded_and_loaded_again() {
    scenario(|w: &mut World| {
        let (_a, _b) = backends();
        set_app(w, &[IP_A]);
        let spare = spare(Mpm::Event);
        let mut httpd = start_following(w.httpd().live(&format!("{spare}{FOLLOW}")));
        let others = ["proxy_fcgi", "proxy_ajp", "dir"];
        for (other, ip) in others.into_iter().zip([IP_B, IP_A, IP_B]) {
            // More modules in front and behind: other addresses for all of them.
            httpd.reconfigure(|b| b.without_live().without("proxy_http").module(other));
            httpd.rewrite(spare);
            reload(&mut httpd);
            assert!(leaders(&httpd).is_empty());
            httpd.reconfigure(|b| b.module("proxy_http").live(FOLLOW));
            reload(&mut httpd);
            set_app(w, &[ip]);
            leader(&httpd);
            after_ttl(Instant::now(), 1);
            all_children_use(&httpd, "/", if ip == IP_A { "A" } else { "B" });
            assert_eq!(threads(httpd.pid()), 1);
        }
    });
}

/// No mod_proxy at all for a while; the module comes back with it.
#[test]
fn mod_proxy_goes_and_comes_back() {
    scenario(|w: &mut World| {
        let (_a, _b) = backends();
        set_app(w, &[IP_A]);
        let spare = spare(Mpm::Event);
        let mut httpd = start_following(w.httpd().live(&format!("{spare}{FOLLOW}")));
        let proxies = [
            "proxy_http",
            "proxy_balancer",
            "lbmethod_byrequests",
            "proxy",
        ];
        for ip in [IP_B, IP_A] {
            httpd.reconfigure(|b| proxies.iter().fold(b.without_live(), |b, m| b.without(m)));
            httpd.rewrite(spare);
            reload(&mut httpd);
            assert_ne!(httpd.get("/").status, 200);
            let back = [
                "proxy",
                "proxy_http",
                "proxy_balancer",
                "lbmethod_byrequests",
            ];
            httpd.reconfigure(|b| back.iter().fold(b.live(FOLLOW), |b, m| b.module(m)));
            reload(&mut httpd);
            set_app(w, &[ip]);
            leader(&httpd);
            after_ttl(Instant::now(), 1);
            all_children_use(&httpd, "/", if ip == IP_A { "A" } else { "B" });
        }
    });
}

/// httpd starts new children in the places of those that have ended, and sleeps a second when it finds none: idle ones
/// have ended when it looks. Stock event finds none in every other reload, and prefork did with the module's threads.
fn no_second_without_children(w: &mut World, mpm: Mpm) {
    const ROUNDS: usize = 12;
    let (_a, _b) = backends();
    set_app(w, &[IP_A]);
    let builder = w.httpd().mpm(mpm).children(4);
    let mut httpd = start_following(builder.live(&format!("{}{FOLLOW}", spare(mpm))));
    let mut late = 0;
    for _ in 0..ROUNDS {
        let old = httpd.children();
        let begin = Instant::now();
        httpd.signal(httpd.pid(), Signal::USR1);
        while httpd.children().iter().all(|pid| old.contains(pid)) {
            assert!(begin.elapsed() < Duration::from_secs(10), "no new child");
            pause(0.002);
        }
        late += usize::from(begin.elapsed() > Duration::from_millis(500));
        reload(&mut httpd);
    }
    println!("figure: {mpm:?}: {late} of {ROUNDS} reloads without a child for half a second");
    assert!(late <= 2, "{late} of {ROUNDS}");
}

#[test]
fn no_second_without_children_event() {
    scenario_within(LIMIT, |w: &mut World| {
        no_second_without_children(w, Mpm::Event)
    });
}

#[test]
fn no_second_without_children_prefork() {
    scenario_within(LIMIT, |w: &mut World| {
        no_second_without_children(w, Mpm::Prefork)
    });
}
