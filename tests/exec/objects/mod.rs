//! Programs and links: their sources, how they reach the command, and what lists them.

mod handed_over;
mod listed;
mod refused;

use crate::common::fds::*;
use crate::common::*;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

const NOTHING: Run = Run { status: 0, stdout: String::new(), stderr: String::new() };

const PROG: &str = "/sys/fs/bpf/filter";

const LINK: &str = "/sys/fs/bpf/flows";

const MAP: &str = "/sys/fs/bpf/map";

/// A pinned program, link and map.
fn pins(lab: &Lab) -> (PathBuf, PathBuf, PathBuf) {
    let map = lab.hash("map");
    (pin_program("filter"), pin_link("flows"), map)
}

fn chmod(path: impl AsRef<Path>, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// The variables of the contract that env(1) prints below bpf-exec with `words`.
#[track_caller]
fn handed_over(lab: &Lab, words: &[&str]) -> Vec<String> {
    let environment = stdout_of(&mut lab.exec([words, &["--", "env"]].concat()));
    contract(&environment).into_iter().map(String::from).collect()
}

/// bpf-exec with `words` must fail with this line, and run nothing and leave nothing.
#[track_caller]
fn refused(lab: &Lab, words: &[&str], message: &str) {
    let before = lab.files();
    let mut command = lab.exec(words);
    fails(command.args(["--", "touch", "ran"]), 125, &format!("bpf-exec: {message}"));
    assert_eq!(lab.files(), before, "{words:?}");
}

/// What the command finds of the contract, and the warnings, given variables and a stdin.
fn inherit(lab: &Lab, variables: &[&str], stdin: Stdio) -> (Vec<String>, String) {
    let mut command = lab.exec(["--pin", MAP, "--", "env"]);
    command.envs(variables.iter().map(|entry| entry.split_once('=').expect("a value")));
    let run = run(command.stdin(stdin));
    assert_eq!(run.status, 0, "{variables:?} {run:?}");
    (contract(&run.stdout).into_iter().map(String::from).collect(), run.stderr)
}
