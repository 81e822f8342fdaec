//! DNS messages, through hickory and what is made of its answers, to the addresses of a name.

#![no_main]
#![allow(dead_code, unused_imports)] // the crate uses more of the included files

#[path = "../../src/logic/mod.rs"]
mod logic;
#[path = "../properties/dns_answer.rs"]
mod property;
#[path = "../../src/monitor/resolver/server.rs"]
mod server;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| property::check(bytes));
