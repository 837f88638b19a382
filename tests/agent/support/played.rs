//! An agent that a test plays packet by packet, as wrong as it likes.

use crate::common::agent::{Client, Record, packet, string};
use crate::common::{HANG, Run, run};
use nix::errno::Errno;
use nix::sys::socket::sockopt::ReceiveTimeout;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, accept4, bind, listen, setsockopt, socket,
};
use nix::sys::time::{TimeVal, TimeValLike};
use std::fs::Permissions;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// Flag of a reply: another packet follows.
pub const MORE: u16 = 1;

/// A socket where clients come; gone with this.
pub struct Played {
    listener: OwnedFd,
}

impl Played {
    pub fn listen(path: &Path) -> Played {
        Played::listen_as(0, path)
    }

    /// Listens at a socket that every user may connect to, with `uid` as the agent's user: the kernel
    /// records the credentials of the process that called listen(2).
    pub fn listen_as(uid: u32, path: &Path) -> Played {
        let _ = std::fs::remove_file(path); // of the play before
        let (flags, kind) = (SockFlag::SOCK_CLOEXEC, SockType::SeqPacket);
        let listener = socket(AddressFamily::Unix, kind, flags, None).expect("a socket");
        bind(listener.as_raw_fd(), &UnixAddr::new(path).expect("a path")).expect("bound");
        std::fs::set_permissions(path, Permissions::from_mode(0o666)).expect("chmod");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (keep, uid) = (-1i32, uid as i32);
                // SAFETY: integers. The call itself changes its own thread alone, which ends here;
                // the C library's function would change all threads.
                let done = unsafe { libc::syscall(libc::SYS_setresuid, keep, uid, keep) };
                assert_eq!(done, 0, "setresuid");
                listen(&listener, Backlog::new(16).expect("a number")).expect("listening");
            });
        });
        give_up_after_a_minute(&listener);
        Played { listener }
    }

    /// The next client.
    #[track_caller]
    pub fn accept(&self) -> Client {
        let fd = loop {
            // A time limit makes a call that is interrupted fail (signal(7)).
            match accept4(self.listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC) {
                Err(Errno::EINTR) => {}
                accepted => break accepted.expect("a client"),
            }
        };
        // SAFETY: the kernel has just made it for us.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        give_up_after_a_minute(&fd);
        Client::from(fd)
    }

    /// The next client, which must send this packet.
    #[track_caller]
    pub fn asked(&self, request: &[u8]) -> Client {
        let client = self.accept();
        assert_eq!(client.receive().expect("a request").bytes, request);
        client
    }
}

/// A client that fails to come, or to ask, fails the test in place of hanging it.
fn give_up_after_a_minute(socket: &OwnedFd) {
    setsockopt(socket, ReceiveTimeout, &TimeVal::seconds(HANG.as_secs() as i64))
        .expect("a time limit");
}

/// Runs `command` while `script` plays the agent at `path`.
#[track_caller]
pub fn play(path: &Path, command: &mut Command, script: impl FnOnce(&Played) + Send) -> Run {
    play_as(0, path, command, script)
}

/// Likewise, an agent of another user.
#[track_caller]
pub fn play_as(
    uid: u32,
    path: &Path,
    command: &mut Command,
    script: impl FnOnce(&Played) + Send,
) -> Run {
    let played = Played::listen_as(uid, path);
    std::thread::scope(|scope| {
        // The socket is closed when the script ends, even by a panic, so the command does not wait.
        let script = scope.spawn(move || script(&played));
        let run = run(command);
        if let Err(panic) = script.join() {
            eprintln!("{command:?}: {run:?}");
            std::panic::resume_unwind(panic);
        }
        run
    })
}

/// The record of a map that `new_map` made.
pub fn record(name: &str, id: u32) -> Record {
    Record {
        class: 1,
        access: 3,
        bound: 3,
        state: 0,
        id,
        pin_id: 0,
        kind: 2,
        details: [4, 8, 1, 0],
        uid: 0,
        gid: 0,
        pid: 4242,
        time: 1_700_000_000,
        name: name.into(),
        layout: String::new(),
    }
}

/// One packet of records.
pub fn reply(flags: u16, number: u32, records: &[Record]) -> Vec<u8> {
    let mut body = (records.len() as u32).to_ne_bytes().to_vec();
    for record in records {
        body.extend([record.class, record.access, record.bound, record.state]);
        let [a, b, c, d] = record.details;
        let (id, pin_id, kind) = (record.id, record.pin_id, record.kind);
        for word in [id, pin_id, kind, a, b, c, d, record.uid, record.gid, record.pid] {
            body.extend(word.to_ne_bytes());
        }
        body.extend(record.time.to_ne_bytes());
        body.extend(string(&record.name));
        body.extend(string(&record.layout));
    }
    packet(0, flags, number, &body)
}

/// The packet of a request that came to nothing.
pub fn no(status: u8, number: u32, reason: &str) -> Vec<u8> {
    packet(status, 0, number, &string(reason))
}
