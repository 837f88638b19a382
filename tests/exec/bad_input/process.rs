//! The command, the limit on open files, and the standard streams.

use super::*;
use crate::common::*;
use std::os::unix::fs::symlink;

#[test]
fn unexecutable_command_is_126_and_missing_one_127() {
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
    // $SHELL, if no command is given.
    let mut command = lab.exec(["--pin", "/sys/fs/bpf/map"]);
    refused(&lab, command.env("SHELL", "/none/sh"), 127, "/none/sh: execute: command not found");
}

#[test]
fn low_hard_limit_on_open_files_is_an_error() {
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
fn closed_standard_streams_stay_closed() {
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
        // The failure is reported on stderr if that is open, and on no other fd.
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
fn unwritable_data_output_is_an_error() {
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
