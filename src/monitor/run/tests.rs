use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use hickory_resolver::proto::op::ResponseCode;

use super::super::names::MAX_FLYING;
use super::super::random::Random;
use super::super::resolver::SystemFiles;
use super::super::resolver::test_server::{Asked, DnsServer, Reply, ips};
use super::*;
use crate::board::{Capacity, Counter, NameRecord, Source};
use crate::config::resolver::Servers;
use crate::logic::name;

mod failures;
mod probes;

const SERVFAIL: Reply = Reply::Code(ResponseCode::ServFail);

/// Surroundings that remember; the clock goes on from one to the next.
struct Fake {
    start: Instant,
    lines: Mutex<Vec<(Level, String)>>,
    published: AtomicUsize,
}

impl Fake {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            lines: Mutex::default(),
            published: AtomicUsize::new(0),
        }
    }

    /// The lines that an administrator sees.
    fn lines(&self) -> Vec<String> {
        let lines = self.lines.lock().unwrap();
        let seen = lines.iter().filter(|(level, _)| *level <= Level::Info);
        seen.map(|(_, text)| text.clone()).collect()
    }

    fn published(&self) -> usize {
        self.published.load(Ordering::SeqCst)
    }
}

impl Surroundings for Fake {
    fn now_ms(&self) -> u64 {
        1_000_000 + u64::try_from(self.start.elapsed().as_millis()).unwrap()
    }

    fn unix_ms(&self) -> u64 {
        self.now_ms()
    }

    fn log(&self, level: Level, text: &str) {
        assert!(!text.contains('\n'), "{text}");
        self.lines.lock().unwrap().push((level, text.to_owned()));
    }

    fn published(&self) {
        self.published.fetch_add(1, Ordering::SeqCst);
    }

    fn descriptors(&self) -> u64 {
        1_024
    }

    fn kick_fd(&self) -> Option<BorrowedFd<'static>> {
        None
    }
}

fn board(names: u32) -> Board {
    let capacity = Capacity {
        names,
        targets: 64,
        workers: 4,
        children: 4,
        late: 0,
    };
    let len = Board::words_needed(capacity);
    let words: Vec<AtomicU64> = (0..len).map(|_| AtomicU64::new(0)).collect();
    Board::format(words.leak(), capacity).unwrap()
}

fn task(board: Board, id: u32, name: &str) -> NameTask {
    let task = NameTask {
        id: NameId(id),
        tag: Tag::new(name, 1),
        name: name.to_owned(),
        want: Families::ANY,
        ttl_min: Duration::from_millis(200),
        ttl_max: Duration::from_secs(3_600),
        epochs: Epochs::default(),
    };
    board.assign(task.id, task.tag, name);
    task
}

fn plan(board: Board, server: &DnsServer, names: &[&str]) -> Plan {
    let tasks = names
        .iter()
        .zip(0..)
        .map(|(name, id)| task(board, id, name));
    Plan {
        names: tasks.collect(),
        targets: Vec::new(),
        resolver: ResolverConfig {
            servers: Servers::Explicit(vec![server.addr]),
            timeout: Some(Duration::from_millis(500)),
            attempts: Some(1),
        },
    }
}

/// Runs for a while; checks that the stop is prompt.
async fn run_for(plan: &Plan, board: Board, env: &Fake, ms: u64) {
    run_resolver_for(plan, Resolver::new(&plan.resolver), board, env, ms).await;
}

async fn run_resolver_for(plan: &Plan, resolver: Resolver, board: Board, env: &Fake, ms: u64) {
    let with = With {
        resolver,
        connector: connector::connector(),
    };
    let (stop, stopped) = oneshot::channel();
    let stopper = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(ms)).await;
        stop.send(()).unwrap();
        Instant::now()
    });
    run_with(plan, with, board, env, stopped).await;
    let took = stopper.await.unwrap().elapsed();
    assert!(took < Duration::from_millis(100), "stopped after {took:?}");
}

fn record(board: Board, task: &NameTask) -> NameRecord {
    board.read(task.id, task.tag).unwrap().record
}

fn shows(record: &NameRecord) -> String {
    let list: Vec<_> = record.addrs.iter().map(ToString::to_string).collect();
    list.join(" ")
}

fn count(server: &DnsServer, v6: bool) -> usize {
    server.asked().iter().filter(|asked| asked.v6 == v6).count()
}

/// Addresses with a TTL of zero, so that the lower bound counts.
fn fleeting(list: &[&str]) -> Reply {
    let Reply::Addresses(_, ips) = ips(list) else {
        unreachable!()
    };
    Reply::Addresses(0, ips)
}

#[tokio::test]
async fn one_question_per_family_and_ttl() {
    let (board, env) = (board(4), Fake::new());
    let server = DnsServer::new(|_| fleeting(&["10.0.0.1", "fd00::1"]));
    let plan = plan(board, &server, &["app.test"]);
    // At 0, then every 200 to 220 ms.
    run_for(&plan, board, &env, 1_150).await;
    for v6 in [false, true] {
        let asked = count(&server, v6);
        assert!((4..=6).contains(&asked), "{asked} questions");
    }
    assert_eq!(board.get(Counter::Queries) as usize, server.count());
    assert_eq!(board.get(Counter::AddressChanges), 1);
    assert_eq!(board.get(Counter::LookupFailures), 0);
    // Refreshes wake nobody.
    assert_eq!((env.published(), board.generation()), (1, 1));
    let record = record(board, &plan.names[0]);
    assert_eq!(shows(&record), "10.0.0.1 fd00::1");
    assert_eq!((record.source, record.ttl_s), (Source::Dns, 1));
    let line = format!(
        "name app.test: addresses none -> 10.0.0.1, fd00::1 (TTL 1 s, by {})",
        server.addr
    );
    assert_eq!(env.lines(), [line]);
}

#[tokio::test]
async fn a_move_is_on_the_board_after_the_ttl() {
    let (board, env) = (board(4), Fake::new());
    let server = DnsServer::new(|_| fleeting(&["10.0.0.1"]));
    let plan = plan(board, &server, &["app.test"]);
    run_for(&plan, board, &env, 50).await;
    server.set(|_| fleeting(&["10.0.0.3", "10.0.0.2"]));
    let version = board.version(plan.names[0].id);
    run_for(&plan, board, &env, 350).await;
    assert!(board.version(plan.names[0].id) > version);
    assert_eq!(shows(&record(board, &plan.names[0])), "10.0.0.2 10.0.0.3");
    let last = env.lines().pop().unwrap();
    assert!(last.starts_with("name app.test: addresses 10.0.0.1 -> 10.0.0.2, 10.0.0.3 (TTL 1 s"));
    assert_eq!((env.lines().len(), env.published()), (2, 2));
}

#[tokio::test]
async fn a_take_over_keeps_the_schedule() {
    let (board, env) = (board(4), Fake::new());
    let server = DnsServer::new(|asked| match asked.name.as_str() {
        "bad.test." => SERVFAIL,
        _ => ips(&["10.0.0.1", "fd00::1"]),
    });
    let names = ["a.test", "b.test", "bad.test"];
    let plan = plan(board, &server, &names);
    run_for(&plan, board, &env, 100).await;
    let (asked, lines) = (server.count(), env.lines());
    assert_eq!(asked, 6);
    let before: Vec<_> = plan.names.iter().map(|task| record(board, task)).collect();
    for _ in 0..5 {
        run_for(&plan, board, &env, 50).await;
    }
    assert_eq!((server.count(), env.lines()), (asked, lines));
    let after: Vec<_> = plan.names.iter().map(|task| record(board, task)).collect();
    assert_eq!(before, after);
}

#[tokio::test]
async fn many_names_are_no_herd() {
    let (board, env) = (board(300), Fake::new());
    let late = |_: &Asked| {
        let reply = ips(&["10.0.0.1", "fd00::1"]);
        Reply::Late(Duration::from_millis(100), Box::new(reply))
    };
    let server = DnsServer::new(late);
    let names: Vec<String> = (0..200).map(|n| format!("n{n}.test")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let plan = plan(board, &server, &names);
    run_for(&plan, board, &env, 1_000).await;
    assert_eq!(server.count(), 400);
    assert!(
        server.most_open() <= 2 * MAX_FLYING,
        "{}",
        server.most_open()
    );
    for task in &plan.names {
        assert_eq!(shows(&record(board, task)), "10.0.0.1 fd00::1");
    }
}

#[tokio::test]
async fn it_stops_at_once_in_the_middle_of_a_look_up() {
    let (board, env) = (board(4), Fake::new());
    let server = DnsServer::new(|_| Reply::Silence);
    let plan = plan(board, &server, &["app.test"]);
    run_for(&plan, board, &env, 100).await;
    assert_eq!(record(board, &plan.names[0]), NameRecord::default());
    // The other end of the channel gone is a stop, too.
    let (stop, stopped) = oneshot::channel();
    drop(stop);
    let start = Instant::now();
    run(&plan, board, &env, stopped).await;
    assert!(start.elapsed() < Duration::from_millis(100));
}

#[tokio::test]
async fn it_gives_signs_of_life() {
    let (board, env) = (board(4), Fake::new());
    let server = DnsServer::new(|_| Reply::Silence);
    let plan = plan(board, &server, &["app.test"]);
    board.set_leader(7, env.now_ms());
    run_for(&plan, board, &env, 900).await;
    let age = env.now_ms() - board.leader().heartbeat_ms;
    assert!(age <= 400, "{age} ms");
}

#[tokio::test]
async fn a_slot_of_another_name_is_left_alone() {
    let (board, env) = (board(4), Fake::new());
    let server = DnsServer::new(move |asked| {
        // A reload gives the slot away while the question is under way.
        board.assign(NameId(0), Tag::new("new.test", 2), "new.test");
        match asked.v6 {
            true => Reply::Silence,
            false => fleeting(&["10.6.6.6"]),
        }
    });
    let plan = plan(board, &server, &["old.test"]);
    run_for(&plan, board, &env, 900).await;
    let new = board.read(NameId(0), Tag::new("new.test", 2)).unwrap();
    assert_eq!(new.record, NameRecord::default());
    assert_eq!(
        (server.count(), env.lines(), env.published()),
        (2, Vec::new(), 0)
    );
}

#[tokio::test]
async fn the_hosts_file_is_followed() {
    let (board, env) = (board(4), Fake::new());
    let server = DnsServer::new(|_| ips(&["10.0.0.1"]));
    let plan = plan(board, &server, &["10.0.0.77", "app.localhost"]);
    let dir = std::env::temp_dir().join(format!("live-run-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let files = SystemFiles {
        resolv_conf: dir.join("resolv.conf"),
        hosts: dir.join("hosts"),
    };
    let put = |path: &PathBuf, text: &str| std::fs::write(path, text).unwrap();
    let resolver = || Resolver::with_files(&ResolverConfig::default(), &files);
    put(&files.hosts, "127.0.0.8 app.localhost\n");
    run_resolver_for(&plan, resolver(), board, &env, 100).await;
    assert_eq!(shows(&record(board, &plan.names[0])), "10.0.0.77");
    assert_eq!(shows(&record(board, &plan.names[1])), "127.0.0.8");
    // It changed while nobody led, and it changes while somebody leads.
    put(&files.hosts, "127.0.0.9 app.localhost\n");
    run_resolver_for(&plan, resolver(), board, &env, 100).await;
    assert_eq!(shows(&record(board, &plan.names[1])), "127.0.0.9");
    let hosts = files.hosts.clone();
    let change = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        std::fs::write(&hosts, "# no entry\n").unwrap();
    });
    run_resolver_for(&plan, resolver(), board, &env, 1_400).await;
    change.await.unwrap();
    let known = record(board, &plan.names[1]);
    assert_eq!(shows(&known), "127.0.0.1 ::1");
    assert_eq!((known.source, server.count()), (Source::Hosts, 0));
    let last = env.lines().pop().unwrap();
    let text = "name app.localhost: addresses 127.0.0.9 -> 127.0.0.1, ::1 (from the hosts file)";
    assert_eq!(last, text);
    std::fs::remove_dir_all(&dir).unwrap();
}

#[tokio::test]
async fn sixty_addresses() {
    let (board, env) = (board(4), Fake::new());
    let all: Vec<IpAddr> = (0..60).map(|n| IpAddr::from([10, 0, 0, n])).collect();
    let server = DnsServer::new(move |_| Reply::Addresses(5, all.clone()));
    let plan = plan(board, &server, &["app.test"]);
    run_for(&plan, board, &env, 100).await;
    assert_eq!(record(board, &plan.names[0]).addrs.len(), 60);
}

#[test]
fn random_numbers_differ() {
    let mut random = Random::seeded();
    let some: std::collections::HashSet<u32> = (0..100).map(|_| random.draw()).collect();
    assert!(some.len() > 95);
}
