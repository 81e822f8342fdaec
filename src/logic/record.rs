//! What is known of one name: kept on the board, changed by the pure steps.

use std::net::SocketAddr;

use super::addr::Addr;

/// Addresses kept per name, both families together.
pub const MAX_ADDRS: usize = 128;

/// Where the addresses come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Source {
    #[default]
    None,
    Dns,
    Hosts,
}

/// How the look-ups of one address family go. Times are monotonic milliseconds;
/// they come from shared memory, so subtract them with saturation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FamilyState {
    /// Last good answer; 0 for never.
    pub good_ms: u64,
    /// When the look-ups began to fail; 0 while they do not fail.
    pub failing_since_ms: u64,
    /// When a failing family is asked again.
    pub retry_ms: u64,
    /// Failures in a row.
    pub failures: u32,
    /// Code of the last failure there was, and when; 0 for none. It outlives the failing.
    pub error: u32,
    pub error_ms: u64,
}

/// All that is known of one name. The default is "never answered".
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NameRecord {
    /// The last good addresses, IPv4 first; at most [`MAX_ADDRS`].
    pub addrs: Vec<Addr>,
    pub v4: FamilyState,
    pub v6: FamilyState,
    /// TTL in force, in seconds, after its bounds; 0 for addresses of a hosts file.
    pub ttl_s: u32,
    /// Monotonic milliseconds at which the name is asked for again.
    pub expires_ms: u64,
    pub source: Source,
    /// When the last look-up ended; 0 for never.
    pub asked_ms: u64,
    /// The name server that gave the addresses.
    pub server: Option<SocketAddr>,
}
