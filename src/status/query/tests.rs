use super::*;
use crate::status::query;

#[path = "../../../fuzz/properties/status_query.rs"]
mod property;

fn good(text: &str) -> Query {
    parse(Some(text)).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn bad(text: &str) -> String {
    parse(Some(text)).expect_err(text)
}

#[test]
fn nothing_is_the_page() {
    assert_eq!(parse(None), Ok(Query::default()));
    assert_eq!(parse(Some("")), Ok(Query::default()));
}

#[test]
fn each_parameter() {
    assert_eq!(good("format=html").format, Format::Html);
    assert_eq!(good("format=json").format, Format::Json);
    assert_eq!(good("format=openmetrics").format, Format::OpenMetrics);
    assert_eq!(good("%66ormat=js%6Fn").format, Format::Json);
    assert_eq!(good("refresh").refresh, Some(10));
    assert_eq!(good("refresh=1").refresh, Some(1));
    assert_eq!(good("refresh=86400").refresh, Some(86_400));
    let worker = |text| good(text).worker.unwrap();
    assert_eq!(worker("worker=http://a:80/x"), "http://a:80/x");
    assert_eq!(worker("worker=http%3A%2f%2fa"), "http://a");
    assert_eq!(worker("worker=a+b%2Bc=d"), "a b+c=d");
    assert_eq!(worker("worker=%C3%BC"), "ü");
    let long = "x".repeat(MAX_NAME);
    assert_eq!(worker(&format!("worker={long}")), long);
    let all = good("worker=a&refresh=5&format=json");
    assert_eq!((all.refresh, all.format), (Some(5), Format::Json));
}

#[test]
fn errors_say_what_was_read_and_what_is_expected() {
    for (text, error) in [
        (
            "format=xml",
            "format must be html, json or openmetrics, not 'xml'",
        ),
        (
            "format",
            "format must be html, json or openmetrics; it has no value",
        ),
        (
            "format=JSON",
            "format must be html, json or openmetrics, not 'JSON'",
        ),
        (
            "refresh=0",
            "refresh must be a number of seconds from 1 to 86400, not '0'",
        ),
        (
            "refresh=",
            "refresh must be a number of seconds from 1 to 86400, not ''",
        ),
        (
            "refresh=86401",
            "refresh must be a number of seconds from 1 to 86400, not '86401'",
        ),
        (
            "refresh=%2b5",
            "refresh must be a number of seconds from 1 to 86400, not '+5'",
        ),
        (
            "refresh=99999999999",
            "refresh must be a number of seconds from 1 to 86400, not '99999999999'",
        ),
        ("worker=", "worker must be a name of 1 to 512 bytes, not ''"),
        (
            "worker",
            "worker must be a name of 1 to 512 bytes; it has no value",
        ),
        (
            "auto",
            "unknown parameter 'auto': expected format, refresh or worker",
        ),
        (
            "format=json&",
            "unknown parameter '': expected format, refresh or worker",
        ),
        ("refresh=5&refresh=5", "refresh must not be given twice"),
        ("format=html&format=html", "format must not be given twice"),
        (
            "worker=%4",
            "'%4': a % must be followed by two hexadecimal digits",
        ),
        (
            "worker=%",
            "'%': a % must be followed by two hexadecimal digits",
        ),
        (
            "worker=%+1",
            "'%+1': a % must be followed by two hexadecimal digits",
        ),
        ("worker=%ff", "'%ff': it must be UTF-8, percent-encoded"),
        (
            "a%0Ab=1",
            "unknown parameter 'a\u{fffd}b': expected format, refresh or worker",
        ),
    ] {
        assert_eq!(bad(text), error);
    }
}

#[test]
fn long_text_is_cut() {
    let error = bad(&format!("worker={}", "ü".repeat(300)));
    let cut = format!("'{}...'", "ü".repeat(100));
    assert!(error.ends_with(&cut), "{error}");
    assert!(bad(&"x".repeat(100_000)).len() < 200);
}

#[test]
fn ready_takes_one_balancer() {
    let ready = |text| parse_ready(Some(text)).map(Option::unwrap);
    assert_eq!(parse_ready(None), Ok(None));
    assert_eq!(parse_ready(Some("")), Ok(None));
    assert_eq!(ready("balancer=Shop").unwrap(), "balancer://shop");
    assert_eq!(
        ready("balancer=balancer://shop").unwrap(),
        "balancer://shop"
    );
    assert_eq!(
        ready("balancer=BALANCER%3a%2F%2FShop").unwrap(),
        "balancer://shop"
    );
    let error = |text| parse_ready(Some(text)).unwrap_err();
    assert_eq!(
        error("balancer=balancer://"),
        "balancer must be its name, not 'balancer://'"
    );
    assert_eq!(
        error("balancer"),
        "balancer must be a name of 1 to 512 bytes; it has no value"
    );
    assert_eq!(
        error("format=json"),
        "unknown parameter 'format': expected balancer"
    );
    assert_eq!(
        error("balancer=a&balancer=b"),
        "balancer must not be given twice"
    );
}

#[test]
fn what_the_fuzz_target_checks() {
    crate::fuzzed::run("status_query", 20_000, property::check);
}
