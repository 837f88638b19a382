//! The state: a directory of a bpf file system that holds a pin of each object, and what a
//! pin cannot say beside it.
//!
//! `DIR/NAME/map` (or `prog`, `link`) is the pin, the target of the symbolic link
//! `DIR/NAME/about` is [`About`], and those of `layout-0` and its followers are the layout in
//! pieces. Such a directory is built as `%new-N` and renamed into place in one step, and
//! renamed to `%old-N` before it is taken apart: who reads the state after a crash finds
//! every name as it was before, or as it was to be.

use super::about::{About, decode_name, encode_name};
use crate::error::{Cause, Error};
use crate::sys::bpf::{Access, obj_get, obj_pin};
use crate::sys::fd::Kind;
use crate::sys::object::Object;
use crate::sys::{Errno, fd};
use crate::text::escape;
use crate::wire::agent::{Class, MAX_LAYOUT};
use nix::fcntl::{AT_FDCWD, Flock, FlockArg, OFlag, RenameFlags, open, readlinkat, renameat2};
use nix::sys::stat::{Mode, fstat, mkdirat, stat};
use nix::sys::statfs::{BPF_FS_MAGIC, fstatfs, statfs};
use nix::unistd::{UnlinkatFlags, geteuid, symlinkat, unlinkat};
use std::cell::Cell;
use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

const OPEN: &str = "open state";
const NOT_BPFFS: &str = "not on a bpf file system";
const ABOUT: &str = "about";
/// Bytes of a symbolic link's target at most, without its NUL (path_resolution(7)).
const MAX_TARGET: usize = 4095;
/// Bytes of a file's name at most.
const MAX_FILE: usize = 255;

/// The state of one agent, which nobody else can open while this lives.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    dir: Flock<OwnedFd>,
    /// The N of the next `%new-N`.
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
        class_of(object.kind()) == Some(about.class) && object.id() == about.id
    }
}

/// What the protocol calls a kind of descriptor.
pub fn class_of(kind: Kind) -> Option<Class> {
    match kind {
        Kind::Map => Some(Class::Map),
        Kind::Prog => Some(Class::Prog),
        Kind::Link => Some(Class::Link),
        Kind::Other(_) => None,
    }
}

/// The access of a descriptor as bpf(2) takes it; `mode` has at least one bit.
pub fn access_of(mode: crate::wire::agent::Mode) -> Access {
    use crate::wire::agent::Mode;
    match mode {
        Mode::READ => Access::ReadOnly,
        Mode::WRITE => Access::WriteOnly,
        _ => Access::ReadWrite,
    }
}

impl StateDir {
    /// Opens, and makes where it is missing, a directory that is this user's alone.
    pub fn open(path: &Path) -> Result<StateDir, Error> {
        let fail = |cause: Cause| Error::new(path.as_os_str().as_bytes(), OPEN, cause);
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let dir = match open(path, flags, Mode::empty()) {
            Err(Errno::ENOENT) => {
                make(path).map_err(fail)?;
                open(path, flags, Mode::empty())
            }
            opened => opened,
        };
        let dir = dir.map_err(|errno| match errno {
            Errno::ENOTDIR | Errno::ELOOP => fail("not a directory".into()),
            errno => fail(errno.into()),
        })?;
        let kind = fstatfs(&dir).map_err(|errno| fail(errno.into()))?.filesystem_type();
        if kind != BPF_FS_MAGIC {
            return Err(fail(NOT_BPFFS.into()));
        }
        let stat = fstat(&dir).map_err(|errno| fail(errno.into()))?;
        if stat.st_uid != geteuid().as_raw() {
            return Err(fail(format!("it belongs to uid {}", stat.st_uid).into()));
        }
        if stat.st_mode & 0o077 != 0 {
            return Err(fail(format!("open to others: mode {:04o}", stat.st_mode & 0o7777).into()));
        }
        let dir = Flock::lock(dir, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| {
            fail(match errno {
                Errno::EWOULDBLOCK => "another agent uses it".into(),
                errno => errno.into(),
            })
        })?;
        Ok(StateDir { path: path.into(), dir, next: Cell::new(0) })
    }

    /// Everything that is stored, by rising name, and a line for each thing that is strange.
    /// What a crash left unfinished is removed.
    pub fn load(&self) -> Result<(Vec<Saved>, Vec<String>), Error> {
        let fail = |e: std::io::Error| Error::new(self.path.as_os_str().as_bytes(), OPEN, e);
        let (mut saved, mut warnings) = (Vec::new(), Vec::new());
        for entry in self.in_proc("").read_dir().map_err(fail)? {
            let file = entry.map_err(fail)?.file_name();
            if file.as_bytes().starts_with(b"%new-") || file.as_bytes().starts_with(b"%old-") {
                if let Err(errno) = self.take_apart(&file) {
                    let cause = Cause::from(errno);
                    warnings
                        .push(format!("{}: remove what is left over: {cause}", self.show(&file)));
                }
                continue;
            }
            match self.read(&file) {
                Ok(one) => saved.push(one),
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
        let object = self.open_pin(&name, about.class, access_of(about.bound)).ok();
        let object = object.filter(|object| Saved::is(object, &about));
        Ok(Saved { name, about, layout, object })
    }

    fn target(&self, file: &OsStr, link: &str) -> Result<Vec<u8>, Errno> {
        readlinkat(&*self.dir, &Path::new(file).join(link)).map(OsStringExt::into_vec)
    }

    /// Opens the pin of a name: whatever is pinned there now.
    pub fn open_pin(&self, name: &[u8], class: Class, access: Access) -> Result<Object, Cause> {
        let path = format!("{}/{}", encode_name(name), class.name());
        let path =
            CString::new(self.in_proc(&path).as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)?;
        // A program's descriptor has no modes, and a link has no other than both.
        let access = if class == Class::Map { access } else { Access::ReadWrite };
        Object::identify(obj_get(&path, access)?)?.map_err(|kind| kind.describe().into())
    }

    /// Stores an object under `name`, or in the place of what has it.
    pub fn save(
        &self,
        name: &[u8],
        about: &About,
        layout: &[u8],
        object: BorrowedFd,
        replace: bool,
    ) -> Result<(), Cause> {
        let to = encode_name(name);
        if to.len() > MAX_FILE {
            let length = to.len();
            return Err(
                format!("a name of {length} bytes for a file, which takes {MAX_FILE}").into()
            );
        }
        self.check_reachable()?;
        let new = self.aside("new");
        let rename = |flag| renameat2(&*self.dir, &*new, &*self.dir, &*to, flag);
        let done = self.build(&new, about, layout, object).and_then(|()| {
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
                Errno::EEXIST => Cause::from(format!("{}: in the way", self.show(to.as_ref()))),
                errno => errno.into(),
            })
        });
        // What was replaced, or what was not finished. A crash here is for the next start.
        if done.is_err() || replace {
            let _ = self.take_apart(new.as_ref());
        }
        done
    }

    fn build(
        &self,
        new: &str,
        about: &About,
        layout: &[u8],
        object: BorrowedFd,
    ) -> Result<(), Cause> {
        mkdirat(&*self.dir, new, Mode::S_IRWXU)?;
        let link = |target: &[u8], name: &str| {
            symlinkat(OsStr::from_bytes(target), &*self.dir, &Path::new(new).join(name))
        };
        link(about.encode().as_bytes(), ABOUT)?;
        for (n, piece) in layout.chunks(MAX_TARGET).enumerate() {
            link(piece, &format!("layout-{n}"))?;
        }
        let pin = self.in_proc(&format!("{new}/{}", about.class.name()));
        let pin = CString::new(pin.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)?;
        Ok(obj_pin(object, &pin)?)
    }

    /// Removes what is stored under `name`. That it is gone already is no error.
    pub fn remove(&self, name: &[u8]) -> Result<(), Cause> {
        let old = self.aside("old");
        let from = encode_name(name);
        match renameat2(&*self.dir, &*from, &*self.dir, &*old, RenameFlags::RENAME_NOREPLACE) {
            Ok(()) => Ok(self.take_apart(old.as_ref())?),
            Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Removes the files of a directory of the state, and the directory.
    fn take_apart(&self, file: &OsStr) -> Result<(), Errno> {
        let entries = match self.in_proc("").join(file).read_dir() {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(crate::sys::errno)?,
        };
        for entry in entries {
            let path = Path::new(file).join(entry.map_err(crate::sys::errno)?.file_name());
            unlinkat(&*self.dir, &path, UnlinkatFlags::NoRemoveDir)?;
        }
        unlinkat(&*self.dir, file, UnlinkatFlags::RemoveDir)
    }

    /// Whether the directory is what its path leads to still: else what is stored in it goes
    /// with the agent.
    pub fn is_reachable(&self) -> bool {
        match (fstat(&*self.dir), stat(&self.path)) {
            (Ok(own), Ok(there)) => (there.st_dev, there.st_ino) == (own.st_dev, own.st_ino),
            _ => false,
        }
    }

    fn check_reachable(&self) -> Result<(), Cause> {
        let path = || escape(self.path.as_os_str().as_bytes());
        match self.is_reachable() {
            true => Ok(()),
            false => {
                Err(format!("{}: not the state any more: unmounted, or replaced", path()).into())
            }
        }
    }

    /// A name that nothing has: whatever an earlier agent left is removed at the start.
    fn aside(&self, what: &str) -> String {
        let n = self.next.get();
        self.next.set(n.wrapping_add(1));
        format!("%{what}-{n}")
    }

    /// By way of /proc: bpf(2) wants a path, and this one stays with the directory.
    fn in_proc(&self, below: &str) -> PathBuf {
        format!("/proc/self/fd/{}/{below}", self.dir.as_fd().as_raw_fd()).into()
    }

    fn show(&self, file: &OsStr) -> String {
        escape(self.path.join(file).as_os_str().as_bytes())
    }
}

/// Makes the directory, where it will be of use.
fn make(path: &Path) -> Result<(), Cause> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if statfs(parent.unwrap_or(Path::new(".")))?.filesystem_type() != BPF_FS_MAGIC {
        return Err(NOT_BPFFS.into());
    }
    Ok(mkdirat(AT_FDCWD, path, Mode::S_IRWXU)?)
}

/// The access mode of a map's descriptor, as the protocol has it; both for all else.
pub fn bound_of(object: &Object) -> Result<crate::wire::agent::Mode, Errno> {
    use crate::wire::agent::Mode;
    Ok(match object {
        Object::Map(map) => match fd::access(map.as_fd())? {
            Access::ReadOnly => Mode::READ,
            Access::WriteOnly => Mode::WRITE,
            Access::ReadWrite => Mode::BOTH,
        },
        Object::Prog(..) | Object::Link(..) => Mode::BOTH,
    })
}
