//! Changes of the state, each made in one step: who reads the state after a crash finds every
//! name of a change as it was before, or every one as it was to be.
//!
//! Of one name, what comes is built as `%new-N` and renamed into place, and what goes is renamed
//! to `%old-N` before it is taken apart. Of several, what comes is built below `%new-N`, where a
//! name that goes has an empty directory; the step is that it becomes `%all-N`, from which each is
//! moved to its place: by this agent, or by the next one at its start.

use super::{ABOUT, StateDir};
use crate::agent::about::{About, encode_name};
use crate::error::Cause;
use crate::sys::Errno;
use crate::sys::bpf::obj_pin;
use crate::text::escape;
use nix::fcntl::{AtFlags, RenameFlags, renameat2};
use nix::sys::stat::{Mode, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, symlinkat, unlinkat};
use std::ffi::{CString, OsStr, OsString};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Bytes of a symbolic link's target at most, without its NUL (path_resolution(7)).
const MAX_TARGET: usize = 4095;
/// Bytes of a file's name at most.
const MAX_FILE: usize = 255;
/// What the names of directories on their way begin with; of the last, those that are to be
/// moved to their places.
const ASIDE: [&str; 3] = ["%new-", "%old-", ALL];
const ALL: &str = "%all-";

/// What becomes of one name.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    pub name: &'a [u8],
    /// What has the name, and is given up.
    pub old: Option<&'a About>,
    pub new: Option<New<'a>>,
}

/// What gets a name.
#[derive(Clone, Copy, Debug)]
pub struct New<'a> {
    pub about: &'a About,
    pub layout: &'a [u8],
    pub object: BorrowedFd<'a>,
}

/// Whether a file has the name of a directory on its way.
pub fn is_aside(file: &OsStr) -> bool {
    number_of(file).is_some()
}

/// The N of such a name.
fn number_of(file: &OsStr) -> Option<u32> {
    let file = file.to_str()?;
    ASIDE.iter().find_map(|prefix| file.strip_prefix(prefix))?.parse().ok()
}

impl StateDir {
    /// Makes changes, all or none. No name is in two of them.
    pub fn apply(&self, changes: &[Change]) -> Result<(), Cause> {
        for Change { name, new, .. } in changes {
            let length = encode_name(name).len();
            if new.is_some() && length > MAX_FILE {
                let why = format!("a name of {length} bytes for a file, which takes {MAX_FILE}");
                return Err(why.into());
            }
        }
        if changes.iter().any(|change| change.new.is_some()) && !self.is_reachable() {
            let path = escape(self.path.as_os_str().as_bytes());
            return Err(format!("{path}: not the state any more: unmounted, or replaced").into());
        }
        self.finish_earlier()?;
        match changes {
            [] => Ok(()),
            [Change { name, old, new: Some(new) }] => self.save(name, new, old.is_some()),
            [Change { name, new: None, .. }] => Ok(self.remove(encode_name(name).as_ref())?),
            changes => self.apply_all(changes),
        }
    }

    fn save(&self, name: &[u8], object: &New, replace: bool) -> Result<(), Cause> {
        let (new, to) = (self.aside("%new-"), encode_name(name));
        let rename = |flag| self.rename(new.as_ref(), to.as_ref(), flag);
        let done = self.build(&new, object).and_then(|()| {
            let renamed = match replace {
                true => rename(RenameFlags::RENAME_EXCHANGE),
                false => Err(Errno::ENOENT),
            };
            // What is to be replaced may have been removed by hand.
            let renamed = match renamed {
                Err(Errno::ENOENT) => rename(RenameFlags::RENAME_NOREPLACE),
                renamed => renamed,
            };
            renamed.map_err(|errno| match errno {
                Errno::EEXIST => self.in_the_way(&to),
                errno => errno.into(),
            })
        });
        // What was replaced, or what was not finished. A crash here is for the next start.
        if done.is_err() || replace {
            let _ = self.take_apart(new.as_ref());
        }
        done
    }

    /// Removes a directory of the state. That it is gone already is no error.
    fn remove(&self, file: &OsStr) -> Result<(), Errno> {
        let old = self.aside("%old-");
        match self.rename(file, old.as_ref(), RenameFlags::RENAME_NOREPLACE) {
            Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(errno),
            Ok(()) => {
                // It is removed by now; what is left of it is for the next start.
                let _ = self.take_apart(old.as_ref());
                Ok(())
            }
        }
    }

    fn apply_all(&self, changes: &[Change]) -> Result<(), Cause> {
        let (new, all) = (self.aside("%new-"), self.aside(ALL));
        let build = |change: &Change| {
            let to = encode_name(change.name);
            if change.old.is_none() && self.exists(to.as_ref())? {
                return Err(self.in_the_way(&to));
            }
            let path = format!("{new}/{to}");
            match &change.new {
                Some(new) => self.build(&path, new),
                None => Ok(mkdirat(&*self.dir, &*path, Mode::S_IRWXU)?),
            }
        };
        let done = mkdirat(&*self.dir, &*new, Mode::S_IRWXU).map_err(Cause::from);
        let done = done.and_then(|()| changes.iter().try_for_each(build)).and_then(|()| {
            let flag = RenameFlags::RENAME_NOREPLACE;
            Ok(self.rename(new.as_ref(), all.as_ref(), flag)?)
        });
        if done.is_err() {
            let _ = self.take_apart(new.as_ref());
            return done;
        }
        // From here on the change is made: what is left to be done is done before any other.
        *self.unfinished.borrow_mut() = Some(all);
        let _ = self.finish_earlier();
        Ok(())
    }

    /// Finishes a change that is made, and of which something could not be done yet. Until then
    /// there can be no other: it would be undone by the next start.
    fn finish_earlier(&self) -> Result<(), Cause> {
        let mut unfinished = self.unfinished.borrow_mut();
        if let Some(all) = unfinished.as_deref() {
            let done = self.finish(all.as_ref());
            done.map_err(|errno| {
                format!("an earlier change is not finished: {}", Cause::from(errno))
            })?;
            *unfinished = None;
        }
        Ok(())
    }

    /// Moves what is in an `%all-N` to its place. Where that was begun before it goes on.
    fn finish(&self, all: &OsStr) -> Result<(), Errno> {
        for file in self.files(all)? {
            let from = Path::new(all).join(&file);
            // First what has the name: as long as this one is here, that is to be done.
            self.remove(&file)?;
            match self.exists(&from.join(ABOUT))? {
                true => self.rename(from.as_ref(), &file, RenameFlags::RENAME_NOREPLACE)?,
                false => self.take_apart(from.as_ref())?,
            }
        }
        self.take_apart(all)
    }

    /// Finishes or removes what a crash left. A line for each thing that cannot be removed.
    pub fn clear_up(&self) -> Result<Vec<String>, Errno> {
        let mut left: Vec<OsString> = self.files("".as_ref())?;
        left.retain(|file| is_aside(file));
        left.sort_by_key(|file| number_of(file));
        // Of what cannot be removed the names stay taken.
        let last = left.last().and_then(|file| number_of(file));
        self.next.set(last.map_or(0, |n| n.wrapping_add(1)));
        let (all, rest): (Vec<_>, Vec<_>) =
            left.into_iter().partition(|file| file.as_bytes().starts_with(ALL.as_bytes()));
        all.iter().try_for_each(|file| self.finish(file))?;
        let removed = rest.iter().map(|file| (file, self.take_apart(file)));
        let kept = removed.filter_map(|(file, removed)| Some((file, removed.err()?)));
        let warning = |(file, errno): (&OsString, Errno)| {
            format!("{}: remove what is left over: {}", self.show(file), Cause::from(errno))
        };
        Ok(kept.map(warning).collect())
    }

    /// Makes a directory of the state that says all of an object.
    fn build(&self, path: &str, new: &New) -> Result<(), Cause> {
        mkdirat(&*self.dir, path, Mode::S_IRWXU)?;
        let link = |target: &[u8], name: &str| {
            symlinkat(OsStr::from_bytes(target), &*self.dir, &Path::new(path).join(name))
        };
        link(new.about.encode().as_bytes(), ABOUT)?;
        for (n, piece) in new.layout.chunks(MAX_TARGET).enumerate() {
            link(piece, &format!("layout-{n}"))?;
        }
        let pin = self.in_proc(&format!("{path}/{}", new.about.class.name()));
        let pin = CString::new(pin.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)?;
        Ok(obj_pin(new.object, &pin)?)
    }

    /// Removes a directory of the state with all that is in it.
    fn take_apart(&self, path: &OsStr) -> Result<(), Errno> {
        for file in self.files(path)? {
            let below = Path::new(path).join(file);
            match unlinkat(&*self.dir, &below, UnlinkatFlags::NoRemoveDir) {
                Err(Errno::EISDIR) => self.take_apart(below.as_ref())?,
                removed => removed?,
            }
        }
        match unlinkat(&*self.dir, path, UnlinkatFlags::RemoveDir) {
            Err(Errno::ENOENT) => Ok(()),
            removed => removed,
        }
    }

    fn rename(&self, from: &OsStr, to: &OsStr, flag: RenameFlags) -> Result<(), Errno> {
        renameat2(&*self.dir, from, &*self.dir, to, flag)
    }

    fn exists(&self, path: &Path) -> Result<bool, Errno> {
        match fstatat(&*self.dir, path, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Err(Errno::ENOENT) => Ok(false),
            found => found.map(|_| true),
        }
    }

    fn in_the_way(&self, file: &str) -> Cause {
        format!("{}: in the way", self.show(file.as_ref())).into()
    }

    /// A name that nothing has.
    fn aside(&self, prefix: &str) -> String {
        let n = self.next.get();
        self.next.set(n.wrapping_add(1));
        format!("{prefix}{n}")
    }
}
