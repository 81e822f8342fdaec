//! What holds for every query. Shared by the fuzz target and its unit test; whoever includes
//! this file has the module `query` in scope.

use super::query::{Format, Query, parse, parse_ready};

/// Panics when `bytes`, the text behind the `?`, are read otherwise than promised.
pub fn check(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match parse(Some(&text)) {
        Ok(query) => good(&query),
        Err(error) => bad(&error),
    }
    match parse_ready(Some(&text)) {
        Ok(Some(name)) => {
            let bare = name.strip_prefix("balancer://").expect("the scheme");
            assert!(!bare.is_empty() && name == name.to_ascii_lowercase());
            // the scheme may have made it longer than what is read
            if name.len() <= 512 {
                assert_eq!(again(&format!("balancer={}", encode(&name))), name);
            }
        }
        Ok(None) => assert!(text.is_empty()),
        Err(error) => bad(&error),
    }
}

fn again(text: &str) -> String {
    parse_ready(Some(text)).expect("good").expect("a balancer")
}

/// In bounds, and read alike when it is written in full.
fn good(query: &Query) {
    let mut parts = vec![format!(
        "format={}",
        match query.format {
            Format::Html => "html",
            Format::Json => "json",
            Format::OpenMetrics => "openmetrics",
        }
    )];
    if let Some(seconds) = query.refresh {
        assert!((1..=86_400).contains(&seconds));
        parts.push(format!("refresh={seconds}"));
    }
    if let Some(name) = &query.worker {
        assert!((1..=512).contains(&name.len()));
        parts.push(format!("worker={}", encode(name)));
    }
    assert_eq!(parse(Some(&parts.join("&"))).as_ref(), Ok(query));
}

/// One short line that a terminal can show.
fn bad(error: &str) {
    assert!(!error.is_empty() && error.chars().count() <= 250, "{error}");
    assert!(!error.contains(char::is_control), "{error:?}");
}

fn encode(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}
