//! System calls, each behind a safe function: the only room with unsafe code.
//!
//! Nothing here decides policy or prints. Errors are plain [`Errno`] values,
//! to which the callers add the object and the operation.

// The one place where the crate-wide denial is lifted.
#![allow(unsafe_code)]
// Reachable for this package's own tests; names that say all need no words.
#![allow(missing_docs)]

pub mod batch;
pub mod bpf;
pub mod cpus;
pub mod elem;
pub mod entry;
pub mod fd;
mod lock;
pub mod mmap;
pub mod object;
pub mod peer;
pub mod privilege;
pub mod process;
pub mod scm;
pub mod terminal;

pub use nix::errno::Errno;

/// What every function of this room returns.
pub type Result<T> = std::result::Result<T, Errno>;

/// The number behind an error of std's; EIO where std made it up itself.
pub fn errno(error: std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

/// Turns the -1 of a system call into the error that errno holds.
fn check(returned: libc::c_long) -> Result<libc::c_long> {
    if returned == -1 { Err(Errno::last()) } else { Ok(returned) }
}
