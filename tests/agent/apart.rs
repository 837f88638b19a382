//! The agent's state directory below the BPF file system root, and programs that walk the root.

use crate::common::agent::*;
use crate::common::fds::*;
use crate::common::*;
use nix::mount::{MsFlags, mount};
use std::fs::{create_dir, create_dir_all, set_permissions, symlink_metadata};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

const STATE: &str = "/sys/fs/bpf/deep/agent";
/// Prints the names that are handed over, sorted.
const NAMES: &str = "env | grep ^BPF_.*_NAME= | sort";

fn mode_of(path: &str) -> u32 {
    symlink_metadata(path).expect("a file").permissions().mode() & 0o7777
}

fn chmod(path: impl AsRef<Path>, mode: u32) {
    set_permissions(path, PermissionsExt::from_mode(mode)).expect("chmod");
}

/// An agent whose state has one object of each kind, and the same pinned elsewhere, open to all.
fn with_all_kinds(lab: &Lab) -> Agent {
    create_dir_all("/sys/fs/bpf/deep").unwrap();
    let agent = Agent::start(&mut lab.agent(["--socket", "agent", "--state", STATE]));
    let client = Client::connect(&lab.path("agent"));
    let map = lab.hash("hits");
    let pins = [pin_program("prog"), pin_link("link"), map];
    for (name, pin) in ["p", "l", "m"].iter().zip(&pins) {
        done(client.put(name, open_pin(pin).as_fd()));
        chmod(pin, 0o666);
    }
    assert!(Path::new(STATE).join("m/map").exists());
    agent
}

/// `program` with these words, by root and by a user without privileges.
fn by_both(lab: &Lab, program: &str, words: &[&str]) -> [Command; 2] {
    let program = lab.reachable(program);
    [lab.program(&program, words), wrapped(&NOBODY, &lab.program(&program, words))]
}

#[test]
fn walk_over_pins_skips_the_state() {
    let lab = Lab::new();
    let _agent = with_all_kinds(&lab);
    let sources: [(&[&str], &str); 4] = [
        (&[], "BPF_MAP0_NAME=hits\n"),
        (&["--pin", "/sys/fs/bpf"], "BPF_MAP0_NAME=hits\n"),
        (&["--prog", "/sys/fs/bpf"], "BPF_PROG0_NAME=prog\n"),
        (&["--link", "/sys/fs/bpf"], "BPF_LINK0_NAME=link\n"),
    ];
    for (source, want) in sources {
        let words = [source, &["--", "sh", "-c", NAMES]].concat();
        for mut command in by_both(&lab, "bpf-exec", &words) {
            assert_eq!(stdout_of(&mut command), want, "{command:?}");
        }
    }
    // The walk does not stop at the state directory: pins that follow it by name are found.
    chmod(lab.array("deep/behind", 1), 0o666);
    for mut command in by_both(&lab, "bpf-exec", &["--", "sh", "-c", NAMES]) {
        let want = "BPF_MAP0_NAME=behind\nBPF_MAP1_NAME=hits\n";
        assert_eq!(stdout_of(&mut command), want, "{command:?}");
    }
}

#[test]
fn pins_in_the_state_are_not_listed() {
    let lab = Lab::new();
    let _agent = with_all_kinds(&lab);
    let id = map_id("/sys/fs/bpf/hits".as_ref());
    for mut command in by_both(&lab, "bpf-map", &["list", "--all", "--json"]) {
        let json: serde_json::Value = serde_json::from_str(&stdout_of(&mut command)).unwrap();
        let found = json.as_array().unwrap().iter().find(|row| row["id"] == id);
        assert_eq!(found.unwrap()["pins"], serde_json::json!(["/sys/fs/bpf/hits"]), "{command:?}");
    }
    // A map whose only pin is in the state directory cannot be reopened read-only.
    let without = "setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin bpf-exec -r";
    let script = format!("{without} -- echo once; rm $0; {without} -- echo twice");
    let pin = "/sys/fs/bpf/hits";
    let mut command = lab.exec(["--pin", pin, "--", "sh", "-c", &script, pin]);
    let why = "hits: open read-only: CAP_SYS_ADMIN or a readable pin of the map is needed";
    let want = Run { status: 125, stdout: "once\n".into(), stderr: format!("bpf-exec: {why}\n") };
    assert_eq!(run(&mut command), want);
    // The agent makes such a one itself.
    let words = ["-r", "--agent", "agent#m", "--", "bpf-map", "get", "m", "1"];
    assert_eq!(stdout_of(&mut lab.exec(words)), "42\n");
}

#[test]
fn named_state_and_directories_of_other_modes_are_walked() {
    let lab = Lab::new();
    let _agent = with_all_kinds(&lab);
    let names = |path: &str| {
        let words = ["--pin", path, "--", "sh", "-c", NAMES];
        stdout_of(&mut lab.exec(words))
    };
    assert_eq!(names(STATE), "BPF_MAP0_NAME=map\n");
    assert_eq!(names(&format!("{STATE}/m")), "BPF_MAP0_NAME=map\n");
    create_dir("/sys/fs/bpf/other").unwrap();
    lab.array("other/kept", 1);
    for mode in [0o700, 0o1600, 0o1701, 0o1740, 0o1777, 0o3700, 0o5700, 0o500] {
        chmod("/sys/fs/bpf/other", mode);
        assert_eq!(names("/sys/fs/bpf"), "BPF_MAP0_NAME=hits\nBPF_MAP1_NAME=kept\n", "{mode:o}");
    }
    // A caller that may not read such a directory gets an error, as for any other directory.
    chmod("/sys/fs/bpf/other", 0o700);
    let [_, mut nobody] = by_both(&lab, "bpf-exec", &["--", "echo", "ran"]);
    let denied = "bpf-exec: /sys/fs/bpf/other: read directory: permission denied";
    fails(&mut nobody, 125, denied);
    chmod("/sys/fs/bpf/other", 0o1700);
    assert_eq!(stdout_of(&mut nobody), "ran\n");
    // A root directory with this mode is walked too.
    chmod("/sys/fs/bpf", 0o1700);
    assert_eq!(names("/sys/fs/bpf"), "BPF_MAP0_NAME=hits\n");
}

#[test]
fn state_of_an_earlier_agent_is_marked() {
    let lab = Lab::new();
    create_dir_all("/sys/fs/bpf/deep").unwrap();
    let command = || lab.agent(["--socket", "agent", "--state", STATE]);
    for mode in [0o700, 0o3700, 0o500] {
        create_dir(STATE).unwrap();
        chmod(STATE, mode);
        let agent = Agent::start(&mut command());
        assert_eq!(agent.log, ["bpf-agent: serves on 1 socket, holds 0 objects"]);
        assert_eq!(mode_of(STATE), 0o1700);
        agent.stop();
        std::fs::remove_dir(STATE).unwrap();
    }
    // A directory above that hands on its group.
    chmod("/sys/fs/bpf/deep", 0o2755);
    Agent::start(&mut after("umask 0777", &command())).stop();
    assert_eq!(mode_of(STATE), 0o1700);
    chmod(STATE, 0o755);
    let line = format!("bpf-agent: {STATE}: open state: open to others: mode 0755");
    fails(&mut command(), 2, &line);
    assert_eq!(mode_of(STATE), 0o755);
    chmod(STATE, 0o700);
    chown(STATE, Some(1001), None).unwrap();
    fails(&mut command(), 2, &format!("bpf-agent: {STATE}: open state: it belongs to uid 1001"));
    assert_eq!(mode_of(STATE), 0o700);
    // It is its own user's to mark.
    let words = ["--socket", "agent", "--state", STATE];
    let user = ["setpriv", "--reuid=1001", "--regid=1001", "--clear-groups"];
    chmod("/sys/fs/bpf/deep", 0o755);
    let program = lab.program(&lab.reachable("bpf-agent"), words);
    let agent = Agent::start(&mut wrapped(&user, &program));
    assert_eq!(agent.log, ["bpf-agent: serves on 1 socket, holds 0 objects"]);
    assert_eq!(mode_of(STATE), 0o1700);
}

#[test]
fn state_that_cannot_be_marked_is_served() {
    let lab = Lab::new();
    drop(with_all_kinds(&lab));
    std::fs::remove_file(lab.path("agent")).unwrap();
    chmod(STATE, 0o700);
    // Only the mount is read-only; pins can still be opened through it.
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
    mount(None::<&str>, BPFFS, None::<&str>, flags, None::<&str>).unwrap();
    let agent = Agent::start(&mut lab.agent(["--socket", "agent", "--state", STATE]));
    let warning = format!("bpf-agent: {STATE}: set mode 1700: read-only file system");
    assert_eq!(agent.log, [&warning, "bpf-agent: serves on 1 socket, holds 3 objects"]);
    assert_eq!(Client::connect(&lab.path("agent")).get(&["l", "m", "p"], 0).fds.len(), 3);
}

#[test]
fn state_path_of_another_user_is_renamed() {
    let lab = Lab::new();
    chmod(BPFFS, 0o1777);
    let state = format!("{BPFFS}/agent");
    let owner = |path: &str| symlink_metadata(path).expect("a file").uid();
    let command = || lab.agent(["--socket", "agent", "--state", &state]);
    // In a directory that other users can write to, they can have created anything.
    for create in ["mkdir -p $0/full", "mkdir -m 1700 $0", "ln -s / $0"] {
        let user = ["setpriv", "--reuid=1001", "--regid=1001", "--clear-groups"];
        stdout_of(&mut wrapped(&user, &lab.program("sh", ["-c", create, &state])));
        assert_eq!(owner(&state), 1001, "{create}");
        let mut agent = Agent::start(&mut command());
        let warning = format!("bpf-agent: warning: {state} belonged to uid 1001: renamed to ");
        let line = agent.log.iter().find(|line| line.starts_with(&warning)).expect("a warning");
        assert_eq!(owner(&line[warning.len()..]), 1001, "{create}");
        assert_eq!((owner(&state), mode_of(&state)), (0, 0o1700), "{create}");
        let map = new_map("kept");
        done(Client::connect(&lab.path("agent")).put("kept", map.as_fd()));
        agent.kill();
        agent = Agent::start(&mut command());
        assert_eq!(agent.log, ["bpf-agent: serves on 1 socket, holds 1 object"]);
        Client::connect(&lab.path("agent")).remove(&["kept"]);
        agent.stop();
        std::fs::remove_dir(&state).unwrap();
    }
    // A user's agent cannot rename another user's file.
    std::fs::create_dir(&state).unwrap();
    chown(&state, Some(1001), None).unwrap();
    let words = ["--socket", "agent", "--state", &state];
    let program = lab.program(&lab.reachable("bpf-agent"), words);
    let before = lab.files();
    let why = "open state: it belongs to uid 1001";
    fails(&mut wrapped(&NOBODY, &program), 2, &format!("bpf-agent: {state}: {why}"));
    assert_eq!(lab.files(), before);
}
