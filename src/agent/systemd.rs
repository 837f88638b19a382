//! systemd's side: sockets and descriptors that it hands over, descriptors that it stores, and
//! what it is told (sd_listen_fds(3), sd_notify(3), sd_pid_notify_with_fds(3)).

use super::about::{About, decode_name, encode_name};
use super::state::{Change, Saved};
use crate::error::{Cause, Error};
use crate::sys::object::Object;
use crate::sys::{Errno, fd, scm};
use crate::text::{count, quote};
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::pipe2;
use sd_notify::NotifyState;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// What the name of a stored descriptor begins with.
const MARK: &str = "bpf-agent ";
/// FDNAME holds at most so many bytes.
const MAX_FDNAME: usize = 255;
/// How long systemd may take to answer, in milliseconds.
const PATIENCE: u16 = 5000;
const SILENT: &str = "systemd does not answer";

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
        let (about, name) = text.rsplit_once(' ').ok_or("not understood")?;
        let name = decode_name(name.as_bytes()).ok_or("not understood")?;
        let about = About::decode(about.as_bytes()).ok_or("not understood")?;
        let object = Object::identify(fd).ok().and_then(Result::ok);
        let object = object.filter(|object| Saved::is(object, &about));
        let object = Some(object.ok_or("it is something else")?);
        Ok(Saved { name, about, layout: Vec::new(), object })
    };
    Ok(restore().map_err(|why: &str| {
        forget(name);
        format!("stored descriptor {}: {why}, dropped", quote(text))
    }))
}

/// Of what was stored under one name, the latest; the rest is dropped, with a line for each. An
/// agent that was killed left it, between storing what comes and forgetting what goes.
pub fn latest(mut stored: Vec<Saved>) -> (Vec<Saved>, Vec<String>) {
    stored.sort_by(|a, b| (&a.name, a.about.time).cmp(&(&b.name, b.about.time)));
    let mut kept: Vec<Saved> = Vec::new();
    let mut warnings = Vec::new();
    for saved in stored {
        if let Some(older) = kept.pop_if(|older| older.name == saved.name) {
            let (class, id) = (older.about.class.name(), older.about.id);
            let name = quote(&older.name);
            warnings.push(format!("{name}: stored twice: the older {class} {id} is dropped"));
            // By one name systemd would forget both.
            if older.about != saved.about {
                forget(&fd_name(&older.name, &older.about));
            }
        }
        kept.push(saved);
    }
    (kept, warnings)
}

/// The descriptors that systemd stores for this service.
#[derive(Debug)]
pub struct FdStore {
    /// How many it takes; it does not tell of what it does not take.
    room: usize,
}

impl FdStore {
    /// None without systemd, and where it stores nothing for this service.
    pub fn find() -> Option<FdStore> {
        std::env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty())?;
        // Since systemd 254. Before that it has to be believed that there is room.
        let room = std::env::var("FDSTORE").ok().and_then(|room| room.parse().ok());
        Some(FdStore { room: room.unwrap_or(usize::MAX) }).filter(|store| store.room > 0)
    }

    /// Has systemd store what comes, and then forget what goes. If it does not take all that
    /// comes, it is to forget that again.
    pub fn apply(&self, changes: &[Change], held: usize) -> Result<(), Cause> {
        let about = |change: &Change| change.new.map(|new| *new.about);
        // Under the very name that it has it is stored already.
        let differs = |change: &&Change| change.old.copied() != about(change);
        let names = |about: fn(&Change) -> Option<About>| {
            let changes = changes.iter().filter(differs);
            changes.filter_map(|c| Some(fd_name(c.name, &about(c)?))).collect::<Vec<_>>()
        };
        let comes = names(|change| change.new.map(|new| *new.about));
        let goes = names(|change| change.old.copied());
        if let Some(long) = comes.iter().map(String::len).find(|&length| length > MAX_FDNAME) {
            let why = format!("a name of {long} bytes for systemd, which takes {MAX_FDNAME}");
            return Err(why.into());
        }
        // What goes is there until what comes is stored.
        if held + comes.len() > self.room {
            let why = format!("systemd stores {}, as many as may be", count(self.room, "object"));
            return Err(why.into());
        }
        let objects = changes.iter().filter(differs).filter_map(|c| c.new.map(|new| new.object));
        let stored = comes.iter().zip(objects).try_for_each(|(name, fd)| store(name, fd));
        let stored = stored.and_then(|()| if comes.is_empty() { Ok(()) } else { barrier() });
        if stored.is_err() {
            comes.iter().for_each(|name| forget(name));
            return stored;
        }
        goes.iter().for_each(|name| forget(name));
        let gone = if goes.is_empty() { Ok(()) } else { barrier() };
        // What comes is stored by now, and is the later of the two where both are.
        if comes.is_empty() { gone } else { Ok(()) }
    }
}

fn fd_name(name: &[u8], about: &About) -> String {
    format!("{MARK}{} {}", about.encode(), encode_name(name))
}

fn store(name: &str, fd: BorrowedFd) -> Result<(), Cause> {
    // Without FDPOLL=0 it would drop the descriptor of a map, which polls as an error.
    send(&format!("FDSTORE=1\nFDNAME={name}\nFDPOLL=0\n"), &[fd])
}

/// Has systemd forget what it stores under a name. Nothing depends on it: what should not be
/// there is noticed at the next start.
fn forget(name: &str) {
    if !name.contains(char::is_control) {
        let _ = send(&format!("FDSTOREREMOVE=1\nFDNAME={name}\n"), &[]);
    }
}

/// Waits until all that was said before has been heard: then systemd closes the pipe.
fn barrier() -> Result<(), Cause> {
    let (ours, theirs) = pipe2(OFlag::O_CLOEXEC)?;
    send("BARRIER=1\n", &[theirs.as_fd()])?;
    drop(theirs);
    let mut waiting = [PollFd::new(ours.as_fd(), PollFlags::empty())];
    match poll(&mut waiting, PollTimeout::from(PATIENCE))? {
        0 => Err(SILENT.into()),
        _ => Ok(()),
    }
}

/// Tells systemd of a change; that nobody listens is no failure.
pub fn tell(state: &str) {
    let _ = send(state, &[]);
}

/// Tells systemd that the configuration is being read again.
pub fn tell_reloading() {
    let now = NotifyState::monotonic_usec_now().map(|now| now.to_string());
    tell(&format!("RELOADING=1\n{}\n", now.unwrap_or_default()));
}

/// Sends a message to who started this, if that wants any. Never waits for ever.
fn send(text: &str, fds: &[BorrowedFd]) -> Result<(), Cause> {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return Ok(()) };
    let address = match path.as_bytes() {
        [] => return Ok(()),
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(&path)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(Duration::from_millis(PATIENCE.into())))?;
    socket.connect_addr(&address)?;
    scm::send(socket.as_fd(), text.as_bytes(), fds).map_err(|errno| match errno {
        Errno::EAGAIN => SILENT.into(),
        errno => errno.into(),
    })
}
