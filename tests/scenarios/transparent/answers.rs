//! What the scripted backend answers: garbage and rarities among it.

use live_kit::{Content, End, Next, Talk, pause};
use std::io;

const BIG: usize = 100 * 1024 * 1024;
/// What the big answers are made of; no power of two, so that pieces lie differently each time.
pub(super) const PIECE: usize = 40_009;
const KEEP: Next = Next::Keep;
const CLOSE: Next = Next::Close;

/// Answers that are just bytes: name, status that the client gets, how it ends there, bytes, end of the backend's
/// connection.
#[rustfmt::skip]
pub(super) const FIXED: &[(&str, u16, End, &str, Next)] = &[
    ("plain", 200, End::Whole, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-One: 1\r\nX-One: 2\r\nX-Empty:\r\n\r\nhello", KEEP),
    ("empty", 200, End::Whole, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", KEEP),
    ("no-reason", 200, End::Whole, "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", KEEP),
    ("odd-reason", 299, End::Whole, "HTTP/1.1 299 Some: thing, else\r\nContent-Length: 2\r\n\r\nok", KEEP),
    ("cookies", 200, End::Whole, "HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Domain=app.test; Path=/x\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n", KEEP),
    ("redirect", 302, End::Whole, "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.2:9000/x?y\r\nContent-Length: 0\r\n\r\n", KEEP),
    ("login", 401, End::Whole, "HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 2\r\n\r\nno", KEEP),
    ("part", 206, End::Whole, "HTTP/1.1 206 Partial\r\nContent-Range: bytes 0-1/9\r\nContent-Length: 2\r\n\r\npa", KEEP),
    ("sick", 503, End::Whole, "HTTP/1.1 503 Later\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nsick", KEEP),
    ("crash", 500, End::Whole, "HTTP/1.1 500 Oh\r\nContent-Length: 3\r\n\r\n500", KEEP),
    ("missing", 404, End::Whole, "HTTP/1.1 404 Gone astray\r\nContent-Length: 3\r\n\r\n404", KEEP),
    ("no-content", 204, End::Whole, "HTTP/1.1 204 No Content\r\nX-One: 1\r\n\r\n", KEEP),
    ("not-modified", 304, End::Whole, "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 123\r\n\r\n", KEEP),
    ("hints", 200, End::Whole, "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", KEEP),
    ("many-hints", 200, End::Whole, "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </b>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", KEEP),
    ("hints-missing", 404, End::Whole, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", KEEP),
    ("chunked", 200, End::Whole, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0005\r\ndefgh\r\n0\r\n\r\n", KEEP),
    ("extensions", 200, End::Whole, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n2;x=\"y z\"\r\nde\r\n0;last\r\n\r\n", KEEP),
    ("trailers", 200, End::Whole, "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 17\r\n\r\n", KEEP),
    ("both-lengths", 200, End::Whole, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", KEEP),
    ("hop-by-hop", 200, End::Whole, "HTTP/1.1 200 OK\r\nConnection: X-Secret, Keep-Alive\r\nKeep-Alive: timeout=9\r\nX-Secret: 1\r\nX-Open: 1\r\nContent-Length: 0\r\n\r\n", KEEP),
    ("folded", 200, End::Whole, "HTTP/1.1 200 OK\r\nX-Long: one\r\n two\r\nContent-Length: 2\r\n\r\nok", KEEP),
    ("bare-newlines", 200, End::Whole, "HTTP/1.1 200 OK\nContent-Length: 2\n\nok", KEEP),
    ("closes", 200, End::Whole, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello", CLOSE),
    ("closes-unasked", 200, End::Whole, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", CLOSE),
    ("to-the-end", 200, End::Whole, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end", CLOSE),
    ("nothing-to-the-end", 200, End::Whole, "HTTP/1.1 200 OK\r\n\r\n", CLOSE),
    ("chunked-closes", 200, End::Whole, "HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", CLOSE),
    ("old", 200, End::Whole, "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold", CLOSE),
    ("old-to-the-end", 200, End::Whole, "HTTP/1.0 200 OK\r\n\r\nold and long", CLOSE),
    ("old-keeps", 200, End::Whole, "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nold", KEEP),
    ("oldest", 200, End::Whole, "just a body\r\nof two lines\r\n", CLOSE),
    ("garbage-status", 200, End::Whole, "HTTP/1.1 abc\r\nContent-Length: 2\r\n\r\nok", CLOSE),
    ("garbage-protocol", 200, End::Whole, "ICY 200 OK\r\nContent-Length: 2\r\n\r\nok", CLOSE),
    ("garbage-header", 502, End::Whole, "HTTP/1.1 200 OK\r\nno colon here\r\nContent-Length: 2\r\n\r\nok", CLOSE),
    ("garbage-length", 502, End::Whole, "HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\nok", CLOSE),
    ("longer", 200, End::Whole, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello, and more", CLOSE),
    ("shorter", 200, End::Cut, "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello", CLOSE),
    ("chunked-shorter", 200, End::Cut, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\nhello", CLOSE),
    ("chunked-no-end", 200, End::Cut, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", CLOSE),
    ("chunked-garbage", 200, End::Cut, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n", CLOSE),
    ("half-header", 502, End::Whole, "HTTP/1.1 200 OK\r\nX-Half: ", CLOSE),
    ("hints-then-nothing", 502, End::Whole, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", CLOSE),
];

/// Answers that take more than that: name, status, end.
pub(super) const MADE: &[(&str, u16, End)] = &[
    ("big", 200, End::Whole),
    ("big-chunked", 200, End::Whole),
    ("drip", 200, End::Whole),
    ("many-fields", 200, End::Whole),
    ("large-field", 200, End::Whole),
];

pub(super) fn piece() -> Vec<u8> {
    (0..PIECE as u32).map(|n| (n * n % 251) as u8).collect()
}

/// The backend's side of all cases; the last part of the path says which.
pub(super) fn script(talk: &mut Talk) -> io::Result<Next> {
    let target = talk.target();
    let case = target.rsplit('/').next().unwrap_or_default();
    if let Some((.., bytes, next)) = FIXED.iter().find(|f| f.0 == case) {
        talk.body()?;
        talk.send(bytes.as_bytes())?;
        return Ok(*next);
    }
    match case {
        "big" => big(talk, false),
        "big-chunked" => big(talk, true),
        "drip" => drip(talk),
        "many-fields" => fields(talk, 90, 200),
        "large-field" => fields(talk, 1, 30_000),
        "upgrade" => upgrade(talk),
        "early" => early(talk),
        "continue" => goes_on(talk),
        "refuse" => refuses(talk),
        "no-body" => no_body(talk),
        "nothing" => talk.body().map(|()| CLOSE),
        _ => {
            talk.body()?;
            talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nping")?;
            Ok(KEEP)
        }
    }
}

fn big(talk: &mut Talk, chunked: bool) -> io::Result<Next> {
    let piece = piece();
    if chunked {
        talk.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    } else {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {BIG}\r\n\r\n");
        talk.send(head.as_bytes())?;
    }
    let mut left = BIG;
    while left > 0 {
        let now = left.min(PIECE);
        if chunked {
            talk.send(format!("{now:x}\r\n").as_bytes())?;
        }
        talk.send(&piece[..now])?;
        if chunked {
            talk.send(b"\r\n")?;
        }
        left -= now;
    }
    if chunked {
        talk.send(b"0\r\n\r\n")?;
    }
    Ok(KEEP)
}

/// What the client must have got of it.
pub(super) fn big_content() -> Content {
    let (piece, mut content) = (piece(), Content::default());
    for _ in 0..BIG / PIECE {
        content.add(&piece);
    }
    content.add(&piece[..BIG % PIECE]);
    content
}

/// Head and body byte by byte, with pauses.
fn drip(talk: &mut Talk) -> io::Result<Next> {
    let text = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ndrip drip";
    for byte in text {
        talk.send(&[*byte])?;
        pause(0.005);
    }
    Ok(KEEP)
}

fn fields(talk: &mut Talk, number: usize, length: usize) -> io::Result<Next> {
    let mut head = String::from("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n");
    for n in 0..number {
        head += &format!("X-Field-{n}: {}\r\n", "v".repeat(length));
    }
    talk.send((head + "\r\nok").as_bytes())?;
    Ok(KEEP)
}

fn upgrade(talk: &mut Talk) -> io::Result<Next> {
    let head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-One: 1\r\n\r\nfirst";
    talk.send(head.as_bytes())?;
    talk.echo(PIECE)?;
    Ok(CLOSE)
}

/// The answer begins before the body was read.
fn early(talk: &mut Talk) -> io::Result<Next> {
    talk.send(b"HTTP/1.1 413 Too much\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbig!")?;
    // Closing at once would reset the connection, and what the client gets would be chance.
    talk.body()?;
    Ok(CLOSE)
}

fn goes_on(talk: &mut Talk) -> io::Result<Next> {
    talk.send(b"HTTP/1.1 100 Continue\r\nX-Hop: 1\r\n\r\n")?;
    talk.body()?;
    talk.send(b"HTTP/1.1 201 Made\r\nContent-Length: 4\r\n\r\nmade")?;
    Ok(KEEP)
}

/// Does not want the body that the client has not sent yet.
fn refuses(talk: &mut Talk) -> io::Result<Next> {
    talk.send(b"HTTP/1.1 403 Never\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno")?;
    Ok(CLOSE)
}

/// To HEAD: a length and no body.
fn no_body(talk: &mut Talk) -> io::Result<Next> {
    talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\nX-One: 1\r\n\r\n")?;
    Ok(KEEP)
}
