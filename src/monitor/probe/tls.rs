//! TLS in probes: the first message of a handshake and what comes back, or a whole handshake for HTTP.
//!
//! Certificates are not looked at: whether a backend is who it should be is for `SSLProxyVerify` to judge, with the
//! request path's own files and rules. A probe asks whether anybody is there.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Error, InvalidMessage};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::TlsCheck;
use super::tcp::{self, Limit};
use crate::logic::health::{Layer, Reason, TlsFault};
use crate::logic::tls_answer::TlsAnswer;
use crate::logic::tls_hello::for_old_servers;

mod anyone;

const SILENT: Reason = Reason::Silent(Layer::Tls);
const RESET: Reason = Reason::Tls(TlsFault::Reset);
const CLOSED: Reason = Reason::Tls(TlsFault::Closed);
/// Trouble within the library; EIO stands for it.
const BROKEN: Reason = Reason::Local(libc::EIO as u16);

/// Server names for which sessions are kept: resuming one costs a backend a tenth of a new one.
const SESSIONS: usize = 1_024;

/// What all probes over TLS share.
#[derive(Debug)]
pub struct Tls {
    /// For the first message only: nothing is resumed that is not carried on.
    first: Option<Arc<ClientConfig>>,
    /// For whole handshakes.
    whole: Option<Arc<ClientConfig>>,
}

impl Tls {
    pub fn new() -> Self {
        let config = |resumption: Resumption| {
            let provider = Arc::new(ring::default_provider());
            let builder = ClientConfig::builder_with_provider(provider);
            // The provider has ciphers for both versions: there is always a configuration.
            let builder = builder.with_safe_default_protocol_versions().ok()?;
            let mut config = builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(anyone::Anyone))
                .with_no_client_auth();
            config.resumption = resumption;
            Some(Arc::new(config))
        };
        Self {
            first: config(Resumption::disabled()),
            whole: config(Resumption::in_memory_sessions(SESSIONS)),
        }
    }

    /// Says hello on a connection to `addr`: a ServerHello or any alert is an answer.
    ///
    /// # Errors
    /// Why there was none.
    pub async fn probe(
        &self,
        mut stream: TcpStream,
        addr: SocketAddr,
        check: &TlsCheck,
        limit: &Limit,
    ) -> Result<(), Reason> {
        let hello = self.hello(server_name(check, addr)).ok_or(BROKEN)?;
        limit.hold(greet(&mut stream, &hello), SILENT).await
    }

    /// The first message of a handshake with `name`; old servers find something in it that they know, too.
    fn hello(&self, name: ServerName<'static>) -> Option<Vec<u8>> {
        let config = Arc::clone(self.first.as_ref()?);
        let mut connection = ClientConnection::new(config, name).ok()?;
        let mut hello = Vec::new();
        connection.write_tls(&mut hello).ok()?;
        Some(for_old_servers(&hello).unwrap_or(hello))
    }

    /// A whole handshake on a connection to `addr`.
    ///
    /// # Errors
    /// What is wrong with the peer's TLS, or that it has none.
    pub async fn handshake(
        &self,
        stream: TcpStream,
        addr: SocketAddr,
        check: &TlsCheck,
        limit: &Limit,
    ) -> Result<TlsStream<TcpStream>, Reason> {
        let connector = TlsConnector::from(self.whole.clone().ok_or(BROKEN)?);
        let connecting = connector.connect(server_name(check, addr), stream);
        let step = async { connecting.await.map_err(|error| in_handshake(&error)) };
        limit.hold(step, SILENT).await
    }
}

/// The name to send; an address, which is not sent, where there is none or it cannot be one.
fn server_name(check: &TlsCheck, addr: SocketAddr) -> ServerName<'static> {
    let name = check.name.as_deref().map(|name| name.trim_end_matches('.'));
    let known = name.and_then(|name| ServerName::try_from(name.to_owned()).ok());
    known.unwrap_or_else(|| ServerName::IpAddress(addr.ip().into()))
}

async fn greet(stream: &mut TcpStream, hello: &[u8]) -> Result<(), Reason> {
    // Somebody who speaks first and closes has said something as well.
    let sent = stream.write_all(hello).await;
    let mut answer = TlsAnswer::new();
    let mut bytes = [0; 64];
    loop {
        match stream.read(&mut bytes).await {
            Ok(0) if sent.is_err() => return Err(RESET),
            Ok(0) => return Err(CLOSED),
            Ok(len) => {
                if let Some(decided) = answer.feed(&bytes[..len]) {
                    return decided.map_err(|_| Reason::Tls(TlsFault::NotTls));
                }
            }
            Err(error) => return Err(tcp::broken(&error, RESET, SILENT)),
        }
    }
}

fn in_handshake(error: &io::Error) -> Reason {
    fault(error).unwrap_or_else(|| match error.kind() {
        io::ErrorKind::UnexpectedEof => CLOSED,
        _ => tcp::broken(error, RESET, SILENT),
    })
}

/// What TLS itself has to say about an error of a connection; None when it is one of the socket.
pub fn fault(error: &io::Error) -> Option<Reason> {
    let error = error.get_ref()?.downcast_ref::<Error>()?;
    Some(Reason::Tls(match error {
        Error::AlertReceived(alert) => TlsFault::Alert(u8::from(*alert)),
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType
            | InvalidMessage::UnknownProtocolVersion
            | InvalidMessage::InvalidEmptyPayload
            | InvalidMessage::MessageTooLarge,
        ) => TlsFault::NotTls,
        Error::FailedToGetCurrentTime | Error::FailedToGetRandomBytes => return Some(BROKEN),
        _ => TlsFault::Unsupported,
    }))
}

#[cfg(test)]
mod tests;
