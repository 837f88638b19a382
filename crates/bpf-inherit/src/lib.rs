#![doc = include_str!("../README.md")]
//!
//! Errors of system calls are plain [`Errno`] values, and those of operations on the entries of a map
//! are [`MapError`] values. The callers add the object and the operation.

#![warn(missing_docs)]

mod access_mode;
pub mod affinity;
mod attribute;
pub mod batch;
pub mod bpf;
mod child;
pub mod cpus;
pub mod environ;
mod errno;
pub mod fd;
pub mod inherited;
mod kind;
mod lock;
pub mod map;
mod map_error;
pub mod map_type;
pub mod mmap;
pub mod object;
pub mod peer;
mod per_cpu;
pub mod privilege;
pub mod process;
pub mod program;
pub mod scm;
pub mod startup;
pub mod terminal;
pub mod untrusted;

pub use access_mode::AccessMode;
pub use child::{InheritError, InheritedObjects, Named, Objects, from_env, open_inherited};
pub use errno::{Errno, NO_PROC, describe, errno};
pub use kind::ObjectKind;
pub use map::Map;
pub use map_error::{MapError, MapResult};
pub use map_type::MapType;
pub use startup::{InheritedFd, Startup};

/// The result of a system call.
pub type Result<T> = std::result::Result<T, Errno>;

/// Converts the -1 of a system call to the error in errno.
fn check(returned: libc::c_long) -> Result<libc::c_long> {
    if returned == -1 { Err(Errno::last()) } else { Ok(returned) }
}
