//! Pins and directories that cannot be used.

use super::*;
use crate::common::fds::*;
use crate::common::*;
use std::os::unix::fs::symlink;

#[test]
fn path_without_a_pinned_map_is_an_error_with_its_type() {
    let lab = Lab::new();
    lab.array("map", 1);
    pin_program("prog");
    pin_link("link");
    std::fs::write(lab.path("file"), "").unwrap();
    std::fs::create_dir(lab.path("directory")).unwrap();
    // Opening it would block.
    nix::unistd::mkfifo(&lab.path("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    symlink("/sys/fs/bpf/prog", lab.path("to-prog")).unwrap();
    symlink("nothing", lab.path("to-nothing")).unwrap();
    for (path, cause) in [
        ("/sys/fs/bpf/none", "open pin: no such file or directory"),
        ("/sys/fs/bpf/none/map", "open pin: no such file or directory"),
        ("/sys/fs/bpf/map/below", "open pin: not a directory"),
        ("/sys/fs/bpf/prog", "open pin: a BPF program, not a map"),
        ("/sys/fs/bpf/link", "open pin: a BPF link, not a map"),
        ("file", "open pin: not on a bpf file system"),
        ("fifo", "open pin: not on a bpf file system"),
        ("/dev/null", "open pin: not on a bpf file system"),
        ("directory", "read directory: not on a bpf file system"),
        ("/", "read directory: not on a bpf file system"),
        ("to-prog", "open pin: a BPF program, not a map"),
        ("to-nothing", "open pin: no such file or directory"),
    ] {
        for options in [&[][..], &["-r"], &["--clean"], &["--dry-run"]] {
            let arguments = [options, &["--pin", "/sys/fs/bpf/map", "--pin", path]].concat();
            own_failure(&lab, &arguments, &format!("{path}: {cause}"));
        }
    }
}

#[test]
fn empty_directory_causes_a_warning() {
    let lab = Lab::new();
    std::fs::create_dir_all("/sys/fs/bpf/empty/below").unwrap();
    for (arguments, path) in [
        (&["--pin", "/sys/fs/bpf/empty"][..], "/sys/fs/bpf/empty"),
        (&["-r", "--pin", "/sys/fs/bpf/empty/"], "/sys/fs/bpf/empty/"),
        (&["--bpffs", "/sys/fs/bpf/empty"], "/sys/fs/bpf/empty"),
        (&[], "/sys/fs/bpf"),
    ] {
        let run = run(lab.exec(arguments).args(["--", "env"]));
        assert_eq!(contract(&run.stdout), ["BPF_NUM_MAPS=0"]);
        let warning = format!("bpf-exec: warning: {path}: no map is pinned there\n");
        assert_eq!((run.status, run.stderr), (0, warning), "{arguments:?}");
    }
    let message = "hits: assign name: /sys/fs/bpf/empty: 0 maps found, NAME= needs exactly one";
    own_failure(&lab, &["--pin", "hits=/sys/fs/bpf/empty"], message);
}

#[test]
fn root_outside_bpffs_is_an_error() {
    let lab = Lab::new();
    std::fs::write(lab.path("file"), "").unwrap();
    for (root, message) in [
        ("none", "none: open pin: no such file or directory"),
        (".", ".: read directory: no bpf file system is mounted there"),
        ("file", "file: open pin: not on a bpf file system"),
    ] {
        own_failure(&lab, &["--bpffs", root], message);
        let mut command = lab.exec(["--", "echo", "ran"]);
        refused(&lab, command.env("TC_BPF_MNT", root), 125, message);
    }
    let mut command = lab.exec(["--bpffs", ".", "--pin", "./map", "--", "echo", "ran"]);
    let message =
        "./map: open pin: no such file or directory (no bpf file system is mounted there)";
    refused(&lab, &mut command, 125, message);
}

#[test]
fn programs_links_and_symbolic_links_are_skipped() {
    let lab = Lab::new();
    std::fs::create_dir_all("/sys/fs/bpf/all/below").unwrap();
    std::fs::create_dir("/sys/fs/bpf/elsewhere").unwrap();
    lab.array("all/map", 1);
    lab.array("elsewhere/other", 1);
    pin_program("all/prog");
    pin_link("all/below/link");
    symlink("/sys/fs/bpf/elsewhere", "/sys/fs/bpf/all/to-directory").unwrap();
    symlink("/sys/fs/bpf/elsewhere/other", "/sys/fs/bpf/all/to-map").unwrap();
    symlink("none", "/sys/fs/bpf/all/to-nothing").unwrap();
    symlink("/sys/fs/bpf/all", lab.path("to-all")).unwrap();
    // A symbolic link that is named itself is followed.
    for path in ["/sys/fs/bpf/all", "to-all", "/sys/fs/bpf/all/map"] {
        for options in [&[][..], &["-r"]] {
            let environment = stdout_of(lab.exec(options).args(["--pin", path, "--", "env"]));
            let want = ["BPF_NUM_MAPS=1", "BPF_MAP0=64", "BPF_MAP0_NAME=map"];
            assert_eq!(contract(&environment), want, "{path} {options:?}");
        }
    }
}

#[test]
fn missing_permission_is_an_error_with_a_hint() {
    let lab = Lab::new();
    std::fs::create_dir_all("/sys/fs/bpf/all/closed").unwrap();
    let pins = [lab.array("all/map", 1), lab.array("all/rw", 1)];
    let id = map_id(&pins[0]).to_string();
    chmod("/sys/fs/bpf/all", 0o755);
    let root = std::process::id().to_string();
    let refuse = |arguments: &[&str], message: &str| {
        let arguments = [arguments, &["--", "echo", "ran"]].concat();
        let mut command = unprivileged(&lab, &arguments);
        refused(&lab, &mut command, 125, message);
    };
    let (map, below) = ("/sys/fs/bpf/all/map", "/sys/fs/bpf/all");
    refuse(&["--pin", map], "/sys/fs/bpf/all/map: open pin: permission denied");
    refuse(&["-r", "--pin", below], "/sys/fs/bpf/all/map: open pin: permission denied");
    chmod(&pins[0], 0o644);
    let hint = "/sys/fs/bpf/all/map: open pin: permission denied (only reading is allowed)";
    refuse(&["--pin", map], hint);
    refuse(&["--pin", below], hint);
    let read_only = ["-r", "--pin", map, "--", "echo", "ran"];
    assert_eq!(stdout_of(&mut unprivileged(&lab, &read_only)), "ran\n");
    chmod(&pins[1], 0o666);
    chmod("/sys/fs/bpf/all/closed", 0o700);
    let closed = "/sys/fs/bpf/all/closed: read directory: permission denied";
    refuse(&["-r", "--pin", below], closed);
    refuse(&["-r", "--pin", "/sys/fs/bpf/all/closed"], closed);
    refuse(
        &["--pin", "/sys/fs/bpf/all/closed/x"],
        "/sys/fs/bpf/all/closed/x: open pin: permission denied",
    );
    let needed = "operation not permitted (CAP_SYS_ADMIN is needed)";
    refuse(&["--id", &id], &format!("id {id}: open map by id: {needed}"));
    refuse(&["--name", "map"], &format!("map: find map by name: {needed}"));
    let needed = "permission denied (permission to trace the process is needed)";
    refuse(&["--pid", &root], &format!("process {root}: list descriptors: {needed}"));
    refuse(
        &["--create", "new=array,value=4,entries=1"],
        "new: create map: operation not permitted (CAP_BPF is needed, and CAP_NET_ADMIN for some types)",
    );
}

#[test]
fn kernel_files_below_the_root_are_skipped() {
    let lab = Lab::new();
    chmod(lab.array("map", 1), 0o644);
    // A kernel without CONFIG_BPF_PRELOAD has neither file, and some refuse every name with a dot.
    for path in ["/sys/fs/bpf/maps.debug", "/sys/fs/bpf/progs.debug"] {
        let cause = match std::fs::symlink_metadata(path).map_err(|e| e.raw_os_error()) {
            Ok(_) => "neither a map, a program nor a link",
            Err(Some(libc::EPERM)) => "operation not permitted",
            Err(_) => "no such file or directory",
        };
        own_failure(&lab, &["--pin", path], &format!("{path}: open pin: {cause}"));
    }
    let environment = stdout_of(&mut unprivileged(&lab, &["-r", "--", "env"]));
    assert_eq!(contract(&environment), ["BPF_NUM_MAPS=1", "BPF_MAP0=64", "BPF_MAP0_NAME=map"]);
}
