//! Everything in a BPF file system: directories, symbolic links and pins, whether or not a pin can be
//! opened.

use super::walk::MAX_DEPTH;
use bpf_inherit::bpf::obj_get;
use bpf_inherit::fd;
use bpf_inherit::object::{Info, Object};
use bpf_inherit::{AccessMode, Errno, errno};
use nix::dir::Dir;
use nix::fcntl::{AtFlags, OFlag, open, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// A file.
#[derive(Debug)]
pub struct File {
    pub path: PathBuf,
    /// The bits of chmod(2).
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub content: FileContent,
}

#[derive(Debug)]
pub enum FileContent {
    Directory,
    /// A directory whose files are unknown.
    Unread(Errno),
    /// A directory that is nested too deeply.
    TooDeep,
    /// A symbolic link, with its target.
    Symlink(Vec<u8>),
    Pin(Info),
    /// A pin that could not be opened.
    Unopened(Errno),
}

/// `root` and all files below it, sorted bytewise by path components. Symbolic links are not followed;
/// files that vanish are skipped. An error is that of the root; it is [`NO_PROC`](bpf_inherit::NO_PROC) if
/// no pin can be opened because /proc/self is missing.
pub fn all(root: &Path) -> Result<Vec<File>, Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let directory = open(root, flags, Mode::empty())?;
    fd::proc_path(directory.as_fd())?;
    let names = list(&directory)?;
    let mut files = vec![File::new(root, &fstat(&directory)?, FileContent::Directory)];
    below(&directory, root, &names, 0, &mut files);
    Ok(files)
}

fn below(directory: &OwnedFd, path: &Path, names: &[CString], depth: usize, files: &mut Vec<File>) {
    for name in names {
        let path = path.join(OsStr::from_bytes(name.as_bytes()));
        let stat = fstatat(directory, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW);
        let Ok(stat) = stat else { continue };
        match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
            SFlag::S_IFDIR if depth == MAX_DEPTH => {
                files.push(File::new(&path, &stat, FileContent::TooDeep));
            }
            SFlag::S_IFDIR => {
                let flags =
                    OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
                let opened = openat(directory, name.as_c_str(), flags, Mode::empty());
                match opened.and_then(|inner| list(&inner).map(|names| (inner, names))) {
                    Ok((inner, names)) => {
                        files.push(File::new(&path, &stat, FileContent::Directory));
                        below(&inner, &path, &names, depth + 1, files);
                    }
                    Err(Errno::ENOENT) => {}
                    Err(errno) => files.push(File::new(&path, &stat, FileContent::Unread(errno))),
                }
            }
            SFlag::S_IFLNK => {
                let Ok(target) = readlinkat(directory, name.as_c_str()) else { continue };
                files.push(File::new(&path, &stat, FileContent::Symlink(target.into_vec())));
            }
            _ => {
                let content =
                    open_pin(directory, name).map_or_else(FileContent::Unopened, FileContent::Pin);
                files.push(File::new(&path, &stat, content));
            }
        }
    }
}

/// Describes the pinned object.
fn open_pin(directory: &OwnedFd, name: &CStr) -> Result<Info, Errno> {
    let mut path = format!("/proc/self/fd/{}/", directory.as_raw_fd()).into_bytes();
    path.extend_from_slice(name.to_bytes());
    let path = CString::new(path).map_err(|_| Errno::EINVAL)?;
    let fd = match obj_get(&path, AccessMode::ReadOnly) {
        // A link has no access modes.
        Err(Errno::EINVAL) => obj_get(&path, AccessMode::ReadWrite)?,
        opened => opened?,
    };
    Object::identify(fd)?.map_err(|_| Errno::EINVAL)?.info()
}

fn list(directory: &OwnedFd) -> Result<Vec<CString>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::from_fd(directory.try_clone().map_err(errno)?)?.iter() {
        let name = entry?.file_name().to_owned();
        if !matches!(name.as_bytes(), b"." | b"..") {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

impl File {
    fn new(path: &Path, stat: &FileStat, content: FileContent) -> File {
        let FileStat { st_mode, st_uid: uid, st_gid: gid, .. } = *stat;
        File { path: path.to_owned(), mode: st_mode & 0o7777, uid, gid, content }
    }
}
