//! Who is reached at an agent's socket, and believed, and what is said of a change that nobody
//! answered.

mod common;

use common::agent::*;
use common::played::*;
use common::*;
use std::process::Command;

fn failed(program: &str, message: &str) -> Run {
    let status = if program == "bpf-exec" { 125 } else { 2 };
    Run { status, stdout: String::new(), stderr: format!("{program}: {message}\n") }
}

fn exec(lab: &Lab, arguments: &[&str]) -> Command {
    lab.exec([arguments, &["--", "echo", "ran"]].concat())
}

#[test]
fn root_says_nothing_to_an_agent_that_is_not_roots() {
    let lab = Lab::new();
    let path = lab.path("agent");
    let pin = lab.array("hits", 1);
    let pin = pin.to_str().unwrap();
    let message = "agent: connect: the agent runs as uid 65534, which root does not trust";
    for (program, mut command) in [
        ("bpf-exec", exec(&lab, &["--agent", "agent"])),
        ("bpf-exec", exec(&lab, &["--agent", "agent#hits"])),
        ("bpf-exec", exec(&lab, &["--wait", "--agent", "agent#hits"])),
        ("bpf-map", lab.map(["agent", "agent"])),
        ("bpf-map", lab.map(["agent", "agent", "--remove", "hits"])),
        ("bpf-map", lab.map(["put", pin, "agent"])),
    ] {
        let run = play_as(65534, &path, &mut command, |played| {
            assert!(played.accept().receive().unwrap().bytes.is_empty(), "not a word");
        });
        assert_eq!(run, failed(program, message), "{command:?}");
    }
}

#[test]
fn other_users_may_use_anybodys_agent_and_root_only_its_own() {
    let lab = Lab::new();
    let program = lab.reachable("bpf-agent");
    let own = [&NOBODY[1..], &[&program]].concat();
    let rules = ["--socket", "agent", "--socket-mode", "0666", "--allow", "*:uid=1001:list,put"];
    let _agent = Agent::start(&mut lab.program(NOBODY[0], [&own[..], &rules].concat()));
    let map = lab.reachable("bpf-map");
    let as_user = |uid: &str, words: &[&str]| {
        let ids = [format!("--reuid={uid}"), format!("--regid={uid}"), "--clear-groups".into()];
        let mut command = lab.exec(["--create", "hits=array,value=8,entries=1", "--", "setpriv"]);
        command.args(ids).arg(&map).args(words);
        run(&mut command)
    };
    let done = Run { status: 0, stdout: String::new(), stderr: String::new() };
    assert_eq!(as_user("1001", &["put", "hits", "agent"]), done);
    for uid in ["1001", "65534"] {
        let listed = as_user(uid, &["agent", "agent"]);
        assert_eq!((listed.status, listed.stdout.lines().count()), (0, 2), "{listed:?}");
    }
    let message = "agent: connect: the agent runs as uid 65534, which root does not trust";
    assert_eq!(as_user("0", &["agent", "agent"]), failed("bpf-map", message));
}

#[test]
fn a_change_that_has_no_answer_may_have_been_done() {
    let lab = Lab::new();
    let path = lab.path("agent");
    let pin = lab.array("hits", 1);
    let put = || lab.map(["put", pin.to_str().unwrap(), "agent", "--timeout", "0.5"]);
    let remove = || lab.map(["agent", "agent", "--remove", "hits", "--timeout", "0.5"]);
    let unknown = "whether it was done is not known";
    for (mut command, what) in [(put(), "put"), (remove(), "remove")] {
        let failed = |cause: &str| {
            failed(
                "bpf-map",
                &format!("agent#hits: {what}: {cause}: whether it was done is not known"),
            )
        };
        let run = play(&path, &mut command, |played| {
            let client = played.accept();
            client.receive().unwrap();
            assert!(client.receive().unwrap().bytes.is_empty(), "it goes without another word");
        });
        assert_eq!(run, failed("no answer within 0.5 seconds"));
        let run = play(&path, &mut command, |played| {
            for _ in 0..6 {
                played.accept().receive().unwrap();
            }
        });
        assert_eq!(run, failed("the agent ended the connection"));
        // It goes, and does not come back.
        let run = play(&path, &mut command, |played| {
            let client = played.accept();
            client.receive().unwrap();
            std::fs::remove_file(&path).unwrap();
        });
        assert_eq!(run, failed("connect again: no such file or directory"));
        let run = play(&path, &mut command, |played| {
            let client = played.accept();
            client.receive().unwrap();
            client.send(&reply(0, 9, &[]), &[]).unwrap();
        });
        assert_eq!(run, failed("a reply to request 9, where 1 was asked"));
        // An answer is one, and so is that nothing was sent.
        let run = play(&path, &mut command, |played| {
            let client = played.accept();
            client.receive().unwrap();
            client.send(&no(6, 1, "full"), &[]).unwrap();
        });
        assert_eq!(run.stderr, format!("bpf-map: agent#hits: {what}: full\n"));
        std::fs::remove_file(&path).unwrap();
        assert!(!common::run(&mut command).stderr.contains(unknown));
    }
}
