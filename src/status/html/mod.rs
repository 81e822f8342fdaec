//! The page: everything at a glance, what is worst first. It needs no script and loads nothing.
//!
//! Classes have one letter, and a chart is one path: a page of 1,000 workers stays small. What comes from outside goes
//! through [`text::Text`].

mod chart;
mod events;
mod names;
mod numbers;
mod state;
mod summary;
mod text;
mod worker;
mod workers;

use maud::{DOCTYPE, Markup, PreEscaped, html as markup};

use super::model::Status;
use text::Text;

const STYLE: &str = include_str!("../page.css");

/// The page as HTML. `refresh`: it is loaded again after so many seconds, which the caller says in a header as
/// mod_status does; links keep it. `base`: the path of the page.
pub fn html(status: &Status, refresh: Option<u32>, base: &str) -> String {
    let page = Page {
        status,
        now_ms: status.time_at_ms,
        refresh,
    };
    let tally = summary::Tally::of(status);
    let body = markup! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex, nofollow";
                title { (summary::title(status, &tally)) " \u{b7} " (Text(&status.server)) }
                link rel="icon" href="data:,";
                style { (PreEscaped(STYLE)) }
            }
            body {
                (page.top(base))
                main {
                    (page.summary(&tally))
                    (page.workers())
                    (page.names())
                    (page.left())
                    (page.events(base))
                    (page.numbers())
                }
                (page.foot())
            }
        }
    };
    body.into_string()
}

/// What the parts of the page need.
struct Page<'a> {
    status: &'a Status,
    now_ms: u64,
    refresh: Option<u32>,
}

impl Page<'_> {
    fn top(&self, base: &str) -> Markup {
        markup! {
            header.top {
                p { a.brand href=(self.link(base, None, "")) { "mod_proxy_live" } " " span.n { (Text(&self.status.server)) } }
                nav aria-label="This page" {
                    @if self.has_workers() { a href="#workers" { "Workers" } " " }
                    @if !self.status.names.is_empty() { a href="#names" { "DNS" } " " }
                    a href="#events" { "Events" } " "
                    a href="#module" { "Module" }
                }
                nav aria-label="Other forms" {
                    a href="?format=json" { "JSON" } " "
                    a href="?format=openmetrics" { "OpenMetrics" } " "
                    (self.refresh_link(base))
                }
            }
        }
    }

    fn refresh_link(&self, base: &str) -> Markup {
        let filter = self.status.filter.as_deref();
        let stopped = Self {
            refresh: None,
            ..*self
        };
        let every = Self {
            refresh: Some(10),
            ..*self
        };
        markup! {
            @match self.refresh {
                Some(seconds) => {
                    span { "reloads every " (seconds) " s: " a href=(stopped.link(base, filter, "")) { "stop" } }
                }
                None => { a href=(every.link(base, filter, "")) { "Reload every 10 s" } }
            }
        }
    }

    fn foot(&self) -> Markup {
        markup! {
            footer {
                p { "mod_proxy_live " (Text(&self.status.version)) ". Times are UTC; states of workers outside of "
                    "balancers are those of child " (self.status.pid) "." }
            }
        }
    }

    fn has_workers(&self) -> bool {
        !(self.status.balancers.is_empty() && self.status.workers.is_empty())
    }

    /// A link to this page, with a filter for its events, and a place in it (`#...`).
    fn link(&self, base: &str, worker: Option<&str>, place: &str) -> String {
        let mut link = path(base).to_owned();
        let mut mark = '?';
        let mut add = |key: &str, value: &str| {
            link.push(mark);
            link.extend([key, "=", value]);
            mark = '&';
        };
        if let Some(name) = worker {
            add("worker", &text::encode(name));
        }
        if let Some(seconds) = self.refresh {
            add("refresh", &seconds.to_string());
        }
        // relative, and nothing to ask for: an empty link would keep the query that there is
        if link.is_empty() {
            link.push('?');
        }
        link + place
    }
}

/// `base` if a link may begin with it: a plain path of this server (`//x/` would lead to another one), otherwise
/// nothing, which is this page, too.
fn path(base: &str) -> &str {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~%!$'()*,;=:@".contains(&byte);
    let good = base.starts_with('/') && !base.starts_with("//") && base.bytes().all(plain);
    if good { base } else { "" }
}

#[cfg(test)]
mod tests;
