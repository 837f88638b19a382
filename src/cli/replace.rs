//! A file that is written as a whole or not at all.

use crate::error::{Cause, Error};
use crate::sys::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Signals that end a program, and would leave the new file beside the old one.
const ENDING: [Signal; 4] = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM];

/// Puts a file with this content in the place of `path`, by rename(2) from a file beside it: whoever
/// reads `path` sees the old content or the new one. It keeps the permission bits of a file that is
/// there; what is not a regular file is not replaced.
pub fn replace(path: &Path, data: &[u8]) -> Result<(), Error> {
    let fail = |cause: Cause| Error::new(path.as_os_str().as_bytes(), "write", cause);
    let permissions = match fs::symlink_metadata(path) {
        Ok(old) if old.is_file() => Some(old.permissions()),
        Ok(_) => return Err(fail("not a regular file".into())),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(fail(error.into())),
    };
    let Some(name) = path.file_name() else { return Err(fail("not a file name".into())) };
    let mut beside = OsString::from(".");
    beside.push(name);
    beside.push(format!(".{}", std::process::id()));
    let beside = path.with_file_name(beside);
    let mask = blocked().map_err(|errno| fail(errno.into()))?;
    let result = OpenOptions::new().write(true).create_new(true).open(&beside).and_then(|file| {
        let written = fill(&file, permissions, data).and_then(|()| fs::rename(&beside, path));
        written.inspect_err(|_| drop(fs::remove_file(&beside)))
    });
    // A signal that came meanwhile ends the program here.
    let _ = mask.thread_set_mask();
    result.map_err(|error| fail(error.into()))
}

/// Blocks the signals that end a program; returns those that were blocked before.
fn blocked() -> Result<SigSet, Errno> {
    ENDING.into_iter().collect::<SigSet>().thread_swap_mask(SigmaskHow::SIG_BLOCK)
}

fn fill(mut file: &File, permissions: Option<Permissions>, data: &[u8]) -> std::io::Result<()> {
    if let Some(permissions) = permissions {
        file.set_permissions(permissions)?;
    }
    file.write_all(data)
}
