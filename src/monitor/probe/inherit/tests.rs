use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use super::super::{HttpCheck, TlsCheck};
use super::*;
use crate::board::{Capacity, NameId, Tag, TargetId};
use crate::logic::addr::Families;
use crate::logic::health::{Reason, Rules};
use crate::logic::record::NameRecord;
use crate::monitor::run::Epochs;

const NOW: u64 = 50_000;
const RULES: Rules = Rules {
    interval_ms: 2_000,
    timeout_ms: 500,
    fall: 2,
    rise: 2,
};

fn board() -> Board {
    let capacity = Capacity {
        names: 2,
        targets: 8,
        workers: 1,
        children: 1,
        late: 0,
    };
    let len = Board::words_needed(capacity);
    let words: Vec<AtomicU64> = (0..len).map(|_| AtomicU64::new(0)).collect();
    Board::format(words.leak(), capacity).unwrap()
}

fn addr(last: u8) -> Addr {
    Addr {
        ip: [127, 0, 0, last].into(),
        scope: 0,
    }
}

fn http(uri: &str) -> Kind {
    Kind::Http(Arc::new(HttpCheck {
        tls: None,
        host: "app.test".into(),
        uri: uri.into(),
        expect: Default::default(),
    }))
}

fn target(board: Board, id: u32, key: &str, kind: Kind, source: Source) -> TargetTask {
    let (id, tag) = (TargetId(id), Tag::new(key, 1));
    board.assign_target(id, tag, key);
    TargetTask {
        id,
        tag,
        key: key.into(),
        label: key.into(),
        source,
        port: 80,
        kind,
        rules: RULES,
        epochs: Epochs::default(),
    }
}

/// `app.test` has the addresses 1 and 2.
fn name(board: Board) -> NameTask {
    let (id, tag) = (NameId(0), Tag::new("app.test", 1));
    board.assign(id, tag, "app.test");
    let record = NameRecord {
        addrs: vec![addr(1), addr(2)],
        ..NameRecord::default()
    };
    board.write(id, tag, &record).unwrap();
    NameTask {
        id,
        tag,
        name: "app.test".into(),
        want: Families::ANY,
        ttl_min: Duration::from_secs(1),
        ttl_max: Duration::from_secs(9),
        epochs: Epochs::default(),
    }
}

/// What the last leader left of a target: address 1 is down for this reason, address 2 was never probed.
fn leave(board: Board, task: &TargetTask, reason: Reason, last_ms: u64) {
    let down = AddrHealth {
        state: State::Down,
        reason: Some(reason),
        last_ms,
        ..AddrHealth::new(addr(1))
    };
    let record = TargetRecord {
        port: 80,
        addrs: vec![down, AddrHealth::new(addr(2))],
    };
    board.write_target(task.id, task.tag, &record).unwrap();
}

/// The states that the parent writes down for a new target beside an old one.
fn seeded(old: (&str, Kind), reason: Reason, last_ms: u64, new: (&str, Kind)) -> Vec<State> {
    let board = board();
    let names = [name(board)];
    let old = target(board, 0, old.0, old.1, Source::Name(0));
    leave(board, &old, reason, last_ms);
    let new = target(board, 1, new.0, new.1, Source::Name(0));
    seed(board, &names, std::slice::from_ref(&new), NOW);
    let record = board.read_target(new.id, new.tag).unwrap().record;
    assert!(record.addrs.iter().all(|health| health.due_ms == NOW));
    record.addrs.iter().map(|health| health.state).collect()
}

const OLD: &str = "http app.test:80 /old";
const NEW: &str = "http app.test:80 /new";
const LATELY: u64 = NOW - 1_000;

#[test]
fn another_path_begins_with_what_is_known() {
    let old = || (OLD, http("/old"));
    let states = seeded(old(), Reason::Status(503), LATELY, (NEW, http("/new")));
    assert_eq!(states, [State::Down, State::Unknown]);
    // bad answers concern only those who ask in the same way
    let tls = Kind::Tls(Arc::new(TlsCheck { name: None }));
    for (key, kind) in [("tcp app.test:80", Kind::Tcp), ("tls app.test:80", tls)] {
        assert_eq!(
            seeded(old(), Reason::Status(503), LATELY, (key, kind.clone())),
            []
        );
        let states = seeded(old(), Reason::Refused, LATELY, (key, kind));
        assert_eq!(states, [State::Down, State::Unknown]);
    }
    // what nobody has looked at for long is forgotten
    assert_eq!(
        seeded(old(), Reason::Status(503), 1, (NEW, http("/new"))),
        []
    );
}

#[test]
fn targets_with_a_record_keep_it() {
    let board = board();
    let names = [name(board)];
    let old = target(board, 0, OLD, http("/old"), Source::Name(0));
    let other = target(
        board,
        1,
        "tcp 127.0.0.1:80",
        Kind::Tcp,
        Source::Fixed(addr(1)),
    );
    leave(board, &old, Reason::Status(503), LATELY);
    leave(board, &other, Reason::Refused, LATELY);
    let before = board.target_version(old.id);
    seed(board, &names, &[old.clone(), other], NOW);
    assert_eq!(board.target_version(old.id), before);
}
