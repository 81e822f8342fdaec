//! `mod_proxy_live`: Apache httpd's reverse proxy follows its backends.
//!
//! The way of the data: hooks -> [`config`] -> [`monitor`] -> [`board`] -> [`adopt`] -> mod_proxy.
//! [`logic`] decides and [`ffi`] touches httpd; ARCHITECTURE.md has the picture.

#![deny(unsafe_code)]
#![warn(clippy::undocumented_unsafe_blocks)]

pub mod adopt;
pub mod board;
pub mod config;
#[allow(unsafe_code)]
pub mod ffi;
#[cfg(test)]
mod fuzzed;
pub mod logic;
pub mod monitor;
pub mod rescue;
pub mod status;
