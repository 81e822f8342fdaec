//! What is remembered of a change: the same as a line of the error log says, in parts.

use serde::Serialize;

/// What an event is about.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The module itself: leader, storms, reloads.
    #[default]
    Module,
    /// A worker went out of use or came back.
    Worker,
    /// An address went down or came up.
    Address,
    /// DNS: addresses changed, failures began or ended.
    Dns,
    /// Requests were ended, retried or failed.
    Requests,
    /// What would have been done to an observed worker.
    Observe,
}

impl Kind {
    /// All kinds, in the order of their numbers on the board.
    pub const ALL: [Self; 6] = [
        Self::Module,
        Self::Worker,
        Self::Address,
        Self::Dns,
        Self::Requests,
        Self::Observe,
    ];
}

/// Something that has happened. Text that is too long for the board is cut there.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Event {
    pub kind: Kind,
    /// Whom it is about: the tag of the name's, target's or worker's slot; 0 for the module itself.
    pub tag: u64,
    /// The name, the target's label or the worker's URL.
    pub subject: String,
    /// The address concerned; empty if it is none or several.
    pub address: String,
    /// The old and the new state; may be empty.
    pub from: String,
    pub to: String,
    pub reason: String,
}

impl Event {
    /// The module itself: something is so now, for a reason.
    pub fn of_module(to: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            to: to.into(),
            reason: reason.into(),
            ..Self::default()
        }
    }
}
