//! The socket that an agent serves for root, which root's clients try first.

use crate::common::agent::*;
use crate::common::*;
use crate::support::played::Played;
use nix::unistd::{Uid, chown};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

/// A command for each way to use an agent; each needs the objects that the ones before it leave.
fn commands(lab: &Lab, pin: &Path) -> Vec<Command> {
    let exec = |words: &[&str]| lab.exec([words, &["--", "true"]].concat());
    let pin = pin.to_str().unwrap();
    vec![
        lab.map(["put", pin, "--socket=agent"]),
        lab.map(["agent", "--socket=agent"]),
        lab.map(["agent", "--socket=agent", "hits"]),
        lab.map(["agent", "--socket=agent", "h*"]),
        exec(&["--agent", "agent"]),
        exec(&["--agent", "agent#hits"]),
        exec(&["--wait", "--timeout=20", "--agent", "agent#hits"]),
        lab.map(["agent", "--socket=agent", "--wait-change", "hits=0"]),
        lab.map(["agent", "--socket=agent", "--remove", "hits"]),
    ]
}

#[test]
fn root_uses_the_public_socket_only_without_a_private_one() {
    let lab = Lab::new();
    let pin = lab.array("hits", 1);
    let (public, private) = (lab.path("agent"), lab.path("agent.root"));
    for hidden in [&public, &private] {
        let _agent = Agent::start(&mut lab.agent(["--socket", "agent"]));
        std::fs::remove_file(hidden).unwrap();
        for mut command in commands(&lab, &pin) {
            let run = run(&mut command);
            assert_eq!((run.status, run.stderr.as_str()), (0, ""), "{command:?} {hidden:?}");
        }
        let _ = (std::fs::remove_file(&public), std::fs::remove_file(&private));
    }
}

#[test]
fn unusable_private_socket_is_an_error_for_root_only() {
    let lab = Lab::new();
    let pin = lab.array("hits", 1);
    let rules = ["--socket-mode", "0666", "--allow", "*:uid=65534:list"];
    let _agent = Agent::start(lab.agent(["--socket", "agent"]).args(rules));
    let (private, moved) = (lab.path("agent.root"), lab.path("moved"));
    let fails_with = |cause: &str, commands: Vec<Command>| {
        for mut command in commands {
            let is_exec = command.get_args().any(|word| word == "--agent");
            let (program, status) = if is_exec { ("bpf-exec", 125) } else { ("bpf-map", 2) };
            let line = format!("{program}: agent: connect: agent.root: {cause}");
            fails(&mut command, status, &line);
        }
    };
    chown(&private, Some(Uid::from_raw(1001)), None).unwrap();
    let foreign = "it belongs to uid 1001, not to root or the agent's user";
    fails_with(foreign, commands(&lab, &pin));
    chown(&private, Some(Uid::from_raw(0)), None).unwrap();
    std::fs::rename(&private, &moved).unwrap();
    // Without --wait, which waits for an agent.
    let impatient = || {
        let is_patient = |command: &Command| command.get_args().any(|word| word == "--wait");
        let all = commands(&lab, &pin).into_iter();
        all.filter(|command| !is_patient(command)).collect::<Vec<_>>()
    };
    symlink(&moved, &private).unwrap();
    fails_with("no process listens there", impatient());
    std::fs::remove_file(&private).unwrap();
    drop(Played::listen(&private));
    fails_with("no process listens there", impatient());
    let map = lab.reachable("bpf-map");
    let listed = lab.program(&map, ["agent", "--socket=agent"]);
    assert_eq!(run(&mut wrapped(&NOBODY, &listed)).status, 0);
}
