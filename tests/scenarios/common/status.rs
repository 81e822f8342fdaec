//! The module's pages, as a person and a machine ask for them.

// Each test file uses its own part.
#![allow(dead_code)]

use live_kit::Httpd;
use serde_json::Value;

/// Both handlers. The paths are below that of a `ProxyPass /`, and need no `ProxyPass ... !`.
pub const PAGES: &str = "<Location /live-status>
    SetHandler proxy-live-status
</Location>
<Location /live-ready>
    SetHandler proxy-live-ready
</Location>";

/// Status and the line of the readiness URL.
#[track_caller]
pub fn ready(httpd: &Httpd) -> (u16, String) {
    ready_of(httpd, "")
}

/// The same with a query.
#[track_caller]
pub fn ready_of(httpd: &Httpd, query: &str) -> (u16, String) {
    let reply = httpd.get(&format!("/live-ready{query}"));
    let text = reply.text();
    let line = text.strip_suffix('\n').expect("one whole line");
    assert!(!line.contains('\n'), "{text}");
    (reply.status, line.to_owned())
}

/// What there is to see, as JSON.
#[track_caller]
pub fn json(httpd: &Httpd) -> Value {
    json_of(httpd, "")
}

/// The same with the events of one worker.
#[track_caller]
pub fn json_of(httpd: &Httpd, worker: &str) -> Value {
    let filter = match worker {
        "" => String::new(),
        worker => format!("&worker={worker}"),
    };
    let reply = httpd.get(&format!("/live-status?format=json{filter}"));
    assert_eq!(reply.status, 200, "{}", reply.text());
    serde_json::from_slice(&reply.body).expect("JSON")
}

/// A worker of that page, member or not.
#[track_caller]
pub fn worker<'a>(page: &'a Value, name: &str) -> &'a Value {
    let list = |value: &'a Value| value.as_array().expect("a list").iter();
    let members = list(&page["balancers"]).flat_map(|balancer| list(&balancer["members"]));
    let mut all = members.chain(list(&page["workers"]));
    let found = all.find(|worker| worker["name"] == name);
    found.unwrap_or_else(|| panic!("no worker {name} in {page:#}"))
}

/// Its state.
#[track_caller]
pub fn state(httpd: &Httpd, name: &str) -> String {
    text(&worker(&json(httpd), name)["state"])
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Its events as `kind: from -> to (reason)`, oldest first.
pub fn events(page: &Value) -> Vec<String> {
    let list = page["events"].as_array().expect("a list").iter().rev();
    list.map(|event| {
        let [kind, from, to, reason] =
            ["kind", "from", "to", "reason"].map(|key| text(&event[key]));
        format!("{kind}: {from} -> {to} ({reason})")
    })
    .collect()
}

/// The value of a metric with these labels.
#[track_caller]
pub fn metric(httpd: &Httpd, name: &str, labels: &str) -> f64 {
    let text = httpd.get("/live-status?format=openmetrics").text();
    let all = |line: &str| labels.split(',').all(|label| line.contains(label));
    let of = |line: &&str| {
        line.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with(['{', ' ']))
            && all(line)
    };
    let found: Vec<&str> = text.lines().filter(of).collect();
    assert_eq!(found.len(), 1, "{name} {labels} in {text}");
    let value = found[0]
        .rsplit(' ')
        .next()
        .and_then(|value| value.parse().ok());
    value.expect("a number")
}
