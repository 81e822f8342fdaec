//! The child's side: what the board says is brought into mod_proxy's workers.

pub mod child;
pub mod desks;
pub mod dump;
pub mod entries;
pub mod entry;
mod gate;
pub mod gather;
pub mod groups;
pub mod growth;
pub mod keeper;
pub mod marks;
pub mod observe;
mod past;
pub mod plan;
pub mod recover;
pub mod registry;
pub mod request;
pub mod rescue_log;
pub mod tasks;
mod tell;
pub mod watch;
pub mod wire;
