//! What begins a probe, by its kind.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::tcp::{self, Limit};
use super::tls::Tls;
use super::{Kind, http};
use crate::logic::health::Reason;

/// A probe under way.
pub type Connecting = Pin<Box<dyn Future<Output = Result<(), Reason>> + Send>>;
/// What begins a probe of an address, with the time it may take; tests have their own.
pub type Connector = Box<dyn Fn(&Kind, SocketAddr, Duration) -> Connecting>;

/// The real thing.
pub fn connector() -> Connector {
    let tls = Arc::new(Tls::new());
    Box::new(move |kind, addr, timeout| {
        let tls = Arc::clone(&tls);
        match kind {
            Kind::Tcp => Box::pin(tcp::connect(addr, timeout)),
            Kind::Tls(check) => {
                let check = Arc::clone(check);
                Box::pin(async move {
                    let limit = Limit::new(timeout);
                    let stream = tcp::open(addr, &limit).await?;
                    tls.probe(stream, addr, &check, &limit).await
                })
            }
            Kind::Http(check) => {
                let check = Arc::clone(check);
                Box::pin(async move {
                    let limit = Limit::new(timeout);
                    let stream = tcp::open(addr, &limit).await?;
                    http::probe(stream, addr, &check, &tls, &limit).await
                })
            }
        }
    })
}
