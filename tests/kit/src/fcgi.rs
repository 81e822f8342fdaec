//! Backends that speak FastCGI and AJP: just enough to answer a GET with their name. Of the query parameters
//! they know `delay=ms`.

use crate::sockets::{Acceptor, small_thread};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// A FastCGI responder: every request gets 200 with `X-Backend` (FastCGI specification 1.0, section 3.3).
pub struct FcgiBackend(Plain);

/// An AJP 1.3 server: every GET gets 200 with `X-Backend` (AJPv13, "Response Packet Structure").
pub struct AjpBackend(Plain);

impl FcgiBackend {
    pub fn start(name: &str, addr: &str) -> FcgiBackend {
        FcgiBackend(Plain::start(name, addr, fcgi))
    }

    /// Requests answered.
    pub fn requests(&self) -> usize {
        self.0.requests.load(Ordering::Relaxed)
    }
}

impl AjpBackend {
    pub fn start(name: &str, addr: &str) -> AjpBackend {
        AjpBackend(Plain::start(name, addr, ajp))
    }

    /// Requests answered.
    pub fn requests(&self) -> usize {
        self.0.requests.load(Ordering::Relaxed)
    }
}

struct Plain {
    requests: Arc<AtomicUsize>,
    _acceptor: Acceptor,
}

/// The pause asked for by `delay=ms` in the bytes of a request.
fn asked_pause(request: &[u8]) -> Duration {
    const KEY: &[u8] = b"delay=";
    let at = request.windows(KEY.len()).position(|w| w == KEY);
    let digits = at.map_or(&[][..], |at| &request[at + KEY.len()..]);
    let digits = digits.iter().take_while(|b| b.is_ascii_digit()).take(4);
    Duration::from_millis(digits.fold(0, |n, b| n * 10 + u64::from(b - b'0')))
}

/// Answers one request; an error ends the connection.
type Turn = fn(&mut TcpStream, &str) -> io::Result<()>;

impl Plain {
    fn start(name: &str, addr: &str, turn: Turn) -> Plain {
        let addr: SocketAddr = addr
            .parse()
            .unwrap_or_else(|_| panic!("not an address with port: {addr}"));
        let requests = Arc::new(AtomicUsize::new(0));
        let (name, count) = (name.to_owned(), Arc::clone(&requests));
        let acceptor = Acceptor::start(addr, move |mut stream| {
            let (name, count) = (name.clone(), Arc::clone(&count));
            small_thread(move || {
                while turn(&mut stream, &name).is_ok() {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        });
        Plain {
            requests,
            _acceptor: acceptor,
        }
    }
}

const FCGI_BEGIN: u8 = 1;
const FCGI_END: u8 = 3;
const FCGI_STDIN: u8 = 5;
const FCGI_STDOUT: u8 = 6;
const FCGI_KEEP: u8 = 1;

fn fcgi(stream: &mut TcpStream, name: &str) -> io::Result<()> {
    let mut keep = false;
    let mut pause = Duration::ZERO;
    let id = loop {
        let mut head = [0; 8];
        stream.read_exact(&mut head)?;
        let length = usize::from(u16::from_be_bytes([head[4], head[5]]));
        let mut content = vec![0; length + usize::from(head[6])];
        stream.read_exact(&mut content)?;
        if head[1] == FCGI_BEGIN {
            keep = content.get(2).is_some_and(|flags| flags & FCGI_KEEP != 0);
        }
        pause = pause.max(asked_pause(&content));
        if head[1] == FCGI_STDIN && length == 0 {
            break [head[2], head[3]];
        }
    };
    std::thread::sleep(pause);
    let text = format!(
        "Status: 200 OK\r\nContent-Type: text/plain\r\nX-Backend: {name}\r\n\r\nbackend={name}\n"
    );
    let record = |kind: u8, content: &[u8]| {
        let length = (content.len() as u16).to_be_bytes();
        [
            &[1, kind, id[0], id[1], length[0], length[1], 0, 0],
            content,
        ]
        .concat()
    };
    let answer = [
        record(FCGI_STDOUT, text.as_bytes()),
        record(FCGI_STDOUT, &[]),
        record(FCGI_END, &[0; 8]),
    ];
    stream.write_all(&answer.concat())?;
    if keep {
        Ok(())
    } else {
        stream.shutdown(std::net::Shutdown::Both)
    }
}

const AJP_FORWARD: u8 = 2;
const AJP_CPING: u8 = 10;

fn ajp(stream: &mut TcpStream, name: &str) -> io::Result<()> {
    loop {
        let mut head = [0; 4];
        stream.read_exact(&mut head)?;
        let mut content = vec![0; usize::from(u16::from_be_bytes([head[2], head[3]]))];
        stream.read_exact(&mut content)?;
        match content.first() {
            Some(&AJP_CPING) => stream.write_all(b"AB\0\x01\x09")?,
            Some(&AJP_FORWARD) => {
                std::thread::sleep(asked_pause(&content));
                break;
            }
            // Body packets of a request are of no interest.
            _ => {}
        }
    }
    let body = format!("backend={name}\n");
    let mut headers = vec![4, 0, 200];
    headers.extend(ajp_string("OK"));
    headers.extend(2_u16.to_be_bytes());
    for text in ["X-Backend", name, "Content-Length", &body.len().to_string()] {
        headers.extend(ajp_string(text));
    }
    let chunk = [&[3], ajp_string(&body).as_slice()].concat();
    let packets = [headers, chunk, vec![5, 1]].map(|content| {
        let length = (content.len() as u16).to_be_bytes();
        [b"AB".as_slice(), &length, &content].concat()
    });
    stream.write_all(&packets.concat())
}

/// Length in two bytes, the text, a zero byte.
fn ajp_string(text: &str) -> Vec<u8> {
    [
        (text.len() as u16).to_be_bytes().as_slice(),
        text.as_bytes(),
        &[0],
    ]
    .concat()
}
