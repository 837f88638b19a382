//! Whoever sends to the agent what tc would not, or may not send at all: nothing of it is stored,
//! and nothing of it stays.

mod common;

use common::agent::*;
use common::fds::*;
use common::sender::{Datagram, Entry, Sender, send};
use common::*;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

const NOBODY_UID: u32 = 65534;

fn entry(id: u32) -> Entry {
    [ARRAY, 4, 8, 1, 0, id, 0, 0, 0]
}

/// An agent that takes requests at `agent` and imports at `in`, which is open to everybody.
fn importer(lab: &Lab, options: &[&str]) -> (Agent, Client) {
    let sockets = ["--socket", "agent", "--import", "in", "--socket-mode", "0666"];
    let agent = Agent::start(&mut lab.agent([&sockets, options].concat()));
    let client = Client::connect(&lab.path("agent"));
    // By then the agent has its descriptor of the connection.
    assert!(client.list().is_empty());
    (agent, client)
}

/// The reason of a refusal, which is the next line about the import.
#[track_caller]
fn refused(agent: &mut Agent, uid: u32, pid: impl std::fmt::Display) -> String {
    let line = agent.line("import in");
    let begin = format!("bpf-agent: import in: uid {uid} gid {uid} pid {pid}: refused: ");
    line.strip_prefix(&begin).unwrap_or_else(|| panic!("{line}")).to_owned()
}

#[test]
fn what_tc_would_not_send_is_refused_and_dropped() {
    let lab = Lab::new();
    let (mut agent, client) = importer(&lab, &["--max-objects", "300"]);
    let map = new_map("map");
    let (id, own) = (id_of(&map), std::process::id());
    let pipe = std::io::pipe().unwrap().0;
    let program = open_pin(&pin_program("program"));
    let one = Datagram::of(vec![entry(0)]);
    let two = Datagram::of(vec![entry(0), entry(1)]);
    let with = |at: usize, value: u32| {
        let mut entry = entry(0);
        entry[at] = value;
        Datagram::of(vec![entry]).bytes()
    };
    let named = |object: &str| Datagram { object: object.into(), ..one.clone() }.bytes();
    let declared = |what: &str, value: u32, is: u32| {
        format!("map id {id}: {what} declared as {value}, but is {is}")
    };
    let strange = "holds '/', '=', ',' or a control byte";
    let (map, pipe, program) = (map.as_fd(), pipe.as_fd(), program.as_fd());
    let long = [two.bytes(), vec![0; 36 * 252]].concat();
    let table: Vec<(Vec<u8>, Vec<BorrowedFd>, String)> = vec![
        (vec![], vec![], "a datagram of 0 bytes, shorter than the header's 88".into()),
        (vec![7; 87], vec![map], "a datagram of 87 bytes, shorter than the header's 88".into()),
        (vec![0xff; 300], vec![map], "version 65535, where only 1 is known".into()),
        (
            Datagram { version: 2, ..one.clone() }.bytes(),
            vec![map],
            "version 2, where only 1 is known".into(),
        ),
        (Datagram { total: 0, ..one.clone() }.bytes(), vec![map], "a transfer of 0 maps".into()),
        (
            Datagram { total: 301, ..one.clone() }.bytes(),
            vec![map],
            "a transfer of 301 maps, where 300 may be stored".into(),
        ),
        (
            Datagram { total: 1, ..two.clone() }.bytes(),
            vec![map, map],
            "2 maps in a transfer of 1".into(),
        ),
        (
            Datagram { entries: vec![], ..one.clone() }.bytes(),
            vec![],
            "a datagram without descriptors".into(),
        ),
        (one.bytes(), vec![], "a datagram of 124 bytes, where 0 descriptors want 88".into()),
        (
            one.bytes(),
            vec![map, map],
            "a datagram of 124 bytes, where 2 descriptors want 160".into(),
        ),
        (two.bytes(), vec![map], "a datagram of 160 bytes, where 1 descriptor want 124".into()),
        (
            [one.bytes(), vec![0]].concat(),
            vec![map],
            "a datagram of 125 bytes, where 1 descriptor want 124".into(),
        ),
        (long, vec![map], "a datagram longer than any that tc sends".into()),
        (one.bytes(), vec![pipe], "descriptor 1 of 1 is a pipe, not a map".into()),
        (two.bytes(), vec![map, program], "descriptor 2 of 2 is a BPF program, not a map".into()),
        (with(0, 1), vec![map], declared("type", 1, 2)),
        (with(1, 8), vec![map], declared("key size", 8, 4)),
        (with(2, 0), vec![map], declared("value size", 0, 8)),
        (with(3, u32::MAX), vec![map], declared("max entries", u32::MAX, 1)),
        (named(""), vec![map], "the object has no name".into()),
        (named("dir/"), vec![map], "the object has no name".into()),
        (named("a\nb"), vec![map], format!("\"a\\nb:0\": a name {strange}")),
        (named("\u{1b}[2J"), vec![map], format!("\"\\x1b[2J:0\": a name {strange}")),
        (named("a,b"), vec![map], format!("\"a,b:0\": a name {strange}")),
        (named("a=b"), vec![map], format!("\"a=b:0\": a name {strange}")),
    ];
    let fds = agent.fds();
    for (bytes, with, why) in table {
        send(&lab.path("in"), &bytes, &with);
        assert_eq!(refused(&mut agent, 0, own), why);
    }
    // More than the kernel lets anybody send.
    let many = Datagram::of((0..254).map(entry).collect()).bytes();
    let sender = Sender::new(0, &lab.path("in"), &[(many, &[map; 254])]);
    assert_eq!(sender.send(), Err(nix::errno::Errno::EINVAL));
    // It is as it was, and takes what is right.
    assert!(client.list().is_empty());
    assert_eq!(agent.fds(), fds);
    one.send(&lab.path("in"), &[map]);
    agent.line("stored map");
    assert_eq!(names(&client.list()), ["test.o:0"]);
}

#[test]
fn a_wrong_datagram_spoils_its_transfer() {
    let lab = Lab::new();
    let (mut agent, client) = importer(&lab, &[]);
    let map = new_map("map");
    let pipe = std::io::pipe().unwrap().0;
    let part = |id: u32| Datagram { total: 2, ..Datagram::of(vec![entry(id)]) };
    let fds = agent.fds();
    let garbage = "a datagram of 1 byte, shorter than the header's 88";
    for (bytes, with, why) in [
        (part(1).bytes(), &[pipe.as_fd()][..], "descriptor 2 of 2 is a pipe, not a map"),
        (vec![1], &[], garbage),
    ] {
        part(0).send(&lab.path("in"), &[map.as_fd()]);
        send(&lab.path("in"), &bytes, with);
        assert_eq!(refused(&mut agent, 0, std::process::id()), why);
        assert_eq!(agent.fds(), fds);
    }
    for id in [0, 1] {
        part(id).send(&lab.path("in"), &[map.as_fd()]);
    }
    agent.line("test.o:1");
    assert_eq!(client.list().len(), 2);
}

#[test]
fn who_may_not_put_is_refused_by_what_the_kernel_says_of_the_sender() {
    let lab = Lab::new();
    let (mut agent, client) = importer(&lab, &["--allow", "*:uid=1:all"]);
    let map = new_map("map");
    let fds = agent.fds();
    let sent: &[BorrowedFd] = &[map.as_fd()];
    let bytes = Datagram::of(vec![entry(0)]).bytes();
    let messages = [(bytes.clone(), sent), (vec![1; 9], sent)];
    let sender = Sender::new(NOBODY_UID, &lab.path("in"), &messages);
    for _ in &messages {
        sender.send().unwrap();
        let why = refused(&mut agent, NOBODY_UID, sender.pid);
        assert_eq!(why, "no rule lets uid 65534 put anything");
    }
    assert!(client.list().is_empty());
    assert_eq!(agent.fds(), fds);
    // Where the file does not let it in, it does not come so far.
    agent.stop();
    let _agent = Agent::start(&mut lab.agent(["--import", "in"]));
    let sender = Sender::new(NOBODY_UID, &lab.path("in"), &messages[..1]);
    let end = nix::sys::wait::waitpid(sender.pid, None).unwrap();
    let eacces = nix::errno::Errno::EACCES as i32;
    assert_eq!(end, nix::sys::wait::WaitStatus::Exited(sender.pid, eacces));
}

#[test]
fn a_transfer_is_stored_only_if_all_its_names_may_be_put() {
    let lab = Lab::new();
    let rules = ["test.o:*:uid=65534:put", "mine.o:*:uid=65534:put,remove"];
    let (mut agent, client) = importer(&lab, &["--allow", rules[0], "--allow", rules[1]]);
    let (map, root) = (new_map("map"), new_map("roots"));
    let fds: &[BorrowedFd] = &[map.as_fd(), map.as_fd()];
    let transfer = |object: &str, ids: [u32; 2]| {
        Datagram { object: object.into(), ..Datagram::of(ids.map(entry).into()) }.bytes()
    };
    let messages = [
        ("test.o", [1, 2]),
        ("test.o", [2, 3]),
        ("other.o", [1, 2]),
        ("mine.o", [1, 2]),
        ("mine.o", [2, 3]),
    ];
    let messages = messages.map(|(object, ids)| (transfer(object, ids), fds));
    let sender = Sender::new(NOBODY_UID, &lab.path("in"), &messages);
    assert_eq!(client.put("mine.o:2", root.as_fd()).status, 0);
    // New names want the right to put, taken ones that to remove as well.
    sender.send().unwrap();
    agent.line("as \"test.o:2\"");
    sender.send().unwrap();
    let why = refused(&mut agent, NOBODY_UID, sender.pid);
    assert_eq!(why, format!("put,remove of \"test.o:2\": not allowed by rule {}", rules[0]));
    sender.send().unwrap();
    let why = refused(&mut agent, NOBODY_UID, sender.pid);
    assert_eq!(why, "put of \"other.o:1\": no rule for uid 65534 matches");
    assert_eq!(names(&client.list()), ["mine.o:2", "test.o:1", "test.o:2"]);
    for last in ["mine.o:2", "mine.o:3"] {
        sender.send().unwrap();
        agent.line(&format!("as \"{last}\""));
    }
    let all = client.list();
    assert_eq!(names(&all), ["mine.o:1", "mine.o:2", "mine.o:3", "test.o:1", "test.o:2"]);
    for record in all {
        assert_eq!((record.uid, record.gid), (NOBODY_UID, NOBODY_UID));
        assert_eq!((record.pid, record.id), (sender.pid.as_raw() as u32, id_of(&map)));
    }
}

#[test]
fn a_full_store_takes_no_part_of_a_transfer() {
    let lab = Lab::new();
    let (mut agent, client) = importer(&lab, &["--max-objects", "3"]);
    let own = std::process::id();
    let maps: Vec<OwnedFd> = (0..4).map(|_| new_map("sent")).collect();
    let fds: Vec<BorrowedFd> = maps.iter().map(AsFd::as_fd).collect();
    let path = lab.path("in");
    let send = |ids: &[u32]| {
        Datagram::of(ids.iter().map(|&id| entry(id)).collect()).send(&path, &fds[..ids.len()]);
    };
    send(&[1, 2, 3, 4]);
    assert_eq!(refused(&mut agent, 0, own), "a transfer of 4 maps, where 3 may be stored");
    send(&[1, 2]);
    agent.line("test.o:2");
    send(&[2, 3, 4]);
    let why = "2 names more than the 3 objects that may be stored";
    assert_eq!(refused(&mut agent, 0, own), why);
    assert_eq!(names(&client.list()), ["test.o:1", "test.o:2"]);
    assert_eq!(client.list()[1].id, id_of(&maps[1]));
    // Names that are taken need no room.
    send(&[3, 2, 1]);
    agent.line("test.o:1");
    let ids: Vec<u32> = client.list().iter().map(|r| r.id).collect();
    assert_eq!(ids, [2, 1, 0].map(|at: usize| id_of(&maps[at])));
}

#[test]
fn what_the_state_has_no_place_for_keeps_out_the_whole_transfer() {
    let lab = Lab::new();
    std::fs::create_dir_all("/sys/fs/bpf/agent").unwrap();
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions("/sys/fs/bpf/agent", private).unwrap();
    std::fs::create_dir("/sys/fs/bpf/agent/test%2Eo%3A2").unwrap();
    let (mut agent, client) = importer(&lab, &["--state", "/sys/fs/bpf/agent"]);
    let map = new_map("map");
    let before = lab.files();
    Datagram::of([1, 2, 3].map(entry).into()).send(&lab.path("in"), &[map.as_fd(); 3]);
    let why = refused(&mut agent, 0, std::process::id());
    assert_eq!(why, "/sys/fs/bpf/agent/test%2Eo%3A2: in the way");
    assert!(client.list().is_empty());
    assert_eq!(lab.files(), before);
}

#[test]
fn one_user_does_not_keep_others_out_by_transfers_without_an_end() {
    let lab = Lab::new();
    let (mut agent, client) = importer(&lab, &["--allow", "*:uid=65534:put"]);
    let map = new_map("map");
    let fds: &[BorrowedFd] = &[map.as_fd()];
    let part = |ino: u64| Datagram { total: 2, st_ino: ino, ..Datagram::of(vec![entry(0)]) };
    let messages: Vec<(Vec<u8>, &[BorrowedFd])> =
        (0..9).map(|ino| (part(ino).bytes(), fds)).collect();
    let sender = Sender::new(NOBODY_UID, &lab.path("in"), &messages);
    for _ in &messages {
        sender.send().unwrap();
    }
    let why = refused(&mut agent, NOBODY_UID, sender.pid);
    assert_eq!(why, "too many transfers are unfinished already");
    for id in [5, 6] {
        Datagram { total: 2, ..Datagram::of(vec![entry(id)]) }.send(&lab.path("in"), fds);
    }
    agent.line("test.o:6");
    assert_eq!(names(&client.list()), ["test.o:5", "test.o:6"]);
}
