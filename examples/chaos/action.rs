//! What chaos can do: the words of a schedule.

use live_kit::{Death, Fault, H2Death, H2Mode, Mode};
use std::fmt;
use std::time::Duration;

/// Milliseconds since the load began.
pub type At = u64;

/// Which of the two machines of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spots {
    First,
    Second,
    Both,
}

impl Spots {
    pub const ALL: [Spots; 3] = [Spots::First, Spots::Second, Spots::Both];

    pub fn has(self, spot: usize) -> bool {
        match self {
            Spots::First => spot == 0,
            Spots::Second => spot == 1,
            Spots::Both => true,
        }
    }

    pub fn list(self) -> impl Iterator<Item = usize> {
        (0..2).filter(move |spot| self.has(*spot))
    }
}

/// What befalls a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harm {
    /// Its packets are lost.
    Vanish,
    /// The process is killed: port closed, connections reset.
    Kill,
    /// One of [`Mode`].
    Mode(Mode),
    /// The same of a machine that speaks HTTP/2.
    Http2(H2Mode),
    /// The health page says 503, everything else is well.
    SickPage,
    /// The next connect is refused.
    RefuseOnce,
    /// The next SYN is lost.
    LostSyn,
    /// Every open connection is reset.
    ResetAll,
    /// Every open connection is closed.
    CloseAll,
}

impl Harm {
    /// Over at once.
    pub fn is_instant(self) -> bool {
        matches!(
            self,
            Harm::RefuseOnce | Harm::LostSyn | Harm::ResetAll | Harm::CloseAll
        )
    }

    /// Every probe finds it out, of whatever kind.
    pub fn is_death(self) -> bool {
        matches!(
            self,
            Harm::Vanish | Harm::Kill | Harm::Mode(Mode::Refuse | Mode::Full)
        )
    }

    /// Each request that comes there has to be rescued: the budget may not last.
    pub fn wears(self) -> bool {
        matches!(
            self,
            Harm::Mode(
                Mode::Die(_)
                    | Mode::Reset
                    | Mode::ResetRequest
                    | Mode::CloseReused
                    | Mode::BadTls
                    | Mode::CloseTls
                    | Mode::PlainTls
            ) | Harm::Http2(H2Mode::Die(_) | H2Mode::Kill(_))
        )
    }
}

/// For members whose health page is asked for.
pub const APP_HARMS: [Harm; 24] = [
    Harm::Vanish,
    Harm::Vanish,
    Harm::Kill,
    Harm::Kill,
    Harm::Mode(Mode::Refuse),
    Harm::Mode(Mode::Full),
    Harm::Mode(Mode::Reset),
    Harm::Mode(Mode::ResetRequest),
    Harm::Mode(Mode::Hang),
    Harm::Mode(Mode::Freeze),
    Harm::Mode(Mode::Slow(Duration::from_millis(900))),
    Harm::Mode(Mode::CloseIdle),
    Harm::Mode(Mode::CloseReused),
    Harm::Mode(Mode::Leave),
    Harm::Mode(Mode::Die(Death::Arrival)),
    Harm::Mode(Mode::Die(Death::Close)),
    Harm::Mode(Mode::Die(Death::Reset)),
    Harm::Mode(Mode::Die(Death::Header)),
    Harm::Mode(Mode::Kill(Death::Reset)),
    Harm::SickPage,
    Harm::RefuseOnce,
    Harm::LostSyn,
    Harm::ResetAll,
    Harm::CloseAll,
];

/// For members that speak TLS.
pub const TLS_HARMS: [Harm; 14] = [
    Harm::Vanish,
    Harm::Kill,
    Harm::Mode(Mode::Refuse),
    Harm::Mode(Mode::Freeze),
    Harm::Mode(Mode::Hang),
    Harm::Mode(Mode::BadTls),
    Harm::Mode(Mode::SilentTls),
    Harm::Mode(Mode::CloseTls),
    Harm::Mode(Mode::PlainTls),
    Harm::Mode(Mode::Die(Death::HeaderClose)),
    Harm::Mode(Mode::Kill(Death::Close)),
    Harm::RefuseOnce,
    Harm::ResetAll,
    Harm::CloseAll,
];

/// For members that speak HTTP/2.
pub const HTTP2_HARMS: [Harm; 13] = [
    Harm::Vanish,
    Harm::Vanish,
    Harm::Kill,
    Harm::Http2(H2Mode::Hang),
    Harm::Http2(H2Mode::Die(H2Death::Close)),
    Harm::Http2(H2Mode::Die(H2Death::Reset)),
    Harm::Http2(H2Mode::Die(H2Death::Head)),
    Harm::Http2(H2Mode::Once(H2Death::Reset)),
    Harm::Http2(H2Mode::Kill(H2Death::Reset)),
    Harm::Http2(H2Mode::Kill(H2Death::Close)),
    Harm::RefuseOnce,
    Harm::LostSyn,
    Harm::ResetAll,
];

/// For one of the two addresses of a worker outside of balancers.
pub const PLAIN_HARMS: [Harm; 6] = [
    Harm::Vanish,
    Harm::Kill,
    Harm::Mode(Mode::Refuse),
    Harm::Mode(Mode::Leave),
    Harm::ResetAll,
    Harm::CloseAll,
];

/// For all members at once.
pub const OUTAGES: [Harm; 4] = [
    Harm::Vanish,
    Harm::Kill,
    Harm::Mode(Mode::Refuse),
    Harm::Mode(Mode::Freeze),
];

pub const FAULTS: [Fault; 11] = [
    Fault::ServFail,
    Fault::ServFail,
    Fault::NxDomain,
    Fault::Refused,
    Fault::Empty,
    Fault::Silent,
    Fault::Garbage,
    Fault::WrongId,
    Fault::Truncated,
    Fault::TruncatedNoTcp,
    Fault::Late(Duration::from_millis(700)),
];

/// The part of the configuration that reloads change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edition {
    /// Which member is missing in the balancer `app`.
    pub without: Option<usize>,
    /// Which member goes by its second name.
    pub renamed: Option<usize>,
    /// The order of members.
    pub first: usize,
    pub interval_ms: u64,
    pub fall: u64,
    /// Workers at other paths for the same names.
    pub more: usize,
}

impl Edition {
    pub const FIRST: Edition = Edition {
        without: None,
        renamed: None,
        first: 0,
        interval_ms: 1000,
        fall: 2,
        more: 0,
    };
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Harm(usize, Spots, Harm),
    /// Everything that was done to the machines of this name is over.
    Heal(usize),
    /// All members of the pool that this name belongs to.
    Outage(usize, Harm),
    OutageOver(usize),
    /// DNS says something else.
    Place(usize, Spots),
    /// DNS fails for all names, or for one; of one family or both.
    Fault(Option<usize>, Fault, bool),
    FaultOver(Option<usize>),
    /// The name server's port is closed.
    DnsDown,
    DnsUp,
    /// The link to all machines and to the name server is down.
    LinkDown,
    LinkUp,
    /// kill -9 of the leader, or of whatever child this number falls on.
    KillLeader,
    KillChild(u64),
    /// The leader stands still for so many ms (SIGSTOP, SIGCONT), or whatever child this number falls on.
    StopLeader(At),
    StopChild(u64, At),
    /// SIGUSR1, with a new configuration or the same.
    Reload(Option<Edition>),
    /// In balancer-manager.
    Disable(usize),
    Enable(usize),
    /// The member that no configuration has is added, until the next reload.
    Grow,
}

impl Action {
    /// Something is well again.
    pub fn is_end(&self) -> bool {
        matches!(
            self,
            Action::Heal(_)
                | Action::OutageOver(_)
                | Action::FaultOver(_)
                | Action::Enable(_)
                | Action::DnsUp
                | Action::LinkUp
        )
    }

    /// For the table at the end.
    pub fn sort(&self) -> String {
        match self {
            Action::Harm(_, _, harm) => format!("{harm:?}"),
            Action::Outage(_, harm) => format!("all members: {harm:?}"),
            Action::Place(..) => "name moved".into(),
            Action::Fault(_, fault, _) => format!("DNS {fault:?}"),
            Action::DnsDown => "name server down".into(),
            Action::LinkDown => "link down".into(),
            Action::KillLeader => "leader killed".into(),
            Action::StopLeader(_) => "leader stopped".into(),
            Action::StopChild(..) => "child stopped".into(),
            Action::KillChild(_) => "child killed".into(),
            Action::Reload(None) => "reload".into(),
            Action::Reload(Some(_)) => "reload, changed".into(),
            Action::Disable(_) => "member disabled".into(),
            Action::Grow => "member added at run time".into(),
            ends if ends.is_end() => "ends of these".into(),
            other => other.to_string(),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |n: &usize| crate::site::NAMES[*n].host;
        let of = |n: &Option<usize>| n.as_ref().map_or("all names", name);
        match self {
            Action::Harm(n, spots, harm) => write!(f, "{harm:?} at {} ({spots:?})", name(n)),
            Action::Heal(n) => write!(f, "{} is well again", name(n)),
            Action::Outage(n, harm) => write!(f, "{harm:?} at all members beside {}", name(n)),
            Action::OutageOver(n) => write!(f, "all members beside {} are well again", name(n)),
            Action::Place(n, spots) => write!(f, "{} moves to {spots:?}", name(n)),
            Action::Fault(n, fault, one) => {
                let family = if *one { " (A only)" } else { "" };
                write!(f, "DNS of {}: {fault:?}{family}", of(n))
            }
            Action::FaultOver(n) => write!(f, "DNS of {} answers again", of(n)),
            Action::DnsDown => f.write_str("the name server's port is closed"),
            Action::DnsUp => f.write_str("the name server is back"),
            Action::LinkDown => f.write_str("the link to all machines and the name server is down"),
            Action::LinkUp => f.write_str("the link is up again"),
            Action::KillLeader => f.write_str("kill -9 of the leader"),
            Action::StopLeader(ms) => write!(f, "the leader is stopped for {ms} ms"),
            Action::StopChild(pick, ms) => write!(f, "a child ({pick}) is stopped for {ms} ms"),
            Action::KillChild(pick) => write!(f, "kill -9 of a child ({pick})"),
            Action::Reload(None) => f.write_str("reload"),
            Action::Reload(Some(edition)) => write!(f, "reload with {edition:?}"),
            Action::Disable(n) => write!(f, "{} disabled in the balancer-manager", name(n)),
            Action::Grow => f.write_str("a member is added in the balancer-manager"),
            Action::Enable(n) => write!(f, "{} enabled", name(n)),
        }
    }
}
