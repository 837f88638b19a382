//! `bpf-map preload`: two files that list all maps and all programs.

use crate::common::traced::Traced;
use crate::common::*;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const HEADERS: [&str; 2] = ["id name current maximum users", "id name type attached"];

fn cat_unprivileged(path: &Path) -> String {
    let mut command = Command::new(NOBODY[0]);
    stdout_of(command.args(&NOBODY[1..]).arg("cat").arg(path))
}

/// The words of each line.
fn rows(text: &str) -> Vec<Vec<&str>> {
    text.lines().map(|line| line.split_whitespace().collect()).collect()
}

/// The ids of programs and of links, as bpftool prints them.
fn ids() -> Vec<String> {
    let lines = ["prog", "link"].map(|kind| bpftool(&[kind, "show"]));
    let is_id = |line: &&str| line.split(':').next().is_some_and(|id| id.parse::<u32>().is_ok());
    let mut ids = Vec::new();
    for line in lines.iter().flat_map(|text| text.lines()).filter(is_id) {
        ids.push(line.split_whitespace().take(4).collect::<Vec<_>>().join(" "));
    }
    ids
}

fn mode(path: &Path) -> u32 {
    path.metadata().expect("a pin").permissions().mode() & 0o7777
}

#[test]
fn all_maps_and_programs_are_listed_for_any_user() {
    let lab = Lab::new();
    std::fs::set_permissions(BPFFS, PermissionsExt::from_mode(0o755)).unwrap();
    let name = unique("l");
    let pin = lab.hash(&name);
    let array = lab.array(&unique("a"), 7);
    let (id, array_id) = (map_id(&pin), map_id(&array));
    assert_eq!(stdout_of(&mut lab.map(["preload"])), "");
    let (maps, programs) = (Path::new(BPFFS).join("maps"), Path::new(BPFFS).join("progs"));
    assert_eq!((mode(&maps), mode(&programs)), (0o444, 0o444));
    let text = cat_unprivileged(&maps);
    let lines = rows(&text);
    assert_eq!(lines[0].join(" "), HEADERS[0]);
    let of = |id: u32| {
        let line = lines.iter().find(|line| line[0] == id.to_string());
        line.unwrap_or_else(|| panic!("{id}: {text}"))[1..].join(" ")
    };
    // Only hashes have a counter, from Linux 6.6 on.
    let current = of(id).split(' ').nth(1).unwrap().to_owned();
    let btf = run(Command::new("grep").args(["-qw", "bpf_map_sum_elem_count", "/proc/kallsyms"]));
    assert_eq!(current, if btf.status == 0 { "1" } else { "-" });
    assert_eq!(of(id), format!("{name} {current} 4 1"));
    assert!(of(array_id).ends_with(" - 7 1"), "{}", of(array_id));
    // Every file is a new walk.
    let second = lab.path("fd");
    std::fs::write(&second, "").unwrap();
    std::fs::hard_link(&pin, Path::new(BPFFS).join("second")).unwrap();
    assert_eq!(rows(&cat_unprivileged(&maps)).iter().filter(|line| line[1] == name).count(), 1);
    let text = cat_unprivileged(&programs);
    let lines = rows(&text);
    assert_eq!(lines[0].join(" "), HEADERS[1]);
    let own = |name, function| {
        let tail = ["tracing", function];
        assert!(lines.iter().any(|line| line[1] == name && line[2..] == tail), "{text}");
    };
    own("list_maps", "bpf_iter_bpf_map");
    own("list_programs", "bpf_iter_bpf_prog");
}

#[test]
fn removed_files_leave_no_object() {
    let lab = Lab::new();
    let directory = Path::new(BPFFS).join("d");
    std::fs::create_dir(&directory).unwrap();
    let options =
        ["preload", "--mode", "0440", "--owner", "1000:1001", directory.to_str().unwrap()];
    assert_eq!(stdout_of(&mut lab.map(options)), "");
    let mut held = Vec::new();
    for name in ["maps", "progs"] {
        let pin = directory.join(name);
        let stat = run(Command::new("stat").args(["-c", "%a %u %g"]).arg(&pin));
        assert_eq!(stat.stdout, "440 1000 1001\n");
        let link: serde_json::Value = serde_json::from_str(&bpftool(&[
            "-j",
            "link",
            "show",
            "pinned",
            pin.to_str().unwrap(),
        ]))
        .unwrap();
        held.push((link["id"].to_string(), link["prog_id"].to_string()));
        let program = bpftool(&["-j", "prog", "show", "id", &link["prog_id"].to_string()]);
        let program: serde_json::Value = serde_json::from_str(&program).unwrap();
        assert_eq!(program["btf_id"], serde_json::Value::Null);
        let map = program["map_ids"][0].as_u64().unwrap() as u32;
        std::fs::remove_file(&pin).unwrap();
        eventually("the map is gone", || !map_exists(map));
    }
    for (link, program) in held {
        let gone = |kind: &str, id: &str| {
            let show = run(Command::new("bpftool").args([kind, "show", "id", id]));
            show.status != 0
        };
        eventually("the link is gone", || gone("link", &link));
        eventually("the program is gone", || gone("prog", &program));
    }
}

#[test]
fn both_files_are_pinned_or_none() {
    let lab = Lab::new();
    let second = lab.array("progs", 1);
    let files = lab.files();
    let line = format!("bpf-map: {}: pin: already exists", second.display());
    fails(&mut lab.map(["preload"]), 2, &line);
    assert_eq!(lab.files(), files);
    for (arguments, cause) in [
        (&["preload", "/tmp"][..], "/tmp/maps: pin: not on a bpf file system"),
        (&["preload", "/sys/fs/bpf/none"], "/sys/fs/bpf/none/maps: pin: no such directory"),
        (&["preload", "--mode", "0666"], "--mode 0666: only the bits of 0444 can be set"),
        (&["preload", "--owner", "root"], "--owner root: not UID or UID:GID, in decimal"),
    ] {
        fails(&mut lab.map(arguments), 2, &format!("bpf-map: {cause}"));
        assert_eq!(lab.files(), files);
    }
    let nobody = wrapped(&NOBODY, &lab.program(&lab.reachable("bpf-map"), ["preload"]));
    fails(&mut { nobody }, 2, "bpf-map: CAP_BPF and CAP_PERFMON are needed");
    assert_eq!(lab.files(), files);
}

#[test]
fn directory_closed_to_other_users_causes_a_warning() {
    let lab = Lab::new();
    let directory = PathBuf::from("/sys/fs/bpf/d/e");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::set_permissions("/sys/fs/bpf/d", PermissionsExt::from_mode(0o750)).unwrap();
    let done = run(&mut lab.map(["preload", "/sys/fs/bpf/d/e"]));
    let warning =
        "bpf-map: warning: /sys/fs/bpf/d/e: other users cannot search /sys/fs/bpf/d (mode 0750)\n";
    assert_eq!((done.status, done.stdout.as_str(), done.stderr.as_str()), (0, "", warning));
}

/// Kills a command at each of its system calls, from the first call of bpf(2): before that call, it
/// creates nothing. `check` is called each time, after all processes of the command have ended.
pub fn kill_at_each_call(command: impl Fn() -> Command, check: impl Fn(usize)) {
    let (mut child, traced) = start(&command);
    let first = std::iter::repeat_with(|| traced.step()).position(|stop| stop.is(libc::SYS_bpf));
    let first = first.expect("a call");
    child.kill().unwrap();
    child.wait().unwrap();
    // Each call has two stops; nothing happens between the end of one and the next one.
    for at in (first..).step_by(2) {
        let (mut child, traced) = start(&command);
        let ended = (0..at).any(|_| traced.step_or_end().is_none());
        if !ended {
            child.kill().unwrap();
        }
        // A process that goes on alone has the pipe open.
        let mut rest = Vec::new();
        child.stdout.take().unwrap().read_to_end(&mut rest).unwrap();
        let _ = child.wait();
        check(at);
        if ended {
            return assert!(at > first + 20, "{at}");
        }
    }
}

/// A process that stops before its first instruction.
fn start(command: &impl Fn() -> Command) -> (Child, Traced) {
    let mut command = command();
    let command = command.stdout(Stdio::piped()).stderr(Stdio::null());
    let child = Traced::prepare(command).spawn().unwrap();
    let traced = Traced::executed(child.id());
    (child, traced)
}

#[test]
fn killed_preload_leaves_whole_pins_or_none() {
    let lab = Lab::new();
    let before = ids();
    let seen = std::cell::Cell::new((0, 0));
    kill_at_each_call(
        || lab.map(["preload"]),
        |at| {
            let files = lab.files();
            let pins: Vec<&PathBuf> = files
                .iter()
                .filter(|file| file.starts_with(BPFFS) && file.extension().is_none())
                .collect();
            let names: Vec<&str> =
                pins.iter().map(|pin| pin.file_name().unwrap().to_str().unwrap()).collect();
            assert!(["", "maps", "maps progs"].contains(&&*names.join(" ")), "{at}: {names:?}");
            for pin in &pins {
                assert_eq!(mode(pin), 0o444, "{at}");
                std::fs::remove_file(pin).unwrap();
            }
            let (none, all) = seen.get();
            seen.set(if pins.is_empty() { (none + 1, all) } else { (none, all + 1) });
        },
    );
    let (none, all) = seen.get();
    assert!(none > 0 && all > 0, "{none} {all}");
    eventually("no program and no link stays", || {
        ids().iter().all(|id| before.contains(id) || !id.contains("list_"))
    });
}
