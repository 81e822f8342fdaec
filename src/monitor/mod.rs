//! The leading child's work: it asks DNS, probes addresses, and writes what it learns on the board.

pub mod files;
pub mod leader;
pub mod names;
pub mod probe;
pub mod random;
pub mod resolver;
pub mod run;
