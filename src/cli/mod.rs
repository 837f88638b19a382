//! The command lines: arguments to a plan, and the only place that prints errors
//! and picks exit statuses.

pub mod agent;
pub mod exec;
mod exit;
pub mod map;
mod name;
mod replace;
mod timeout;
