//! Other holders of a map: its pins, and file descriptors of other processes, as far as visible.

use super::{is_bpffs, pins};
use bpf_inherit::ObjectKind;
use bpf_inherit::fd::FdType;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Whether a pin in this mount namespace, or a file descriptor of another process, refers to the
/// map with this id.
///
/// False does not prove that the map has no other holder. The search does not find pins in other
/// mount namespaces and in directories of mode [`PRIVATE_MODE`](super::walk::PRIVATE_MODE), file
/// descriptors of processes that the caller may not inspect, and fds in flight over a socket.
pub fn found(id: u32) -> bool {
    roots().iter().any(|root| pins::find_read_only(root, id).is_some())
        || held_by_processes().any(|held| held == id)
}

/// The mount points of BPF file systems (proc_pid_mountinfo(5)).
fn roots() -> BTreeSet<PathBuf> {
    let text = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
    // statfs(2) of a network file system can hang if its server is gone.
    let is_bpf = |line: &&[u8]| line.windows(7).any(|field| field == b" - bpf ");
    let lines = text.split(|&b| b == b'\n').filter(is_bpf);
    let places = lines.filter_map(|line| line.split(|&b| b == b' ').nth(4));
    let places = places.map(|place| PathBuf::from(OsString::from_vec(unescape(place))));
    // A mount point that is hidden by another mount is listed too.
    places.filter(|path| is_bpffs(path) == Ok(true)).collect()
}

/// Decodes octal escapes such as `\040`.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|_| byte == b'\\');
        let number = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match number.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(number) => {
                out.push(number);
                rest = &after[3..];
            }
            None => {
                out.push(byte);
                rest = after;
            }
        }
    }
    out
}

/// The ids of the maps that other processes have file descriptors of, one for each file descriptor.
pub fn held_by_processes() -> impl Iterator<Item = u32> {
    let own = std::process::id().to_string();
    let processes = Path::new("/proc").read_dir().into_iter().flatten().flatten();
    let others = processes.filter(move |entry| {
        let name = entry.file_name();
        name.as_bytes().iter().all(u8::is_ascii_digit) && name != *own
    });
    others.flat_map(|process| held_by(process.path()))
}

fn held_by(process: PathBuf) -> impl Iterator<Item = u32> {
    // An error: the process has ended, or the caller may not inspect it.
    let fds = process.join("fd").read_dir().into_iter().flatten().flatten();
    fds.filter_map(move |fd| {
        let link = fd.path().read_link().ok()?;
        if FdType::of_link(link.as_os_str().as_bytes()) != FdType::Object(ObjectKind::Map) {
            return None;
        }
        let info = std::fs::read_to_string(process.join("fdinfo").join(fd.file_name())).ok()?;
        info.lines().find_map(|line| line.strip_prefix("map_id:")?.trim().parse().ok())
    })
}

#[cfg(test)]
mod tests {
    use super::unescape;

    #[test]
    fn octal_escapes_of_mountinfo_are_undone() {
        assert_eq!(unescape(br"/mnt/a\040b\134c"), br"/mnt/a b\c");
        assert_eq!(unescape(br"/mnt/\9\04"), br"/mnt/\9\04");
    }
}
