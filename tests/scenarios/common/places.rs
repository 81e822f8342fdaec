//! What the scenarios about places of workers share: a httpd that is asked on many paths, and many names.

use crate::common::short;
use live_kit::{Builder, World};

/// Few threads: every child is asked on many paths.
pub fn builder(w: &mut World) -> Builder {
    w.httpd().children(3).threads(4)
}

/// Gives the names these addresses with a TTL of 1 s.
pub fn set_all(w: &World, names: &[&str], ip: &str) {
    names
        .iter()
        .for_each(|name| w.dns.set(&format!("{name}.test"), short(&[ip])));
}
