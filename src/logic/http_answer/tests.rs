use super::*;
use crate::logic::{flaw, http_answer};

#[path = "../../../fuzz/properties/http_answer.rs"]
mod property;

/// The outcome of an answer that comes whole, the connection closed behind it.
fn read(bytes: &[u8]) -> Result<u16, Flaw> {
    let mut answer = Answer::new();
    answer.feed(bytes).unwrap_or_else(|| Err(answer.ended()))
}

/// `bytes`, `times` over.
fn repeat(bytes: &[u8], times: u32) -> Vec<u8> {
    bytes.repeat(times as usize)
}

fn interim(times: u32) -> Vec<u8> {
    let mut bytes = repeat(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", times);
    bytes.extend(b"HTTP/1.1 200 OK\r\n\r\n");
    bytes
}

/// Answers, and what they are.
fn samples() -> Vec<(Vec<u8>, Result<u16, Flaw>)> {
    let fixed: &[(&[u8], Result<u16, Flaw>)] = &[
        (b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\nbody", Ok(200)),
        (b"HTTP/1.0 204 No Content\r\n\r\n", Ok(204)),
        (b"HTTP/1.1 301 Moved\nLocation: /\n\n", Ok(301)),
        (b"HTTP/1.1 599 \r\n\r\n", Ok(599)),
        (b"HTTP/1.1 503\r\n\r\n", Ok(503)),
        (b"HTTP/1.0 200, OK\r\n\r\n", Ok(200)),
        (b"HTTP/1.1   404   Not\tFound \xe4\r\n\r\n", Ok(404)),
        (b"HTTP/1.9 200 OK\r\n\r\n", Ok(200)),
        (b"\r\nHTTP/1.1 200 OK\r\n\r\n", Ok(200)),
        (b"\nHTTP/1.1 200 OK\n\n", Ok(200)),
        (b"\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", Err(Flaw::NotHttp)),
        // fields
        (
            b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\t\r\n d: e\r\nF:\r\n\r\n",
            Ok(200),
        ),
        (b"HTTP/1.1 200 OK\r\nA: \0\x01\rb\r\n\r\n", Ok(200)),
        (b"HTTP/1.1 200 OK\r\nA B : c\r\n\r\n", Ok(200)),
        (
            b"HTTP/1.1 200 OK\r\n folded: first\r\n\r\n",
            Err(Flaw::HeaderLine),
        ),
        (
            b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            Err(Flaw::HeaderLine),
        ),
        (
            b"HTTP/1.1 200 OK\r\n: no name\r\n\r\n",
            Err(Flaw::HeaderLine),
        ),
        (b"HTTP/1.1 200 OK\r\nA\0: b\r\n\r\n", Err(Flaw::HeaderLine)),
        (b"HTTP/1.1 200 OK\r\nA\r: b\r\n\r\n", Err(Flaw::HeaderLine)),
        (b"HTTP/1.1 200 OK\r\n\rA: b\r\n\r\n", Err(Flaw::HeaderLine)),
        (b"HTTP/1.1 200 OK\r\n<html>", Err(Flaw::Closed)),
        (b"HTTP/1.1 200 OK\r\n<html>\n", Err(Flaw::HeaderLine)),
        // interim answers
        (
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
            Ok(200),
        ),
        (b"HTTP/1.1 103 Hints\n\n\nHTTP/1.1 500 x\n\n", Ok(500)),
        (
            b"HTTP/1.1 103 Hints\n\n\n\nHTTP/1.1 500 x\n\n",
            Err(Flaw::NotHttp),
        ),
        (b"HTTP/1.1 100 Continue\r\n\r\n", Err(Flaw::Closed)),
        (b"HTTP/1.1 100 Continue\r\n\r\nbody", Err(Flaw::NotHttp)),
        (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
            Ok(101),
        ),
        // the connection ends
        (b"", Err(Flaw::Closed)),
        (b"\r", Err(Flaw::Closed)),
        (b"\r\n", Err(Flaw::Closed)),
        (b"HTT", Err(Flaw::Closed)),
        (b"HTTP/1.1 200", Err(Flaw::Closed)),
        (b"HTTP/1.1 200 OK\r\n", Err(Flaw::Closed)),
        (b"HTTP/1.1 200 OK\r\nA: b\r\n\r", Err(Flaw::Closed)),
        // no HTTP, or HTTP/0.9
        (b"<html>hello", Err(Flaw::NotHttp)),
        (b"220 mail.test ESMTP\r\n", Err(Flaw::NotHttp)),
        (b"SSH-2.0-OpenSSH", Err(Flaw::NotHttp)),
        (b"http/1.1 200 OK\r\n\r\n", Err(Flaw::NotHttp)),
        (b"HTTP 200\r\n", Err(Flaw::NotHttp)),
        (b"HTTP/\r\n", Err(Flaw::Version)),
        (b"HTTP/x", Err(Flaw::NotHttp)),
        (b"HT\r\n", Err(Flaw::NotHttp)),
        (b" HTTP/1.1 200 OK\r\n\r\n", Err(Flaw::NotHttp)),
        (b"\rHTTP/1.1 200 OK\r\n\r\n", Err(Flaw::NotHttp)),
        (b"\xff", Err(Flaw::NotHttp)),
        // versions
        (b"HTTP/2 200\r\n\r\n", Err(Flaw::Version)),
        (b"HTTP/9.9 200 OK\r\n\r\n", Err(Flaw::Version)),
        (b"HTTP/0.9 200 OK\r\n\r\n", Err(Flaw::Version)),
        (b"HTTP/1.10 200 OK\r\n\r\n", Err(Flaw::Version)),
        (b"HTTP/11.1 200 OK\r\n\r\n", Err(Flaw::Version)),
        (b"HTTP/1 200 OK\r\n\r\n", Err(Flaw::Version)),
        (b"HTTP/1. 200 OK\r\n\r\n", Err(Flaw::Version)),
        (b"HTTP/1.\n", Err(Flaw::Version)),
        // statuses
        (b"HTTP/1.1\r\n", Err(Flaw::StatusLine)),
        (b"HTTP/1.1 \r\n", Err(Flaw::StatusLine)),
        (b"HTTP/1.1\t200\r\n", Err(Flaw::StatusLine)),
        (b"HTTP/1.1 OK\r\n", Err(Flaw::StatusLine)),
        (b"HTTP/1.1 99 \r\n", Err(Flaw::StatusLine)),
        (b"HTTP/1.1 099\r\n", Err(Flaw::StatusLine)),
        (b"HTTP/1.1 600\r\n", Err(Flaw::StatusLine)),
        (b"HTTP/1.1 20\r\n", Err(Flaw::StatusLine)),
        (b"HTTP/1.1 2000\r\n", Err(Flaw::StatusLine)),
        (b"HTTP/1.1 +20\r\n", Err(Flaw::StatusLine)),
        (b"HTTP/1.1 200 O\0K\r\n", Err(Flaw::StatusLine)),
        (b"HTTP/1.1 200\x7f\r\n", Err(Flaw::StatusLine)),
        (b"HTTP/1.1 200 OK\rx", Err(Flaw::StatusLine)),
        // HTTP/2: SETTINGS with none, with three, with too many values
        (b"\0\0\0\x04\0\0\0\0\0", Err(Flaw::Http2)),
        (b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x64", Err(Flaw::Http2)),
        (b"\0\0\x0a\x04\0\0\0\0\0", Err(Flaw::Http2)),
        (b"\0\x40\0\x04\0\0\0\0\0", Err(Flaw::Http2)),
        (b"\0\x40\x01\x04\0\0\0\0\0", Err(Flaw::NotHttp)),
        (b"\0\0\0\x04\0\0\0\0", Err(Flaw::NotHttp)),
        (b"\0\0\0\x04\0\0\0\0\x01", Err(Flaw::NotHttp)),
        (b"\0\0\0\x07\0\0\0\0\0", Err(Flaw::NotHttp)),
        (b"\0", Err(Flaw::NotHttp)),
        (b"\n\0\0\0\x04\0\0\0\0\0", Err(Flaw::NotHttp)),
        // TLS: an alert, a handshake
        (b"\x15\x03\x01\0\x02\x02\x0a", Err(Flaw::IsTls)),
        (b"\x15\x03\x03", Err(Flaw::IsTls)),
        (b"\x16\x03\x00", Err(Flaw::IsTls)),
        (b"\x16\x03\x04\x7a", Err(Flaw::IsTls)),
        (b"\x16\x03\x05", Err(Flaw::NotHttp)),
        (b"\x16\x02\x01", Err(Flaw::NotHttp)),
        (b"\x17\x03\x03", Err(Flaw::NotHttp)),
        (b"\x15\x03", Err(Flaw::NotHttp)),
    ];
    let owned = |(bytes, outcome): &(&[u8], _)| (bytes.to_vec(), *outcome);
    let mut all: Vec<_> = fixed.iter().map(owned).collect();
    all.push((interim(u32::from(MAX_INTERIM)), Ok(200)));
    all.push((interim(u32::from(MAX_INTERIM) + 1), Err(Flaw::Interim)));
    all
}

#[test]
fn answers() {
    for (bytes, outcome) in samples() {
        assert_eq!(read(&bytes), outcome, "{}", bytes.escape_ascii());
    }
}

#[test]
fn every_status() {
    for status in 0..1_000 {
        let outcome = match status {
            101 | 200..=599 => Ok(status),
            100..=199 => Err(Flaw::Closed),
            _ => Err(Flaw::StatusLine),
        };
        let bytes = format!("HTTP/1.1 {status:03} Text\r\nA: b\r\n\r\n");
        assert_eq!(read(bytes.as_bytes()), outcome, "{status}");
    }
}

/// In two pieces at every place, in three at many, and byte by byte: it is all the same, and what was
/// decided stays.
#[test]
fn pieces_do_not_matter() {
    for (bytes, outcome) in samples() {
        for first in 0..=bytes.len() {
            for second in [first, first + 1, first + 7, bytes.len()] {
                let second = second.clamp(first, bytes.len());
                let mut answer = Answer::new();
                let decided = [&bytes[..first], &bytes[first..second], &bytes[second..]]
                    .map(|piece| answer.feed(piece));
                let result = decided[2].unwrap_or_else(|| Err(answer.ended()));
                assert_eq!(result, outcome, "{first} {second} {}", bytes.escape_ascii());
                for earlier in decided.into_iter().flatten() {
                    assert_eq!(earlier, outcome);
                }
            }
        }
        let mut drip = Answer::new();
        let decided = bytes.chunks(1).filter_map(|byte| drip.feed(byte)).last();
        assert_eq!(decided.unwrap_or_else(|| Err(drip.ended())), outcome);
    }
}

#[test]
fn decided_at_the_first_byte_that_shows_it() {
    for (bytes, undecided) in [
        (&b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n"[..], 24),
        (b"HTTP/1.1 200\n\n", 13),
        (b"HTTX/1.1", 3),
        (b"HTTP/2", 5),
        (b"HTTP/1.1 6", 9),
        (b"HTTP/1.1 2000", 12),
        (b"HTTP/1.1 200\r\nA\0", 15),
        (b"\x15\x03\x01", 2),
        (b"\0\0\x12\x04\0\0\0\0\0", 8),
    ] {
        let mut answer = Answer::new();
        assert_eq!(
            answer.feed(&bytes[..undecided]),
            None,
            "{}",
            bytes.escape_ascii()
        );
        assert!(answer.feed(&bytes[undecided..=undecided]).is_some());
    }
}

#[test]
fn a_decision_stays() {
    let mut answer = Answer::new();
    assert_eq!(answer.feed(b"HTTP/1.1 200 OK\r\n\r\n\0"), Some(Ok(200)));
    assert_eq!(answer.feed(b"HTTP/1.1 503 x\r\n\r\n"), Some(Ok(200)));
    assert_eq!(answer.feed(b""), Some(Ok(200)));
    let mut answer = Answer::new();
    assert_eq!(answer.feed(b"x"), Some(Err(Flaw::NotHttp)));
    assert_eq!(
        answer.feed(b"HTTP/1.1 200 OK\r\n\r\n"),
        Some(Err(Flaw::NotHttp))
    );
    assert_eq!(answer.ended(), Flaw::NotHttp);
}

#[test]
fn nothing_is_nothing() {
    let mut answer = Answer::new();
    assert_eq!(answer.feed(b""), None);
    assert_eq!(answer.feed(b"HTTP/1.1 200 OK\r\n"), None);
    assert_eq!(answer.feed(b""), None);
    assert_eq!(answer.feed(b"\r\n"), Some(Ok(200)));
}

/// Whole lines are `MAX_LINE` bytes long, with what stands before and behind the filling.
fn line(before: &str, fill: u8, longer: u32) -> Vec<u8> {
    let mut bytes = before.as_bytes().to_vec();
    bytes.resize((MAX_LINE + longer) as usize, fill);
    bytes
}

#[test]
fn huge_lines() {
    for end in ["\r\n", "\n"] {
        for (before, fill) in [("HTTP/1.1 200 ", b'x'), ("HTTP/1.1 200", b' ')] {
            let mut bytes = line(before, fill, 0);
            bytes.extend(format!("{end}{end}").bytes());
            assert_eq!(read(&bytes), Ok(200));
            assert_eq!(read(&line(before, fill, 1)), Err(Flaw::TooLong));
        }
        for before in ["A: ", "A:", "A: \r"] {
            let mut bytes = b"HTTP/1.1 200 OK\r\n".to_vec();
            bytes.extend(line(before, b'x', 0));
            // A field has the room of the whole header.
            bytes.extend(line("", b'x', 0));
            bytes.extend(format!("{end}{end}").bytes());
            assert_eq!(read(&bytes), Ok(200));
        }
    }
    assert_eq!(read(&line("HTTP/1.1", b' ', 1)), Err(Flaw::TooLong));
}

#[test]
fn endless_headers() {
    let status: &[u8] = b"HTTP/1.1 200 OK\r\n";
    for unit in [
        &b"A: b\r\n"[..],
        b" folded\r\n",
        b"A: b\n",
        b"A: b\r\n \r\n",
    ] {
        let mut bytes = [status, b"A: b\r\n"].concat();
        bytes.extend(repeat(unit, MAX_HEADER / unit.len() as u32 + 1));
        assert_eq!(read(&bytes), Err(Flaw::TooLong), "{}", unit.escape_ascii());
    }
    // up to the last byte
    let mut bytes = status.to_vec();
    while bytes.len() + 1_000 < MAX_HEADER as usize {
        bytes.extend(b"A: ");
        bytes.resize(bytes.len() + 900, b'x');
        bytes.extend(b"\r\n");
    }
    bytes.extend(b"Last:");
    bytes.resize(MAX_HEADER as usize - 4, b'x');
    let ends = |more: &[u8]| read(&[&bytes, more, b"\r\n\r\n"].concat());
    assert_eq!(ends(b""), Ok(200));
    assert_eq!(ends(b"x"), Err(Flaw::TooLong));
    // interim answers count too
    let hint = [
        b"HTTP/1.1 103 Hints\r\nA: ".to_vec(),
        line("", b'x', 0)[8..].to_vec(),
        b"\r\n\r\n".to_vec(),
    ];
    assert_eq!(read(&repeat(&hint.concat(), 8)), Err(Flaw::TooLong));
}

#[test]
fn what_the_fuzz_target_checks() {
    crate::fuzzed::run("http_answer", 20_000, property::check);
    for (bytes, _) in samples() {
        property::check(&bytes);
    }
}

#[test]
fn noise_never_panics() {
    // xorshift: noise that is the same in every run, some of it behind good beginnings
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut noise = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let starts: [&[u8]; 5] = [b"", b"HTTP/", b"HTTP/1.1 200 OK\r\n", b"\0\0", b"\x16\x03"];
    let alphabet = b"HTP/1.025 \r\n\r\n:\t\0\x7fabc\xff";
    for round in 0..20_000_usize {
        let mut bytes = starts[round % starts.len()].to_vec();
        for _ in 0..noise() % 64 {
            bytes.push(match noise() % 4 {
                0 => noise() as u8,
                _ => alphabet[noise() as usize % alphabet.len()],
            });
        }
        let split = noise() as usize % (bytes.len() + 1);
        let mut answer = Answer::new();
        answer.feed(&bytes[..split]);
        let pieces = answer
            .feed(&bytes[split..])
            .unwrap_or_else(|| Err(answer.ended()));
        assert_eq!(pieces, read(&bytes), "{split} {}", bytes.escape_ascii());
    }
}
