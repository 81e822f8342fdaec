//! The board between processes: a writer is killed (SIGKILL) again and again at
//! random instants while readers look. Every record read is one that was written
//! whole, none is older than one seen before, and the next writer goes on.

use std::collections::HashMap;
use std::env;
use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::net::Ipv6Addr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{self, Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mod_proxy_live::board::{
    Board, Capacity, Counter, FamilyState, MAX_ADDRS, NameId, NameRecord, Tag, TargetId,
    TargetRecord,
};
use mod_proxy_live::ffi::shm::map_fd;
use mod_proxy_live::logic::addr::Addr;
use mod_proxy_live::logic::health::{AddrHealth, Reason, State};

const KILLS: u64 = 250;
/// Names on the board: all records of the first are long; those of the second
/// differ in length, and its slot is reassigned now and then.
const IDS: [NameId; 2] = [NameId(0), NameId(1)];
/// The one target, whose records are of all lengths.
const TARGET: TargetId = TargetId(0);
const CAPACITY: Capacity = Capacity {
    names: 2,
    targets: 1,
    workers: 1,
    children: 1,
    late: 1,
};
/// Tells a started copy of this program where the board is.
const BOARD_AT: &str = "BOARD_KILL_AT";
const TEST: &str = "killed_writers_leave_whole_records";
// The writer counts here before and after each write.
const STARTED: Counter = Counter::Queries;
const FINISHED: Counter = Counter::AddressChanges;

#[test]
fn killed_writers_leave_whole_records() {
    if let Some(path) = env::var_os(BOARD_AT) {
        write_for_ever(&path);
    }
    let (file, board) = make_board();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers = [0, 1].map(|_| scope.spawn(|| read_until(&board, &done)));
        let stop = StopReaders(&done);
        let inside = kill_in_a_loop(&board, &file);
        drop(stop);
        let read: Vec<u64> = readers.map(|reader| reader.join().unwrap()).to_vec();
        let records = board.get(FINISHED);
        println!("{KILLS} kills, {inside} inside a write; {records} written, {read:?} read");
        assert!(inside > KILLS / 10, "the kills hardly ever hit a write");
        assert!(read.iter().all(|n| *n > KILLS), "too few reads to judge");
    });
}

/// Ends the readers also when the test fails.
struct StopReaders<'a>(&'a AtomicBool);

impl Drop for StopReaders<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The number of kills that hit a writer between start and end of a write.
fn kill_in_a_loop(board: &Board, file: &OwnedFd) -> u64 {
    let mut inside = 0;
    let mut check = Checker::default();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..KILLS {
        let before = board.get(FINISHED);
        let mut writer = Writer(start_writer(file));
        let waited = Instant::now();
        while board.get(FINISHED) < before + 20 {
            assert!(waited.elapsed() < Duration::from_secs(60), "a stuck slot");
            std::thread::sleep(Duration::from_micros(100));
        }
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        if round % 4 == 3 {
            board.assign(IDS[1], Tag::new("second", round), "second");
        }
        std::thread::sleep(Duration::from_micros(random % 2000));
        let status = writer.kill();
        assert_eq!(status.signal(), Some(9), "the writer failed: {status}");
        inside += board.get(STARTED) - board.get(FINISHED);
        board.add(FINISHED, board.get(STARTED) - board.get(FINISHED));
        for id in IDS {
            let (tag, _) = board.owner(id).unwrap();
            assert!(check.read(board, id, tag), "unreadable without a writer");
        }
        assert!(check.read_target(board), "unreadable without a writer");
    }
    inside
}

struct Writer(Child);

impl Writer {
    fn kill(&mut self) -> process::ExitStatus {
        self.0.kill().unwrap();
        self.0.wait().unwrap()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Nothing to kill any more when the loop went well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A board in a file without a name: nothing of it stays behind.
fn make_board() -> (OwnedFd, Board) {
    let path = env::temp_dir().join(format!("board-kill-{}", process::id()));
    let mut options = OpenOptions::new();
    let file = options
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)
        .unwrap();
    fs::remove_file(&path).unwrap();
    let words = Board::words_needed(CAPACITY);
    file.set_len(8 * words as u64).unwrap();
    let file = OwnedFd::from(file);
    let board = Board::format(map_fd(&file, words).unwrap(), CAPACITY).unwrap();
    board.assign(IDS[0], Tag::new("first", 0), "first");
    board.assign(IDS[1], Tag::new("second", 0), "second");
    board.assign_target(TARGET, target_tag(), "tcp app.test:80");
    (file, board)
}

fn start_writer(file: &OwnedFd) -> Child {
    let at = format!("/proc/{}/fd/{}", process::id(), file.as_raw_fd());
    Command::new(env::current_exe().unwrap())
        .args(["--exact", TEST, "--nocapture"])
        .env(BOARD_AT, at)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// What the killed process does: it goes on where the board says, and writes.
fn write_for_ever(path: &OsStr) -> ! {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let words = file.metadata().unwrap().len() as usize / 8;
    let board = Board::open(map_fd(&file.into(), words).unwrap()).unwrap();
    loop {
        for id in IDS {
            write_name(&board, id);
        }
        write_target(&board);
    }
}

/// Writes a hundred records of a name, from where the board says.
fn write_name(board: &Board, id: NameId) {
    let (tag, _) = board.owner(id).unwrap();
    // Another tag already: look again later.
    let Some(read) = board.read(id, tag) else {
        assert_ne!(board.owner(id).unwrap().0, tag, "unreadable for its writer");
        return;
    };
    let last = read.record.expires_ms;
    for n in last + 1..last + 100 {
        board.add(STARTED, 1);
        let _ = board.write(id, tag, &record(id, tag, n));
        board.add(FINISHED, 1);
    }
}

fn write_target(board: &Board) {
    let read = board.read_target(TARGET, target_tag());
    let last = number(&read.expect("unreadable for its writer").record);
    for n in last + 1..last + 100 {
        board.add(STARTED, 1);
        let written = board.write_target(TARGET, target_tag(), &target_record(n));
        written.expect("nobody else writes");
        board.add(FINISHED, 1);
    }
}

fn target_tag() -> Tag {
    Tag::new("tcp app.test:80", 0)
}

/// Record number `n` of the target: every part of each address follows from it.
fn target_record(n: u64) -> TargetRecord {
    let count = [MAX_ADDRS, 1, 8, 9, 40][n as usize % 5];
    let health = |i: usize| AddrHealth {
        state: [State::Unknown, State::Up, State::Down][(n as usize + i) % 3],
        since_ms: n,
        reason: Some(Reason::Unreachable(n as u16)),
        held_ms: n + 1,
        fails: n as u32,
        due_ms: n + i as u64,
        flaps_ms: !n,
        ..AddrHealth::new(Addr::v6(Ipv6Addr::from_bits(i as u128), n as u32))
    };
    TargetRecord {
        port: n as u16,
        addrs: (0..count).map(health).collect(),
    }
}

/// The number of a target's record, 0 for the empty one.
fn number(record: &TargetRecord) -> u64 {
    record.addrs.first().map_or(0, |health| health.since_ms)
}

/// Record number `n`: every part of it follows from the arguments.
fn record(id: NameId, tag: Tag, n: u64) -> NameRecord {
    let count = match (id.0, n % 4) {
        (0, _) | (_, 0) => MAX_ADDRS,
        (_, 1) => 0,
        (_, odd) => 10 * odd as usize,
    };
    let bits = |i: usize| (u128::from(n) << 64) + u128::from(tag.0) + i as u128;
    let family = |x: u64| FamilyState {
        good_ms: n ^ x,
        failing_since_ms: tag.0,
        retry_ms: n + x,
        failures: n as u32,
        error: id.0,
        error_ms: x,
    };
    NameRecord {
        addrs: (0..count)
            .map(|i| Addr::v6(Ipv6Addr::from_bits(bits(i)), i as u32))
            .collect(),
        v4: family(4),
        v6: family(6),
        ttl_s: (n >> 3) as u32,
        expires_ms: n,
        source: Default::default(),
        asked_ms: n,
        server: None,
    }
}

/// Reads until `done` and returns the number of records read.
fn read_until(board: &Board, done: &AtomicBool) -> u64 {
    let mut read = 0;
    let mut check = Checker::default();
    while !done.load(Ordering::Relaxed) {
        for id in IDS {
            if let Some((tag, _)) = board.owner(id) {
                read += u64::from(check.read(board, id, tag));
            }
        }
        read += u64::from(check.read_target(board));
    }
    read
}

/// The newest that one reader has seen: number and version per tag.
#[derive(Default)]
struct Checker {
    seen: HashMap<Tag, (u64, u64)>,
}

impl Checker {
    /// Reads one slot and checks the record; false when nothing was read.
    fn read(&mut self, board: &Board, id: NameId, tag: Tag) -> bool {
        let Some(read) = board.read(id, tag) else {
            return false;
        };
        let n = read.record.expires_ms;
        if n > 0 {
            assert_eq!(read.record, record(id, tag, n), "not written whole");
        } else {
            assert_eq!(read.record, NameRecord::default());
        }
        self.compare(tag, n, read.version);
        true
    }

    /// As [`Checker::read`], for the target.
    fn read_target(&mut self, board: &Board) -> bool {
        let Some(read) = board.read_target(TARGET, target_tag()) else {
            return false;
        };
        let n = number(&read.record);
        if n > 0 {
            assert_eq!(read.record, target_record(n), "not written whole");
        } else {
            assert_eq!(read.record, TargetRecord::default());
        }
        self.compare(target_tag(), n, read.version);
        true
    }

    fn compare(&mut self, tag: Tag, n: u64, version: u64) {
        let seen = self.seen.entry(tag).or_insert((n, version));
        assert!(seen.0 <= n && seen.1 <= version, "older than before");
        assert_eq!(seen.0 == n, seen.1 == version, "one version, one record");
        *seen = (n, version);
    }
}
