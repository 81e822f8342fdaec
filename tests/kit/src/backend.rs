//! A HTTP/1.1 backend that says who it is, counts, remembers, and misbehaves on command.

mod answer;
mod death;
mod line;
mod say;
mod serve;
mod tls;

use crate::sockets::Acceptor;
pub(crate) use answer::body_of;
pub use death::{Death, checksum};
use line::Line;
use rustls::ServerConfig;
pub use say::Say;
use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
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
    /// The process stands still: connections are taken by the kernel, and nothing is read or answered, neither on new
    /// ones (TLS handshakes included) nor on those that exist. Afterwards it goes on where it stood.
    Freeze,
    /// Each answer comes after this pause.
    Slow(Duration),
    /// Each connection is closed right after an answer that promised to keep it.
    CloseIdle,
    /// Answers with this status.
    Status(u16),
    /// Each request ends badly, and its connection with it; nothing else does.
    Die(Death),
    /// The process is killed by the next request: that one gets as far as the death lets it, then the port is
    /// closed and every connection is reset. The mode is [`Mode::Refuse`] from then on.
    Kill(Death),
    /// A connection that has served a request is closed (FIN) as the next one arrives on it: what happens to a
    /// request that was sent while the server closed an idle connection.
    CloseReused,
    /// A graceful stop: the port is closed, idle connections are closed, requests under way are finished and
    /// their connections closed behind them.
    Leave,
    /// Each TLS handshake is answered with an alert; connections that exist go on.
    BadTls,
    /// The same with silence.
    SilentTls,
    /// The same with the end (FIN) of the connection.
    CloseTls,
    /// The same with a page in clear text.
    PlainTls,
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Seen {
    pub at: Instant,
    /// Address the connection was made to: tells apart what a backend on `0.0.0.0` was dialled by.
    pub local: IpAddr,
    /// The other end of the connection.
    pub peer: SocketAddr,
    /// The name that the client sent in its TLS handshake.
    pub sni: Option<String>,
    /// The field User-Agent.
    pub agent: String,
    /// Number of the connection it came on, counted from 1.
    pub connection: usize,
    pub method: String,
    pub path: String,
    pub host: String,
    /// The id of the kit's client; 0 from other clients.
    pub id: u64,
    /// Bytes of the body. A request whose body broke off is not recorded.
    pub length: usize,
    /// [`checksum`] of the body.
    pub sum: u64,
}

#[derive(Default)]
struct Counters {
    connections: AtomicUsize,
    accepted: AtomicUsize,
    probed: AtomicUsize,
    requests: AtomicUsize,
    died: AtomicUsize,
    cut: AtomicUsize,
    recording: AtomicBool,
}

struct State {
    mode: Mode,
    says: HashMap<String, Say>,
    seen: Vec<Seen>,
    probes: Vec<Seen>,
    open: HashMap<usize, Arc<Line>>,
}

struct Shared {
    name: String,
    addr: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
    counters: Counters,
    state: Mutex<State>,
    acceptor: Mutex<Option<Acceptor>>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn acceptor(&self) -> MutexGuard<'_, Option<Acceptor>> {
        self.acceptor
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn listen(self: &Arc<Self>) {
        let mut acceptor = self.acceptor();
        if acceptor.is_none() {
            let shared = Arc::clone(self);
            *acceptor = Some(Acceptor::start(self.addr, move |stream| {
                serve::accept(stream, &shared)
            }));
        }
    }

    /// The process dies. Always an error: the connection of the thread that calls this is reset, too.
    fn die(&self) -> io::Result<()> {
        self.lock().mode = Mode::Refuse;
        self.acceptor().take();
        self.lock().open.values().for_each(|line| line.break_off());
        Err(ErrorKind::ConnectionAborted.into())
    }
}

/// The backend. Answers `200` with its name in the header `X-Backend` and the body, the checksum of the request's
/// body in the header `X-Sum`, and the facts of the request in the body, one `key=value` per line. Query parameters
/// of a request: `delay=ms` pause before the answer, `hold=ms` pause before the request's body is read, `bytes=n`
/// length of the body, `seed=n` it is the [`crate::payload`] of this seed, `drip=ms` one byte per so many ms, `status=n`, `die=word` the connection ends badly
/// (`close`, `reset`, `header`, `header-close`, `body`, `body-close`: see [`Death`]), `at=name` all this at the backend
/// of that name only.
/// `Upgrade: websocket` is answered with 101, then bytes are echoed.
///
/// Probes of the module under test are told from requests (a TLS handshake that the client ends; a User-Agent that
/// names the module) and kept apart: [`Backend::probed`], [`Backend::probes`]. A [`Mode`] of deaths spares them, every
/// other one and [`Backend::say`] hold for them as for requests.
pub struct Backend {
    shared: Arc<Shared>,
}

impl Backend {
    /// Listens on `addr` (`127.0.0.2:9000`, `[fd00::2]:9000`).
    pub fn start(name: &str, addr: &str) -> Backend {
        Backend::with(name, addr, None)
    }

    /// The same through TLS, with a certificate that no one signed.
    pub fn start_tls(name: &str, addr: &str) -> Backend {
        Backend::with(name, addr, Some(tls::config()))
    }

    fn with(name: &str, addr: &str, tls: Option<Arc<ServerConfig>>) -> Backend {
        let addr = addr
            .parse()
            .unwrap_or_else(|_| panic!("not an address with port: {addr}"));
        let state = State {
            mode: Mode::Ok,
            says: HashMap::new(),
            seen: Vec::new(),
            probes: Vec::new(),
            open: HashMap::new(),
        };
        let counters = Counters {
            recording: AtomicBool::new(true),
            ..Counters::default()
        };
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            addr,
            tls,
            counters,
            state: Mutex::new(state),
            acceptor: Mutex::new(None),
        });
        shared.listen();
        Backend { shared }
    }

    pub fn addr(&self) -> SocketAddr {
        self.shared.addr
    }

    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Changes the behaviour from now on; the port is closed or opened as the mode needs it.
    pub fn mode(&self, mode: Mode) {
        self.shared.lock().mode = mode;
        if matches!(mode, Mode::Refuse | Mode::Leave) {
            self.shared.acceptor().take();
            if mode == Mode::Leave {
                let state = self.shared.lock();
                state.open.values().for_each(|line| line.close_idle());
            }
            return;
        }
        self.shared.listen();
        if let Some(acceptor) = self.shared.acceptor().as_mut() {
            match mode {
                Mode::Full => acceptor.fill(),
                _ => acceptor.drain(),
            }
        }
    }

    /// The process dies: the port closes, every connection is reset. All are gone when this returns.
    pub fn kill(&self) {
        let _ = self.shared.die();
        // Each connection's thread closes it; one that is not scheduled yet would still be there.
        for _ in 0..2000 {
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

    /// What is answered to requests for this path (without its query) from now on, whatever the mode.
    pub fn say(&self, path: &str, say: Say) {
        self.shared.lock().says.insert(path.to_owned(), say);
    }

    /// Requests for this path are answered like all others again.
    pub fn say_usual(&self, path: &str) {
        self.shared.lock().says.remove(path);
    }

    /// Closes every open connection in an orderly way, also those with a request under way.
    pub fn close_all(&self) {
        let state = self.shared.lock();
        state.open.values().for_each(|line| line.close());
    }

    /// Resets every open connection.
    pub fn reset_all(&self) {
        let state = self.shared.lock();
        state.open.values().for_each(|line| line.break_off());
    }

    /// Connections since the start on which a request arrived (or, with [`Mode::Reset`], could not), without those of
    /// probes.
    pub fn accepted(&self) -> usize {
        self.shared.counters.accepted.load(Ordering::Relaxed)
    }

    /// Connections of probes since the start: they ended without a byte, within the TLS handshake, or brought a request
    /// of the module itself. TLS handshakes that this backend ended are not among them.
    pub fn probed(&self) -> usize {
        self.shared.counters.probed.load(Ordering::Relaxed)
    }

    /// Connections open now on which a request arrived, without those of probes.
    pub fn open(&self) -> usize {
        let state = self.shared.lock();
        let spoke = |line: &&Arc<Line>| line.spoke.load(Ordering::Relaxed);
        state.open.values().filter(spoke).count()
    }

    /// Connections open now with a request under way.
    pub fn busy(&self) -> usize {
        let state = self.shared.lock();
        let busy = |line: &&Arc<Line>| line.busy.load(Ordering::Relaxed);
        state.open.values().filter(busy).count()
    }

    /// Requests received since the start.
    pub fn requests(&self) -> usize {
        self.shared.counters.requests.load(Ordering::Relaxed)
    }

    /// Requests since the start that ended badly, as a [`Death`], [`Mode::CloseReused`] or [`Mode::BadTls`] wanted it;
    /// those beside a request that killed the process are not counted. Of [`Mode::BadTls`] each handshake is one, also
    /// a probe's.
    pub fn died(&self) -> usize {
        self.shared.counters.died.load(Ordering::Relaxed)
    }

    /// Endless answers ([`Say::Endless`], [`Say::Large`]) whose connection the client ended.
    pub fn cut(&self) -> usize {
        self.shared.counters.cut.load(Ordering::Relaxed)
    }

    /// Every probe that said something since the start or the last [`Backend::forget`], oldest first: TLS handshakes
    /// that were not finished, by whatever side (without method and path), and HTTP requests.
    pub fn probes(&self) -> Vec<Seen> {
        self.shared.lock().probes.clone()
    }

    /// Every request since the start or the last [`Backend::forget`], oldest first.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.lock().seen.clone()
    }

    /// [`Backend::seen`], and the list is empty afterwards: none is told twice or lost.
    pub fn take_seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.shared.lock().seen)
    }

    /// Time of the last request.
    pub fn last_request(&self) -> Option<Instant> {
        self.shared.lock().seen.last().map(|s| s.at)
    }

    /// Empties the lists of requests and of probes (the counters go on).
    pub fn forget(&self) {
        let mut state = self.shared.lock();
        state.seen.clear();
        state.probes.clear();
    }

    /// Whether requests and probes are remembered (default: yes). Counting goes on without.
    pub fn record(&self, on: bool) {
        self.shared.counters.recording.store(on, Ordering::Relaxed);
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.shared.acceptor().take();
        // what stands still would not notice its end
        self.shared.lock().mode = Mode::Refuse;
        self.close_all();
    }
}
