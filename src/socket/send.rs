//! Sending maps to a socket at which tc or bpf-exec waits: the counterpart of source/tc.rs.

use super::connect::{connect_new, is_trusted, open_file};
use crate::error::{Cause, Error};
use crate::wire::tc::{Datagram, DeclaredMap, TC_FDS, TransferHeader};
use bpf_inherit::Map;
use bpf_inherit::{Errno, scm};
use nix::sys::socket::{SockFlag, SockType};
use nix::sys::stat::{SFlag, fstat};
use nix::sys::statfs::{FUSE_SUPER_MAGIC, fstatfs};
use nix::unistd::geteuid;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const CONNECT: &str = "connect";
const SEND: &str = "send";

/// Sends maps to the socket at `path`, with ascending ids from `first`. The caller ensures that
/// `header` has the number of maps, and that the ids do not overflow. A socket whose owner is not
/// trusted is an error unless `any_owner`.
///
/// Waits for a slow receiver. tc's protocol has no replies, so whether the receiver accepts the
/// maps is not known.
pub fn send(
    path: &Path,
    header: TransferHeader,
    first: u32,
    maps: &[Map],
    any_owner: bool,
) -> Result<(), Error> {
    let socket = connect(path, any_owner)?;
    let ids = first..=u32::MAX;
    let entries: Vec<DeclaredMap> = maps.iter().zip(ids).map(|(map, id)| entry(map, id)).collect();
    let datagrams = entries.chunks(TC_FDS).zip(maps.chunks(TC_FDS));
    for (at, (entries, maps)) in datagrams.enumerate() {
        let datagram = Datagram { header: header.clone(), entries: entries.to_vec() };
        let fds: Vec<BorrowedFd> = maps.iter().map(AsFd::as_fd).collect();
        scm::send(socket.as_fd(), &datagram.encode(), &fds).map_err(|errno| {
            let cause = explain(errno, at * TC_FDS, header.total);
            Error::new(path.as_os_str().as_bytes(), SEND, cause)
        })?;
    }
    Ok(())
}

/// The properties of a map that receivers check.
fn entry(map: &Map, id: u32) -> DeclaredMap {
    let info = map.info();
    DeclaredMap {
        map_type: info.map_type.0,
        key_size: info.key_size,
        value_size: info.value_size,
        max_entries: info.max_entries,
        flags: info.flags,
        id,
    }
}

fn explain(errno: Errno, sent: usize, total: u16) -> Cause {
    match errno {
        Errno::ECONNREFUSED | Errno::ECONNRESET | Errno::EPIPE | Errno::ENOTCONN => {
            format!("the receiver closed the socket after {sent} of {total} maps").into()
        }
        Errno::ETOOMANYREFS => Cause::Hint(
            errno,
            "this user has more file descriptors in flight than its limit on open files",
        ),
        errno => errno.into(),
    }
}

/// A socket connected to the one at `path`.
fn connect(path: &Path, any_owner: bool) -> Result<OwnedFd, Error> {
    let fail = |cause: Cause| Error::new(path.as_os_str().as_bytes(), CONNECT, cause);
    let file = open_file(path).map_err(|errno| fail(errno.into()))?;
    let stat = fstat(&file).map_err(|errno| fail(errno.into()))?;
    if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT != SFlag::S_IFSOCK {
        return Err(fail("not a socket".into()));
    }
    if !any_owner {
        check_owner(&file, stat.st_uid).map_err(fail)?;
    }
    connect_new(&file, SockType::Datagram, SockFlag::empty()).map_err(|errno| {
        fail(match errno {
            Errno::ECONNREFUSED => "no process receives there".into(),
            Errno::EPROTOTYPE => other_type(&file).into(),
            errno => errno.into(),
        })
    })
}

/// An error if root does not trust the owner of the socket's file, who bound it. Datagram sockets
/// report nothing about their peers (SO_PEERCRED: uid -1, SO_PEERPIDFD: ENODATA; Linux 6.18).
fn check_owner(file: &OwnedFd, owner: u32) -> Result<(), Cause> {
    let cause = if !is_trusted(owner) {
        format!("the socket belongs to uid {owner}, which root does not trust")
    } else if geteuid().is_root() && fstatfs(file)?.filesystem_type() == FUSE_SUPER_MAGIC {
        // Any user can mount a FUSE file system, whose server chooses the owners of its files.
        "the socket is on a FUSE file system, whose owners root does not trust".into()
    } else {
        return Ok(());
    };
    Err(format!("{cause} (--read-only or --force overrides this)").into())
}

/// Describes a socket that is not a datagram socket.
fn other_type(file: &OwnedFd) -> &'static str {
    // The kernel compares the type before everything but permissions, so any other error
    // means that the type is right.
    match connect_new(file, SockType::SeqPacket, SockFlag::SOCK_NONBLOCK) {
        Err(Errno::EPROTOTYPE) => "a stream socket, not a datagram socket",
        _ => "a sequenced-packet socket, such as an agent's: use bpf-map put",
    }
}
