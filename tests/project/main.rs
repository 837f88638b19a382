//! The manual pages, the units, the scripts, and the libraries.

#[path = "../common/mod.rs"]
mod common;

mod features;
mod library;
mod manual;
mod open_fds;
mod scripts;
mod units;
