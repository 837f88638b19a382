//! `bpf-exec`.

#[path = "../common/mod.rs"]
mod common;

mod access;
mod bad_input;
mod foreign;
mod handoff;
mod import;
mod objects;
mod reuse;
mod scope;
mod sources;
mod walk;
