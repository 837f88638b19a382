//! Maps that a test holds by itself, and pins of what is no map.

use super::{BPFFS, bpftool, fixture};
use bpf_exec::sys::bpf::{MapSpec, map_create};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// `BPF_MAP_TYPE_ARRAY`.
pub const ARRAY: u32 = 2;

/// A new array of one u32 to u64, which lives as long as somebody holds it.
pub fn new_map(name: &str) -> OwnedFd {
    let spec = MapSpec {
        kind: ARRAY,
        key_size: 4,
        value_size: 8,
        max_entries: 1,
        name: name.as_bytes(),
        ..MapSpec::default()
    };
    map_create(&spec).expect("a map (are you root?)")
}

/// The kernel's id of a map, from its fdinfo.
pub fn id_of(map: impl AsFd) -> u32 {
    let path = format!("/proc/self/fdinfo/{}", map.as_fd().as_raw_fd());
    let text = std::fs::read_to_string(path).expect("fdinfo");
    let id = text.lines().find_map(|line| line.strip_prefix("map_id:"));
    id.expect("a map").trim().parse().expect("a number")
}

/// Loads a program that does nothing, and pins it at `name` below the root.
pub fn pin_program(name: &str) -> PathBuf {
    let pin = Path::new(BPFFS).join(name);
    let (object, path) = (fixture("noop.bpf.o"), pin.to_str().expect("UTF-8"));
    bpftool(&["prog", "load", &object, path, "type", "socket"]);
    pin
}

/// Pins an iterator over the map pinned at `map`, which is a link, at `name` below the root.
pub fn pin_link(name: &str, map: &Path) -> PathBuf {
    let pin = Path::new(BPFFS).join(name);
    let (object, path) = (fixture("iter.bpf.o"), pin.to_str().expect("UTF-8"));
    bpftool(&["iter", "pin", &object, path, "map", "pinned", map.to_str().expect("UTF-8")]);
    pin
}
