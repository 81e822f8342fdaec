//! What happens to a name, in words for the error log.

use std::fmt::Write as _;
use std::net::SocketAddr;

use super::super::record::{MAX_ADDRS, NameRecord, Source};
use super::{FAMILIES, fails, family_of, of};
use crate::logic::addr::{Addr, Families, Family};
use crate::logic::answer::{ErrorText, Lookup};
use crate::logic::event::{Event as Noted, Kind};

/// Addresses that one list in a log line shows; a line of the error log ends at 8 KB.
const SHOWN: usize = 40;

/// How loud a log line is; the names are those of LogLevel.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    Error,
    Warn,
    Notice,
    Info,
    Debug,
    Trace2,
}

/// Who gave the addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    Hosts,
    Dns(Option<SocketAddr>),
}

/// Something that the log has to say about a name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// Another set of addresses; `ttl_s` is in seconds.
    Changed {
        old: Vec<Addr>,
        new: Vec<Addr>,
        ttl_s: u32,
        origin: Origin,
        first: bool,
    },
    /// These families began to fail, with the codes of why. `quiet`: nothing is lost,
    /// they had no addresses and the other family is good.
    Failing {
        errors: Vec<(Family, u32)>,
        kept: Vec<Addr>,
        retry_in_ms: u64,
        quiet: bool,
    },
    /// These families answer again after so many milliseconds; `left` still fail.
    Recovered {
        families: Vec<Family>,
        after_ms: u64,
        left: Vec<(Family, u32)>,
        quiet: bool,
    },
    /// The answer had so many addresses, more than the module keeps.
    TooMany { found: usize },
}

impl Event {
    pub const fn level(&self) -> Level {
        match self {
            Self::Changed { first: true, .. }
            | Self::Failing { quiet: true, .. }
            | Self::Recovered { quiet: true, .. } => Level::Info,
            Self::Changed { .. } | Self::Recovered { .. } => Level::Notice,
            Self::Failing { .. } | Self::TooMany { .. } => Level::Warn,
        }
    }

    /// What is remembered of it; None for what happens at each start, and for what costs nothing.
    pub fn noted(&self, name: &str, tag: u64) -> Option<Noted> {
        let noted = |from: String, to: String| Noted {
            kind: Kind::Dns,
            tag,
            subject: name.to_owned(),
            from,
            to,
            reason: self.words(),
            ..Noted::default()
        };
        Some(match self {
            Self::Changed { first: true, .. }
            | Self::Failing { quiet: true, .. }
            | Self::Recovered { quiet: true, .. } => return None,
            Self::Changed { old, new, .. } => noted(list(old), list(new)),
            Self::Failing { .. } => noted(String::new(), "failing".into()),
            Self::Recovered { left, .. } if left.is_empty() => {
                noted("failing".into(), "answering".into())
            }
            Self::Recovered { .. } => noted("failing".into(), "answering in part".into()),
            Self::TooMany { .. } => noted(String::new(), "too many addresses".into()),
        })
    }

    /// One line for the log about the name `name`.
    pub fn text(&self, name: &str) -> String {
        let mut text = format!("name {name}: ");
        if let Self::Changed { old, new, .. } = self {
            let (old, new) = (list(old), list(new));
            let _ = write!(text, "addresses {old} -> {new} ");
        }
        text + &self.words()
    }

    /// The same without the name and the addresses.
    fn words(&self) -> String {
        let mut text = String::new();
        match self {
            Self::Changed { ttl_s, origin, .. } => {
                text += &match origin {
                    Origin::Hosts => "(from the hosts file)".to_owned(),
                    Origin::Dns(None) => format!("(TTL {ttl_s} s)"),
                    Origin::Dns(Some(by)) => format!("(TTL {ttl_s} s, by {by})"),
                };
            }
            Self::Failing {
                errors,
                kept,
                retry_in_ms,
                ..
            } => {
                let kept = match kept.is_empty() {
                    true => "no addresses yet".to_owned(),
                    false => format!("keeping {}", list(kept)),
                };
                let seconds = seconds(*retry_in_ms);
                let errors = reasons(errors);
                let _ = write!(
                    text,
                    "DNS fails ({errors}), {kept}; next try in {seconds} s"
                );
            }
            Self::Recovered {
                families,
                after_ms,
                left,
                ..
            } => {
                let seconds = seconds(*after_ms);
                if left.is_empty() {
                    let _ = write!(text, "DNS answers again after {seconds} s");
                } else {
                    let records: Vec<_> = families.iter().map(|f| f.record()).collect();
                    let (records, left) = (records.join(" and "), reasons(left));
                    let _ = write!(
                        text,
                        "DNS answers {records} again after {seconds} s ({left})"
                    );
                }
            }
            Self::TooMany { found } => {
                let _ = write!(text, "{found} addresses, only {MAX_ADDRS} are used");
            }
        }
        text
    }
}

pub(super) fn changed(state: &NameRecord, record: &NameRecord, lookup: &Lookup) -> Event {
    Event::Changed {
        old: state.addrs.clone(),
        new: record.addrs.clone(),
        ttl_s: record.ttl_s,
        origin: match lookup.source {
            Source::Hosts => Origin::Hosts,
            _ => Origin::Dns(lookup.by),
        },
        first: state.source == Source::None,
    }
}

/// The beginning and the end of failing between two records.
pub(super) fn failures(
    state: &NameRecord,
    record: &NameRecord,
    want: Families,
    now_ms: u64,
) -> Vec<Event> {
    let wanted = || FAMILIES.into_iter().filter(|&family| want.has(family));
    let error = |family| (family, family_of(record, family).error);
    let began: Vec<_> = wanted()
        .filter(|&family| fails(record, family) && !fails(state, family))
        .collect();
    let ended: Vec<_> = wanted()
        .filter(|&family| fails(state, family) && !fails(record, family))
        .collect();
    let mut events = Vec::new();
    if !began.is_empty() {
        let retry = began.iter().map(|&f| family_of(record, f).retry_ms).min();
        events.push(Event::Failing {
            quiet: harmless(&began, record, want),
            kept: record.addrs.clone(),
            retry_in_ms: retry.unwrap_or(0).saturating_sub(now_ms),
            errors: began.iter().copied().map(error).collect(),
        });
    }
    if !ended.is_empty() {
        let since = ended
            .iter()
            .map(|&f| family_of(state, f).failing_since_ms)
            .min();
        events.push(Event::Recovered {
            quiet: harmless(&ended, state, want),
            after_ms: now_ms.saturating_sub(since.unwrap_or(now_ms)),
            left: wanted().filter(|&f| fails(record, f)).map(error).collect(),
            families: ended,
        });
    }
    events
}

/// Whether nothing is lost by the failing of `families`: none of them has addresses, and
/// another one is good.
fn harmless(families: &[Family], record: &NameRecord, want: Families) -> bool {
    let bare = |family: &Family| of(record, *family).next().is_none();
    let mut good = FAMILIES
        .into_iter()
        .filter(|&family| want.has(family) && !fails(record, family));
    families.iter().all(bare) && good.next().is_some()
}

fn list(addrs: &[Addr]) -> String {
    if addrs.is_empty() {
        return "none".to_owned();
    }
    let shown: Vec<_> = addrs.iter().take(SHOWN).map(Addr::to_string).collect();
    let mut text = shown.join(", ");
    if addrs.len() > SHOWN {
        let _ = write!(text, " and {} more", addrs.len() - SHOWN);
    }
    text
}

fn reasons(errors: &[(Family, u32)]) -> String {
    let each = errors
        .iter()
        .map(|&(family, error)| format!("{}: {}", family.record(), ErrorText(error)));
    each.collect::<Vec<_>>().join(", ")
}

/// Whole seconds, at least one.
const fn seconds(ms: u64) -> u64 {
    let seconds = (ms + 500) / 1_000;
    if seconds == 0 { 1 } else { seconds }
}
