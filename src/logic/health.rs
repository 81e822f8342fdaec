//! Health of backend addresses: what one probe's outcome does to it.
//!
//! A refused connection counts at once, a verdict by time-out needs several
//! failures *and* a second since the first of them began, and trouble of this machine is no verdict.

mod carry;
mod step;

pub use carry::{forgive, is_stale, kicked, merge, resume};
pub use step::{Step, step, verdict_due};

pub use super::flaw::Flaw;

use std::fmt;
use std::io;

use super::addr::Addr;
use super::history::History;

/// Why a probe failed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Reason {
    /// The port answered with a reset (ECONNREFUSED).
    Refused,
    /// The connection was reset while it was being set up (ECONNRESET, ECONNABORTED).
    Reset,
    /// No answer within `livetimeout`, or ETIMEDOUT.
    Timeout,
    /// The network said that the address cannot be reached; the error number of the system.
    Unreachable(u16),
    /// This machine could not even try (no route, no descriptors, ...); the error number of the system.
    Local(u16),
    /// The port answers, but the answer of this protocol did not come within `livetimeout`.
    Silent(Layer),
    /// No TLS handshake.
    Tls(TlsFault),
    /// An HTTP status that `liveexpect` does not name.
    Status(u16),
    /// Something else than the header of an HTTP/1 answer.
    Malformed(Flaw),
}

/// The protocol whose answer a probe waits for after the connect.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Layer {
    Tls,
    Http,
}

/// What went wrong with TLS.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TlsFault {
    /// The connection was closed before the answer.
    Closed,
    /// It was reset before the answer.
    Reset,
    /// The answer is no TLS record.
    NotTls,
    /// The peer ended the handshake with this alert (RFC 8446, 6.2). For probes that need the whole handshake.
    Alert(u8),
    /// The peer speaks a TLS that the module does not.
    Unsupported,
}

impl Reason {
    /// Whether somebody answered that there is nothing: refused, reset, unreachable.
    pub const fn is_hard(self) -> bool {
        matches!(self, Self::Refused | Self::Reset | Self::Unreachable(_))
    }

    /// Whether this machine could not even try: no verdict about the backend.
    pub const fn is_local(self) -> bool {
        matches!(self, Self::Local(_))
    }

    /// Whether this machine has no way to the address at all (`ENETUNREACH`, `ENETDOWN`).
    pub fn is_no_route(self) -> bool {
        matches!(self, Self::Local(errno) if is_of_network(errno))
    }

    /// Whether nothing came in time: a lost packet can look like it.
    pub const fn is_time_out(self) -> bool {
        matches!(self, Self::Timeout | Self::Silent(_))
    }

    /// Whether the address could not be reached, as against a port that answers, but not as it should.
    pub const fn is_transport(self) -> bool {
        matches!(
            self,
            Self::Refused | Self::Reset | Self::Timeout | Self::Unreachable(_)
        )
    }

    /// Whether the port answered, but not as it should.
    pub const fn is_bad_answer(self) -> bool {
        matches!(self, Self::Tls(_) | Self::Status(_) | Self::Malformed(_))
    }

    /// Whether trouble near this machine can look like it, for many addresses at once.
    pub const fn is_stormy(self) -> bool {
        self.is_time_out() || matches!(self, Self::Unreachable(_))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Refused => f.write_str("connection refused"),
            Self::Reset => f.write_str("connection reset"),
            Self::Timeout => f.write_str("time-out"),
            Self::Unreachable(errno) if is_of_network(errno) => {
                write!(f, "network unreachable (errno {errno})")
            }
            Self::Unreachable(errno) => write!(f, "host unreachable (errno {errno})"),
            Self::Local(errno) if is_of_network(errno) => {
                write!(f, "no route here (errno {errno})")
            }
            Self::Local(errno) => write!(f, "trouble on this machine (errno {errno})"),
            Self::Silent(Layer::Tls) => f.write_str("TLS time-out"),
            Self::Silent(Layer::Http) => f.write_str("HTTP time-out"),
            Self::Tls(fault) => write!(f, "TLS failure: {fault}"),
            Self::Status(status) => write!(f, "unexpected HTTP status {status}"),
            Self::Malformed(flaw) => write!(f, "malformed HTTP answer: {flaw}"),
        }
    }
}

/// Names of the alerts (RFC 8446, 6) that an administrator can do something about, and what.
const fn alert(number: u8) -> Option<(&'static str, &'static str)> {
    const TLS: &str = "use liveprobe=tls";
    Some(match number {
        40 => ("handshake failure", TLS),
        42 => ("bad certificate", TLS),
        70 => ("protocol version", TLS),
        71 => ("insufficient security", TLS),
        112 => ("unrecognized name", "set livehost"),
        116 => ("certificate required", TLS),
        _ => return None,
    })
}

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Closed => f.write_str("closed without an answer"),
            Self::Reset => f.write_str("reset without an answer"),
            Self::NotTls => f.write_str("the answer is not TLS"),
            Self::Alert(number) => match alert(number) {
                Some((name, advice)) => write!(f, "alert {number} ({name}); {advice}"),
                None => write!(f, "alert {number}"),
            },
            Self::Unsupported => {
                f.write_str("a TLS that HTTP probes do not speak; use liveprobe=tls")
            }
        }
    }
}

/// ENETUNREACH and ENETDOWN.
fn is_of_network(errno: u16) -> bool {
    let kind = io::Error::from_raw_os_error(i32::from(errno)).kind();
    matches!(
        kind,
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown
    )
}

/// What is thought of an address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub enum State {
    /// Not probed to the end yet: used like a healthy one, but listed behind.
    #[default]
    Unknown,
    Up,
    Down,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
        })
    }
}

/// The settings by which a target's addresses are judged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rules {
    /// Pause between probes of an address whose state is settled, in milliseconds (`liveinterval`).
    pub interval_ms: u64,
    /// One probe, connect to verdict, in milliseconds (`livetimeout`).
    pub timeout_ms: u64,
    /// Consecutive failures to go down, 1 and up (`livefall`).
    pub fall: u32,
    /// Consecutive successes to come back, 1 and up (`liverise`).
    pub rise: u32,
}

/// One probe that has ended. Times are monotonic milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Probe {
    pub begun_ms: u64,
    pub ended_ms: u64,
    /// How long it took in microseconds.
    pub took_us: u32,
    pub result: Result<(), Reason>,
}

/// All that is known of one address on one port. Times are monotonic milliseconds, 0 for never.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AddrHealth {
    pub addr: Addr,
    pub state: State,
    /// Since when it is in this state.
    pub since_ms: u64,
    /// Why the last probe failed, and with that why the address is down; None after a success.
    /// Local trouble is only noted while no failures are in course.
    pub reason: Option<Reason>,
    /// The verdict "down" is due, but held back because of a storm, since then; 0: not held.
    pub held_ms: u64,
    /// Consecutive failures; of a held address those since it is held.
    pub fails: u32,
    /// How many of the last failures were [`Reason::is_hard`]. Kept by the successes of an address that
    /// is still down: it says why it went down.
    pub hard_fails: u32,
    /// When the first of the consecutive failures began.
    pub first_fail_ms: u64,
    /// Consecutive successes.
    pub oks: u32,
    /// Successes ever; wraps.
    pub ok_total: u32,
    /// End of the last probe, and how long it took in microseconds.
    pub last_ms: u64,
    pub last_us: u32,
    /// When the next probe is due.
    pub due_ms: u64,
    /// Flap score in thousandths, and when it was brought up to date.
    pub flaps: u32,
    pub flaps_ms: u64,
    /// The last probes, for those who look; nothing is decided by it.
    pub history: History,
}

impl AddrHealth {
    /// A new address, of which nothing is known. Its first probe is due at once.
    pub const fn new(addr: Addr) -> Self {
        Self {
            addr,
            state: State::Unknown,
            since_ms: 0,
            reason: None,
            held_ms: 0,
            fails: 0,
            hard_fails: 0,
            first_fail_ms: 0,
            oks: 0,
            ok_total: 0,
            last_ms: 0,
            last_us: 0,
            due_ms: 0,
            flaps: 0,
            flaps_ms: 0,
            history: History::EMPTY,
        }
    }

    /// Place in the order in which httpd dials: 0 up, 1 unknown or failing, 2 down.
    pub const fn class(&self) -> u8 {
        match self.state {
            State::Down => 2,
            State::Up if !self.is_failing() => 0,
            State::Up | State::Unknown => 1,
        }
    }

    /// Whether the last probes failed.
    pub const fn is_failing(&self) -> bool {
        self.fails > 0 || self.held_ms != 0
    }

    /// When the failures in course began; when there are none, the begin of `probe`.
    pub const fn series_began(&self, probe: &Probe) -> u64 {
        if self.is_failing() {
            self.first_fail_ms
        } else {
            probe.begun_ms
        }
    }

    /// Down because it cannot be reached, and not answering yet.
    pub fn is_gone(&self) -> bool {
        matches!(self.state, State::Down) && self.reason.is_some_and(Reason::is_transport)
    }

    /// Down, and confirmed so by `fall` refused connections (or the like) in a row.
    pub const fn is_hard_down(&self, fall: u32) -> bool {
        matches!(self.state, State::Down) && self.hard_fails >= fall
    }
}

/// The health of all addresses of one target, as it stands on the board.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct TargetRecord {
    /// The port probed.
    pub port: u16,
    /// In the order of the name's record; at most [`super::record::MAX_ADDRS`].
    pub addrs: Vec<AddrHealth>,
}

#[cfg(test)]
mod tests;
