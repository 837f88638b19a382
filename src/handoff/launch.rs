//! The last steps before the command: placing fds, building the environment, executing.

use super::activation;
use super::lock;
use super::place::{self, OpenFiles};
use crate::error::Error;
use crate::map::typed::LayoutSource;
use crate::wait::Signals;
use bpf_inherit::environ::{self, Claim};
use bpf_inherit::object::Info;
use bpf_inherit::{Errno, InheritedFd, Startup, process};
use std::ffi::{CString, OsStr, OsString};
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// A map, program or link to hand over.
#[derive(Debug)]
pub struct HandedObject {
    /// Its variables in the environment of the command, and its number.
    pub claim: Claim,
    /// The source of a map's layout.
    pub layout_source: LayoutSource,
    pub info: Info,
    pub placement: FdPlacement,
}

/// How an object gets its fd.
#[derive(Debug)]
pub enum FdPlacement {
    /// It was inherited with this fd.
    Kept,
    /// It was inherited, and another fd replaces the inherited one.
    Replaced(InheritedFd, OwnedFd),
    /// It is moved to the fd.
    New(OwnedFd),
}

/// Everything that the command inherits.
#[derive(Debug)]
pub struct Handover {
    /// By kind, then by ascending index.
    pub objects: Vec<HandedObject>,
    /// Inherited fds that are closed.
    pub dropped: Vec<InheritedFd>,
    /// Inherited fds that no variable names, and their replacements.
    pub replaced: Vec<(InheritedFd, OwnedFd)>,
    /// Inherited fds that sources have used and closed.
    pub used: Vec<RawFd>,
    pub lock: bool,
}

/// The reason why the command was not executed.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// A step before execution failed.
    #[error(transparent)]
    Own(#[from] Error),
    /// The command was found, but cannot be executed.
    #[error("{0}")]
    CannotExecute(Error),
    /// The command was not found.
    #[error("{0}")]
    NotFound(Error),
}

/// Executes `command`; returns only on failure. The `signals` that are blocked are unblocked for the
/// execution; one that arrived before prevents the execution.
pub fn launch(
    startup: &Startup,
    handover: Handover,
    command: Vec<OsString>,
    limit: OpenFiles,
    signals: Option<&Signals>,
) -> LaunchError {
    let claims: Vec<Claim> = handover.objects.iter().map(|handed| handed.claim.clone()).collect();
    let inherited = activation::remove_used(startup.environment(), &handover.used);
    let environment = environ::build(inherited, &claims);
    let arguments: Vec<CString> = command
        .into_iter()
        .filter_map(|argument| CString::new(argument.into_vec()).ok()) // arguments contain no NUL
        .collect();
    let placed = place_all(startup, handover.objects, handover.replaced, handover.dropped);
    if let Err(errno) = placed {
        return Error::new("descriptors", "place", errno).into();
    }
    drop(limit);
    if handover.lock
        && let Err(error) = lock::install()
    {
        return error.into();
    }
    let execute = || process::exec(&arguments[0], &arguments, &environment);
    let name = arguments[0].to_bytes();
    let failed = match signals {
        Some(signals) => signals.deliver_during(execute),
        None => Some(execute()),
    };
    // The signal ends this process as soon as it is unblocked.
    let Some(errno) = failed else { return Error::new(name, EXECUTE, Errno::EINTR).into() };
    match errno {
        // The kernel refuses the environment, not the command.
        Errno::E2BIG => {
            Error::new(name, EXECUTE, "the environment and arguments are too long").into()
        }
        Errno::EACCES if find_command(name).is_some_and(|path| path.is_dir()) => {
            LaunchError::CannotExecute(Error::new(name, EXECUTE, "a directory"))
        }
        Errno::ENOENT if find_command(name).is_some() => {
            LaunchError::CannotExecute(Error::new(name, EXECUTE, "its interpreter was not found"))
        }
        Errno::ENOENT => LaunchError::NotFound(Error::new(name, EXECUTE, "command not found")),
        errno => LaunchError::CannotExecute(Error::new(name, EXECUTE, errno)),
    }
}

const EXECUTE: &str = "execute";

/// The file that execvp(3) finds for a command, if there is one.
fn find_command(name: &[u8]) -> Option<PathBuf> {
    let name = Path::new(OsStr::from_bytes(name));
    if name.as_os_str().as_bytes().contains(&b'/') {
        return name.exists().then(|| name.into());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(name)).find(|path| path.is_file())
}

fn place_all(
    startup: &Startup,
    objects: Vec<HandedObject>,
    replaced: Vec<(InheritedFd, OwnedFd)>,
    dropped: Vec<InheritedFd>,
) -> Result<(), Errno> {
    let mut new: Vec<(Option<OwnedFd>, i32)> = Vec::new();
    for handed in objects {
        match handed.placement {
            FdPlacement::Kept => {}
            FdPlacement::Replaced(inherited, fd) => startup.replace(&inherited, fd)?,
            FdPlacement::New(fd) => new.push((Some(fd), handed.claim.fd)),
        }
    }
    for (inherited, fd) in replaced {
        startup.replace(&inherited, fd)?;
    }
    for inherited in dropped {
        startup.take(inherited)?; // dropped, which closes it
    }
    let (fds, numbers): (Vec<_>, Vec<_>) = new.into_iter().unzip();
    place::move_fds(startup, fds, &numbers)
}
