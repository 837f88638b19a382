//! The BPF file system: its root, walks over its pins, and opening, making and removing one pin.

pub mod findings;
pub mod holders;
pub mod pin;
pub mod pinning;
pub mod pins;
pub mod private;
pub mod survey;
pub mod walk;

use bpf_inherit::Errno;
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// The default mount point of the BPF file system.
pub const ROOT: &str = "/sys/fs/bpf";
const NOT_BPFFS: &str = "not on a bpf file system";

/// The BPF file system root: the value of the option `--bpffs`, else `$TC_BPF_MNT`, which tc uses
/// too, else [`ROOT`]. An empty variable counts as one that is not set.
pub fn choose_root(option: Option<&OsStr>) -> PathBuf {
    let variable = || std::env::var_os("TC_BPF_MNT").filter(|root| !root.is_empty());
    let root = option.map(OsString::from).or_else(variable);
    root.map_or_else(|| ROOT.into(), PathBuf::from)
}

/// Whether `path` is in a BPF file system.
fn is_bpffs(path: &Path) -> Result<bool, Errno> {
    statfs(path).map(|stat| stat.filesystem_type() == BPF_FS_MAGIC)
}
