//! The query of the status page and of the ready handler.

#![no_main]

#[path = "../properties/status_query.rs"]
mod property;
#[path = "../../src/status/query.rs"]
mod query;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| property::check(bytes));
