//! No panic crosses into httpd.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::log::{self, Level};

/// Runs `work`; a panic in it is logged with `place` and turned into `otherwise`.
pub fn guard<R>(place: &str, otherwise: R, work: impl FnOnce() -> R) -> R {
    caught(place, otherwise, work, |text| log::write(Level::Crit, text))
}

/// [`guard`] with the log as an argument.
pub(super) fn caught<R>(
    place: &str,
    otherwise: R,
    work: impl FnOnce() -> R,
    tell: impl FnOnce(&str),
) -> R {
    // A second panic while the payload is described must not escape either, so it is only downcast.
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result,
        Err(payload) => {
            let what = payload
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| payload.downcast_ref::<&str>().copied())
                .unwrap_or("no text");
            tell(&format!(
                "internal error in {place}: {what}; httpd goes on without this step"
            ));
            otherwise
        }
    }
}

#[cfg(test)]
mod tests {
    use super::caught;
    use std::panic::panic_any;

    #[test]
    fn a_panic_becomes_the_given_value_and_one_line() {
        let told = |work: fn() -> i32| {
            let mut lines = Vec::new();
            let value = caught("a place", -1, work, |text| lines.push(text.to_owned()));
            (value, lines)
        };
        assert_eq!(told(|| 7), (7, Vec::new()));
        let line =
            |what| format!("internal error in a place: {what}; httpd goes on without this step");
        assert_eq!(told(|| panic!("plain")), (-1, vec![line("plain")]));
        let number = || panic!("number {}", std::hint::black_box(5));
        assert_eq!(told(number), (-1, vec![line("number 5")]));
        assert_eq!(told(|| panic_any(5_u8)), (-1, vec![line("no text")]));
    }
}
