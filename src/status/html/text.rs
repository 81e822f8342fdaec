//! Text, times and numbers as the page shows them.

use std::fmt::Write;

use maud::{Escaper, Markup, Render, html};

/// Text from outside. What HTML forbids is replaced, and so is what would turn the direction of the text behind it;
/// `<`, `>`, `&` and quotes are escaped.
pub struct Text<'a>(pub &'a str);

impl Render for Text<'_> {
    fn render_to(&self, out: &mut String) {
        let mut safe = Escaper::new(out);
        let mut rest = self.0;
        while let Some((at, bad)) = rest.char_indices().find(|(_, c)| is_unfit(*c)) {
            // writing to a String does not fail
            let _ = safe.write_str(&rest[..at]);
            let _ = safe.write_char(char::REPLACEMENT_CHARACTER);
            rest = &rest[at + bad.len_utf8()..];
        }
        let _ = safe.write_str(rest);
    }
}

/// Control characters, noncharacters, and those that change the direction of text.
fn is_unfit(c: char) -> bool {
    let code = u32::from(c);
    c.is_control()
        || matches!(code, 0xfdd0..=0xfdef | 0x200e..=0x200f | 0x202a..=0x202e | 0x2066..=0x2069)
        || code & 0xfffe == 0xfffe
}

/// For a link: everything but letters, digits and `-._~` percent-encoded.
pub fn encode(text: &str) -> String {
    const HEX: [u8; 16] = *b"0123456789ABCDEF";
    let mut out = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
            out.extend(['%', char::from(HEX[high]), char::from(HEX[low])]);
        }
    }
    out
}

/// A point in time by the clock, in UTC, and how long ago that was.
pub fn when(at_ms: u64, now_ms: u64) -> Markup {
    html! { (clock(at_ms, now_ms)) " " span.m { (ago(at_ms, now_ms)) } }
}

/// The date only when it is another day.
pub fn clock(at_ms: u64, now_ms: u64) -> Markup {
    let moment = Moment::of(at_ms);
    let shown = match moment.date == Moment::of(now_ms).date {
        true => moment.time.clone(),
        false => format!("{} {}", moment.date, moment.time),
    };
    html! { time datetime=(moment.machine()) { (shown) } }
}

/// How long ago, the time itself for machines.
pub fn age(at_ms: u64, now_ms: u64) -> Markup {
    html! { time datetime=(Moment::of(at_ms).machine()) { (ago(at_ms, now_ms)) } }
}

/// Date and time in full.
pub fn full(at_ms: u64) -> Markup {
    let moment = Moment::of(at_ms);
    html! { time datetime=(moment.machine()) { (moment.date) " " (moment.time) " UTC" } }
}

struct Moment {
    date: String,
    time: String,
}

impl Moment {
    fn of(at_ms: u64) -> Self {
        let seconds = at_ms / 1_000;
        let (year, month, day) = civil(seconds / 86_400);
        let (hour, minute) = (seconds / 3_600 % 24, seconds / 60 % 60);
        Self {
            date: format!("{year:04}-{month:02}-{day:02}"),
            time: format!("{hour:02}:{minute:02}:{:02}", seconds % 60),
        }
    }

    fn machine(&self) -> String {
        format!("{}T{}Z", self.date, self.time)
    }
}

/// Year, month and day of so many days after 1970-01-01; years count from March, so that leap days come last.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// `3 min ago`, `in 2 s`, `now`.
pub fn ago(at_ms: u64, now_ms: u64) -> String {
    match (now_ms.saturating_sub(at_ms), at_ms.saturating_sub(now_ms)) {
        (0..100, 0..100) => "now".to_owned(),
        (0, ahead) => format!("in {}", rough(ahead)),
        (past, _) => format!("{} ago", rough(past)),
    }
}

/// A duration in the one unit that fits.
pub fn rough(ms: u64) -> String {
    match ms {
        0..100 => format!("{ms} ms"),
        100..10_000 => format!("{}.{} s", ms / 1_000, ms / 100 % 10),
        10_000..120_000 => format!("{} s", ms / 1_000),
        120_000..7_200_000 => format!("{} min", ms / 60_000),
        7_200_000..172_800_000 => format!("{} h", ms / 3_600_000),
        _ => format!("{} d", ms / 86_400_000),
    }
}

/// A setting: as exact as it was written.
pub fn setting(ms: u64) -> String {
    match ms {
        0 => "0 s".to_owned(),
        _ if ms.is_multiple_of(60_000) => format!("{} min", ms / 60_000),
        _ if ms.is_multiple_of(1_000) => format!("{} s", ms / 1_000),
        _ => format!("{ms} ms"),
    }
}

/// How long a probe took; the unit behind a blank that does not break.
pub fn took(us: u32) -> String {
    let number = millis(us);
    match us {
        0..10_000_000 => format!("{number}\u{a0}ms"),
        _ => format!("{}\u{a0}s", us / 1_000_000),
    }
}

/// Microseconds as milliseconds, with two digits that count.
pub fn millis(us: u32) -> String {
    match us {
        0..1_000 => format!("0.{:02}", us / 10),
        1_000..10_000 => format!("{}.{}", us / 1_000, us / 100 % 10),
        _ => (us / 1_000).to_string(),
    }
}

pub fn bytes(count: u64) -> String {
    match count {
        0..10_240 => format!("{count} B"),
        10_240..10_485_760 => format!("{} KiB", count / 1_024),
        _ => format!("{} MiB", count / 1_048_576),
    }
}

/// Digits in groups of three.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 2);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push('\u{a0}');
        }
        out.push(digit);
    }
    out
}

/// `1 worker`, `2 workers`.
pub fn count(number: usize, one: &str) -> String {
    let end = if number == 1 { "" } else { "s" };
    format!("{} {one}{end}", grouped(number as u64))
}
