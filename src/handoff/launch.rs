//! The last steps before the command: descriptors in place, environment built, executed.

use super::environ::{self, Claim};
use super::lock;
use super::place::{self, OpenFiles};
use crate::error::Error;
use crate::sys::bpf::{Access, MapInfo};
use crate::sys::{Errno, fd, process};
use std::ffi::{CString, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;

/// A map as it will be handed over.
#[derive(Debug)]
pub struct Handed {
    /// The variables that will name it, with its number.
    pub claim: Claim,
    pub info: MapInfo,
    pub access: Access,
    pub place: Place,
}

/// How a map's descriptor comes to be at its number.
#[derive(Debug)]
pub enum Place {
    /// It was inherited, and is there.
    Kept,
    /// It was inherited, and this one is to take its place.
    Replaced(fd::Inherited, OwnedFd),
    /// It is moved there.
    New(OwnedFd),
}

/// Everything that the command gets.
#[derive(Debug)]
pub struct Handover {
    /// By rising index.
    pub maps: Vec<Handed>,
    /// Inherited descriptors that it does not get.
    pub dropped: Vec<fd::Inherited>,
    pub lock: bool,
}

/// Why the command did not start.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// What comes before executing it failed.
    #[error(transparent)]
    Own(#[from] Error),
    /// It could not be executed.
    #[error("{0}")]
    Exec(Error, Errno),
}

/// Becomes `command`; returns only on failure.
pub fn launch(handover: Handover, command: Vec<OsString>, limit: OpenFiles) -> Failure {
    let claims: Vec<Claim> = handover.maps.iter().map(|map| map.claim.clone()).collect();
    let environment = environ::build(process::environment(), &claims);
    let arguments: Vec<CString> = command
        .into_iter()
        .filter_map(|argument| CString::new(argument.into_vec()).ok()) // never holds a NUL
        .collect();
    if let Err(errno) = put_in_place(handover.maps, &handover.dropped) {
        return Error::new("descriptors", "place", errno).into();
    }
    drop(limit);
    if handover.lock
        && let Err(error) = lock::install()
    {
        return error.into();
    }
    let errno = process::exec(&arguments[0], &arguments, &environment);
    let name = arguments[0].to_bytes();
    // One with a slash is a path, and not looked for.
    let path =
        name.contains(&b'/').then(|| std::path::PathBuf::from(OsString::from_vec(name.to_vec())));
    match errno {
        // Not the command's fault: the kernel refuses the environment that it was given.
        Errno::E2BIG => {
            Error::new(name, "execute", "the environment and arguments are too long").into()
        }
        Errno::ENOENT if path.as_ref().is_some_and(|path| path.exists()) => {
            let cause = "its interpreter was not found";
            Failure::Exec(Error::new(name, "execute", cause), errno)
        }
        Errno::EACCES if path.as_ref().is_some_and(|path| path.is_dir()) => {
            Failure::Exec(Error::new(name, "execute", "a directory"), errno)
        }
        Errno::ENOENT => Failure::Exec(Error::new(name, "execute", "command not found"), errno),
        errno => Failure::Exec(Error::new(name, "execute", errno), errno),
    }
}

fn put_in_place(maps: Vec<Handed>, dropped: &[fd::Inherited]) -> Result<(), Errno> {
    let mut new: Vec<(Option<OwnedFd>, i32)> = Vec::new();
    for handed in maps {
        match handed.place {
            Place::Kept => {}
            Place::Replaced(inherited, fd) => inherited.replace(fd)?,
            Place::New(fd) => new.push((Some(fd), handed.claim.fd)),
        }
    }
    dropped.iter().for_each(|fd| fd.close());
    let (fds, numbers): (Vec<_>, Vec<_>) = new.into_iter().unzip();
    place::place(fds, &numbers)
}
