//! Shared by the tests of the agent.

// Each test binary uses a part of it.
#![allow(dead_code)]

pub mod attacker;
pub mod clocks;
pub mod peers;
pub mod played;
pub mod supervisor;

use crate::common::eventually;
use crate::common::waiting::{Waiting, sleeps_in};
use std::process::Command;

/// poll(3) is a system call of its own on some architectures only.
#[cfg(target_arch = "x86_64")]
const POLL: [libc::c_long; 2] = [libc::SYS_poll, libc::SYS_ppoll];
#[cfg(not(target_arch = "x86_64"))]
const POLL: [libc::c_long; 1] = [libc::SYS_ppoll];

/// Starts a command, and returns when it sleeps in poll(2): for an agent that is not there, or
/// for an answer.
pub fn asleep(command: &mut Command) -> Waiting {
    let mut waiting = Waiting::start(command, &[]);
    let pid = waiting.child().id();
    eventually("a command that sleeps", || sleeps_in(pid, &POLL));
    waiting
}
