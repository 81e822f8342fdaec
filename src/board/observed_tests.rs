//! What is worked out for observed workers has words of its own.

use super::tests::{SMALL, board};
use super::*;

const ID: WorkerId = WorkerId(2);
const TAG: Tag = Tag(11);

fn counts(ended: u64, retried: u64) -> Rescues {
    Rescues {
        ended,
        retried,
        failed: 0,
    }
}

#[test]
fn counts_are_apart_from_what_is_really_done() {
    let board = board();
    board.count_would(ID, TAG, Would::End);
    assert_eq!(board.would(ID, TAG), None, "nobody's yet");
    board.assign_worker(ID, TAG);
    for what in [Would::End, Would::Retry(0b1), Would::Retry(0b100)] {
        board.count_would(ID, TAG, what);
        board.count_would(ID, Tag(12), Would::Retry(0b1000));
    }
    assert_eq!(board.would(ID, TAG), Some(counts(1, 2)));
    assert_eq!(board.would_told(ID, TAG), Some(counts(0, 0)));
    assert_eq!(board.tell_would(ID, Tag(12), counts(9, 9)), 0);
    assert_eq!(board.tell_would(ID, TAG, counts(1, 2)), 0b101);
    assert_eq!(board.tell_would(ID, TAG, counts(1, 2)), 0, "once");
    assert_eq!(board.would_told(ID, TAG), Some(counts(1, 2)));
    assert_eq!(board.rescues(ID, TAG), Some(Rescues::default()));
    assert_eq!(board.told(ID, TAG), Some(Rescues::default()));

    board.count_rescue(ID, TAG, RescueCount::Failed, 5);
    board.tell(ID, TAG, counts(7, 7));
    board.keep_until(ID, TAG, 99);
    board.count_fail(ID, TAG);
    assert_eq!(board.would(ID, TAG), Some(counts(1, 2)));
    assert_eq!(board.would_told(ID, TAG), Some(counts(1, 2)));
    assert_eq!(board.imagined(ID, TAG), 0);
}

#[test]
fn what_was_told_lasts_as_long_as_the_owner() {
    let board = board();
    board.assign_worker(ID, TAG);
    board.imagine(ID, TAG, u64::MAX);
    board.imagine(ID, Tag(12), 5);
    assert_eq!(board.imagined(ID, TAG), u64::MAX);
    assert_eq!(board.imagined(ID, Tag(12)), 0);
    assert_eq!(board.would(ID, TAG), Some(counts(0, 0)));
    for other in [WorkerId(1), WorkerId(3)] {
        board.assign_worker(other, TAG);
        assert_eq!(board.imagined(other, TAG), 0);
    }
    board.assign_worker(ID, Tag(12));
    assert_eq!(
        (board.imagined(ID, TAG), board.imagined(ID, Tag(12))),
        (0, 0)
    );
    for none in [WorkerId(SMALL.workers), WorkerId(u32::MAX)] {
        board.imagine(none, TAG, 1);
        board.count_would(none, TAG, Would::End);
        assert_eq!(
            (board.imagined(none, TAG), board.would(none, TAG)),
            (0, None)
        );
    }
}
