//! A HTTP/2 client, in clear text (prior knowledge) or through TLS: one connection, any number of requests on it at the
//! same time. httpd needs `Protocols h2 h2c http/1.1` and the module `http2`, which does not work under the prefork MPM.

use crate::client::{Failure, Reply};
use crate::pipe;
use crate::request::{Framing, ID_HEADER, PIECE, Request, next_id};
use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;

/// Room for what the server sends, or large answers would wait for the client.
const WINDOW: u32 = 1 << 20;

/// One client with one connection at a time; requests of several threads share it.
pub struct H2Client {
    addr: SocketAddr,
    timeout: Duration,
    secure: bool,
    /// Requests per connection.
    most: usize,
    runtime: Handle,
    connection: Mutex<Option<Connection>>,
    /// Ends the runtime's thread by its drop.
    _end: oneshot::Sender<()>,
}

struct Connection {
    sender: SendRequest<Bytes>,
    ended: Arc<AtomicBool>,
    started: usize,
}

impl H2Client {
    /// `timeout`: for a whole request.
    pub fn new(addr: SocketAddr, timeout: Duration) -> H2Client {
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
        H2Client {
            addr,
            timeout,
            secure: false,
            most: usize::MAX,
            runtime: told.recv().expect("the event loop's thread"),
            connection: Mutex::new(None),
            _end: end,
        }
    }

    /// Through TLS, whatever the server's certificate.
    pub fn secure(mut self) -> H2Client {
        self.secure = true;
        self
    }

    /// A new connection after so many requests; those under way are finished on the old one.
    pub(crate) fn per_connection(mut self, most: usize) -> H2Client {
        self.most = most;
        self
    }

    /// Sends `request` on the kept connection when it still lives, and waits for the answer.
    pub fn send(&self, request: &Request) -> Result<Reply, Failure> {
        self.send_id(request, next_id()).1
    }

    /// Sends all at the same time on one connection; the answers in the order of the requests.
    pub fn send_all(&self, requests: &[Request]) -> Vec<Result<Reply, Failure>> {
        let mut waiting = Vec::new();
        for request in requests {
            let started = self.connected();
            waiting.push(started.map(|(sender, _, _)| self.begin(sender, request, next_id())));
        }
        let finish = |one: Result<mpsc::Receiver<_>, _>| one.and_then(received);
        waiting.into_iter().map(finish).collect()
    }

    /// With it whether this was not the first request of its connection.
    pub(crate) fn send_id(&self, request: &Request, id: u64) -> (bool, Result<Reply, Failure>) {
        match self.connected() {
            Ok((sender, reused, ended)) => {
                let result = received(self.begin(sender, request, id));
                // Said by GOAWAY, too, while other requests on it go on: no further ones.
                if matches!(result, Err(Failure::ClosedWithoutAnswer)) {
                    ended.store(true, Ordering::Relaxed);
                }
                (reused, result)
            }
            Err(failure) => (false, Err(failure)),
        }
    }

    fn begin(&self, sender: Sender, request: &Request, id: u64) -> Answered {
        let (request, limit, secure) = (request.clone(), self.timeout, self.secure);
        self.spawn(async move {
            match tokio::time::timeout(limit, exchange(sender, &request, id, secure)).await {
                Ok(result) => result,
                Err(_) => Err(Failure::Timeout),
            }
        })
    }

    fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> mpsc::Receiver<T> {
        let (tell, told) = mpsc::channel();
        self.runtime.spawn(async move {
            let _ = tell.send(work.await);
        });
        told
    }

    /// The connection, a new one when needed, whether it had a request before, and what says that it has ended.
    fn connected(&self) -> Result<(Sender, bool, Arc<AtomicBool>), Failure> {
        let mut kept = self.connection.lock().expect("no thread panicked with it");
        let most = self.most;
        kept.take_if(|c| c.started >= most || c.ended.load(Ordering::Relaxed));
        let connection = match kept.take() {
            Some(connection) => connection,
            None => received(self.spawn(connect(self.addr, self.timeout, self.secure)))?,
        };
        let connection = kept.insert(connection);
        connection.started += 1;
        let ended = Arc::clone(&connection.ended);
        Ok((connection.sender.clone(), connection.started > 1, ended))
    }
}

type Sender = SendRequest<Bytes>;
type Answered = mpsc::Receiver<Result<Reply, Failure>>;

fn received<T>(from: mpsc::Receiver<Result<T, Failure>>) -> Result<T, Failure> {
    from.recv()
        .unwrap_or_else(|_| Err(Failure::Other("the event loop ended".into())))
}

async fn connect(addr: SocketAddr, limit: Duration, secure: bool) -> Result<Connection, Failure> {
    let failed = |e: &dyn std::fmt::Display| Failure::Connect(e.to_string());
    let connecting = async {
        let stream = TcpStream::connect(addr).await.map_err(|e| failed(&e))?;
        stream.set_nodelay(true).map_err(|e| failed(&e))?;
        if !secure {
            return converse(stream).await;
        }
        let tls = TlsConnector::from(pipe::config(true));
        let stream = tls.connect(pipe::front(), stream).await;
        converse(stream.map_err(|e| failed(&e))?).await
    };
    match tokio::time::timeout(limit, connecting).await {
        Ok(connection) => connection,
        Err(late) => Err(failed(&late)),
    }
}

/// Begins HTTP/2.
async fn converse<S>(stream: S) -> Result<Connection, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(WINDOW);
    builder.initial_connection_window_size(WINDOW);
    let made = builder.handshake(stream).await;
    let (sender, connection) = made.map_err(|e| Failure::Connect(e.to_string()))?;
    let ended = Arc::new(AtomicBool::new(false));
    let tell = Arc::clone(&ended);
    tokio::spawn(async move {
        let _ = connection.await;
        tell.store(true, Ordering::Relaxed);
    });
    Ok(Connection {
        sender,
        ended,
        started: 0,
    })
}

/// One request and its answer.
async fn exchange(
    sender: Sender,
    request: &Request,
    id: u64,
    secure: bool,
) -> Result<Reply, Failure> {
    let mut sender = sender.ready().await.map_err(|e| failure(&e, false))?;
    let ends = request.body.is_empty() && request.framing != Framing::Open;
    let sent = sender.send_request(head_of(request, id, secure), ends);
    let (mut response, stream) = sent.map_err(|e| failure(&e, false))?;
    let mut interim = Vec::new();
    if request.expect && !ends && !go_ahead(&mut response, &mut interim).await? {
        // An answer without 100: the body is not sent.
        return answer(response, interim, id).await;
    }
    let answer = answer(response, interim, id);
    let upload = async move {
        if !ends {
            let _ = upload(stream, request).await;
        }
    };
    tokio::pin!(answer, upload);
    tokio::select! {
        biased;
        reply = &mut answer => reply,
        () = &mut upload => answer.await,
    }
}

fn head_of(request: &Request, id: u64, secure: bool) -> http::Request<()> {
    let scheme = if secure { "https" } else { "http" };
    let mut head = http::Request::builder()
        .method(request.method.as_str())
        .uri(format!("{scheme}://front.test{}", request.path))
        .header(ID_HEADER, id);
    for (name, value) in &request.headers {
        head = head.header(name, value);
    }
    if request.expect {
        head = head.header("expect", "100-continue");
    }
    if request.framing == Framing::Length {
        head = head.header("content-length", request.body.len());
    }
    head.body(()).expect("a request that can be written down")
}

/// Waits for 100; false when another answer came first.
async fn go_ahead(response: &mut ResponseFuture, seen: &mut Vec<u16>) -> Result<bool, Failure> {
    while let Some(status) = interim(response).await? {
        seen.push(status);
        if status == 100 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The next interim answer; `None` when the final one has come.
async fn interim(response: &mut ResponseFuture) -> Result<Option<u16>, Failure> {
    match poll_fn(|cx| response.poll_informational(cx)).await {
        Some(Ok(head)) => Ok(Some(head.status().as_u16())),
        Some(Err(e)) => Err(failure(&e, false)),
        None => Ok(None),
    }
}

async fn answer(
    mut response: ResponseFuture,
    mut seen: Vec<u16>,
    id: u64,
) -> Result<Reply, Failure> {
    while let Some(status) = interim(&mut response).await? {
        seen.push(status);
    }
    let (head, body) = match response.await {
        Ok(response) => response.into_parts(),
        Err(e) => return Err(failure(&e, false)),
    };
    let text = |v: &http::HeaderValue| String::from_utf8_lossy(v.as_bytes()).into_owned();
    let fields = head.headers.iter();
    let fields: Vec<(String, String)> = fields.map(|(n, v)| (n.to_string(), text(v))).collect();
    let backend = head.headers.get("x-backend").map(text).unwrap_or_default();
    Ok(Reply {
        status: head.status.as_u16(),
        backend,
        body: read(body).await?,
        interim: seen,
        id,
        fields,
    })
}

async fn read(mut stream: RecvStream) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(piece) = stream.data().await {
        let piece = piece.map_err(|e| failure(&e, true))?;
        body.extend_from_slice(&piece);
        let _ = stream.flow_control().release_capacity(piece.len());
    }
    Ok(body)
}

/// Sends the body as fast as the server takes it; the error: the server wants no more.
async fn upload(mut stream: SendStream<Bytes>, request: &Request) -> Result<(), h2::Error> {
    for piece in request.body.chunks(PIECE) {
        if let Some(pace) = request.pace {
            tokio::time::sleep(pace).await;
        }
        let mut piece = Bytes::copy_from_slice(piece);
        while !piece.is_empty() {
            stream.reserve_capacity(piece.len());
            if stream.capacity() == 0 {
                match poll_fn(|cx| stream.poll_capacity(cx)).await {
                    Some(room) => room?,
                    None => return Ok(()),
                };
            }
            let now = piece.split_to(piece.len().min(stream.capacity()));
            stream.send_data(now, false)?;
        }
    }
    stream.send_data(Bytes::new(), true)
}

fn failure(e: &h2::Error, answered: bool) -> Failure {
    let torn = e.is_reset() || e.is_go_away() || e.is_io();
    match (torn, answered) {
        (true, true) => Failure::Cut,
        (true, false) if e.is_reset() => Failure::StreamReset(e.to_string()),
        (true, false) => Failure::ClosedWithoutAnswer,
        (false, _) => Failure::Other(e.to_string()),
    }
}
