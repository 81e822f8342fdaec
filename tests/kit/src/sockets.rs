//! A listening socket that can be closed while a thread waits in `accept`, and whose queue can be filled.

use rustix::net::{Shutdown, listen, shutdown};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

/// The standard library's backlog of 128 loses SYNs in a burst; listen(2) may be called again.
const BACKLOG: i32 = 4096;
/// A connect on loopback that takes longer than this met a full queue.
const LOST: Duration = Duration::from_millis(150);

/// Accepts in a thread of its own until dropped.
pub(crate) struct Acceptor {
    listener: Arc<TcpListener>,
    gate: Arc<Gate>,
    addr: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

/// Whether accepted connections are served, and the kit's own connections that fill the queue.
#[derive(Default)]
struct Gate {
    state: Mutex<GateState>,
    opened: Condvar,
}

#[derive(Default)]
struct GateState {
    closed: bool,
    /// The accepting thread has a connection that waits for the gate.
    waiting: bool,
    fillers: Vec<TcpStream>,
    ours: Vec<SocketAddr>,
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, GateState> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Waits while the gate is closed; whether the connection from `peer` is to be served.
    fn passes(&self, peer: SocketAddr) -> bool {
        let mut state = self.lock();
        while state.closed {
            state.waiting = true;
            self.opened.notify_all();
            state = self
                .opened
                .wait(state)
                .unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        !state.ours.contains(&peer)
    }

    fn open(&self) {
        let mut state = self.lock();
        (state.closed, state.waiting) = (false, false);
        state.fillers.clear();
        self.opened.notify_all();
    }
}

impl Acceptor {
    pub(crate) fn start(
        addr: SocketAddr,
        mut each: impl FnMut(TcpStream) + Send + 'static,
    ) -> Acceptor {
        let listener =
            TcpListener::bind(addr).unwrap_or_else(|e| panic!("cannot listen on {addr}: {e}"));
        listen(&listener, BACKLOG).expect("listen");
        let (listener, gate) = (Arc::new(listener), Arc::new(Gate::default()));
        let (ours, door) = (Arc::clone(&listener), Arc::clone(&gate));
        let work = move || {
            while let Ok((stream, peer)) = ours.accept() {
                if door.passes(peer) {
                    each(stream);
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name(format!("accept {addr}"))
            .spawn(work)
            .expect("thread");
        Acceptor {
            listener,
            gate,
            addr,
            thread: Some(thread),
        }
    }

    /// Nothing is accepted any more and the kernel's queue is full: further SYNs are lost.
    ///
    /// # Panics
    /// When the queue does not get full.
    pub(crate) fn fill(&mut self) {
        self.gate.lock().closed = true;
        // One connection waits at the gate, one more than the backlog in the queue.
        listen(&self.listener, 0).expect("listen");
        for _ in 0..64 {
            match TcpStream::connect_timeout(&self.addr, LOST) {
                Ok(stream) => {
                    let mut state = self.gate.lock();
                    state.ours.extend(stream.local_addr());
                    state.fillers.push(stream);
                    // Taken out of the queue later, it would leave a place free.
                    while !state.waiting {
                        state = self
                            .gate
                            .opened
                            .wait(state)
                            .unwrap_or_else(std::sync::PoisonError::into_inner);
                    }
                }
                Err(_) => return,
            }
        }
        panic!("the queue of {} does not get full", self.addr);
    }

    /// Accepts again after [`Acceptor::fill`]: first what has waited.
    pub(crate) fn drain(&mut self) {
        if self.gate.lock().closed {
            listen(&self.listener, BACKLOG).expect("listen");
            self.gate.open();
        }
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        // On Linux this ends a waiting accept(2) and closes the port at once.
        let _ = shutdown(&self.listener, Shutdown::Both);
        self.gate.open();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Runs `work` in a thread with a small stack: tests hold thousands of them.
pub(crate) fn small_thread(work: impl FnOnce() + Send + 'static) {
    let builder = std::thread::Builder::new().stack_size(192 * 1024);
    builder.spawn(work).expect("thread for a connection");
}

/// Closes with a reset (RST) instead of an orderly end.
pub(crate) fn reset(stream: &TcpStream) {
    let _ = rustix::net::sockopt::set_socket_linger(stream, Some(std::time::Duration::ZERO));
}
