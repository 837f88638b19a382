//! The three programs of bpf-exec: what they do between `main` and the exit status.
//!
//! A Rust child of `bpf-exec` uses the package `bpf-inherit`, and `bpf-layout` to read and write
//! typed values.

#![forbid(unsafe_code)]

mod account;
mod agent;
mod bpffs;
mod cli;
mod error;
mod foreign;
mod glob;
mod handoff;
mod manager;
mod map;
mod name;
pub mod object;
mod object_type;
mod output;
mod program;
mod readonly;
mod socket;
mod source;
mod text;
mod wait;
pub mod wire;

pub use cli::agent::main as bpf_agent;
pub use cli::exec::main as bpf_exec;
pub use cli::map::main as bpf_map;
