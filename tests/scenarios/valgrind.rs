//! Memory: under load, with many moves and deaths, nothing invalid is touched, and nothing is lost, as valgrind
//! sees it.

use crate::common::pool::*;
use crate::common::quick_moves::*;
use crate::common::*;
use live_kit::{
    Backend, Builder, Death, Httpd, Mode, Reply, Request, World, all_at_once, answers, eventually,
    pause, scenario_within,
};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Beside the name that moves: a pool whose member C dies. Its names do not move.
const POOL: &str = "<Proxy balancer://mortal>
    BalancerMember http://c.test:9000 live=on liveinterval=200ms livetimeout=700ms liverise=1
    BalancerMember http://d.test:9000 live=on liveinterval=200ms livetimeout=700ms liverise=1
</Proxy>
ProxyPass /mortal/ balancer://mortal/";
const C: &str = "http://c.test:9000";
/// Moves between two deaths.
const BETWEEN: usize = 20;
/// valgrind runs one thread at a time, some twenty times slower.
const LIMIT: Duration = Duration::from_secs(240);
/// A leak per move or rescue would lose at least this much more for each further one.
const LOST: u64 = 8;
/// What stays allocated differs by some buffers; a list that grows with each of them does so by more.
const KEPT: u64 = 64;
/// Rescues of one round of deaths, at least.
const RESCUES: usize = 9;

/// What memcheck found in one run.
struct Verdict {
    /// Errors that tests/valgrind.supp does not name, whole.
    errors: Vec<String>,
    /// Bytes definitely lost at the end.
    lost: u64,
    /// Bytes allocated at the end, lost or not.
    kept: u64,
    /// The log file, for the message of a failure.
    text: String,
}

#[test]
fn five_thousand_requests_and_two_hundred_moves() {
    scenario_within(LIMIT, |w: &mut World| {
        let (few, many) = (run(w, 5, 200), run(w, 200, 5_000));
        compare(&few, &many, 195);
    });
}

#[test]
fn deaths_and_rescues() {
    scenario_within(LIMIT, |w: &mut World| {
        let (few, many) = (rounds_of_deaths(w, 1), rounds_of_deaths(w, 6));
        compare(&few, &many, 45);
    });
}

/// No error in either, and no more lost after so many `further` moves or rescues.
#[track_caller]
fn compare(few: &Verdict, many: &Verdict, further: u64) {
    for verdict in [few, many] {
        assert!(verdict.errors.is_empty(), "{}", verdict.errors.join("\n"));
    }
    let limits = [
        ("lost", few.lost, many.lost, LOST * further),
        ("kept", few.kept, many.kept, KEPT * further),
    ];
    for (what, few, more, limit) in limits {
        println!("figure: {what} {few} bytes, then {more}");
        assert!(
            more < few + limit,
            "{what} {few} bytes, then {more}:\n{}",
            many.text
        );
    }
}

/// One process under valgrind.
fn watched(w: &mut World, log: &Path) -> Builder {
    let words = words(log);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    w.httpd().one_process().threads(4).wrapper(&words)
}

/// Waits until this name has addresses.
#[track_caller]
fn wait_found(httpd: &Httpd, name: &str) {
    let line = format!("name {name}: addresses ");
    eventually(Duration::from_secs(30), || httpd.logged(&line) > 0);
}

/// A httpd with the name that moves and the pool, that knows all names.
fn moving(w: &mut World, log: &Path) -> Httpd {
    w.dns.set("c.test", answers(&["127.0.0.4"], 600));
    w.dns.set("d.test", answers(&["127.0.0.5"], 600));
    let text = format!("{POOL}\n{QUICK_TTL}");
    let httpd = troubled(watched(w, log).live(&text)).start();
    for name in ["app.test", "c.test", "d.test"] {
        wait_found(&httpd, name);
    }
    httpd
}

/// One httpd (a single process) that serves all requests while the name moves so often, and a member of a pool dies
/// after each [`BETWEEN`] moves.
fn run(w: &mut World, moves: usize, requests: usize) -> Verdict {
    let (a, b) = backends();
    let (c, d) = (backend("C", "127.0.0.4"), backend("D", "127.0.0.5"));
    set_now(w, 0);
    let log = w.dir.join(format!("memcheck-{moves}.log"));
    let mut httpd = moving(w, &log);
    wait_probed(&[&c, &d]);
    // New connections: under valgrind the event MPM soon thinks that it is busy and then ends kept-alive ones.
    let both = ["/", "/mortal/"].map(Request::get);
    let load = httpd.load().requests(&both).clients(3);
    let load = load.per_connection(1).pause(Duration::ZERO);
    let load = load.timeout(LIMIT).start();
    for n in 1..=moves {
        set_now(w, n);
        wait_moved(&httpd, n);
        match n % BETWEEN {
            5 => c.kill(),
            12 => c.revive(),
            _ => {}
        }
    }
    let served = || a.requests() + b.requests() + c.requests() + d.requests();
    let end = Instant::now() + Duration::from_secs(120);
    while served() < requests && Instant::now() < end {
        pause(0.05);
    }
    let records = load.stop();
    records.assert_clean(Duration::from_secs(30));
    assert!(records.len() >= requests, "only {} requests", records.len());
    assert!(
        [&a, &b, &c, &d].iter().all(|one| one.requests() > 0),
        "all were used"
    );
    println!(
        "figure: {} requests, {moves} moves, C went down {} times",
        records.len(),
        downs(&httpd, C)
    );
    httpd.stop();
    forget_shared_memory();
    Verdict::read(&log)
}

/// One httpd whose members die in every way, so many times.
fn rounds_of_deaths(w: &mut World, rounds: usize) -> Verdict {
    let (a, b) = backends();
    set_members(w);
    let log = w.dir.join(format!("memcheck-deaths-{rounds}.log"));
    let text = pool("liveinterval=200ms livetimeout=700ms liverise=1");
    let builder = troubled(watched(w, &log).live(&text)).expect("[proxy_http:warn]");
    let mut httpd = builder.start();
    for name in ["one.test", "two.test"] {
        wait_found(&httpd, name);
    }
    wait_probed(&[&a, &b]);
    for _ in 0..rounds {
        let ways = [
            Mode::Die(Death::Header),
            Mode::Die(Death::HeaderClose),
            Mode::Die(Death::Reset),
            Mode::Die(Death::Close),
            Mode::CloseReused,
        ];
        for way in ways {
            a.mode(way);
            assert_rescued(&(0..4).map(|_| httpd.get("/")).collect::<Vec<_>>());
            a.revive();
            // Three failures in a row would be its own.
            eventually(Duration::from_secs(20), || httpd.get("/").backend == "A");
        }
        dies_with_requests(w, &httpd, &a, |_| a.kill(), |_| {});
        dies_with_requests(w, &httpd, &a, |w| w.vanish(IP_A), |w| w.appear(IP_A));
    }
    let asked = a.requests() + b.requests();
    httpd.stop();
    forget_shared_memory();
    println!("figure: {asked} requests at the backends in {rounds} rounds");
    let sent = rounds * (5 * 4 + 2 * 4);
    assert!(
        asked >= sent + rounds * RESCUES,
        "{asked} instead of {sent}: hardly any rescues"
    );
    Verdict::read(&log)
}

/// A httpd of one process leaves its balancers' shared memory behind, with and without the module.
fn forget_shared_memory() {
    for file in std::fs::read_dir("/dev/shm").expect("/dev/shm").flatten() {
        std::fs::remove_file(file.path()).expect("a file of this scenario");
    }
}

/// Requests are under way on both members when A dies; none fails.
fn dies_with_requests(
    w: &mut World,
    httpd: &Httpd,
    a: &Backend,
    die: impl Fn(&mut World),
    back: impl Fn(&mut World),
) {
    let before = a.requests();
    let slow = Request::get("/?delay=1500");
    let pending = all_at_once(httpd.addr(), &slow, 4, LIMIT);
    eventually(Duration::from_secs(20), || a.requests() >= before + 2);
    die(w);
    let end = |one: live_kit::Pending| one.join().expect("a client").expect("an answer");
    assert_rescued(&pending.into_iter().map(end).collect::<Vec<_>>());
    wait_down(httpd, ONE);
    back(w);
    a.revive();
    wait_up(httpd, ONE);
}

#[track_caller]
fn assert_rescued(replies: &[Reply]) {
    let bad = replies.iter().find(|r| r.status != 200);
    assert!(bad.is_none(), "not rescued: {bad:?}");
}

fn words(log: &Path) -> Vec<String> {
    let known = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/valgrind.supp");
    let mut words: Vec<String> = [
        "valgrind",
        "--tool=memcheck",
        "--fair-sched=try",
        "--vgdb=no",
        "--leak-check=full",
        "--show-leak-kinds=definite",
        // Leaks are compared, not counted as errors.
        "--errors-for-leak-kinds=none",
        "--keep-debuginfo=yes",
        "--num-callers=30",
        "--error-limit=no",
    ]
    .map(String::from)
    .to_vec();
    words.push(format!("--suppressions={}", known.display()));
    words.push(format!("--log-file={}", log.display()));
    words
}

impl Verdict {
    fn read(log: &Path) -> Verdict {
        let text = std::fs::read_to_string(log)
            .unwrap_or_else(|e| panic!("no log of valgrind (Debian package valgrind): {e}"));
        // "==pid== text"; an empty text ends a block.
        let lines = text
            .lines()
            .map(|l| l.splitn(3, "==").nth(2).unwrap_or("").trim_end());
        let lines: Vec<&str> = lines.collect();
        let blocks = lines.split(|l| l.is_empty()).map(|b| b.join("\n"));
        let errors: Vec<String> = blocks.filter(|b| is_error(b)).collect();
        let summary = number(&text, "ERROR SUMMARY: ").expect("valgrind ended in order");
        assert_eq!(
            summary > 0,
            !errors.is_empty(),
            "the log is read wrongly:\n{text}"
        );
        // Not written when everything was given back.
        let lost = number(&text, "definitely lost: ").unwrap_or(0);
        let kept = number(&text, "in use at exit: ").expect("valgrind looked for leaks");
        Verdict {
            errors,
            lost,
            kept,
            text,
        }
    }
}

/// A block that shows where an error happened, not one about lost memory.
fn is_error(block: &str) -> bool {
    block.lines().any(|l| l.starts_with("    at 0x")) && !block.contains("definitely lost")
}

/// The number behind the last `label`, commas left out.
fn number(text: &str, label: &str) -> Option<u64> {
    let rest = text.rsplit_once(label)?.1;
    let digits = rest
        .chars()
        .filter(|c| *c != ',')
        .take_while(char::is_ascii_digit);
    digits.collect::<String>().parse().ok()
}

#[test]
fn errors_and_losses_are_read() {
    let block = " Invalid read of size 8\n    at 0x1: f (x.c:1)";
    assert!(
        is_error(block) && !is_error(" 8 bytes in 1 blocks are definitely lost\n    at 0x1: f")
    );
    assert!(!is_error(" Command: httpd"));
    assert_eq!(
        number("definitely lost: 1,234 bytes in 2", "definitely lost: "),
        Some(1234)
    );
    assert_eq!(number("", "definitely lost: "), None);
}
