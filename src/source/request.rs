//! The sources that a command line names, and the settings that they share.

use super::{agent, create, object, tc};
use crate::text::escape;
use bpf_inherit::ObjectKind;
use bpf_layout::Layout;
use std::fmt;
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

/// One source, as the command line names it.
#[derive(Debug)]
pub struct Request {
    /// The `NAME=` before it: only for a source that gives one object.
    pub name: Option<Vec<u8>>,
    pub source: Source,
}

/// Where to open maps, programs or links.
#[derive(Debug)]
pub enum Source {
    /// A pin, or a directory of pins, of which those of one object kind are opened.
    Pin(ObjectKind, PathBuf),
    /// The kernel's id of an object.
    Id(ObjectKind, u32),
    /// The kernel's name of a map.
    KernelName(Vec<u8>),
    /// A socket to which tc sends maps.
    Import(tc::Address),
    /// A process that holds maps.
    Process(i32),
    /// A new map.
    Create(create::NewMap),
    /// The maps that an object file declares.
    Object(object::ObjectSpec),
    /// A program of an object file.
    Program(object::ObjectProgramSpec),
    /// An agent that holds objects.
    Agent(agent::Spec),
}

impl fmt::Display for Source {
    /// As the command line has it, escaped.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Source::Pin(_, path) => f.write_str(&escape(path.as_os_str().as_bytes())),
            Source::Import(address) => address.fmt(f),
            Source::Id(_, id) => write!(f, "id {id}"),
            Source::KernelName(name) => f.write_str(&escape(name)),
            Source::Process(pid) => write!(f, "process {pid}"),
            Source::Create(spec) => f.write_str(&escape(spec.name().as_bytes())),
            Source::Object(spec) => spec.fmt(f),
            Source::Program(spec) => spec.fmt(f),
            Source::Agent(spec) => spec.fmt(f),
        }
    }
}

impl Source {
    /// The kind of its objects; None if they may be of any kind.
    pub fn kind(&self) -> Option<ObjectKind> {
        match self {
            Source::Pin(kind, _) | Source::Id(kind, _) => Some(*kind),
            Source::Program(_) => Some(ObjectKind::Program),
            Source::KernelName(_)
            | Source::Import(_)
            | Source::Process(_)
            | Source::Create(_)
            | Source::Object(_) => Some(ObjectKind::Map),
            Source::Agent(_) => None,
        }
    }

    /// The layout that the command line gives for its map.
    pub fn layout(&self) -> Option<Layout> {
        match self {
            Source::Create(spec) => spec.layout(),
            Source::Pin(..)
            | Source::Id(..)
            | Source::KernelName(_)
            | Source::Import(_)
            | Source::Process(_)
            | Source::Object(_)
            | Source::Program(_)
            | Source::Agent(_) => None,
        }
    }

    /// The inherited file descriptor that it uses, so that the command does not inherit it.
    pub fn used_fd(&self) -> Option<RawFd> {
        match self {
            Source::Import(tc::Address::Inherited(number)) => Some(*number),
            Source::Import(tc::Address::Path(_))
            | Source::Pin(..)
            | Source::Id(..)
            | Source::KernelName(_)
            | Source::Process(_)
            | Source::Create(_)
            | Source::Object(_)
            | Source::Program(_)
            | Source::Agent(_) => None,
        }
    }

    /// The warning that the source has no objects.
    pub fn describe_empty(&self) -> String {
        if let Source::Object(_) = self {
            return format!("{self}: it declares no map");
        }
        match self.kind() {
            Some(kind) => format!("{self}: no {} is pinned there", kind.noun()),
            None => format!("{self}: the agent has no object that may be read or written"),
        }
    }
}

/// The settings of all sources.
#[derive(Debug)]
pub struct Settings {
    /// Hand over read-only file descriptors, or fail.
    pub read_only: bool,
    /// The BPF file system root.
    pub bpffs: PathBuf,
    /// How long to wait for senders and agents; None: without a limit.
    pub timeout: Option<Duration>,
    /// Wait until an agent has all requested names.
    pub wait: bool,
    /// The permission bits of a socket's file.
    pub socket_mode: u32,
    /// The users that may send to an import; root and this process's own if it is empty.
    pub from: Vec<u32>,
}
