//! Connections of probes, and the time they have.

use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout_at};

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

/// The time of one probe, connect to verdict.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    until: Instant,
}

impl Limit {
    /// `timeout` from now.
    pub fn new(timeout: Duration) -> Self {
        Self {
            until: Instant::now() + timeout,
        }
    }

    /// Does one step of the probe in the time that is left.
    ///
    /// # Errors
    /// Those of the step; `silence` when it did not end in time. A time-out that fires [`LATE`] or more after its time
    /// is trouble of this machine.
    pub async fn hold<T>(
        &self,
        step: impl Future<Output = Result<T, Reason>>,
        silence: Reason,
    ) -> Result<T, Reason> {
        let mut step = pin!(step);
        if let Ok(result) = timeout_at(self.until, step.as_mut()).await {
            return result;
        }
        let late = self.until.elapsed();
        // What the kernel had for us while we did not run: the runtime looks before it comes back here.
        tokio::task::yield_now().await;
        match poll_once(step).await {
            Some(result) => result,
            None if late >= LATE => Err(Reason::Local(number(libc::ETIME))),
            None => Err(silence),
        }
    }
}

/// Connects to `addr` and closes the connection.
///
/// # Errors
/// Those of [`open`].
pub async fn connect(addr: SocketAddr, timeout: Duration) -> Result<(), Reason> {
    open(addr, &Limit::new(timeout)).await.map(drop)
}

/// Connects to `addr`. However the connection ends, it ends with a reset: a probe leaves nothing behind, on neither
/// side.
///
/// # Errors
/// Why there was no connection in time.
pub async fn open(addr: SocketAddr, limit: &Limit) -> Result<TcpStream, Reason> {
    let socket = match addr {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    };
    let socket = socket.map_err(|error| reason(&error, When::AtOnce))?;
    // Without time to linger: closing it resets the connection, there is no TIME_WAIT.
    let lingers = socket.set_zero_linger();
    lingers.map_err(|error| reason(&error, When::AtOnce))?;
    let mut connecting = pin!(socket.connect(addr));
    if let Some(result) = poll_once(connecting.as_mut()).await {
        return result.map_err(|error| reason(&error, When::AtOnce));
    }
    let later = async {
        connecting
            .await
            .map_err(|error| reason(&error, When::Later))
    };
    limit.hold(later, Reason::Timeout).await
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

fn reason(error: &io::Error, when: When) -> Reason {
    match error.raw_os_error() {
        Some(errno) => classify(errno, when),
        // The runtime's own trouble; EIO stands for it.
        None => Reason::Local(number(libc::EIO)),
    }
}

/// What an error of a connection that was there says: `reset` when the peer ended it so, `silence` when nothing came
/// from it any more.
pub fn broken(error: &io::Error, reset: Reason, silence: Reason) -> Reason {
    match error.kind() {
        ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::NotConnected
        | ErrorKind::WriteZero => reset,
        ErrorKind::TimedOut => silence,
        _ => reason(error, When::Later),
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
