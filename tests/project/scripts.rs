//! scripts/lib.sh and scripts/check-words.

use crate::common::*;
use nix::fcntl::{FcntlArg, fcntl};
use nix::mount::{MsFlags, mount};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

const LOCK: &str = "/var/lib/dpkg/lock-frontend";

/// `apt-get install` of a package, by scripts/lib.sh.
fn install(lab: &Lab, package: &str) -> Command {
    let script = ". \"$1/scripts/lib.sh\"; apt_get --no-upgrade install \"$2\"";
    lab.program("bash", ["-c", script, "install", env!("CARGO_MANIFEST_DIR"), package])
}

/// Gives the test a lock file of its own: the machine's stays free, and nothing else holds ours.
fn separate_lock(lab: &Lab) {
    let (file, none) = (lab.path("lock"), None::<&str>);
    std::fs::write(&file, "").unwrap();
    mount(Some(&file), LOCK, none, MsFlags::MS_BIND, none).unwrap();
}

#[test]
fn held_lock_of_dpkg_is_waited_for_with_a_message() {
    let lab = Lab::new();
    separate_lock(&lab);
    let lock = File::options().write(true).open(LOCK).unwrap();
    let whole = libc::flock {
        l_type: libc::F_WRLCK as i16,
        l_whence: libc::SEEK_SET as i16,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    fcntl(&lock, FcntlArg::F_SETLK(&whole)).unwrap();
    let mut command = install(&lab, "dpkg");
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    let pid = std::process::id();
    let want =
        format!("install: waiting up to 10 minutes for {LOCK}. It is held by process {pid} (");
    assert!(line.starts_with(&want), "{line}");
    drop(lock);
    assert!(child.wait().unwrap().success());
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "");
}

#[test]
fn failure_of_apt_is_reported_at_once() {
    let lab = Lab::new();
    separate_lock(&lab);
    let run = run(&mut install(&lab, "no-such-package-here"));
    assert_eq!(run.status, 1);
    assert_eq!(run.stderr, "E: Unable to locate package no-such-package-here\n");
}

/// Runs scripts/check-words in a new repository with one tracked file.
fn check_words(path: &str, content: &str) -> Run {
    let lab = Lab::new();
    let file = lab.path(path);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, content).unwrap();
    for arguments in [&["init", "-q"][..], &["add", path]] {
        let run = run(&mut lab.program("git", arguments));
        assert_eq!((run.status, run.stderr.as_str()), (0, ""), "git {arguments:?}");
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/check-words");
    run(&mut lab.program::<&str>(script, []))
}

#[test]
fn check_words_reports_line_and_cure() {
    // In two parts, so that the expression does not occur here.
    let word = ["an", "ew"].concat();
    let run = check_words("src/a.rs", &format!("fn a() {{}}\n// Opens it {word}.\n"));
    let stdout = format!("src/a.rs:2: \"{word}\" - again\nhits: 1\n");
    assert_eq!(run, Run { status: 1, stdout, stderr: String::new() });
}

#[test]
fn check_words_accepts_clean_and_excluded_files() {
    let clean = Run { status: 0, stdout: "hits: 0\n".into(), stderr: String::new() };
    assert_eq!(check_words("src/a.rs", "// Opens the map again.\n"), clean);
    assert_eq!(check_words("README.md", "setpriv --reuid=nobody probe hits\n"), clean);
    let word = ["an", "ew"].concat();
    assert_eq!(check_words("docs/glossary.md", &format!("# Opens it {word}.\n")), clean);
}
