//! Take the BPF maps, programs and links that this process inherited from `bpf-exec`.
//!
//! `bpf-exec` opens maps, names them in the environment (`BPF_NUM_MAPS`, `BPF_MAP<n>`,
//! `BPF_MAP<n>_ID`, `BPF_MAP<n>_NAME`, `BPF_MAP<n>_LAYOUT`), and becomes a command
//! that inherits them as open descriptors. A command written in Rust takes them
//! as [`OwnedFd`](std::os::fd::OwnedFd), by name or by number, and gives them to
//! whatever works with maps: aya, libbpf-rs, or bpf(2) itself.
//!
//! ```no_run
//! let mut maps = bpf_exec::take()?;
//! let hits = maps.by_name("hits")?;
//! println!("hits is descriptor {:?}, a map of {} entries", hits.fd, hits.max_entries);
//! # Ok::<(), bpf_exec::TakeError>(())
//! ```
//!
//! Programs and links (`BPF_PROG<n>`, `BPF_LINK<n>`, and a `_NAME` of each) come with the maps:
//!
//! ```no_run
//! let mut inherited = bpf_exec::take()?;
//! let filter = inherited.programs().by_name("filter")?;
//! let attached = inherited.links().by_index(0)?;
//! println!("program {} is {:?}, link {} {:?}", filter.id, filter.fd, attached.id, attached.fd);
//! # Ok::<(), bpf_exec::TakeError>(())
//! ```

#![deny(unsafe_code)]
#![warn(missing_docs)]

mod account;
mod agent;
mod cli;
mod error;
mod handoff;
pub mod layout;
mod map;
mod name;
mod object;
mod output;
mod source;
mod sys;
mod take;
mod text;
mod wire;

/// For the binaries, tests, benches and fuzz targets of this package, and for nobody else: no
/// part of the interface, and free to change.
#[doc(hidden)]
#[allow(missing_docs)]
pub mod internals {
    pub use crate::cli::agent::main as bpf_agent;
    pub use crate::cli::exec::main as bpf_exec;
    pub use crate::cli::map::main as bpf_map;
    pub use crate::sys::entry::enter;
    pub use crate::sys::{batch, bpf, elem, mmap, scm};
    pub use crate::wire::{agent, tc};
}

pub use take::{InheritedMap, InheritedMaps, InheritedObject, InheritedObjects, TakeError, take};
