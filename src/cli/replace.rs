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

/// Replaces `path` by a file with this content, with rename(2) from a temporary file in the same
/// directory: every reader gets the old content or the new one, also after a crash. The new file
/// has the owner, the group and the permission bits of the old one, without set-id bits.
///
/// An error if `path` is not a regular file, or if the owner cannot be kept.
pub fn replace(path: &Path, data: &[u8]) -> Result<(), Error> {
    let fail = |cause: Cause| Error::new(path.as_os_str().as_bytes(), "write", cause);
    let old = match fs::symlink_metadata(path) {
        Ok(old) if old.is_file() => Some(old),
        Ok(_) => return Err(fail("not a regular file".into())),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(fail(error.into())),
    };
    if path.file_name().is_none() {
        return Err(fail("not a file name".into()));
    }
    let mask = block_signals().map_err(|errno| fail(errno.into()))?;
    let result = create(path, old.is_some()).and_then(|(file, new)| {
        let written = fill(&file, old, data).and_then(|()| fs::rename(&new, path));
        written.inspect_err(|_| drop(fs::remove_file(&new)))
    });
    // A signal that has arrived ends the program here.
    let _ = mask.thread_set_mask();
    result.map_err(|error| fail(error.into()))
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

fn fill(mut file: &File, old: Option<Metadata>, data: &[u8]) -> std::io::Result<()> {
    if let Some(old) = old {
        let new = file.metadata()?;
        if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
            fchown(file, Some(old.uid()), Some(old.gid()))?;
        }
        file.set_permissions(Permissions::from_mode(old.mode() & 0o777))?;
    }
    file.write_all(data)?;
    file.sync_all()
}
