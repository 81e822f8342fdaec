//! The decisions of the module as pure functions: no clock, no files, no network.

pub mod addr;
pub mod answer;
pub mod health;
pub mod hosts;
pub mod name;
pub mod pace;
pub mod record;
pub mod resolvconf;
pub mod schedule;
pub mod search;
pub mod spread;
pub mod storm;
pub mod usable;
pub mod verdict;
