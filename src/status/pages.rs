//! Which answer a request for one of the handlers gets.

use std::fs;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, Ordering};

use once_cell::sync::OnceCell;

use super::collect;
use super::pools::Look;
use super::query::{self, Format};
use super::ready::{self, Ready};
use super::{html, json, openmetrics, summary};
use crate::adopt::child;
use crate::ffi::log::Level;
use crate::ffi::proxy::Server;
use crate::log;

/// What was asked for.
#[derive(Clone, Default, Debug)]
pub struct Asked {
    /// What stands behind the `?`.
    pub query: Option<String>,
    /// The field `Accept`.
    pub accept: String,
    /// The page's own path.
    pub path: String,
}

/// A whole answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    pub status: u16,
    pub content_type: &'static str,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

const HTML: &str = "text/html; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
/// The page needs its own style and nothing else; whatever got into it despite all escaping stays text.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'";

/// What a child knows of the whole server, set when it begins.
struct Here {
    main: Server,
    drain_file: Option<String>,
}

static HERE: OnceCell<Here> = OnceCell::new();

/// A child begins. Before its first request, so that none needs a lock for it.
pub fn begin(main: Server, drain_file: Option<&str>) {
    let drain_file = drain_file.map(str::to_owned);
    // With one process (-X) it may begin again; what does not change stays.
    let _ = HERE.set(Here { main, drain_file });
}

/// The handler `proxy-live-status`.
pub fn status(asked: &Asked) -> Answer {
    let query = match query::parse(asked.query.as_deref()) {
        Ok(query) => query,
        Err(wrong) => return bad_request(wrong),
    };
    let status = collect::status(HERE.get().map(|here| here.main), is_ready(), query.worker);
    match query.format {
        Format::Html => {
            let mut answer = answer(200, HTML, html::html(&status, query.refresh, &asked.path));
            let refresh = query.refresh.map(|seconds| ("Refresh", seconds.to_string()));
            answer.headers.extend(refresh);
            answer
        }
        Format::Json => answer(200, JSON, json::json(&status)),
        Format::OpenMetrics => {
            let (kind, dialect) = match speaks_prometheus_only(&asked.accept) {
                true => (PROMETHEUS, openmetrics::Dialect::Prometheus),
                false => (OPENMETRICS, openmetrics::Dialect::OpenMetrics),
            };
            answer(200, kind, openmetrics::text(&status, dialect))
        }
    }
}

/// Older scrapers ask for `text/plain` and do not know OpenMetrics.
fn speaks_prometheus_only(accept: &str) -> bool {
    let accept = accept.to_ascii_lowercase();
    accept.contains("text/plain") && !accept.contains("application/openmetrics-text")
}

/// The handler `proxy-live-ready`.
pub fn ready(asked: &Asked) -> Answer {
    let balancer = match query::parse_ready(asked.query.as_deref()) {
        Ok(balancer) => balancer,
        Err(wrong) => return bad_request(wrong),
    };
    let Ready { ready, text } = match &balancer {
        None => is_ready(),
        Some(name) => match balancer_is_ready(name) {
            Ok(ready) => ready,
            Err(unknown) => return answer(404, TEXT, unknown + "\n"),
        },
    };
    answer(if ready { 200 } else { 503 }, TEXT, text + "\n")
}

fn is_ready() -> Ready {
    let look = child::current().map(Look::new);
    ready::ready(drained(), look.iter().flat_map(Look::pools))
}

/// The error says which balancers there are.
fn balancer_is_ready(name: &str) -> Result<Ready, String> {
    let look = child::current().map(Look::new);
    let pools: Vec<_> = look.iter().flat_map(|look| look.balancers(Some(name))).collect();
    if pools.is_empty() {
        let all = look.iter().flat_map(|look| look.balancers(None));
        let known: Vec<&str> = all.map(|pool| pool.name).collect();
        let known = match known.as_slice() {
            [] => "there is none".to_owned(),
            names => format!("known: {}", names.join(", ")),
        };
        let name = query::shown(name);
        return Err(format!("no balancer with live members is called '{name}' ({known})"));
    }
    Ok(ready::ready(drained(), pools.into_iter()))
}

/// The file of `ProxyLiveDrainFile`, if it exists now.
fn drained() -> Option<&'static str> {
    static SAID: AtomicBool = AtomicBool::new(false);
    let file = HERE.get()?.drain_file.as_deref()?;
    match fs::symlink_metadata(file) {
        Ok(_) => Some(file),
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => None,
        Err(e) => {
            if !SAID.swap(true, Ordering::Relaxed) {
                log!(
                    Level::Error,
                    "ProxyLiveDrainFile: cannot see whether {file} exists: {e}; it counts as absent: the user \
                     that httpd's children run as must be able to look into its directory"
                );
            }
            None
        }
    }
}

/// This module's part of mod_status's page; `short`: of `?auto`.
pub fn mod_status(short: bool) -> String {
    let status = collect::status(HERE.get().map(|here| here.main), is_ready(), None);
    match short {
        true => summary::auto(&status),
        false => summary::html(&status),
    }
}

fn bad_request(wrong: String) -> Answer {
    answer(400, TEXT, wrong + "\n")
}

fn answer(status: u16, content_type: &'static str, body: String) -> Answer {
    let mut headers = vec![
        ("Cache-Control", "no-store".to_owned()),
        ("X-Content-Type-Options", "nosniff".to_owned()),
    ];
    if content_type == HTML {
        headers.push(("Content-Security-Policy", POLICY.to_owned()));
        headers.push(("Referrer-Policy", "no-referrer".to_owned()));
    }
    Answer {
        status,
        content_type,
        headers,
        body,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: &str) -> Asked {
        Asked {
            query: Some(query.to_owned()),
            path: "/live-status".into(),
            ..Asked::default()
        }
    }

    #[test]
    fn without_live_workers() {
        let page = status(&Asked::default());
        assert_eq!((page.status, page.content_type), (200, HTML));
        assert!(page.headers.iter().any(|(name, _)| *name == "Content-Security-Policy"));
        assert!(!page.headers.iter().any(|(name, _)| *name == "Refresh"));
        let page = status(&asked("refresh=7"));
        assert!(page.headers.contains(&("Refresh", "7".into())));
        assert_eq!(status(&asked("format=json")).content_type, JSON);
        let Answer { status, body, .. } = ready(&Asked::default());
        assert_eq!((status, body.as_str()), (200, "ready\n"));
        let Answer { status, body, .. } = ready(&asked("balancer=x"));
        assert_eq!(status, 404);
        assert!(body.contains("'balancer://x' (there is none)"), "{body}");
    }

    #[test]
    fn wrong_queries_are_400() {
        for answer in [status(&asked("format=xml")), ready(&asked("worker=x"))] {
            assert_eq!((answer.status, answer.content_type), (400, TEXT));
            assert!(answer.body.contains("read"), "{}", answer.body);
        }
    }

    #[test]
    fn who_gets_which_metrics() {
        for (accept, kind) in [
            ("", OPENMETRICS),
            ("*/*", OPENMETRICS),
            ("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5", OPENMETRICS),
            ("text/plain;version=0.0.4", PROMETHEUS),
            ("Text/Plain", PROMETHEUS),
        ] {
            let asked = Asked {
                accept: accept.into(),
                ..asked("format=openmetrics")
            };
            assert_eq!(status(&asked).content_type, kind, "{accept}");
        }
    }
}
