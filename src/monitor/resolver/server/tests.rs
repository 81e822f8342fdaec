use super::super::server;

#[path = "../../../../fuzz/properties/dns_answer.rs"]
mod property;

#[test]
fn what_the_fuzz_target_checks() {
    crate::fuzzed::run("dns_answer", 1_000, property::check);
}
