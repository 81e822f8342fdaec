//! One probe: does the address accept TCP connections?

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::net::{TcpSocket, TcpStream};

use super::target::Kind;
use crate::logic::health::Reason;

/// How late the timer of a probe may fire; when it is later, this process was not run for a while and its
/// clock says nothing about the backend.
pub const LATE: Duration = Duration::from_millis(250);

/// When in its life a connection failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// The system refused to begin.
    AtOnce,
    /// The connection had begun: the network or the peer said so.
    Later,
}

/// A probe under way.
pub type Connecting = Pin<Box<dyn Future<Output = Result<(), Reason>> + Send>>;
/// What begins a probe of an address, with the time it may take; tests have their own.
pub type Connector = Box<dyn Fn(&Kind, SocketAddr, Duration) -> Connecting>;

/// The real thing.
pub fn connector() -> Connector {
    Box::new(|kind, addr, timeout| match kind {
        Kind::Tcp | Kind::Tls(_) | Kind::Http(_) => Box::pin(connect(addr, timeout)),
    })
}

/// Connects to `addr` and closes the connection with a reset: a probe leaves nothing behind, on neither side.
///
/// # Errors
/// Why there was no connection within `timeout`. A time-out that fired [`LATE`] or more after its time is trouble of this machine.
pub async fn connect(addr: SocketAddr, timeout: Duration) -> Result<(), Reason> {
    let socket = match addr {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    };
    let socket = socket.map_err(|error| reason(&error, When::AtOnce))?;
    // Without time to linger: closing it resets the connection, there is no TIME_WAIT.
    let lingers = socket.set_zero_linger();
    lingers.map_err(|error| reason(&error, When::AtOnce))?;
    let started = Instant::now();
    let mut connecting = pin!(socket.connect(addr));
    if let Some(result) = poll_once(connecting.as_mut()).await {
        return judge(&result, When::AtOnce);
    }
    if let Ok(result) = tokio::time::timeout(timeout, connecting.as_mut()).await {
        return judge(&result, When::Later);
    }
    let late = started.elapsed().saturating_sub(timeout);
    // What the kernel had for us while we did not run: the runtime looks before it comes back here.
    tokio::task::yield_now().await;
    match poll_once(connecting).await {
        Some(result) => judge(&result, When::Later),
        None if late >= LATE => Err(Reason::Local(number(libc::ETIME))),
        None => Err(Reason::Timeout),
    }
}

async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Option<F::Output> {
    std::future::poll_fn(|cx| {
        Poll::Ready(match future.as_mut().poll(cx) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    })
    .await
}

fn judge(result: &io::Result<TcpStream>, when: When) -> Result<(), Reason> {
    match result {
        Ok(_) => Ok(()),
        Err(error) => Err(reason(error, when)),
    }
}

fn reason(error: &io::Error, when: When) -> Reason {
    match error.raw_os_error() {
        Some(errno) => classify(errno, when),
        // The runtime's own trouble; EIO stands for it.
        None => Reason::Local(number(libc::EIO)),
    }
}

/// What an error number of connect(2), or of a socket's SO_ERROR after it, says about the backend.
pub fn classify(errno: i32, when: When) -> Reason {
    match errno {
        libc::ECONNREFUSED => Reason::Refused,
        libc::ECONNRESET | libc::ECONNABORTED => Reason::Reset,
        libc::ETIMEDOUT => Reason::Timeout,
        // No route at all here; later it is a router's word.
        libc::ENETUNREACH | libc::ENETDOWN if when == When::AtOnce => Reason::Local(number(errno)),
        libc::EMFILE
        | libc::ENFILE
        | libc::ENOBUFS
        | libc::ENOMEM
        | libc::EADDRNOTAVAIL
        | libc::EAFNOSUPPORT
        | libc::EPERM
        | libc::EACCES
        | libc::EINVAL => Reason::Local(number(errno)),
        _ => Reason::Unreachable(number(errno)),
    }
}

fn number(errno: i32) -> u16 {
    u16::try_from(errno).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests;
