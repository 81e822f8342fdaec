//! Bytes as they are: a backend whose answers a scenario writes byte by byte, and a client that tells everything
//! it got.

mod bytes;

pub use bytes::Content;

use crate::eventually;
use crate::http::Head;
use crate::sockets::{Acceptor, small_thread};
use bytes::Reader;
use std::io::{self, ErrorKind, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Longest silence either side waits for.
const PATIENCE: Duration = Duration::from_secs(30);

/// How an answer ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    Whole,
    /// The connection ended in the middle.
    Cut,
    /// The connection ended before the first byte.
    Nothing,
    /// Silence for longer than anybody waits.
    Silence,
}

/// An answer as it came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// Heads of interim answers, then the final one, as they are without the line `Date`.
    pub heads: Vec<String>,
    pub body: Content,
    /// What stood behind the last chunk.
    pub trailers: String,
    pub end: End,
}

impl Answer {
    /// Of the last head; 0 without one.
    pub fn status(&self) -> u16 {
        let start = self.heads.last().map_or("", String::as_str);
        let code = start.split([' ', '\r']).nth(1);
        code.and_then(|c| c.parse().ok()).unwrap_or(0)
    }
}

/// A client of one connection that sends any bytes.
pub struct RawClient {
    from: Reader,
}

impl RawClient {
    pub fn connect(addr: SocketAddr) -> RawClient {
        let stream = TcpStream::connect_timeout(&addr, PATIENCE).expect("connect to httpd");
        let from = Reader::new(stream).expect("settings of a socket");
        RawClient { from }
    }

    /// Sends; a server that has closed meanwhile is seen by the answer that does not come.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.from.stream.write_all(bytes);
    }

    /// The next head, also an interim one.
    pub fn head(&mut self) -> Option<String> {
        self.from.head().ok()
    }

    /// So many bytes, or what came until the end.
    pub fn bytes(&mut self, n: u64) -> Content {
        let mut content = Content::default();
        let _ = self.from.exactly(n, &mut content);
        content
    }

    /// No more is sent.
    pub fn finish(&mut self) {
        let _ = self.from.stream.shutdown(Shutdown::Write);
    }

    /// Whether the server has closed, with nothing more to read.
    pub fn at_end(&mut self) -> bool {
        self.from.buf.is_empty() && is_end(&self.from.fill())
    }

    /// The answer to a request of this method, interim ones before it included.
    pub fn answer(&mut self, method: &str) -> Answer {
        let mut answer = Answer {
            heads: Vec::new(),
            body: Content::default(),
            trailers: String::new(),
            end: End::Whole,
        };
        let result = self.read(method, &mut answer);
        let silent =
            |e: &io::Error| matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
        answer.end = match result {
            Ok(()) => End::Whole,
            Err(e) if silent(&e) => End::Silence,
            Err(_) if answer.heads.is_empty() && self.from.buf.is_empty() => End::Nothing,
            Err(_) => End::Cut,
        };
        answer
    }

    fn read(&mut self, method: &str, answer: &mut Answer) -> io::Result<()> {
        let head = loop {
            let text = self.from.head()?;
            let head = Head::parse(&text);
            let dated = |l: &&str| !l.starts_with("Date: ");
            let lines = text.split_inclusive("\r\n").filter(dated);
            answer.heads.push(lines.collect());
            if !(100..200).contains(&answer.status()) || answer.status() == 101 {
                break head;
            }
        };
        if method == "HEAD" || matches!(answer.status(), 101 | 204 | 304) {
            return Ok(());
        }
        answer.trailers = self.from.body(&head, true, &mut answer.body)?;
        Ok(())
    }
}

/// A request as a [`RawBackend`] got it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Heard {
    /// Request line.
    pub start: String,
    /// Names in lower case.
    pub fields: Vec<(String, String)>,
    pub body: Content,
}

/// What happens to the connection behind an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    Keep,
    Close,
}

/// The backend's side of one connection, in the hands of the script. The request's head has been read.
pub struct Talk {
    with: Reader,
    head: Head,
    log: Arc<Log>,
}

/// What came, and how many requests the script is still busy with.
#[derive(Default)]
struct Log {
    heard: Mutex<Vec<Heard>>,
    busy: AtomicUsize,
}

impl Log {
    fn lock(&self) -> MutexGuard<'_, Vec<Heard>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Talk {
    /// Path and query of the request.
    pub fn target(&self) -> String {
        let target = self.head.start.split(' ').nth(1);
        target.unwrap_or_default().to_owned()
    }

    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.with.stream.write_all(bytes)
    }

    /// Reads the request's body.
    pub fn body(&mut self) -> io::Result<()> {
        let mut body = Content::default();
        let result = self.with.body(&self.head, false, &mut body);
        // One request at a time: no other can have come since.
        if let Some(last) = self.log.lock().last_mut() {
            last.body = body;
        }
        result.map(|_| ())
    }

    /// Sends back so many bytes as they come.
    pub fn echo(&mut self, n: usize) -> io::Result<()> {
        let mut left = n;
        while left > 0 {
            if self.with.buf.is_empty() {
                self.with.fill()?;
            }
            let bytes: Vec<u8> = self.with.buf.drain(..).collect();
            left = left.saturating_sub(bytes.len());
            self.send(&bytes)?;
        }
        Ok(())
    }
}

/// A backend that follows a script: a function that is called for each request, with its head read, and sends what
/// it likes. Meant for one request at a time.
pub struct RawBackend {
    log: Arc<Log>,
    _acceptor: Acceptor,
}

impl RawBackend {
    pub fn start<F>(addr: &str, script: F) -> RawBackend
    where
        F: Fn(&mut Talk) -> io::Result<Next> + Send + Sync + 'static,
    {
        let addr = addr
            .parse()
            .unwrap_or_else(|_| panic!("not an address with port: {addr}"));
        let log = Arc::<Log>::default();
        let (script, shared) = (Arc::new(script), log.clone());
        let acceptor = Acceptor::start(addr, move |stream| {
            let (script, log) = (script.clone(), shared.clone());
            small_thread(move || {
                let _ = serve(stream, &*script, log);
            });
        });
        RawBackend {
            log,
            _acceptor: acceptor,
        }
    }

    /// The requests since the last call, read to their end: a client may have its answer before.
    pub fn take_heard(&self) -> Vec<Heard> {
        eventually(PATIENCE, || self.log.busy.load(Ordering::Acquire) == 0);
        std::mem::take(&mut self.log.lock())
    }
}

/// Serves one connection until its end.
fn serve(
    stream: TcpStream,
    script: &dyn Fn(&mut Talk) -> io::Result<Next>,
    log: Arc<Log>,
) -> io::Result<()> {
    let mut talk = Talk {
        with: Reader::new(stream)?,
        head: Head::default(),
        log,
    };
    // Connections of pools are kept for as long as their owner likes.
    talk.with.stream.set_read_timeout(None)?;
    loop {
        talk.head = Head::parse(&talk.with.head()?);
        let one = Heard {
            start: talk.head.start.clone(),
            fields: talk.head.fields.clone(),
            body: Content::default(),
        };
        talk.log.busy.fetch_add(1, Ordering::AcqRel);
        talk.log.lock().push(one);
        let next = script(&mut talk);
        talk.log.busy.fetch_sub(1, Ordering::AcqRel);
        if next? == Next::Close {
            return Ok(());
        }
    }
}

fn is_end(result: &io::Result<()>) -> bool {
    let ends = [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset];
    matches!(result, Err(e) if ends.contains(&e.kind()))
}
