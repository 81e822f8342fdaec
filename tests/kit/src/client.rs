//! A HTTP/1.1 client with one kept-alive connection.

use crate::http::Inbox;
use std::io::{self, ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Request header that joins a request with httpd's access log.
pub(crate) const ID_HEADER: &str = "X-Id";

/// A request id no other request of this process has.
pub(crate) fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Why a request got no whole answer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// No connection to the server.
    Connect(String),
    /// The connection ended before the first byte of an answer.
    ClosedWithoutAnswer,
    /// The answer broke off.
    Cut,
    /// No (whole) answer within the client's time-out.
    Timeout,
    /// Anything else.
    Other(String),
}

/// What to send.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub body: Vec<u8>,
    pub headers: Vec<(String, String)>,
}

impl Request {
    pub fn get(path: &str) -> Request {
        Request {
            method: "GET".into(),
            path: path.into(),
            body: Vec::new(),
            headers: Vec::new(),
        }
    }

    /// A POST of `length` bytes.
    pub fn post(path: &str, length: usize) -> Request {
        Request {
            method: "POST".into(),
            body: vec![b'x'; length],
            ..Request::get(path)
        }
    }

    pub fn header(mut self, name: &str, value: &str) -> Request {
        self.headers.push((name.into(), value.into()));
        self
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    /// Identity of the backend (`X-Backend`); empty when no backend of the kit answered.
    pub backend: String,
    pub body: Vec<u8>,
    pub(crate) id: u64,
    fields: Vec<(String, String)>,
}

impl Reply {
    /// First header field of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// One client with one connection at a time.
pub struct Client {
    addr: SocketAddr,
    timeout: Duration,
    stream: Option<Inbox<TcpStream>>,
    /// Requests answered on the present connection.
    pub(crate) answered: usize,
}

impl Client {
    /// `timeout`: for each single wait of a request.
    pub fn new(addr: SocketAddr, timeout: Duration) -> Client {
        Client {
            addr,
            timeout,
            stream: None,
            answered: 0,
        }
    }

    /// Closes the connection; the next request opens another.
    pub fn close(&mut self) {
        self.stream = None;
        self.answered = 0;
    }

    /// Sends `request`, on the kept connection when it still lives.
    pub fn send(&mut self, request: &Request) -> Result<Reply, Failure> {
        self.send_id(request, next_id())
    }

    pub(crate) fn send_id(&mut self, request: &Request, id: u64) -> Result<Reply, Failure> {
        self.connect()?;
        let inbox = self.stream.as_mut().expect("connected");
        inbox.mark();
        let result = exchange(inbox, request, id);
        let got = inbox.got;
        match result {
            Ok((reply, keep)) => {
                self.answered += 1;
                if !keep {
                    self.close();
                }
                Ok(reply)
            }
            Err(e) => {
                self.close();
                Err(classify(&e, got))
            }
        }
    }

    /// Sends an `Upgrade: websocket` request; on 101 the raw stream (and what came behind the head).
    pub fn upgrade(mut self, path: &str) -> Result<TcpStream, Failure> {
        self.connect()?;
        let mut inbox = self.stream.take().expect("connected");
        let text = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\n{ID_HEADER}: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
            self.addr,
            next_id()
        );
        let head = inbox
            .source()
            .write_all(text.as_bytes())
            .and_then(|()| inbox.head());
        let head = head.map_err(|e| classify(&e, inbox.got))?;
        match status_of(&head.start) {
            Some(101) => inbox
                .source()
                .try_clone()
                .map_err(|e| Failure::Other(e.to_string())),
            _ => Err(Failure::Other(head.start)),
        }
    }

    fn connect(&mut self) -> Result<(), Failure> {
        // As browsers do: a kept connection that the server has closed meanwhile is not used again.
        if self.stream.as_ref().is_some_and(|s| !usable(s.source())) {
            self.close();
        }
        if self.stream.is_none() {
            let failed = |e: io::Error| Failure::Connect(e.to_string());
            let stream = TcpStream::connect_timeout(&self.addr, self.timeout).map_err(failed)?;
            stream.set_nodelay(true).map_err(failed)?;
            stream
                .set_read_timeout(Some(self.timeout))
                .map_err(failed)?;
            stream
                .set_write_timeout(Some(self.timeout))
                .map_err(failed)?;
            self.stream = Some(Inbox::new(stream));
            self.answered = 0;
        }
        Ok(())
    }
}

fn usable(stream: &TcpStream) -> bool {
    if stream.set_nonblocking(true).is_err() {
        return false;
    }
    let quiet = matches!(stream.peek(&mut [0]), Err(e) if e.kind() == ErrorKind::WouldBlock);
    stream.set_nonblocking(false).is_ok() && quiet
}

/// Sends and reads one answer; with it whether the connection may be used again.
fn exchange(inbox: &mut Inbox<TcpStream>, request: &Request, id: u64) -> io::Result<(Reply, bool)> {
    let mut text = format!(
        "{} {} HTTP/1.1\r\n{ID_HEADER}: {id}\r\n",
        request.method, request.path
    );
    if !request
        .headers
        .iter()
        .any(|(n, _)| n.eq_ignore_ascii_case("host"))
    {
        text += "Host: front.test\r\n";
    }
    for (name, value) in &request.headers {
        text += &format!("{name}: {value}\r\n");
    }
    if request.method != "GET" {
        text += &format!("Content-Length: {}\r\n", request.body.len());
    }
    text += "\r\n";
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(&request.body);
    let mut stream = inbox.source();
    let sent = stream.write_all(&bytes);
    let head = inbox.head();
    // A server may answer and close before it has read everything.
    let head = match (head, sent) {
        (Ok(head), _) => head,
        (Err(e), _) => return Err(e),
    };
    let status = status_of(&head.start).ok_or(ErrorKind::InvalidData)?;
    let bodyless = request.method == "HEAD" || status == 204 || status == 304;
    let body = if bodyless {
        Vec::new()
    } else {
        inbox.body(&head, true)?
    };
    let framed = bodyless || head.chunked() || head.length().is_some();
    let keep = framed && !head.has_token("connection", "close");
    let backend = head.get("x-backend").unwrap_or_default().to_owned();
    Ok((
        Reply {
            status,
            backend,
            body,
            id,
            fields: head.fields,
        },
        keep,
    ))
}

fn status_of(start: &str) -> Option<u16> {
    start.split(' ').nth(1)?.parse().ok()
}

fn classify(e: &io::Error, got: usize) -> Failure {
    match e.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Failure::Timeout,
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
            if got == 0 =>
        {
            Failure::ClosedWithoutAnswer
        }
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
            Failure::Cut
        }
        _ => Failure::Other(e.to_string()),
    }
}
