//! Which users may send to `bpf-exec --import`: credentials are checked before anything else.

use crate::common::child::Start;
use crate::common::fds::*;
use crate::common::features::{Feature, ROOT_OF_A_USER_NAMESPACE};
use crate::common::fuse::serve;
use crate::common::receiver::activated;
use crate::common::sender::{Datagram, Sender};
use crate::common::waiting::Waiting;
use crate::common::*;
use crate::needs;
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::socket::{ControlMessage, MsgFlags, getsockopt, sendmsg, setsockopt, sockopt};
use sendfd::SendWithFd;
use std::io::{IoSlice, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::JoinHandle;

const OTHER: u32 = 1001;
const UNMAPPED: &str = " (a user that this user namespace does not map)";
/// Prints the id of the one map.
const REPORT: &str = "sed -n 's/^map_id:[[:space:]]*//p' /proc/self/fdinfo/$BPF_MAP7";

fn transfer() -> Vec<u8> {
    Datagram::of(vec![[ARRAY, 4, 8, 1, 0, 7, 0, 0, 0]]).bytes()
}

/// `bpf-exec --import uds`, which reports the map, with more options before.
fn import(lab: &Lab, options: &[&str]) -> Command {
    lab.exec([options, &["--timeout=60", "--import", "uds", "--", "sh", "-c", REPORT]].concat())
}

/// Starts an import at a socket that every user can write to, whatever its mode is meant to be.
fn start(lab: &Lab, command: &mut Command) -> Waiting {
    let waiting = Waiting::start(command, &[&lab.path("uds")]);
    std::fs::set_permissions(lab.path("uds"), PermissionsExt::from_mode(0o666)).unwrap();
    waiting
}

fn warning(uid: u32) -> String {
    format!("bpf-exec: warning: uds: refused a datagram of uid {uid}; see --from\n")
}

fn done(map: &OwnedFd, stderr: String) -> Run {
    Run { status: 0, stdout: format!("{}\n", id_of(map)), stderr }
}

#[test]
fn other_users_datagrams_are_dropped_before_they_are_parsed() {
    let lab = Lab::new();
    let (wanted, refused) = (new_map("wanted"), new_map("refused"));
    let id = id_of(&refused);
    let fds: &[BorrowedFd] = &[refused.as_fd()];
    let mut cut = transfer();
    cut.truncate(87);
    let mut version = transfer();
    version[0] = 9;
    // The first message of a transfer that no other message continues.
    let mut first_of_two = transfer();
    first_of_two[2] = 2;
    let hostile = [
        (vec![], fds),
        (cut, fds),
        (version, fds),
        (vec![0; 60_000], fds),
        (transfer(), &[]),
        (first_of_two, fds),
        (transfer(), fds),
    ];
    let waiting = start(&lab, &mut import(&lab, &[]));
    let sender = Sender::new(OTHER, &lab.path("uds"), &hostile);
    hostile.iter().for_each(|_| sender.send().unwrap());
    let expected = Sender::new(0, &lab.path("uds"), &[(transfer(), &[wanted.as_fd()])]);
    expected.send().unwrap();
    assert_eq!(waiting.run(), done(&wanted, warning(OTHER)));
    drop((sender, expected, refused));
    eventually("the end of the refused map", || !map_exists(id));
}

#[test]
fn import_of_a_user_accepts_that_user_and_root_alone() {
    let lab = Lab::new();
    let map = new_map("sent");
    let program = lab.reachable("bpf-exec");
    let words = ["--timeout=60", "--import", "uds", "--", "sh", "-c", REPORT];
    for own in [OTHER, 65534] {
        let ids = [format!("--reuid={own}"), format!("--regid={own}"), "--clear-groups".into()];
        let mut command = lab.program("setpriv", ids);
        command.arg(&program).args(words);
        for (sender, accepted) in [(own, true), (0, true), (1002, false)] {
            let waiting = start(&lab, &mut command);
            let first = Sender::new(sender, &lab.path("uds"), &[(transfer(), &[map.as_fd()])]);
            first.send().unwrap();
            let root = Sender::new(0, &lab.path("uds"), &[(transfer(), &[map.as_fd()])]);
            if !accepted {
                root.send().unwrap();
            }
            let stderr = if accepted { String::new() } else { warning(sender) };
            assert_eq!(waiting.run(), done(&map, stderr), "{sender} to {own}");
        }
    }
}

#[test]
fn only_users_in_from_may_send() {
    let lab = Lab::new();
    // A private file, in which alice exists; it is removed with the mount namespace.
    std::fs::write(lab.path("passwd"), "root:x:0:0::/:\nalice:x:1001:1001::/:\n").unwrap();
    let none = None::<&str>;
    mount(Some(&lab.path("passwd")), "/etc/passwd", none, MsFlags::MS_BIND, none).unwrap();
    let map = new_map("sent");
    let send = |uid| send_as(uid, &lab.path("uds"), transfer(), &[map.as_fd()]);
    type Case<'a> = (&'a [&'a str], &'a [u32], u32);
    let cases: [Case; 4] = [
        (&["--from", "alice"], &[0, 1002], 1001),
        (&["--from=1001", "--from=root"], &[1002, 65534], 0),
        (&["--from=root", "--from=alice", "--socket-mode=0622"], &[1002], 1001),
        (&["--from", "65534"], &[0, 1001], 65534),
    ];
    for (options, refused, accepted) in cases {
        let waiting = start(&lab, &mut import(&lab, options));
        refused.iter().for_each(|uid| send(*uid));
        send(accepted);
        let of_which = |uid| if uid == 65534 { UNMAPPED } else { "" };
        let warning = |uid: &u32| {
            warning(*uid)
                .replace("; see --from", &format!("{}; --from does not name it", of_which(*uid)))
        };
        let stderr = refused.iter().map(warning).collect();
        assert_eq!(waiting.run(), done(&map, stderr), "{options:?}");
    }
}

#[test]
fn sender_can_claim_its_effective_uid_and_no_other() {
    let lab = Lab::new();
    let map = new_map("sent");
    let waiting = start(&lab, &mut import(&lab, &["--from", "1002"]));
    let path = lab.path("uds");
    let sender = std::thread::spawn(move || {
        // SAFETY: no pointers. The system call itself changes this thread alone.
        assert_eq!(unsafe { libc::syscall(libc::SYS_setresuid, OTHER, 1002, OTHER) }, 0);
        let socket = UnixDatagram::unbound().unwrap();
        socket.connect(path).unwrap();
        let (bytes, fds) = (transfer(), [map.as_raw_fd()]);
        let claim = |uid| {
            let credentials = libc::ucred { pid: std::process::id() as i32, uid, gid: 0 }.into();
            let control =
                [ControlMessage::ScmCredentials(&credentials), ControlMessage::ScmRights(&fds)];
            let parts = [IoSlice::new(&bytes)];
            sendmsg::<()>(socket.as_raw_fd(), &parts, &control, MsgFlags::empty(), None)
        };
        assert_eq!(claim(0), Err(Errno::EPERM));
        assert_eq!(claim(OTHER), Ok(bytes.len()));
        assert_eq!(claim(1002), Ok(bytes.len()));
        map
    });
    let run = waiting.run();
    let map = sender.join().unwrap();
    assert_eq!(run, done(&map, warning(OTHER).replace("see --from", "--from does not name it")));
}

#[test]
fn overflow_uid_is_that_of_the_sysctl() {
    let lab = Lab::new();
    // The sysctl itself is that of the whole system.
    std::fs::write(lab.path("overflowuid"), format!("{OTHER}\n")).unwrap();
    let none = None::<&str>;
    let sysctl = "/proc/sys/kernel/overflowuid";
    mount(Some(&lab.path("overflowuid")), sysctl, none, MsFlags::MS_BIND, none).unwrap();
    let map = new_map("sent");
    let waiting = start(&lab, &mut import(&lab, &[]));
    for uid in [OTHER, 65534, 0] {
        send_as(uid, &lab.path("uds"), transfer(), &[map.as_fd()]);
    }
    let stderr = warning(OTHER).replace(";", &format!("{UNMAPPED};")) + &warning(65534);
    assert_eq!(waiting.run(), done(&map, stderr));
}

#[test]
fn user_without_a_number_in_the_namespace_needs_from_65534() {
    needs!(Feature::UserNamespace);
    let lab = Lab::new();
    let map = new_map("sent");
    let (program, path) = (lab.reachable("bpf-exec"), lab.path("uds"));
    let import = |from: &[&str]| {
        let words = ["--timeout=60", "--import", "uds", "--", "sh", "-c", REPORT];
        let wrapper = &ROOT_OF_A_USER_NAMESPACE;
        start(&lab, lab.program(wrapper[0], &wrapper[1..]).arg(&program).args(from).args(words))
    };
    let waiting = import(&[]);
    send_as(0, &path, transfer(), &[map.as_fd()]);
    send_as(1001, &path, transfer(), &[map.as_fd()]);
    let stderr = warning(65534).replace(";", &format!("{UNMAPPED};"));
    assert_eq!(waiting.run(), done(&map, stderr));
    let waiting = import(&["--from=65534"]);
    send_as(0, &path, transfer(), &[map.as_fd()]);
    assert_eq!(waiting.run(), done(&map, String::new()));
}

#[test]
fn conflicting_from_and_socket_mode_are_usage_errors() {
    let lab = Lab::new();
    let before = lab.files();
    let bad = "not the name or the number of a user";
    let no_import = "the following required arguments were not provided: \
                     --import <[NAME=]PATH|fd:N> (see bpf-exec --help)";
    for (words, message) in [
        (
            "--from nosuch --import uds",
            "--from nosuch: no user \"nosuch\" in /etc/passwd".to_owned(),
        ),
        ("--from= --import uds", format!("--from \"\": {bad}")),
        ("--from=-1 --import uds", format!("--from -1: {bad}")),
        ("--from=0,1 --import uds", "--from 0,1: no user \"0,1\" in /etc/passwd".into()),
        ("--from=4294967295 --import uds", "--from 4294967295: not a user id: out of range".into()),
        ("--from 0", no_import.into()),
        ("--socket-mode 0600", no_import.into()),
        ("--socket-mode 0600 --agent uds", no_import.into()),
        (
            "--socket-mode 620 --import uds",
            "--socket-mode 0620: lets other users send to --import uds: name them with --from"
                .into(),
        ),
        (
            "--socket-mode 0602 --import a=uds",
            "--socket-mode 0602: lets other users send to --import uds: name them with --from"
                .into(),
        ),
    ] {
        let mut command = lab.exec(["--timeout=10"]);
        command.args(words.split(' ')).args(["--", "true"]);
        fails(&mut command, 125, &format!("bpf-exec: {message}"));
    }
    assert_eq!(lab.files(), before);
}

#[test]
fn import_reports_each_refused_user_once_up_to_a_limit() {
    let lab = Lab::new();
    let map = new_map("sent");
    let waiting = start(&lab, &mut import(&lab, &[]));
    let mut stderr = String::new();
    for uid in 2001..2040 {
        let twice: [(Vec<u8>, &[BorrowedFd]); 2] = [(vec![1], &[]), (vec![2], &[])];
        let sender = Sender::new(uid, &lab.path("uds"), &twice);
        sender.send().unwrap();
        sender.send().unwrap();
        match uid {
            ..2017 => stderr += &warning(uid),
            2017 => {
                stderr += "bpf-exec: warning: uds: refused datagrams of more users, which are not reported\n"
            }
            _ => {}
        }
    }
    Sender::new(0, &lab.path("uds"), &[(transfer(), &[map.as_fd()])]).send().unwrap();
    assert_eq!(waiting.run(), done(&map, stderr));
}

/// Sends datagrams of another user from a thread of its own, until the socket is closed.
fn flood(path: PathBuf) -> JoinHandle<()> {
    std::thread::spawn(move || {
        // SAFETY: no pointers. The system call itself changes this thread alone.
        assert_eq!(unsafe { libc::syscall(libc::SYS_setresuid, OTHER, OTHER, OTHER) }, 0);
        let socket = UnixDatagram::unbound().unwrap();
        socket.connect(path).unwrap();
        while socket.send(b"x").is_ok() {}
    })
}

#[test]
fn endless_refused_datagrams_do_not_extend_the_timeout() {
    let lab = Lab::new();
    let socket = activated(&lab.path("in"));
    std::fs::set_permissions(lab.path("in"), PermissionsExt::from_mode(0o666)).unwrap();
    let sender = flood(lab.path("in"));
    let mut ready = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut ready, PollTimeout::NONE), Ok(1));
    let mut command = lab.exec(["--timeout=0.5", "--import", "fd:3", "--", "echo", "ran"]);
    Start { given: vec![socket.as_raw_fd()], ..Start::default() }.apply(&mut command);
    let late = "bpf-exec: fd:3: import: timed out after 0.5 seconds \
                (a tc built with libbpf does not send BTF maps, and reports no error)\n";
    let stderr = warning(OTHER).replace("uds", "fd:3") + late;
    let run = Waiting::start(&mut command, &[]).run();
    assert_eq!(run, Run { status: 125, stdout: String::new(), stderr });
    drop(socket);
    sender.join().unwrap();
}

/// `bpf-exec --import fd:3` with `socket` there.
fn inherited(lab: &Lab, options: &[&str], socket: &UnixDatagram) -> Command {
    inherited_by(&Start::default(), lab, options, socket)
}

/// Likewise, of a command that starts so.
fn inherited_by(start: &Start, lab: &Lab, options: &[&str], socket: &UnixDatagram) -> Command {
    let words = ["--timeout=60", "--import", "fd:3", "--", "sh", "-c", REPORT];
    let mut command = lab.exec([options, &words].concat());
    Start { given: vec![socket.as_raw_fd()], ..start.clone() }.apply(&mut command);
    command
}

fn send_as(uid: u32, path: &Path, bytes: Vec<u8>, fds: &[BorrowedFd]) {
    Sender::new(uid, path, &[(bytes, fds)]).send().unwrap();
}

#[test]
fn inherited_socket_refuses_other_users_too() {
    let lab = Lab::new();
    let map = new_map("sent");
    let socket = activated(&lab.path("in"));
    std::fs::set_permissions(lab.path("in"), PermissionsExt::from_mode(0o666)).unwrap();
    send_as(OTHER, &lab.path("in"), vec![1], &[]);
    send_as(0, &lab.path("in"), transfer(), &[map.as_fd()]);
    let stderr = warning(OTHER).replace("uds", "fd:3");
    assert_eq!(run(&mut inherited(&lab, &[], &socket)), done(&map, stderr));
}

/// A connection that takes minutes to close, since its peer, which is returned too, does not read.
fn lingering() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (theirs, _) = listener.accept().unwrap();
    ours.set_nonblocking(true).unwrap();
    while ours.write(&[0; 65536]).is_ok() {}
    let linger = libc::linger { l_onoff: 1, l_linger: 300 };
    setsockopt(&ours, sockopt::Linger, &linger).unwrap();
    (ours, theirs)
}

/// A socket in whose queue is the last descriptor of a connection that lingers.
fn lingering_within(slow: TcpStream) -> UnixDatagram {
    let (socket, other) = UnixDatagram::pair().unwrap();
    other.send_with_fd(&[1], &[slow.as_raw_fd()]).unwrap();
    socket
}

#[test]
fn refused_descriptor_that_is_slow_to_close_delays_nothing() {
    let lab = Lab::new();
    let map = new_map("sent");
    let hold: [fn(TcpStream) -> OwnedFd; 2] =
        [OwnedFd::from, |slow| OwnedFd::from(lingering_within(slow))];
    for hold in hold {
        let socket = activated(&lab.path("in"));
        std::fs::set_permissions(lab.path("in"), PermissionsExt::from_mode(0o666)).unwrap();
        let (slow, _other_end) = lingering();
        let slow = hold(slow);
        send_as(OTHER, &lab.path("in"), vec![1], &[slow.as_fd()]);
        // Then the one in the queue is the last.
        drop(slow);
        send_as(0, &lab.path("in"), transfer(), &[map.as_fd()]);
        let stderr = warning(OTHER).replace("uds", "fd:3");
        // Neither may prevent the end of the process that drops the datagram.
        let (ignored, blocked) = (vec![Signal::SIGCHLD], vec![Signal::SIGALRM]);
        let start = Start { ignored, blocked, ..Start::default() };
        let waiting = Waiting::start(&mut inherited_by(&start, &lab, &[], &socket), &[]);
        assert_eq!(waiting.run(), done(&map, stderr));
        std::fs::remove_file(lab.path("in")).unwrap();
    }
}

#[test]
fn error_is_not_delayed_by_a_descriptor_slow_to_close() {
    let lab = Lab::new();
    let not_a_map = "fd:3: import: descriptor 1 of 1 is a socket, not a map";
    let malformed = "fd:3: import: a datagram of 1 byte is shorter than its header (88 bytes)";
    for (bytes, error) in [(transfer(), not_a_map), (vec![1], malformed)] {
        let socket = activated(&lab.path("in"));
        let (slow, _other_end) = lingering();
        send_as(0, &lab.path("in"), bytes, &[slow.as_fd()]);
        drop(slow);
        Waiting::start(&mut inherited(&lab, &[], &socket), &[]).fails("lingering", error);
        std::fs::remove_file(lab.path("in")).unwrap();
    }
}

#[test]
fn refused_descriptor_of_a_fuse_file_is_not_flushed() {
    needs!(Feature::Fuse);
    let lab = Lab::new();
    let map = new_map("sent");
    let mounted = lab.path("fuse");
    std::fs::create_dir(&mounted).unwrap();
    let flushed = serve(&mounted);
    // Before the file is open, which the process would inherit until it executes bpf-exec.
    let mut waiting = start(&lab, &mut import(&lab, &[]));
    let file = std::fs::File::open(mounted.join("file")).unwrap();
    send_as(OTHER, &lab.path("uds"), vec![1], &[file.as_fd()]);
    send_as(0, &lab.path("uds"), transfer(), &[map.as_fd()]);
    let pid = waiting.child().id();
    assert_eq!(waiting.run(), done(&map, warning(OTHER)));
    drop(file);
    let flushed = flushed.lock().unwrap();
    assert!(!flushed.is_empty() && !flushed.contains(&pid), "{pid} of {flushed:?}");
}

#[test]
fn descriptors_of_senders_processes_are_closed() {
    needs!(Feature::PeerPidfd);
    const SO_PASSPIDFD: libc::c_int = 76;
    let lab = Lab::new();
    let map = new_map("sent");
    let socket = activated(&lab.path("in"));
    std::fs::set_permissions(lab.path("in"), PermissionsExt::from_mode(0o666)).unwrap();
    let (on, size) = (1i32, size_of::<i32>() as libc::socklen_t);
    let value = (&raw const on).cast();
    // SAFETY: value refers to size bytes.
    let set = unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, SO_PASSPIDFD, value, size)
    };
    assert_eq!(set, 0);
    let mut command = lab.exec(["--timeout=60", "--import", "fd:3", "--", "sh", "-c", REPORT]);
    let given = vec![socket.as_raw_fd()];
    Start { given, open_files: Some((72, 72)), ..Start::default() }.apply(&mut command);
    let waiting = Waiting::start(&mut command, &[]);
    let many: Vec<(Vec<u8>, &[BorrowedFd])> = vec![(vec![], &[]); 100];
    let sender = Sender::new(OTHER, &lab.path("in"), &many);
    many.iter().for_each(|_| sender.send().unwrap());
    send_as(0, &lab.path("in"), transfer(), &[map.as_fd()]);
    let stderr = warning(OTHER).replace("uds", "fd:3");
    assert_eq!(waiting.run(), done(&map, stderr));
}

#[test]
fn datagram_queued_without_credentials_is_refused() {
    let lab = Lab::new();
    let map = new_map("sent");
    for options in [&[][..], &["--from=65534", "--from=0"]] {
        // Not yet set to pass credentials.
        let socket = UnixDatagram::bind(lab.path("in")).unwrap();
        send_as(0, &lab.path("in"), transfer(), &[map.as_fd()]);
        let waiting = Waiting::start(&mut inherited(&lab, options, &socket), &[]);
        // The command set it, after which a sender is known.
        eventually("credentials", || getsockopt(&socket, sockopt::PassCred).unwrap());
        send_as(0, &lab.path("in"), transfer(), &[map.as_fd()]);
        let stderr = "bpf-exec: warning: fd:3: refused a datagram without credentials, which was queued \
                      before the socket was set to pass them\n";
        assert_eq!(waiting.run(), done(&map, stderr.into()));
        std::fs::remove_file(lab.path("in")).unwrap();
    }
}
