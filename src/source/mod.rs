//! Where maps, programs and links come from: a file for each source, and the order in which
//! they are opened.
//!
//! All or nothing: the first source that fails closes what the others opened.

pub mod agent;
pub mod create;
pub mod id;
pub mod inherited;
mod opened;
pub mod pin;
pub mod process;
pub mod program;
pub mod senders;
pub mod tc;

use crate::error::Error;
use crate::map::typed::Layouts;
use crate::readonly;
use crate::text::{count, escape};
use crate::wait::{Limit, Signals};
use bpf_inherit::fd;
use bpf_inherit::object::Object;
use bpf_inherit::{ObjectKind, Startup};
pub use opened::Opened;
use senders::Senders;
use std::fmt;
use std::os::fd::{AsFd, RawFd};
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

/// Where to get maps, programs or links.
#[derive(Debug)]
pub enum Source {
    /// A pin, or a directory of pins, of which those of a kind are taken.
    Pin(ObjectKind, PathBuf),
    /// The kernel's id of an object of a kind.
    Id(ObjectKind, u32),
    /// The kernel's name of a map.
    KernelName(Vec<u8>),
    /// A socket to which tc sends.
    Import(tc::Address),
    /// A process that holds maps.
    Process(i32),
    /// A new map.
    Create(create::Spec),
    /// An agent that holds objects.
    Agent(agent::Spec),
}

impl fmt::Display for Source {
    /// As its user would know it again, escaped.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Source::Pin(_, path) => f.write_str(&escape(path.as_os_str().as_bytes())),
            Source::Import(address) => address.fmt(f),
            Source::Id(_, id) => write!(f, "id {id}"),
            Source::KernelName(name) => f.write_str(&escape(name)),
            Source::Process(pid) => write!(f, "process {pid}"),
            Source::Create(spec) => f.write_str(&escape(spec.name().as_bytes())),
            Source::Agent(spec) => spec.fmt(f),
        }
    }
}

impl Source {
    /// What it gives; None where that may be of any kind.
    pub fn kind(&self) -> Option<ObjectKind> {
        match self {
            Source::Pin(kind, _) | Source::Id(kind, _) => Some(*kind),
            Source::Agent(_) => None,
            _ => Some(ObjectKind::Map),
        }
    }

    /// The inherited descriptor that it uses up.
    pub fn used_fd(&self) -> Option<RawFd> {
        match self {
            Source::Import(tc::Address::Inherited(number)) => Some(*number),
            _ => None,
        }
    }

    /// That it gave nothing, in a sentence.
    pub fn nothing(&self) -> String {
        match self.kind() {
            Some(kind) => format!("{self}: no {} is pinned there", kind.noun()),
            None => format!("{self}: nothing is held there that may be read or written"),
        }
    }
}

/// What holds for all sources.
#[derive(Debug)]
pub struct Settings {
    /// Hand over read-only descriptors, or fail.
    pub read_only: bool,
    /// The root of the bpf file system.
    pub bpffs: PathBuf,
    /// How long to wait for senders and agents; None for ever.
    pub timeout: Option<Duration>,
    /// Wait until an agent has what is asked of it.
    pub wait: bool,
    /// The permission bits of a socket's file.
    pub socket_mode: u32,
    /// The users that may send to an import; root and this process's own if it is empty.
    pub from: Vec<u32>,
}

/// Opens what all `requests` name: a list for each, in their order, and warnings. What happens
/// while it waits is reported to `warn`.
///
/// Sockets are bound first, so that senders may come in any order, and waited
/// for last, so that a pin that is not there is told at once.
pub fn open_all(
    requests: &[Request],
    settings: &Settings,
    startup: &Startup,
    layouts: &mut Layouts,
    warn: &mut dyn FnMut(String),
) -> Result<(Vec<Vec<Opened>>, Vec<String>), Error> {
    let limit = Limit::new(settings.timeout);
    let waiting = requests.iter().any(|r| matches!(r.source, Source::Import(_)));
    // Declared before the sockets, so that they are removed before a signal is let through.
    let signals = waiting.then(Signals::hold).transpose()?;
    let bounds = agent::Bounds { limit, signals: signals.as_ref() };
    let mut warnings = Vec::new();
    let (mut imports, mut agents) = (Vec::new(), Vec::new());
    let mut groups = Vec::new();
    for request in requests {
        groups.push(match &request.source {
            Source::Import(address) => {
                let senders = Senders::new(&settings.from);
                let import = tc::Import::open(address, settings.socket_mode, senders, startup)?;
                imports.push((groups.len(), import));
                Vec::new()
            }
            Source::Agent(spec) => {
                agents.push((groups.len(), spec));
                Vec::new()
            }
            // Told before anything is waited for.
            source => readonly::possible(source, open(source, settings, &mut warnings)?, settings)?,
        });
    }
    for (place, spec) in agents {
        let group = agent::open(spec, settings, bounds)?;
        groups[place] = readonly::possible(&requests[place].source, group, settings)?;
    }
    if let Some(signals) = &signals {
        let (places, imports): (Vec<usize>, Vec<tc::Import>) = imports.into_iter().unzip();
        let received = tc::receive_all(imports, limit, signals, warn)?;
        for (place, maps) in places.into_iter().zip(received) {
            groups[place] = maps;
        }
    }
    for (request, group) in requests.iter().zip(&mut groups) {
        finish(request, group, settings, layouts, &mut warnings)?;
    }
    Ok((groups, warnings))
}

fn open(
    source: &Source,
    settings: &Settings,
    warnings: &mut Vec<String>,
) -> Result<Vec<Opened>, Error> {
    Ok(match source {
        Source::Pin(kind, path) => pin::open(*kind, path, settings, warnings)?,
        Source::Id(kind, id) => vec![Opened::new(id::open(*kind, *id, settings.read_only)?)],
        Source::KernelName(name) => vec![Opened::new(id::open_named(name, settings.read_only)?)],
        Source::Process(pid) => process::open(*pid)?,
        Source::Create(spec) => vec![create::open(spec)?],
        // Received later.
        Source::Import(_) | Source::Agent(_) => Vec::new(),
    })
}

/// Gives what one source gave the command line's name, the access and the layout.
fn finish(
    request: &Request,
    group: &mut [Opened],
    settings: &Settings,
    layouts: &mut Layouts,
    warnings: &mut Vec<String>,
) -> Result<(), Error> {
    if let Some(name) = &request.name {
        let [one] = &mut group[..] else {
            let kind = request.source.kind();
            let number = count(group.len(), kind.map_or("object", ObjectKind::noun));
            let cause = format!("{} gives {number}, not one", request.source);
            return Err(Error::new(name, naming(kind), cause));
        };
        one.given = Some(name.clone());
    }
    for opened in group {
        let label = opened.label().map(<[u8]>::to_vec);
        let Object::Map(map) = &mut opened.object else { continue };
        let access = fd::access_mode(map.as_fd())
            .map_err(|errno| Error::new(request.source.to_string(), "read access mode", errno))?;
        if settings.read_only
            && let Some(reopened) =
                readonly::ensure(map.info(), access, label.as_deref(), &settings.bpffs)?
        {
            *map = reopened;
        }
        if let Some(told) = opened.told.take() {
            let (layout, warning) = told.check(map.info(), layouts);
            warnings.extend(warning);
            if let Some((layout, source)) = layout {
                opened.layout = Some(layout.to_string().into_bytes());
                opened.layout_source = source;
            }
        }
        if opened.layout.is_none() {
            (opened.layout, opened.layout_source) = layouts.of(map.info());
        }
    }
    Ok(())
}

/// The operation of giving an object a name.
fn naming(kind: Option<ObjectKind>) -> &'static str {
    match kind {
        Some(ObjectKind::Map) => "name a map",
        Some(ObjectKind::Program) => "name a program",
        Some(ObjectKind::Link) => "name a link",
        None => "name an object",
    }
}
