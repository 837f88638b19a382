//! The pins of all maps, or of one object: walks over a BPF file system that skip what the caller may not open.

use super::ROOT;
use super::pin::access_mode;
use super::walk::{self, Pin, Step, TOO_DEEP};
use crate::error::Error;
use crate::text::escape;
use bpf_inherit::AccessMode;
use bpf_inherit::Errno;
use bpf_inherit::Map;
use bpf_inherit::NO_PROC;
use bpf_inherit::ObjectKind;
use bpf_inherit::bpf::MapInfo;
use bpf_inherit::describe;
use bpf_inherit::object::Object;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Maps by id, each with its pin paths.
pub type Pinned = BTreeMap<u32, (MapInfo, Vec<Vec<u8>>)>;

/// The maps pinned below `root` that may be opened for reading, by id, each with its pin paths,
/// sorted. Also a warning for each directory or pin that could not be read.
///
/// The default root has no pins if it is missing or not a BPF file system; with another root, which
/// the user has named, and with a missing /proc/self, that is an error. Pins without read permission
/// are not reported. Other failures, such as too many open files, are.
pub fn by_id(root: &Path) -> Result<(Pinned, Vec<String>), Error> {
    let mut found = Pinned::new();
    let missing = each(root, |pin| {
        let map = pin.open(AccessMode::ReadOnly).and_then(Map::new)?;
        let info = map.info();
        let entry = found.entry(info.id).or_insert_with(|| (info.clone(), Vec::new()));
        entry.1.push(pin.path.as_os_str().as_bytes().to_vec());
        Ok(())
    })?;
    Ok((found, missing))
}

/// The paths of the pins of one object below `root`, sorted, and the warnings and errors of
/// [`by_id`].
pub fn find_all(
    root: &Path,
    kind: ObjectKind,
    id: u32,
) -> Result<(Vec<Vec<u8>>, Vec<String>), Error> {
    let mut paths = Vec::new();
    let missing = each(root, |pin| {
        let fd = pin.open(access_mode(kind, true))?;
        if Object::identify_as(kind, fd)?.is_ok_and(|object| object.id() == id) {
            paths.push(pin.path.as_os_str().as_bytes().to_vec());
        }
        Ok(())
    })?;
    Ok((paths, missing))
}

/// Calls `visit` for every pin below `root`; returns a warning for each part of the walk that
/// failed, and for each error of `visit` that permissions do not explain.
fn each(
    root: &Path,
    mut visit: impl FnMut(&Pin) -> Result<(), Errno>,
) -> Result<Vec<String>, Error> {
    if root != Path::new(ROOT) {
        walk::check_bpffs(root, root)?;
    }
    let mut missing = Vec::new();
    let mut fail = |path: &Path, errno| {
        if !matches!(errno, Errno::EACCES | Errno::EPERM | Errno::ENOENT | Errno::ENOTDIR) {
            let path = escape(path.as_os_str().as_bytes());
            missing.push(format!("{path}: pins are missing: {}", describe(errno)));
        }
    };
    let mut too_deep = Vec::new();
    let walked: Result<ControlFlow<()>, Errno> = walk::each(root, |step| {
        match step {
            Step::TooDeep(path) => {
                let path = escape(path.as_os_str().as_bytes());
                too_deep.push(format!("{path}: {TOO_DEEP}"));
            }
            Step::Unread(path, errno) => fail(path, errno),
            Step::Pin(pin) => match visit(&pin) {
                // The pin is of another kind; a link cannot be opened read-only.
                Ok(()) | Err(Errno::EINVAL) => {}
                Err(errno) => fail(&pin.path, errno),
            },
        }
        ControlFlow::Continue(())
    });
    match walked {
        Ok(_) => {}
        Err(NO_PROC) => return Err(walk::fail(root, NO_PROC)),
        Err(errno) => fail(root, errno),
    }
    missing.extend(too_deep);
    Ok(missing)
}

/// Opens a pin of the map with this id below `root` read-only, if there is one. Pins that cannot be
/// opened are skipped.
pub fn find_read_only(root: &Path, id: u32) -> Option<Map> {
    let walked = walk::each(root, |step| {
        let Step::Pin(pin) = step else { return ControlFlow::Continue(()) };
        let opened = pin.open(AccessMode::ReadOnly).and_then(Map::new).ok();
        match opened.filter(|map| map.info().id == id) {
            Some(map) => ControlFlow::Break(map),
            None => ControlFlow::Continue(()),
        }
    });
    walked.ok()?.break_value()
}
