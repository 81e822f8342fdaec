//! A listening socket that can be closed while a thread waits in `accept`.

use rustix::net::{Shutdown, listen, shutdown};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;

/// Accepts in a thread of its own until dropped.
pub(crate) struct Acceptor {
    listener: Arc<TcpListener>,
    thread: Option<JoinHandle<()>>,
}

impl Acceptor {
    pub(crate) fn start(
        addr: SocketAddr,
        mut each: impl FnMut(TcpStream) + Send + 'static,
    ) -> Acceptor {
        let listener =
            TcpListener::bind(addr).unwrap_or_else(|e| panic!("cannot listen on {addr}: {e}"));
        // The standard library's backlog of 128 loses SYNs in a burst; listen(2) may be called again.
        listen(&listener, 4096).expect("listen");
        let listener = Arc::new(listener);
        let ours = Arc::clone(&listener);
        let work = move || {
            while let Ok((stream, _)) = ours.accept() {
                each(stream);
            }
        };
        let thread = std::thread::Builder::new()
            .name(format!("accept {addr}"))
            .spawn(work)
            .expect("thread");
        Acceptor {
            listener,
            thread: Some(thread),
        }
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        // On Linux this ends a waiting accept(2) and closes the port at once.
        let _ = shutdown(&self.listener, Shutdown::Both);
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
