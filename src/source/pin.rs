//! Pinned objects: one pin, or all pins of one object kind below a directory.

use crate::bpffs::pin::{access_mode, explain, fail, open_object};
use crate::bpffs::walk::{self, Pin, Step, TOO_DEEP};
use crate::error::Error;
use crate::foreign::Named;
use crate::text::escape;
use bpf_inherit::object::Object;
use bpf_inherit::{AccessMode, Errno, ObjectKind};
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Opens the object of this kind pinned at `path`, or every one below it if it is a directory.
///
/// The warnings name directories that are nested too deeply.
pub fn open(
    kind: ObjectKind,
    path: &Path,
    read_only: bool,
    root: &Path,
    warnings: &mut Vec<String>,
) -> Result<Vec<Named>, Error> {
    match path.is_dir() {
        true => open_below(kind, path, access_mode(kind, read_only), root, warnings),
        false => Ok(vec![name_after(path, open_object(kind, path, read_only, root)?)]),
    }
}

/// Opens everything of this kind that is pinned below the directory `start`, in the order of
/// [`walk::each`]. Objects of other kinds are skipped.
fn open_below(
    kind: ObjectKind,
    start: &Path,
    mode: AccessMode,
    root: &Path,
    warnings: &mut Vec<String>,
) -> Result<Vec<Named>, Error> {
    walk::check_bpffs(start, root)?;
    let mut found = Vec::new();
    let walked = walk::each(start, |step| match step {
        // Not an error: in a world-writable directory, every user can nest directories too deeply.
        Step::TooDeep(path) => {
            let path = escape(path.as_os_str().as_bytes());
            warnings.push(format!("{path}: {TOO_DEEP}"));
            ControlFlow::Continue(())
        }
        Step::Unread(path, errno) => ControlFlow::Break(walk::fail(path, errno)),
        Step::Pin(pin) => match open_one(kind, &pin, mode) {
            Ok(opened) => {
                found.extend(opened);
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(error),
        },
    });
    match walked.map_err(|errno| walk::fail(start, errno))? {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(found),
    }
}

/// Opens a pin of a walk; None if its object is of another kind, or if the pin was removed.
fn open_one(kind: ObjectKind, pin: &Pin, mode: AccessMode) -> Result<Option<Named>, Error> {
    match pin.open(mode) {
        Ok(fd) => {
            let object = Object::identify_as(kind, fd).map_err(|e| fail(&pin.path, e))?;
            Ok(object.ok().map(|object| name_after(&pin.path, object)))
        }
        Err(Errno::ENOENT) => Ok(None),
        // A link, which can only be opened read-write.
        Err(Errno::EINVAL) if mode != AccessMode::ReadWrite => Ok(None),
        Err(errno) => {
            let at = pin.reachable();
            Err(fail(&pin.path, explain(kind, &at, errno, mode, &at)))
        }
    }
}

fn name_after(path: &Path, object: Object) -> Named {
    let opened = Named::new(object);
    match path.file_name() {
        Some(name) => opened.with_name(name.as_bytes()),
        None => opened,
    }
}
