//! The header of an HTTP answer, as a probe reads it.
//!
//! A new target: a file here, a `[[bin]]` in Cargo.toml, its property in `properties/`, seeds in
//! `corpus/<target>/`, and a unit test beside the source that gives the property to `fuzzed::run`.

#![no_main]
#![allow(dead_code)] // the crate uses more of the included files

#[path = "../../src/logic/flaw.rs"]
mod flaw;
#[path = "../../src/logic/http_answer.rs"]
mod http_answer;
#[path = "../properties/http_answer.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| property::check(bytes));
