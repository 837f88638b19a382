//! Pins that another process changed while the agent ran, or between two runs: the agent hands out
//! the object that was stored, or none.

use crate::common::agent::*;
use crate::common::fds::*;
use crate::common::*;
use crate::support::peers::User;
use std::fs::{remove_dir_all, remove_file, rename};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

const STATE: &str = "/sys/fs/bpf/agent";
const PIN: &str = "/sys/fs/bpf/agent/hits/map";
/// States of a record.
const PINNED: u8 = 1;
const CHANGED: u8 = 3;
const GONE: u8 = 4;
/// Accesses of a record.
const NONE: u8 = 0;
const READ_ONLY: u8 = 1;
const READ_WRITE: u8 = 3;
/// Statuses of a reply.
const EXISTS: u8 = 4;
const MISTAKEN: u8 = 8;
const FAILED: u8 = 9;

fn start(lab: &Lab) -> Agent {
    Agent::start(&mut lab.agent(["--socket", "agent", "--state", STATE]))
}

/// An agent that holds a new map as `hits`.
fn with_hits(lab: &Lab) -> (Agent, Client, OwnedFd) {
    let agent = start(lab);
    let client = Client::connect(&lab.path("agent"));
    let map = new_map("hits");
    assert_eq!(client.put("hits", map.as_fd()).status, 0);
    (agent, client, map)
}

fn replace(client: &Client, name: &str, fd: BorrowedFd) -> Answer {
    client.ask(PUT, REPLACE, &strings(&[name, ""]), &[fd])
}

/// Checks that LIST and INFO report the same about `hits` to root, which may read and write it.
#[track_caller]
fn check_record(client: &Client, id: u32, state: u8, pin_id: u32) {
    check_record_with(client, READ_WRITE, id, state, pin_id);
}

/// Does the same for a client that may have `hits` with this access.
#[track_caller]
fn check_record_with(client: &Client, access: u8, id: u32, state: u8, pin_id: u32) {
    let fields = |r: &Record| (r.name.clone(), r.access, r.bound, r.id, r.state, r.pin_id);
    let want = [("hits".to_owned(), access, READ_WRITE, id, state, pin_id)];
    assert_eq!(client.list().iter().map(fields).collect::<Vec<_>>(), want);
    let answer = client.ask(INFO, 0, &string("hits"), &[]);
    assert_eq!((answer.status, answer.reason.as_str()), (0, ""));
    assert_eq!(answer.records.iter().map(fields).collect::<Vec<_>>(), want);
}

/// Checks that `hits` is handed out as it was stored, but not with less access, which needs its pin.
#[track_caller]
fn still_hands_out(agent: &mut Agent, client: &Client, map: &OwnedFd, why: &str) {
    for flags in [0, READ | WRITE] {
        assert_eq!(what_is(&client.get(&["hits"], flags).fds[0]), what_is(map));
    }
    for flags in [READ, WRITE] {
        let got = client.get(&["hits"], flags);
        let why = format!("{why}: no fd with less access can be opened");
        assert_eq!((got.status, got.reason.as_str(), got.fds.len()), (MISTAKEN, &*why, 0));
        agent.line(&format!("refused: {why}"));
    }
}

#[track_caller]
fn is_done(answer: &Answer) {
    assert_eq!((answer.status, answer.reason.as_str()), (0, ""));
}

#[test]
fn swapped_pin_is_logged_and_the_stored_object_returned() {
    let lab = Lab::new();
    let (mut agent, client, map) = with_hits(&lab);
    let id = id_of(&map);
    check_record(&client, id, PINNED, id);
    let other = lab.array("other", 1);
    let other_id = map_id(&other);
    rename(&other, PIN).unwrap();
    check_record(&client, id, CHANGED, other_id);
    let why = format!("\"hits\": its pin refers to id {other_id}, but map {id} was stored");
    still_hands_out(&mut agent, &client, &map, &why);
    // An object of another kind, too.
    rename(pin_program("program"), PIN).unwrap();
    let program = what_is(open_pin(PIN.as_ref())).1;
    check_record(&client, id, CHANGED, program);
    let why = format!("\"hits\": its pin refers to id {program}, but map {id} was stored");
    still_hands_out(&mut agent, &client, &map, &why);
    // Putting the same map again restores the pin.
    is_done(&client.put("hits", map.as_fd()));
    check_record(&client, id, PINNED, id);
    agent.kill();
    assert_eq!(start(&lab).log, ["bpf-agent: serves on 1 socket, holds 1 object"]);
}

#[test]
fn removed_pin_is_logged_and_the_stored_object_returned() {
    let lab = Lab::new();
    let (mut agent, client, map) = with_hits(&lab);
    let id = id_of(&map);
    let why = format!("\"hits\": the pin of map {id} is gone, or cannot be opened");
    let vanish: [fn(); 2] = [
        || remove_file(PIN).unwrap(),
        || {
            remove_dir_all(format!("{STATE}/hits")).unwrap();
        },
    ];
    for vanish in vanish {
        vanish();
        check_record(&client, id, GONE, 0);
        still_hands_out(&mut agent, &client, &map, &why);
        is_done(&client.put("hits", map.as_fd()));
        check_record(&client, id, PINNED, id);
        vanish();
        let new = new_map("new");
        is_done(&replace(&client, "hits", new.as_fd()));
        check_record(&client, id_of(&new), PINNED, id_of(&new));
        is_done(&replace(&client, "hits", map.as_fd()));
        vanish();
        is_done(&client.ask(REMOVE, 0, &string("hits"), &[]));
        assert!(client.list().is_empty());
        is_done(&client.put("hits", map.as_fd()));
    }
}

/// An agent that was started again after the pin of `hits` had been changed or removed.
struct Mistaken {
    agent: Agent,
    client: Client,
    map: OwnedFd,
    why: String,
}

/// Starts an agent after `meddle` has changed or removed the pin of the map that was stored.
fn mistaken(lab: &Lab, state: u8, meddle: impl Fn() -> u32) -> Mistaken {
    let (agent, _, map) = with_hits(lab);
    agent.stop();
    let (id, pin_id) = (id_of(&map), meddle());
    let why = match pin_id {
        0 => format!("\"hits\": the pin of map {id} is gone, or cannot be opened"),
        _ => format!("\"hits\": its pin refers to id {pin_id}, but map {id} was stored"),
    };
    let agent = start(lab);
    let warning = format!("bpf-agent: {why}");
    assert_eq!(agent.log, [&warning, "bpf-agent: serves on 1 socket, holds 1 object"]);
    let client = Client::connect(&lab.path("agent"));
    check_record_with(&client, NONE, id, state, pin_id);
    Mistaken { agent, client, map, why }
}

fn is_mended(lab: &Lab, state: u8, meddle: impl Fn() -> u32) {
    // Nothing is handed out. Only the map that was stored, or a replacement, can be put by the name.
    let Mistaken { mut agent, client, map, why } = mistaken(lab, state, &meddle);
    for flags in [0, READ, WRITE, READ | WRITE] {
        let got = client.get(&["hits"], flags);
        assert_eq!((got.status, &got.reason, got.fds.len()), (MISTAKEN, &why, 0));
        agent.line(&format!("refused: {why}"));
    }
    let new = new_map("new");
    assert_eq!(client.put("hits", new.as_fd()).status, EXISTS);
    is_done(&replace(&client, "hits", new.as_fd()));
    check_record(&client, id_of(&new), PINNED, id_of(&new));
    assert_eq!(what_is(&client.get(&["hits"], 0).fds[0]), what_is(&new));
    is_done(&client.ask(REMOVE, 0, &string("hits"), &[]));
    drop((agent, client, map));

    let Mistaken { agent, client, .. } = mistaken(lab, state, &meddle);
    is_done(&client.ask(REMOVE, 0, &string("hits"), &[]));
    assert_eq!(client.get(&["hits"], 0).reason, "nothing is stored as \"hits\"");
    drop((agent, client));

    // The map that was stored can be put again.
    let Mistaken { agent, client, map, .. } = mistaken(lab, state, &meddle);
    is_done(&client.put("hits", map.as_fd()));
    assert_eq!(what_is(&client.get(&["hits"], 0).fds[0]), what_is(&map));
    agent.kill();
    let agent = start(lab);
    assert_eq!(agent.log, ["bpf-agent: serves on 1 socket, holds 1 object"]);
}

#[test]
fn pin_swapped_while_stopped_is_refused() {
    let lab = Lab::new();
    is_mended(&lab, CHANGED, || {
        let other = lab.array("other", 1);
        let id = map_id(&other);
        rename(other, PIN).unwrap();
        id
    });
}

#[test]
fn pin_removed_while_stopped_is_refused() {
    let lab = Lab::new();
    is_mended(&lab, GONE, || {
        remove_file(PIN).unwrap();
        0
    });
}

#[test]
fn unmounted_state_serves_gets_and_refuses_puts() {
    let lab = Lab::new();
    let (mut agent, client, map) = with_hits(&lab);
    nix::mount::umount2(BPFFS, nix::mount::MntFlags::MNT_DETACH).unwrap();
    check_record(&client, id_of(&map), GONE, 0);
    assert_eq!(what_is(&client.get(&["hits"], 0).fds[0]), what_is(&map));
    let why = format!("{STATE}: not the state any more: unmounted, or replaced");
    let new = new_map("new");
    for put in [
        client.put("new", new.as_fd()),
        client.put("hits", map.as_fd()),
        replace(&client, "hits", new.as_fd()),
    ] {
        assert_eq!((put.status, put.reason.as_str()), (FAILED, &*why));
        agent.line(&why);
    }
    assert_eq!(client.list().len(), 1);
    assert_eq!(agent.stop().status, 0);
}

/// An agent that holds three maps: `hits`, whose pin is of another map by now, `kept`, and `shut`,
/// which was put write-only. Returns the ids of `hits` and of the other map too.
fn with_one_changed(lab: &Lab) -> (Agent, [u32; 2]) {
    let rule = ["--allow", "*:uid=65534:list,read", "--socket-mode", "0666"];
    let words = ["--socket", "agent", "--state", STATE];
    let agent = Agent::start(&mut lab.agent([&words[..], &rule].concat()));
    let client = Client::connect(&lab.path("agent"));
    let map = new_map("hits");
    is_done(&client.put("hits", map.as_fd()));
    is_done(&client.put("kept", new_map("kept").as_fd()));
    let pin = lab.array("other", 1);
    is_done(&client.put("shut", open_pin_with(&pin, 16).as_fd()));
    let other = map_id(&pin);
    rename(pin, PIN).unwrap();
    (agent, [id_of(&map), other])
}

/// Runs `bpf-exec --agent` with these words, and without names; prints the names handed over.
fn handed_over(lab: &Lab, wrapper: &[&str], words: &[&str]) -> Run {
    let rest = ["--agent", "agent", "--", "sh", "-c", "env | grep ^BPF_.*_NAME= | sort"];
    let command = lab.program(&lab.reachable("bpf-exec"), [words, &rest].concat());
    run(&mut wrapped(&[wrapper, &["env"]].concat(), &command))
}

#[test]
fn unavailable_objects_are_skipped_without_names() {
    let lab = Lab::new();
    let (agent, [id, other]) = with_one_changed(&lab);
    let done = |stdout: &str| Run { status: 0, stdout: stdout.into(), stderr: String::new() };
    let all = done("BPF_MAP0_NAME=hits\nBPF_MAP1_NAME=kept\nBPF_MAP2_NAME=shut\n");
    let kept = done("BPF_MAP0_NAME=kept\n");
    // An object that the agent holds is available with the access it was put with; a read-only fd
    // needs the pin.
    assert_eq!(handed_over(&lab, &[], &[]), all);
    assert_eq!(handed_over(&lab, &[], &["-r"]), kept);
    assert_eq!(handed_over(&lab, &NOBODY, &[]), kept);
    let nobody = User::new(65534);
    let client = Client::connect_as(&lab.path("agent"), &nobody);
    let accesses = |client: &Client| client.list().iter().map(|r| r.access).collect::<Vec<_>>();
    assert_eq!(accesses(&client), [NONE, READ_ONLY, NONE]);
    let why = format!("\"hits\": its pin refers to id {other}, but map {id} was stored");
    let less = format!("{why}: no fd with less access can be opened");
    let words = ["-r", "--agent", "agent#kept,hits", "--", "echo", "ran"];
    fails(&mut lab.exec(words), 125, &format!("bpf-exec: agent: get: {less}"));
    // After a restart, the agent does not hold the changed object.
    agent.kill();
    let (_agent, path) = (start(&lab), lab.path("agent"));
    assert_eq!(handed_over(&lab, &[], &[]), done("BPF_MAP0_NAME=kept\nBPF_MAP1_NAME=shut\n"));
    assert_eq!(handed_over(&lab, &[], &["-r"]), kept);
    let root = Client::connect(&path);
    assert_eq!(accesses(&root), [NONE, READ_WRITE, 2]);
    let table = stdout_of(&mut lab.map(["agent", "--socket=agent", "hits"]));
    let words: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().collect();
    // The columns after the type. The type is "type 0": it cannot be determined any more.
    assert_eq!((words[2], &words[5..8]), (&*format!("{id}->{other}"), &["-", "rw", "changed"][..]));
    let words = ["--agent", "agent#kept,hits", "--", "echo", "ran"];
    fails(&mut lab.exec(words), 125, &format!("bpf-exec: agent: get: {why}"));
    let all = root.get(&["kept", "hits"], 0);
    assert_eq!((all.status, all.reason, all.fds.len()), (MISTAKEN, why, 0));
}
