//! Where maps are pinned: one walk over a bpf file system that passes over what it may not open.

use super::pin::{get, list};
use crate::sys::bpf::{Access, MapInfo};
use crate::sys::elem::MapFd;
use std::collections::BTreeMap;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

/// Maps by id, each with the paths of its pins.
pub type Pinned = BTreeMap<u32, (MapInfo, Vec<Vec<u8>>)>;

/// The maps pinned below `root` that may be opened for reading, by id: each with its pins, sorted.
///
/// Nothing is an error here: a root that is missing or no bpf file system has no pins.
pub fn by_id(root: &Path) -> Pinned {
    let mut found = Pinned::new();
    visit(root, &mut found);
    found
}

fn visit(directory: &Path, found: &mut Pinned) {
    for (name, is_dir) in list(directory).unwrap_or_default() {
        let path = directory.join(name);
        if is_dir {
            visit(&path, found);
            continue;
        }
        // A program opens as well, and a link with EINVAL: neither is a map.
        let Ok(map) = get(&path, Access::ReadOnly).and_then(MapFd::new) else { continue };
        let entry = found.entry(map.info().id).or_insert_with(|| (map.info().clone(), Vec::new()));
        entry.1.push(path.into_os_string().into_vec());
    }
}
