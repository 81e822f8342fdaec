//! The prober in the leader's loop: real sockets, real time.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use super::super::super::probe::{Kind, Source as From};
use super::*;
use crate::board::{Kick, TargetId};
use crate::logic::addr::Addr;
use crate::logic::health::{AddrHealth, Reason, Rules, State};

const RULES: Rules = Rules {
    interval_ms: 200,
    timeout_ms: 1_000,
    fall: 2,
    rise: 2,
};

fn target(board: Board, id: u32, label: &str, source: From) -> TargetTask {
    let key = format!("tcp {label}");
    let (_, port) = label.rsplit_once(':').unwrap();
    let (id, tag) = (TargetId(id), Tag::new(&key, 1));
    board.assign_target(id, tag, &key);
    TargetTask {
        id,
        tag,
        key,
        label: label.to_owned(),
        source,
        port: port.parse().unwrap(),
        kind: Kind::Tcp,
        rules: RULES,
        epochs: Epochs::default(),
    }
}

/// One target, an address of this machine.
fn alone(board: Board, to: SocketAddr) -> Plan {
    let addr = Addr {
        ip: to.ip(),
        scope: 0,
    };
    Plan {
        targets: vec![target(board, 0, &to.to_string(), From::Fixed(addr))],
        ..Plan::default()
    }
}

fn listen(at: &str) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(at).unwrap();
    let at = listener.local_addr().unwrap();
    (listener, at)
}

fn health(board: Board, plan: &Plan) -> AddrHealth {
    let task = &plan.targets[0];
    let mut known = board.read_target(task.id, task.tag).unwrap().record;
    known.addrs.remove(0)
}

/// Takes connections until the test ends: otherwise the queue of the listener would be full.
fn accept(listener: TcpListener) -> tokio::task::JoinHandle<()> {
    listener.set_nonblocking(true).unwrap();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    tokio::spawn(async move {
        loop {
            drop(listener.accept().await);
        }
    })
}

#[tokio::test]
async fn a_listener_goes_and_comes_back() {
    let (board, env) = (board(4), Fake::new());
    let (listener, at) = listen("127.0.0.4:0");
    let plan = alone(board, at);
    let accepting = accept(listener);
    run_for(&plan, board, &env, 700).await;
    assert_eq!(health(board, &plan).state, State::Up);
    let probes = board.get(Counter::Probes);
    assert!((2..=4).contains(&probes), "{probes}");
    assert!(env.lines().is_empty(), "{:?}", env.lines());
    accepting.abort();
    assert!(accepting.await.unwrap_err().is_cancelled());
    run_for(&plan, board, &env, 700).await;
    let known = health(board, &plan);
    assert_eq!(
        (known.state, known.reason),
        (State::Down, Some(Reason::Refused))
    );
    let again = accept(TcpListener::bind(at).unwrap());
    run_for(&plan, board, &env, 900).await;
    assert_eq!(health(board, &plan).state, State::Up);
    again.abort();
    let lines = env.lines();
    assert!(
        lines[0].starts_with(&format!(
            "target {at}: 127.0.0.4 up -> down (connection refused; 2"
        )),
        "{lines:?}"
    );
    assert!(
        lines[1].starts_with(&format!(
            "target {at}: 127.0.0.4 down -> up (2 probes answered"
        )),
        "{lines:?}"
    );
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(board.get(Counter::HealthChanges), 2);
    // Each change wakes the children.
    assert!(env.published() >= 3);
    assert_eq!(env.published(), board.generation() as usize);
}

/// The process dies and DNS says where it went: asked for although the TTL is an hour.
#[tokio::test]
async fn a_dead_address_has_dns_asked_again() {
    let (board, env) = (board(4), Fake::new());
    let (listener, at) = listen("127.0.0.5:0");
    let server = DnsServer::new(|asked| match asked.v6 {
        true => Reply::Silence,
        false => ips(&["127.0.0.5"]),
    });
    let mut plan = plan(board, &server, &["app.test"]);
    let label = format!("app.test:{}", at.port());
    plan.targets = vec![target(board, 0, &label, From::Name(0))];
    let accepting = accept(listener);
    run_for(&plan, board, &env, 300).await;
    assert_eq!(health(board, &plan).state, State::Up);
    assert_eq!(count(&server, false), 1);
    accepting.abort();
    assert!(accepting.await.unwrap_err().is_cancelled());
    let accepting = accept(TcpListener::bind(("127.0.0.6", at.port())).unwrap());
    server.set(|asked| match asked.v6 {
        true => Reply::Silence,
        false => ips(&["127.0.0.6"]),
    });
    run_for(&plan, board, &env, 800).await;
    assert!((2..=3).contains(&count(&server, false)));
    let known = health(board, &plan);
    assert_eq!(
        (known.addr.to_string(), known.state),
        ("127.0.0.6".to_owned(), State::Up)
    );
    accepting.abort();
}

/// The same while DNS has failed for so long that the next try is far away.
#[tokio::test]
async fn a_dead_address_has_failing_dns_asked_again() {
    let (board, env) = (board(4), Fake::new());
    let (listener, at) = listen("127.0.0.9:0");
    let server = DnsServer::new(|_| ips(&["127.0.0.9"]));
    let mut plan = plan(board, &server, &["app.test"]);
    plan.names[0].want = Families::V4;
    let label = format!("app.test:{}", at.port());
    plan.targets = vec![target(board, 0, &label, From::Name(0))];
    let accepting = accept(listener);
    run_for(&plan, board, &env, 300).await;
    let task = &plan.names[0];
    let mut known = record(board, task);
    known.v4.failing_since_ms = 1;
    known.v4.failures = 9;
    known.v4.retry_ms = env.now_ms() + 30_000;
    board.write(task.id, task.tag, &known).unwrap();
    run_for(&plan, board, &env, 500).await;
    assert_eq!(count(&server, false), 1, "not before its time");
    accepting.abort();
    assert!(accepting.await.unwrap_err().is_cancelled());
    server.set(|_| SERVFAIL);
    run_for(&plan, board, &env, 800).await;
    let asked = count(&server, false) - 1;
    assert!((1..=2).contains(&asked), "{asked}: at most once a second");
    let after = record(board, task);
    assert_eq!(shows(&after), "127.0.0.9", "it fails on");
    assert!(after.v4.error_ms > known.v4.error_ms);
    let pace = |r: &NameRecord| (r.v4.failures, r.v4.retry_ms);
    assert_eq!(pace(&after), pace(&known), "and its turn is the same");
}

/// Nobody is left of the configuration that wanted it.
#[tokio::test]
async fn what_no_child_uses_is_given_up() {
    let (board, env) = (board(4), Fake::new());
    let (listener, at) = listen("127.0.0.10:0");
    let accepting = accept(listener);
    let server = DnsServer::new(|_| fleeting(&["10.0.0.1"]));
    let mut plan = plan(board, &server, &["app.test", "gone.test"]);
    plan.targets = alone(board, at).targets;
    let past = Epochs {
        since: 2,
        until: Some(3),
    };
    (plan.names[1].epochs, plan.targets[0].epochs) = (past, past);
    let asked = |name: &str| server.asked().iter().filter(|a| a.name == name).count();
    let counts = || (asked("gone.test."), board.get(Counter::Probes));
    // One that is older still never knew it.
    let oldest = board.join(50, 1).unwrap();
    let (old, new) = (board.join(100, 3).unwrap(), board.join(200, 4).unwrap());
    run_for(&plan, board, &env, 500).await;
    let before = counts();
    assert!(before.0 >= 2 && before.1 >= 2, "{before:?}");
    // While the monitor runs.
    let leave = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(500)).await;
        old.leave();
    });
    run_for(&plan, board, &env, 1_300).await;
    leave.await.unwrap();
    let end = counts();
    assert!(end.0 > before.0 && end.1 > before.1, "{end:?}");
    let others = asked("app.test.");
    // And from the start of the next one.
    run_for(&plan, board, &env, 500).await;
    assert_eq!(counts(), end);
    assert!(asked("app.test.") > others);
    new.leave();
    oldest.leave();
    accepting.abort();
}

/// Surroundings with something that children ring.
struct Bell(Fake, &'static UnixStream);

impl Surroundings for Bell {
    fn now_ms(&self) -> u64 {
        self.0.now_ms()
    }

    fn unix_ms(&self) -> u64 {
        self.0.unix_ms()
    }

    fn log(&self, level: Level, text: &str) {
        self.0.log(level, text);
    }

    fn published(&self) {
        self.0.published();
    }

    fn descriptors(&self) -> u64 {
        1_024
    }

    fn kick_fd(&self) -> Option<BorrowedFd<'static>> {
        Some(self.1.as_fd())
    }
}

#[tokio::test]
async fn a_kick_wakes_the_leader() {
    let board = board(4);
    let (listener, at) = listen("127.0.0.7:0");
    let mut plan = alone(board, at);
    // Nothing happens by itself.
    plan.targets[0].rules.interval_ms = 3_600_000;
    let (mut bell, end) = UnixStream::pair().unwrap();
    end.set_nonblocking(true).unwrap();
    let env = Bell(Fake::new(), Box::leak(Box::new(end)));
    let accepting = accept(listener);
    let (stop, stopped) = oneshot::channel();
    let ringing = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(150)).await;
        assert_eq!(board.get(Counter::Probes), 1);
        for kick in [Kick::Failed, Kick::Silent] {
            assert!(board.kick(TargetId(0), kick));
            bell.write_all(&[1; 8]).unwrap();
            // Long before the next heartbeat would find it, most times.
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
        stop.send(()).unwrap();
    });
    run(&plan, board, &env, stopped).await;
    ringing.await.unwrap();
    accepting.abort();
    assert_eq!(board.get(Counter::Kicks), 2);
    assert_eq!(board.get(Counter::Probes), 3);
}

#[tokio::test]
async fn a_panic_in_a_probe_ends_nothing() {
    let (board, env) = (board(4), Fake::new());
    let plan = alone(board, "127.0.0.8:80".parse().unwrap());
    let with = With {
        resolver: Resolver::new(&plan.resolver),
        connector: Box::new(|_, _, _| {
            Box::pin(async {
                // Out of reach of the compiler's look for code that never runs.
                assert!(std::hint::black_box(false), "a probe that panics");
                Ok(())
            })
        }),
    };
    let (stop, stopped) = oneshot::channel();
    let stopper = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(700)).await;
        stop.send(()).unwrap();
    });
    run_with(&plan, with, board, &env, stopped).await;
    stopper.await.unwrap();
    let probes = board.get(Counter::LocalErrors);
    assert!((2..=4).contains(&probes), "{probes}");
    assert_eq!(health(board, &plan).state, State::Unknown);
    assert_eq!(env.lines().len(), 1, "{:?}", env.lines());
}
