//! Replacing a file atomically.

use crate::error::{Cause, Error};
use bpf_inherit::Errno;
use nix::sys::signal::{SigSet, SigmaskHow};
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// Names that are tried for the temporary file: a program that was killed may have left one.
const ATTEMPTS: u32 = 16;

/// Replaces `path` by a file with this content, see [`NewFile`].
pub fn replace(path: &Path, data: &[u8]) -> Result<(), Error> {
    NewFile::create(path)?.finish(data)
}

/// A temporary file that replaces another one with rename(2), from the same directory: every reader
/// gets the old content or the new one, also after a crash. The new file has the owner, the group and
/// the permission bits of the old one, without set-id bits.
///
/// Signals are blocked as long as this exists, because they would leave the file.
pub struct NewFile<'p> {
    path: &'p Path,
    file: File,
    new: PathBuf,
    is_renamed: bool,
    /// The signals that were blocked before.
    mask: SigSet,
}

impl<'p> NewFile<'p> {
    /// Creates the temporary file. An error if `path` is not a regular file, or if the owner cannot be
    /// kept.
    pub fn create(path: &'p Path) -> Result<NewFile<'p>, Error> {
        let old = match fs::symlink_metadata(path) {
            Ok(old) if old.is_file() => Some(old),
            Ok(_) => return Err(fail(path, "not a regular file")),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(fail(path, error)),
        };
        if path.file_name().is_none() {
            return Err(fail(path, "not a file name"));
        }
        let mask = block_signals().map_err(|errno| fail(path, errno))?;
        let (file, new) = create(path, old.is_some()).map_err(|error| {
            let _ = mask.thread_set_mask();
            fail(path, error)
        })?;
        let created = NewFile { path, file, new, is_renamed: false, mask };
        if let Some(old) = old {
            copy_owner(&created.file, &old).map_err(|error| fail(path, error))?;
        }
        Ok(created)
    }

    /// Writes the content and replaces the file.
    pub fn finish(mut self, data: &[u8]) -> Result<(), Error> {
        let written = self.file.write_all(data).and_then(|()| self.file.sync_all());
        let renamed = written.and_then(|()| fs::rename(&self.new, self.path));
        self.is_renamed = renamed.is_ok();
        renamed.map_err(|error| fail(self.path, error))
    }
}

impl Drop for NewFile<'_> {
    fn drop(&mut self) {
        if !self.is_renamed {
            let _ = fs::remove_file(&self.new);
        }
        // A signal that has arrived ends the program here.
        let _ = self.mask.thread_set_mask();
    }
}

fn fail(path: &Path, cause: impl Into<Cause>) -> Error {
    Error::new(path.as_os_str().as_bytes(), "write", cause)
}

/// Blocks all signals, which would end the program and leave the temporary file; returns the mask
/// that was in effect. A write beyond the limit of a file's size, which causes SIGXFSZ, fails too.
fn block_signals() -> Result<SigSet, Errno> {
    SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK)
}

/// Creates a file beside `path`, accessible to its owner only if `is_private`.
fn create(path: &Path, is_private: bool) -> std::io::Result<(File, PathBuf)> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(if is_private { 0o600 } else { 0o666 });
    let mut attempt = 0;
    loop {
        // Short, because the file's name may have the maximum length.
        let new = path.with_file_name(format!(".bpf-map.{}.{attempt}", std::process::id()));
        attempt += 1;
        match options.open(&new) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists && attempt < ATTEMPTS => {}
            result => return result.map(|file| (file, new)),
        }
    }
}

/// Gives the file the owner, the group and the permission bits of `old`.
fn copy_owner(file: &File, old: &Metadata) -> std::io::Result<()> {
    let new = file.metadata()?;
    if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
        fchown(file, Some(old.uid()), Some(old.gid()))?;
    }
    file.set_permissions(Permissions::from_mode(old.mode() & 0o777))
}
