//! The objects that the environment declares and whose file descriptors were inherited.

use crate::environ::{self, Claim, Claims, Scope};
use crate::fd::{self, FdType};
use crate::object::{self, Info, Object};
use crate::startup::{InheritedFd, Startup};
use crate::{Errno, ObjectKind, describe};
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, RawFd};

/// An inherited object.
#[derive(Debug)]
pub struct Inherited {
    /// The declaration in the environment. Name and layout are unchecked.
    pub claim: Claim,
    /// The file descriptor. It is not duplicated, because duplicates of all inherited file
    /// descriptors might exceed the limit on open files.
    pub fd: InheritedFd,
    /// What the kernel reports about it.
    pub info: Info,
}

/// All inherited objects, and a description of those that were declared but not inherited.
#[derive(Debug, Default)]
pub struct Inheritance {
    /// The declared objects that were inherited, by kind and index.
    pub objects: Vec<Inherited>,
    /// The scope, which does not depend on whether the file descriptors are open.
    pub scope: Scope,
    /// Whether a declared object is missing.
    pub dropped: bool,
    /// A line for each file descriptor that is closed or is not the declared object, and for each
    /// wrong count.
    pub warnings: Vec<String>,
}

/// The reason why a file descriptor is not the declared object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// The file descriptor is closed.
    Closed,
    /// The file descriptor is not an object of this kind.
    Type(FdType, ObjectKind),
    /// The object is not the declared one: the number was closed and used again.
    Id {
        /// The kind of both objects.
        kind: ObjectKind,
        /// The id of the object that the file descriptor refers to.
        is: u32,
        /// The declared id.
        declared: u32,
    },
    /// The type could not be determined, for example because /proc/self is missing.
    Unreadable(Errno),
}

impl Mismatch {
    /// The reason as a sentence about the file descriptor.
    pub fn about(&self, number: RawFd) -> String {
        match self {
            Mismatch::Id { .. } => format!("fd {number} is {self}"),
            _ => format!("descriptor {number} is {self}"),
        }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Mismatch::Closed => f.write_str("closed"),
            Mismatch::Type(other, kind) => {
                write!(f, "{}, not a {}", other.with_article(), kind.noun())
            }
            Mismatch::Id { kind, is, declared } => {
                let noun = kind.noun();
                write!(f, "{noun} {is}, not {noun} {declared}")
            }
            Mismatch::Unreadable(errno) => write!(f, "unusable ({})", describe(*errno)),
        }
    }
}

/// Describes the object of `fd`, after checking that it is of this kind and, if an id is given, has
/// this id.
pub fn check(fd: BorrowedFd, kind: ObjectKind, id: Option<u32>) -> Result<Info, Mismatch> {
    let fd_type = fd::fd_type(fd).map_err(Mismatch::Unreadable)?;
    if fd_type != FdType::Object(kind) {
        return Err(Mismatch::Type(fd_type, kind));
    }
    let info = object::describe(fd, kind).map_err(Mismatch::Unreadable)?;
    match (info.id(), id) {
        (is, Some(declared)) if is != declared => Err(Mismatch::Id { kind, is, declared }),
        _ => Ok(info),
    }
}

impl InheritedFd {
    /// Opens the object, by a duplicate of the file descriptor, if it is of this kind, and has this
    /// id if one is given.
    ///
    /// # Errors
    /// The error of the duplication; inside, the reason why it is not the object.
    pub fn open_as(
        &self,
        kind: ObjectKind,
        id: Option<u32>,
    ) -> Result<Result<Object, Mismatch>, Errno> {
        match check(self.as_fd(), kind, id) {
            Ok(info) => Ok(Ok(Object::with_info(self.duplicate()?, info))),
            Err(reason) => Ok(Err(reason)),
        }
    }
}

impl Startup {
    /// Finds the objects that the environment declares and that were inherited.
    ///
    /// # Errors
    /// The claim of a file descriptor that is open and could not be identified: it may be a
    /// writable map.
    pub fn inherited(&self) -> Result<Inheritance, (Claim, Errno)> {
        let environment = self.environment();
        let Claims { claims, scope, mut dropped, mut warnings, .. } =
            environ::claims(environment.iter().map(|entry| entry.as_bytes()));
        let mut objects = Vec::new();
        for claim in claims {
            let fd = self.fd(claim.fd).map_err(|_| Mismatch::Closed);
            let checked = fd.and_then(|fd| Ok((check(fd.as_fd(), claim.kind, claim.id)?, fd)));
            match checked {
                Ok((info, fd)) => objects.push(Inherited { claim, fd, info }),
                Err(Mismatch::Unreadable(errno)) => return Err((claim, errno)),
                Err(reason) => {
                    dropped = true;
                    let reason = reason.about(claim.fd);
                    warnings.push(format!("{}: {reason}, dropped", claim.variable()));
                }
            }
        }
        Ok(Inheritance { objects, scope, dropped, warnings })
    }
}
