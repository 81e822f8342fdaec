//! The first lines: how many workers are in which state, whether this httpd is ready, who leads.

use maud::{Markup, html};

use super::super::model::{Live, State, Status, Worker};
use super::Page;
use super::names::is_failing;
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
    /// Of the observed ones: those that would not be up.
    would_not: usize,
    held: usize,
    /// Names whose look-ups fail.
    names: usize,
}

impl Tally {
    pub fn of(status: &Status) -> Self {
        let mut tally = Self::default();
        let members = status.balancers.iter().flat_map(|b| &b.members);
        members
            .chain(&status.workers)
            .for_each(|worker| tally.add(worker));
        tally.names = status.names.iter().filter(|name| is_failing(name)).count();
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
        self.would_not += usize::from(worker.would_be.is_some_and(|state| state != State::Up));
        self.held += usize::from(worker.held);
    }

    /// The worst in a few words.
    fn worst(&self) -> String {
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

/// The state of things in a few words, also for the tab of the browser.
pub fn title(status: &Status, tally: &Tally) -> String {
    let mut title = tally.worst();
    if tally.would_not > 0 {
        title.push_str(&format!(
            ", {} would not be",
            grouped(tally.would_not as u64)
        ));
    }
    if tally.names > 0 {
        title.push_str(&format!(", DNS fails for {}", count(tally.names, "name")));
    }
    if status.leader.lost {
        title.push_str(", no leader");
    }
    if !status.ready.ready {
        title.push_str(", not ready");
    }
    title
}

impl Page<'_> {
    pub fn summary(&self, tally: &Tally) -> Markup {
        let status = self.status;
        let class = match () {
            () if tally.down > 0 || !status.ready.ready || status.leader.lost => "bad",
            () if tally.up < tally.all || tally.held + tally.names + tally.would_not > 0 => "warn",
            () => "ok",
        };
        html! {
            section.sum.(class) aria-label="Summary" {
                h1 { (title(status, tally)) }
                ul.tally {
                    @for (number, class, what) in tally.chips() {
                        @let class = if number == 0 { "z" } else { class };
                        li class=(class) { b { (grouped(number as u64)) } " " span { (what) } }
                    }
                }
                dl.facts {
                    dt { "Ready" } dd { (self.ready()) }
                    dt { "Leader" } dd { (self.leader()) }
                    dt { "Seen" } dd { (full(self.now_ms)) " by child " (status.pid) ", configuration " (status.epoch) }
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
        // the line may begin with these words itself
        let text = ready.text.strip_prefix(word).unwrap_or(&ready.text);
        let text = text.trim_start_matches([':', ',', ' ']);
        html! {
            (mark(class, word))
            " " (Text(text))
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
