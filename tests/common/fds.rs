//! Maps that a test holds by itself, the access that their fds give, and pins of other objects.

use super::{BPFFS, bpftool, fixture};
use nix::errno::Errno;
use nix::fcntl::{F_GETFL, OFlag, fcntl};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// BTF of types that are hard to lay out.
const NASTY_BTF: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/crates/bpf-layout/tests/fixtures/nasty.btf");

/// `BPF_MAP_TYPE_ARRAY`.
pub const ARRAY: u32 = 2;

/// A new array of one u32 to u64, which exists until its last fd is closed.
pub fn new_map(name: &str) -> OwnedFd {
    const BPF_MAP_CREATE: libc::c_long = 0;
    /// `union bpf_attr` for MAP_CREATE, up to the name.
    #[repr(C)]
    struct Attr {
        kind: u32,
        key_size: u32,
        value_size: u32,
        max_entries: u32,
        flags: u32,
        inner_map_fd: u32,
        numa_node: u32,
        name: [u8; 16],
        unused: u32,
    }
    let mut attr = Attr {
        kind: ARRAY,
        key_size: 4,
        value_size: 8,
        max_entries: 1,
        flags: 0,
        inner_map_fd: 0,
        numa_node: 0,
        name: [0; 16],
        unused: 0,
    };
    attr.name[..name.len()].copy_from_slice(name.as_bytes());
    // SAFETY: attr has the given length, and no pointers.
    let fd =
        unsafe { libc::syscall(libc::SYS_bpf, BPF_MAP_CREATE, &raw const attr, size_of::<Attr>()) };
    assert!(fd >= 0, "a map (are you root?): {}", std::io::Error::last_os_error());
    // SAFETY: the kernel has just made it for us.
    unsafe { OwnedFd::from_raw_fd(fd as i32) }
}

/// A new struct_ops map for the kernel's structure `name`, in its initial state, or None if
/// this kernel has no such structure.
pub fn new_struct_ops(name: &str) -> Option<OwnedFd> {
    // `union bpf_attr` of MAP_CREATE, as 32-bit words, and of BTF_LOAD, as 64-bit ones.
    const MAP_CREATE: libc::c_long = 0;
    const BTF_LOAD: libc::c_long = 18;
    let dump = bpftool(&["-j", "btf", "dump", "file", "/sys/kernel/btf/vmlinux"]);
    let dump: serde_json::Value = serde_json::from_str(&dump).expect("JSON");
    let mut types = dump["types"].as_array().expect("types").iter();
    let found = types.find(|ty| ty["kind"] == "STRUCT" && ty["name"] == name)?;
    let number = |field: &str| found[field].as_u64().expect("a number") as u32;
    // The kernel needs BTF of the programs too; any BTF is accepted.
    let blob = std::fs::read(NASTY_BTF).expect("a fixture");
    let load = [blob.as_ptr() as u64, 0, blob.len() as u64];
    let system_call = |command: libc::c_long, attr: *const u8, size: usize| {
        // SAFETY: attr has the given length, and its pointers are valid during the call.
        let fd = unsafe { libc::syscall(libc::SYS_bpf, command, attr, size) };
        assert!(fd >= 0, "bpf command {command}: {}", std::io::Error::last_os_error());
        // SAFETY: the kernel has just made it for us.
        unsafe { OwnedFd::from_raw_fd(fd as i32) }
    };
    let btf = system_call(BTF_LOAD, load.as_ptr().cast(), 24);
    let mut create = [0u32; 16];
    create[..4].copy_from_slice(&[26, 4, number("size"), 1]);
    create[12] = btf.as_raw_fd() as u32;
    create[15] = number("id");
    Some(system_call(MAP_CREATE, create.as_ptr().cast(), 64))
}

/// The kernel's id of a map, from its fdinfo.
pub fn id_of(map: impl AsFd) -> u32 {
    let path = format!("/proc/self/fdinfo/{}", map.as_fd().as_raw_fd());
    let text = std::fs::read_to_string(path).expect("fdinfo");
    let id = text.lines().find_map(|line| line.strip_prefix("map_id:"));
    id.expect("a map").trim().parse().expect("a number")
}

/// The object that a descriptor refers to: its kind, the kernel's id, and the access mode of
/// the descriptor.
pub fn what_is(fd: impl AsFd) -> (String, u32, i32) {
    let number = fd.as_fd().as_raw_fd();
    let link = std::fs::read_link(format!("/proc/self/fd/{number}")).expect("a descriptor");
    let kind = link.to_string_lossy().replace("anon_inode:bpf", "").split_off(1);
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}")).expect("fdinfo");
    let id = text.lines().find_map(|line| line.strip_prefix(&format!("{kind}_id:")));
    // SAFETY: no pointers.
    let flags = unsafe { libc::fcntl(number, libc::F_GETFL) };
    (kind, id.expect("an object").trim().parse().expect("a number"), flags & libc::O_ACCMODE)
}

/// Loads a program that does nothing, and pins it at `name` below the root.
pub fn pin_program(name: &str) -> PathBuf {
    let pin = Path::new(BPFFS).join(name);
    let (object, path) = (fixture("noop.bpf.o"), pin.to_str().expect("UTF-8"));
    bpftool(&["prog", "load", &object, path, "type", "socket"]);
    pin
}

/// The kernel's id of a pinned program (`prog`) or link (`link`), as bpftool prints it.
pub fn id_of_pinned(kind: &str, pin: &Path) -> String {
    let json = bpftool(&["-j", kind, "show", "pinned", pin.to_str().expect("UTF-8")]);
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    json["id"].to_string()
}

/// Pins a link at `name` below the root: an iterator over all maps, which every kernel loads.
pub fn pin_link(name: &str) -> PathBuf {
    let pin = Path::new(BPFFS).join(name);
    bpftool(&["iter", "pin", &fixture("map_iter.bpf.o"), pin.to_str().expect("UTF-8")]);
    pin
}

/// The access mode of a descriptor.
pub fn mode_of(fd: impl AsFd) -> OFlag {
    OFlag::from_bits_retain(fcntl(fd, F_GETFL).expect("a descriptor")) & OFlag::O_ACCMODE
}

/// BPF_MAP_LOOKUP_ELEM and BPF_MAP_UPDATE_ELEM of element 0 of a map of u32 to u64.
pub fn lookup(map: impl AsFd) -> nix::Result<u64> {
    lookup_at(map, 0)
}

/// Likewise, of another element.
pub fn lookup_at(map: impl AsFd, key: u32) -> nix::Result<u64> {
    element(map, 1, key, 0)
}

pub fn update(map: impl AsFd, value: u64) -> nix::Result<()> {
    element(map, 2, 0, value).map(drop)
}

fn element(map: impl AsFd, command: libc::c_long, key: u32, mut value: u64) -> nix::Result<u64> {
    #[repr(C)]
    struct Attr {
        map_fd: u32,
        unused: u32,
        key: u64,
        value: u64,
        flags: u64,
    }
    let attr = Attr {
        map_fd: map.as_fd().as_raw_fd() as u32,
        unused: 0,
        key: &raw const key as u64,
        value: &raw mut value as u64,
        flags: 0,
    };
    // SAFETY: attr refers to a key and a value of the sizes that the map has.
    let done = unsafe { libc::syscall(libc::SYS_bpf, command, &raw const attr, size_of::<Attr>()) };
    Errno::result(done).map(|_| value)
}
