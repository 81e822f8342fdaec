//! Parameters of workers, ProxyLive and its templates, ProxyLiveResolver.

#![no_main]
#![allow(dead_code, unused_imports)] // the crate uses more of the included files

#[path = "../../src/config/mod.rs"]
mod config;
#[path = "../../src/logic/mod.rs"]
mod logic;
#[path = "../properties/params.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| property::check(bytes));
