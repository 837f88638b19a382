//! `bpf-map send` as root, to sockets of root and of other users.

use crate::common::features::Feature;
use crate::common::fuse;
use crate::common::receiver::{receive, receiver};
use crate::common::traced::Traced;
use crate::common::waiting::Waiting;
use crate::common::*;
use crate::needs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const OTHER: u32 = 65534;

/// The error of root that sends to `socket`.
fn refused(socket: &str) -> String {
    format!(
        "bpf-map: {socket}: connect: the socket belongs to uid {OTHER}, which root does not trust \
         (--read-only or --force overrides this)"
    )
}

/// A socket of the other user, which is writable by all users.
fn others(path: &Path) -> UnixDatagram {
    let socket = receiver(path);
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o666)).unwrap();
    chown(path, Some(OTHER), None).unwrap();
    socket
}

fn pinned(lab: &Lab) -> String {
    lab.array("pinned", 1).to_str().unwrap().to_owned()
}

#[test]
fn root_sends_no_writable_map_to_another_users_socket() {
    let lab = Lab::new();
    let pin = pinned(&lab);
    let socket = others(&lab.path("uds"));
    symlink("uds", lab.path("link")).unwrap();
    for path in ["uds", "link"] {
        fails(&mut lab.map(["send", &pin, path]), 2, &refused(path));
        assert!(receive(&socket).is_none(), "{path}");
    }
    // The link belongs to the other user, the socket to root.
    let own = receiver(&lab.path("own"));
    symlink("own", lab.path("to-own")).unwrap();
    std::os::unix::fs::lchown(lab.path("to-own"), Some(OTHER), None).unwrap();
    assert_eq!(stdout_of(&mut lab.map(["send", &pin, "to-own"])), "");
    assert!(receive(&own).is_some());
}

#[test]
fn force_and_read_only_send_to_any_socket() {
    let lab = Lab::new();
    let pin = pinned(&lab);
    let (program, map) = (lab.reachable("bpf-exec"), lab.reachable("bpf-map"));
    let path = lab.path("uds");
    for (option, set) in [("--force", 0), ("--read-only", 2)] {
        let script =
            format!("{map} get $BPF_MAP0 0 2>&1; {map} set $BPF_MAP0 0 0 2>/dev/null; echo $?");
        let words = [&NOBODY[1..], &[&program, "--import", "uds", "--", "sh", "-c", &script]];
        let mut receiver = lab.program(NOBODY[0], words.concat());
        let waiting = Waiting::start(&mut receiver, &[&path]);
        fails(&mut lab.map(["send", &pin, "uds"]), 2, &refused("uds"));
        assert_eq!(stdout_of(&mut lab.map(["send", option, &pin, "uds"])), "");
        assert_eq!(waiting.stdout(), format!("0\n{set}\n"), "{option}");
    }
}

#[test]
fn owner_that_a_fuse_server_reports_is_not_believed() {
    needs!(Feature::Fuse);
    let lab = Lab::new();
    let pin = pinned(&lab);
    std::fs::create_dir(lab.path("fuse")).unwrap();
    fuse::serve(&lab.path("fuse"));
    assert_eq!(std::fs::metadata(lab.path("fuse/uds")).unwrap().uid(), 0);
    let connect = "bpf-map: fuse/uds: connect:";
    let line = format!(
        "{connect} the socket is on a FUSE file system, whose owners root does not trust \
         (--read-only or --force overrides this)"
    );
    fails(&mut lab.map(["send", &pin, "fuse/uds"]), 2, &line);
    // No socket was bound: the kernel refuses connections.
    let line = format!("{connect} no process receives there");
    fails(&mut lab.map(["send", "--force", &pin, "fuse/uds"]), 2, &line);
    nix::mount::umount2(&lab.path("fuse"), nix::mount::MntFlags::MNT_DETACH).unwrap();
}

#[test]
fn other_users_send_to_any_socket() {
    let lab = Lab::new();
    let map = lab.reachable("bpf-map");
    let socket = receiver(&lab.path("uds"));
    for owner in [0, 1001, OTHER] {
        std::fs::set_permissions(lab.path("uds"), PermissionsExt::from_mode(0o666)).unwrap();
        chown(lab.path("uds"), Some(owner), None).unwrap();
        let mut command = lab.exec(["--create", "m=array,value=4,entries=1", "--"]);
        assert_eq!(stdout_of(command.args(NOBODY).args([&map, "send", "m", "uds"])), "", "{owner}");
        assert!(receive(&socket).is_some(), "{owner}");
    }
}

/// Starts a sender that stops before it connects.
fn stopped_before_connect(command: &mut Command) -> (std::process::Child, Traced) {
    let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = Traced::prepare(command).spawn().unwrap();
    let traced = Traced::executed(child.id());
    while !traced.step().is(libc::SYS_connect) {}
    (child, traced)
}

#[test]
fn socket_that_is_exchanged_after_the_check_gets_nothing() {
    let lab = Lab::new();
    let pin = pinned(&lab);
    let (path, other): (PathBuf, PathBuf) = (lab.path("uds"), lab.path("other"));
    let checked = receiver(&path);
    let exchanged = others(&other);
    let (child, traced) = stopped_before_connect(&mut lab.map(["send", &pin, "uds"]));
    std::fs::rename(&other, &path).unwrap();
    traced.release();
    let run = Run::from(child.wait_with_output().unwrap());
    assert_eq!(run, Run { status: 0, stdout: String::new(), stderr: String::new() });
    assert!(receive(&exchanged).is_none());
    assert!(receive(&checked).is_some());
}
