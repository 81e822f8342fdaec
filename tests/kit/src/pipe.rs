//! What a client talks through: TCP, or TLS on it. Certificates are not looked at.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned,
};
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, OnceLock};

/// Whoever the server says it is.
pub(crate) fn front() -> ServerName<'static> {
    ServerName::try_from("front.test").expect("a name")
}

/// For HTTP/1.1 or HTTP/2, offered by ALPN.
pub(crate) fn config(http2: bool) -> Arc<ClientConfig> {
    static CONFIGS: [OnceLock<Arc<ClientConfig>>; 2] = [OnceLock::new(), OnceLock::new()];
    let make = || {
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions of TLS");
        let builder = builder.dangerous();
        let builder = builder.with_custom_certificate_verifier(Arc::new(Anybody));
        let mut config = builder.with_no_client_auth();
        let protocol: &[u8] = if http2 { b"h2" } else { b"http/1.1" };
        config.alpn_protocols = vec![protocol.to_vec()];
        Arc::new(config)
    };
    Arc::clone(CONFIGS[usize::from(http2)].get_or_init(make))
}

/// Takes every certificate: the kit's servers sign their own.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let known = default_provider().signature_verification_algorithms;
        known.supported_schemes()
    }
}

pub(crate) enum Pipe {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Pipe {
    /// Shakes hands.
    pub(crate) fn secure(mut stream: TcpStream) -> io::Result<Pipe> {
        let made = ClientConnection::new(config(false), front());
        let mut tls = made.map_err(io::Error::other)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut stream)?;
        }
        Ok(Pipe::Tls(Box::new(StreamOwned::new(tls, stream))))
    }

    pub(crate) fn tcp(&self) -> &TcpStream {
        match self {
            Pipe::Plain(stream) => stream,
            Pipe::Tls(tls) => &tls.sock,
        }
    }

    /// Nothing has arrived, nor has the connection ended.
    pub(crate) fn quiet(&mut self) -> io::Result<bool> {
        self.tcp().set_nonblocking(true)?;
        let quiet = match self {
            Pipe::Plain(stream) => {
                matches!(stream.peek(&mut [0]), Err(e) if e.kind() == ErrorKind::WouldBlock)
            }
            Pipe::Tls(tls) => hears_nothing(tls),
        };
        self.tcp().set_nonblocking(false)?;
        Ok(quiet)
    }
}

/// What TLS itself says (tickets for later sessions) is taken in.
fn hears_nothing(tls: &mut StreamOwned<ClientConnection, TcpStream>) -> bool {
    loop {
        match tls.conn.read_tls(&mut tls.sock) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(e) => return e.kind() == ErrorKind::WouldBlock,
        }
        match tls.conn.process_new_packets() {
            Ok(state) if state.plaintext_bytes_to_read() == 0 && !state.peer_has_closed() => {}
            _ => return false,
        }
    }
}

impl Read for Pipe {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Pipe::Plain(stream) => stream.read(buf),
            Pipe::Tls(tls) => tls.read(buf),
        }
    }
}

impl Write for Pipe {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Pipe::Plain(stream) => stream.write(buf),
            Pipe::Tls(tls) => tls.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Pipe::Plain(stream) => stream.flush(),
            Pipe::Tls(tls) => tls.flush(),
        }
    }
}
