//! The command lines of the programs, and the only place that prints errors and chooses exit
//! statuses.

pub mod agent;
pub mod exec;
mod exit;
pub mod map;
mod name;
mod negative;
mod program_type;
mod replace;
mod timeout;
