//! Workers that are only observed (`live=observe`): everything is worked out for them, and what would have been
//! done is told once, by the leading child, and counted. mod_proxy is not touched.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use super::child::Child;
use super::entry::Entry;
use super::marks::{Mark, Role};
use crate::board::{Board, Counter, Rescues, Would};
use crate::ffi::log::Level;
use crate::log;
use crate::logic::addr::Addr;
use crate::logic::event::Kind;
use crate::logic::rescues::Teller;
use crate::logic::retry::Cause;
use crate::logic::usable::Lack;
use crate::logic::verdict::Verdict;

/// What was told of a worker, in one word on the board: a new leader does not tell it again.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Told(u64);

const VERDICT: u64 = 0b11;
const RELEASED: u64 = 0b100;
const FLAGS: u32 = 3;

impl Told {
    const fn verdict(self) -> Verdict {
        match self.0 & VERDICT {
            1 => Verdict::Out,
            2 => Verdict::LastResort,
            _ => Verdict::In,
        }
    }

    const fn with_verdict(self, verdict: Verdict) -> Self {
        let bits = match verdict {
            Verdict::In => 0,
            Verdict::Out => 1,
            Verdict::LastResort => 2,
        };
        Self(self.0 & !VERDICT | bits)
    }

    /// The release of the error that mod_proxy has it in now.
    const fn is_released(self) -> bool {
        self.0 & RELEASED != 0
    }

    const fn with_released(self, released: bool) -> Self {
        let bit = if released { RELEASED } else { 0 };
        Self(self.0 & !RELEASED | bit)
    }

    /// The addresses, in any order; `None` as long as there are none.
    fn with_addrs(self, addrs: &[Addr]) -> Option<Self> {
        let mut sorted = addrs.to_vec();
        sorted.sort_unstable();
        let mut hasher = DefaultHasher::new();
        sorted.hash(&mut hasher);
        let flags = self.0 & ((1 << FLAGS) - 1);
        (!sorted.is_empty()).then(|| Self(hasher.finish() << FLAGS | flags))
    }
}

impl Entry {
    fn told(&self, board: Board) -> Told {
        let seat = self.planned.seat;
        Told(seat.map_or(0, |(id, tag)| board.imagined(id, tag)))
    }

    fn set_told(&self, board: Board, told: Told) {
        if let Some((id, tag)) = self.planned.seat {
            board.imagine(id, tag, told.0);
        }
    }

    /// Tells what would have been done, and counts it.
    fn would(&self, child: &Child, what: &str, why: &str) {
        child.board.add(Counter::Observed, 1);
        let to = format!("would {what}");
        child.note_at(self, Kind::Observe, ["", &to], why);
        log!(
            Level::Notice,
            "worker {}: observe: {to} ({why})",
            self.planned.label
        );
    }
}

/// What was observed is over for workers that are live now. Parent only.
pub fn forget(board: Board, entry: &Entry) {
    if !entry.planned.settings.observe {
        entry.set_told(board, Told::default());
    }
}

/// Whether this child's lines count: a child of an older configuration that leads for a moment says nothing.
pub fn speaks(child: &Child) -> bool {
    child.epoch == child.board.epoch()
}

/// Tells of the addresses that observed workers would use now. Leader only.
pub fn tell_addresses(child: &Child) {
    let observed = |entry: &&Entry| entry.planned.settings.observe;
    for entry in child.entries.iter().filter(observed) {
        if !entry.follows_dns() || !speaks(child) {
            continue;
        }
        let told = entry.told(child.board);
        let Some((now, addrs)) = entry.with_health(|set, _| {
            let now = told.with_addrs(set).filter(|now| *now != told)?;
            let words: Vec<String> = set.iter().map(Addr::to_string).collect();
            Some((now, words.join(", ")))
        }) else {
            continue;
        };
        entry.set_told(child.board, now);
        entry.would(child, &format!("use {addrs}"), "from DNS");
    }
}

impl Mark {
    /// In the place of putting a verdict in force. `clean`: no error of mod_proxy's own has to last.
    pub(super) fn imagine(
        &mut self,
        child: &Child,
        entry: &Entry,
        verdict: Verdict,
        lack: Option<Lack>,
        role: Role,
        clean: bool,
    ) {
        if role != Role::Leads || !speaks(child) {
            return;
        }
        let board = child.board;
        self.verdict = Some(verdict);
        let told = entry.told(board);
        let before = told.verdict();
        if before != verdict {
            // Coming back and being the last resort would end an error of mod_proxy's own as well.
            let ends = verdict != Verdict::Out && clean && entry.planned.worker.is_in_error();
            let told = told.with_released(told.is_released() || ends);
            entry.set_told(board, told.with_verdict(verdict));
            let what = match verdict {
                Verdict::Out => "mark down",
                Verdict::LastResort => "stay in as last resort",
                Verdict::In if before == Verdict::LastResort => "no longer be the last resort",
                Verdict::In => "mark up",
            };
            entry.would(child, what, &self.why(entry, lack, false));
        }
        self.lack = lack;
    }
}

/// Whether nothing is to be told any more of the error which mod_proxy has it in now.
pub fn is_released(child: &Child, entry: &Entry, in_error: bool) -> bool {
    let told = entry.told(child.board);
    if told.is_released() && !in_error && speaks(child) {
        entry.set_told(child.board, told.with_released(false));
    }
    in_error && (told.is_released() || !speaks(child))
}

/// The error would have been ended.
pub fn release(child: &Child, entry: &Entry) {
    let board = child.board;
    entry.set_told(board, entry.told(board).with_released(true));
    let what = "release from httpd's error state";
    entry.would(child, what, &entry.describe());
}

impl Child {
    /// Whether a worker is only observed.
    pub fn observes(&self, entry: u32) -> bool {
        self.planned(entry).is_some_and(|p| p.settings.observe)
    }

    /// Whether its requests would be rescued, if it was live.
    pub fn would_rescue(&self, entry: u32) -> bool {
        self.planned(entry)
            .is_some_and(|p| p.settings.observe && p.settings.rescue)
    }

    /// A request would have been retried.
    pub fn would_retry(&self, entry: u32, cause: Cause) {
        self.count_would(entry, Would::Retry(1 << cause as u64));
    }

    /// A request would have been ended.
    pub fn would_end(&self, entry: u32) {
        self.count_would(entry, Would::End);
    }

    fn count_would(&self, entry: u32, what: Would) {
        self.board.add(Counter::Observed, 1);
        if let Some((id, tag)) = self.planned(entry).and_then(|p| p.seat) {
            self.board.count_would(id, tag, what);
        }
    }
}

/// Tells what would have become of requests at an observed worker, when an event is over. Leader only.
pub fn tell_requests(child: &Child, entry: &Entry, teller: &mut Teller, now_ms: u64) {
    let board = child.board;
    let Some((id, tag)) = entry.planned.seat else {
        return;
    };
    let (Some(counted), Some(told)) = (board.would(id, tag), board.would_told(id, tag)) else {
        return;
    };
    let news = counted.since(&told);
    if teller.step(now_ms, &news) {
        let causes = board.tell_would(id, tag, counted);
        say(child, entry, &news, causes);
    }
}

fn say(child: &Child, entry: &Entry, news: &Rescues, causes: u64) {
    let label = &entry.planned.label;
    let tell = |what: String, why: &str| {
        child.note_at(entry, Kind::Observe, ["", &what], why);
        log!(Level::Notice, "worker {label}: observe: {what} ({why})");
    };
    if news.ended > 0 {
        entry.reread_health(child.board);
        let what = format!("would have ended {} requests", news.ended);
        tell(what, &entry.describe());
    }
    if news.retried > 0 {
        let what = format!("would have retried {} requests", news.retried);
        tell(what, &words(causes));
    }
}

/// Why requests failed, as `LIVE_RESCUE` would have said it.
fn words(causes: u64) -> String {
    use Cause::{Closed, Dead, Hung, Reset, TimedOut, Tls};
    let all = [Dead, Reset, Closed, TimedOut, Tls, Hung];
    let given = all.iter().filter(|c| causes & (1 << **c as u64) != 0);
    given.map(|c| c.word()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn one_word_keeps_what_was_told() {
        let addr = |n| Addr::v4(Ipv4Addr::new(192, 0, 2, n));
        let none = Told::default();
        assert_eq!((none.verdict(), none.is_released()), (Verdict::In, false));
        assert_eq!(none.with_addrs(&[]), None);
        let one = none.with_addrs(&[addr(1), addr(2)]).unwrap();
        assert_eq!(one.with_addrs(&[addr(2), addr(1)]), Some(one), "any order");
        assert_ne!(one.with_addrs(&[addr(1)]), Some(one));
        for verdict in [Verdict::Out, Verdict::LastResort, Verdict::In] {
            for released in [true, false] {
                let told = one.with_released(released).with_verdict(verdict);
                assert_eq!((told.verdict(), told.is_released()), (verdict, released));
                let same = told.with_addrs(&[addr(1), addr(2)]);
                assert_eq!(same, Some(told), "the addresses are the same");
            }
        }
    }

    #[test]
    fn reasons() {
        let bits = |causes: &[Cause]| causes.iter().fold(0, |bits, c| bits | 1 << *c as u64);
        assert_eq!(words(0), "");
        assert_eq!(
            words(bits(&[Cause::TimedOut, Cause::Reset])),
            "reset, timeout"
        );
        let all = [
            Cause::Dead,
            Cause::Reset,
            Cause::Closed,
            Cause::TimedOut,
            Cause::Tls,
            Cause::Hung,
        ];
        assert_eq!(words(bits(&all)).split(", ").count(), all.len());
    }
}
