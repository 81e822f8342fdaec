//! Balancers and workers outside of them, the worst first.

use maud::{Markup, html};

use super::super::model::{Balancer, State, Worker};
use super::Page;
use super::state::{is_calm, mark, rank};
use super::text::{Text, count};

/// Members that need no look are folded up when there are more than so many.
pub const FOLD: usize = 24;

/// A balancer, or all workers outside of balancers.
struct Group<'a> {
    balancer: Option<&'a Balancer>,
    workers: Vec<&'a Worker>,
}

impl<'a> Group<'a> {
    fn new(balancer: Option<&'a Balancer>, workers: &'a [Worker]) -> Self {
        let mut workers: Vec<&Worker> = workers.iter().collect();
        // stable: as configured among those that are alike
        workers.sort_by_key(|worker| rank(worker));
        Self { balancer, workers }
    }

    fn rank(&self) -> (bool, u8) {
        let unusable = self.balancer.is_some_and(|balancer| !balancer.ready);
        let worst = self.workers.first().map_or(u8::MAX, |worker| rank(worker));
        // what may be off or on by will does not change the order of balancers
        (!unusable, worst.min(8))
    }

    fn caption(&self) -> Markup {
        match self.balancer {
            Some(balancer) => html! { "Members of " (Text(&balancer.name)) },
            None => html! { "Workers outside of balancers" },
        }
    }
}

impl Page<'_> {
    pub fn workers(&self) -> Markup {
        let balancers = self.status.balancers.iter();
        let mut groups: Vec<Group> = balancers.map(|b| Group::new(Some(b), &b.members)).collect();
        if !self.status.workers.is_empty() {
            groups.push(Group::new(None, &self.status.workers));
        }
        groups.sort_by_key(Group::rank);
        html! {
            div #workers {
                @for group in &groups { (self.group(group)) }
                @if groups.is_empty() { p.none { "No worker is live: see " code { "live=on" } " and " code { "ProxyLive" } "." } }
            }
        }
    }

    fn group(&self, group: &Group) -> Markup {
        let up = group
            .workers
            .iter()
            .filter(|w| w.state == State::Up)
            .count();
        let one = if group.balancer.is_some() {
            "member"
        } else {
            "worker"
        };
        let all = count(group.workers.len(), one);
        html! {
            section.g {
                header {
                    @match group.balancer {
                        Some(balancer) => { h2.n { (Text(&balancer.name)) } (usable(balancer)) },
                        None => { h2 { "Workers outside of balancers" } },
                    }
                    p.m { (up) " of " (all) " up" @if let Some(balancer) = group.balancer { (servers(balancer)) } }
                }
                (self.tables(group, one))
            }
        }
    }

    fn tables(&self, group: &Group, one: &str) -> Markup {
        // sorted: those that need no look are at the end
        let looks = group
            .workers
            .iter()
            .take_while(|worker| !is_calm(worker))
            .count();
        let (look, calm) = group.workers.split_at(looks);
        html! {
            @if group.workers.len() <= FOLD {
                (self.table(group, &group.workers))
            } @else {
                @if !look.is_empty() { (self.table(group, look)) }
                @if !calm.is_empty() {
                    details { summary { (count(calm.len(), one)) " without trouble" } (self.table(group, calm)) }
                }
            }
        }
    }

    fn table(&self, group: &Group, workers: &[&Worker]) -> Markup {
        let known = group
            .balancer
            .and_then(|balancer| match &balancer.servers[..] {
                [one] => Some(one.as_str()),
                _ => None,
            });
        html! {
            table.w {
                caption { (group.caption()) }
                thead { tr {
                    th scope="col" { "State" }
                    th scope="col" { @if group.balancer.is_some() { "Member" } @else { "Worker" } }
                    th scope="col" { "Address" }
                    th scope="col" { "Last probe" }
                    th scope="col" { "Times of probes" }
                } }
                @for worker in workers { (self.worker(worker, known)) }
            }
        }
    }
}

fn usable(balancer: &Balancer) -> Markup {
    match balancer.ready {
        true => mark("u", "usable"),
        false => mark("d", "no usable member"),
    }
}

fn servers(balancer: &Balancer) -> Markup {
    html! {
        @for (at, server) in balancer.servers.iter().enumerate() {
            @if at == 0 { " \u{b7} in " } @else { ", " }
            (Text(server))
        }
    }
}
