//! Changes of the state, each of one name and atomic: after a crash, the name is as it was before
//! the change or as it was meant to be.
//!
//! A new object is built as `%new-N` and renamed into place; an old one is renamed to `%old-N`
//! before it is taken apart. The next start removes the rest.

use super::dir::{ABOUT, StateDir};
use crate::agent::about::{About, encode_name};
use crate::error::Cause;
use crate::text::escape;
use bpf_inherit::Errno;
use bpf_inherit::bpf::obj_pin;
use nix::fcntl::{RenameFlags, renameat2};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, symlinkat, unlinkat};
use std::ffi::{CString, OsStr, OsString};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Bytes of a symbolic link's target at most, without its NUL (path_resolution(7)).
const MAX_TARGET: usize = 4095;
/// Bytes of a file's name at most.
const MAX_FILE: usize = 255;
/// The prefixes of directories that are being built or taken apart.
const TEMPORARY: [&str; 2] = ["%new-", "%old-"];

/// The change of one name.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    pub name: &'a [u8],
    /// The object that has the name, which is replaced or removed.
    pub old: Option<&'a About>,
    pub new: Option<New<'a>>,
}

/// The object that gets the name.
#[derive(Clone, Copy, Debug)]
pub struct New<'a> {
    pub about: &'a About,
    pub layout: &'a [u8],
    pub object: BorrowedFd<'a>,
}

/// Whether a file has the name of a temporary directory.
pub fn is_temporary(file: &OsStr) -> bool {
    number_of(file).is_some()
}

/// The N of the name of a temporary directory.
fn number_of(file: &OsStr) -> Option<u32> {
    let file = file.to_str()?;
    TEMPORARY.iter().find_map(|prefix| file.strip_prefix(prefix))?.parse().ok()
}

impl StateDir {
    /// Makes a change.
    pub fn apply(&self, change: &Change) -> Result<(), Cause> {
        let file = encode_name(change.name);
        let Some(new) = &change.new else { return Ok(self.remove(file.as_ref())?) };
        if file.len() > MAX_FILE {
            let length = file.len();
            return Err(
                format!("a name of {length} bytes for a file, which takes {MAX_FILE}").into()
            );
        }
        if !self.is_reachable() {
            let path = escape(self.path.as_os_str().as_bytes());
            return Err(format!("{path}: not the state any more: unmounted, or replaced").into());
        }
        self.save(&file, new, change.old.is_some())
    }

    fn save(&self, to: &str, object: &New, replace: bool) -> Result<(), Cause> {
        let new = self.temporary("%new-");
        let rename = |flag| self.rename(new.as_ref(), to.as_ref(), flag);
        let done = self.build(&new, object).and_then(|()| {
            let renamed = match replace {
                true => rename(RenameFlags::RENAME_EXCHANGE),
                false => Err(Errno::ENOENT),
            };
            // The old object may have been removed by another process.
            let renamed = match renamed {
                Err(Errno::ENOENT) => rename(RenameFlags::RENAME_NOREPLACE),
                renamed => renamed,
            };
            renamed.map_err(|errno| match errno {
                Errno::EEXIST => self.in_the_way(to),
                errno => errno.into(),
            })
        });
        // The old object, or the unfinished new one. The next start does this after a crash.
        if done.is_err() || replace {
            let _ = self.take_apart(new.as_ref());
        }
        done
    }

    /// Removes a directory of the state. A missing one is not an error.
    fn remove(&self, file: &OsStr) -> Result<(), Errno> {
        let old = self.temporary("%old-");
        match self.rename(file, old.as_ref(), RenameFlags::RENAME_NOREPLACE) {
            Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(errno),
            Ok(()) => {
                // The name is removed by now; the next start removes what remains.
                let _ = self.take_apart(old.as_ref());
                Ok(())
            }
        }
    }

    /// Removes the directories that a crash left. A warning for each that cannot be removed.
    pub fn clear_up(&self) -> Result<Vec<String>, Errno> {
        let mut left: Vec<OsString> = self.files("".as_ref())?;
        left.retain(|file| is_temporary(file));
        left.sort_by_key(|file| number_of(file));
        // The numbers of directories that cannot be removed stay in use.
        let last = left.last().and_then(|file| number_of(file));
        self.next.set(last.map_or(0, |n| n.wrapping_add(1)));
        let removed = left.iter().map(|file| (file, self.take_apart(file)));
        let kept = removed.filter_map(|(file, removed)| Some((file, removed.err()?)));
        let warning = |(file, errno): (&OsString, Errno)| {
            format!("{}: remove what is left over: {}", self.show(file), Cause::from(errno))
        };
        Ok(kept.map(warning).collect())
    }

    /// Creates a directory of the state for an object.
    fn build(&self, path: &str, new: &New) -> Result<(), Cause> {
        mkdirat(&self.dir, path, Mode::S_IRWXU)?;
        let link = |target: &[u8], name: &str| {
            symlinkat(OsStr::from_bytes(target), &self.dir, &Path::new(path).join(name))
        };
        link(new.about.encode().as_bytes(), ABOUT)?;
        for (n, piece) in new.layout.chunks(MAX_TARGET).enumerate() {
            link(piece, &format!("layout-{n}"))?;
        }
        let pin = self.in_proc(&format!("{path}/{}", new.about.kind.short_name()));
        let pin = CString::new(pin.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)?;
        Ok(obj_pin(new.object, &pin)?)
    }

    /// Removes a directory of the state with all that is in it.
    fn take_apart(&self, path: &OsStr) -> Result<(), Errno> {
        for file in self.files(path)? {
            let below = Path::new(path).join(file);
            match unlinkat(&self.dir, &below, UnlinkatFlags::NoRemoveDir) {
                Err(Errno::EISDIR) => self.take_apart(below.as_ref())?,
                removed => removed?,
            }
        }
        match unlinkat(&self.dir, path, UnlinkatFlags::RemoveDir) {
            Err(Errno::ENOENT) => Ok(()),
            removed => removed,
        }
    }

    fn rename(&self, from: &OsStr, to: &OsStr, flag: RenameFlags) -> Result<(), Errno> {
        renameat2(&self.dir, from, &self.dir, to, flag)
    }

    fn in_the_way(&self, file: &str) -> Cause {
        format!("{}: in the way", self.show(file.as_ref())).into()
    }

    /// An unused name.
    fn temporary(&self, prefix: &str) -> String {
        let n = self.next.get();
        self.next.set(n.wrapping_add(1));
        format!("{prefix}{n}")
    }
}
