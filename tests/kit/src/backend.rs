//! A HTTP/1.1 backend that says who it is, counts, remembers, and misbehaves on command.

mod answer;

use crate::http::Inbox;
use crate::sockets::{Acceptor, reset, small_thread};
use answer::Answer;
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
    /// The kernel's queue of new connections is full: they are lost without a word; connections that exist go on.
    Full,
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
    connections: AtomicUsize,
    accepted: AtomicUsize,
    probed: AtomicUsize,
    requests: AtomicUsize,
    recording: AtomicBool,
}

struct State {
    mode: Mode,
    seen: Vec<Seen>,
    open: HashMap<usize, Open>,
}

struct Open {
    stream: Arc<TcpStream>,
    /// At least one byte has arrived.
    spoke: bool,
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
            return;
        }
        self.listen();
        if let Some(acceptor) = self.acceptor().as_mut() {
            match mode {
                Mode::Full => acceptor.fill(),
                _ => acceptor.drain(),
            }
        }
    }

    /// The process dies: the port closes, every connection is reset. Idle ones are gone when this returns.
    pub fn kill(&self) {
        self.mode(Mode::Refuse);
        self.reset_all();
        // Each connection's thread closes it; one that is not scheduled yet would still answer.
        for _ in 0..300 {
            if self.shared.lock().open.is_empty() {
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
        for one in self.shared.lock().open.values() {
            let _ = one.stream.shutdown(Shutdown::Both);
        }
    }

    /// Resets every open connection.
    pub fn reset_all(&self) {
        for one in self.shared.lock().open.values() {
            reset_now(&one.stream);
        }
    }

    /// Connections since the start on which at least one byte arrived (or, with [`Mode::Reset`], could not).
    pub fn accepted(&self) -> usize {
        self.shared.counters.accepted.load(Ordering::Relaxed)
    }

    /// Connections since the start that ended without a byte: probes.
    pub fn probed(&self) -> usize {
        self.shared.counters.probed.load(Ordering::Relaxed)
    }

    /// Connections open now on which at least one byte arrived.
    pub fn open(&self) -> usize {
        let state = self.shared.lock();
        state.open.values().filter(|one| one.spoke).count()
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
    let number = shared.counters.connections.fetch_add(1, Ordering::Relaxed) + 1;
    let stream = Arc::new(stream);
    let mut state = shared.lock();
    if state.mode == Mode::Reset {
        shared.counters.accepted.fetch_add(1, Ordering::Relaxed);
        reset(&stream);
        return;
    }
    let open = Open {
        stream: Arc::clone(&stream),
        spoke: false,
    };
    state.open.insert(number, open);
    drop(state);
    let shared = Arc::clone(shared);
    small_thread(move || {
        let _ = stream.set_nodelay(true);
        if speaks(&shared, number, &stream) {
            let _ = converse(&shared, number, &stream);
        }
        shared.lock().open.remove(&number);
    });
}

/// Waits for the first byte, and counts the connection by what came.
fn speaks(shared: &Shared, number: usize, stream: &TcpStream) -> bool {
    let spoke = matches!(stream.peek(&mut [0]), Ok(n) if n > 0);
    let counters = &shared.counters;
    if !spoke {
        counters.probed.fetch_add(1, Ordering::Relaxed);
        return false;
    }
    counters.accepted.fetch_add(1, Ordering::Relaxed);
    if let Some(open) = shared.lock().open.get_mut(&number) {
        open.spoke = true;
    }
    true
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
        let answer = Answer::new(&shared.name, mode, &method, &target, &head, body.len());
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
