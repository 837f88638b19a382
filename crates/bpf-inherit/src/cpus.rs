//! The possible CPUs: an entry of a per-CPU map has one value for each.
//!
//! The kernel writes that many values to a buffer of the caller, so too small a number would be a
//! buffer overflow. The list is read only from the kernel's own files: in containers, lxcfs mounts
//! files over parts of /sys and /proc that show fewer CPUs.

use crate::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::Mode;
use nix::sys::statfs::{FsType, fstatfs};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;

/// Ranges such as `0-3,8`.
const SYSFS: Source = Source {
    root: "/sys",
    magic: FsType(libc::SYSFS_MAGIC),
    path: "devices/system/cpu/possible",
    parse: parse_ranges,
};
/// Likewise, of the CPUs that are online.
const ONLINE: Source = Source { path: "devices/system/cpu/online", ..SYSFS };
/// A table whose header has a column for each possible CPU (`fs/proc/softirqs.c`).
const SOFTIRQS: Source = Source {
    root: "/proc",
    magic: FsType(libc::PROC_SUPER_MAGIC),
    path: "softirqs",
    parse: parse_header,
};

/// The reason why entries of a per-CPU map cannot be read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CpusError {
    /// The files that list the possible CPUs are hidden.
    Unknown,
    /// An entry of the map has another number of values.
    Contradicted,
    /// The number of CPUs could not be compared with an entry of the map.
    Uncompared(Errno),
}

impl fmt::Display for CpusError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            CpusError::Unknown => f.write_str(
                "the number of possible CPUs is unknown: both /sys/devices/system/cpu/possible \
                 and /proc/softirqs are hidden by mounts",
            ),
            CpusError::Contradicted => {
                f.write_str("/proc/softirqs does not show the kernel's number of possible CPUs")
            }
            CpusError::Uncompared(errno) => {
                write!(f, "the number of possible CPUs cannot be compared with an element: {errno}")
            }
        }
    }
}

impl std::error::Error for CpusError {}

/// The numbers of the CPUs that the kernel may ever bring up, in ascending order.
pub fn possible_cpus() -> std::result::Result<&'static [u32], CpusError> {
    Ok(&possible().ok_or(CpusError::Unknown)?.cpus)
}

/// Whether CPU `number` is online; None if a mount hides the list.
pub fn is_online(number: u32) -> Option<bool> {
    Some(ONLINE.read()?.contains(&number))
}

/// The possible CPUs, and whether their number is certain.
pub(crate) struct Possible {
    pub cpus: Vec<u32>,
    /// Whether the number is certain, and need not be compared with an entry of a map.
    pub confirmed: AtomicBool,
}

/// Determines the possible CPUs once per process; None if both sources are hidden.
pub(crate) fn possible() -> Option<&'static Possible> {
    static POSSIBLE: OnceLock<Option<Possible>> = OnceLock::new();
    let read = |source: Source, confirmed| {
        Some(Possible { cpus: source.read()?, confirmed: AtomicBool::new(confirmed) })
    };
    POSSIBLE.get_or_init(|| read(SYSFS, true).or_else(|| read(SOFTIRQS, false))).as_ref()
}

struct Source {
    root: &'static str,
    magic: FsType,
    path: &'static str,
    parse: fn(&str) -> Option<Vec<u32>>,
}

impl Source {
    /// None unless the file is on the file system that is mounted at the root, with no other mount
    /// on its path.
    fn read(&self) -> Option<Vec<u32>> {
        let root = open(self.root, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).ok()?;
        if fstatfs(&root).ok()?.filesystem_type() != self.magic {
            return None;
        }
        let how = OpenHow::new()
            .flags(OFlag::O_RDONLY | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_NO_XDEV);
        let mut text = String::new();
        File::from(openat2(&root, self.path, how).ok()?).read_to_string(&mut text).ok()?;
        (self.parse)(&text)
    }
}

fn parse_ranges(text: &str) -> Option<Vec<u32>> {
    let mut cpus = Vec::new();
    for range in text.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        // No kernel supports more CPUs (NR_CPUS). A malformed list must not exhaust the memory.
        if last < first || last - first > 1 << 16 {
            return None;
        }
        cpus.extend(first..=last);
    }
    cpus.is_sorted_by(|a, b| a < b).then_some(cpus)
}

fn parse_header(text: &str) -> Option<Vec<u32>> {
    let columns = text.lines().next()?.split_whitespace();
    let cpus: Option<Vec<u32>> =
        columns.map(|word| word.strip_prefix("CPU")?.parse().ok()).collect();
    cpus.filter(|cpus| !cpus.is_empty() && cpus.is_sorted_by(|a, b| a < b))
}

#[cfg(test)]
mod tests {
    use super::{parse_header, parse_ranges};

    #[test]
    fn cpu_lists_are_parsed_or_refused() {
        for (text, want) in [
            ("0", Some(vec![0])),
            ("0-3\n", Some(vec![0, 1, 2, 3])),
            ("0-1,8", Some(vec![0, 1, 8])),
            ("", None),
            ("3-0", None),
            ("0,0", None),
            ("x", None),
            ("0-4294967295", None),
        ] {
            assert_eq!(parse_ranges(text), want, "{text:?}");
        }
        for (text, want) in [
            ("          CPU0       CPU1       CPU8\n    HI:  1 2 3\n", Some(vec![0, 1, 8])),
            ("CPU0\n", Some(vec![0])),
            ("", None),
            ("\nCPU0\n", None),
            ("CPU1 CPU0", None),
            ("CPU0 CPU", None),
            ("cpu  1 2 3", None),
        ] {
            assert_eq!(parse_header(text), want, "{text:?}");
        }
    }
}
