//! A HTTP/2 backend in clear text (prior knowledge) that says who it is, remembers, and dies on command.

use crate::backend::{body_of, checksum};
use crate::request::ID_HEADER;
use crate::sockets::{Acceptor, reset};
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use std::collections::HashMap;
use std::future::poll_fn;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, mpsc};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

/// What was sent is with httpd before the connection ends.
const SETTLED: Duration = Duration::from_millis(50);
/// Largest piece of a body.
const PIECE: usize = 16 * 1024;

/// How a request of a [`H2Backend`] ends badly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum H2Death {
    /// Read, then the connection is closed (FIN) without a word.
    Close,
    /// Read, then the connection is reset.
    Reset,
    /// The head of the answer, then the connection is reset.
    Head,
    /// The head and half of the body, then the connection is reset.
    Body,
    /// The head and half of the body, then only the stream is reset (`INTERNAL_ERROR`).
    Stream,
    /// Read, then only the stream is reset.
    Refused,
}

impl H2Death {
    /// The word of the query parameter `die`.
    fn from_word(word: &str) -> Option<H2Death> {
        Some(match word {
            "close" => H2Death::Close,
            "reset" => H2Death::Reset,
            "head" => H2Death::Head,
            "body" => H2Death::Body,
            "stream" => H2Death::Stream,
            "refused" => H2Death::Refused,
            _ => return None,
        })
    }
}

/// How the backend behaves towards requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum H2Mode {
    Ok,
    /// Requests are read and never answered.
    Hang,
    /// Each request ends so.
    Die(H2Death),
    /// The next request ends so, and no other.
    Once(H2Death),
    /// The next request kills the process after this much of the answer.
    Kill(H2Death),
}

/// A request that was read to its end.
#[derive(Debug, Clone)]
pub struct H2Seen {
    pub method: String,
    pub path: String,
    /// `:authority`.
    pub authority: String,
    /// The id of the kit's client.
    pub id: u64,
    pub length: usize,
    /// Checksum of the body.
    pub sum: u64,
    /// Number of the connection it came on.
    pub connection: usize,
}

struct Line {
    stream: TcpStream,
    task: Option<AbortHandle>,
}

struct State {
    mode: H2Mode,
    seen: Vec<H2Seen>,
    open: HashMap<usize, Line>,
    connections: usize,
}

struct Shared {
    name: String,
    addr: SocketAddr,
    runtime: Handle,
    busy: AtomicUsize,
    state: Mutex<State>,
    acceptor: Mutex<Option<Acceptor>>,
}

/// The backend. Answers 200 with its name in the header `X-Backend`. Query parameters of a request: `delay=ms`,
/// `bytes=n` length of the answer's body, `seed=n` it is the [`crate::payload`] of this seed, `open=1` its length is not told, `status=n`, `die=word` (`close`, `reset`, `head`, `body`, `stream`, `refused`: see
/// [`H2Death`]).
pub struct H2Backend {
    shared: Arc<Shared>,
    /// Ends the runtime's thread by its drop.
    _end: oneshot::Sender<()>,
}

impl H2Backend {
    /// Listens on `addr`.
    pub fn start(name: &str, addr: &str) -> H2Backend {
        let (end, ended) = oneshot::channel::<()>();
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("an event loop");
            let _ = tell.send(runtime.handle().clone());
            let _ = runtime.block_on(ended);
        });
        let state = State {
            mode: H2Mode::Ok,
            seen: Vec::new(),
            open: HashMap::new(),
            connections: 0,
        };
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            addr: addr.parse().expect("an address with port"),
            runtime: told.recv().expect("the event loop's thread"),
            busy: AtomicUsize::new(0),
            state: Mutex::new(state),
            acceptor: Mutex::new(None),
        });
        shared.listen();
        H2Backend { shared, _end: end }
    }

    pub fn mode(&self, mode: H2Mode) {
        self.shared.lock().mode = mode;
    }

    /// The process dies: the port is closed, every connection is reset.
    pub fn kill(&self) {
        wait_for(&self.shared.die());
    }

    /// Resets every open connection.
    pub fn reset_all(&self) {
        wait_for(&self.shared.reset_all());
    }

    /// Back after a kill or any mode.
    pub fn revive(&self) {
        self.mode(H2Mode::Ok);
        self.shared.listen();
    }

    /// Requests under way.
    pub fn busy(&self) -> usize {
        self.shared.busy.load(Ordering::Relaxed)
    }

    /// Connections open now.
    pub fn open(&self) -> usize {
        self.shared.lock().open.len()
    }

    /// Every request that was read to its end, oldest first.
    pub fn seen(&self) -> Vec<H2Seen> {
        self.shared.lock().seen.clone()
    }

    /// [`H2Backend::seen`], and the list is empty afterwards: none is told twice or lost.
    pub fn take_seen(&self) -> Vec<H2Seen> {
        std::mem::take(&mut self.shared.lock().seen)
    }

    pub fn forget(&self) {
        self.shared.lock().seen.clear();
    }
}

impl Drop for H2Backend {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn listen(self: &Arc<Self>) {
        let mut acceptor = self.acceptor.lock().expect("no thread panicked with it");
        if acceptor.is_none() {
            let shared = Arc::clone(self);
            *acceptor = Some(Acceptor::start(self.addr, move |stream| {
                shared.accept(stream)
            }));
        }
    }

    fn accept(self: &Arc<Self>, stream: TcpStream) {
        let (Ok(kept), Ok(())) = (stream.try_clone(), stream.set_nonblocking(true)) else {
            return;
        };
        let _ = stream.set_nodelay(true);
        let mut state = self.lock();
        state.connections += 1;
        let number = state.connections;
        let line = Line {
            stream: kept,
            task: None,
        };
        state.open.insert(number, line);
        let shared = Arc::clone(self);
        let task = self.runtime.spawn(async move {
            let _ = shared.converse(stream, number).await;
            shared.lock().open.remove(&number);
        });
        if let Some(line) = state.open.get_mut(&number) {
            line.task = Some(task.abort_handle());
        }
    }

    async fn converse(self: &Arc<Self>, stream: TcpStream, number: usize) -> Result<(), h2::Error> {
        let Ok(stream) = tokio::net::TcpStream::from_std(stream) else {
            return Ok(());
        };
        let mut connection = h2::server::handshake(stream).await?;
        while let Some(request) = connection.accept().await {
            let (request, respond) = request?;
            let shared = Arc::clone(self);
            tokio::spawn(async move {
                shared.busy.fetch_add(1, Ordering::Relaxed);
                let _ = shared.serve(request, respond, number).await;
                shared.busy.fetch_sub(1, Ordering::Relaxed);
            });
        }
        Ok(())
    }

    /// The connection ends, its other requests with it.
    fn end(&self, number: usize, orderly: bool) -> Option<AbortHandle> {
        let line = self.lock().open.remove(&number)?;
        match orderly {
            true => drop(line.stream.shutdown(Shutdown::Both)),
            false => reset(&line.stream),
        }
        line.task.inspect(AbortHandle::abort)
    }

    /// The tasks of the connections that are about to end.
    fn die(&self) -> Vec<AbortHandle> {
        let mut acceptor = self.acceptor.lock().expect("no thread panicked with it");
        acceptor.take();
        drop(acceptor);
        self.reset_all()
    }

    fn reset_all(&self) -> Vec<AbortHandle> {
        let numbers: Vec<usize> = self.lock().open.keys().copied().collect();
        let end = |number| self.end(number, false);
        numbers.into_iter().filter_map(end).collect()
    }

    async fn serve(
        &self,
        request: http::Request<RecvStream>,
        mut respond: SendResponse<Bytes>,
        connection: usize,
    ) -> Result<(), h2::Error> {
        let (head, body) = request.into_parts();
        let target = head.uri.path_and_query();
        let path = target.map_or("/", |p| p.as_str()).to_owned();
        if head.headers.contains_key("expect") {
            let go_ahead = http::Response::builder().status(100).body(());
            respond.send_informational(go_ahead.expect("a status"))?;
        }
        let mode = self.record(&head, &path, &read(body).await?, connection);
        let death = match mode {
            H2Mode::Ok => word(&path, "die").and_then(H2Death::from_word),
            H2Mode::Die(death) | H2Mode::Once(death) | H2Mode::Kill(death) => Some(death),
            H2Mode::Hang => return poll_fn(|cx| respond.poll_reset(cx)).await.map(drop),
        };
        if let Some(delay) = number(&path, "delay") {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        let bare = head.method == http::Method::HEAD;
        // The stream ends when this is dropped.
        let _sent = self.answer(&mut respond, &path, bare, death).await?;
        let Some(death) = death else { return Ok(()) };
        tokio::time::sleep(SETTLED).await;
        match (mode, death) {
            (H2Mode::Kill(_), _) => drop(self.die()),
            (_, H2Death::Stream | H2Death::Refused) => respond.send_reset(Reason::INTERNAL_ERROR),
            _ => drop(self.end(connection, death == H2Death::Close)),
        }
        Ok(())
    }

    /// Remembers a request; the mode of its moment.
    fn record(
        &self,
        head: &http::request::Parts,
        path: &str,
        body: &[u8],
        connection: usize,
    ) -> H2Mode {
        let id = head.headers.get(ID_HEADER);
        let authority = head.uri.authority().map(ToString::to_string);
        let seen = H2Seen {
            method: head.method.to_string(),
            path: path.to_owned(),
            authority: authority.unwrap_or_default(),
            id: id
                .and_then(|v| v.to_str().ok()?.parse().ok())
                .unwrap_or_default(),
            length: body.len(),
            sum: checksum(body),
            connection,
        };
        let mut state = self.lock();
        state.seen.push(seen);
        let mode = state.mode;
        if matches!(mode, H2Mode::Once(_)) {
            state.mode = H2Mode::Ok;
        }
        mode
    }

    /// Sends the answer, or as much of it as this death lets through.
    async fn answer(
        &self,
        respond: &mut SendResponse<Bytes>,
        path: &str,
        bare: bool,
        death: Option<H2Death>,
    ) -> Result<Option<SendStream<Bytes>>, h2::Error> {
        let size = number(path, "bytes").unwrap_or(100) as usize;
        let part = match death {
            None => size,
            Some(H2Death::Body | H2Death::Stream) => size / 2,
            Some(H2Death::Head) => 0,
            Some(_) => return Ok(None),
        };
        let mut stream = respond.send_response(self.head(path, size), bare && death.is_none())?;
        if !bare {
            let mut body = Bytes::from(body_of(number(path, "seed"), size));
            send(&mut stream, body.split_to(part), death.is_none()).await?;
        }
        Ok(Some(stream))
    }

    fn head(&self, path: &str, size: usize) -> http::Response<()> {
        let head = http::Response::builder()
            .status(number(path, "status").unwrap_or(200) as u16)
            .header("x-backend", &self.name)
            .header("set-cookie", "of=the-backend");
        let head = match number(path, "open") {
            None => head.header("content-length", size),
            Some(_) => head,
        };
        head.body(()).expect("a head that can be written down")
    }
}

/// Their connections are closed when this returns.
fn wait_for(tasks: &[AbortHandle]) {
    for _ in 0..2000 {
        if tasks.iter().all(AbortHandle::is_finished) {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

async fn read(mut stream: RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut body = Vec::new();
    while let Some(piece) = stream.data().await {
        let piece = piece?;
        body.extend_from_slice(&piece);
        let _ = stream.flow_control().release_capacity(piece.len());
    }
    Ok(body)
}

async fn send(
    stream: &mut SendStream<Bytes>,
    mut body: Bytes,
    ends: bool,
) -> Result<(), h2::Error> {
    if ends && body.is_empty() {
        return stream.send_data(body, true);
    }
    while !body.is_empty() {
        stream.reserve_capacity(body.len().min(PIECE));
        let room = match stream.capacity() {
            0 => match poll_fn(|cx| stream.poll_capacity(cx)).await {
                Some(room) => room?,
                None => return Ok(()),
            },
            room => room,
        };
        let now = body.split_to(body.len().min(room).min(PIECE));
        stream.send_data(now, ends && body.is_empty())?;
    }
    Ok(())
}

fn word<'p>(path: &'p str, key: &str) -> Option<&'p str> {
    let (_, query) = path.split_once('?')?;
    let find = |p: &'p str| p.strip_prefix(key)?.strip_prefix('=');
    query.split('&').find_map(find)
}

fn number(path: &str, key: &str) -> Option<u64> {
    word(path, key)?.parse().ok()
}
