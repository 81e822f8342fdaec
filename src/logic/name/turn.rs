//! Tries out of turn of names that fail.

use super::{FAMILIES, FamilyState, NameRecord, fails, family_mut};

/// Makes every failing family due at `now_ms`.
pub fn hurry(record: &mut NameRecord, now_ms: u64) {
    for family in FAMILIES {
        if fails(record, family) {
            family_mut(record, family).retry_ms = now_ms;
        }
    }
}

/// After a try out of turn: families that still fail wait for what they had to wait for before it (`turn`: v4, v6),
/// unless that has come meanwhile, and it does not count. Else the try that matters, when DNS is back, would come late.
pub fn keep_turn(record: &mut NameRecord, turn: &[FamilyState; 2], now_ms: u64) {
    for (family, turn) in FAMILIES.into_iter().zip(turn) {
        let state = family_mut(record, family);
        if state.failing_since_ms != 0 && turn.retry_ms > now_ms {
            (state.failures, state.retry_ms) = (turn.failures, turn.retry_ms);
        }
    }
}
