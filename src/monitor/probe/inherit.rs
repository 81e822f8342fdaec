//! New targets begin with what others know of their addresses.

use std::collections::HashMap;

use super::target::{Kind, Source, TargetTask};
use crate::board::Board;
use crate::logic::addr::Addr;
use crate::logic::health::{self, AddrHealth, State, TargetRecord};
use crate::monitor::run::NameTask;

/// What the board knows of all ports and addresses, with the first word of the target's key.
pub struct Known(HashMap<(u16, Addr), Vec<(String, AddrHealth)>>);

impl Known {
    pub fn on(board: Board) -> Self {
        let mut known: HashMap<(u16, Addr), Vec<_>> = HashMap::new();
        for (id, tag, TargetRecord { port, addrs }) in board.targets() {
            let owner = board.target_owner(id).filter(|(owner, _)| *owner == tag);
            let Some((_, key)) = owner else {
                continue;
            };
            let word = key.split(' ').next().unwrap_or_default();
            for health in addrs.into_iter().filter(|health| health.last_ms != 0) {
                let place = known.entry((port, health.addr)).or_default();
                place.push((word.to_owned(), health));
            }
        }
        Self(known)
    }

    /// What an address that is new to a target begins with; None when nothing concerns it.
    pub fn inherited(&self, task: &TargetTask, addr: &Addr, now_ms: u64) -> Option<AddrHealth> {
        let all = self.0.get(&(task.port, *addr)).into_iter().flatten();
        let fit = all.filter(|(word, health)| concerns(&task.kind, word, health));
        let (_, best) = fit.max_by_key(|(_, health)| weight(health))?;
        (!health::is_stale(best, &task.rules, now_ms)).then(|| best.clone())
    }
}

/// Whose word counts more: the latest, but bad answers to one question not before good ones to another.
pub fn weight(health: &AddrHealth) -> (bool, u64) {
    let sound = health.state != State::Down || health.is_gone();
    (sound, health.last_ms)
}

/// Whether a new target of this kind may take over what another knows, whose key begins with `word`. That an address
/// cannot be reached concerns everybody; that its answers are bad, those only who ask in the same way.
pub fn concerns(kind: &Kind, word: &str, health: &AddrHealth) -> bool {
    let good = health.state != State::Down;
    good || word == kind.word() || word == Kind::Tcp.word() || health.is_gone()
}

/// Writes down for targets that are new on the board what they inherit, so that the first children know it before they
/// have a leader. For the parent, before any child knows the tags.
pub fn seed(board: Board, names: &[NameTask], targets: &[TargetTask], now_ms: u64) {
    let mut known = None;
    for task in targets {
        let record = board.read_target(task.id, task.tag);
        if record.is_some_and(|known| !known.record.addrs.is_empty()) {
            continue;
        }
        let addrs = match task.source {
            Source::Fixed(addr) => vec![addr],
            Source::Name(name) => board
                .read(names[name].id, names[name].tag)
                .map_or_else(Vec::new, |known| known.record.addrs),
        };
        let known = known.get_or_insert_with(|| Known::on(board));
        let addrs = health::merge(
            &[],
            &addrs,
            |addr| known.inherited(task, addr, now_ms),
            now_ms,
        );
        if addrs.iter().any(|health| health.last_ms != 0) {
            let record = TargetRecord {
                port: task.port,
                addrs,
            };
            // The slot is this target's own: it was just given to it.
            let _ = board.write_target(task.id, task.tag, &record);
        }
    }
}

#[cfg(test)]
mod tests;
