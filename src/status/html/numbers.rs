//! The module itself: who leads, how much of the board is in use, what was counted.

use maud::{Markup, html};

use super::super::model::{Counters, Use};
use super::Page;
use super::text::{bytes, grouped, rough, when};

impl Page<'_> {
    pub fn numbers(&self) -> Markup {
        html! {
            section.g #module {
                header { h2 { "Module" } p.m { "counted since httpd was started; graceful restarts do not reset it" } }
                div.cols {
                    dl { (self.leader_numbers()) (self.board_numbers()) }
                    @let counters = counters(&self.status.counters);
                    @for half in counters.chunks(counters.len() / 2) {
                        dl { @for (number, what) in half { (pair(what, &grouped(*number))) } }
                    }
                }
            }
        }
    }

    fn leader_numbers(&self) -> Markup {
        let leader = &self.status.leader;
        html! {
            dt { "leader" }
            dd { @match leader.pid { Some(pid) => { "child " (pid) }, None => "none" } }
            @if let Some(at) = leader.since_at_ms { dt { "leads since" } dd { (when(at, self.now_ms)) } }
            @if let Some(age) = leader.heartbeat_age_ms { (pair("last heartbeat", &format!("{} ago", rough(age)))) }
            (pair("configuration", &grouped(self.status.epoch)))
        }
    }

    fn board_numbers(&self) -> Markup {
        let board = &self.status.board;
        let parts = [
            ("names", board.names),
            ("probe targets", board.targets),
            ("workers", board.workers),
            ("children", board.children),
        ];
        html! {
            @for (what, part) in parts { (pair(what, &used(part))) }
            (pair("memory in use", &format!("{} of {} reserved", bytes(board.used_bytes), bytes(board.reserved_bytes))))
        }
    }
}

fn pair(what: &str, value: &str) -> Markup {
    html! { dt { (what) } dd { (value) } }
}

fn used(part: Use) -> String {
    format!("{} of {}", grouped(part.used), grouped(part.capacity))
}

fn counters(counters: &Counters) -> [(u64, &'static str); 14] {
    [
        (counters.dns_queries, "DNS questions"),
        (counters.dns_failures, "failed look-ups"),
        (counters.address_changes, "changes of addresses"),
        (counters.takeovers, "takeovers by a new leader"),
        (counters.probes, "probes"),
        (counters.probe_failures, "failed probes"),
        (counters.health_changes, "changes of an address's state"),
        (counters.probes_late, "probes that began late"),
        (counters.probes_bound, "times too many probes under way"),
        (counters.probes_local_errors, "probes not possible here"),
        (counters.kicks, "probes asked for by requests"),
        (counters.storms, "storms"),
        (counters.releases, "ends of httpd's error state"),
        (counters.observed, "actions left out for observed workers"),
    ]
}
