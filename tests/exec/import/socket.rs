//! The file of the socket: its mode, its path, and files that have its name.

use super::*;
use crate::common::waiting::Waiting;
use crate::common::*;
use nix::sys::signal::Signal;
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};

#[test]
fn socket_mode_does_not_depend_on_the_umask() {
    let lab = Lab::new();
    let (socket, before) = (lab.path("uds"), lab.files());
    for (umask, options, want) in [
        ("022", &[][..], 0o600),
        ("000", &[], 0o600),
        ("077", &[], 0o600),
        ("777", &[], 0o600),
        ("022", &["--socket-mode=644"], 0o644),
        ("077", &["--socket-mode", "0660", "--from=0"], 0o660),
        ("000", &["--socket-mode", "0660", "--from=root"], 0o660),
        ("022", &["--socket-mode=777", "--from=0"], 0o777),
    ] {
        let command = import(&lab, options, &socket, &["--", "sh", "-c", "umask"]);
        let mut command = after(&format!("umask {umask}"), &command);
        let waiting = Waiting::start(&mut command, &[&socket]);
        let file = socket.symlink_metadata().unwrap();
        assert!(file.file_type().is_socket());
        assert_eq!(file.permissions().mode() & 0o7777, want, "umask {umask} {options:?}");
        assert_eq!(lab.files().len(), before.len() + 1, "nothing but the socket");
        transfer(&socket, &maps(1), &[0]);
        assert_eq!(waiting.stdout(), format!("0{umask}\n"), "the command's own umask");
        assert_eq!(lab.files(), before);
    }
}

#[test]
fn stale_socket_is_replaced() {
    let lab = Lab::new();
    let (socket, before) = (lab.path("uds"), lab.files());
    let mut command = import(&lab, &[], &socket, &["--", "sh", "-c", REPORT]);
    let killed = |path: &Path| {
        let mut waiting = Waiting::start(&mut import(&lab, &[], path, &["--", "env"]), &[path]);
        waiting.signal(Signal::SIGKILL);
        assert_eq!(waiting.output().status.signal(), Some(Signal::SIGKILL as i32));
    };
    type Leave<'a> = &'a dyn Fn(&Path);
    let leftovers: [(&str, Leave); 3] = [
        ("datagram", &|path| drop(UnixDatagram::bind(path).unwrap())),
        ("stream", &|path| drop(UnixListener::bind(path).unwrap())),
        ("bpf-exec killed", &killed),
    ];
    for (what, leave) in leftovers {
        leave(&socket);
        // A process that another test is starting may hold it until it executes.
        eventually(&format!("{what}: the socket's end"), || {
            let connected = UnixDatagram::unbound().expect("a socket").connect(&socket);
            connected.is_err_and(|e| e.kind() == ErrorKind::ConnectionRefused)
        });
        let waiting = Waiting::start(&mut command, &[&socket]);
        // The new socket has its name before the old one is removed.
        eventually(what, || lab.files().len() == before.len() + 1);
        let sent = maps(1);
        transfer(&socket, &sent, &[2]);
        assert_eq!(waiting.stdout(), report(&sent, &[(2, 64, 0)]), "{what}");
        assert_eq!(lab.files(), before, "{what}");
    }
}

#[test]
fn other_file_of_this_name_is_an_error_and_kept() {
    let lab = Lab::new();
    let other = UnixDatagram::bind(lab.path("datagram")).unwrap();
    let stream = UnixListener::bind(lab.path("stream")).unwrap();
    let talking = UnixDatagram::bind(lab.path("talking")).unwrap();
    talking.connect(lab.path("datagram")).unwrap();
    drop(UnixDatagram::bind(lab.path("dead")).unwrap());
    std::fs::write(lab.path("file"), "content").unwrap();
    std::fs::create_dir(lab.path("directory")).unwrap();
    nix::unistd::mkfifo(&lab.path("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    symlink("datagram", lab.path("to-live")).unwrap();
    symlink("dead", lab.path("to-dead")).unwrap();
    symlink("nothing", lab.path("to-nothing")).unwrap();
    let look = || {
        let one = |path: PathBuf| {
            let file = path.symlink_metadata().unwrap();
            (path, file.dev(), file.ino(), file.mode(), file.len())
        };
        lab.files().into_iter().map(one).collect::<Vec<_>>()
    };
    let before = look();
    for (name, cause) in [
        ("datagram", "a live socket is bound there"),
        ("stream", "a live socket is bound there"),
        ("talking", "a live socket is bound there"),
        ("file", "exists, and is not a socket"),
        ("directory", "exists, and is not a socket"),
        ("fifo", "exists, and is not a socket"),
        ("to-live", "exists, and is not a socket"),
        ("to-dead", "exists, and is not a socket"),
        ("to-nothing", "exists, and is not a socket"),
    ] {
        let mut command = lab.exec([LIMIT, "--import", name, "--", "echo", "ran"]);
        fails(&mut command, 125, &format!("bpf-exec: {name}: bind socket: {cause}"));
        assert_eq!(look(), before, "{name}");
    }
    assert_eq!(std::fs::read(lab.path("file")).unwrap(), b"content");
    // They work as before.
    UnixDatagram::unbound().unwrap().send_to(b"x", lab.path("datagram")).unwrap();
    assert_eq!(other.recv(&mut [0; 8]).unwrap(), 1);
    drop(stream);
}

#[test]
fn second_import_does_not_disturb_the_first() {
    let lab = Lab::new();
    let (socket, before) = (lab.path("uds"), lab.files());
    let mut command = import(&lab, &[LIMIT], &socket, &["--", "sh", "-c", REPORT]);
    let waiting = Waiting::start(&mut command, &[&socket]);
    let message =
        format!("bpf-exec: {}: bind socket: a live socket is bound there", socket.display());
    fails(&mut command, 125, &message);
    let sent = maps(1);
    transfer(&socket, &sent, &[0]);
    assert_eq!(waiting.stdout(), report(&sent, &[(0, 64, 0)]));
    assert_eq!(lab.files(), before);
}

#[test]
fn path_may_be_relative_and_have_107_bytes() {
    let lab = Lab::new();
    let before = lab.files();
    let long = |length: usize| lab.path(&"x".repeat(length - lab.path("").as_os_str().len()));
    let reached = [PathBuf::from("relative"), PathBuf::from("./dot"), long(107)];
    assert_eq!(reached[2].as_os_str().len(), 107);
    for path in reached {
        let mut command = import(&lab, &[], &path, &["--", "sh", "-c", REPORT]);
        let socket = lab.dir.path().join(&path);
        let waiting = Waiting::start(&mut command, &[&socket]);
        let sent = maps(1);
        transfer(&socket, &sent, &[0]);
        assert_eq!(waiting.stdout(), report(&sent, &[(0, 64, 0)]), "{}", path.display());
        assert_eq!(lab.files(), before);
    }
    std::fs::write(lab.path("file"), "").unwrap();
    let before = lab.files();
    let long = long(108);
    for (path, cause) in [
        (long.to_str().unwrap(), "108 bytes: a socket path has at most 107"),
        ("none/uds", "no such file or directory"),
        ("file/uds", "not a directory"),
        ("uds/", "not a file name"),
        ("/", "not a file name"),
        ("..", "not a file name"),
        ("/proc/uds", "no such file or directory"),
    ] {
        let mut command = lab.exec([LIMIT, "--import", path, "--", "echo", "ran"]);
        fails(&mut command, 125, &format!("bpf-exec: {path}: bind socket: {cause}"));
        assert_eq!(lab.files(), before, "{path}");
    }
}
