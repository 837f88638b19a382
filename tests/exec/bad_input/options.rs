//! Options, and bytes that are not text.

use super::*;
use crate::common::*;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;

#[test]
fn unknown_option_or_bad_value_is_an_error() {
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
            "not a file descriptor number from 3 upwards",
        ),
    ] {
        for value in values {
            // --socket-mode needs an import, which is not reached.
            let arguments = [format!("--{option}={value}"), "--import=uds".into()];
            own_failure(&lab, &arguments, &format!("--{option} {}: {what}", shown(value)));
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
    for (argument, message) in [
        ("--id=", "--id \"\": not a map id"),
        ("--pid=", "--pid \"\": not a process id"),
        ("--create=", "--create \"\": expected NAME=TYPE,…"),
        ("--object=", "--object \"\": the path of a file is missing"),
        ("--expect=", "--expect \"\": not NAME=LAYOUT"),
        ("--pin=", "\"\": open pin: no such file or directory"),
    ] {
        own_failure(&lab, &[argument], message);
    }
    let message = "--timeout: nothing to wait for: --import or --agent is needed";
    own_failure(&lab, &["--timeout=1"], message);
    own_failure(&lab, &["--timeout=1", "--pin=/sys/fs/bpf/map"], message);
    let wanted =
        format!("a value is required for '--pin <[NAME=]PATH>' but none was supplied {see}");
    refused(&lab, &mut lab.exec(["--pin"]), 125, &wanted);
}

#[test]
fn non_text_bytes_are_escaped_in_one_line() {
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
        ("--fd-base=", "", "--fd-base @: not a file descriptor number from 3 upwards"),
        ("--bpffs=/", "", "/@: open pin: no such file or directory"),
        ("--pin=", "=/x", "--pin @=/x: the name contains '/', ':', '=' or a control byte"),
    ] {
        let argument = [before.as_bytes(), raw, after.as_bytes()].concat();
        let message = message.replace('@', shown);
        own_failure(&lab, &[OsString::from_vec(argument)], &message);
    }
    let mode = OsString::from_vec([b"--socket-mode=", &raw[..]].concat());
    let message = format!("--socket-mode {shown}: not an octal mode up to 0777");
    own_failure(&lab, &[mode, "--import=uds".into()], &message);
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
fn non_text_paths_work() {
    let lab = Lab::new();
    let pin = OsString::from_vec(b"/sys/fs/bpf/p\xff\xa7".to_vec());
    std::fs::hard_link(lab.array("map", 1), &pin).unwrap();
    let script = "printf %s \"$BPF_MAP0_NAME\" | od -An -tx1";
    let mut command = lab.exec([OsStr::new("--pin"), &pin]);
    assert_eq!(stdout_of(command.args(["--", "sh", "-c", script])), " 70 ff a7\n");
}
