//! The slots of the targets: health of all addresses that one stream of probes looks at.

use std::ops::Range;
use std::sync::atomic::Ordering;

use super::health::TARGET_WORDS;
use super::ids::{Tag, TargetId};
use super::layout::TARGETS_USED_AT;
use super::region::Region;
use super::slot::WriteError;
use super::{Board, Plan, VersionedTarget};
use crate::logic::health::TargetRecord;

impl Board {
    /// Number of the parent's target slots.
    pub const fn target_capacity(&self) -> u32 {
        self.layout.capacity.targets
    }

    /// Frees and assigns what the ledger of the targets decided. Parent only.
    pub fn apply_targets(&self, plan: &Plan<TargetId>) {
        for id in &plan.freed {
            self.free_target(*id);
        }
        for (id, tag, key) in &plan.assigned {
            self.assign_target(*id, *tag, key);
        }
    }

    /// Gives a slot to a target: its record is the default one (port 0, no
    /// address), its version goes on. Parent only. Does nothing when there is no
    /// such slot.
    pub fn assign_target(&self, id: TargetId, tag: Tag, key: &str) {
        if self.target_region().give(id.0, tag.0, key) && id.0 < self.target_capacity() {
            self.words[TARGETS_USED_AT].fetch_max(u64::from(id.0) + 1, Ordering::AcqRel);
        }
    }

    /// Takes a slot from its target. Parent only.
    pub fn free_target(&self, id: TargetId) {
        self.target_region().give(id.0, 0, "");
    }

    /// As [`Board::version`], for a target.
    pub fn target_version(&self, id: TargetId) -> u64 {
        self.target_region().version(id.0)
    }

    /// As [`Board::read`], for a target.
    pub fn read_target(&self, id: TargetId, tag: Tag) -> Option<VersionedTarget> {
        self.target_region().read(id.0, tag)
    }

    /// As [`Board::write`], for a target. The parent may write too, before any
    /// child knows the tag: that is how a new target inherits health.
    ///
    /// # Errors
    /// When the slot does not exist or was given to another target. Nothing is
    /// published then.
    pub fn write_target(
        &self,
        id: TargetId,
        tag: Tag,
        record: &TargetRecord,
    ) -> Result<u64, WriteError> {
        self.target_region().write(id.0, tag, record)
    }

    /// Whom a target's slot belongs to now, with its key. Keys are cut after
    /// 255 bytes. `None` for a free slot.
    pub fn target_owner(&self, id: TargetId) -> Option<(Tag, String)> {
        self.target_region().owner(id.0)
    }

    /// The records of all targets that have a slot and can be read; the default
    /// record where nothing was written yet.
    pub fn targets(&self) -> impl Iterator<Item = (TargetId, Tag, TargetRecord)> + use<> {
        let region = self.target_region();
        self.given_targets()
            .into_iter()
            .flatten()
            .filter_map(move |index| {
                let tag = region.tag(index)?;
                let read: VersionedTarget = region.read(index, tag)?;
                Some((TargetId(index), tag, read.record))
            })
    }

    /// The numbers of all slots that may have been given away.
    pub(super) fn given_targets(&self) -> [Range<u32>; 2] {
        let first = self.target_capacity();
        let late = first..first.saturating_add(self.late_used::<TargetId>());
        [0..self.targets_used(), late]
    }

    /// Number of all target slots.
    pub(super) const fn all_targets(&self) -> u32 {
        self.target_capacity().saturating_add(self.late_capacity())
    }

    /// None of the parent's slots at or above this number was ever given away.
    pub(super) fn targets_used(&self) -> u32 {
        let used = self.words[TARGETS_USED_AT].load(Ordering::Acquire);
        u32::try_from(used).map_or(self.target_capacity(), |used| {
            used.min(self.target_capacity())
        })
    }

    pub(super) fn target_region(&self) -> Region<TARGET_WORDS> {
        Region {
            words: self.words,
            place: self.layout.targets,
        }
    }
}
