//! resolv.conf, the hosts file, and which names DNS is asked for.

#![no_main]
#![allow(dead_code, unused_imports)] // the crate uses more of the included files

#[path = "../../src/logic/mod.rs"]
mod logic;
#[path = "../properties/dns_search.rs"]
mod property;
#[path = "../../src/monitor/resolver/question.rs"]
mod question;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| property::check(bytes));
