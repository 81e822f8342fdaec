//! The wake-up by children that set a kick bit on the board.

use std::io::{self, ErrorKind};
use std::time::Duration;

use tokio::net::unix::pipe::Receiver;
use tokio::time::{Instant, sleep_until};

use crate::monitor::run::{Level, Plan, Surroundings};

/// Between two wake-ups: many failing requests must not keep the leader busy.
const PAUSE: Duration = Duration::from_millis(10);

/// Waits for the eventfd. Without one kicks are found at the next heartbeat.
pub struct Kicks {
    fd: Option<Receiver>,
    /// Not before this time again.
    rest: Instant,
}

impl Kicks {
    /// Wants a runtime with I/O. A plan without targets is never kicked.
    pub fn new(plan: &Plan, env: &impl Surroundings) -> Self {
        let fd = env.kick_fd().filter(|_| !plan.targets.is_empty());
        let open = fd.map(|fd| {
            let own = fd.try_clone_to_owned()?;
            // It is no pipe; what counts is that it is read like one and does not block.
            Receiver::from_owned_fd_unchecked(own)
        });
        let fd = open.transpose().unwrap_or_else(|error| {
            let line = format!("suspicions of requests reach the prober late: {error}");
            env.log(Level::Warn, &line);
            None
        });
        let rest = Instant::now();
        Self { fd, rest }
    }

    /// Ends when children have rung.
    pub async fn wait(&mut self) {
        sleep_until(self.rest).await;
        match &self.fd {
            Some(fd) if rung(fd).await.is_ok() => self.rest = Instant::now() + PAUSE,
            _ => std::future::pending().await,
        }
    }
}

/// Waits until the counter is not 0, and sets it back.
async fn rung(fd: &Receiver) -> io::Result<()> {
    loop {
        fd.readable().await?;
        match fd.try_read(&mut [0; 8]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            other => return other.map(drop),
        }
    }
}
