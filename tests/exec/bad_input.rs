//! What is wrong on the command line, in the environment or in the surroundings,
//! the socket of `--import` aside: status, message, and nothing left behind.

use crate::common::fds::*;
use crate::common::*;
use std::ffi::{OsStr, OsString};
use std::fs::Permissions;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Command, Stdio};

/// `command` must fail with this status and one line on stderr, and leave no file.
#[track_caller]
fn refused(lab: &Lab, command: &mut Command, status: i32, message: &str) {
    let before = lab.files();
    fails(command, status, &format!("bpf-exec: {message}"));
    assert_eq!(lab.files(), before, "{command:?}");
}

/// bpf-exec with `arguments`, and a command that must not run, must fail by itself.
#[track_caller]
fn own_failure<S: AsRef<OsStr>>(lab: &Lab, arguments: &[S], message: &str) {
    let mut command = lab.exec(arguments);
    refused(lab, command.args(["--", "echo", "ran"]), 125, message);
}

/// bpf-exec as a user without any rights. The binary is copied to where that user can reach it.
fn as_nobody(lab: &Lab, arguments: &[&str]) -> Command {
    let binary = lab.path("bpf-exec");
    if !binary.exists() {
        // By another process: one that another test forks could hold it open for writing.
        stdout_of(&mut lab.program("cp", [crate::common::binary("bpf-exec"), binary.clone()]));
    }
    let user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    wrapped(&user, &lab.program(binary.to_str().expect("UTF-8"), arguments))
}

fn chmod(path: impl AsRef<std::path::Path>, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn what_is_not_a_pinned_map_is_an_error_that_says_what_it_is() {
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
fn an_empty_directory_is_a_warning_and_no_maps() {
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
    let message = "hits: name a map: /sys/fs/bpf/empty gives 0 maps, not one";
    own_failure(&lab, &["--pin", "hits=/sys/fs/bpf/empty"], message);
}

#[test]
fn a_root_that_is_no_bpf_file_system_is_an_error() {
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
fn programs_links_and_symbolic_links_among_pins_are_passed_over() {
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
    // What is named outright is followed.
    for path in ["/sys/fs/bpf/all", "to-all", "/sys/fs/bpf/all/map"] {
        for options in [&[][..], &["-r"]] {
            let environment = stdout_of(lab.exec(options).args(["--pin", path, "--", "env"]));
            let want = ["BPF_NUM_MAPS=1", "BPF_MAP0=64", "BPF_MAP0_NAME=map"];
            assert_eq!(contract(&environment), want, "{path} {options:?}");
        }
    }
}

#[test]
fn what_a_user_may_not_open_is_an_error_that_says_what_would_help() {
    let lab = Lab::new();
    std::fs::create_dir_all("/sys/fs/bpf/all/closed").unwrap();
    let pins = [lab.array("all/map", 1), lab.array("all/rw", 1)];
    let id = map_id(&pins[0]).to_string();
    chmod("/sys/fs/bpf/all", 0o755);
    let root = std::process::id().to_string();
    let refuse = |arguments: &[&str], message: &str| {
        let arguments = [arguments, &["--", "echo", "ran"]].concat();
        let mut command = as_nobody(&lab, &arguments);
        refused(&lab, &mut command, 125, message);
    };
    let (map, below) = ("/sys/fs/bpf/all/map", "/sys/fs/bpf/all");
    refuse(&["--pin", map], "/sys/fs/bpf/all/map: open pin: permission denied");
    refuse(&["-r", "--pin", below], "/sys/fs/bpf/all/map: open pin: permission denied");
    chmod(&pins[0], 0o644);
    let hint = "/sys/fs/bpf/all/map: open pin: permission denied (reading alone is allowed)";
    refuse(&["--pin", map], hint);
    refuse(&["--pin", below], hint);
    let read_only = ["-r", "--pin", map, "--", "echo", "ran"];
    assert_eq!(stdout_of(&mut as_nobody(&lab, &read_only)), "ran\n");
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
    let needed = "permission denied (the right to trace it is needed)";
    refuse(&["--pid", &root], &format!("process {root}: list descriptors: {needed}"));
    refuse(
        &["--create", "new=array,value=4,entries=1"],
        "new: create map: operation not permitted (CAP_BPF is needed, and CAP_NET_ADMIN for some types)",
    );
}

#[test]
fn the_kernels_own_files_below_the_root_do_not_keep_a_user_from_its_pins() {
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
    let environment = stdout_of(&mut as_nobody(&lab, &["-r", "--", "env"]));
    assert_eq!(contract(&environment), ["BPF_NUM_MAPS=1", "BPF_MAP0=64", "BPF_MAP0_NAME=map"]);
}

#[test]
fn a_name_that_could_be_taken_for_something_else_is_refused() {
    let lab = Lab::new();
    let id = map_id(&lab.array("map", 1));
    let held = "the name holds '/', ':', '=' or a control byte";
    for (name, shown, reason) in [
        ("", "", "the name is empty"),
        ("7", "7", "the name is a number"),
        ("007", "007", "the name is a number"),
        ("a:b", "a:b", held),
        ("a\nb", "a\\nb", held),
        ("\x1b[2J", "\\x1b[2J", held),
        ("a\x7f", "a\\x7f", held),
    ] {
        for (option, value) in [
            ("pin", "/sys/fs/bpf/map".to_string()),
            ("id", id.to_string()),
            ("name", "map".into()),
            ("import", "uds".into()),
            ("pid", "1".into()),
            ("create", "array,value=4,entries=1".into()),
        ] {
            let argument = format!("--{option}={name}={value}");
            own_failure(&lab, &[argument], &format!("--{option} {shown}={value}: {reason}"));
        }
    }
    // NAME= is split off only where no slash stands before the first =, and nothing after that.
    for path in ["a/b=/sys/fs/bpf/map", "./a=/sys/fs/bpf/map"] {
        own_failure(
            &lab,
            &["--pin", path],
            &format!("{path}: open pin: no such file or directory"),
        );
    }
    let message = "b=/sys/fs/bpf/map: open pin: no such file or directory";
    own_failure(&lab, &["--pin", "a=b=/sys/fs/bpf/map"], message);
    own_failure(
        &lab,
        &["--create", "a/b=array,value=4,entries=1"],
        &format!("--create a/b=array,value=4,entries=1: {held}"),
    );
    lab.array("second", 1);
    own_failure(
        &lab,
        &["--pin=hits=/sys/fs/bpf"],
        "hits: name a map: /sys/fs/bpf gives 2 maps, not one",
    );
}

#[test]
fn a_process_that_holds_no_map_or_is_none_is_an_error() {
    let lab = Lab::new();
    for pid in ["0", "-1", "abc", "", "1x", "+1", " 1", "1 ", "0x1", "2147483648"] {
        own_failure(&lab, &["--pid", pid], &format!("--pid {pid}: not a process id"));
    }
    own_failure(&lab, &["--pid=2147483647"], "process 2147483647: open: no such process");
    let mut ended = Command::new("true").spawn().unwrap();
    let pid = ended.id();
    let open = format!("/proc/{pid}/stat");
    eventually("the end", || std::fs::read_to_string(&open).unwrap().contains(") Z "));
    let arguments = ["--pid".to_string(), pid.to_string()];
    own_failure(&lab, &arguments, &format!("process {pid}: list descriptors: it holds no map"));
    ended.wait().unwrap();
    own_failure(&lab, &arguments, &format!("process {pid}: open: no such process"));
    let mut idle = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    let pid = idle.id().to_string();
    own_failure(
        &lab,
        &["--pid", &pid],
        &format!("process {pid}: list descriptors: it holds no map"),
    );
    drop(idle.stdin.take());
    idle.wait().unwrap();
    // A thread of this process, which has maps.
    let (map, thread) = (new_map("held"), nix::unistd::gettid().to_string());
    own_failure(&lab, &["--pid", &thread], &format!("process {thread}: open: no such process"));
    drop(map);
}

#[test]
fn an_id_that_no_map_has_is_an_error() {
    let lab = Lab::new();
    for id in ["0", "4294967295"] {
        own_failure(&lab, &["--id", id], &format!("id {id}: open map by id: no such map"));
    }
    for id in ["4294967296", "abc", "-1", "", "1x", "+1", "0x1", "99999999999999999999"] {
        own_failure(&lab, &["--id", id], &format!("--id {id}: not a map id"));
    }
}

#[test]
fn a_kernel_name_that_is_too_long_or_unknown_or_not_the_only_one_is_an_error() {
    let lab = Lab::new();
    let find = "find map by name";
    let (long, most) = ("sixteen_bytes_xx", "fifteen_bytes_x");
    let too_long = format!("{long}: {find}: 16 bytes, where the kernel's names have at most 15");
    own_failure(&lab, &["--name", long], &too_long);
    own_failure(&lab, &["--name", most], &format!("{most}: {find}: no map has this name"));
    own_failure(&lab, &["--name", ""], &format!("\"\": {find}: an empty name"));
    // A part of a name is no name.
    let maps = [new_map("bad_input_twice"), new_map("bad_input_twice"), new_map("bad_input_onc")];
    let mut ids = [id_of(&maps[0]), id_of(&maps[1])];
    ids.sort();
    let [a, b] = ids;
    let twice = format!("bad_input_twice: {find}: 2 maps have this name: ids {a}, {b}");
    own_failure(&lab, &["--name", "bad_input_twice"], &twice);
    let unknown = format!("bad_input_once: {find}: no map has this name");
    own_failure(&lab, &["--name", "bad_input_once"], &unknown);
    assert_eq!(stdout_of(&mut lab.exec(["--name=bad_input_onc", "echo", "ran"])), "ran\n");
}

#[test]
fn a_hard_limit_on_open_files_that_is_too_low_is_an_error() {
    let lab = Lab::new();
    for n in 0..8 {
        lab.array(&format!("map{n}"), 1);
    }
    let base = |n| format!("--fd-base={n}");
    let up_to = |last, hard| {
        format!(
            "descriptors: place: numbers up to {last} are needed, \
             and the hard limit on open files is {hard}"
        )
    };
    let one = "--pin=/sys/fs/bpf/map0";
    for (hard, arguments, message) in [
        (64, vec![one.into()], up_to(64, 64)),
        (71, vec![], up_to(71, 71)),
        (70, vec!["--dry-run".into()], up_to(71, 70)),
        (100, vec![base(95)], up_to(102, 100)),
        (100, vec![one.into(), base(1 << 30)], up_to(1 << 30, 100)),
        (100, vec![one.into(), base(i32::MAX)], up_to(i32::MAX, 100)),
    ] {
        let limit = format!("--nofile={hard}:{hard}");
        let command =
            lab.exec(arguments.into_iter().chain(["--".into(), "echo".into(), "ran".into()]));
        refused(&lab, &mut wrapped(&["prlimit", &limit], &command), 125, &message);
    }
    // Too few to open them all; which one fails depends on what else is open.
    let command = lab.exec(["--", "echo", "ran"]);
    let run = run(&mut wrapped(&["prlimit", "--nofile=8:8"], &command));
    let message = run.stderr.strip_prefix("bpf-exec: /sys/fs/bpf/map").expect("a message");
    assert_eq!(message.get(1..), Some(": open pin: too many open files\n"));
    assert_eq!((run.status, run.stdout.as_str()), (125, ""));
    // A low soft limit is raised, and put back for the command.
    let command = lab.exec(["--", "sh", "-c", "ulimit -Sn; ulimit -Hn; echo $BPF_MAP7"]);
    let stdout = stdout_of(&mut wrapped(&["prlimit", "--nofile=20:72"], &command));
    assert_eq!(stdout, "20\n72\n71\n");
}

#[test]
fn standard_streams_that_are_closed_stay_so_for_the_command_and_get_no_message() {
    let lab = Lab::new();
    lab.array("map", 1);
    let (out, script) = (
        lab.path("out"),
        "exec 9>out; for f in 0 1 2; do
        if [ -e /proc/$$/fd/$f ]; then echo $f open >&9; else echo $f closed >&9; fi
    done",
    );
    for closed in [&[0][..], &[1], &[2], &[0, 1], &[0, 2], &[1, 2], &[0, 1, 2]] {
        let closing: Vec<String> = closed.iter().map(|fd| format!("exec {fd}>&-")).collect();
        let closing = closing.join("; ");
        let states: String = (0..3)
            .map(|fd| format!("{fd} {}\n", if closed.contains(&fd) { "closed" } else { "open" }))
            .collect();
        for options in
            [&["--pin", "/sys/fs/bpf/map"][..], &["--create", "new=array,value=4,entries=1"]]
        {
            let command = lab.exec(options.iter().chain(&["--", "sh", "-c", script]));
            assert_eq!(stdout_of(&mut after(&closing, &command)), "", "{closing}");
            assert_eq!(std::fs::read_to_string(&out).unwrap(), states, "{closing}");
        }
        // The failure is told where there is a stderr, and nowhere else.
        let before = lab.files();
        let command = lab.exec(["--pin", "/sys/fs/bpf/map", "--pin", "none", "--", "echo", "ran"]);
        let stderr = match closed.contains(&2) {
            true => "",
            false => "bpf-exec: none: open pin: no such file or directory\n",
        };
        let want = Run { status: 125, stdout: String::new(), stderr: stderr.into() };
        assert_eq!(run(&mut after(&closing, &command)), want, "{closing}");
        assert_eq!(lab.files(), before);
    }
}

#[test]
fn output_that_cannot_be_written_is_an_error_where_it_is_data_and_none_where_it_is_not() {
    let lab = Lab::new();
    lab.array("map", 1);
    for (redirection, cause) in
        [("exec 1>&-", "bad file descriptor"), ("exec 1>/dev/full", "no space left on device")]
    {
        for arguments in [&["--dry-run"][..], &["--dry-run", "--json"], &["--help"], &["--version"]]
        {
            let mut command = after(redirection, &lab.exec(arguments));
            refused(&lab, &mut command, 125, &format!("standard output: write: {cause}"));
        }
    }
    for redirection in ["exec 2>&-", "exec 2>/dev/full"] {
        let mut command = lab.exec(["-v", "--", "echo", "ran"]);
        command.env("BPF_NUM_MAPS", "abc");
        assert_eq!(stdout_of(&mut after(redirection, &command)), "ran\n", "{redirection}");
    }
}

/// What the command finds of the contract, and the warnings, given some variables and a stdin.
fn inherit(lab: &Lab, variables: &[(&str, &[u8])], stdin: Stdio) -> (Vec<String>, String) {
    let mut command = lab.exec(["--pin", "/sys/fs/bpf/map", "--", "env"]);
    for (name, value) in variables {
        command.env(name, OsStr::from_bytes(value));
    }
    let run = run(command.stdin(stdin));
    assert_eq!(run.status, 0, "{variables:?} {run:?}");
    (contract(&run.stdout).into_iter().map(String::from).collect(), run.stderr)
}

#[test]
fn inherited_variables_that_are_not_as_they_should_be_are_warnings() {
    let lab = Lab::new();
    let map = lab.array("map", 1);
    let program = pin_program("prog");
    let count: (&str, &[u8]) = ("BPF_NUM_MAPS", b"1");
    let zero: (&str, &[u8]) = ("BPF_MAP0", b"0");
    let new = ["BPF_NUM_MAPS=1", "BPF_MAP0=64", "BPF_MAP0_NAME=map"];
    let is_0 = "BPF_NUM_MAPS is 1 (found 0 maps)";
    let (pipe, _other_end) = std::io::pipe().unwrap();
    let file = std::fs::File::open("/etc/passwd").unwrap();
    let socket = std::os::unix::net::UnixDatagram::unbound().unwrap();
    // The variables, the stdin, and the warnings.
    type Case<'a> = (&'a [(&'a str, &'a [u8])], Stdio, &'a [&'a str]);
    let cases: [Case; 17] = [
        (&[("BPF_NUM_MAPS", b"abc")], Stdio::null(), &["BPF_NUM_MAPS: \"abc\" is not a number"]),
        (&[("BPF_NUM_MAPS", b"")], Stdio::null(), &["BPF_NUM_MAPS: \"\" is not a number"]),
        (&[("BPF_NUM_MAPS", b"-1")], Stdio::null(), &["BPF_NUM_MAPS: \"-1\" is not a number"]),
        (
            &[("BPF_NUM_MAPS", b"99999999999")],
            Stdio::null(),
            &["BPF_NUM_MAPS: \"99999999999\" is not a number"],
        ),
        (&[("BPF_NUM_MAPS", b"0")], Stdio::null(), &[]),
        (&[count], Stdio::null(), &[is_0]),
        (
            &[("BPF_MAP9", b"900")],
            Stdio::null(),
            &[
                "BPF_NUM_MAPS is not set (found 1 map)",
                "BPF_MAP9: descriptor 900 is closed, dropped",
            ],
        ),
        (&[count, zero], file.into(), &["BPF_MAP0: descriptor 0 is a file, not a map, dropped"]),
        (&[count, zero], pipe.into(), &["BPF_MAP0: descriptor 0 is a pipe, not a map, dropped"]),
        (
            &[count, zero],
            OwnedFd::from(socket).into(),
            &["BPF_MAP0: descriptor 0 is a socket, not a map, dropped"],
        ),
        (
            &[count, zero],
            open_pin(&program).into(),
            &["BPF_MAP0: descriptor 0 is a BPF program, not a map, dropped"],
        ),
        (
            &[count, ("BPF_MAP0", b"2147483647")],
            Stdio::null(),
            &["BPF_MAP0: descriptor 2147483647 is closed, dropped"],
        ),
        (
            &[count, ("BPF_MAP0", b"")],
            Stdio::null(),
            &["BPF_MAP0: \"\" is not a descriptor number, dropped", is_0],
        ),
        (
            &[count, ("BPF_MAP0", b"\x1b[2J\n\xff")],
            Stdio::null(),
            &["BPF_MAP0: \"\\x1b[2J\\n\\xff\" is not a descriptor number, dropped", is_0],
        ),
        (
            &[count, ("BPF_MAP00", b"0")],
            Stdio::null(),
            &["BPF_MAP00: not a number for a map, dropped", is_0],
        ),
        (
            &[count, ("BPF_MAP4294967296", b"0")],
            Stdio::null(),
            &["BPF_MAP4294967296: not a number for a map, dropped", is_0],
        ),
        // Names and layouts of no map are dropped without a word.
        (
            &[
                ("BPF_MAP7_NAME", b"stale"),
                ("BPF_MAP0_NAME", b"stale"),
                ("BPF_MAP7_LAYOUT", b"u8 -> u8"),
            ],
            Stdio::null(),
            &[],
        ),
    ];
    for (variables, stdin, warnings) in cases {
        let stderr: String = warnings.iter().map(|w| format!("bpf-exec: warning: {w}\n")).collect();
        let (found, warned) = inherit(&lab, variables, stdin);
        assert_eq!((found, warned), (new.map(String::from).to_vec(), stderr), "{variables:?}");
    }
    // One that really is a map is kept, whatever is wrong with the count.
    for (variables, warning, kept) in [
        (&[("BPF_MAP9", &b"0"[..])][..], "BPF_NUM_MAPS is not set (found 1 map)", "BPF_MAP9=0"),
        (&[zero, ("BPF_NUM_MAPS", b"abc")], "BPF_NUM_MAPS: \"abc\" is not a number", "BPF_MAP0=0"),
        (&[zero, ("BPF_NUM_MAPS", b"7")], "BPF_NUM_MAPS is 7 (found 1 map)", "BPF_MAP0=0"),
    ] {
        let (found, warned) = inherit(&lab, variables, open_pin(&map).into());
        assert_eq!(warned, format!("bpf-exec: warning: {warning}\n"));
        assert!(found.contains(&kept.to_string()), "{found:?}");
        assert_eq!(found.len(), 4, "{found:?}");
        assert!(found.contains(&"BPF_NUM_MAPS=2".to_string()), "{found:?}");
    }
}

#[test]
fn a_closed_descriptor_below_sudo_has_a_hint() {
    let lab = Lab::new();
    lab.array("map", 1);
    // What counts is what the parent is called; the shell does not exec the last command here.
    let script = format!("#!/bin/sh\n'{}' echo ran; exit $?\n", binary("bpf-exec").display());
    for (parent, hint) in
        [("sudo", " (sudo closes descriptors: put it outside, sudo bpf-exec …)"), ("other", "")]
    {
        std::fs::write(lab.path(parent), &script).unwrap();
        std::fs::set_permissions(lab.path(parent), Permissions::from_mode(0o755)).unwrap();
        let mut command = lab.program(lab.path(parent).to_str().unwrap(), [""; 0]);
        command.envs([("BPF_NUM_MAPS", "1"), ("BPF_MAP0", "900")]);
        let stderr = format!(
            "bpf-exec: warning: BPF_MAP0: descriptor 900 is closed, dropped{hint}\n\
             bpf-exec: warning: nothing is handed over: the objects that the environment declares are not open \
             (use --pin /sys/fs/bpf for every pinned map)\n"
        );
        assert_eq!(run(&mut command), Run { status: 0, stdout: "ran\n".into(), stderr });
    }
}

#[test]
fn a_map_that_was_declared_and_is_gone_is_not_replaced_by_all_there_are() {
    let lab = Lab::new();
    lab.array("map", 1);
    for (options, variable, want) in [
        (&[][..], ("BPF_MAP0", "900"), "BPF_NUM_MAPS=0"),
        (&[], ("BPF_MAP00", "900"), "BPF_NUM_MAPS=0"),
        (&["--clean"], ("BPF_MAP0", "900"), "BPF_NUM_MAPS=1"),
        (&[], ("BPF_NUM_MAPS", "0"), "BPF_NUM_MAPS=0"),
        (&["--clean"], ("BPF_NUM_MAPS", "0"), "BPF_NUM_MAPS=1"),
        (&[], ("BPF_NUM_PROGS", "0"), "BPF_NUM_MAPS=0"),
        (&[], ("BPF_LINK0", "900"), "BPF_NUM_MAPS=0"),
        (&[], ("BPF_MAP0_NAME", "stale"), "BPF_NUM_MAPS=1"),
    ] {
        let run = run(lab.exec(options).args(["--", "env"]).envs([variable]));
        assert_eq!((run.status, contract(&run.stdout)[0]), (0, want), "{variable:?} {run:?}");
    }
}

/// A shell script in which 64 is a writable map that no variable names.
const STRAY: &str = r#"unset BPF_NUM_MAPS BPF_MAP0 BPF_MAP0_NAME; exec "$@""#;

#[test]
fn read_only_holds_for_maps_that_no_variable_names() {
    let lab = Lab::new();
    lab.array("map", 1);
    let stray = ["--pin", "/sys/fs/bpf/map", "--", "sh", "-c", STRAY, "sh", "bpf-exec"];
    let write = ["--", "bpf-map", "set", "fd:64", "0", "1"];
    assert_eq!(stdout_of(lab.exec(stray).args(["--pin", "/sys/fs/bpf/map"]).args(write)), "");
    let read_only = run(lab.exec(stray).args(["-r", "--pin", "/sys/fs/bpf/map"]).args(write));
    let message = "bpf-map: fd:64: set: operation not permitted (the descriptor is read-only)\n";
    assert_eq!((read_only.status, read_only.stderr.as_str()), (2, message));
    let clean = run(lab
        .exec(stray)
        .args(["--clean", "--fd-base=70", "--pin", "/sys/fs/bpf/map"])
        .args(write));
    assert_eq!(
        (clean.status, clean.stderr.as_str()),
        (2, "bpf-map: fd:64: descriptor 64 is closed\n")
    );
}

#[test]
fn without_proc_an_inherited_map_is_an_error_and_not_let_through() {
    let lab = Lab::new();
    lab.array("map", 1);
    // A root of its own, with the binary, a bpffs and no /proc.
    let root = lab.path("root");
    std::fs::create_dir_all(root.join("bpf")).unwrap();
    // By another process: one that another test forks could hold it open for writing.
    stdout_of(&mut lab.program("cp", [binary("bpf-exec"), root.join("bpf-exec")]));
    let inner = [
        root.to_str().unwrap(),
        "/bpf-exec",
        "-r",
        "--create=x=array,value=4,entries=1",
        "/bpf-exec",
    ];
    let mut command = lab.exec(["--pin", "/sys/fs/bpf/map", "--", "chroot"]);
    fails(
        command.args(inner),
        125,
        "bpf-exec: BPF_MAP0: descriptor 64: identify: no such file or directory (/proc is not mounted)",
    );
}

/// Fills the environment of `command` with `bytes` bytes.
fn fill(command: &mut Command, bytes: usize) {
    const STRING: usize = 100_000; // the kernel takes 128 KiB in one
    for n in 0..bytes.div_ceil(STRING) {
        // Each costs its NUL and a pointer too.
        let length = STRING.min(bytes - n * STRING).saturating_sub("FILL_00=".len() + 9);
        command.env(format!("FILL_{n:02}"), "x".repeat(length));
    }
}

#[test]
fn an_environment_of_1_mib_is_passed_on_and_one_that_the_kernel_refuses_is_an_error() {
    let lab = Lab::new();
    std::fs::create_dir("/sys/fs/bpf/maps").unwrap();
    let object = fixture("types.bpf.o");
    bpftool(&[
        "prog",
        "loadall",
        &object,
        "/sys/fs/bpf/progs",
        "type",
        "tc",
        "pinmaps",
        "/sys/fs/bpf/maps",
    ]);
    let one = "--pin=/sys/fs/bpf/maps/t_outer";
    // The kernel's limit on arguments and environment is a quarter of the stack's.
    const LIMIT: usize = 2 << 20;
    let stack = ["prlimit", "--stack=8388608:8388608"];
    let count = "env | wc -c; echo $BPF_NUM_MAPS";
    let mut command = lab.exec([one, "--", "sh", "-c", count]);
    fill(&mut command, 1 << 20);
    let stdout = stdout_of(&mut wrapped(&stack, &command));
    let (bytes, maps) = stdout.trim().split_once('\n').unwrap();
    assert!(bytes.parse::<usize>().unwrap() > 1 << 20, "{stdout}");
    assert_eq!(maps, "1");
    // What bpf-exec itself can be started with, but not with 500 layouts more.
    let filler = LIMIT - 100_000;
    let run_with = |maps: usize| {
        let mut command = lab.exec(std::iter::repeat_n(one, maps).chain(["--", "echo", "ran"]));
        fill(&mut command, filler);
        wrapped(&stack, &command)
    };
    assert_eq!(stdout_of(&mut run_with(1)), "ran\n");
    let message = "echo: execute: the environment and arguments are too long";
    refused(&lab, &mut run_with(500), 125, message);
}

#[test]
fn a_command_that_cannot_be_executed_is_126_and_one_that_is_not_there_127() {
    let lab = Lab::new();
    lab.array("map", 1);
    let file = |name: &str, text: &str, mode| {
        std::fs::write(lab.path(name), text).unwrap();
        chmod(lab.path(name), mode);
    };
    std::fs::create_dir_all(lab.path("bin/sub")).unwrap();
    file("plain", "echo ran\n", 0o644);
    file("no-interpreter", "#!/none/sh\necho ran\n", 0o755);
    file("bad-interpreter", "#!/etc/passwd\necho ran\n", 0o755);
    symlink("loop", lab.path("loop")).unwrap();
    let path = std::env::join_paths([lab.path("bin"), "/usr/bin".into(), "/bin".into()]).unwrap();
    for (name, status, cause) in [
        ("./bin", 126, "a directory"),
        ("sub", 126, "permission denied"),
        ("/", 126, "a directory"),
        ("./plain", 126, "permission denied"),
        ("./plain/below", 126, "not a directory"),
        ("./loop", 126, "too many levels of symbolic links"),
        ("./bad-interpreter", 126, "permission denied"),
        ("./no-interpreter", 126, "its interpreter was not found"),
        ("./none", 127, "command not found"),
        ("none", 127, "command not found"),
        ("./none/below", 127, "command not found"),
        ("--none", 127, "command not found"),
    ] {
        let mut command = lab.exec(["--pin", "/sys/fs/bpf/map", "--", name]);
        refused(&lab, command.env("PATH", &path), status, &format!("{name}: execute: {cause}"));
    }
    // $SHELL, where no command is given.
    let mut command = lab.exec(["--pin", "/sys/fs/bpf/map"]);
    refused(&lab, command.env("SHELL", "/none/sh"), 127, "/none/sh: execute: command not found");
}

#[test]
fn a_specification_that_makes_no_map_is_an_error() {
    let lab = Lab::new();
    // In arguments, as they stand.
    for (spec, cause) in [
        ("", "NAME=TYPE,… is wanted"),
        ("array", "NAME=TYPE,… is wanted"),
        ("x=", "\"\" is not a map type"),
        ("x=hush,key=4,value=4,entries=1", "\"hush\" is not a map type"),
        ("x=hash,value=4,entries=1", "a hash wants key="),
        ("x=hash,key=4,entries=1", "a hash wants value="),
        ("x=hash,key=4,value=4", "a hash wants entries="),
        ("x=queue,key=4,value=4,entries=1", "a queue has no key"),
        ("x=array,value=8,entries=1,", "\"\": = is missing"),
        ("x=array,value=8,entries=1,value=4", "value is given twice"),
        (
            "x=array,value=8,entries=1,color=red",
            "color: not a field (key, value, entries, flags, extra, numa, inner)",
        ),
        ("x=array,value=8,entries=-1", "entries: \"-1\" is not a number in range"),
        ("x=array,value=8,entries=4g", "entries: \"4g\" is not a number in range"),
        ("x=array,value=8,entries=4096m", "entries: \"4096m\" is not a number in range"),
        ("x=array,value=8,entries=1,flags=FAST", "flags: \"FAST\" is not a flag"),
        ("x=array,value=4294967296,entries=1", "value: \"4294967296\" is not a size in bytes"),
        ("x=hash,key=u33,value=4,entries=1", "key: column 1: expected a type, found \"u33\""),
        ("x=struct_ops,value=4,entries=1", "a struct_ops map is made only with its programs"),
    ] {
        own_failure(&lab, &["--create", spec], &format!("--create {spec}: {cause}"));
    }
    // By the kernel.
    let refusal =
        "invalid argument (the kernel refuses these sizes, entries or flags for this type)";
    for (spec, cause) in [
        ("x=hash,key=4,value=4,entries=0", refusal),
        ("x=array,key=8,value=8,entries=1", refusal),
        ("x=array,value=0,entries=1", refusal),
        ("x=ringbuf,entries=5", refusal),
        ("x=hash,key=4,value=4294967295,entries=1", "too large for the kernel"),
    ] {
        own_failure(&lab, &["--create", spec], &format!("x: create map: {cause}"));
    }
    for (inner, message) in [
        ("/none", "/none: open pin: no such file or directory"),
        ("id:4294967295", "id 4294967295: open map by id: no such map"),
    ] {
        let spec = format!("x=array_of_maps,entries=1,inner={inner}");
        own_failure(&lab, &["--create", &spec], message);
    }
}

#[test]
fn an_option_that_is_unknown_or_has_a_bad_value_is_an_error() {
    let lab = Lab::new();
    lab.array("map", 1);
    let see = "(see bpf-exec --help)";
    for (option, values, what) in [
        (
            "timeout",
            &["-1", "abc", "", "nan", "inf", "1e400", "0x1", "1s", " 1"][..],
            "not a number of seconds",
        ),
        (
            "socket-mode",
            &["8", "1000", "", "-1", "rw", "0o660", "u=rw"],
            "not an octal mode up to 0777",
        ),
        (
            "fd-base",
            &["2", "-1", "abc", "", "2147483648", "64.0"],
            "not a descriptor number from 3 upwards",
        ),
    ] {
        for value in values {
            let argument = format!("--{option}={value}");
            own_failure(&lab, &[argument], &format!("--{option} {value}: {what}"));
        }
    }
    for (arguments, message) in [
        (&["--frob"][..], "unexpected argument '--frob' found"),
        (&["-q"], "unexpected argument '-q' found"),
        (&["--json"], "the following required arguments were not provided: --dry-run"),
        (
            &["--read-only=yes"],
            "unexpected value 'yes' for '--read-only' found; no more were expected",
        ),
        (&["-r", "-r"], "the argument '--read-only' cannot be used multiple times"),
        (
            &["--timeout=1", "--timeout=2"],
            "the argument '--timeout <SECONDS>' cannot be used multiple times",
        ),
    ] {
        own_failure(&lab, arguments, &format!("{message} {see}"));
    }
    let wanted =
        format!("a value is required for '--pin <[NAME=]PATH>' but none was supplied {see}");
    refused(&lab, &mut lab.exec(["--pin"]), 125, &wanted);
}

#[test]
fn bytes_that_are_not_text_are_escaped_and_the_message_stays_one_line() {
    let lab = Lab::new();
    lab.array("map", 1);
    let (raw, shown) = (b"x\x1b[2J\xff\n\xc2\x9by", "x\\x1b[2J\\xff\\n\\u{9b}y");
    for (before, after, message) in [
        ("--pin=/", "", "/@: open pin: no such file or directory"),
        ("--import=/none/", "", "/none/@: bind socket: no such file or directory"),
        ("--name=", "", "@: find map by name: no map has this name"),
        ("--id=", "", "--id @: not a map id"),
        ("--pid=", "", "--pid @: not a process id"),
        ("--create=", "", "--create @: not UTF-8"),
        ("--timeout=", "", "--timeout @: not a number of seconds"),
        ("--socket-mode=", "", "--socket-mode @: not an octal mode up to 0777"),
        ("--fd-base=", "", "--fd-base @: not a descriptor number from 3 upwards"),
        ("--bpffs=/", "", "/@: open pin: no such file or directory"),
        ("--pin=", "=/x", "--pin @=/x: the name holds '/', ':', '=' or a control byte"),
    ] {
        let argument = [before.as_bytes(), raw, after.as_bytes()].concat();
        let message = message.replace('@', shown);
        own_failure(&lab, &[OsString::from_vec(argument)], &message);
    }
    let command = OsString::from_vec([b"/", &raw[..]].concat());
    let mut command = lab.exec(["--pin".into(), "/sys/fs/bpf/map".into(), "--".into(), command]);
    refused(&lab, &mut command, 127, &format!("/{shown}: execute: command not found"));
    // Not as bytes, but as UTF-8.
    let fields = "(key, value, entries, flags, extra, numa, inner)";
    for (argument, message) in [
        (
            "--create=x=ha\x1b\nsh",
            "--create x=ha\\x1b\\nsh: \"ha\\x1b\\nsh\" is not a map type".to_string(),
        ),
        (
            "--create=x=hash,ke\x1b\ny=4",
            format!("--create x=hash,ke\\x1b\\ny=4: ke\\x1b\\ny: not a field {fields}"),
        ),
        (
            "--create=x=hash,a\n=4,a\n=4",
            "--create x=hash,a\\n=4,a\\n=4: a\\n is given twice".into(),
        ),
        (
            "--create=x=hash,flags=A\x1b",
            "--create x=hash,flags=A\\x1b: flags: \"A\\x1b\" is not a flag".into(),
        ),
        ("--fr\nob", "unexpected argument '--fr\\nob' found (see bpf-exec --help)".into()),
        ("--fr\n\nob", "unexpected argument '--fr\\n\\nob' found (see bpf-exec --help)".into()),
        (
            "--fr\x1b[2Job",
            "unexpected argument '--fr\\x1b[2Job' found (see bpf-exec --help)".into(),
        ),
    ] {
        own_failure(&lab, &[argument], &message);
    }
}

#[test]
fn paths_that_are_not_text_work() {
    let lab = Lab::new();
    let pin = OsString::from_vec(b"/sys/fs/bpf/p\xff\xa7".to_vec());
    std::fs::hard_link(lab.array("map", 1), &pin).unwrap();
    let script = "printf %s \"$BPF_MAP0_NAME\" | od -An -tx1";
    let mut command = lab.exec([OsStr::new("--pin"), &pin]);
    assert_eq!(stdout_of(command.args(["--", "sh", "-c", script])), " 70 ff a7\n");
}

#[test]
fn a_map_that_was_made_before_the_failure_is_gone_after_it() {
    let lab = Lab::new();
    let create = "--create=bad_input_made=array,value=4,entries=1";
    let exists = || {
        let maps = bpftool(&["-j", "map", "show"]);
        let maps: serde_json::Value = serde_json::from_str(&maps).unwrap();
        maps.as_array().unwrap().iter().any(|map| map["name"] == "bad_input_made")
    };
    // Seen while it lives.
    let seen = stdout_of(&mut lab.exec([
        create,
        "--",
        "bpftool",
        "map",
        "show",
        "name",
        "bad_input_made",
    ]));
    assert!(seen.contains("bad_input_made"), "{seen}");
    eventually("its end", || !exists());
    for (arguments, status, message) in [
        (
            &[create, "--pin=none", "--", "env"][..],
            125,
            "none: open pin: no such file or directory",
        ),
        (&[create, "--id=0", "--", "env"], 125, "id 0: open map by id: no such map"),
        (
            &[create, "--create=x=ringbuf,entries=5", "--", "env"],
            125,
            "x: create map: invalid argument (the kernel refuses these sizes, entries or flags for this type)",
        ),
        (&[create, "--", "./none"], 127, "./none: execute: command not found"),
        (&[create, "--", "."], 126, ".: execute: permission denied"),
    ] {
        refused(&lab, &mut lab.exec(arguments), status, message);
        eventually(message, || !exists());
    }
}
