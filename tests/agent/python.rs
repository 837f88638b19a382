//! `examples/agent.py`, with the agent, and with agents that do not keep to the protocol.

use crate::common::agent::{Agent, Client, GET, VERSION, packet as request, string};
use crate::common::fds::{id_of, new_map, pin_link, pin_program};
use crate::common::*;
use crate::support::played::{Played, no, play, play_as};
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::Command;

/// Debian's own, which every user can reach.
const PYTHON: &str = "/usr/bin/python3";
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/agent.py");

/// The client, with the socket `agent` in the lab's directory.
fn client<S: AsRef<OsStr>>(lab: &Lab, arguments: &[S]) -> Command {
    let mut command = lab.program(PYTHON, [SCRIPT, "agent"]);
    command.args(arguments);
    command
}

fn agent(lab: &Lab, rules: &[&str]) -> Agent {
    let state = format!("{BPFFS}/agent");
    let mut command = lab.agent(["--socket", "agent", "--socket-mode", "0666", "--state", &state]);
    Agent::start(command.args(rules.iter().flat_map(|rule| ["--allow", rule])))
}

/// Stores the map pinned as `pin` under its name, by the client.
fn put(lab: &Lab, pin: &Path) {
    let name = pin.file_name().unwrap().to_str().unwrap();
    let words = ["--pin", pin.to_str().unwrap(), "--fd-base", "64", "--"];
    let put = client(lab, &["put", name, "64", "u32 -> u64"]);
    let mut command = lab.exec(words);
    assert_eq!(stdout_of(command.arg(put.get_program()).args(put.get_args())), "");
}

#[test]
fn map_is_put_listed_used_and_removed() {
    let lab = Lab::new();
    let pin = lab.hash("hits");
    let id = map_id(&pin);
    let agent = agent(&lab, &[]);
    let waiting = client(&lab, &["wait", "hits"]).stdout(std::process::Stdio::piped()).spawn();
    put(&lab, &pin);
    let listed = format!("hits\tmap\t{id}\trw\tpinned\tu32 -> u64\n");
    let waited = Run::from(waiting.unwrap().wait_with_output().unwrap());
    assert_eq!(waited, Run { status: 0, stdout: listed.clone(), stderr: String::new() });
    assert_eq!(stdout_of(&mut client(&lab, &["list"])), listed);
    assert_eq!(stdout_of(&mut client(&lab, &["list", "h?ts"])), listed);
    assert_eq!(stdout_of(&mut client(&lab, &["list", "other*"])), "");
    let got = stdout_of(&mut client(&lab, &["get", "hits"]));
    let (fd, rest) = got.split_once('\t').unwrap();
    assert_eq!((fd.parse::<u32>().is_ok(), rest), (true, &*format!("map\t{id}\trw\thits\n")));
    let read = client(&lab, &["get", "hits", "--", "bpf-map", "get", "hits", "1"]);
    assert_eq!(stdout_of(&mut { read }), "42\n");
    // Variables of the contract that were inherited are removed.
    let mut env = client(&lab, &["get", "hits", "--", "env"]);
    let env = stdout_of(env.envs([("BPF_MAP7", "3"), ("BPF_NUM_PROGS", "1")]));
    let number = variable(&env, "BPF_MAP0").unwrap().to_owned();
    let mut found = contract(&env);
    found.sort();
    let mut want = vec![
        "BPF_NUM_MAPS=1".to_owned(),
        format!("BPF_MAP0={number}"),
        "BPF_MAP0_NAME=hits".into(),
        "BPF_MAP0_LAYOUT=u32 -> u64".into(),
    ];
    want.sort();
    assert_eq!(found, want);
    // The command's own status, and its death by a signal.
    for (script, status) in [("exit 7", 7), ("kill -9 $$", 137)] {
        let got = run(&mut client(&lab, &["get", "hits", "--", "sh", "-c", script]));
        assert_eq!((got.status, got.stderr.as_str()), (status, ""));
    }
    assert_eq!(stdout_of(&mut client(&lab, &["remove", "hits"])), "");
    assert_eq!(stdout_of(&mut client(&lab, &["list"])), "");
    assert_eq!(agent.stop().status, 0);
}

#[test]
fn get_returns_every_object_kind_in_several_packets() {
    let lab = Lab::new();
    let _agent = agent(&lab, &[]);
    let peer = Client::connect(&lab.path("agent"));
    for (name, pin) in [("prog", pin_program("p")), ("link", pin_link("l"))] {
        assert_eq!(peer.put(name, open_pin(&pin).as_fd()).status, 0);
    }
    let names: Vec<String> = (0..300).map(|n| format!("m{n:03}")).collect();
    let maps: Vec<OwnedFd> = names.iter().map(|_| new_map("m")).collect();
    for (name, map) in names.iter().zip(&maps) {
        assert_eq!(peer.put(name, map.as_fd()).status, 0);
    }
    let mut command = client(&lab, &["get", "prog", "link"]);
    let got = stdout_of(command.args(&names));
    let kinds: Vec<&str> = got.lines().map(|line| line.split('\t').nth(1).unwrap()).collect();
    assert_eq!(kinds[..2], ["prog", "link"]);
    assert!(kinds[2..].iter().all(|kind| *kind == "map"));
    let ids: Vec<u32> =
        got.lines().skip(2).map(|line| line.split('\t').nth(2).unwrap().parse().unwrap()).collect();
    assert_eq!(ids, maps.iter().map(id_of).collect::<Vec<_>>());
    let mut command = client(&lab, &["get", "prog", "link"]);
    let script = "echo $BPF_NUM_MAPS $BPF_NUM_PROGS $BPF_NUM_LINKS $BPF_PROG0_NAME $BPF_MAP299_NAME
        readlink /proc/self/fd/$BPF_LINK0 /proc/self/fd/$BPF_PROG0";
    let stdout = stdout_of(command.args(&names).args(["--", "sh", "-c", script]));
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!(lines[0], "300 1 1 prog m299");
    let link = lines[1].ends_with("bpf_link") || lines[1].ends_with("bpf-link");
    assert!(link && lines[2].ends_with("bpf-prog"), "{stdout}");
}

#[test]
fn unprivileged_user_gets_what_the_rules_allow() {
    let lab = Lab::new();
    let pin = lab.hash("hits");
    let id = map_id(&pin);
    let agent = agent(&lab, &["hits:uid=65534:list,read", "seen:uid=65534:list"]);
    put(&lab, &pin);
    let nobody = |words: &[&str]| {
        // The script may be where only root can read.
        std::fs::copy(SCRIPT, lab.path("agent.py")).unwrap();
        let mut command = lab.program("setpriv", &NOBODY[1..]);
        command.args([PYTHON, "agent.py", "agent"]).args(words);
        command
    };
    let map = lab.reachable("bpf-map");
    assert_eq!(
        stdout_of(&mut nobody(&["list"])),
        format!("hits\tmap\t{id}\tr\tpinned\tu32 -> u64\n")
    );
    assert_eq!(stdout_of(&mut nobody(&["get", "hits", "--", &map, "get", "hits", "1"])), "42\n");
    let write = run(&mut nobody(&["get", "hits", "--", &map, "set", "hits", "1", "1"]));
    assert_eq!((write.status, write.stdout.as_str()), (2, ""), "{write:?}");
    let no_rule = "no rule for uid 65534 matches";
    let short = "not allowed by rule seen:uid=65534:list";
    for (words, reason) in [
        (&["get", "secret"][..], format!("read of \"secret\": {no_rule}")),
        (&["get", "seen"], format!("read of \"seen\": {short}")),
        (&["remove", "seen"], format!("remove of \"seen\": {short}")),
        (&["put", "new", "0"], format!("put of \"new\": {no_rule}")),
    ] {
        fails(&mut nobody(words), 2, &format!("agent.py: {reason}"));
    }
    fails(&mut client(&lab, &["get", "seen"]), 1, "agent.py: nothing is stored as \"seen\"");
    let unfit = "agent.py: a file, not a BPF object";
    fails(&mut client(&lab, &["put", "x", "0"]), 2, unfit);
    fails(&mut client(&lab, &["put", "x", "99"]), 2, "agent.py: Bad file descriptor");
    assert_eq!(agent.stop().status, 0);
    fails(&mut client(&lab, &["list"]), 2, "agent.py: No such file or directory");
    // Root does not trust an agent that runs as the user nobody; that user may use it.
    for (mut command, stderr) in [
        (client(&lab, &["get", "hits"]), "the agent runs as uid 65534, which root does not trust"),
        (nobody(&["get", "hits"]), "no"),
    ] {
        let run = play_as(65534, &lab.path("agent"), &mut command, |played| {
            let client = played.accept();
            let asked = !client.receive().unwrap().bytes.is_empty();
            assert_eq!(asked, stderr == "no");
            let _ = client.send(&no(2, 1, "no"), &[]);
        });
        let stderr = format!("agent.py: {stderr}\n");
        assert_eq!(run, Run { status: 2, stdout: String::new(), stderr });
    }
}

/// A packet, and the file descriptors that are sent with it.
type Sent<'a> = (Vec<u8>, Vec<&'a OwnedFd>);

/// The request of every client that these agents answer.
fn get_request() -> Vec<u8> {
    request(GET, 0, 1, &string("m"))
}

/// Takes one request, and answers it with these packets, or not at all.
fn answer(played: &Played, packets: &[Sent]) {
    let client = played.asked(&get_request());
    for (packet, fds) in packets {
        let fds: Vec<BorrowedFd> = fds.iter().map(|fd| fd.as_fd()).collect();
        client.send(packet, &fds).expect("sent");
    }
}

fn header(status: u8, flags: u16, number: u32) -> Vec<u8> {
    let (flags, number) = (flags.to_ne_bytes(), number.to_ne_bytes());
    [&[VERSION, status][..], &flags, &number].concat()
}

/// A packet of records.
fn packet(flags: u16, records: &[Vec<u8>]) -> Vec<u8> {
    let count = (records.len() as u32).to_ne_bytes();
    [header(0, flags, 1), count.to_vec(), records.concat()].concat()
}

fn record(class: u8, access: u8, id: u32, name: &str) -> Vec<u8> {
    let words = [id, 0, 2, 4, 8, 1, 0, 0, 0, 1].map(u32::to_ne_bytes).concat();
    let head = [class, access, 3, 0];
    [&head[..], &words, &[0; 8], &string(name), &string("")].concat()
}

#[test]
fn malformed_reply_is_refused_and_no_command_runs() {
    let lab = Lab::new();
    let map = new_map("m");
    let other: OwnedFd = std::fs::File::open("/dev/null").unwrap().into();
    let id = id_of(&map);
    let good = record(1, 3, id, "m");
    let other_object = "agent.py: m: file descriptor 4 is not the object in the record";
    let unlike =
        "agent.py: a packet of the wrong length or with the wrong number of file descriptors";
    let strange = "agent.py: a malformed record";
    let with = |at: usize, byte: u8| {
        let mut bytes = packet(0, std::slice::from_ref(&good));
        bytes[at] = byte;
        bytes
    };
    let refused: Vec<(Vec<Sent>, &str)> = vec![
        (vec![(packet(0, &[record(1, 3, id + 1, "m")]), vec![&map])], other_object),
        (vec![(packet(0, &[record(1, 1, id, "m")]), vec![&map])], other_object),
        (vec![(packet(0, &[record(2, 3, id, "m")]), vec![&map])], other_object),
        (vec![(packet(0, &[record(1, 3, id, "n")]), vec![&map])], other_object),
        (vec![(packet(0, std::slice::from_ref(&good)), vec![&other])], other_object),
        (vec![(packet(0, std::slice::from_ref(&good)), vec![])], unlike),
        (vec![(packet(0, std::slice::from_ref(&good)), vec![&map, &map])], unlike),
        (vec![(packet(0, &[]), vec![&map])], unlike),
        (vec![([with(0, 2), vec![0]].concat(), vec![&map])], unlike),
        (vec![(packet(0, &[]), vec![])], "agent.py: not the names that were asked for"),
        (vec![(with(0, 1), vec![&map])], "agent.py: not a reply to this request"),
        (vec![(with(4, 9), vec![&map])], "agent.py: not a reply to this request"),
        (vec![(with(12, 4), vec![&map])], strange),
        (vec![(with(13, 4), vec![&map])], strange),
        (
            vec![
                (packet(1, std::slice::from_ref(&good)), vec![&map]),
                ([header(9, 0, 1), string("\x1b gone")].concat(), vec![]),
            ],
            "agent.py: \\x1b gone",
        ),
    ];
    let cut = |length| vec![(with(0, VERSION)[..length].to_vec(), vec![&map])];
    let cuts = [1, 7, 9, 30, 70];
    let all = refused.iter().map(|(packets, _)| packets.clone()).chain(cuts.map(cut));
    let all: Vec<Vec<Sent>> = all.collect();
    let got = play(&lab.path("agent"), &mut clients(&lab, all.len()), |played| {
        all.iter().for_each(|packets| answer(played, packets));
    });
    assert_eq!((got.status, got.stdout), (0, "2\n".repeat(all.len())), "{}", got.stderr);
    let lines: Vec<&str> = got.stderr.lines().collect();
    let want: Vec<&str> = refused.iter().map(|(_, want)| *want).collect();
    assert_eq!(lines[..want.len()], want);
    assert_eq!(lines.len(), all.len(), "{lines:#?}");
    assert!(lines.iter().all(|line| line.starts_with("agent.py: ")), "{lines:#?}");
}

/// Clients that get `m` and run a command with it, one after the other, which prints the exit status
/// of each: to start an interpreter for each of them would take most of the time.
fn clients(lab: &Lab, count: usize) -> Command {
    const EACH: &str = "\
import os, runpy, sys, array, socket, struct, subprocess
script, count, *sys.argv[1:] = sys.argv[1:]
for _ in range(int(count)):
    child = os.fork()
    if not child:
        runpy.run_path(script, run_name='__main__')
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)";
    let mut command = lab.program(PYTHON, ["-c", EACH, SCRIPT, &count.to_string(), "agent"]);
    command.args(["get", "m", "--", "echo", "run"]);
    command
}

#[test]
fn request_without_a_reply_is_sent_five_times() {
    let lab = Lab::new();
    let map = new_map("m");
    let good: Vec<Sent> = vec![(packet(0, &[record(1, 3, id_of(&map), "m")]), vec![&map])];
    let path = lab.path("agent");
    let got = play(&path, &mut client(&lab, &["get", "m", "--", "echo", "run"]), |played| {
        [&[][..], &[], &good].into_iter().for_each(|packets| answer(played, packets));
    });
    assert_eq!(got, Run { status: 0, stdout: "run\n".into(), stderr: String::new() });
    let got = play(&path, &mut client(&lab, &["get", "m"]), |played| {
        (0..5).for_each(|_| answer(played, &[]));
    });
    let stderr = "agent.py: the agent closes the connection\n".into();
    assert_eq!(got, Run { status: 2, stdout: String::new(), stderr });
}
