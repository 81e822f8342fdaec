//! The leading child's work: it asks DNS and writes the answers on the board.

pub mod files;
pub mod leader;
pub mod random;
pub mod resolver;
pub mod run;
