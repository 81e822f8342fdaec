//! Numbers for the jitter; nothing secret depends on them.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

/// Random numbers for the jitter (xorshift).
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// Starts differently in each process.
    pub fn seeded() -> Self {
        // The keys of the standard library's hash maps are random.
        Self(RandomState::new().build_hasher().finish() | 1)
    }

    /// The next number.
    pub fn draw(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 32) as u32
    }
}
