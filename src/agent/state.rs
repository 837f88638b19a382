//! The state: a directory of a bpf file system that holds a pin of each object, and what a
//! pin cannot say beside it.
//!
//! `DIR/NAME/map` (or `prog`, `link`) is the pin, the target of the symbolic link
//! `DIR/NAME/about` is [`About`], and those of `layout-0` and its followers are the layout in
//! pieces. How it is changed is [`change`]'s.

mod change;

pub use change::{Change, New};

use super::about::{About, decode_name, encode_name};
use crate::bpffs::private::open_private;
use crate::error::{Cause, Error};
use crate::text::escape;
use crate::wire::agent::MAX_LAYOUT;
use bpf_inherit::Errno;
use bpf_inherit::bpf::obj_get;
use bpf_inherit::object::Object;
use bpf_inherit::{AccessMode, ObjectKind};
use nix::fcntl::readlinkat;
use nix::sys::stat::{fstat, stat};
use std::cell::Cell;
use std::ffi::{CString, OsStr, OsString};
use std::fs::{File, TryLockError};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

const OPEN: &str = "open state";
const ABOUT: &str = "about";

/// The state of one agent, which nobody else can open while this lives.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    /// Locked with flock(2).
    dir: File,
    /// The N of the next `%new-N` or `%old-N`.
    next: Cell<u32>,
}

/// An object as the state has it.
#[derive(Debug)]
pub struct Saved {
    pub name: Vec<u8>,
    pub about: About,
    pub layout: Vec<u8>,
    /// What is pinned: None where it is not what was stored, or cannot be opened.
    pub object: Option<Object>,
}

impl Saved {
    /// Whether `object` is the one that was stored.
    pub fn is(object: &Object, about: &About) -> bool {
        object.kind() == about.kind && object.id() == about.id
    }
}

impl StateDir {
    /// Opens the directory, and creates it if it is missing. Adds a warning for anything unusual.
    pub fn open(path: &Path, warnings: &mut Vec<String>) -> Result<StateDir, Error> {
        let fail = |cause: Cause| Error::new(path.as_os_str().as_bytes(), OPEN, cause);
        let dir = open_private(path, warnings).map_err(fail)?;
        let dir = File::from(dir);
        match dir.try_lock() {
            Ok(()) => Ok(StateDir { path: path.into(), dir, next: Cell::new(0) }),
            Err(TryLockError::WouldBlock) => Err(fail("another agent uses it".into())),
            Err(TryLockError::Error(error)) => Err(fail(error.into())),
        }
    }

    /// Everything that is stored, by rising name, and a line for each thing that is strange.
    /// Changes that a crash left unfinished are removed.
    pub fn load(&self) -> Result<(Vec<Saved>, Vec<String>), Error> {
        let fail = |errno: Errno| Error::new(self.path.as_os_str().as_bytes(), OPEN, errno);
        let mut warnings = self.clear_up().map_err(fail)?;
        let mut saved = Vec::new();
        for file in self.files("".as_ref()).map_err(fail)? {
            match self.read(&file) {
                Ok(one) => saved.push(one),
                // It has been told of already.
                Err(_) if change::is_temporary(&file) => {}
                Err(reason) => warnings.push(format!("{}: {reason}, left alone", self.show(&file))),
            }
        }
        saved.sort_by(|a, b| a.name.cmp(&b.name));
        Ok((saved, warnings))
    }

    fn read(&self, file: &OsStr) -> Result<Saved, &'static str> {
        let name = decode_name(file.as_bytes()).ok_or("not the name of an object")?;
        let text = self.target(file, ABOUT).map_err(|_| "it does not say what it is")?;
        let about = About::decode(&text).ok_or("what it says of itself is not understood")?;
        let mut layout = Vec::new();
        for n in 0.. {
            match self.target(file, &format!("layout-{n}")) {
                Ok(piece) if layout.len() + piece.len() <= MAX_LAYOUT => layout.extend(piece),
                _ => break,
            }
        }
        let object = self.open_pin(&name, about.kind, about.bound.mode()).ok();
        let object = object.filter(|object| Saved::is(object, &about));
        Ok(Saved { name, about, layout, object })
    }

    /// The names of the files in a directory of the state; none if it is not there.
    fn files(&self, below: &OsStr) -> Result<Vec<OsString>, Errno> {
        let entries = match self.in_proc("").join(below).read_dir() {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(bpf_inherit::errno)?,
        };
        entries.map(|entry| Ok(entry.map_err(bpf_inherit::errno)?.file_name())).collect()
    }

    fn target(&self, file: &OsStr, link: &str) -> Result<Vec<u8>, Errno> {
        readlinkat(&self.dir, &Path::new(file).join(link)).map(OsStringExt::into_vec)
    }

    /// Opens the pin of a name: whatever is pinned there now.
    pub fn open_pin(
        &self,
        name: &[u8],
        kind: ObjectKind,
        access: AccessMode,
    ) -> Result<Object, Cause> {
        let path = format!("{}/{}", encode_name(name), kind.short_name());
        let path =
            CString::new(self.in_proc(&path).as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)?;
        // A program's descriptor has no modes, and a link has no other than both.
        let access = if kind == ObjectKind::Map { access } else { AccessMode::ReadWrite };
        Object::identify(obj_get(&path, access)?)?.map_err(|kind| kind.with_article().into())
    }

    /// Whether the directory is what its path leads to still: else what is stored in it goes
    /// with the agent.
    pub fn is_reachable(&self) -> bool {
        match (fstat(&self.dir), stat(&self.path)) {
            (Ok(own), Ok(there)) => (there.st_dev, there.st_ino) == (own.st_dev, own.st_ino),
            _ => false,
        }
    }

    /// By way of /proc: bpf(2) wants a path, and this one stays with the directory.
    fn in_proc(&self, below: &str) -> PathBuf {
        format!("/proc/self/fd/{}/{below}", self.dir.as_fd().as_raw_fd()).into()
    }

    fn show(&self, file: &OsStr) -> String {
        escape(self.path.join(file).as_os_str().as_bytes())
    }
}
