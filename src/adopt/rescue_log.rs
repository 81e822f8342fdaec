//! What became of requests whose attempts failed: one line for each event at a worker, with the counts of
//! all children, written by the leading one.

use super::child::Child;
use super::entry::Entry;
use super::observe;
use crate::board::Rescues;
use crate::ffi::log::Level;
use crate::log;
use crate::logic::event::Kind;
use crate::logic::rescues::Teller;

/// Between looks at the counts.
const LOOK_MS: u64 = 400;

/// The events of all live workers, as the leading child's keeper follows them.
#[derive(Default, Debug)]
pub struct RescueLog {
    tellers: Vec<Teller>,
    looked_ms: u64,
    /// It led at the last look.
    led: bool,
}

impl RescueLog {
    /// Tells of the events that are over. What no leader has told stays on the board for the next one.
    pub fn step(&mut self, child: &Child, now_ms: u64, leads: bool) {
        if !leads {
            if std::mem::take(&mut self.led) {
                self.tellers.fill(Teller::default());
            }
            return;
        }
        if self.led && now_ms < self.looked_ms.saturating_add(LOOK_MS) {
            return;
        }
        (self.led, self.looked_ms) = (true, now_ms);
        self.tellers
            .resize_with(child.entries.count(), Teller::default);
        for (entry, teller) in child.entries.iter().zip(&mut self.tellers) {
            if entry.planned.settings.observe {
                observe::tell_requests(child, entry, teller, now_ms);
            } else {
                look(child, entry, teller, now_ms);
            }
        }
    }
}

fn look(child: &Child, entry: &Entry, teller: &mut Teller, now_ms: u64) {
    let board = child.board;
    let Some((id, tag)) = entry.planned.seat else {
        return;
    };
    let (Some(counted), Some(told)) = (board.rescues(id, tag), board.told(id, tag)) else {
        return;
    };
    let news = counted.since(&told);
    if teller.step(now_ms, &news) {
        // First, so that a line which fails is not repeated for ever.
        board.tell(id, tag, counted);
        tell(child, entry, &news);
    }
}

/// Quiet when nobody can have noticed.
fn tell(child: &Child, entry: &Entry, news: &Rescues) {
    let level = if news.is_serious() {
        Level::Notice
    } else {
        Level::Info
    };
    // Probes that only repeat what was known have woken nobody.
    entry.reread_health(child.board);
    let Rescues {
        ended,
        retried,
        failed,
    } = news;
    let what = format!("{ended} requests ended, {retried} retried, {failed} failed");
    let (label, why) = (&entry.planned.label, entry.describe());
    log!(level, "worker {label}: {what} ({why})");
    child.note_at(entry, Kind::Requests, ["", &what], &why);
}
