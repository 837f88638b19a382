//! The pins of all maps: walks over a BPF file system that skip what the caller may not open.

use super::walk::{self, Step, TOO_DEEP};
use crate::text::escape;
use bpf_inherit::AccessMode;
use bpf_inherit::Errno;
use bpf_inherit::Map;
use bpf_inherit::bpf::MapInfo;
use bpf_inherit::describe;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

/// Maps by id, each with its pin paths.
pub type Pinned = BTreeMap<u32, (MapInfo, Vec<Vec<u8>>)>;

/// The maps pinned below `root` that may be opened for reading, by id, each with its pin paths,
/// sorted. Also a warning for each directory or pin that could not be read.
///
/// A root that is missing or not a BPF file system has no pins, and pins without read permission
/// are not reported. Other errors, such as too many open files, are.
pub fn by_id(root: &Path) -> (Pinned, Vec<String>) {
    let (mut found, mut missing) = (Pinned::new(), Vec::new());
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
            Step::Pin(pin) => match pin.open(AccessMode::ReadOnly).and_then(Map::new) {
                Ok(map) => {
                    let info = map.info();
                    let entry = found.entry(info.id).or_insert_with(|| (info.clone(), Vec::new()));
                    entry.1.push(pin.path.into_os_string().into_vec());
                }
                // The pin is that of a link, or of a program, which can be opened read-only too.
                Err(Errno::EINVAL) => {}
                Err(errno) => fail(&pin.path, errno),
            },
        }
        ControlFlow::Continue(())
    });
    if let Err(errno) = walked {
        fail(root, errno);
    }
    missing.extend(too_deep);
    (found, missing)
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
