//! The child's side: what the board says is brought into mod_proxy's workers.

pub mod child;
pub mod entry;
pub mod keeper;
pub mod plan;
pub mod registry;
pub mod request;
