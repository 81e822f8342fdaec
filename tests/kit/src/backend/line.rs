//! One connection of a backend: bytes in clear text or through TLS, and its end at any instant.

use crate::sockets::reset;
use rustls::server::{Accepted, Acceptor};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// A write that waits for the peer's window looks this often whether the connection was broken off.
const LOOK: Duration = Duration::from_millis(100);
/// An orderly end waits so long for the peer's own.
const FAREWELL: Duration = Duration::from_millis(500);

/// A connection as others than its own thread see it.
pub(super) struct Line {
    stream: TcpStream,
    /// Asked at the begin: a reset takes it away. Without port when it came before.
    peer: SocketAddr,
    broken: Mutex<bool>,
    changed: Condvar,
    /// A request has arrived that is no probe.
    pub(super) spoke: AtomicBool,
    /// A request is under way.
    pub(super) busy: AtomicBool,
}

impl Line {
    pub(super) fn new(stream: TcpStream) -> Line {
        let _ = stream.set_nodelay(true);
        let _ = stream.set_write_timeout(Some(LOOK));
        let nobody = SocketAddr::from(([0, 0, 0, 0], 0));
        Line {
            peer: stream.peer_addr().unwrap_or(nobody),
            stream,
            broken: Mutex::new(false),
            changed: Condvar::new(),
            spoke: AtomicBool::new(false),
            busy: AtomicBool::new(false),
        }
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    fn broken(&self) -> MutexGuard<'_, bool> {
        self.broken
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Resets the connection. Its thread, whatever it waits for, notices at once and closes it.
    pub(super) fn break_off(&self) {
        *self.broken() = true;
        self.changed.notify_all();
        // shutdown would send a FIN first; with the linger time 0 the close sends RST.
        reset(&self.stream);
        let _ = self.stream.shutdown(Shutdown::Read);
    }

    /// Closes the connection, also with a request under way.
    pub(super) fn close(&self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Closes the connection unless a request is under way.
    pub(super) fn close_idle(&self) {
        if !self.busy.load(Ordering::Relaxed) {
            // Its thread reads the end, says goodbye and closes.
            let _ = self.stream.shutdown(Shutdown::Read);
        }
    }

    /// Waits; an error when the connection is broken off before.
    pub(super) fn pause(&self, time: Duration) -> io::Result<()> {
        let end = Instant::now() + time;
        let mut broken = self.broken();
        while !*broken {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            broken = self
                .changed
                .wait_timeout(broken, left)
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .0;
        }
        Err(ErrorKind::ConnectionAborted.into())
    }

    fn check(&self) -> io::Result<()> {
        self.pause(Duration::ZERO)
    }

    /// Waits until the connection has ended; bytes that come are dropped.
    pub(super) fn wait_end(&self) {
        let mut rest = [0; 4096];
        while matches!((&self.stream).read(&mut rest), Ok(n) if n > 0) {}
    }

    /// Whether the peer has ended the connection, and left nothing to read.
    pub(super) fn is_over(&self) -> bool {
        let _ = self.stream.set_nonblocking(true);
        let got = self.stream.peek(&mut [0]);
        let _ = self.stream.set_nonblocking(false);
        matches!(got, Ok(0)) || matches!(got, Err(e) if e.kind() != ErrorKind::WouldBlock)
    }

    /// Waits for a byte without taking it; `false` at the end of the stream.
    pub(super) fn wait_byte(&self) -> bool {
        matches!(self.stream.peek(&mut [0]), Ok(n) if n > 0) && self.check().is_ok()
    }
}

/// The bytes of a [`Line`]; for its own thread.
pub(super) struct Socket(Arc<Line>);

impl Read for Socket {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = (&self.0.stream).read(buf)?;
        // What had arrived before the end came is lost with a process that was killed.
        self.0.check()?;
        Ok(n)
    }
}

impl Write for Socket {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        loop {
            self.0.check()?;
            match (&self.0.stream).write(buf) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                other => return other,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a backend reads from and writes to.
pub(super) enum Wire {
    Plain(Socket),
    Tls(Box<StreamOwned<ServerConnection, Socket>>),
}

impl Wire {
    pub(super) fn plain(line: &Arc<Line>) -> Wire {
        Wire::Plain(Socket(Arc::clone(line)))
    }

    /// Reads the first message of a TLS handshake.
    pub(super) fn hello(line: &Arc<Line>) -> io::Result<Accepted> {
        let mut hello = Acceptor::default();
        let mut socket = Socket(Arc::clone(line));
        loop {
            if hello.read_tls(&mut socket)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            if let Some(accepted) = hello.accept().map_err(|(e, _)| io::Error::other(e))? {
                return Ok(accepted);
            }
        }
    }

    /// Does the rest of the TLS handshake.
    pub(super) fn tls(
        line: &Arc<Line>,
        hello: Accepted,
        config: &Arc<ServerConfig>,
    ) -> io::Result<Wire> {
        let mut socket = Socket(Arc::clone(line));
        let started = hello.into_connection(Arc::clone(config));
        let mut tls = started.map_err(|(e, mut alert)| {
            let _ = alert.write_all(&mut socket);
            io::Error::other(e)
        })?;
        while tls.is_handshaking() {
            tls.complete_io(&mut socket)?;
        }
        Ok(Wire::Tls(Box::new(StreamOwned::new(tls, socket))))
    }

    /// Bytes of the peer that are here already, behind the socket.
    pub(super) fn holds(&mut self) -> bool {
        match self {
            Wire::Plain(_) => false,
            Wire::Tls(tls) => tls
                .conn
                .process_new_packets()
                .is_ok_and(|state| state.plaintext_bytes_to_read() > 0),
        }
    }

    /// The last words of TLS; in clear text there are none.
    pub(super) fn goodbye(&mut self) {
        if let Wire::Tls(tls) = self {
            tls.conn.send_close_notify();
            let _ = tls.flush();
        }
    }

    /// Ends in an orderly way, with a FIN, though bytes of the peer may not have been read.
    pub(super) fn end(&mut self) {
        self.goodbye();
        let socket = match self {
            Wire::Plain(socket) => socket,
            Wire::Tls(tls) => &mut tls.sock,
        };
        let stream = &socket.0.stream;
        let _ = stream.shutdown(Shutdown::Write);
        let _ = stream.set_read_timeout(Some(FAREWELL));
        // Closed with bytes unread, the kernel would send a reset.
        let mut rest = [0; 4096];
        while matches!((&*stream).read(&mut rest), Ok(n) if n > 0) {}
    }
}

impl Read for Wire {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Wire::Plain(socket) => socket.read(buf),
            Wire::Tls(tls) => tls.read(buf),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Wire::Plain(socket) => socket.write(buf),
            Wire::Tls(tls) => tls.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Wire::Plain(socket) => socket.flush(),
            Wire::Tls(tls) => tls.flush(),
        }
    }
}
