//! How often each POST was executed, and with which body.

use crate::action::At;
use crate::site::Machines;
use crate::users::BODY;
use live_kit::Seen;
use std::collections::HashMap;

/// Retransmissions of a machine that is back come in long before.
const MEMORY: At = 600_000;

#[derive(Default)]
pub struct Twice {
    /// By number of the request: when, and at which machine.
    seen: HashMap<String, (At, String)>,
}

impl Twice {
    /// Takes what the machines have seen since the last look; what is wrong with it.
    pub fn look(&mut self, machines: &Machines, now: At) -> Vec<String> {
        let mut wrong = Vec::new();
        for machine in machines.all() {
            let posts = machine
                .take_seen()
                .into_iter()
                .filter(|s| s.method == "POST");
            posts.for_each(|seen| wrong.extend(self.post(&seen, machine.name(), now)));
        }
        self.seen.retain(|_, (at, _)| *at + MEMORY > now);
        wrong
    }

    fn post(&mut self, seen: &Seen, machine: &str, now: At) -> Option<String> {
        let live = seen.path.contains("live?");
        let number = seen.path.split("n=").nth(1)?.split('&').next()?.to_owned();
        if live && seen.length != BODY {
            return Some(format!(
                "POST number {number} came with {} bytes",
                seen.length
            ));
        }
        let before = self.seen.insert(number.clone(), (now, machine.to_owned()));
        let (_, other) = before.filter(|_| live)?;
        Some(format!(
            "POST number {number} was executed at {other} and at {machine}"
        ))
    }
}
