//! The cost of `bpf-agent`, and its availability under attack.
//!
//! Needs root: it has mount and network namespaces of its own.

mod attacks;
mod availability;
#[path = "../common/mod.rs"]
mod bench;
#[path = "../../tests/common/mod.rs"]
mod common;
mod handout;
mod shared;
#[path = "../../tests/agent/support/mod.rs"]
mod support;

use bench::kernel::private_bpffs;
use bench::{Options, Result, start};
use std::process::ExitCode;

fn main() -> ExitCode {
    start("agent", "--agent-rounds", 7, run)
}

/// Prints all measurements; true if any is over its bound.
fn run(options: &Options) -> Result<bool> {
    private_bpffs()?;
    let over = [handout::run(options)?, availability::run(options)?];
    Ok(over.contains(&true))
}
