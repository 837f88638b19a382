//! Which agent `bpf-map put` and `bpf-map agent` connect to: that of `--socket`, else that of
//! `$BPF_AGENT`, else that of the units.

use crate::common::agent::*;
use crate::common::*;
use crate::support::played::*;
use nix::mount::{MsFlags, mount};
use std::process::Command;

/// The socket of systemd/bpf-agent.socket.
const DEFAULT: &str = "/run/bpf-agent.sock";

/// An empty /run, in the test's mount namespace.
fn cover_run() {
    mount(Some("run"), "/run", Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
}

fn names_at(path: &str) -> Vec<String> {
    Client::connect(path.as_ref()).list().into_iter().map(|record| record.name).collect()
}

#[test]
fn option_wins_over_variable_and_variable_over_default() {
    let lab = Lab::new();
    cover_run();
    lab.array("pinned", 1);
    let [given, variable] = ["given", "variable"].map(|name| lab.path(name).display().to_string());
    let sockets = [DEFAULT, &given, &variable];
    let _agents = sockets.map(|path| Agent::start(&mut lab.agent(["--socket", path])));
    let put = ["put", "a=/sys/fs/bpf/pinned"];
    let inherited = ["put", "--inherited"];
    for (option, environment, used) in [
        (None, None, DEFAULT),
        (None, Some(""), DEFAULT),
        (None, Some("variable"), &variable),
        (Some("given"), Some("variable"), &given),
    ] {
        let with = |mut command: Command, words: &[&str]| {
            command.args(words).args(option.map(|path| format!("--socket={path}")));
            command.envs(environment.map(|path| ("BPF_AGENT", path)));
            stdout_of(&mut command)
        };
        let exec = || lab.exec(["--pin", "b=/sys/fs/bpf/pinned", "--", "bpf-map"]);
        assert_eq!(with(lab.map([""; 0]), &put), "");
        assert_eq!(with(exec(), &inherited), "");
        for path in sockets {
            let want: &[&str] = if path == used { &["a", "b"] } else { &[] };
            assert_eq!(names_at(path), want, "{option:?} {environment:?}: {path}");
        }
        let table = with(lab.map([""; 0]), &["agent"]);
        assert_eq!(table.lines().count(), 3, "{table}");
        assert_eq!(with(lab.map([""; 0]), &["agent", "--remove", "a", "b"]), "");
        assert_eq!(names_at(used), [""; 0]);
    }
}

#[test]
fn failed_connection_names_the_source_of_the_path() {
    let lab = Lab::new();
    cover_run();
    lab.array("pinned", 1);
    let missing = "connect: no such file or directory";
    for (option, environment, message) in [
        (None, None, format!("{DEFAULT}: {missing} (the default socket)")),
        (None, Some("none"), format!("none: {missing} (the socket is from $BPF_AGENT)")),
        (Some("no"), Some("none"), format!("no: {missing}")),
        (Some(""), Some("none"), "\"\": connect: the path is empty".to_owned()),
    ] {
        for words in [&["agent"][..], &["put", "/sys/fs/bpf/pinned"]] {
            let mut command = lab.map(words);
            command.args(option.map(|path| format!("--socket={path}")));
            command.envs(environment.map(|path| ("BPF_AGENT", path)));
            fails(&mut command, 2, &format!("bpf-map: {message}"));
        }
    }
}

#[test]
fn lost_connection_names_the_source_of_the_path() {
    let lab = Lab::new();
    lab.array("pinned", 1);
    let mut command = lab.map(["put", "/sys/fs/bpf/pinned"]);
    command.env("BPF_AGENT", "agent");
    let path = lab.path("agent");
    let run = play(&path, &mut command, |played| {
        let client = played.accept();
        client.receive().unwrap();
        std::fs::remove_file(&path).unwrap();
    });
    let stderr = "bpf-map: agent#pinned: put: connect again: no such file or directory \
                  (the socket is from $BPF_AGENT): whether it was done is not known\n";
    assert_eq!(run, Run { status: 2, stdout: String::new(), stderr: stderr.into() });
}
