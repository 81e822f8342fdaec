use super::super::question;

#[path = "../../../../fuzz/properties/dns_search.rs"]
mod property;

#[test]
fn names_that_dns_can_carry() {
    for (name, carried) in [
        ("app.test.", Some("app.test.")),
        ("my_app.test.", Some("my_app.test.")),
        ("b\u{fc}cher.test.", Some("xn--bcher-kva.test.")),
        (".", None),
        ("a..test.", None),
        (".test.", None),
        // the name does not end
        ("app.test\\.", None),
    ] {
        let name = question::dns_name(name).map(|name| name.to_ascii());
        assert_eq!(name.as_deref(), carried);
    }
    assert!(question::dns_name(&format!("{}.", "a".repeat(64))).is_none());
    assert!(question::dns_name(&"a.".repeat(128)).is_none());
}

#[test]
fn what_the_fuzz_target_checks() {
    crate::fuzzed::run("dns_search", 5_000, property::check);
}
