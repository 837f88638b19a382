//! `bpf-exec --agent` with a real agent: what the command gets, from first to last.

use crate::common::agent::*;
use crate::common::child::{Running, Start};
use crate::common::fds::*;
use crate::common::open_fds::OpenFds;
use crate::common::*;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Stdio;

/// Prints what the contract has, sorted.
const ENV: &str = "env | grep ^BPF_ | grep -v _ID= | sort";

fn start(lab: &Lab, options: &[&str]) -> Agent {
    let state = format!("{BPFFS}/state");
    Agent::start(&mut lab.agent([&["--socket", "agent", "--state", &state], options].concat()))
}

fn put(lab: &Lab, reference: &str) {
    assert_eq!(stdout_of(&mut lab.map(["put", reference, "--socket=agent"])), "");
}

#[test]
fn maps_programs_and_links_reach_the_environment() {
    let lab = Lab::new();
    let _agent = start(&lab, &[]);
    let pin = lab.hash("hits");
    let (prog, link) = (pin_program("filter"), pin_link("iter"));
    put(&lab, &format!("link:{}", link.display()));
    put(&lab, pin.to_str().unwrap());
    put(&lab, &format!("prog:{}", prog.display()));
    let spec = "typed=array,value=struct{a: u32},entries=1";
    stdout_of(&mut lab.exec(["--create", spec, "--", "bpf-map", "put", "typed", "--socket=agent"]));
    let want = "BPF_LINK0=66\nBPF_LINK0_NAME=iter\nBPF_MAP0=65\nBPF_MAP0_NAME=hits\nBPF_MAP1=67\n\
                BPF_MAP1_LAYOUT=u32 -> struct{a: u32}\nBPF_MAP1_NAME=typed\nBPF_NUM_LINKS=1\n\
                BPF_NUM_MAPS=2\nBPF_NUM_PROGS=1\nBPF_PROG0=64\nBPF_PROG0_NAME=filter\n";
    for argument in ["agent", "agent#filter,hits,iter,typed"] {
        let mut command = lab.exec(["--agent", argument, "--", "sh", "-c", ENV]);
        assert_eq!(stdout_of(&mut command), want, "{argument}");
    }
    // They are the same objects.
    let fdinfo = "sed -n 's/^prog_id:[[:space:]]*/prog /p' /proc/self/fdinfo/$BPF_PROG0; \
                  sed -n 's/^link_id:[[:space:]]*/link /p' /proc/self/fdinfo/$BPF_LINK0; \
                  bpf-map get hits 1; bpf-map set hits 2 7";
    let mut command = lab.exec(["--agent", "agent", "--", "sh", "-c", fdinfo]);
    let ids = [id_of_pinned("prog", &prog), id_of_pinned("link", &link)];
    let want = format!("prog {}\nlink {}\n42\n", ids[0], ids[1]);
    assert_eq!(stdout_of(&mut command), want);
    assert_eq!(stdout_of(&mut lab.map(["get", "/sys/fs/bpf/hits", "2"])), "7\n");
    // Read-only, a map alone.
    let mut command = lab.exec(["-r", "--agent", "agent#hits", "--dry-run", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&stdout_of(&mut command)).unwrap();
    assert_eq!((&json[0]["access"], &json[0]["name"]), (&"r".into(), &"hits".into()));
    let message = "bpf-exec: agent#filter: get: \"filter\" is a prog, which has no file descriptor \
                   with access r alone";
    fails(&mut lab.exec(["-r", "--agent", "agent#filter", "--dry-run"]), 125, message);
    // Without names, -r requests only the objects that have a read-only fd.
    let mut command = lab.exec(["-r", "--agent", "agent", "--", "sh", "-c", ENV]);
    let want = "BPF_MAP0=64\nBPF_MAP0_NAME=hits\nBPF_MAP1=65\n\
                BPF_MAP1_LAYOUT=u32 -> struct{a: u32}\nBPF_MAP1_NAME=typed\nBPF_NUM_MAPS=2\n";
    assert_eq!(stdout_of(&mut command), want);
}

#[test]
fn unprivileged_user_gets_what_the_rules_permit() {
    let lab = Lab::new();
    let rule = ["--allow", "h*:uid=65534:list,read", "--socket-mode", "0666"];
    let _agent = start(&lab, &rule);
    put(&lab, lab.hash("hits").to_str().unwrap());
    put(&lab, lab.hash("secret").to_str().unwrap());
    let program = lab.reachable("bpf-exec");
    let unprivileged = |arguments: &[&str]| {
        let all = [&NOBODY[1..], &[&program], arguments].concat();
        lab.program(NOBODY[0], all)
    };
    let script = "bpf-map get hits 1; bpf-map set hits 1 1; echo $?";
    let lab_run = run(&mut unprivileged(&["--agent", "agent", "--", "sh", "-c", script]));
    assert_eq!((lab_run.status, lab_run.stdout.as_str()), (0, "42\n2\n"), "{lab_run:?}");
    let refused = run(&mut unprivileged(&["--agent", "agent#secret", "--", "echo", "ran"]));
    assert_eq!((refused.status, refused.stdout.as_str()), (125, ""));
    assert!(refused.stderr.starts_with("bpf-exec: agent#secret: get: "), "{refused:?}");
    let absent = run(&mut unprivileged(&["--agent", "agent#nothing", "--", "echo", "ran"]));
    assert_eq!(absent.stderr, refused.stderr.replace("secret", "nothing"));
}

#[test]
fn wait_starts_the_command_when_all_names_exist() {
    let lab = Lab::new();
    let mut agent = start(&lab, &[]);
    let map = new_map("held");
    let client = Client::connect(&lab.path("agent"));
    assert_eq!(client.put("one", map.as_fd()).status, 0);
    let mut command = lab.exec(["--wait", "--agent", "agent#one,two", "--", "sh", "-c", ENV]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Whether its request has come yet or not, it is answered when both are there.
    let pid = format!("pid {}", child.id());
    eventually("a client that waits", || OpenFds::of(child.id()).has_socket());
    assert_eq!(client.put("two", map.as_fd()).status, 0);
    let run = Run::from(child.wait_with_output().unwrap());
    let stdout = "BPF_MAP0=64\nBPF_MAP0_NAME=one\nBPF_MAP1=65\nBPF_MAP1_NAME=two\nBPF_NUM_MAPS=2\n";
    assert_eq!(run, Run { status: 0, stdout: stdout.into(), stderr: String::new() });
    agent.line(&pid);
    let mut command =
        lab.exec(["--wait", "--timeout", "0.2", "--agent", "agent#none", "--", "echo", "ran"]);
    let message = "bpf-exec: agent#none: wait: timed out after 0.2 seconds";
    fails(&mut command, 125, message);
}

#[test]
fn thousand_maps_arrive_and_no_fd_leaks() {
    let lab = Lab::new();
    let _agent = start(&lab, &[]);
    let client = Client::connect(&lab.path("agent"));
    let map = new_map("held");
    for i in 0..1000 {
        assert_eq!(client.put(&format!("m{i:04}"), map.as_fd()).status, 0);
    }
    let mut command = lab.exec(["--agent", "agent", "--", "cat"]);
    let running = Running::cat(&Start::default(), &mut command);
    let numbers: Vec<i32> = (0..3).chain(64..1064).collect();
    running.fds().assert_numbers(&numbers, "1000 maps");
    let contract = running.contract();
    for entry in ["BPF_NUM_MAPS=1000", "BPF_MAP0_NAME=m0000", "BPF_MAP999_NAME=m0999"] {
        assert!(contract.iter().any(|held| held == entry), "{entry}");
    }
    assert_eq!(running.end(), Run { status: 0, stdout: String::new(), stderr: String::new() });
    let table = stdout_of(&mut lab.map(["agent", "--socket=agent"]));
    assert_eq!(table.lines().count(), 1001);
}

#[test]
fn restarted_agent_is_found() {
    let lab = Lab::new();
    let agent = start(&lab, &[]);
    put(&lab, lab.hash("hits").to_str().unwrap());
    agent.kill();
    let message = "bpf-exec: agent: connect: agent.root: no process listens there";
    fails(&mut lab.exec(["--agent", "agent", "--", "echo", "ran"]), 125, message);
    let _agent = start(&lab, &[]);
    let mut command = lab.exec(["--agent", "agent#hits", "--", "bpf-map", "get", "hits", "1"]);
    assert_eq!(stdout_of(&mut command), "42\n");
    assert!(Path::new("/sys/fs/bpf/state/hits/map").exists());
}
