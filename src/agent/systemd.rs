//! systemd's side: sockets and descriptors that it hands over, descriptors that it stores, and
//! what it is told (sd_listen_fds(3), sd_notify(3), sd_pid_notify_with_fds(3)).

use super::about::{About, decode_name, encode_name};
use super::state::Saved;
use crate::error::{Cause, Error};
use crate::sys::fd;
use crate::sys::object::Object;
use crate::text::quote;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::pipe2;
use sd_notify::NotifyState;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What the name of a stored descriptor begins with.
const MARK: &str = "bpf-agent ";
/// FDNAME holds at most so many bytes.
const MAX_FDNAME: usize = 255;
/// How long systemd may take to answer, in milliseconds.
const PATIENCE: u16 = 5000;

/// Whether there is somebody to notify.
pub fn is_there() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some_and(|path| !path.is_empty())
}

/// The descriptors that this process was started with by the protocol, with their names.
pub fn inherited() -> Result<Vec<(OwnedFd, String)>, Error> {
    let fail = |e: std::io::Error| Error::new("LISTEN_FDS", "take over", e);
    let listed = sd_notify::listen_fds_with_names().map_err(fail)?;
    Ok(listed.map(|(number, name)| (fd::adopt_listed(number), name)).collect())
}

/// What the name of a descriptor says that it is; the descriptor where an agent gave no such name.
pub fn recognise(name: &str, fd: OwnedFd) -> Result<Result<Saved, String>, OwnedFd> {
    let Some(text) = name.strip_prefix(MARK) else { return Err(fd) };
    let restore = || {
        let (about, name) = text.rsplit_once(' ').ok_or("no name")?;
        let name = decode_name(name.as_bytes()).ok_or("no name")?;
        let about = About::decode(about.as_bytes()).ok_or("not understood")?;
        let object = Object::identify(fd).ok().and_then(Result::ok);
        let object = object.filter(|object| Saved::is(object, &about));
        Ok(Saved { name, about, layout: Vec::new(), object })
    };
    Ok(restore().map_err(|why: &str| format!("stored descriptor {}: {why}", quote(text))))
}

fn fd_name(name: &[u8], about: &About) -> Result<String, Cause> {
    let text = format!("{MARK}{} {}", about.encode(), encode_name(name));
    match text.len() {
        0..=MAX_FDNAME => Ok(text),
        length => {
            Err(format!("a name of {length} bytes for systemd, which takes {MAX_FDNAME}").into())
        }
    }
}

/// Has systemd store a descriptor, and waits until it has.
pub fn store(name: &[u8], about: &About, fd: BorrowedFd) -> Result<(), Cause> {
    let text = fd_name(name, about)?;
    // Without FDPOLL=0 it would drop the descriptor of a map, which polls as an error.
    let state = [NotifyState::FdStore, NotifyState::FdName(&text), NotifyState::Custom("FDPOLL=0")];
    sd_notify::notify_with_fds(&state, &[fd])?;
    barrier()
}

/// Has systemd forget a descriptor.
pub fn remove(name: &[u8], about: &About) -> Result<(), Cause> {
    let text = fd_name(name, about)?;
    let state = [NotifyState::FdStoreRemove, NotifyState::FdName(&text)];
    sd_notify::notify(&state)?;
    barrier()
}

/// Waits until all that was said before has been heard: then systemd closes the pipe.
fn barrier() -> Result<(), Cause> {
    let (ours, theirs) = pipe2(OFlag::O_CLOEXEC)?;
    sd_notify::notify_with_fds(&[NotifyState::Custom("BARRIER=1")], &[theirs.as_fd()])?;
    drop(theirs);
    let mut waiting = [PollFd::new(ours.as_fd(), PollFlags::empty())];
    match poll(&mut waiting, PollTimeout::from(PATIENCE))? {
        0 => Err("systemd does not answer".into()),
        _ => Ok(()),
    }
}

/// Tells systemd of a change; that nobody listens is no failure.
pub fn tell(state: NotifyState) {
    let _ = match state {
        NotifyState::Reloading => match NotifyState::monotonic_usec_now() {
            Ok(now) => sd_notify::notify(&[NotifyState::Reloading, now]),
            Err(e) => Err(e),
        },
        state => sd_notify::notify(&[state]),
    };
}
