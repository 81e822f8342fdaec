use super::*;

/// Only the end of a child leaves something behind.
#[test]
fn a_thread_that_ends_leaves_its_desk() {
    let desk = Arc::<Desk>::default();
    let here = Here {
        top: Top::new(),
        stack: ManuallyDrop::default(),
        desk: ManuallyDrop::new(OnceCell::from(desk.clone())),
    };
    drop(here);
    assert_eq!(Arc::strong_count(&desk), 1);
}

fn begin(request: usize, id: u64) {
    HERE.with(|here| {
        let mut stack = here.stack.borrow_mut();
        let attempt = stack.push();
        attempt.request = request;
        attempt.entry = Some(0);
        attempt.id = id;
        here.top.show(stack.last());
    });
}

#[test]
fn nobody_finds_a_request_whose_step_has_failed() {
    begin(64, 5);
    assert_eq!((current_request(), number()), (Some(64), 5));
    abandon(64);
    assert_eq!((current_request(), number()), (None, NO_ATTEMPT));
    assert!(current().is_none() && last_conn().is_none());
}

#[test]
fn the_request_around_it_stays() {
    begin(64, 5);
    begin(128, 6);
    abandon(128);
    assert_eq!((current_request(), current()), (Some(64), Some((0, 5))));
    abandon(64);
    assert_eq!(current(), None);
}
