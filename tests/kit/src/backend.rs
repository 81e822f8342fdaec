//! A HTTP/1.1 backend that says who it is, counts, remembers, and misbehaves on command.

use crate::http::{Head, Inbox};
use crate::sockets::{Acceptor, reset, small_thread};
use std::collections::HashMap;
use std::io::{self, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// How the backend behaves towards new connections and requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Ok,
    /// The port is closed; connections that exist go on.
    Refuse,
    /// Every new connection is reset at once.
    Reset,
    /// A connection is reset when a request has arrived on it.
    ResetRequest,
    /// Requests are read and never answered.
    Hang,
    /// Each answer comes after this pause.
    Slow(Duration),
    /// Each connection is closed right after an answer that promised to keep it.
    CloseIdle,
    /// Answers with this status.
    Status(u16),
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Seen {
    pub at: Instant,
    /// Address the connection was made to: tells apart what a backend on `0.0.0.0` was dialled by.
    pub local: IpAddr,
    /// Number of the connection it came on, counted from 1.
    pub connection: usize,
    pub method: String,
    pub path: String,
    pub host: String,
    /// The id of the kit's client; 0 from other clients.
    pub id: u64,
    /// Bytes of the body.
    pub length: usize,
}

#[derive(Default)]
struct Counters {
    accepted: AtomicUsize,
    requests: AtomicUsize,
    recording: AtomicBool,
}

struct State {
    mode: Mode,
    seen: Vec<Seen>,
    open: HashMap<usize, Arc<TcpStream>>,
}

struct Shared {
    name: String,
    counters: Counters,
    state: Mutex<State>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The backend. Answers `200` with its name in the header `X-Backend` and the body, and the facts of the
/// request in the body, one `key=value` per line. Query parameters of a request:
/// `delay=ms` pause before the answer, `bytes=n` length of the body, `drip=ms` one byte per so many ms,
/// `status=n`. `Upgrade: websocket` is answered with 101, then bytes are echoed.
pub struct Backend {
    addr: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Mutex<Option<Acceptor>>,
}

impl Backend {
    /// Listens on `addr` (`127.0.0.2:9000`, `[fd00::2]:9000`).
    pub fn start(name: &str, addr: &str) -> Backend {
        let addr = addr
            .parse()
            .unwrap_or_else(|_| panic!("not an address with port: {addr}"));
        let state = State {
            mode: Mode::Ok,
            seen: Vec::new(),
            open: HashMap::new(),
        };
        let counters = Counters {
            recording: AtomicBool::new(true),
            ..Counters::default()
        };
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            counters,
            state: Mutex::new(state),
        });
        let backend = Backend {
            addr,
            shared,
            acceptor: Mutex::new(None),
        };
        backend.listen();
        backend
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Changes the behaviour from now on; the port is closed or opened as the mode needs it.
    pub fn mode(&self, mode: Mode) {
        self.shared.lock().mode = mode;
        if mode == Mode::Refuse {
            self.acceptor().take();
        } else {
            self.listen();
        }
    }

    /// The process dies: the port closes, every connection is reset. Idle ones are gone when this returns.
    pub fn kill(&self) {
        self.mode(Mode::Refuse);
        self.reset_all();
        // Each connection's thread closes it; one that is not scheduled yet would still answer.
        for _ in 0..300 {
            if self.open() == 0 {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Back after [`Backend::kill`] or any mode.
    pub fn revive(&self) {
        self.mode(Mode::Ok);
    }

    /// Closes every open connection in an orderly way, also those with a request under way.
    pub fn close_all(&self) {
        for stream in self.shared.lock().open.values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Resets every open connection.
    pub fn reset_all(&self) {
        for stream in self.shared.lock().open.values() {
            reset_now(stream);
        }
    }

    /// Connections accepted since the start.
    pub fn accepted(&self) -> usize {
        self.shared.counters.accepted.load(Ordering::Relaxed)
    }

    /// Connections open now.
    pub fn open(&self) -> usize {
        self.shared.lock().open.len()
    }

    /// Requests received since the start.
    pub fn requests(&self) -> usize {
        self.shared.counters.requests.load(Ordering::Relaxed)
    }

    /// Every request since the start or the last [`Backend::forget`], oldest first.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.lock().seen.clone()
    }

    /// Time of the last request.
    pub fn last_request(&self) -> Option<Instant> {
        self.shared.lock().seen.last().map(|s| s.at)
    }

    /// Empties the list of requests (the counters go on).
    pub fn forget(&self) {
        self.shared.lock().seen.clear();
    }

    /// Whether requests are remembered (default: yes). Counting goes on without.
    pub fn record(&self, on: bool) {
        self.shared.counters.recording.store(on, Ordering::Relaxed);
    }

    fn acceptor(&self) -> MutexGuard<'_, Option<Acceptor>> {
        self.acceptor
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn listen(&self) {
        let mut acceptor = self.acceptor();
        if acceptor.is_none() {
            let shared = Arc::clone(&self.shared);
            *acceptor = Some(Acceptor::start(self.addr, move |stream| {
                accept(stream, &shared)
            }));
        }
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.acceptor().take();
        self.close_all();
    }
}

fn reset_now(stream: &TcpStream) {
    // shutdown would send a FIN first; with the linger time 0 the close sends RST. The descriptor is closed by
    // the connection's thread, which the shutdown of the reading side wakes.
    reset(stream);
    let _ = stream.shutdown(Shutdown::Read);
}

fn accept(stream: TcpStream, shared: &Arc<Shared>) {
    let number = shared.counters.accepted.fetch_add(1, Ordering::Relaxed) + 1;
    let stream = Arc::new(stream);
    let mut state = shared.lock();
    if state.mode == Mode::Reset {
        reset(&stream);
        return;
    }
    state.open.insert(number, Arc::clone(&stream));
    drop(state);
    let shared = Arc::clone(shared);
    small_thread(move || {
        let _ = stream.set_nodelay(true);
        let _ = converse(&shared, number, &stream);
        shared.lock().open.remove(&number);
    });
}

/// Serves one connection until its end.
fn converse(shared: &Shared, number: usize, stream: &Arc<TcpStream>) -> io::Result<()> {
    let local = stream.local_addr()?.ip();
    let mut inbox = Inbox::new(&**stream);
    loop {
        let head = inbox.head()?;
        let mut words = head.start.split(' ');
        let method = words.next().unwrap_or_default().to_owned();
        let target = words.next().unwrap_or_default().to_owned();
        if head.has_token("expect", "100-continue") {
            (&**stream).write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let body = inbox.body(&head, false)?;
        let seen = Seen {
            at: Instant::now(),
            local,
            connection: number,
            method: method.clone(),
            path: target.clone(),
            host: head.get("host").unwrap_or_default().to_owned(),
            id: head.get("x-id").and_then(|id| id.parse().ok()).unwrap_or(0),
            length: body.len(),
        };
        let mode = note(shared, seen);
        match mode {
            Mode::ResetRequest => {
                reset(stream);
                return Ok(());
            }
            // Waits for the proxy to give up.
            Mode::Hang => return inbox.exact(usize::MAX).map(|_| ()),
            Mode::Slow(pause) => std::thread::sleep(pause),
            _ => {}
        }
        if head.has_token("upgrade", "websocket") {
            return echo(&mut inbox, stream, &shared.name);
        }
        let answer = Answer::new(shared, mode, &method, &target, &head, body.len());
        answer.send(stream)?;
        if answer.close || mode == Mode::CloseIdle {
            return Ok(());
        }
    }
}

fn note(shared: &Shared, seen: Seen) -> Mode {
    shared.counters.requests.fetch_add(1, Ordering::Relaxed);
    let mut state = shared.lock();
    if shared.counters.recording.load(Ordering::Relaxed) {
        state.seen.push(seen);
    }
    state.mode
}

fn echo(inbox: &mut Inbox<&TcpStream>, mut stream: &TcpStream, name: &str) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-Backend: {name}\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(&inbox.take_rest())?;
    loop {
        let byte = inbox.exact(1)?;
        stream.write_all(&byte)?;
        stream.write_all(&inbox.take_rest())?;
    }
}

struct Answer {
    head: String,
    body: Vec<u8>,
    drip: Option<Duration>,
    close: bool,
}

impl Answer {
    fn new(
        shared: &Shared,
        mode: Mode,
        method: &str,
        target: &str,
        head: &Head,
        length: usize,
    ) -> Answer {
        let query = target.split_once('?').map_or("", |(_, q)| q);
        let number = |key| parameter(query, key);
        if let Some(ms) = number("delay") {
            std::thread::sleep(Duration::from_millis(ms));
        }
        let status = match (number("status"), mode) {
            (Some(n), _) => n,
            (None, Mode::Status(n)) => u64::from(n),
            _ => 200,
        };
        let name = &shared.name;
        let host = head.get("host").unwrap_or_default();
        let facts = format!(
            "backend={name}\nmethod={method}\npath={target}\nhost={host}\nlength={length}\n"
        );
        let body = number("bytes").map_or(facts.into_bytes(), |n| vec![b'.'; n as usize]);
        let close = head.has_token("connection", "close") || head.start.ends_with("HTTP/1.0");
        let last = if close { "Connection: close\r\n" } else { "" };
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status} Status\r\nX-Backend: {name}\r\nContent-Length: {length}\r\n{last}\r\n"
        );
        let body = if method == "HEAD" { Vec::new() } else { body };
        Answer {
            head,
            body,
            drip: number("drip").map(Duration::from_millis),
            close,
        }
    }

    fn send(&self, mut stream: &TcpStream) -> io::Result<()> {
        let Some(pause) = self.drip else {
            return stream.write_all(&[self.head.as_bytes(), &self.body].concat());
        };
        stream.write_all(self.head.as_bytes())?;
        for byte in &self.body {
            std::thread::sleep(pause);
            stream.write_all(std::slice::from_ref(byte))?;
        }
        Ok(())
    }
}

fn parameter(query: &str, key: &str) -> Option<u64> {
    query
        .split('&')
        .find_map(|p| p.strip_prefix(key)?.strip_prefix('=')?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::parameter;

    #[test]
    fn parameters() {
        assert_eq!(parameter("delay=20&bytes=5", "bytes"), Some(5));
        assert_eq!(parameter("delays=20", "delay"), None);
        assert_eq!(parameter("", "delay"), None);
    }
}
