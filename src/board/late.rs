//! Slots that the leader gives away at run time, to what the parent did not know of: members added in
//! balancer-manager. They lie behind the parent's slots of each kind, and all of them are freed when the parent
//! begins an epoch. Nobody tells the other children: they look for the tag.

use std::sync::atomic::Ordering;

use super::Board;
use super::ids::{NameId, SlotId, Tag, TargetId, WorkerId};
use super::layout::{NAMES_LATE_AT, TARGETS_LATE_AT, WORKERS_LATE_AT};

/// A kind of slots that the leader can give away, too.
pub trait LateId: SlotId {
    /// The word that counts the slots of this kind that were ever given away at run time in this epoch.
    #[doc(hidden)]
    const USED_AT: usize;

    /// Number of the first of them.
    #[doc(hidden)]
    fn first(board: &Board) -> u32;

    /// Whom this slot belongs to; None when it is free.
    #[doc(hidden)]
    fn tag(self, board: &Board) -> Option<Tag>;

    /// Gives this slot away; None frees it.
    #[doc(hidden)]
    fn give(self, board: &Board, owner: Option<(Tag, &str)>);
}

impl LateId for NameId {
    const USED_AT: usize = NAMES_LATE_AT;

    fn first(board: &Board) -> u32 {
        board.name_capacity()
    }

    fn tag(self, board: &Board) -> Option<Tag> {
        board.name_region().tag(self.0)
    }

    fn give(self, board: &Board, owner: Option<(Tag, &str)>) {
        match owner {
            Some((tag, name)) => board.assign(self, tag, name),
            None => board.free(self),
        }
    }
}

impl LateId for TargetId {
    const USED_AT: usize = TARGETS_LATE_AT;

    fn first(board: &Board) -> u32 {
        board.target_capacity()
    }

    fn tag(self, board: &Board) -> Option<Tag> {
        board.target_region().tag(self.0)
    }

    fn give(self, board: &Board, owner: Option<(Tag, &str)>) {
        match owner {
            Some((tag, key)) => board.assign_target(self, tag, key),
            None => board.free_target(self),
        }
    }
}

impl LateId for WorkerId {
    const USED_AT: usize = WORKERS_LATE_AT;

    fn first(board: &Board) -> u32 {
        board.worker_capacity()
    }

    fn tag(self, board: &Board) -> Option<Tag> {
        board.worker_tag(self)
    }

    fn give(self, board: &Board, owner: Option<(Tag, &str)>) {
        match owner {
            Some((tag, _)) => board.assign_worker(self, tag),
            None => board.free_worker(self),
        }
    }
}

impl Board {
    /// How many slots of each kind can be given away at run time.
    pub const fn late_capacity(&self) -> u32 {
        self.layout.capacity.late
    }

    /// The slot that was given to `tag` at run time.
    pub fn find_late<I: LateId>(&self, tag: Tag) -> Option<I> {
        self.late_slots::<I>(self.late_used::<I>())
            .find(|id| id.tag(self) == Some(tag))
    }

    /// The slot of `tag`; it is given one when it has none. None when all are taken. Leader only: it may die at
    /// any instruction, a slot then belongs to `tag` or is still free.
    pub fn claim_late<I: LateId>(&self, tag: Tag, key: &str) -> Option<I> {
        if let Some(id) = self.find_late(tag) {
            return Some(id);
        }
        let mut slots = self.late_slots::<I>(self.late_capacity());
        let at = slots.position(|id| id.tag(self).is_none())? as u32;
        // First: who looks for the tag, and who frees, goes no further.
        self.words[I::USED_AT].fetch_max(u64::from(at) + 1, Ordering::AcqRel);
        let id = I::new(I::first(self) + at);
        id.give(self, Some((tag, key)));
        Some(id)
    }

    /// Frees the slots that were given away at run time. Parent only, before children know a new epoch. Workers keep
    /// theirs, with their counts, as long as half of the slots are free.
    pub fn free_late(&self) {
        self.free_late_of::<NameId>();
        self.free_late_of::<TargetId>();
        if self.late_used::<WorkerId>() > self.late_capacity() / 2 {
            self.free_late_of::<WorkerId>();
        }
    }

    fn free_late_of<I: LateId>(&self) {
        for id in self.late_slots::<I>(self.late_used::<I>()) {
            id.give(self, None);
        }
        self.words[I::USED_AT].store(0, Ordering::Release);
    }

    /// No slot behind these was given away at run time in this epoch.
    pub(super) fn late_used<I: LateId>(&self) -> u32 {
        let used = self.words[I::USED_AT].load(Ordering::Acquire);
        u32::try_from(used).map_or(self.late_capacity(), |used| used.min(self.late_capacity()))
    }

    fn late_slots<I: LateId>(&self, count: u32) -> impl Iterator<Item = I> + use<I> {
        let first = I::first(self);
        (first..first + count).map(I::new)
    }
}
