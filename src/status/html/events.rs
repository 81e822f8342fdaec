//! What has happened, newest first.

use maud::{Markup, html};

use super::super::model::{Event, EventKind};
use super::Page;
use super::text::{Text, count, when};

impl Page<'_> {
    pub fn events(&self, base: &str) -> Markup {
        let events = &self.status.events;
        html! {
            section.g #events {
                header {
                    h2 { "Events" }
                    @match &self.status.filter {
                        Some(filter) => {
                            p { "of " code { (Text(filter)) } " only: " a href=(self.link(base, None, "#events")) { "show all" } }
                        },
                        None => p.m { @if events.is_empty() { "none yet" } @else { (count(events.len(), "event")) ", newest first" } },
                    }
                }
                @if !events.is_empty() {
                    table.e {
                        caption { "Events, newest first" }
                        thead { tr {
                            th scope="col" { "Time" }
                            th scope="col" { "Kind" }
                            th scope="col" { "Subject" }
                            th scope="col" { "Change" }
                            th scope="col" { "Reason" }
                        } }
                        tbody { @for event in events { (self.event(event)) } }
                    }
                }
            }
        }
    }

    fn event(&self, event: &Event) -> Markup {
        html! {
            tr {
                td.t { (when(event.at_ms, self.now_ms)) }
                td.k { (kind(event.kind)) }
                td.b { (Text(&event.subject)) @if !event.address.is_empty() { " " code { (Text(&event.address)) } } }
                td.v { (change(event)) }
                td.why { (Text(&event.reason)) }
            }
        }
    }
}

fn change(event: &Event) -> Markup {
    html! {
        @if !event.from.is_empty() { (state(&event.from)) }
        @if !(event.from.is_empty() || event.to.is_empty()) { " \u{2192} " }
        @if !event.to.is_empty() { (state(&event.to)) }
    }
}

/// A state looks like one; anything else is text.
fn state(text: &str) -> Markup {
    let class = match text {
        "up" | "good" => "u",
        "down" | "failing" => "d",
        "last resort" | "last-resort" => "l",
        "starting" | "unknown" => "t",
        "error" => "e",
        other => return html! { code { (Text(other)) } },
    };
    super::state::mark(class, text)
}

fn kind(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Module => "module",
        EventKind::Worker => "worker",
        EventKind::Address => "address",
        EventKind::Dns => "dns",
        EventKind::Requests => "requests",
        EventKind::Observe => "observe",
    }
}
