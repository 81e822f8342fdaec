//! A HTTP/1.1 client with one kept-alive connection, in clear text or through TLS.

use crate::http::{Head, Inbox};
use crate::pipe::Pipe;
use crate::request::{Framing, ID_HEADER, PIECE, Request, next_id};
use std::io::{self, ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Why a request got no whole answer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// No connection to the server.
    Connect(String),
    /// The connection ended before the first byte of a (final) answer.
    ClosedWithoutAnswer,
    /// HTTP/2: the stream was reset before an answer; the reason.
    StreamReset(String),
    /// The answer broke off.
    Cut,
    /// No (whole) answer within the client's time-out.
    Timeout,
    /// Anything else.
    Other(String),
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    /// Identity of the backend (`X-Backend`); empty when no backend of the kit answered.
    pub backend: String,
    pub body: Vec<u8>,
    /// Status codes of interim answers (100, 103) that came before.
    pub interim: Vec<u16>,
    pub(crate) id: u64,
    pub(crate) fields: Vec<(String, String)>,
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
    secure: bool,
    stream: Option<Inbox<Pipe>>,
    /// Requests answered on the present connection.
    pub(crate) answered: usize,
}

impl Client {
    /// `timeout`: for each single wait of a request.
    pub fn new(addr: SocketAddr, timeout: Duration) -> Client {
        Client {
            addr,
            timeout,
            secure: false,
            stream: None,
            answered: 0,
        }
    }

    /// Through TLS, whatever the server's certificate.
    pub fn secure(self) -> Client {
        Client {
            secure: true,
            ..self
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

    /// Without TLS: sends an `Upgrade: websocket` request; on 101 the raw stream (and what came behind the head).
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
            .source_mut()
            .write_all(text.as_bytes())
            .and_then(|()| inbox.head());
        let head = head.map_err(|e| classify(&e, inbox.got))?;
        match status_of(&head.start) {
            Some(101) => inbox
                .source()
                .tcp()
                .try_clone()
                .map_err(|e| Failure::Other(e.to_string())),
            _ => Err(Failure::Other(head.start)),
        }
    }

    /// Whether the next request goes on the present connection. As browsers do: one that the server has closed
    /// meanwhile is not used again.
    pub fn is_kept(&mut self) -> bool {
        let kept = self.stream.as_mut();
        kept.is_some_and(|s| s.source_mut().quiet().unwrap_or(false))
    }

    fn connect(&mut self) -> Result<(), Failure> {
        if !self.is_kept() {
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
            let pipe = match self.secure {
                true => Pipe::secure(stream).map_err(failed)?,
                false => Pipe::Plain(stream),
            };
            self.stream = Some(Inbox::new(pipe));
            self.answered = 0;
        }
        Ok(())
    }
}

/// Sends and reads one answer; with it whether the connection may be used again.
fn exchange(inbox: &mut Inbox<Pipe>, request: &Request, id: u64) -> io::Result<(Reply, bool)> {
    let mut interim = Vec::new();
    let sent = write(inbox, head_of(request, id).as_bytes());
    let early = match request.expect {
        true => go_ahead(inbox, &mut interim)?,
        false => None,
    };
    let (head, whole) = match early {
        Some(head) => (head, request.body.is_empty()),
        None => {
            let whole = sent && send_body(inbox, request)?;
            (final_head(inbox, &mut interim)?, whole)
        }
    };
    let status = status_of(&head.start).ok_or(ErrorKind::InvalidData)?;
    let bodyless = request.method == "HEAD" || status == 204 || status == 304;
    let body = if bodyless {
        Vec::new()
    } else {
        inbox.body(&head, true)?
    };
    let framed = bodyless || head.chunked() || head.length().is_some();
    let keep = whole && framed && !head.has_token("connection", "close");
    let backend = head.get("x-backend").unwrap_or_default().to_owned();
    let reply = Reply {
        status,
        backend,
        body,
        interim,
        id,
        fields: head.fields,
    };
    Ok((reply, keep))
}

fn head_of(request: &Request, id: u64) -> String {
    let mut text = format!(
        "{} {} HTTP/1.1\r\n{ID_HEADER}: {id}\r\n",
        request.method, request.path
    );
    let given = |name: &str| {
        let mut names = request.headers.iter();
        names.any(|(n, _)| n.eq_ignore_ascii_case(name))
    };
    if !given("host") {
        text += "Host: front.test\r\n";
    }
    for (name, value) in &request.headers {
        text += &format!("{name}: {value}\r\n");
    }
    if request.expect {
        text += "Expect: 100-continue\r\n";
    }
    match request.framing {
        Framing::Length => text += &format!("Content-Length: {}\r\n", request.body.len()),
        Framing::Open => text += "Transfer-Encoding: chunked\r\n",
        Framing::Bare => assert!(request.body.is_empty(), "a bare request with a body"),
    }
    text + "\r\n"
}

/// Whether the server took it. One that has answered and closed did not; its answer is still to be read.
fn write(inbox: &mut Inbox<Pipe>, bytes: &[u8]) -> bool {
    let pipe = inbox.source_mut();
    pipe.write_all(bytes).and_then(|()| pipe.flush()).is_ok()
}

/// Waits for 100; another answer than that is returned.
fn go_ahead(inbox: &mut Inbox<Pipe>, interim: &mut Vec<u16>) -> io::Result<Option<Head>> {
    loop {
        let head = inbox.head()?;
        match status_of(&head.start) {
            Some(status @ (100 | 102..=199)) => {
                interim.push(status);
                inbox.mark();
                if status == 100 {
                    return Ok(None);
                }
            }
            _ => return Ok(Some(head)),
        }
    }
}

fn final_head(inbox: &mut Inbox<Pipe>, interim: &mut Vec<u16>) -> io::Result<Head> {
    loop {
        if let Some(head) = go_ahead(inbox, interim)? {
            return Ok(head);
        }
    }
}

/// Sends the body until an answer comes before its end, as user agents do; whether it was sent whole.
fn send_body(inbox: &mut Inbox<Pipe>, request: &Request) -> io::Result<bool> {
    let chunked = request.framing == Framing::Open;
    for piece in request.body.chunks(PIECE) {
        std::thread::sleep(request.pace.unwrap_or_default());
        if !inbox.source_mut().quiet()? {
            return Ok(false);
        }
        let sent = match chunked {
            true => {
                let size = format!("{:x}\r\n", piece.len());
                write(inbox, &[size.as_bytes(), piece, b"\r\n"].concat())
            }
            false => write(inbox, piece),
        };
        if !sent {
            return Ok(false);
        }
    }
    Ok(!chunked || write(inbox, b"0\r\n\r\n"))
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
