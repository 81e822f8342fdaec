//! What is on the wire between httpd and a worker's backends, and how its end is seen.

use crate::config::params::speaks_tls;

/// What is seen on a worker's connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wire {
    /// HTTP and WebSockets in clear text.
    Http,
    Tls,
    /// Nothing that the module knows: FTP, HTTP/2 in clear text, protocols of other modules.
    Other,
}

impl Wire {
    pub fn of(scheme: &str) -> Self {
        match scheme {
            _ if speaks_tls(scheme) => Self::Tls,
            "http" | "ws" => Self::Http,
            _ => Self::Other,
        }
    }
}

/// How the end of a worker's connections is seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Watched {
    /// Where bytes come from the socket: plain HTTP, where a status line comes first.
    AtSocket,
    /// By a filter above TLS, and for other protocols: there the end of a connection may be what it ends by.
    ByFilter,
    /// By a filter, and by one that takes late answers away (`liverescue=eager`).
    Eagerly,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_http_is_watched_at_the_socket() {
        assert!(["http", "ws"].iter().all(|s| Wire::of(s) == Wire::Http));
        let tls = ["https", "wss", "h2"];
        assert!(tls.iter().all(|s| Wire::of(s) == Wire::Tls));
        let other = ["ftp", "h2c", "fcgi", "other"];
        assert!(other.iter().all(|s| Wire::of(s) == Wire::Other));
    }
}
