//! `live=observe`: everything is worked out and told, and httpd does what it does alone.

mod requests;

use crate::common::pool::*;
use crate::common::processes::{leader, takeover};
use crate::common::*;
use live_kit::{
    Builder, Httpd, MANAGER, Mpm, Request, World, answers, eventually, pause, scenario,
    scenario_within,
};
use std::fs;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(150);
/// Anything that would be told once more would have been told by then: several steps of all keepers.
const LATER: f64 = 1.5;

/// Also what only debugging shows must not be done.
const LEVEL: &str = "info proxy_live:debug";

/// How often this was told of a worker at notice.
fn would(httpd: &Httpd, worker: &str, what: &str) -> usize {
    told(httpd, worker, &format!("observe: would {what}"))
}

#[track_caller]
fn wait_would(httpd: &Httpd, worker: &str, what: &str) {
    eventually(PATIENCE, || would(httpd, worker, what) > 0);
}

/// The pool with `live=observe` for both members, and the same without the module's words.
fn observed(parameters: &str) -> (String, String) {
    let text = |live: &str| {
        let lines = format!("{FRESH}\n{MANAGER}\n{}", pool(parameters));
        lines.replace("live=on", live)
    };
    (text("live=observe"), text(""))
}

/// A httpd that observes and a stock one with the same lines.
fn pair(w: &mut World, mpm: Mpm, live: &str, stock: &str) -> (Httpd, Httpd) {
    let troubled = |builder: Builder| troubled(builder.mpm(mpm)).expect("[proxy_http:warn]");
    let observing = troubled(w.httpd()).log_level(LEVEL).live(live).start();
    let stock = troubled(w.httpd()).config(stock).start();
    (observing, stock)
}

/// Nothing that the module does to live workers was done.
#[track_caller]
fn nothing_done(httpd: &Httpd) {
    for line in [
        "up -> down",
        "down -> up",
        "last resort: stays",
        ": released from",
        "requests ended",
        "tried once more",
    ] {
        let lines = httpd.live_lines().into_iter();
        let found: Vec<_> = lines
            .filter(|l| l.text.contains("worker ") && l.text.contains(line))
            .collect();
        assert!(found.is_empty(), "{found:?}");
    }
}

/// Whether the kernel watches the peers (its keep-alive timer runs) of this network namespace's sockets to port 9000
/// of `127.0.0.last`; one word for each socket.
fn watched(last: u8) -> Vec<bool> {
    let table = fs::read_to_string("/proc/self/net/tcp").expect("the sockets");
    let remote = format!("{:08X}:{:04X}", u32::from_le_bytes([127, 0, 0, last]), 9000);
    let of = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let open = words.get(3) == Some(&"01") && words[2] == remote;
        open.then(|| words[5].starts_with("02"))
    };
    table.lines().filter_map(of).collect()
}

/// A name moves: httpd stays where it was, in all children, and its connections stay, too.
fn a_name_moves(w: &mut World, mpm: Mpm) {
    const URL: &str = "http://app.test:9000";
    let (a, b) = backends();
    set_app(w, &[IP_A]);
    w.dns.set("on.test", answers(&[IP_B], 600));
    let text =
        format!("ProxyPass /on http://on.test:9000/ live=on\nProxyPass / {URL}/ live=observe");
    let httpd = w.httpd().mpm(mpm).log_level(LEVEL).live(&text).start();
    wait_would(&httpd, URL, "use 127.0.0.2 (from DNS)");
    all_children_use(&httpd, "/", "A");
    set_app(w, &[IP_B]);
    wait_would(&httpd, URL, "use 127.0.0.3 (from DNS)");
    pause(LATER);
    assert!(a.open() > 0, "pooled connections were closed");
    assert_eq!(httpd.get("/on").backend, "B");
    let (observed, live) = (watched(2), watched(3));
    assert!(
        !observed.is_empty() && !observed.contains(&true),
        "{observed:?}"
    );
    assert!(!live.is_empty() && !live.contains(&false), "{live:?}");
    all_children_use(&httpd, "/", "A");
    assert_eq!(b.requests(), 1);
    // The order of an answer is no change, two addresses are one.
    set_app(w, &[IP_B, IP_A]);
    eventually(PATIENCE, || would(&httpd, URL, "use ") == 3);
    set_app(w, &[IP_A, IP_B]);
    let old = leader(&httpd);
    httpd.kill9(old);
    takeover(&httpd, old);
    pause(2.0 + LATER);
    assert_eq!(would(&httpd, URL, "use "), 3, "told again");
    assert_eq!(would(&httpd, URL, ""), 3);
    nothing_done(&httpd);
}

#[test]
fn a_name_moves_event() {
    scenario(|w: &mut World| a_name_moves(w, Mpm::Event));
}

#[test]
fn a_name_moves_prefork() {
    scenario(|w: &mut World| a_name_moves(w, Mpm::Prefork));
}

/// What a GET on a new connection gets: status and backend.
fn got(httpd: &Httpd) -> (u16, String) {
    let reply = httpd.get("/");
    (reply.status, reply.backend)
}

/// The same GETs to both; each finds the other's answers.
#[track_caller]
fn alike(observing: &Httpd, stock: &Httpd, n: usize) -> Vec<(u16, String)> {
    let all = |httpd: &Httpd| (0..n).map(|_| got(httpd)).collect::<Vec<_>>();
    let (found, wanted) = (all(observing), all(stock));
    assert_eq!(found, wanted);
    let flags = |httpd: &Httpd| [ONE, TWO].map(|member| httpd.manager("pool").flags(member));
    assert_eq!(flags(observing), flags(stock));
    found
}

/// A member's process dies and returns: answers, attempts and the members' states are those of a stock httpd.
fn a_member_dies(w: &mut World, mpm: Mpm) {
    let (a, b) = backends();
    set_members(w);
    let (live, stock) = observed("retry=600");
    let (observing, stock) = pair(w, mpm, &live, &stock);
    wait_would(&observing, ONE, "use 127.0.0.2 (from DNS)");
    wait_would(&observing, TWO, "use 127.0.0.3 (from DNS)");
    wait_probed(&[&a, &b]);
    let used = alike(&observing, &stock, 6);
    assert!(used.contains(&(200, "A".into())) && used.contains(&(200, "B".into())));
    a.kill();
    wait_would(&observing, ONE, "mark down (127.0.0.2 connection refused)");
    // httpd's own error, as before.
    let used = alike(&observing, &stock, 6);
    assert!(
        used.iter()
            .all(|(status, name)| *status == 200 && name == "B")
    );
    assert_eq!(attempts(&observing, IP_A), 1);
    assert!(observing.manager("pool").has(ONE, "Err"));
    a.revive();
    wait_would(&observing, ONE, "mark up (127.0.0.2 answers)");
    pause(LATER);
    alike(&observing, &stock, 4);
    assert!(observing.manager("pool").has(ONE, "Err"), "released");
    let old = leader(&observing);
    observing.kill9(old);
    takeover(&observing, old);
    pause(LATER);
    for (what, n) in [("mark down", 1), ("mark up", 1), ("use", 1), ("", 3)] {
        assert_eq!(would(&observing, ONE, what), n, "{what}");
    }
    assert_eq!(would(&observing, TWO, ""), 1, "its address");
    nothing_done(&observing);
}

#[test]
fn a_member_dies_event() {
    scenario_within(LIMIT, |w: &mut World| a_member_dies(w, Mpm::Event));
}

#[test]
fn a_member_dies_prefork() {
    scenario_within(LIMIT, |w: &mut World| a_member_dies(w, Mpm::Prefork));
}

/// The last resort among observed members: told of the one that went last.
#[test]
fn last_resort() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        let text = observed("").0;
        let builder = troubled(w.httpd().log_level(LEVEL).live(&text));
        let httpd = builder.expect("storm: ").start();
        wait_would(&httpd, TWO, "use ");
        wait_probed(&[&a, &b]);
        w.vanish(IP_A);
        wait_would(&httpd, ONE, "mark down (127.0.0.2 time-out)");
        // A second one within seconds may be taken for a storm at first.
        pause(2.0);
        w.vanish(IP_B);
        wait_would(&httpd, TWO, "stay in as last resort (127.0.0.3 time-out)");
        w.appear(IP_A);
        wait_would(&httpd, ONE, "mark up");
        wait_would(&httpd, TWO, "mark down (127.0.0.3 time-out)");
        pause(LATER);
        for (member, what, n) in [
            (ONE, "mark down", 1),
            (ONE, "stay in", 0),
            (ONE, "mark up", 1),
            (TWO, "mark down", 1),
            (TWO, "stay in", 1),
            (TWO, "mark up", 0),
        ] {
            assert_eq!(would(&httpd, member, what), n, "{member} {what}");
        }
        for member in [ONE, TWO] {
            assert_eq!(httpd.manager("pool").flags(member), ["Init", "Ok"]);
        }
        nothing_done(&httpd);
    });
}

/// One refused connection puts a member into httpd's error state: probes would end that, and it is told once.
#[test]
fn an_error_of_httpd() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        let text = observed("liveinterval=30s").0;
        let httpd = troubled(w.httpd().log_level(LEVEL).live(&text)).start();
        wait_would(&httpd, TWO, "use ");
        wait_probed(&[&a, &b]);
        pause(0.5);
        w.refuse_next(IP_A, 9000, 1);
        eventually(PATIENCE, || {
            assert_eq!(httpd.get("/").status, 200);
            httpd.manager("pool").has(ONE, "Err")
        });
        wait_would(
            &httpd,
            ONE,
            "release from httpd's error state (127.0.0.2 answers)",
        );
        pause(LATER);
        assert_eq!(would(&httpd, ONE, "release"), 1);
        assert!(httpd.manager("pool").has(ONE, "Err"), "released");
        nothing_done(&httpd);
    });
}

/// An observed member beside a live one: each gets what is its own.
fn a_mixed_pool(w: &mut World, mpm: Mpm) {
    let (a, b) = backends();
    set_members(w);
    let text = pool("retry=600").replacen("live=on", "live=observe", 1);
    let text = format!("{FRESH}\n{MANAGER}\n{text}");
    let httpd = troubled(w.httpd().mpm(mpm).live(&text)).start();
    wait_would(&httpd, ONE, "use ");
    wait_known(&httpd, "two.test");
    wait_probed(&[&a, &b]);
    b.kill();
    wait_down(&httpd, TWO);
    assert!(httpd.manager("pool").has(TWO, "HcFl"));
    assert_eq!(used(&httpd), ["A"]);
    b.revive();
    wait_up(&httpd, TWO);
    assert_eq!(used(&httpd), ["A", "B"]);
    // Requests at the live member are rescued, by the observed one.
    let bad = Request::get("/rescue?die=reset&at=B");
    let statuses = (0..4).map(|_| httpd.send(&bad).expect("an answer"));
    assert!(
        statuses
            .map(|r| (r.status, r.backend))
            .all(|got| got == (200, "A".into()))
    );
    a.kill();
    wait_would(&httpd, ONE, "mark down (127.0.0.2 connection refused)");
    let reply = (0..4).map(|_| httpd.get("/").backend);
    assert!(reply.clone().all(|name| name == "B"));
    assert!(!httpd.manager("pool").has(ONE, "HcFl"));
    assert!(httpd.manager("pool").has(ONE, "Err"));
    // httpd has the observed one in error: the live one is the last.
    w.vanish(IP_B);
    eventually(PATIENCE, || {
        told(&httpd, TWO, "last resort: stays in use") == 1
    });
    assert_eq!(would(&httpd, ONE, "mark down"), 1);
    assert_eq!(downs(&httpd, ONE), 0);
    assert_eq!(would(&httpd, TWO, ""), 0);
}

#[test]
fn a_mixed_pool_event() {
    scenario_within(LIMIT, |w: &mut World| a_mixed_pool(w, Mpm::Event));
}

#[test]
fn a_mixed_pool_prefork() {
    scenario_within(LIMIT, |w: &mut World| a_mixed_pool(w, Mpm::Prefork));
}

/// From live to observed and back by graceful restarts, while a member is down.
fn changes_by_reload(w: &mut World, mpm: Mpm) {
    let (a, b) = backends();
    set_members(w);
    let text = |live: &str| {
        let lines = format!(
            "{FRESH}\n{MANAGER}\nBalancerPersist On\n{}",
            pool("retry=0 timeout=5")
        );
        lines.replace("live=on", live)
    };
    let mut httpd = start_pool(
        troubled(w.httpd().mpm(mpm).live(&text("live=on"))),
        &[&a, &b],
    );
    a.kill();
    wait_down(&httpd, ONE);
    assert!(httpd.manager("pool").has(ONE, "HcFl"));

    httpd.rewrite(&text("live=observe"));
    httpd.graceful();
    let before = attempts(&httpd, IP_A);
    // httpd has the member back, and finds out for itself.
    eventually(PATIENCE, || {
        assert_eq!(httpd.get("/").backend, "B");
        attempts(&httpd, IP_A) > before + 1
    });
    assert!(!httpd.manager("pool").has(ONE, "HcFl"));
    wait_would(&httpd, ONE, "mark down (127.0.0.2 connection refused)");
    wait_would(&httpd, TWO, "use ");
    // A connect waits for httpd's own time again.
    w.vanish(IP_A);
    let slow = |httpd: &Httpd| {
        let start = Instant::now();
        assert_eq!(httpd.get("/").status, 200);
        start.elapsed() >= Duration::from_secs(4)
    };
    assert!((0..3).any(|_| slow(&httpd)), "no connect took long");
    w.appear(IP_A);

    httpd.rewrite(&text("live=on"));
    httpd.graceful();
    let before = attempts(&httpd, IP_A);
    for _ in 0..6 {
        assert_eq!(httpd.get("/").backend, "B");
    }
    assert_eq!(attempts(&httpd, IP_A), before, "met after the reload");
    assert!(httpd.manager("pool").has(ONE, "HcFl"));
    a.revive();
    eventually(BACK, || used(&httpd) == ["A", "B"]);
    assert_eq!(would(&httpd, ONE, "mark down"), 1);
    assert_eq!(would(&httpd, ONE, "mark up"), 0);

    // Nothing of the first time is left.
    a.kill();
    wait_down(&httpd, ONE);
    httpd.rewrite(&text("live=observe"));
    httpd.graceful();
    eventually(PATIENCE, || would(&httpd, ONE, "mark down") == 2);
}

#[test]
fn changes_by_reload_event() {
    scenario_within(LIMIT, |w: &mut World| changes_by_reload(w, Mpm::Event));
}

#[test]
fn changes_by_reload_prefork() {
    scenario_within(LIMIT, |w: &mut World| changes_by_reload(w, Mpm::Prefork));
}

/// A member that is added at run time to a balancer that is observed.
#[test]
fn a_member_is_added() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        let text = format!(
            "{FRESH}\n{MANAGER}
             <Proxy balancer://pool>
                 ProxyLive observe
                 BalancerMember {ONE} retry=0
                 ProxySet growth=2
             </Proxy>
             ProxyPass / balancer://pool/"
        );
        let httpd = troubled(w.httpd().log_level(LEVEL).live(&text)).start();
        wait_would(&httpd, ONE, "use 127.0.0.2 (from DNS)");
        let manager = httpd.manager("pool");
        manager.add(TWO);
        eventually(PATIENCE, || {
            told(&httpd, TWO, "added at run time: observed") == 1
        });
        wait_would(&httpd, TWO, "use 127.0.0.3 (from DNS)");
        wait_probed(&[&a, &b]);
        manager.edit(TWO, "w_status_D=0");
        eventually(BACK, || used(&httpd) == ["A", "B"]);
        b.kill();
        wait_would(&httpd, TWO, "mark down (127.0.0.3 connection refused)");
        assert_eq!(manager.flags(TWO), ["Init", "Ok"]);
        pause(LATER);
        assert_eq!((would(&httpd, TWO, ""), would(&httpd, ONE, "")), (2, 1));
        nothing_done(&httpd);
    });
}
