//! Maps that another process has open, through pidfd_getfd(2).

use crate::error::{Cause, Error};
use crate::foreign::{ForeignLayout, ForeignName, Named};
use bpf_inherit::Map;
use bpf_inherit::ObjectKind;
use bpf_inherit::environ::{self, Claim};
use bpf_inherit::process::{is_alive, pidfd_getfd, pidfd_open};
use bpf_inherit::{Errno, fd::FdType};
use std::collections::BTreeMap;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Duplicates the maps that process `pid` has open, by ascending fd.
///
/// If the process has several fds of a map, the one that its environment declares is used, else the
/// lowest. Names and layouts are from that environment if it can be read. An error if the
/// process has no map open.
pub fn open(pid: i32) -> Result<Vec<Named>, Error> {
    let object = format!("process {pid}");
    let fail = |operation, cause: Cause| Error::new(&object, operation, cause);
    let pidfd = pidfd_open(pid).map_err(|errno| fail("open", explain_pid(errno)))?;
    // /proc is read after the pidfd was opened, and used only if the process still exists at the
    // end: otherwise another process may have received its id.
    let proc = proc_of(pidfd.as_fd()).map_err(|cause| fail("find in /proc", cause))?;
    let numbers = map_numbers(&proc).map_err(|e| fail("list descriptors", explain_io(&e)))?;
    let claims = read_claims(&proc);
    let maps = duplicate(pidfd.as_fd(), &object, &numbers, &claims)
        .map_err(|errno| fail("duplicate descriptor", explain_getfd(errno)))?;
    if !is_alive(pidfd.as_fd()) {
        return Err(fail("duplicate descriptor", Errno::ESRCH.into()));
    }
    if maps.is_empty() {
        return Err(fail("list descriptors", "no map is open".into()));
    }
    Ok(maps)
}

/// The directory of a process in /proc, which may number processes of another PID namespace.
fn proc_of(pidfd: BorrowedFd) -> Result<PathBuf, Cause> {
    let fdinfo = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd()))?;
    let pid = fdinfo.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse::<i32>().ok());
    match pid {
        Some(pid) if pid > 0 => Ok(format!("/proc/{pid}").into()),
        // 0 or -1: it has ended, or is not in the PID namespace of /proc.
        _ => Err("no such process".into()),
    }
}

/// The fds of the process that are maps, ascending.
fn map_numbers(proc: &Path) -> std::io::Result<Vec<RawFd>> {
    let mut numbers = Vec::new();
    for entry in proc.join("fd").read_dir()? {
        let entry = entry?;
        let number: Option<RawFd> = entry.file_name().to_str().and_then(|n| n.parse().ok());
        let target = match entry.path().read_link() {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue, // closed concurrently
            target => target?,
        };
        if FdType::of_link(target.as_os_str().as_bytes()) == FdType::Object(ObjectKind::Map) {
            numbers.extend(number);
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// What the initial environment of the process declares about its maps, by fd; empty if it cannot
/// be read.
fn read_claims(proc: &Path) -> BTreeMap<RawFd, Claim> {
    // execve(2) limits an environment to less. But a process can change what /proc shows as its
    // environment, and must not determine how much memory is used here.
    const MAX: u64 = 8 << 20;
    let mut environment = Vec::new();
    let file = std::fs::File::open(proc.join("environ"));
    let read = file.and_then(|file| file.take(MAX + 1).read_to_end(&mut environment));
    if read.is_err() || environment.len() as u64 > MAX {
        return BTreeMap::new();
    }
    // Its malformed variables are not reported.
    let claims = environ::claims(environment.split(|&b| b == 0)).maps();
    // If two claims have the same fd, the one with the lower index wins.
    claims.rev().map(|claim| (claim.fd, claim)).collect()
}

fn duplicate(
    pidfd: BorrowedFd,
    process: &str,
    numbers: &[RawFd],
    claims: &BTreeMap<RawFd, Claim>,
) -> Result<Vec<Named>, Errno> {
    let mut maps: Vec<(Named, bool)> = Vec::new();
    let mut by_id: BTreeMap<u32, usize> = BTreeMap::new();
    for &number in numbers {
        let map = match pidfd_getfd(pidfd, number).and_then(Map::new) {
            // Closed or replaced since it was listed.
            Err(Errno::EBADF | Errno::EINVAL) => continue,
            map => map?,
        };
        let id = map.info().id;
        // If the fd was closed and reused, name and layout are those of another map.
        let claim = claims.get(&number).filter(|claim| claim.id.is_none_or(|was| was == id));
        let mut opened = Named::new(map);
        if let Some(claim) = claim {
            opened.name = claim.name.clone().map(ForeignName::new).or(opened.name);
            let label = || format!("{process}: {}_LAYOUT", claim.variable());
            let layout = claim.layout.clone();
            opened.layout = layout.map(|layout| ForeignLayout::new(layout, label()));
        }
        match by_id.get(&id).map(|&at| &mut maps[at]) {
            None => {
                by_id.insert(id, maps.len());
                maps.push((opened, claim.is_some()));
            }
            Some(earlier) if claim.is_some() && !earlier.1 => *earlier = (opened, true),
            Some(_) => {}
        }
    }
    Ok(maps.into_iter().map(|(opened, _)| opened).collect())
}

fn explain_pid(errno: Errno) -> Cause {
    match errno {
        // EINVAL and, since Linux 6.9, ENOENT: the number is that of a thread.
        Errno::ESRCH | Errno::EINVAL | Errno::ENOENT => "no such process".into(),
        errno => errno.into(),
    }
}

fn explain_io(error: &std::io::Error) -> Cause {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOENT | Errno::ESRCH) => "no such process".into(),
        Some(errno) => explain_getfd(errno),
        None => error.to_string().into(),
    }
}

fn explain_getfd(errno: Errno) -> Cause {
    match errno {
        Errno::EPERM | Errno::EACCES => {
            Cause::Hint(errno, "permission to trace the process is needed")
        }
        errno => errno.into(),
    }
}
