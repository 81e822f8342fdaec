//! States as words with a symbol (the style sheet's, so that each is spelled once) and how bad they are.

use maud::{Markup, html};

use super::super::model::{AddressState, Admin, Live, State, Worker};

/// The word for a person, and the class that gives symbol and colour.
pub fn word(state: State) -> (&'static str, &'static str) {
    match state {
        State::Up => ("up", "u"),
        State::Down => ("down", "d"),
        State::LastResort => ("last resort", "l"),
        State::Starting => ("starting", "t"),
        State::Error => ("error", "e"),
    }
}

pub fn pill(state: State) -> Markup {
    let (word, class) = word(state);
    mark(class, word)
}

pub fn address_pill(state: AddressState) -> Markup {
    match state {
        AddressState::Up => mark("u", "up"),
        AddressState::Down => mark("d", "down"),
        AddressState::Unknown => mark("t", "unknown"),
    }
}

/// A word with the symbol and the colour of a class.
pub fn mark(class: &str, word: &str) -> Markup {
    html! { b class={ "s " (class) } { (word) } }
}

pub fn admin(bit: Admin) -> &'static str {
    match bit {
        Admin::Disabled => "disabled",
        Admin::Stopped => "stopped",
        Admin::Draining => "draining",
        Admin::HotStandby => "hot standby",
        Admin::HotSpare => "hot spare",
        Admin::IgnoreErrors => "ignores errors",
    }
}

/// The lower, the worse.
pub fn rank(worker: &Worker) -> u8 {
    match worker.state {
        State::Down => 0,
        State::Error => 1,
        State::LastResort => 2,
        _ if worker.held => 3,
        State::Starting => 4,
        State::Up => match worker.would_be {
            Some(State::Down) => 5,
            Some(State::LastResort) => 6,
            _ if worker
                .addresses
                .iter()
                .any(|a| a.state == AddressState::Down) =>
            {
                7
            }
            _ if !worker.admin.is_empty() => 8,
            _ if worker.live == Live::Off => 10,
            _ => 9,
        },
    }
}

/// Nothing about it needs a look.
pub fn is_calm(worker: &Worker) -> bool {
    rank(worker) >= 9
}
