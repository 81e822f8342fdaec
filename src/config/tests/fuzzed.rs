#[path = "../../../fuzz/properties/params.rs"]
mod property;

#[test]
fn what_the_fuzz_target_checks() {
    crate::fuzzed::run("params", 10_000, property::check);
}
