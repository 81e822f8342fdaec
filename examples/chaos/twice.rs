//! How often each POST was executed, and with which body.

use crate::action::At;
use crate::machines::Post;
use live_kit::{checksum, payload};
use std::collections::HashMap;

/// Retransmissions of a machine that is back come in long before.
const MEMORY: At = 600_000;

#[derive(Default)]
pub struct Twice {
    /// By number of the request: when, and at which machine.
    seen: HashMap<u64, (At, String)>,
}

impl Twice {
    /// What is wrong with what the machines have seen since the last look.
    pub fn look(&mut self, posts: &[Post], now: At) -> Vec<String> {
        let wrong = posts.iter().filter_map(|p| self.post(p, now)).collect();
        self.seen.retain(|_, (at, _)| *at + MEMORY > now);
        wrong
    }

    fn post(&mut self, post: &Post, now: At) -> Option<String> {
        if !post.path.contains("live?") {
            return None;
        }
        let number = parameter(&post.path, "n=")?;
        let size = parameter(&post.path, "size=")? as usize;
        let body = payload(number, size);
        let by = &post.by;
        if (post.length, post.sum) != (size, checksum(&body)) {
            let length = post.length;
            return Some(format!(
                "POST number {number} came to {by} with {length} bytes that are not its own {size}"
            ));
        }
        let (_, other) = self.seen.insert(number, (now, by.clone()))?;
        Some(format!(
            "POST number {number} was executed at {other} and at {by}"
        ))
    }
}

fn parameter(path: &str, key: &str) -> Option<u64> {
    let query = path.split_once('?')?.1;
    let value = query.split('&').find_map(|p| p.strip_prefix(key))?;
    value.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_and_repetitions() {
        let post = |n: u64, seed: u64| Post {
            path: format!("/app/live?n={n}&delay=5&size=700"),
            length: 700,
            sum: checksum(&payload(seed, 700)),
            by: "0/0".into(),
        };
        let mut twice = Twice::default();
        assert!(twice.look(&[post(1, 1), post(2, 2)], 0).is_empty());
        assert_eq!(twice.look(&[post(1, 1)], 1).len(), 1);
        assert_eq!(twice.look(&[post(3, 4)], 2).len(), 1);
        let stock = Post {
            path: "/app/stock?n=2&size=700".into(),
            ..post(2, 2)
        };
        assert!(twice.look(&[stock], 3).is_empty());
    }
}
