//! Numbers of slots, and the tags that say whom they belong to.

use super::slot::mix;

/// Number of a slot of one kind.
pub trait SlotId: Copy {
    /// What these slots are for, in the plural.
    const WHAT: &'static str;

    fn new(index: u32) -> Self;
}

/// Number of a name's slot.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct NameId(pub u32);

/// Number of a target's slot: one stream of probes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct TargetId(pub u32);

/// Number of a worker's slot.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct WorkerId(pub u32);

impl SlotId for NameId {
    const WHAT: &'static str = "names";

    fn new(index: u32) -> Self {
        Self(index)
    }
}

impl SlotId for TargetId {
    const WHAT: &'static str = "targets";

    fn new(index: u32) -> Self {
        Self(index)
    }
}

impl SlotId for WorkerId {
    const WHAT: &'static str = "workers";

    fn new(index: u32) -> Self {
        Self(index)
    }
}

/// Whom a slot belongs to: identity of its owner and epoch of its assignment; never 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Tag(pub u64);

impl Tag {
    /// The tag of a name or key (with all that makes its identity) that got its slot in `epoch`.
    pub fn new(name: &str, epoch: u64) -> Self {
        let seed = mix(epoch, name.len() as u64);
        let hash = name.bytes().fold(seed, |hash, byte| mix(hash, byte.into()));
        Self(hash.max(1))
    }
}
