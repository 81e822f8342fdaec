//! Memory: under load and many moves nothing invalid is touched, and nothing is lost, as valgrind sees it.

use crate::common::quick_moves::*;
use crate::common::*;
use live_kit::{World, eventually, pause, scenario_within};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Requests of one run.
const REQUESTS: usize = 2_000;
/// valgrind runs one thread at a time, some twenty times slower.
const LIMIT: Duration = Duration::from_secs(240);
/// A leak per move would lose at least this much more after 45 further moves.
const LOST: u64 = 45 * 8;
/// What stays allocated differs by some buffers; a list that grows with each move does so by more.
const KEPT: u64 = 45 * 64;

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
fn two_thousand_requests_and_fifty_moves() {
    scenario_within(LIMIT, |w: &mut World| {
        let (few, many) = (run(w, 5), run(w, 50));
        for verdict in [&few, &many] {
            assert!(verdict.errors.is_empty(), "{}", verdict.errors.join("\n"));
        }
        let limits = [
            ("lost", few.lost, many.lost, LOST),
            ("kept", few.kept, many.kept, KEPT),
        ];
        for (what, few, more, limit) in limits {
            assert!(
                more < few + limit,
                "5 moves {what} {few} bytes, 50 moves {more}:\n{}",
                many.text
            );
        }
    });
}

/// One httpd (a single process) that serves all requests while the name moves so often.
fn run(w: &mut World, moves: usize) -> Verdict {
    let (a, b) = backends();
    set_now(w, 0);
    let log = w.dir.join(format!("memcheck-{moves}.log"));
    let words = words(&log);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut httpd = w
        .httpd()
        .one_process()
        .threads(4)
        .live(QUICK_TTL)
        .wrapper(&words)
        .start();
    eventually(Duration::from_secs(30), || {
        httpd.logged("name app.test: addresses ") > 0
    });
    // New connections: under valgrind the event MPM soon thinks that it is busy and then ends kept-alive ones.
    let load = httpd
        .load()
        .clients(3)
        .per_connection(1)
        .timeout(LIMIT)
        .start();
    for n in 1..=moves {
        set_now(w, n);
        wait_moved(&httpd, n);
    }
    let end = Instant::now() + Duration::from_secs(60);
    while a.requests() + b.requests() < REQUESTS && Instant::now() < end {
        pause(0.05);
    }
    let records = load.stop();
    records.assert_clean(Duration::from_secs(30));
    assert!(records.len() >= REQUESTS, "only {} requests", records.len());
    assert!(
        a.requests() > 0 && b.requests() > 0,
        "both addresses were used"
    );
    httpd.stop();
    Verdict::read(&log)
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
