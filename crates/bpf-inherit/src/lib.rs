//! BPF maps, programs and links inherited as file descriptors, and the system calls to use them.
//!
//! `bpf-exec` opens maps, describes them in the environment (`BPF_NUM_MAPS`, `BPF_MAP<n>`,
//! `BPF_MAP<n>_ID`, `BPF_MAP<n>_NAME`, `BPF_MAP<n>_LAYOUT`), and executes a command that inherits
//! their file descriptors. A command written in Rust takes them by name or number:
//!
//! ```no_run
//! let mut inherited = bpf_inherit::open_inherited()?;
//! let hits = inherited.maps.by_name("hits")?;
//! for entry in hits.object.entries() {
//!     let (key, value) = entry?;
//!     println!("{key:?} {value:?}");
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Errors of system calls are plain [`Errno`] values, to which the callers add the object and the
//! operation.

#![warn(missing_docs)]

mod access_mode;
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

pub use access_mode::AccessMode;
pub use child::{InheritError, InheritedObjects, Named, Objects, from_env, open_inherited};
pub use errno::{Errno, describe, errno};
pub use kind::ObjectKind;
pub use map::Map;
pub use map_type::MapType;
pub use startup::{InheritedFd, Startup};

/// What every system call returns.
pub type Result<T> = std::result::Result<T, Errno>;

/// Turns the -1 of a system call into the error that errno holds.
fn check(returned: libc::c_long) -> Result<libc::c_long> {
    if returned == -1 { Err(Errno::last()) } else { Ok(returned) }
}
