//! The agent's state directory: it outlives the agent unchanged, and no other user can write to it.

use crate::common::agent::*;
use crate::common::fds::*;
use crate::common::*;
use std::fs::{create_dir, set_permissions, symlink_metadata};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

const STATE: &str = "/sys/fs/bpf/agent";

fn start(lab: &Lab) -> Agent {
    Agent::start(&mut lab.agent(["--socket", "agent", "--state", STATE]))
}

fn mode_of(path: &str) -> u32 {
    symlink_metadata(path).expect("a file").permissions().mode() & 0o7777
}

#[test]
fn state_mode_does_not_depend_on_the_umask() {
    let lab = Lab::new();
    let command = lab.agent(["--socket", "agent", "--state", STATE]);
    let agent = Agent::start(&mut after("umask 0", &command));
    assert_eq!(mode_of(STATE), 0o1700);
    assert_eq!(agent.log, ["bpf-agent: serves on 1 socket, holds 0 objects"]);
    let end = agent.stop();
    assert_eq!((end.status, end.stderr.as_str()), (0, "bpf-agent: ends\n"));
    // An empty state is kept for the next one.
    assert_eq!(mode_of(STATE), 0o1700);
}

#[test]
fn directory_writable_by_others_is_refused() {
    let lab = Lab::new();
    let here = |name: &str| format!("{BPFFS}/{name}");
    for name in ["open", "good", "parent", "parent/theirs"] {
        create_dir(here(name)).unwrap();
        set_permissions(here(name), PermissionsExt::from_mode(0o700)).unwrap();
    }
    set_permissions(here("open"), PermissionsExt::from_mode(0o755)).unwrap();
    chown(here("parent/theirs"), Some(65534), None).unwrap();
    symlink(here("good"), here("link")).unwrap();
    lab.array("pin", 1);
    create_dir(lab.path("dir")).unwrap();
    let dir = lab.path("dir").to_str().unwrap().to_owned();
    let off = lab.path("off").to_str().unwrap().to_owned();
    let before = lab.files();
    for (state, cause) in [
        (here("open"), "open to others: mode 0755"),
        (here("parent/theirs"), "it belongs to uid 65534"),
        (here("link"), "not a directory"),
        (here("pin"), "not a directory"),
        (here("missing/agent"), "no such file or directory"),
        (dir, "not on a bpf file system"),
        (off, "not on a bpf file system"),
    ] {
        let mut agent = lab.agent(["--socket", "agent", "--state", &state]);
        fails(&mut agent, 2, &format!("bpf-agent: {state}: open state: {cause}"));
        assert_eq!(lab.files(), before, "{state}");
    }
    let binary = lab.reachable("bpf-agent");
    for state in [here("parent/agent"), here("good")] {
        let nobody = lab.program(&binary, ["--socket", "agent", "--state", &state]);
        let line = format!("bpf-agent: {state}: open state: permission denied");
        fails(&mut wrapped(&NOBODY, &nobody), 2, &line);
        assert_eq!(lab.files(), before, "{state}");
    }
}

#[test]
fn two_agents_cannot_have_one_state() {
    let lab = Lab::new();
    let first = start(&lab);
    let line = format!("bpf-agent: {STATE}: open state: another agent uses it");
    fails(&mut lab.agent(["--socket", "second", "--state", STATE]), 2, &line);
    assert!(!lab.path("second").exists());
    // The lock is released when the process ends, in whatever way.
    first.kill();
    start(&lab);
}

/// A layout of exactly 64 KiB, no two pieces of which are alike.
fn long_layout() -> String {
    let mut layout = "u32 -> enum:u64{".to_owned();
    for n in 0.. {
        // Not a value that the notation leaves out.
        let member = format!("m{n}={}, ", n * 2 + 1);
        if layout.len() + member.len() + 10 > 65536 {
            break;
        }
        layout += &member;
    }
    layout + "z=99999999}"
}

/// Puts objects of all kinds, with names and layouts that are hard to keep.
fn fill(lab: &Lab, client: &Client) -> Vec<Vec<u8>> {
    let array = lab.array("array", 1);
    let (program, link) = (pin_program("program"), pin_link("link"));
    let layout = long_layout();
    let map = open_pin(&array);
    let put = |name: &[u8], layout: &str, fd: BorrowedFd| {
        let put = client.ask(PUT, 0, &strings(&[name, layout.as_bytes()]), &[fd]);
        assert_eq!((put.status, put.reason.as_str()), (0, ""), "{name:?}");
    };
    put(b"map", "u32 -> u64", map.as_fd());
    put(b"long", &layout, map.as_fd());
    for (name, mode) in [("reads", READ), ("writes", WRITE)] {
        put(name.as_bytes(), "", client.get(&["map"], mode).fds[0].as_fd());
    }
    put(b"a.prog", "", open_pin(&program).as_fd());
    put(b"li#nk", "", open_pin(&link).as_fd());
    // Three bytes each in the name of its file, which has 255 at most.
    let long = [b'.'; 85];
    let hard: [&[u8]; 8] =
        [b"filter.o#3", b"a b", "größe".as_bytes(), b"\xff\xfe", b"%41", b"%new-0", b"..", &long];
    for name in hard {
        put(name, "", new_map("hard").as_fd());
    }
    let plain = ["map", "long", "reads", "writes", "a.prog", "li#nk"].map(|n| n.into()).to_vec();
    [plain, hard.map(Vec::from).to_vec()].concat()
}

#[test]
fn all_that_was_put_is_held_after_a_stop_and_after_a_kill() {
    let lab = Lab::new();
    let socket = lab.path("agent");
    let mut agent = start(&lab);
    let client = Client::connect(&socket);
    let names = fill(&lab, &client);
    let before = client.list();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    for record in &before {
        assert_eq!((record.state, record.pin_id), (1, record.id), "{record:?}");
        assert_eq!((record.uid, record.gid, record.pid), (0, 0, std::process::id()));
        assert!(now.as_secs().abs_diff(record.time) < 60, "{record:?}");
    }
    let bounds: Vec<u8> = ["map", "reads", "writes", "a.prog", "li#nk"]
        .map(|name| before.iter().find(|r| r.name == name).unwrap().bound)
        .into();
    assert_eq!(bounds, [3, 1, 2, 3, 3]);
    assert_eq!(before.iter().find(|r| r.name == "long").unwrap().layout, long_layout());
    for end in [Agent::stop, Agent::kill] {
        let fds = client_fds(&socket, &names);
        end(agent);
        agent = start(&lab);
        assert_eq!(agent.log, ["bpf-agent: serves on 1 socket, holds 14 objects"]);
        assert_eq!(Client::connect(&socket).list(), before);
        assert_eq!(client_fds(&socket, &names), fds);
    }
    // What the tests pinned is not needed for any of it.
    for pin in ["array", "program", "link"] {
        std::fs::remove_file(Path::new(BPFFS).join(pin)).unwrap();
    }
    let fds = client_fds(&socket, &names);
    agent.kill();
    let _agent = start(&lab);
    assert_eq!(client_fds(&socket, &names), fds);
}

#[test]
fn name_unfit_for_a_file_is_refused() {
    let lab = Lab::new();
    let mut agent = start(&lab);
    let client = Client::connect(&lab.path("agent"));
    let put = client.put(&".".repeat(86), new_map("new").as_fd());
    let reason = "a name of 258 bytes for a file, which takes 255";
    assert_eq!((put.status, put.reason.as_str()), (9, reason));
    agent.line(reason);
    assert_eq!(client.put(&"x".repeat(200), new_map("new").as_fd()).status, 0);
    assert_eq!(client.list().len(), 1);
}

/// The kind, id and access mode of what is handed out for each name.
fn client_fds(socket: &Path, names: &[Vec<u8>]) -> Vec<(String, u32, i32)> {
    let got = Client::connect(socket).ask(GET, 0, &strings(names), &[]);
    assert_eq!((got.status, got.reason.as_str(), got.fds.len()), (0, "", names.len()));
    got.fds.iter().map(what_is).collect()
}

#[test]
fn unfinished_changes_are_removed_at_the_next_start() {
    let lab = Lab::new();
    let agent = start(&lab);
    let map = new_map("held");
    Client::connect(&lab.path("agent")).put("held", map.as_fd());
    agent.kill();
    let before = lab.files();
    for (directory, pin) in [("%new-0", "a"), ("%new-77", "b"), ("%old-0", "c")] {
        let directory = format!("{STATE}/{directory}");
        create_dir(&directory).unwrap();
        symlink("v1 map id=1", format!("{directory}/about")).unwrap();
        std::fs::rename(lab.array(pin, 1), format!("{directory}/map")).unwrap();
    }
    create_dir(format!("{STATE}/%old-1")).unwrap();
    let agent = start(&lab);
    assert_eq!(agent.log, ["bpf-agent: serves on 1 socket, holds 1 object"]);
    assert_eq!(lab.files(), before);
    let client = Client::connect(&lab.path("agent"));
    assert_eq!(client.put("new", new_map("new").as_fd()).status, 0);
}

/// An earlier version stored objects under such names.
#[test]
fn stored_name_with_a_colon_can_be_used_and_removed() {
    let lab = Lab::new();
    let agent = start(&lab);
    let map = new_map("old");
    assert_eq!(Client::connect(&lab.path("agent")).put("old", map.as_fd()).status, 0);
    agent.stop();
    std::fs::rename(format!("{STATE}/old"), format!("{STATE}/a%3Ab")).unwrap();
    let agent = start(&lab);
    assert_eq!(agent.log, ["bpf-agent: serves on 1 socket, holds 1 object"]);
    let client = Client::connect(&lab.path("agent"));
    assert_eq!(id_of(&client.get(&["a:b"], READ).fds[0]), id_of(&map));
    let renamed = "bpf-exec: warning: BPF_MAP0: the name \"a:b\" contains '/', ':', '=' or a \
                   control byte: \"old\" is used\n";
    let words = ["--agent", "agent#a:b", "--", "sh", "-c", "echo $BPF_MAP0_NAME"];
    let want = Run { status: 0, stdout: "old\n".into(), stderr: renamed.into() };
    assert_eq!(run(&mut lab.exec(words)), want);
    assert_eq!(stdout_of(&mut lab.map(["agent", "--socket=agent", "--remove", "a:b"])), "");
    assert!(client.list().is_empty());
}

#[test]
fn unknown_files_are_kept_and_logged() {
    let lab = Lab::new();
    start(&lab).stop();
    let about = "v1 map id=1 access=rw uid=0 gid=0 pid=1 time=1";
    for (name, text) in [
        ("silent", None),
        ("newer", Some("v2 map id=1 access=rw uid=0 gid=0 pid=1 time=1")),
        ("garbage", Some("\u{1b}[2J")),
        ("12", Some(about)),
        ("%41", Some(about)),
        ("%other-1", Some(about)),
    ] {
        let directory = format!("{STATE}/{name}");
        create_dir(&directory).unwrap();
        if let Some(text) = text {
            symlink(text, format!("{directory}/about")).unwrap();
        }
    }
    lab.array("agent/pin", 1);
    symlink(about, format!("{STATE}/about")).unwrap();
    let before = lab.files();
    let mut agent = start(&lab);
    let mut log = agent.log.clone();
    log.sort();
    let line = |name: &str, why: &str| format!("bpf-agent: {STATE}/{name}: {why}, left alone");
    let (name, silent) = ("not the name of an object", "it has no description");
    let strange = "its description is malformed";
    assert_eq!(
        log,
        [
            line("%41", name),
            line("%other-1", name),
            line("12", name),
            line("about", silent),
            line("garbage", strange),
            line("newer", strange),
            line("pin", silent),
            line("silent", silent),
            "bpf-agent: serves on 1 socket, holds 0 objects".into(),
        ]
    );
    // Nothing takes their place.
    let client = Client::connect(&lab.path("agent"));
    for flags in [0, REPLACE] {
        for name in ["newer", "pin"] {
            let body = strings(&[name, ""]);
            let put = client.ask(PUT, flags, &body, &[new_map("new").as_fd()]);
            assert_eq!((put.status, put.reason), (9, format!("{STATE}/{name}: in the way")));
            agent.line("in the way");
        }
    }
    assert!(client.list().is_empty());
    drop(agent);
    for socket in ["agent", "agent.root"] {
        std::fs::remove_file(lab.path(socket)).unwrap();
    }
    assert_eq!(lab.files(), before);
}
