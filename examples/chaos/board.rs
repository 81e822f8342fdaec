//! What the module's status page says, held against the truth. Pure.

use crate::action::At;
use crate::site::{GROWN, HTTP2, NAMES, PLAIN, Pool, TLS, ip, worker};
use crate::truth::Truth;
use serde_json::Value;

/// After the last trouble a member is up, and a dead one is out, within this.
const UP: At = 9_000;
const DOWN: At = 7_000;
/// Of reloads: new workers ask and probe first; edits of the balancer-manager are seen.
const RELOADED: At = 4_000;
const EDITED: At = 2_500;
/// A page is put together, sent and read within this; kills may hold it up.
const PAGE: At = 1_500;

/// Number of the generation that the page's child belongs to.
pub fn epoch(page: &Value) -> u64 {
    page["epoch"].as_u64().unwrap_or(0)
}

/// Whether the member is disabled on the page; `None` when it is not there.
pub fn is_disabled(page: &Value, url: &str) -> Option<bool> {
    let found = find(page, url)?;
    Some(list(found, "admin").iter().any(|bit| bit == "disabled"))
}

/// What is wrong on the page that was asked for at `from` and had arrived at `to`.
pub fn differences(page: &Value, from: At, to: At, truth: &Truth) -> Vec<String> {
    let mut wrong = Vec::new();
    // A machine that stands still is late with probes and children, too.
    let stalled = truth.stalled(from.saturating_sub(UP), to) > 500;
    if stalled || to - from > PAGE || since(Truth::last_before(&truth.reloads, to), from) < RELOADED
    {
        return wrong;
    }
    let members = truth.members();
    let all = members.chain(TLS.map(|name| (name, false)));
    // Only the event MPM has them.
    let shown = |name: &usize| find(page, &worker(*name, false)).is_some();
    let http2 = HTTP2.filter(shown).map(|name| (name, false));
    let all = all.chain(http2);
    // The member of run time has to be found and probed first.
    let grown = truth
        .grown
        .filter(|at| at + UP < from)
        .map(|_| (GROWN, false));
    for (name, other) in all.chain([(PLAIN, false)]).chain(grown) {
        let url = worker(name, other);
        let Some(found) = find(page, &url) else {
            wrong.push(format!("{url} is missing"));
            continue;
        };
        wrong.extend(admin(found, name, from, truth).map(|w| format!("{url}: {w}")));
        for (whose, found) in all_of(page, &url) {
            let all = [
                state(found, name, from, truth),
                addresses(found, name, from, truth),
            ];
            let said = all.into_iter().flatten();
            wrong.extend(said.map(|w| format!("{url}{whose}: {w}")));
        }
    }
    wrong
}

/// The worker in every balancer, with the words that tell which; its first place needs none.
fn all_of<'a>(page: &'a Value, url: &str) -> Vec<(String, &'a Value)> {
    let mut found = Vec::new();
    for balancer in list(page, "balancers") {
        let name = balancer["name"].as_str().unwrap_or_default();
        let whose = match name.contains("secure") {
            true => format!(" of {name}"),
            false => String::new(),
        };
        let here = list(balancer, "members").iter();
        let here = here.filter(|w| w["name"] == url);
        found.extend(here.map(|w| (whose.clone(), w)));
    }
    let workers = list(page, "workers").iter();
    let here = workers.filter(|w| w["name"] == url);
    found.extend(here.map(|w| (String::new(), w)));
    found
}

fn since(at: Option<At>, now: At) -> At {
    at.map_or(At::MAX, |at| now.saturating_sub(at))
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn find<'a>(page: &'a Value, url: &str) -> Option<&'a Value> {
    let members = list(page, "balancers")
        .iter()
        .filter(|b| b["name"] != "balancer://secure")
        .flat_map(|b| list(b, "members"));
    let mut all = members.chain(list(page, "workers"));
    all.find(|worker| worker["name"] == url)
}

fn state(found: &Value, name: usize, now: At, truth: &Truth) -> Option<String> {
    let place = truth.place(name);
    let placed = since(Some(truth.placed(name)), now);
    let state = found["state"].as_str().unwrap_or_default();
    let reason = found["reason"].as_str().unwrap_or_default();
    let mine = truth.troubles.iter().rev().take(60);
    let mut mine = mine.filter(|t| t.name == name || t.all && of_pool(t.name, name));
    let recent = |after: At| move |t: &&crate::truth::Trouble| t.span.meets(now, now, after);
    if state != "up" {
        let kills = since(Truth::last_before(&truth.kills, now), now);
        let leads = !truth.leaderless(now, UP) && !is_new(name, now, truth);
        let calm = leads && placed > UP && kills > 2_000 && !mine.clone().any(|t| recent(UP)(&t));
        return calm.then(|| format!("is {state} ({reason}), although it has long been well"));
    }
    let dead = mine.find(|t| {
        let long = t.span.to.is_none() && t.span.from + DOWN < now;
        let whole = t.all || place.list().all(|spot| t.spots.has(spot));
        long && whole && t.harm.is_death()
    });
    let dead = dead.filter(|_| placed > DOWN + 4_000 && truth.dns_is_calm(name, now));
    let dead = dead.filter(|_| !truth.leaderless(now, DOWN));
    dead.map(|t| {
        format!(
            "is up, although {:?} since {} ms",
            t.harm,
            now - t.span.from
        )
    })
}

/// Its name may have been looked up for the first time just now, because DNS failed.
fn is_new(name: usize, now: At, truth: &Truth) -> bool {
    let reload = truth.reloads.last().copied().unwrap_or(0);
    let since = match name {
        GROWN => truth.grown.unwrap_or(reload),
        _ => reload,
    };
    now < truth.known(name, since) + UP
}

fn of_pool(one: usize, other: usize) -> bool {
    NAMES[one].pool == NAMES[other].pool
}

fn admin(found: &Value, name: usize, now: At, truth: &Truth) -> Option<String> {
    let (disabled, at) = truth.disabled?;
    if NAMES[name].pool != Pool::App || since(Some(at), now) < EDITED {
        return None;
    }
    let said = list(found, "admin").iter().any(|bit| bit == "disabled");
    let wanted = disabled == Some(name);
    (said != wanted).then(|| format!("disabled: {said} instead of {wanted}"))
}

fn addresses(found: &Value, name: usize, now: At, truth: &Truth) -> Option<String> {
    let due = truth.known(name, truth.placed(name));
    // A renamed member's name may be new to the module; its first look-up may meet a failing DNS.
    let reload = truth.reloads.last().map_or(0, |at| truth.known(name, *at));
    let grown = truth.grown.filter(|_| name == GROWN);
    let due = due
        .max(reload)
        .max(grown.map_or(0, |at| truth.known(name, at)));
    if now <= due || !truth.dns_is_calm(name, now) {
        return None;
    }
    let said = list(found, "addresses")
        .iter()
        .filter_map(|a| a["ip"].as_str());
    let mut said: Vec<&str> = said.collect();
    said.sort_unstable();
    let wanted: Vec<String> = truth
        .place(name)
        .list()
        .map(|spot| ip(name, spot))
        .collect();
    (said != wanted).then(|| format!("has {said:?} instead of {wanted:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::{Action, Harm, Spots};
    use serde_json::json;

    fn page(state: &str) -> Value {
        let one = |name: usize, state: &str| {
            json!({"name": worker(name, false), "state": state, "admin": [],
                   "addresses": [{"ip": ip(name, 0)}]})
        };
        let members = |names: std::ops::Range<usize>| -> Vec<Value> {
            names
                .map(|n| one(n, if n == 0 { state } else { "up" }))
                .collect()
        };
        json!({"balancers": [{"name": "balancer://app", "members": members(0..4)},
                             {"name": "balancer://tls", "members": members(4..7)}],
               "workers": [one(PLAIN, "up")]})
    }

    fn wrong(page: &Value, at: At, truth: &Truth) -> Vec<String> {
        differences(page, at, at, truth)
    }

    #[test]
    fn states() {
        let mut truth = Truth::new();
        assert!(wrong(&page("up"), 20_000, &truth).is_empty());
        assert_eq!(wrong(&page("down"), 20_000, &truth).len(), 1);
        truth.note(21_000, &Action::Harm(0, Spots::Both, Harm::Kill));
        assert!(wrong(&page("up"), 22_000, &truth).is_empty());
        assert!(wrong(&page("down"), 30_000, &truth).is_empty());
        assert_eq!(wrong(&page("up"), 30_000, &truth).len(), 1);
    }

    #[test]
    fn addresses_and_bits() {
        let mut truth = Truth::new();
        truth.note(20_000, &Action::Place(1, Spots::Both));
        truth.note(20_000, &Action::Disable(2));
        assert!(wrong(&page("up"), 21_000, &truth).is_empty());
        assert_eq!(wrong(&page("up"), 30_000, &truth).len(), 2);
    }
}
