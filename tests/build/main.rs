//! Tests that run cargo: they need a compiler, which the virtual machine does not have.

#[path = "../common/mod.rs"]
mod common;

mod packages;
mod quickstart;
