//! Peers that answer any number of probes with little effort, and remember when each came. One thread for all:
//! the figures are about the prober.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::Builder;

const BACKLOG: u32 = 4096;
const PAGE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
/// A TLS alert: a server that is there.
const ALERT: &[u8] = b"\x15\x03\x03\x00\x02\x02\x28";

/// What a port does with a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing: the connect is all.
    Tcp,
    /// An alert, when something has come.
    Tls,
    /// An empty page, when something has come.
    Http,
}

/// When each address was connected to.
pub type Visits = HashMap<IpAddr, Vec<Instant>>;

#[derive(Clone, Default)]
pub struct Peers(Arc<Mutex<Visits>>);

impl Peers {
    /// Listens on these ports of every address, until the program ends.
    pub fn start(ports: &[(u16, Kind)]) -> Peers {
        let peers = Peers::default();
        let (ours, ports) = (peers.clone(), ports.to_vec());
        std::thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_io().build();
            runtime.expect("runtime").block_on(async {
                for (port, kind) in &ports[1..] {
                    tokio::spawn(ours.clone().listen(*port, *kind));
                }
                ours.listen(ports[0].0, ports[0].1).await;
            });
        });
        peers
    }

    /// What was remembered since the last call.
    pub fn take(&self) -> Visits {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Visits> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn listen(self, port: u16, kind: Kind) {
        let socket = TcpSocket::new_v4().expect("socket");
        socket.set_reuseaddr(true).expect("option of a socket");
        let addr = SocketAddr::from(([0, 0, 0, 0], port));
        socket.bind(addr).expect("a free port");
        let listener = socket.listen(BACKLOG).expect("listen");
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                continue;
            };
            if let Ok(local) = stream.local_addr() {
                let mut visits = self.lock();
                visits.entry(local.ip()).or_default().push(Instant::now());
            }
            match kind {
                Kind::Tcp => {}
                Kind::Tls => drop(tokio::spawn(answer(stream, ALERT))),
                Kind::Http => drop(tokio::spawn(answer(stream, PAGE))),
            }
        }
    }
}

/// Reads once, answers, and closes when the other side has.
async fn answer(stream: TcpStream, bytes: &'static [u8]) -> io::Result<()> {
    let mut buffer = [0; 2048];
    let mut answered = false;
    loop {
        stream.readable().await?;
        match stream.try_read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(_) if !answered => {
                stream.try_write(bytes)?;
                answered = true;
            }
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(e),
        }
    }
}
