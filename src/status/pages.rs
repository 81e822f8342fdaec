//! Which answer a request for one of the handlers gets.

use super::model::Status;
use super::query::{self, Format};
use super::ready::Ready;
use super::{html, json, openmetrics, summary};

/// Where answers come from: see [`super::here`].
pub trait Sight {
    /// All there is to show; `filter`: events of this worker only.
    fn status(&self, filter: Option<String>) -> Status;
    /// Whether this httpd can serve.
    fn ready(&self) -> Ready;
    /// Whether the balancers of this name (`balancer://...`) can. The error: those that there are.
    fn balancer(&self, name: &str) -> Result<Ready, Vec<&str>>;
}

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
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'";

/// The handler `proxy-live-status`.
pub fn status(asked: &Asked, sight: &impl Sight) -> Answer {
    let query = match query::parse(asked.query.as_deref()) {
        Ok(query) => query,
        Err(wrong) => return bad_request(wrong),
    };
    let status = sight.status(query.worker);
    match query.format {
        Format::Html => {
            let mut answer = answer(200, HTML, html::html(&status, query.refresh, &asked.path));
            let refresh = query
                .refresh
                .map(|seconds| ("Refresh", seconds.to_string()));
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
pub fn ready(asked: &Asked, sight: &impl Sight) -> Answer {
    let balancer = match query::parse_ready(asked.query.as_deref()) {
        Ok(balancer) => balancer,
        Err(wrong) => return bad_request(wrong),
    };
    let Ready { ready, text } = match &balancer {
        None => sight.ready(),
        Some(name) => match sight.balancer(name) {
            Ok(ready) => ready,
            Err(known) => return no_balancer(name, &known),
        },
    };
    answer(if ready { 200 } else { 503 }, TEXT, text + "\n")
}

fn no_balancer(name: &str, known: &[&str]) -> Answer {
    let known = match known {
        [] => "there is none".to_owned(),
        names => format!("known: {}", names.join(", ")),
    };
    let name = query::shown(name);
    let text = format!("no balancer with live members is called '{name}' ({known})\n");
    answer(404, TEXT, text)
}

/// This module's part of mod_status's page; `short`: of `?auto`.
pub fn mod_status(short: bool, sight: &impl Sight) -> String {
    let status = sight.status(None);
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
    use super::super::sample;
    use super::*;

    fn asked(query: &str) -> Asked {
        Asked {
            query: Some(query.to_owned()),
            path: "/live-status".into(),
            ..Asked::default()
        }
    }

    /// The sample in trouble; one balancer is known.
    struct Sample;

    impl Sight for Sample {
        fn status(&self, filter: Option<String>) -> Status {
            Status {
                filter,
                ..sample::troubled()
            }
        }

        fn ready(&self) -> Ready {
            Ready {
                ready: true,
                text: "ready".into(),
            }
        }

        fn balancer(&self, name: &str) -> Result<Ready, Vec<&str>> {
            let bad = Ready {
                ready: false,
                text: "not ready: why".into(),
            };
            (name == "balancer://shop")
                .then_some(bad)
                .ok_or_else(|| vec!["balancer://shop"])
        }
    }

    #[test]
    fn forms_of_the_page() {
        let page = status(&Asked::default(), &Sample);
        assert_eq!((page.status, page.content_type), (200, HTML));
        let has = |page: &Answer, name| page.headers.iter().any(|(n, _)| *n == name);
        assert!(has(&page, "Content-Security-Policy") && has(&page, "Cache-Control"));
        assert!(!has(&page, "Refresh"));
        let page = status(&asked("refresh=7&worker=x"), &Sample);
        assert!(page.headers.contains(&("Refresh", "7".into())));
        let page = status(&asked("format=json"), &Sample);
        assert_eq!(page.content_type, JSON);
        assert!(page.body.starts_with('{') && !has(&page, "Content-Security-Policy"));
    }

    #[test]
    fn ready_or_not() {
        let of = |query: Option<&str>| {
            let asked = Asked {
                query: query.map(str::to_owned),
                ..Asked::default()
            };
            let Answer { status, body, .. } = ready(&asked, &Sample);
            (status, body)
        };
        assert_eq!(of(None), (200, "ready\n".into()));
        assert_eq!(of(Some("balancer=SHOP")), (503, "not ready: why\n".into()));
        let (status, body) = of(Some("balancer=x"));
        assert_eq!(status, 404);
        let want =
            "no balancer with live members is called 'balancer://x' (known: balancer://shop)\n";
        assert_eq!(body, want);
    }

    #[test]
    fn wrong_queries_are_400() {
        for answer in [
            status(&asked("format=xml"), &Sample),
            ready(&asked("worker=x"), &Sample),
        ] {
            assert_eq!((answer.status, answer.content_type), (400, TEXT));
            let said = &answer.body;
            assert!(said.contains("xml") || said.contains("worker"), "{said}");
        }
    }

    #[test]
    fn who_gets_which_metrics() {
        for (accept, kind) in [
            ("", OPENMETRICS),
            ("*/*", OPENMETRICS),
            (
                "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5",
                OPENMETRICS,
            ),
            ("text/plain;version=0.0.4", PROMETHEUS),
            ("Text/Plain", PROMETHEUS),
        ] {
            let asked = Asked {
                accept: accept.into(),
                ..asked("format=openmetrics")
            };
            assert_eq!(status(&asked, &Sample).content_type, kind, "{accept}");
        }
    }
}
