//! HTTP probes: one GET, and the status of its answer.
//!
//! Always HTTP/1.1, no redirect is followed, the body does not matter: with the header all is said. What is short of a
//! body is read all the same and thrown away, so that servers need not log that their reader left; then the connection
//! is reset.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::HttpCheck;
use super::tcp::{self, Limit};
use super::tls::{self, Tls};
use crate::logic::flaw::Flaw;
use crate::logic::health::{Layer, Reason};
use crate::logic::http_answer::Answer;

/// So much of a body is waited for, ...
const REST: Duration = Duration::from_millis(200);
/// ... and so many bytes of it are read.
const REST_BYTES: usize = 64 * 1024;

const SILENT: Reason = Reason::Silent(Layer::Http);
const RESET: Reason = Reason::Malformed(Flaw::Reset);

/// Asks on a connection to `addr`.
///
/// # Errors
/// What is wrong with the answer, or that there was none in time.
pub async fn probe(
    stream: TcpStream,
    addr: SocketAddr,
    check: &HttpCheck,
    tls: &Tls,
    limit: &Limit,
) -> Result<(), Reason> {
    let request = request(check);
    let status = match &check.tls {
        None => limit.hold(ask(stream, &request), SILENT).await?,
        Some(hello) => {
            let stream = tls.handshake(stream, addr, hello, limit).await?;
            limit.hold(ask(stream, &request), SILENT).await?
        }
    };
    if check.expect.contains(status) {
        Ok(())
    } else {
        Err(Reason::Status(status))
    }
}

fn request(check: &HttpCheck) -> String {
    let HttpCheck { uri, host, .. } = check;
    let version = env!("CARGO_PKG_VERSION");
    format!(
        "GET {uri} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: mod_proxy_live/{version}\r\nAccept: */*\r\n\
         Connection: close\r\n\r\n"
    )
}

/// The status of the final answer.
async fn ask(
    mut stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: &str,
) -> Result<u16, Reason> {
    // A server that answers and closes before it has read everything has answered.
    let sent = send(&mut stream, request.as_bytes()).await;
    let mut answer = Answer::new();
    let mut bytes = [0; 2048];
    loop {
        match stream.read(&mut bytes).await {
            Ok(0) => return Err(ended(&answer, sent.is_ok())),
            Ok(len) => {
                if let Some(decided) = answer.feed(&bytes[..len]) {
                    if decided.is_ok() {
                        tokio::spawn(timeout(REST, read_rest(stream)));
                    }
                    return decided.map_err(Reason::Malformed);
                }
            }
            // TLS that was not ended as it should be.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                return Err(ended(&answer, sent.is_ok()));
            }
            Err(error) => {
                let of_socket = || tcp::broken(&error, RESET, SILENT);
                return Err(tls::fault(&error).unwrap_or_else(of_socket));
            }
        }
    }
}

/// Reads what is left of an answer, up to [`REST_BYTES`]. The verdict does not wait for it.
async fn read_rest(mut stream: impl AsyncRead + Unpin) {
    let (mut bytes, mut left) = ([0; 2048], REST_BYTES);
    while let Ok(len @ 1..) = stream.read(&mut bytes).await
        && left > len
    {
        left -= len;
    }
}

async fn send(stream: &mut (impl AsyncWrite + Unpin), request: &[u8]) -> std::io::Result<()> {
    stream.write_all(request).await?;
    stream.flush().await
}

/// The peer has closed; a reset may have been noticed when the request was `sent`.
fn ended(answer: &Answer, sent: bool) -> Reason {
    if sent {
        Reason::Malformed(answer.ended())
    } else {
        RESET
    }
}

#[cfg(test)]
mod tests;
