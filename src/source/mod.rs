//! Sources of maps, programs and links: a file for each, and the order in which they are opened.

pub mod agent;
pub mod create;
pub mod id;
pub mod inherited;
pub mod object;
pub mod open;
pub mod pin;
pub mod process;
pub mod request;
pub mod tc;
