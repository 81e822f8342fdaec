//! Servers of the tests: each connection has a thread, which does what the test says.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    RootCertStore, ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion,
};

use super::connector::connector;
use super::{Kind, TlsCheck};
use crate::logic::health::Reason;

/// More than any answer takes.
pub const LONG: Duration = Duration::from_secs(10);
/// The time-out of probes that shall meet silence.
pub const SHORT: Duration = Duration::from_millis(200);

/// A server whose connections are given to `act`.
pub fn serve(act: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let act = Arc::new(act);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let act = Arc::clone(&act);
            thread::spawn(move || act(stream.unwrap()));
        }
    });
    addr
}

/// A server that reads what it is sent first, answers, and leaves the connection open.
pub fn answering(answer: impl Into<Vec<u8>>) -> SocketAddr {
    let answer = answer.into();
    serve(move |mut stream| {
        read_some(&mut stream);
        let _ = stream.write_all(&answer);
        wait_for_end(&mut stream);
    })
}

/// A server that reads, answers piece by piece with a pause behind each, and closes.
pub fn dripping(pieces: Vec<Vec<u8>>, pause: Duration) -> SocketAddr {
    serve(move |mut stream| {
        stream.set_nodelay(true).unwrap();
        read_some(&mut stream);
        for piece in &pieces {
            if stream.write_all(piece).is_err() {
                return;
            }
            thread::sleep(pause);
        }
    })
}

/// What was sent first.
pub fn read_some(stream: &mut impl Read) -> Vec<u8> {
    let mut bytes = [0; 4096];
    let len = stream.read(&mut bytes).unwrap_or(0);
    bytes[..len].to_vec()
}

/// Reads until the connection ends; whether that was by a reset.
pub fn wait_for_end(stream: &mut impl Read) -> bool {
    let mut bytes = [0; 4096];
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == ErrorKind::ConnectionReset,
        }
    }
}

/// A probe of `kind`, as the leader does it.
pub async fn outcome(kind: &Kind, addr: SocketAddr, timeout: Duration) -> Result<(), Reason> {
    connector()(kind, addr, timeout).await
}

/// The thread of the runtime does not run for a while, as on an overloaded machine.
pub fn stall(time: Duration) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(20)).await;
        thread::sleep(time);
    })
}

pub fn hello(name: &str) -> TlsCheck {
    TlsCheck {
        name: Some(name.to_owned()),
    }
}

/// A certificate and its key, made once.
fn identity() -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    static MADE: OnceLock<(Vec<u8>, Vec<u8>)> = OnceLock::new();
    let (cert, key) = MADE.get_or_init(|| {
        let made = rcgen::generate_simple_self_signed(["other.test".to_owned()]).unwrap();
        (made.cert.der().to_vec(), made.signing_key.serialize_der())
    });
    let key = PrivateKeyDer::Pkcs8(key.clone().into());
    (CertificateDer::from(cert.clone()), key)
}

/// What a server that speaks `versions` is made with; `client`: it wants a certificate.
pub fn server_config(
    versions: &[&'static SupportedProtocolVersion],
    client: bool,
) -> Arc<ServerConfig> {
    let provider = Arc::new(default_provider());
    let (cert, key) = identity();
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .unwrap();
    let builder = if client {
        let mut roots = RootCertStore::empty();
        roots.add(cert.clone()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        builder.with_client_cert_verifier(verifier.build().unwrap())
    } else {
        builder.with_no_client_auth()
    };
    Arc::new(builder.with_single_cert(vec![cert], key).unwrap())
}

/// A server over TLS.
pub fn serve_tls(
    config: Arc<ServerConfig>,
    act: impl Fn(StreamOwned<ServerConnection, TcpStream>) + Send + Sync + 'static,
) -> SocketAddr {
    serve(move |stream| {
        let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
        act(StreamOwned::new(connection, stream));
    })
}
