//! `--stream`, and the progress bar.

use super::*;
use crate::common::*;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::process::Stdio;

#[test]
fn stream_is_written_up_to_the_malformed_line() {
    let lab = Lab::new();
    let pin = map("h", HASH);
    let input =
        "{\"key\":1,\"value\":1}\n{\"key\":2,\"value\":2}\n{\"key\":3}\n{\"key\":4,\"value\":4}\n";
    let error = "bpf-map: /sys/fs/bpf/h: standard input: line 3: value: missing (2 were written)";
    fails(&mut load(&lab, "--stream", &pin, input), 2, error);
    assert_eq!(held(&pin), [(1, 1), (2, 2)]);
}

#[test]
fn stream_writes_all_it_has_before_it_waits() {
    let lab = Lab::new();
    let pin = map("h", HASH);
    let mut command = lab.map(["load", "--stream", "/sys/fs/bpf/h"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"{\"key\":1,\"value\":1}\n{\"key\":2,").unwrap();
    eventually("the first element", || held(&pin) == [(1, 1)]);
    stdin.write_all(b"\"value\":2}\n").unwrap();
    eventually("the second element", || held(&pin) == [(1, 1), (2, 2)]);
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

#[test]
fn stream_counts_existing_keys_over_all_batches() {
    let lab = Lab::new();
    // Each line is written before the next one comes, so the counts add up over several writes.
    let script = r#"
        bpf-map create h=hash,key=u32,value=u64,entries=8 --pin /sys/fs/bpf/h
        bpf-map set /sys/fs/bpf/h 1 1; bpf-map set /sys/fs/bpf/h 2 1
        mkfifo lines; bpf-map load --stream --if-absent /sys/fs/bpf/h lines & exec 3>lines
        for key in 3 1 4 2; do
            echo "{\"key\":$key,\"value\":9}" >&3
        done
        exec 3>&-; wait $!"#;
    let run = run(&mut lab.program("sh", ["-c", script]));
    let message = "bpf-map: /sys/fs/bpf/h: 2 of 4 keys exist already\n";
    assert_eq!((run.status, run.stderr.as_str()), (1, message), "{}", run.stdout);
}

#[test]
fn long_load_shows_progress_on_a_terminal_only() {
    let lab = Lab::new();
    let pin = map("h", HASH);
    let pty = nix::pty::openpty(None, None).unwrap();
    let spawn = |stderr: Stdio| {
        let mut command = lab.map(["load", pin.to_str().unwrap()]);
        command.env("TERM", "xterm").stdin(Stdio::piped()).stderr(stderr).spawn().unwrap()
    };
    let mut shown = spawn(Stdio::from(pty.slave));
    let mut hidden = spawn(Stdio::piped());
    let line = b"{\"key\":1,\"value\":1}\n".repeat(100);
    let mut screen = screen(pty.master);
    // It is long enough when the bar is there.
    eventually("a bar", || {
        shown.stdin.as_mut().unwrap().write_all(&line).unwrap();
        hidden.stdin.as_mut().unwrap().write_all(&line).unwrap();
        screen().contains("reading")
    });
    drop(shown.stdin.take());
    drop(hidden.stdin.take());
    assert!(shown.wait().unwrap().success());
    let hidden = Run::from(hidden.wait_with_output().unwrap());
    assert_eq!((hidden.status, hidden.stderr.as_str()), (0, ""));
    assert_eq!(held(&pin), [(1, 1)]);
}

#[test]
fn progress_is_removed_before_an_error_is_printed() {
    let lab = Lab::new();
    let pin = map("h", HASH);
    let pty = nix::pty::openpty(None, None).unwrap();
    let mut command = lab.map(["load", pin.to_str().unwrap()]);
    let mut child =
        command.env("TERM", "xterm").stdin(Stdio::piped()).stderr(pty.slave).spawn().unwrap();
    drop(command); // and with it the slave, so that the master reads the end
    let line = b"{\"key\":1,\"value\":1}\n".repeat(100);
    let mut screen = screen(pty.master);
    eventually("a bar", || {
        child.stdin.as_mut().unwrap().write_all(&line).unwrap();
        screen().contains("reading")
    });
    child.stdin.take().unwrap().write_all(b"{\"key\":1}\n").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(2));
    let seen = screen();
    let (_, rest) = seen.rsplit_once("\x1b[2K").expect("an erased line");
    let message = rest.trim_start_matches('\r');
    assert!(message.starts_with("bpf-map: /sys/fs/bpf/h: standard input: line "), "{seen:?}");
    assert!(message.ends_with(": value: missing\r\n"), "{seen:?}");
    assert_eq!(held(&pin), []);
}

/// The text that has been written to a terminal by now.
fn screen(master: OwnedFd) -> impl FnMut() -> String {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    fcntl(&master, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    let mut seen = Vec::new();
    move || {
        let mut some = [0; 4096];
        while let Ok(count @ 1..) = nix::unistd::read(&master, &mut some) {
            seen.extend_from_slice(&some[..count]);
        }
        String::from_utf8_lossy(&seen).into_owned()
    }
}
