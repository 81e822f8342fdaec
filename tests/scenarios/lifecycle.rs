//! Start, restart, stop: nothing is left behind, children end promptly, and following goes on.

use crate::common::processes::*;
use crate::common::*;
use live_kit::{
    Fault, Httpd, Mpm, Signal, Type, World, answers, children_of, eventually, pause, scenario,
    threads,
};
use std::time::{Duration, Instant};

/// The keeper stops within a second at the end of its child.
const EXIT: Duration = Duration::from_secs(1);

fn alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|s| !s.contains(") Z "))
}

/// Sends SIGTERM to one child; how long it lives on.
#[track_caller]
fn end_child(httpd: &Httpd, pid: u32) -> Duration {
    httpd.signal(pid, Signal::TERM);
    eventually(Duration::from_secs(10), || !alive(pid))
}

/// How long a stock httpd takes to stop, in both ways.
fn stock_stop(w: &mut World, mpm: Mpm) -> [Duration; 2] {
    let mut stock = w
        .httpd()
        .mpm(mpm)
        .config(&FOLLOW.replace("live=on", ""))
        .start();
    stock.every_child("/");
    let plain = stock.stop();
    stock.start_again();
    stock.every_child("/");
    let start = Instant::now();
    stock.graceful_stop();
    [plain, start.elapsed()]
}

/// Starts, stops in each way, starts again; the kit judges processes, console, shared memory at the end.
fn start_and_stop(w: &mut World, mpm: Mpm) {
    let (_a, _b) = backends();
    set_app(w, &[IP_A]);
    let mut httpd = start_following(w.httpd().mpm(mpm).live(FOLLOW));
    let mut slowest = [Duration::ZERO; 2];
    for round in 0..3 {
        let parent = httpd.pid();
        let children = httpd.children();
        leader(&httpd);
        assert_eq!(threads(parent), 1, "a thread in the parent");
        eventually(Duration::from_secs(2), || {
            children.iter().all(|c| has_keeper(*c))
        });
        all_children_use(&httpd, "/", "A");
        let start = Instant::now();
        if round == 1 {
            httpd.graceful_stop();
        } else {
            httpd.stop();
        }
        let slow = &mut slowest[round % 2];
        *slow = start.elapsed().max(*slow);
        let left: Vec<u32> = children.into_iter().filter(|c| alive(*c)).collect();
        assert!(left.is_empty() && !alive(parent), "left: {left:?}");
        assert!(
            children_of(1)
                .iter()
                .all(|p| std::process::id() == *p || !alive(*p))
        );
        httpd.start_again();
    }
    let stock = stock_stop(w, mpm);
    println!("figure: {mpm:?}: stop and graceful stop: {slowest:?}, stock httpd {stock:?}");
    for (with, without) in slowest.into_iter().zip(stock) {
        assert!(
            with < without + Duration::from_secs(1),
            "{slowest:?}, stock httpd {stock:?}"
        );
    }
}

#[test]
fn start_and_stop_event() {
    scenario(|w: &mut World| start_and_stop(w, Mpm::Event));
}

#[test]
fn start_and_stop_worker() {
    scenario(|w: &mut World| start_and_stop(w, Mpm::Worker));
}

#[test]
fn start_and_stop_prefork() {
    scenario(|w: &mut World| start_and_stop(w, Mpm::Prefork));
}

/// Children end as fast as those of a stock httpd, also while the resolver waits for an answer that never comes.
/// Prefork ends in a signal handler.
fn children_end(w: &mut World, mpm: Mpm) {
    let (_a, _b) = backends();
    set_app(w, &[IP_A]);
    let text = format!("{}{FOLLOW}", spare(mpm));
    let mut httpd = start_following(w.httpd().mpm(mpm).live(&text).expect("name app.test"));
    let mut times = Vec::new();
    for silent in [false, true] {
        if silent {
            w.dns.fail("*", Fault::Silent);
            // A question is under way.
            pause(1.5);
        }
        let first = leader(&httpd);
        let old = httpd.children();
        times.push(end_generation(&httpd, &old));
        // The new generation asks again at once, if it was due: another question is under way.
        eventually(Duration::from_secs(10), || {
            httpd.children().len() == 4 && leaders(&httpd).len() == 1
        });
        assert_ne!(leader(&httpd), first);
        if mpm == Mpm::Prefork {
            let first = leader(&httpd);
            times.push(end_child(&httpd, first));
            takeover(&httpd, first);
        }
    }
    assert_eq!(httpd.get("/").backend, "A");
    times.push(httpd.stop());
    println!("figure: {mpm:?}: ends of children, the last of the server: {times:?}");
    assert!(times.iter().all(|t| *t < EXIT), "{times:?}");
    assert_eq!(httpd.logged("exit signal"), 0);
}

/// A graceful restart without requests; how long its children live on.
#[track_caller]
fn end_generation(httpd: &Httpd, old: &[u32]) -> Duration {
    httpd.signal(httpd.pid(), Signal::USR1);
    eventually(Duration::from_secs(10), || !old.iter().any(|p| alive(*p)))
}

#[test]
fn children_end_event() {
    scenario(|w: &mut World| children_end(w, Mpm::Event));
}

#[test]
fn children_end_worker() {
    scenario(|w: &mut World| children_end(w, Mpm::Worker));
}

#[test]
fn children_end_prefork() {
    scenario(|w: &mut World| children_end(w, Mpm::Prefork));
}

/// A child that ends does not wake the keepers of the others: with hundreds of children that end at a reload, their
/// wakings would keep prefork's parent from replacing them at once.
#[test]
fn an_end_wakes_no_other_child() {
    const ENDS: u64 = 12;
    scenario(|w: &mut World| {
        w.dns.set("app.test", answers(&[IP_A], 60));
        let builder = w.httpd().mpm(Mpm::Prefork).children(ENDS as usize + 2);
        let httpd = start_following(builder.live(&format!("{FOLLOW} liveprobe=off")));
        let leading = leader(&httpd);
        let mut others = httpd.children();
        others.retain(|pid| *pid != leading);
        let witness = others.pop().expect("a child that does not lead");
        // Begins with a tick that nothing but time ends.
        pause(1.0);
        let (before, start) = (keeper_sleeps(witness), Instant::now());
        for pid in others {
            end_child(&httpd, pid);
        }
        let woken = keeper_sleeps(witness) - before;
        // By itself it looks around every 0.3 s at most.
        let ticks = start.elapsed().as_millis() as u64 / 300 + 1;
        assert!(
            woken < ticks + ENDS / 2,
            "woken {woken} times, {ticks} ticks"
        );
        assert_eq!(leader(&httpd), leading);
    });
}

/// `httpd -X`: one process serves, leads, follows, and ends at once, also while DNS is silent.
fn one_process(w: &mut World, mpm: Mpm) {
    let (_a, _b) = backends();
    set_app(w, &[IP_A]);
    let builder = w
        .httpd()
        .mpm(mpm)
        .one_process()
        .live(FOLLOW)
        .expect("name app.test");
    let mut httpd = start_following(builder);
    let pid = httpd.pid();
    assert!(httpd.children().is_empty());
    assert!(leads(pid) && has_keeper(pid));
    assert_eq!(httpd.get("/").backend, "A");
    set_app(w, &[IP_B]);
    after_ttl(Instant::now(), 1);
    assert_eq!(httpd.get("/").backend, "B");
    w.dns.fail("*", Fault::Silent);
    pause(1.2);
    let took = httpd.stop();
    assert!(took < EXIT, "{took:?}");
    assert!(!alive(pid));
}

#[test]
fn one_process_event() {
    scenario(|w: &mut World| one_process(w, Mpm::Event));
}

#[test]
fn one_process_worker() {
    scenario(|w: &mut World| one_process(w, Mpm::Worker));
}

#[test]
fn one_process_prefork() {
    scenario(|w: &mut World| one_process(w, Mpm::Prefork));
}

/// SIGHUP: all children end at once; the addresses stay known, and are followed.
fn full_restart(w: &mut World, mpm: Mpm) {
    let (_a, _b) = backends();
    set_app(w, &[IP_A]);
    w.dns.set("calm.test", answers(&[IP_A], 600));
    let text = format!("ProxyPass /calm http://calm.test:9000/ live=on\n{FOLLOW}");
    let mut httpd = start_following(w.httpd().mpm(mpm).live(&text));
    wait_known(&httpd, "calm.test");
    for ip in [IP_B, IP_A, IP_B] {
        let old = httpd.children();
        httpd.restart();
        assert!(old.iter().all(|p| !alive(*p)), "{old:?}");
        assert_eq!(httpd.get("/calm").backend, "A");
        leader(&httpd);
        set_app(w, &[ip]);
        after_ttl(Instant::now(), 1);
        all_children_use(&httpd, "/", if ip == IP_A { "A" } else { "B" });
        assert_eq!(threads(httpd.pid()), 1);
    }
    // Stock look-ups happen for workers whose addresses are not known: there were none.
    assert_eq!(w.dns.count("calm.test", Type::A), 1);
    assert_eq!(httpd.logged("exit signal"), 0);
}

#[test]
fn full_restart_event() {
    scenario(|w: &mut World| full_restart(w, Mpm::Event));
}

#[test]
fn full_restart_worker() {
    scenario(|w: &mut World| full_restart(w, Mpm::Worker));
}

#[test]
fn full_restart_prefork() {
    scenario(|w: &mut World| full_restart(w, Mpm::Prefork));
}
