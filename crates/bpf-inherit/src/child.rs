//! For commands written in Rust: the inherited maps, programs and links as owned objects.

use crate::environ::{self, Claim};
use crate::fd::{duplicate, is_free};
use crate::inherited::{Mismatch, check};
use crate::map::Map;
use crate::object::Object;
use crate::{Errno, ObjectKind, describe};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::collections::BTreeMap;
use std::collections::btree_map::IntoValues;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;

/// An object that this process inherited: a [`Map`], or a program or a link as [`Object`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Named<T> {
    /// The n of `BPF_MAP<n>`, `BPF_PROG<n>` or `BPF_LINK<n>`.
    pub index: u32,
    /// The name, `BPF_MAP<n>_NAME`, if it is set. Not checked: escape it before printing.
    pub name: Option<Vec<u8>>,
    /// `BPF_MAP<n>_LAYOUT`, if it is set: `KEY -> VALUE` in the notation of bpf-layout(7). Not
    /// checked: the package `bpf-layout` parses it.
    pub layout: Option<Vec<u8>>,
    /// The object. Its file descriptor is close-on-exec.
    pub object: T,
}

/// The inherited objects of one kind that have not been taken out yet. The others are closed when
/// this is dropped.
#[derive(Debug)]
pub struct Objects<T> {
    kind: ObjectKind,
    objects: BTreeMap<u32, Named<T>>,
}

/// What this process inherited.
#[derive(Debug)]
#[non_exhaustive]
pub struct InheritedObjects {
    /// The maps.
    pub maps: Objects<Map>,
    /// The programs.
    pub programs: Objects<Object>,
    /// The links. A link that no process or pin holds is detached when it is closed.
    pub links: Objects<Object>,
    /// A line for each variable that violates the contract, for a log.
    pub warnings: Vec<String>,
}

/// The reason why an inherited object was not returned.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InheritError {
    /// The type of a file descriptor could not be determined, for example because /proc is not
    /// mounted, or the file descriptor could not be duplicated.
    Unusable(String),
    /// No inherited object has this name or number, or it was taken out before.
    NotInherited(String),
    /// Several objects of this kind have the name: these are their numbers.
    Ambiguous(String, Vec<u32>),
}

impl fmt::Display for InheritError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            InheritError::Unusable(why) => f.write_str(why),
            InheritError::NotInherited(name) => write!(f, "{name}: not inherited"),
            InheritError::Ambiguous(name, indices) => {
                write!(f, "{name}: several inherited objects have this name: {indices:?}")
            }
        }
    }
}

impl std::error::Error for InheritError {}

/// Opens the maps, programs and links that the environment declares.
///
/// Each file descriptor is duplicated, so that the objects have no other owner in this process; the
/// inherited file descriptors stay open, and the variables stay set. If the soft limit on open
/// files is reached, it is raised for the time of a duplication. A variable is skipped with a
/// warning if its file descriptor is closed, is not an object of this kind, or is another object
/// than its `_ID` declares.
///
/// # Errors
/// [`InheritError::Unusable`].
pub fn open_inherited() -> Result<InheritedObjects, InheritError> {
    collect(|claim| {
        let fd = duplicate(claim.fd).or_else(|errno| match errno {
            Errno::EMFILE => with_raised_limit(|| duplicate(claim.fd)),
            errno => Err(errno),
        });
        let fd = fd.map_err(|errno| match errno {
            Errno::EBADF => Mismatch::Closed,
            errno => Mismatch::Unreadable(errno),
        })?;
        let info = check(fd.as_fd(), claim.kind, claim.id)?;
        Ok(Object::with_info(fd, info))
    })
}

/// Calls `open` with the soft limit on open files raised to the hard limit: the process that handed
/// the file descriptors over may have placed them above the soft limit.
fn with_raised_limit<T>(open: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    let opened = open();
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard)?;
    opened
}

/// Takes ownership of the maps, programs and links that the environment declares, without
/// duplicating their file descriptors, which become close-on-exec. Otherwise as
/// [`open_inherited`].
///
/// # Safety
/// No file descriptor that the variables name has an owner in this process: the environment is that
/// with which a program started this process and handed over the file descriptors, no other code
/// has taken them, and this function is called at most once.
///
/// A variable may hold a stale number, which now belongs to a file that this process opened.
/// Only file descriptors that are not close-on-exec are taken, so it is sufficient to call this
/// function first in `main`.
///
/// # Errors
/// [`InheritError::Unusable`].
pub unsafe fn from_env() -> Result<InheritedObjects, InheritError> {
    collect(|claim| {
        let number: RawFd = claim.fd;
        if is_free(number) {
            return Err(Mismatch::Closed);
        }
        // SAFETY: it is open, and nothing in the process closes it during this call.
        let info = check(unsafe { BorrowedFd::borrow_raw(number) }, claim.kind, claim.id)?;
        // SAFETY: the caller guarantees that it has no owner. It is taken once, because it is
        // close-on-exec from here on.
        let fd = unsafe { OwnedFd::from_raw_fd(number) };
        let flag = fcntl(&fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC));
        flag.map_err(Mismatch::Unreadable)?;
        Ok(Object::with_info(fd, info))
    })
}

fn collect(
    mut open: impl FnMut(&Claim) -> Result<Object, Mismatch>,
) -> Result<InheritedObjects, InheritError> {
    // Not the raw environment: another thread may change it, and only std locks it.
    let environment: Vec<Vec<u8>> = std::env::vars_os()
        .map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat())
        .collect();
    let claims = environ::claims(environment.iter().map(Vec::as_slice));
    let mut inherited = InheritedObjects {
        maps: Objects::new(ObjectKind::Map),
        programs: Objects::new(ObjectKind::Program),
        links: Objects::new(ObjectKind::Link),
        warnings: claims.warnings,
    };
    for claim in claims.claims {
        match open(&claim) {
            Ok(Object::Map(map)) => inherited.maps.insert(claim, map),
            Ok(program @ Object::Program(..)) => inherited.programs.insert(claim, program),
            Ok(link @ Object::Link(..)) => inherited.links.insert(claim, link),
            Err(Mismatch::Unreadable(errno)) => {
                let (variable, fd, errno) = (claim.variable(), claim.fd, describe(errno));
                let reason = format!("{variable}: descriptor {fd}: identify: {errno}");
                return Err(InheritError::Unusable(reason));
            }
            Err(reason) => {
                let (variable, reason) = (claim.variable(), reason.about(claim.fd));
                inherited.warnings.push(format!("{variable}: {reason}, dropped"));
            }
        }
    }
    Ok(inherited)
}

impl<T> Objects<T> {
    fn new(kind: ObjectKind) -> Objects<T> {
        Objects { kind, objects: BTreeMap::new() }
    }

    fn insert(&mut self, claim: Claim, object: T) {
        let Claim { index, name, layout, .. } = claim;
        self.objects.insert(index, Named { index, name, layout, object });
    }

    /// Takes out the object with this name (`BPF_MAP<n>_NAME`).
    ///
    /// # Errors
    /// [`InheritError::NotInherited`], or [`InheritError::Ambiguous`] if several have the name.
    pub fn by_name(&mut self, name: impl AsRef<[u8]>) -> Result<Named<T>, InheritError> {
        let name = name.as_ref();
        let named = self.iter().filter(|object| object.name.as_deref() == Some(name));
        let indices: Vec<u32> = named.map(|object| object.index).collect();
        let shown = || name.escape_ascii().to_string();
        match indices[..] {
            [index] => self.by_index(index),
            [] => Err(InheritError::NotInherited(shown())),
            _ => Err(InheritError::Ambiguous(shown(), indices)),
        }
    }

    /// Takes out the object of `BPF_MAP<n>`, `BPF_PROG<n>` or `BPF_LINK<n>`.
    ///
    /// # Errors
    /// [`InheritError::NotInherited`].
    pub fn by_index(&mut self, n: u32) -> Result<Named<T>, InheritError> {
        let variable = || InheritError::NotInherited(format!("{}{n}", self.kind.stem()));
        self.objects.remove(&n).ok_or_else(variable)
    }

    /// The objects that have not been taken out, in ascending order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = &Named<T>> {
        self.objects.values()
    }
}

/// Takes out all objects, in ascending order of their numbers.
impl<T> IntoIterator for Objects<T> {
    type Item = Named<T>;
    type IntoIter = IntoValues<u32, Named<T>>;

    fn into_iter(self) -> Self::IntoIter {
        self.objects.into_values()
    }
}
