//! The names that are followed, those with trouble first; and what is left to httpd.

use maud::{Markup, html};

use super::super::model::{Family, Name, NameSource};
use super::Page;
use super::state::mark;
use super::text::{Text, age, ago, clock, count, rough, when};
use super::workers::FOLD;

impl Page<'_> {
    pub fn names(&self) -> Markup {
        let mut names: Vec<&Name> = self.status.names.iter().collect();
        names.sort_by_key(|name| is_calm(name));
        let looks = names.iter().take_while(|name| !is_calm(name)).count();
        let (look, calm) = names.split_at(looks);
        html! {
            @if !names.is_empty() {
                section.g #names {
                    header { h2 { "DNS" } p.m { (count(names.len(), "name")) @if looks > 0 { ", " (looks) " with trouble" } } }
                    @if names.len() <= FOLD { (self.name_table(&names)) }
                    @else {
                        @if !look.is_empty() { (self.name_table(look)) }
                        @if !calm.is_empty() {
                            details { summary { (count(calm.len(), "name")) " without trouble" } (self.name_table(calm)) }
                        }
                    }
                }
            }
        }
    }

    fn name_table(&self, names: &[&Name]) -> Markup {
        html! {
            table.d {
                caption { "Names that are followed" }
                thead { tr {
                    th scope="col" { "Name" }
                    th scope="col" { "Addresses" }
                    th scope="col" { "TTL left" }
                    th scope="col" { "Look-ups" }
                } }
                tbody { @for name in names { (self.dns(name)) } }
            }
        }
    }

    fn dns(&self, name: &Name) -> Markup {
        html! {
            tr {
                th.b scope="row" { (Text(&name.name)) }
                td.p { (addresses(name)) p.m { (source(name)) } }
                td.q {
                    @if name.source == NameSource::Dns { (left(name)) " " span.m { "of " (name.ttl_s) " s" } }
                    @if let Some(at) = name.asked_at_ms { p.m { "asked " (age(at, self.now_ms)) } }
                }
                td.r {
                    @for family in &name.families { (self.family(family)) }
                }
            }
        }
    }

    fn family(&self, family: &Family) -> Markup {
        let error = family.error.as_deref().filter(|error| !error.is_empty());
        let failing = family.failing_since_at_ms;
        html! {
            p {
                (Text(&family.family)) " "
                @match (failing, family.quiet, family.good_at_ms) {
                    (_, true, _) => span.m { "has no addresses" },
                    (Some(at), ..) => { (mark("d", "failing")) " since " (when(at, self.now_ms)) },
                    (None, _, Some(at)) => { (mark("u", "good")) " " span.m { (age(at, self.now_ms)) } },
                    (None, _, None) => (mark("t", "no answer yet")),
                }
                @if failing.is_some() && !family.quiet { (self.failing(family)) }
            }
            @if let Some(error) = error {
                @let now = failing.is_some() && !family.quiet;
                p.why[now].m[!now] {
                    @if !now { "last error: " }
                    (Text(error))
                    @if let Some(at) = family.error_at_ms { " " span.m { (age(at, self.now_ms)) } }
                }
            }
        }
    }

    fn failing(&self, family: &Family) -> Markup {
        html! {
            ", " (count(family.failures as usize, "time")) " in a row"
            @if let Some(at) = family.retry_at_ms { ", next " (ago(at, self.now_ms)) }
            @match family.good_at_ms {
                Some(at) => { ", last good answer " (clock(at, self.now_ms)) },
                None => ", never a good answer",
            }
        }
    }

    pub fn left(&self) -> Markup {
        let left = &self.status.left;
        html! {
            @if !left.is_empty() {
                section.g #left {
                    header { h2 { "Left to httpd" } p.m { "live is set for them, but the module does not touch them" } }
                    table.l {
                        caption { "Workers that are left to httpd" }
                        thead { tr { th scope="col" { "Worker" } th scope="col" { "Server" } th scope="col" { "Reason" } } }
                        tbody { @for one in left {
                            tr { th.b scope="row" { (Text(&one.worker)) } td { (Text(&one.server)) } td { (Text(&one.reason)) } }
                        } }
                    }
                }
            }
        }
    }
}

fn is_calm(name: &Name) -> bool {
    name.source != NameSource::None && !is_failing(name)
}

/// Look-ups of a family fail that would matter.
pub fn is_failing(name: &Name) -> bool {
    let bad = |family: &Family| family.failing_since_at_ms.is_some() && !family.quiet;
    name.families.iter().any(bad)
}

fn left(name: &Name) -> String {
    match name.ttl_left_ms {
        0 => "0 s".to_owned(),
        left => rough(left),
    }
}

fn addresses(name: &Name) -> Markup {
    html! {
        @for ip in &name.addresses { code { (Text(ip)) } " " }
        @if name.addresses.is_empty() { (mark("t", "none yet")) }
    }
}

fn source(name: &Name) -> Markup {
    html! {
        @match name.source {
            NameSource::None => "no answer yet",
            NameSource::Hosts => "from the hosts file",
            NameSource::Dns => {
                "from DNS" @if let Some(server) = &name.server { " server " (Text(server)) }
            },
        }
    }
}
