//! Where everything lies on the board, counted in 64-bit words.
//!
//! ```text
//! header | seats of the children | near parts of the slots | far parts of the slots
//! ```
//! The near part of a slot holds its words of control, the name, and the first
//! words of both copies of the record: enough for ten addresses. The far part
//! holds the rest of both copies. Few names have more than ten addresses, so
//! the far pages are hardly ever touched and cost nothing.

use super::record::RECORD_WORDS;
use super::slot::COPY_HEAD;

/// First word of a formatted board: "LIVEBORD".
pub const MAGIC: u64 = u64::from_be_bytes(*b"LIVEBORD");
/// Number of the layout; raised with every change to what this file or
/// `record.rs` says, so that old and new code never share a board.
pub const LAYOUT: u64 = 1;

pub const MAGIC_AT: usize = 0;
pub const LAYOUT_AT: usize = 1;
pub const NAMES_AT: usize = 2;
pub const CHILDREN_AT: usize = 3;
// Each request reads the generation: it has a cache line of its own.
pub const GENERATION_AT: usize = 8;
pub const EPOCH_AT: usize = 16;
pub const TICKET_AT: usize = 17;
pub const LEADER_PID_AT: usize = 24;
pub const LEADER_SINCE_AT: usize = 25;
pub const LEADER_HEARTBEAT_AT: usize = 26;
pub const COUNTERS_AT: usize = 32;
/// Room for counters; more than there are today.
pub const COUNTERS_MAX: usize = 32;
/// The seats begin here, one word each.
pub const SEATS_AT: usize = COUNTERS_AT + COUNTERS_MAX;

/// Words of one cache line.
const LINE: usize = 8;

// Inside the near part of a slot.
pub const SLOT_VERSION: usize = 0;
pub const SLOT_TAG: usize = 1;
pub const SLOT_NAME_LEN: usize = 2;
pub const SLOT_NAME: usize = 8;
/// Bytes of a name that are kept for the status page.
pub const NAME_BYTES: usize = 255;
pub const SLOT_NAME_WORDS: usize = NAME_BYTES.div_ceil(8);
pub const SLOT_COPIES: usize = SLOT_NAME + SLOT_NAME_WORDS;

/// Words of one copy of a record.
pub const COPY_WORDS: usize = COPY_HEAD + RECORD_WORDS;
/// Words of a copy that lie in the near part.
pub const COPY_NEAR: usize = 44;
/// Words of a copy that lie in the far part.
pub const COPY_FAR: usize = COPY_WORDS - COPY_NEAR;
/// Words of the near part of a slot: 1 KiB.
pub const SLOT_NEAR: usize = SLOT_COPIES + 2 * COPY_NEAR;
/// Words of the far part of a slot.
pub const SLOT_FAR: usize = 2 * COPY_FAR;

const _: () = assert!(SLOT_NEAR == 128 && SLOT_FAR.is_multiple_of(2));

/// Positions that depend on the capacities.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    pub names: u32,
    pub children: u32,
}

impl Layout {
    /// First word of the near parts.
    fn near_at(self) -> usize {
        SEATS_AT + (self.children as usize).next_multiple_of(LINE)
    }

    /// First word of the far parts.
    fn far_at(self) -> usize {
        self.near_at()
            .saturating_add((self.names as usize).saturating_mul(SLOT_NEAR))
    }

    /// Words of the whole board; saturates where an address space is too small.
    pub fn total(self) -> usize {
        self.far_at()
            .saturating_add((self.names as usize).saturating_mul(SLOT_FAR))
    }

    /// First word of the near part of slot `index`.
    pub fn near(self, index: u32) -> usize {
        self.near_at() + index as usize * SLOT_NEAR
    }

    /// First word of the far part of slot `index`.
    pub fn far(self, index: u32) -> usize {
        self.far_at() + index as usize * SLOT_FAR
    }
}
