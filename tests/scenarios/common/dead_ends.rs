//! What scenarios with a stock httpd at the side and DNS out of order share.

use live_kit::Builder;
use std::time::Duration;

/// Both servers give up a name server after a second.
pub const IMPATIENT: &str = "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n";
/// What the same httpd without the module has in its configuration.
pub const STOCK: &str = "ProxyPass / http://app.test:9000/";
/// A machine under load may stretch what takes as long.
pub const SLACK: Duration = Duration::from_millis(1500);

pub fn errors_allowed(builder: Builder) -> Builder {
    builder
        .expect("[proxy:error]")
        .expect("[proxy_http:error]")
        .expect("DNS fails")
}
