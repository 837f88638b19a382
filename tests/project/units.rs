//! The units in `systemd/`, as systemd itself reads them.

use crate::common::agent::{Client, names, serve};
use crate::common::child::Start;
use crate::common::fds::{ARRAY, new_map};
use crate::common::receiver::activated;
use crate::common::sender::Datagram;
use crate::common::*;
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::process::Command;

const SERVICE: &str = "bpf-agent.service";
const SOCKET: &str = "bpf-agent.socket";
const ROOT_SOCKET: &str = "bpf-agent-root.socket";
const IMPORT: &str = "bpf-import.service";
const UNITS: [&str; 5] = [SERVICE, SOCKET, ROOT_SOCKET, IMPORT, "bpf-import.socket"];
/// Tenths of what `systemd-analyze security` calls exposure, 100 at most.
const EXPOSURES: [(&str, &str); 2] = [(SERVICE, "10"), (IMPORT, "12")];

fn shipped(name: &str) -> String {
    let path = format!("{}/systemd/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

/// The values that a unit gives to a setting, in their order.
fn settings<'a>(unit: &'a str, name: &str) -> Vec<&'a str> {
    let value = |line: &'a str| line.strip_prefix(name)?.strip_prefix('=');
    unit.lines().filter_map(value).collect()
}

/// The units in a directory of their own, with the programs at their places in this build.
fn installed(dir: &Path) -> [PathBuf; 5] {
    let programs = binary("bpf-agent").parent().unwrap().join("bpf-");
    UNITS.map(|name| {
        let text = shipped(name).replace("/usr/bin/bpf-", programs.to_str().unwrap());
        let path = dir.join(name);
        std::fs::write(&path, text).unwrap();
        path
    })
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    let dir = tempfile::tempdir().unwrap();
    let units = installed(dir.path());
    let verify = ["verify", "--man=no"];
    assert_eq!(stdout_of(Command::new("systemd-analyze").args(verify).args(units)), "");
    // And it would say so.
    let path = dir.path().join(SERVICE);
    std::fs::write(&path, shipped(SERVICE).replace("[Install]", "[Instal]")).unwrap();
    let broken = run(Command::new("systemd-analyze").args(verify).arg(path));
    assert!(broken.stderr.contains("Unknown section 'Instal'"), "{broken:?}");
}

#[test]
fn services_are_confined() {
    for (service, exposure) in EXPOSURES {
        let path = format!("{}/systemd/{service}", env!("CARGO_MANIFEST_DIR"));
        let threshold = format!("--threshold={exposure}");
        let words = ["security", "--offline=true", "--no-pager", &threshold, &path];
        let found = run(Command::new("systemd-analyze").args(words));
        assert_eq!((found.status, found.stderr.as_str()), (0, ""), "{}", found.stdout);
        let overall = format!("Overall exposure level for {service}: ");
        assert!(found.stdout.contains(&overall), "{}", found.stdout);
    }
}

#[test]
fn import_units_run_what_bpf_exec_and_bpf_map_accept() {
    let commands = shipped(IMPORT);
    let command = settings(&commands, "ExecStart").concat();
    let lab = Lab::new();
    let (_agent, socket) = serve(&lab);
    let programs = binary("bpf-exec").parent().unwrap().join("bpf-");
    let command = command.replace("/usr/bin/bpf-", programs.to_str().unwrap());
    let (program, words) = command.split_once(' ').unwrap();
    let bound = activated(&lab.path("in"));
    let map = new_map("sent");
    let entry = [ARRAY, 4, 8, 1, 0, 7, 0, 0, 0];
    Datagram::of(vec![entry]).send(&lab.path("in"), &[map.as_fd()]);
    let mut command = lab.program(program, words.split(' '));
    // The units use the default.
    command.env("BPF_AGENT", &socket);
    let start = Start { given: vec![bound.as_raw_fd()], ..Start::default() };
    assert_eq!(stdout_of(start.apply(&mut command)), "");
    assert_eq!(names(&Client::connect(&socket).list()), ["sent"]);
}

#[test]
fn default_socket_of_bpf_map_is_that_of_the_units() {
    let socket = settings(&shipped(SOCKET), "ListenSequentialPacket").concat();
    for subcommand in ["put", "agent"] {
        let help = stdout_of(&mut Lab::new().map([subcommand, "--help"]));
        let default = format!("[default: $BPF_AGENT, else {socket}]");
        assert!(help.contains(&default), "{help}");
    }
}

#[test]
fn sockets_of_the_agent_have_a_group_and_a_private_path() {
    let (service, public, private) = (shipped(SERVICE), shipped(SOCKET), shipped(ROOT_SOCKET));
    assert_eq!(settings(&public, "SocketMode"), ["0660"]);
    let group = settings(&public, "SocketGroup").concat();
    let created: Vec<String> = shipped("bpf-agent.sysusers")
        .lines()
        .filter_map(|line| Some(line.strip_prefix("g ")?.strip_suffix(" -")?.to_owned()))
        .collect();
    assert_eq!(created, [group]);
    let path = settings(&public, "ListenSequentialPacket").concat() + ".root";
    assert_eq!(settings(&private, "ListenSequentialPacket"), [path]);
    assert_eq!(settings(&private, "SocketMode"), ["0600"]);
    // The agent recognises the socket by this name.
    assert_eq!(settings(&private, "FileDescriptorName"), ["root"]);
    assert_eq!(settings(&private, "Service"), [SERVICE]);
    let both = [format!("{SOCKET} {ROOT_SOCKET}")];
    for setting in ["Requires", "Also"] {
        assert_eq!(settings(&service, setting), both, "{setting}");
    }
}

#[test]
fn man_pages_named_in_units_exist() {
    for unit in UNITS.map(shipped) {
        for page in settings(&unit, "Documentation").iter().flat_map(|pages| pages.split(' ')) {
            let name = page.strip_prefix("man:").unwrap().replace('(', ".").replace(')', "");
            let path = format!("{}/man/{name}", env!("CARGO_MANIFEST_DIR"));
            assert!(Path::new(&path).exists(), "{page}");
        }
    }
}

#[test]
fn asserted_paths_are_those_in_use() {
    let (service, socket) = (shipped(SERVICE), shipped(SOCKET));
    let rules = settings(&service, "AssertPathExists");
    let command = settings(&service, "ExecStart").concat();
    assert!(command.contains(&format!("--rules {}", rules[0])), "{command}");
    for socket in [socket, shipped(ROOT_SOCKET)] {
        assert_eq!(settings(&socket, "AssertPathExists"), rules);
    }
    // systemd makes the state alone writable, and only if it exists when the agent starts.
    let state = settings(&service, "ReadWritePaths")[0].strip_prefix('-').unwrap();
    assert!(command.contains(&format!("--state {state} ")), "{command}");
    let make = format!("+/bin/mkdir -p -m 1700 {state}");
    assert_eq!(settings(&service, "ExecStartPre"), [make]);
}

#[test]
fn options_in_the_service_exist() {
    let help = stdout_of(Command::new(binary("bpf-agent")).arg("--help"));
    let options: Vec<&str> = help.split_whitespace().filter(|w| w.starts_with("--")).collect();
    for command in settings(&shipped(SERVICE), "ExecStart") {
        let used: Vec<&str> = command.split(' ').filter(|word| word.starts_with("--")).collect();
        assert!(!used.is_empty(), "{command}");
        for option in used {
            assert!(options.contains(&option), "{option} is not in --help");
        }
    }
}

#[test]
fn example_rules_are_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rules");
    let text = shipped("bpf-agent.rules");
    // The shipped file permits nothing.
    assert!(text.lines().all(|line| line.starts_with('#')), "{text}");
    // A rule follows its `#` at once, a comment follows a space.
    let is_rule = |line: &&str| line.contains(':') && !line.starts_with(' ');
    let rules: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix('#')).filter(is_rule).collect();
    assert_eq!(rules.len(), 3, "{rules:?}");
    let mut command = Command::new(binary("bpf-agent"));
    command.arg("--check").arg("--rules").arg(&path);
    std::fs::write(&path, rules.join("\n")).unwrap();
    assert_eq!(stdout_of(&mut command), "");
    std::fs::write(&path, rules.join("\n") + ",x").unwrap();
    let why = "line 3: \"x\": not one of list, read, write, put, remove, all";
    fails(&mut command, 2, &format!("bpf-agent: {}: {why}", path.display()));
}
