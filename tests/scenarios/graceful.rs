//! Graceful restarts under load: no more errors than a stock httpd has, addresses known at once, no query storm.

use crate::common::pool::*;
use crate::common::processes::*;
use crate::common::*;
use live_kit::{
    Failure, Fault, Httpd, Load, Mpm, Records, Request, Type, World, all_at_once, answers, pause,
    scenario_within,
};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(120);
const RESTARTS: usize = 5;
/// Clients with kept connections.
const KEPT: usize = 4;
/// The module asks here, the stock httpd at the address of resolv.conf: so queries can be told apart.
const RESOLVER: &str = "ProxyLiveResolver 127.0.0.8 timeout=1s";

/// Queries of the module for a name and type.
fn asked(w: &World, name: &str, kind: Type) -> usize {
    let ours = |q: &&live_kit::Query| q.server.ip().to_string() == "127.0.0.8";
    let queries = w.dns.queries();
    let found = queries
        .iter()
        .filter(ours)
        .filter(|q| q.name == name && q.kind == kind);
    found.count()
}

/// A httpd with the module and a stock one with the same workers; `{live}` in the text is replaced.
fn pair(w: &mut World, mpm: Mpm, text: &str) -> (Httpd, Httpd) {
    w.dns.listen("127.0.0.8:53");
    let room = room(mpm);
    let children = if mpm == Mpm::Worker { 2 } else { 4 };
    let with = w
        .httpd()
        .mpm(mpm)
        .children(children)
        .live(&live_text(&format!("{room}{text}")))
        .start();
    let stock = w
        .httpd()
        .mpm(mpm)
        .children(children)
        .config(&stock_text(&format!("{room}{text}")))
        .start();
    (with, stock)
}

/// Room for the children that finish requests beside the new ones; and as many new ones as there were.
fn room(mpm: Mpm) -> &'static str {
    match mpm {
        Mpm::Prefork => "ServerLimit 24\nMaxRequestWorkers 24\nMinSpareServers 4\n",
        Mpm::Event => "MinSpareThreads 28\n",
        // This one starts only one child per second after a graceful restart.
        Mpm::Worker => "MinSpareThreads 12\n",
    }
}

fn live_text(text: &str) -> String {
    format!("{RESOLVER}\n{}", text.replace("{live}", "live=on"))
}

fn stock_text(text: &str) -> String {
    text.replace("{live}", "")
}

/// Kept connections and fresh ones side by side.
fn loads(httpd: &Httpd, path: &str) -> [Load; 2] {
    let kept = httpd.load().path(path).clients(KEPT);
    let fresh = httpd.load().path(path).clients(4).per_connection(1);
    [kept.start(), fresh.start()]
}

fn stop(loads: [Load; 2]) -> [Records; 2] {
    loads.map(Load::stop)
}

/// Requests lost because httpd closed the kept connection they were sent on before it read them: no line in the
/// access log, so no child. They befall any httpd that ends a generation; browsers repeat them.
fn unread(records: &[Records; 2]) -> usize {
    let lost = |r: &&live_kit::Record| {
        r.reused && r.child == 0 && r.failure == Some(Failure::ClosedWithoutAnswer)
    };
    records
        .iter()
        .map(|r| r.0.iter().filter(lost).count())
        .sum()
}

fn errors(records: &[Records; 2]) -> usize {
    records.iter().map(|r| r.failed().len()).sum()
}

/// Errors of both servers. What httpd has read must be answered as well as by the stock httpd. How many requests it
/// never read is a matter of chance in both (measured: 83 in 80 restarts with the module, 86 without; 0 to 7 at once),
/// so that number is told, and bounded by what chance can do to [`KEPT`] clients.
#[track_caller]
fn compare(what: &str, with: &[Records; 2], stock: &[Records; 2]) {
    let sum = |who: &str, records: &[Records; 2]| {
        let (all, errors, unread) = (
            records[0].len() + records[1].len(),
            errors(records),
            unread(records),
        );
        println!(
            "figure: {what}, {who}: {errors} errors of {all} requests, {unread} of them on closed kept connections"
        );
        (errors - unread, unread)
    };
    let (errors, lost) = sum("with the module", with);
    let (stock_errors, stock_lost) = sum("stock httpd", stock);
    for records in with {
        assert!(records.len() > 200, "{} requests", records.len());
        assert!(
            errors <= stock_errors,
            "with the module: {:?}",
            records.failed()
        );
    }
    assert!(
        lost <= KEPT * RESTARTS * 3 / 2 + stock_lost,
        "{lost} with the module, {stock_lost} without"
    );
}

struct Move {
    at: Instant,
    /// What begins later must be answered by `name`.
    due: Instant,
    name: &'static str,
}

/// 5 graceful restarts, the name moves after the second and the fourth.
fn during_a_move(w: &mut World, mpm: Mpm) {
    let (_a, _b) = backends();
    set_app(w, &[IP_A]);
    w.dns.set("calm.test", answers(&[IP_A], 600));
    let text =
        "ProxyPass /calm http://calm.test:9000/ {live}\nProxyPass / http://app.test:9000/ {live}";
    let (mut with, mut stock) = pair(w, mpm, text);
    wait_known(&with, "app.test");
    wait_known(&with, "calm.test");
    let (load, stock_load) = (loads(&with, "/"), loads(&stock, "/"));
    let started = Instant::now();
    let mut moves: Vec<Move> = Vec::new();
    for round in 0..RESTARTS {
        pause(0.5);
        if round % 2 == 1 {
            // The last move has its time, and some answers after it, even on a slow machine.
            if let Some(Move { due, .. }) = moves.last() {
                let enough = *due + Duration::from_millis(1500);
                std::thread::sleep(enough.saturating_duration_since(Instant::now()));
            }
            let (ip, name) = if round == 1 { (IP_B, "B") } else { (IP_A, "A") };
            set_app(w, &[ip]);
            let at = Instant::now();
            let due = at + Duration::from_secs(2);
            moves.push(Move { at, due, name });
        }
        // The change falls before, into or behind the restart.
        pause(0.3 * round as f64);
        with.graceful();
        // httpd may have no child at all for some 2 s now (worker): nobody is there to ask DNS.
        let reloaded = Instant::now();
        if let Some(last) = moves.last_mut().filter(|m| reloaded < m.due) {
            last.due = last.due.max(reloaded + Duration::from_secs(3));
        }
        stock.graceful();
        pause(0.5);
    }
    assert_eq!(moves.len(), 2);
    let enough = moves[1].due + Duration::from_secs(1);
    std::thread::sleep(enough.saturating_duration_since(Instant::now()));
    pause(1.5);
    let elapsed = started.elapsed();
    let (records, stock_records) = (stop(load), stop(stock_load));
    compare(&format!("{mpm:?}"), &records, &stock_records);
    for records in &records {
        // Answered before the second move: a reload may have kept them waiting.
        let first = records.since(moves[0].due).0.into_iter();
        let first = Records(first.filter(|r| r.start + r.took < moves[1].at).collect());
        let last = records.since(moves[1].due);
        for (records, m) in [(first, &moves[0]), (last, &moves[1])] {
            assert_eq!(
                records.by_backend().keys().collect::<Vec<_>>(),
                [m.name],
                "after the move to {}",
                m.name
            );
        }
    }
    for kind in [Type::A, Type::Aaaa] {
        assert_eq!(
            asked(w, "calm.test", kind),
            1,
            "asked again before its TTL of 600 s"
        );
        let n = asked(w, "app.test", kind);
        assert!(
            n <= elapsed.as_secs() as usize + RESTARTS + 2,
            "{n} queries in {elapsed:?}"
        );
    }
    assert_eq!(with.logged(" leads (epoch 6"), 1);
}

#[test]
fn during_a_move_event() {
    scenario_within(LIMIT, |w: &mut World| during_a_move(w, Mpm::Event));
}

#[test]
fn during_a_move_worker() {
    scenario_within(LIMIT, |w: &mut World| during_a_move(w, Mpm::Worker));
}

#[test]
fn during_a_move_prefork() {
    scenario_within(LIMIT, |w: &mut World| during_a_move(w, Mpm::Prefork));
}

/// The workers of each configuration: added, removed, renamed, in another order; `/` is always there.
const EDITIONS: [&[&str]; RESTARTS] = [
    &["one", "two", "three"],
    &["three", "two"],
    &["four", "three"],
    &["five", "four", "one", "three"],
    &["one"],
];

fn edition(names: &[&str]) -> String {
    let line = |n: &&str| format!("ProxyPass /{n} http://{n}.test:9000/ {{live}}\n");
    let balancer = "<Proxy balancer://pool>\nBalancerMember http://member.test:9000 {live}\n</Proxy>\n\
                    ProxyPass /pool balancer://pool/\n";
    let some: String = names.iter().map(line).collect();
    // The balancer comes and goes too.
    let pool = if names.len() % 2 == 1 { balancer } else { "" };
    format!("{some}{pool}ProxyPass / http://app.test:9000/ {{live}}\n")
}

/// 5 graceful restarts with another set of workers each time.
#[test]
fn workers_come_and_go() {
    scenario_within(LIMIT, |w: &mut World| {
        let (_a, _b) = backends();
        for name in ["one", "two", "three", "four", "five", "member"] {
            w.dns.set(&format!("{name}.test"), answers(&[IP_A], 600));
        }
        set_app(w, &[IP_A]);
        let (mut with, mut stock) = pair(w, Mpm::Event, &edition(&["one", "two"]));
        wait_known(&with, "two.test");
        wait_known(&with, "app.test");
        let (load, stock_load) = (loads(&with, "/"), loads(&stock, "/"));
        let (mut moved, mut ever) = (None, vec!["one", "two"]);
        for (round, names) in EDITIONS.iter().enumerate() {
            pause(0.5);
            if round == 2 {
                set_app(w, &[IP_B]);
                moved = Some(Instant::now() + Duration::from_secs(2));
            }
            with.rewrite(&live_text(&edition(names)));
            stock.rewrite(&stock_text(&edition(names)));
            with.graceful();
            stock.graceful();
            ever.extend(names.iter());
            // At once: also new workers, whose name nobody has asked for yet.
            for name in *names {
                let reply = with.get(&format!("/{name}/x"));
                assert_eq!((reply.status, reply.backend.as_str()), (200, "A"), "{name}");
            }
            if names.len() % 2 == 1 {
                assert_eq!(with.get("/pool/x").status, 200);
            }
            pause(0.5);
        }
        pause(1.0);
        let (records, stock_records) = (stop(load), stop(stock_load));
        compare("workers changed", &records, &stock_records);
        for records in &records {
            let last = records.since(moved.expect("the name moved"));
            assert_eq!(last.by_backend().keys().collect::<Vec<_>>(), ["B"]);
        }
        ever.sort_unstable();
        ever.dedup();
        for name in ever {
            // Out of the configuration and back may forget; more than that would be a storm.
            let n = asked(w, &format!("{name}.test"), Type::A);
            assert!((1..=2).contains(&n), "{name}.test: {n} queries");
        }
        all_children_use(&with, "/", "B");
    });
}

/// DNS is dead while the server reloads: every child of the new generation has the addresses at its first request,
/// and asks nobody.
fn known_at_once(w: &mut World, mpm: Mpm) {
    let (_a, _b) = backends();
    w.dns.listen("127.0.0.8:53");
    w.dns.set("app.test", answers(&[IP_A], 600));
    let room = room(mpm);
    let text = format!("{room}{RESOLVER}\n{FOLLOW}");
    let mut httpd = start_following(w.httpd().mpm(mpm).live(&text));
    w.dns.fail("*", Fault::Silent);
    w.dns.forget();
    for _ in 0..3 {
        let old = httpd.children();
        httpd.graceful();
        // The old generation is gone: nothing holds it.
        live_kit::eventually(Duration::from_secs(10), || {
            let now = httpd.children();
            now.len() >= 4 && now.iter().all(|pid| !old.contains(pid))
        });
        let start = Instant::now();
        all_children_use(&httpd, "/", "A");
        assert!(
            start.elapsed() < Duration::from_secs(3),
            "{:?}",
            start.elapsed()
        );
        leader(&httpd);
    }
    let queries = w.dns.queries();
    assert!(
        queries.is_empty(),
        "asked, although nothing was due: {queries:?}"
    );
}

#[test]
fn known_at_once_event() {
    scenario_within(LIMIT, |w: &mut World| known_at_once(w, Mpm::Event));
}

#[test]
fn known_at_once_prefork() {
    scenario_within(LIMIT, |w: &mut World| known_at_once(w, Mpm::Prefork));
}

/// A long GET is under way in a generation that ends. Its member dies after another one, which was down at the reload,
/// has come back: that one answers.
#[test]
#[ignore = "found by ./apxs/chaos, not mended: members of an ended generation keep the status of the reload's moment"]
fn a_long_get_outlives_its_generation() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        let text = format!("{}{}", room(Mpm::Event), pool(""));
        let mut httpd = start_pool(troubled(w.httpd().live(&text)), &[&a, &b]);
        b.kill();
        wait_down(&httpd, TWO);
        let (get, long) = (Request::get("/?delay=15000"), Duration::from_secs(40));
        let pending = all_at_once(httpd.addr(), &get, 1, long).remove(0);
        live_kit::eventually(PATIENCE, || a.busy() == 1);
        httpd.graceful();
        b.revive();
        wait_up(&httpd, TWO);
        pause(1.0);
        a.kill();
        let reply = pending.join().expect("a client thread").expect("an answer");
        assert_eq!((reply.status, reply.backend.as_str()), (200, "B"));
    });
}
