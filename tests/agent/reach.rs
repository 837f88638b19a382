//! The agent at a socket: which agents root trusts, how long a client waits for one, and what a
//! client reports about a change that was not answered.

use crate::common::agent::*;
use crate::common::fds::*;
use crate::common::*;
use crate::support::asleep;
use crate::support::played::*;
use nix::sys::signal::Signal;
use std::os::fd::AsFd;
use std::process::Command;

fn failed(program: &str, message: &str) -> Run {
    let status = if program == "bpf-exec" { 125 } else { 2 };
    Run { status, stdout: String::new(), stderr: format!("{program}: {message}\n") }
}

fn exec(lab: &Lab, arguments: &[&str]) -> Command {
    lab.exec([arguments, &["--", "echo", "ran"]].concat())
}

fn ran() -> Run {
    Run { status: 0, stdout: "ran\n".into(), stderr: String::new() }
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
        ("bpf-map", lab.map(["agent", "--socket=agent"])),
        ("bpf-map", lab.map(["agent", "--socket=agent", "--remove", "hits"])),
        ("bpf-map", lab.map(["put", pin, "--socket=agent"])),
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
    assert_eq!(as_user("1001", &["put", "hits", "--socket=agent"]), done);
    for uid in ["1001", "65534"] {
        let listed = as_user(uid, &["agent", "--socket=agent"]);
        assert_eq!((listed.status, listed.stdout.lines().count()), (0, 2), "{listed:?}");
    }
    let message =
        "agent: connect: agent.root: the agent runs as uid 65534, which root does not trust";
    assert_eq!(as_user("0", &["agent", "--socket=agent"]), failed("bpf-map", message));
}

#[test]
fn unanswered_change_is_reported_as_possibly_done() {
    let lab = Lab::new();
    let path = lab.path("agent");
    let pin = lab.array("hits", 1);
    let put = lab.map(["put", pin.to_str().unwrap(), "--socket=agent"]);
    let remove = lab.map(["agent", "--socket=agent", "--remove", "hits"]);
    let unknown = "whether it was done is not known";
    for (mut command, what) in [(put, "put"), (remove, "remove")] {
        let mut impatient = lab.map(command.get_args());
        impatient.args(["--timeout", "0.5"]);
        command.args(["--timeout", "60"]);
        let failed = |cause: &str| {
            failed(
                "bpf-map",
                &format!("agent#hits: {what}: {cause}: whether it was done is not known"),
            )
        };
        let run = play(&path, &mut impatient, |played| {
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
        assert!(!crate::common::run(&mut command).stderr.contains(unknown));
    }
}

#[test]
fn wait_covers_an_agent_that_has_not_started() {
    let lab = Lab::new();
    let map = new_map("held");
    drop(Played::listen(&lab.path("dead")));
    for socket in ["none", "dead", "later/agent"] {
        let argument = format!("{socket}#hits");
        let waiting = asleep(&mut exec(&lab, &["--wait", "--agent", &argument]));
        let _ = std::fs::create_dir(lab.path("later"));
        let _agent = Agent::start(&mut lab.agent(["--socket", socket]));
        let client = Client::connect(&lab.path(socket));
        assert_eq!(client.put("hits", map.as_fd()).status, 0);
        assert_eq!(waiting.run(), ran(), "{socket}");
    }
}

#[test]
fn put_waits_for_an_agent_that_starts() {
    let lab = Lab::new();
    let pin = lab.array("hits", 1);
    let put = || lab.map(["put", "--wait", "--socket=agent", pin.to_str().unwrap()]);
    let message = "agent: connect: no agent came within 0.2 seconds: no such file or directory";
    let late = run(put().args(["--timeout", "0.2"]));
    assert_eq!(late, failed("bpf-map", message));
    let waiting = asleep(&mut put());
    let agent = Agent::start(&mut lab.agent(["--socket", "agent"]));
    let done = Run { status: 0, stdout: String::new(), stderr: String::new() };
    assert_eq!(waiting.run(), done);
    assert_eq!(run(&mut put()), done);
    assert_eq!(names(&Client::connect(&lab.path("agent")).list()), ["hits"]);
    drop(agent);
}

#[test]
fn wait_covers_an_agent_that_restarts() {
    let lab = Lab::new();
    let path = lab.path("agent");
    let map = new_map("held");
    let hits = [record("hits", id_of(&map))];
    let mut command = exec(&lab, &["--wait", "--agent", "agent#hits"]);
    let waiting = {
        let played = Played::listen(&path);
        let waiting = asleep(&mut command);
        let client = played.accept();
        client.receive().unwrap();
        waiting
    };
    let played = Played::listen(&path);
    // More often than anything is asked again otherwise.
    for _ in 0..8 {
        played.accept().receive().unwrap();
    }
    let client = played.accept();
    let names = string("hits");
    let wait = |number| packet(WAIT, 0, number, &[&[0; 4], &names[..]].concat());
    let get = |number| packet(GET, READ | WRITE, number, &names);
    assert_eq!(client.receive().unwrap().bytes, wait(10));
    client.send(&reply(0, 10, &hits), &[]).unwrap();
    assert_eq!(client.receive().unwrap().bytes, get(11));
    // It goes between the two, comes back, and has lost what it had, for a while.
    drop((client, played));
    let played = Played::listen(&path);
    let client = played.asked(&get(12));
    client.send(&no(3, 12, "nothing is stored as \"hits\""), &[]).unwrap();
    assert_eq!(client.receive().unwrap().bytes, wait(13));
    client.send(&reply(0, 13, &hits), &[]).unwrap();
    assert_eq!(client.receive().unwrap().bytes, get(14));
    client.send(&reply(0, 14, &hits), &[map.as_fd()]).unwrap();
    assert_eq!(waiting.run(), ran());
}

#[test]
fn wait_for_an_agent_ends_by_timeout_and_signal() {
    let lab = Lab::new();
    let path = lab.path("dead");
    drop(Played::listen(&path));
    let with = |words: &[&str]| exec(&lab, &[&["--wait", "--timeout", "0.2"], words].concat());
    for (socket, cause) in
        [("none", "no such file or directory"), ("dead", "no process listens there")]
    {
        let argument = format!("{socket}#hits");
        let message = format!("{socket}: connect: no agent came within 0.2 seconds: {cause}");
        let run = run(&mut with(&["--agent", &argument]));
        assert_eq!(run, failed("bpf-exec", &message));
    }
    // One that ends every connection is there.
    let played = Played::listen(&lab.path("agent"));
    std::thread::scope(|scope| {
        scope.spawn(|| while !played.accept().receive().unwrap().bytes.is_empty() {});
        let run = run(&mut with(&["--agent", "agent#hits"]));
        drop(Client::connect(&lab.path("agent"))); // the last one, which says nothing
        let message = "agent#hits: wait: timed out after 0.2 seconds";
        assert_eq!(run, failed("bpf-exec", message));
    });
    // An error that waiting cannot repair is reported immediately.
    let _stream = std::os::unix::net::UnixListener::bind(lab.path("stream")).unwrap();
    let run = run(&mut exec(&lab, &["--wait", "--agent", "stream#hits"]));
    assert_eq!(run, failed("bpf-exec", "stream: connect: not an agent's socket"));
    let before = lab.files();
    for import in [&[][..], &["--import", "uds"]] {
        let mut command = exec(&lab, &[import, &["--wait", "--agent", "none#hits"]].concat());
        let mut waiting = asleep(&mut command);
        assert_eq!(lab.path("uds").exists(), !import.is_empty());
        waiting.signal(Signal::SIGTERM);
        let end = Run { status: 128 + 15, stdout: String::new(), stderr: String::new() };
        assert_eq!(waiting.run(), end, "{import:?}");
        assert_eq!(lab.files(), before);
    }
}
