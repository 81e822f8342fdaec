//! The first lines: how many workers are in which state, whether this httpd is ready, who leads.

use maud::{Markup, html};

use super::super::model::{Live, State, Status, Worker};
use super::Page;
use super::state::mark;
use super::text::{Text, count, full, grouped, rough};

/// Workers by state.
#[derive(Default)]
pub struct Tally {
    all: usize,
    up: usize,
    down: usize,
    last_resort: usize,
    error: usize,
    starting: usize,
    observed: usize,
    held: usize,
}

impl Tally {
    pub fn of(status: &Status) -> Self {
        let mut tally = Self::default();
        let members = status.balancers.iter().flat_map(|b| &b.members);
        members
            .chain(&status.workers)
            .for_each(|worker| tally.add(worker));
        tally
    }

    fn add(&mut self, worker: &Worker) {
        self.all += 1;
        *match worker.state {
            State::Up => &mut self.up,
            State::Down => &mut self.down,
            State::LastResort => &mut self.last_resort,
            State::Error => &mut self.error,
            State::Starting => &mut self.starting,
        } += 1;
        self.observed += usize::from(worker.live == Live::Observe);
        self.held += usize::from(worker.held);
    }

    /// The worst in a few words, also for the tab of the browser.
    pub fn title(&self) -> String {
        let of = |number: usize, what: &str| {
            format!(
                "{} of {} {what}",
                grouped(number as u64),
                count(self.all, "worker")
            )
        };
        match self {
            Self { all: 0, .. } => "No live workers".to_owned(),
            Self { down: 1.., .. } => of(self.down, "down"),
            Self { error: 1.., .. } => of(self.error, "in httpd's error state"),
            Self {
                last_resort: 1.., ..
            } => of(self.last_resort, "in use as last resort"),
            Self { starting: 1.., .. } => of(self.starting, "starting"),
            Self { all: 1, .. } => "The worker is up".to_owned(),
            _ => format!("All {} up", count(self.all, "worker")),
        }
    }

    fn chips(&self) -> [(usize, &'static str, &'static str); 7] {
        [
            (self.down, "d", "down"),
            (self.error, "e", "error"),
            (self.last_resort, "l", "last resort"),
            (self.held, "h", "held by a storm"),
            (self.starting, "t", "starting"),
            (self.observed, "o", "observed"),
            (self.up, "u", "up"),
        ]
    }
}

impl Page<'_> {
    pub fn summary(&self, tally: &Tally) -> Markup {
        let status = self.status;
        let class = match () {
            () if tally.down > 0 || !status.ready.ready || status.leader.lost => "bad",
            () if tally.up < tally.all || tally.held > 0 => "warn",
            () => "ok",
        };
        html! {
            section.sum.(class) aria-label="Summary" {
                h1 { (tally.title()) }
                ul.tally {
                    @for (number, class, what) in tally.chips() {
                        @let class = if number == 0 { "z" } else { class };
                        li class=(class) { b { (grouped(number as u64)) } " " span { (what) } }
                    }
                }
                dl.facts {
                    div { dt { "Ready" } dd { (self.ready()) } }
                    div { dt { "Leader" } dd { (self.leader()) } }
                    div { dt { "Seen" } dd { (full(self.now_ms)) " by child " (status.pid) ", configuration " (status.epoch) } }
                }
            }
        }
    }

    fn ready(&self) -> Markup {
        let ready = &self.status.ready;
        let (class, word) = if ready.ready {
            ("u", "ready")
        } else {
            ("d", "not ready")
        };
        html! {
            (mark(class, word))
            @if ready.text != word { " " (Text(&ready.text)) }
        }
    }

    fn leader(&self) -> Markup {
        let leader = &self.status.leader;
        let heartbeat = leader.heartbeat_age_ms.map(rough);
        html! {
            @match (leader.lost, leader.pid) {
                (true, _) => { (mark("d", "lost")) " httpd goes on without the module's marks" },
                (false, None) => { (mark("t", "none yet")) },
                (false, Some(pid)) => { (mark("u", "leads")) " child " (pid) },
            }
            @if let Some(age) = heartbeat { ", heartbeat " (age) " ago" }
        }
    }
}
