//! What holds for every answer. Shared by the fuzz target and its unit test;
//! whoever includes this file has the module `http_answer` and [`Flaw`] in scope.

use super::flaw::Flaw;
use super::http_answer::{Answer, MAX_HEADER};

// The memory of a reader is bounded by its type: a few words, nothing of its own behind them.
const _: () = assert!(size_of::<Answer>() <= 64 && !std::mem::needs_drop::<Answer>());

/// Panics when `bytes`, an answer and then the end of the connection, is read otherwise than promised.
pub fn check(bytes: &[u8]) {
    let whole = read([bytes]);
    sensible(bytes, whole);
    let (first, second) = bytes.split_at(place(bytes));
    assert_eq!(read([first, second]), whole, "in two pieces");
    assert_eq!(read(bytes.chunks(1)), whole, "byte by byte");
    // not for each: it takes long
    if bytes.last().is_some_and(|last| last % 16 == 0) {
        endless(bytes);
    }
}

/// Where the answer is cut in two: the input chooses, by its last two bytes.
fn place(bytes: &[u8]) -> usize {
    let last = bytes.last_chunk().copied().unwrap_or_default();
    usize::from(u16::from_le_bytes(last)) % (bytes.len() + 1)
}

/// The outcome; what was decided once stays, whatever comes.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<u16, Flaw> {
    let mut answer = Answer::new();
    let mut decided = None;
    for piece in pieces {
        let now = answer.feed(piece);
        assert!(
            decided.is_none() || now == decided,
            "{decided:?}, then {now:?}"
        );
        decided = now;
    }
    let flaw = answer.ended();
    match decided {
        Some(Err(Flaw::Closed | Flaw::Reset)) => panic!("decided what only the connection can say"),
        Some(Err(decided)) => assert_eq!(decided, flaw),
        None => assert!(matches!(flaw, Flaw::Closed | Flaw::NotHttp)),
        Some(Ok(_)) => {}
    }
    for more in [&b"\r\n\r\n"[..], b"HTTP/1.1 500 x\r\n\r\n", b"\0"] {
        let later = answer.clone().feed(more);
        assert!(
            decided.is_none() || later == decided,
            "{decided:?}, then {later:?}"
        );
    }
    decided.unwrap_or(Err(flaw))
}

/// A status is final, and stands in the answer, in a line of HTTP/1.
fn sensible(bytes: &[u8], outcome: Result<u16, Flaw>) {
    let Ok(status) = outcome else { return };
    assert!(status == 101 || (200..=599).contains(&status), "{status}");
    let digits = status.to_string();
    let shows = |line: &[u8]| {
        let line = line.strip_prefix(b"HTTP/1.").and_then(<[u8]>::split_first);
        line.is_some_and(|(minor, rest)| {
            let rest = rest.trim_ascii_start();
            minor.is_ascii_digit() && rest.starts_with(digits.as_bytes())
        })
    };
    assert!(
        bytes.split(|b| *b == b'\n').any(shows),
        "no line says {status}"
    );
}

/// An answer that never ends, the input over and over, is decided within the bound.
fn endless(bytes: &[u8]) {
    let mut answer = Answer::new();
    let mut fed = 0;
    while fed <= MAX_HEADER as usize {
        if answer.feed(bytes).is_some() {
            return;
        }
        fed += bytes.len();
    }
    panic!("still undecided after {fed} bytes");
}
