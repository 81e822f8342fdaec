//! The last events: a ring that every child, the leader and the parent write to, and the status page reads.
//!
//! A writer takes a number and with it a place. Its place says first that it is being written, last that it is
//! whole; a checksum finds what two writers in one place leave behind. Who dies in between costs one event.

use std::sync::atomic::{AtomicU64, Ordering, fence};

use super::Board;
use super::layout::EVENTS_AT;
use super::slot::mix;
use crate::logic::event::{Event, Kind};

/// Events that are kept; the page shows the last 200.
pub const EVENTS: u32 = 256;
/// Words of one event.
pub const EVENT_WORDS: usize = TEXT + TEXT_WORDS;

// Inside an event: whose place it is, and the rest under a checksum.
const NUMBER: usize = 0;
const SUM: usize = 1;
const TAG: usize = 2;
const TIME: usize = 3;
/// Kind and lengths, one byte each.
const SHAPE: usize = 4;
const TEXT: usize = 8;

/// Most bytes of subject, address, from, to and reason.
const MOST: [usize; 5] = [160, 48, 120, 120, 240];
const TEXT_WORDS: usize = (MOST[0] + MOST[1] + MOST[2] + MOST[3] + MOST[4]) / 8;

/// An event as it was noted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Noted {
    /// Milliseconds since 1970.
    pub at_ms: u64,
    pub event: Event,
}

impl Board {
    /// Notes an event. `at_ms` are milliseconds since 1970.
    pub fn note(&self, event: &Event, at_ms: u64) {
        let number = self.words[EVENTS_AT].fetch_add(1, Ordering::Relaxed);
        let place = self.event_place(number);
        place[NUMBER].store(writing(number), Ordering::Relaxed);
        fence(Ordering::Release);
        let words = encode(event, at_ms);
        for (to, word) in place[SUM..].iter().zip(words) {
            to.store(word, Ordering::Relaxed);
        }
        place[NUMBER].store(whole(number), Ordering::Release);
    }

    /// The last events that are whole, newest first, at most [`EVENTS`].
    pub fn events(&self) -> Vec<Noted> {
        let next = self.words[EVENTS_AT].load(Ordering::Acquire);
        let numbers = (1..=u64::from(EVENTS)).map(|back| next.wrapping_sub(back));
        numbers.filter_map(|number| self.event(number)).collect()
    }

    fn event(&self, number: u64) -> Option<Noted> {
        let place = self.event_place(number);
        let mut words = [0; EVENT_WORDS - SUM];
        if place[NUMBER].load(Ordering::Acquire) != whole(number) {
            return None;
        }
        for (to, word) in words.iter_mut().zip(&place[SUM..]) {
            *to = word.load(Ordering::Relaxed);
        }
        fence(Ordering::Acquire);
        let same = place[NUMBER].load(Ordering::Relaxed) == whole(number);
        decode(&words).filter(|_| same)
    }

    fn event_place(&self, number: u64) -> &'static [AtomicU64] {
        let place = (number % u64::from(EVENTS)) as usize;
        &self.words[self.layout.events_at + place * EVENT_WORDS..][..EVENT_WORDS]
    }
}

const fn writing(number: u64) -> u64 {
    number.wrapping_mul(2).wrapping_add(1)
}

const fn whole(number: u64) -> u64 {
    number.wrapping_mul(2).wrapping_add(2)
}

/// All words behind the number.
fn encode(event: &Event, at_ms: u64) -> [u64; EVENT_WORDS - SUM] {
    let mut words = [0; EVENT_WORDS - SUM];
    let kind = Kind::ALL.iter().position(|kind| *kind == event.kind);
    let mut shape = vec![kind.unwrap_or(0) as u8];
    let mut text = Vec::new();
    let parts = [
        &event.subject,
        &event.address,
        &event.from,
        &event.to,
        &event.reason,
    ];
    for (part, most) in parts.into_iter().zip(MOST) {
        let before = text.len();
        text.extend_from_slice(cut(part, most).as_bytes());
        shape.push((text.len() - before) as u8);
    }
    words[TAG - SUM] = event.tag;
    words[TIME - SUM] = at_ms;
    words[SHAPE - SUM] = word(&shape);
    for (to, bytes) in words[TEXT - SUM..].iter_mut().zip(text.chunks(8)) {
        *to = word(bytes);
    }
    words[0] = checksum(&words);
    words
}

fn decode(words: &[u64; EVENT_WORDS - SUM]) -> Option<Noted> {
    if words[0] != checksum(words) {
        return None;
    }
    let [kind, lengths @ .., _, _] = words[SHAPE - SUM].to_le_bytes();
    let text = words[TEXT - SUM..]
        .iter()
        .flat_map(|word| word.to_le_bytes());
    let text: Vec<u8> = text.collect();
    let mut rest = text.as_slice();
    let mut parts = Vec::new();
    for length in lengths {
        let (part, more) = rest.split_at_checked(length.into())?;
        parts.push(String::from_utf8_lossy(part).into_owned());
        rest = more;
    }
    let [subject, address, from, to, reason] = parts.try_into().ok()?;
    Some(Noted {
        at_ms: words[TIME - SUM],
        event: Event {
            kind: *Kind::ALL.get(usize::from(kind))?,
            tag: words[TAG - SUM],
            subject,
            address,
            from,
            to,
            reason,
        },
    })
}

fn checksum(words: &[u64]) -> u64 {
    words[1..]
        .iter()
        .fold(words.len() as u64, |sum, word| mix(sum, *word))
}

fn word(bytes: &[u8]) -> u64 {
    let mut padded = [0; 8];
    padded[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(padded)
}

/// At most `most` bytes, with a mark where something is missing.
fn cut(text: &str, most: usize) -> String {
    const MARK: &str = "…";
    if text.len() <= most {
        return text.to_owned();
    }
    let fits = |at: &usize| text.is_char_boundary(*at);
    let end = (0..=most - MARK.len()).rev().find(fits).unwrap_or(0);
    format!("{}{MARK}", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::super::tests::board;
    use super::*;

    fn event(n: usize) -> Event {
        Event {
            kind: Kind::ALL[n % Kind::ALL.len()],
            tag: n as u64,
            subject: format!("http://app{n}.test:8080"),
            address: format!("192.0.2.{}", n % 256),
            from: "up".into(),
            to: "down".into(),
            reason: "time-out; 2 probes in 1021 ms".into(),
        }
    }

    #[test]
    fn the_last_ones_newest_first() {
        let board = board();
        assert_eq!(board.events(), []);
        for n in 0..EVENTS as usize + 10 {
            board.note(&event(n), n as u64);
            let events = board.events();
            let want = (0..=n).rev().take(EVENTS as usize);
            assert_eq!(events.len(), want.clone().count());
            let numbers = events.iter().map(|noted| noted.at_ms as usize);
            assert!(numbers.eq(want));
            assert_eq!(events[0].event, event(n));
        }
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        let board = board();
        for reason in [
            "ä".repeat(400),
            format!("x{}", "ä".repeat(400)),
            "…".repeat(100),
        ] {
            let long = Event {
                subject: "s".repeat(1_000),
                address: "a".repeat(1_000),
                from: "f".repeat(1_000),
                to: "t".repeat(1_000),
                reason,
                ..Event::default()
            };
            board.note(&long, 1);
            let Event {
                subject,
                address,
                from,
                to,
                reason,
                ..
            } = board.events().remove(0).event;
            for (part, most) in [subject, address, from, to, reason].iter().zip(MOST) {
                assert!(part.ends_with('…') && !part.contains('\u{fffd}'), "{part}");
                assert!((most - 3..=most).contains(&part.len()), "{}", part.len());
            }
        }
    }

    /// A writer that died, and two in one place.
    #[test]
    fn what_is_not_whole_is_left_out() {
        let board = board();
        (0..3).for_each(|n| board.note(&event(n), n as u64));
        board.event_place(1)[NUMBER].store(writing(1), Ordering::Relaxed);
        let times =
            |board: Board| -> Vec<u64> { board.events().iter().map(|noted| noted.at_ms).collect() };
        assert_eq!(times(board), [2, 0]);
        board.event_place(0)[TEXT].store(7, Ordering::Relaxed);
        assert_eq!(times(board), [2]);
    }

    #[test]
    fn wild_words_are_no_events() {
        let board = board();
        board.note(&event(1), 1);
        for next in [0, 5, u64::MAX, 1 << 63] {
            board.words[EVENTS_AT].store(next, Ordering::Relaxed);
            assert!(board.events().len() <= 1);
        }
        let mut words = encode(&event(1), 1);
        // Lengths beyond the text, under a good checksum.
        words[SHAPE - SUM] = u64::MAX;
        words[0] = checksum(&words);
        assert_eq!(decode(&words), None);
    }
}
