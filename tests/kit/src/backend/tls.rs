//! What backends that speak TLS share.

use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::PrivateKeyDer;
use std::sync::{Arc, OnceLock};

/// A fatal alert (`handshake_failure`) in clear text.
pub(super) const ALERT: &[u8] = &[21, 3, 3, 0, 2, 2, 40];

/// A key and a certificate signed with it, made once; ALPN is left alone.
pub(super) fn config() -> Arc<ServerConfig> {
    static CONFIG: OnceLock<Arc<ServerConfig>> = OnceLock::new();
    let make = || {
        let names = ["one.test", "two.test", "app.test"].map(str::to_owned);
        let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
        let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions of TLS")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key);
        Arc::new(config.expect("key and certificate"))
    };
    Arc::clone(CONFIG.get_or_init(make))
}
