//! `bpf-exec`.

#[path = "../common/mod.rs"]
mod common;

mod access;
mod bad_input;
mod expect;
mod foreign;
mod handoff;
mod import;
mod no_proc;
mod object;
mod object_hostile;
mod object_pins;
mod objects;
mod programs;
mod reuse;
mod scope;
mod secure_execution;
mod sources;
mod walk;
