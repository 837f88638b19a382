//! Malformed command lines and environments, and unusable surroundings, except for the socket of
//! `--import`: exit status and message, and no leaked objects.

mod environment;
mod options;
mod pins;
mod process;
mod sources;

use crate::common::*;
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

/// A value as messages show it.
fn shown(value: &str) -> &str {
    if value.is_empty() { "\"\"" } else { value }
}

/// `command` must fail with this status and one line on stderr, and leave no file.
#[track_caller]
fn refused(lab: &Lab, command: &mut Command, status: i32, message: &str) {
    let before = lab.files();
    fails(command, status, &format!("bpf-exec: {message}"));
    assert_eq!(lab.files(), before, "{command:?}");
}

/// Checks that bpf-exec with `arguments` fails with status 125, and does not run the command.
#[track_caller]
fn own_failure<S: AsRef<OsStr>>(lab: &Lab, arguments: &[S], message: &str) {
    let mut command = lab.exec(arguments);
    refused(lab, command.args(["--", "echo", "ran"]), 125, message);
}

/// bpf-exec as an unprivileged user. The binary is copied to a directory that the user can search.
fn unprivileged(lab: &Lab, arguments: &[&str]) -> Command {
    let binary = lab.path("bpf-exec");
    if !binary.exists() {
        // Another process copies it: a process that another test forks could inherit a writable fd.
        stdout_of(&mut lab.program("cp", [crate::common::binary("bpf-exec"), binary.clone()]));
    }
    let user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    wrapped(&user, &lab.program(binary.to_str().expect("UTF-8"), arguments))
}

fn chmod(path: impl AsRef<std::path::Path>, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}
