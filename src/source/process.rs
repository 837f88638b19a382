//! Maps that another process holds open, through pidfd_getfd(2).

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

/// Duplicates the maps that process `pid` holds, by rising descriptor number.
///
/// A map that it holds by several descriptors comes once, by the one that its own
/// variables name, else by the lowest. Names and layouts are taken from those
/// variables where its environment can be read. Holding no map is an error.
pub fn open(pid: i32) -> Result<Vec<Named>, Error> {
    let object = format!("process {pid}");
    let fail = |operation, cause: Cause| Error::new(&object, operation, cause);
    let pidfd = pidfd_open(pid).map_err(|errno| fail("open", explain_pid(errno)))?;
    // Everything under /proc is read after the pidfd was taken, and believed only
    // if the process is still there afterwards: else the number may be another's.
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

/// The directory of a process in /proc, which may count in another pid namespace.
fn proc_of(pidfd: BorrowedFd) -> Result<PathBuf, Cause> {
    let fdinfo = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd()))?;
    let pid = fdinfo.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse::<i32>().ok());
    match pid {
        Some(pid) if pid > 0 => Ok(format!("/proc/{pid}").into()),
        // 0 or -1: it ended, or has no number there.
        _ => Err("no such process".into()),
    }
}

/// The numbers of the descriptors that are maps, rising.
fn map_numbers(proc: &Path) -> std::io::Result<Vec<RawFd>> {
    let mut numbers = Vec::new();
    for entry in proc.join("fd").read_dir()? {
        let entry = entry?;
        let number: Option<RawFd> = entry.file_name().to_str().and_then(|n| n.parse().ok());
        let target = match entry.path().read_link() {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue, // closed meanwhile
            target => target?,
        };
        if FdType::of_link(target.as_os_str().as_bytes()) == FdType::Object(ObjectKind::Map) {
            numbers.extend(number);
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// What the process's own environment, as it was at its start, says of its maps, by
/// descriptor number; nothing where it cannot be read.
fn read_claims(proc: &Path) -> BTreeMap<RawFd, Claim> {
    // No exec passes more; but a process can move the borders of what /proc shows as its
    // environment, and it is not to decide how much memory is taken here.
    const MAX: u64 = 8 << 20;
    let mut environment = Vec::new();
    let file = std::fs::File::open(proc.join("environ"));
    let read = file.and_then(|file| file.take(MAX + 1).read_to_end(&mut environment));
    if read.is_err() || environment.len() as u64 > MAX {
        return BTreeMap::new();
    }
    // Its mistakes are not ours to warn of.
    let claims = environ::claims(environment.split(|&b| b == 0)).maps();
    // Of two that name one descriptor the lower index stays.
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
            // Closed, or made something else, since it was listed.
            Err(Errno::EBADF | Errno::EINVAL) => continue,
            map => map?,
        };
        let id = map.info().id;
        // A number that was closed and used again has another map's name and layout.
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
        // A thread that leads no process is EINVAL or, since Linux 6.9, ENOENT.
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
