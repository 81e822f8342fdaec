//! The decisions of the module as pure functions: no clock, no files, no network.

pub mod addr;
pub mod answer;
pub mod budget;
pub mod ended;
pub mod event;
pub mod flaw;
pub mod health;
pub mod history;
pub mod hosts;
pub mod http_answer;
pub mod name;
pub mod pace;
pub mod record;
pub mod redact;
pub mod rescues;
pub mod resolvconf;
pub mod retry;
pub mod schedule;
pub mod search;
pub mod spread;
pub mod statuses;
pub mod storm;
pub mod tls_answer;
pub mod tls_hello;
pub mod usable;
pub mod verdict;
