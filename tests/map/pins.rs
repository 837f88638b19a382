//! `bpf-map pins`: the list of files in a BPF file system, and the findings of `--check`.

use crate::common::fds::{id_of_pinned, pin_link, pin_program};
use crate::common::*;
use bpf_inherit::bpf::obj_pin;
use serde_json::{Value, json};
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

fn chmod(path: impl AsRef<Path>, mode: u32) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

/// A bpffs root that only its owner may write to, without files of the kernel's.
fn own_root() -> Lab {
    let lab = Lab::new();
    std::fs::create_dir("/sys/fs/bpf/d").unwrap();
    chmod("/sys/fs/bpf/d", 0o755);
    lab
}

#[test]
fn every_file_is_listed_with_its_object_mode_and_owner() {
    let lab = own_root();
    let map = lab.array("d/m", 1);
    let id = map_id(&map);
    std::os::unix::fs::chown(&map, Some(1000), Some(1001)).unwrap();
    symlink("../a\nb", "/sys/fs/bpf/d/s").unwrap();
    std::fs::create_dir("/sys/fs/bpf/d/e").unwrap();
    let program = pin_program("d/p");
    let program_id = id_of_pinned("prog", &program);
    let json: Value =
        serde_json::from_str(&stdout_of(&mut lab.map(["pins", "--json", "/sys/fs/bpf/d"])))
            .unwrap();
    let row = |path: &str, kind: &str, mode: &str| {
        json!({"path": path, "kind": kind, "id": null, "type": null, "name": null, "mode": mode,
            "uid": 0, "gid": 0, "target": null, "error": null})
    };
    let mut link = row("/sys/fs/bpf/d/s", "symlink", "0777");
    link["target"] = json!("../a\nb");
    let mut pinned = row("/sys/fs/bpf/d/m", "map", "0600");
    pinned["id"] = json!(id);
    pinned["type"] = json!("array");
    pinned["name"] = json!("m");
    pinned["uid"] = json!(1000);
    pinned["gid"] = json!(1001);
    let all = json.as_array().unwrap();
    assert_eq!(all[0], row("/sys/fs/bpf/d", "directory", "0755"));
    assert_eq!(all[1]["path"], "/sys/fs/bpf/d/e");
    assert_eq!((&all[2], &all[4]), (&pinned, &link));
    assert_eq!(all[3]["id"].to_string(), program_id);
    assert_eq!((&all[3]["kind"], all.len()), (&json!("prog"), 5));
    let table = stdout_of(&mut lab.map(["pins", "/sys/fs/bpf/d"]));
    let lines: Vec<Vec<&str>> = table.lines().map(|l| l.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["KIND", "ID", "TYPE", "NAME", "MODE", "OWNER", "PATH"]);
    let id = id.to_string();
    assert_eq!(lines[3], ["map", &id, "array", "m", "0600", "1000:1001", "/sys/fs/bpf/d/m"]);
    let words = ["symlink", "-", "-", "-", "0777", "0:0", "/sys/fs/bpf/d/s", "->", "../a\\nb"];
    assert_eq!(lines[5], words);
}

#[test]
fn pins_that_cannot_be_opened_are_listed_with_the_reason() {
    let lab = own_root();
    chmod(BPFFS, 0o755);
    lab.array("d/m", 1);
    std::fs::create_dir("/sys/fs/bpf/d/e").unwrap();
    chmod("/sys/fs/bpf/d/e", 0o700);
    let program = lab.reachable("bpf-map");
    let done = run(&mut wrapped(&NOBODY, &lab.program(&program, ["pins", "/sys/fs/bpf/d"])));
    let lines: Vec<Vec<&str>> =
        done.stdout.lines().map(|l| l.split_whitespace().collect()).collect();
    assert_eq!(lines[3][0], "-");
    assert_eq!(lines[3][6..], ["/sys/fs/bpf/d/m", "(permission", "denied)"]);
    assert_eq!(lines[2][6..], ["/sys/fs/bpf/d/e", "(permission", "denied)"]);
    let warning = "bpf-map: warning: /sys/fs/bpf/d/e: read directory: permission denied\n";
    assert_eq!((done.status, done.stderr.as_str()), (2, warning));
    for (path, cause) in [
        ("/tmp", "read directory: not on a bpf file system"),
        ("/sys/fs/bpf/none", "read directory: no such file or directory"),
    ] {
        fails(&mut lab.map(["pins", path]), 2, &format!("bpf-map: {path}: {cause}"));
    }
}

/// What `--check` prints of /sys/fs/bpf/d, sorted.
#[track_caller]
fn check(lab: &Lab, status: i32) -> Vec<String> {
    let done = run(&mut lab.map(["pins", "--check", "/sys/fs/bpf/d"]));
    assert_eq!((done.status, done.stderr.as_str()), (status, ""), "{}", done.stdout);
    let strip = |line: &str| line.strip_prefix("/sys/fs/bpf/d").expect(line).to_owned();
    done.stdout.lines().map(strip).collect()
}

#[test]
fn findings_are_printed_a_line_each_and_exit_with_1() {
    let lab = own_root();
    assert_eq!(check(&lab, 0), Vec::<String>::new());
    chmod("/sys/fs/bpf/d", 0o1777);
    assert_eq!(check(&lab, 1), [": other users may write to the directory"]);
    chmod("/sys/fs/bpf/d", 0o755);
    let map = lab.array("d/m", 1);
    let id = map_id(&map);
    let unused = format!("/m: no program uses map {id}, and no other process holds it");
    assert_eq!(check(&lab, 1), [unused.as_str()]);
    {
        let held = open_pin(&map);
        assert_eq!(check(&lab, 0), Vec::<String>::new());
        assert_eq!(stdout_of(&mut lab.map(["pin", "/sys/fs/bpf/d/m", "/sys/fs/bpf/d/n"])), "");
        chmod("/sys/fs/bpf/d/n", 0o606);
        let same = "is a pin of the same map and has mode";
        assert_eq!(
            check(&lab, 1),
            [
                format!("/m: /sys/fs/bpf/d/n {same} 0606"),
                "/n: other users may open it for writing".to_owned(),
                format!("/n: /sys/fs/bpf/d/m {same} 0600"),
            ]
        );
        drop(held);
    }
    let warned = wrapped(
        &NOBODY,
        &lab.program(&lab.reachable("bpf-map"), ["pins", "--check", "/sys/fs/bpf/d"]),
    );
    chmod(BPFFS, 0o755);
    let done = run(&mut { warned });
    let warning =
        "bpf-map: warning: pins: which maps programs use is unknown: CAP_SYS_ADMIN is needed\n";
    assert_eq!((done.status, done.stderr.as_str()), (2, warning));
}

/// Pins a link that attaches a program to a tracepoint that is seldom reached.
fn pin_tracepoint(path: &str) -> &Path {
    const BPF_RAW_TRACEPOINT_OPEN: libc::c_long = 17;
    let program = "/sys/fs/bpf/traced";
    bpftool(&["prog", "load", &fixture("stack.bpf.o"), program]);
    let program = open_pin_with(program.as_ref(), 8);
    let attributes = [c"oom_score_adj_update".as_ptr() as u64, program.as_raw_fd() as u64];
    let (address, size) = (attributes.as_ptr(), size_of_val(&attributes));
    // SAFETY: the name and the attributes outlive the call.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, BPF_RAW_TRACEPOINT_OPEN, address, size) };
    assert!(fd >= 0, "{}", std::io::Error::last_os_error());
    // SAFETY: the kernel has just made the fd for this test.
    let link = unsafe { OwnedFd::from_raw_fd(fd as i32) };
    obj_pin(link.as_fd(), &CString::new(path).unwrap()).expect("a pin");
    Path::new(path)
}

#[test]
fn link_with_one_pin_is_found_unless_it_is_an_iterator() {
    let lab = own_root();
    pin_link("d/iterator");
    let link = pin_tracepoint("/sys/fs/bpf/d/l");
    let id = id_of_pinned("link", link);
    assert_eq!(check(&lab, 1), [format!("/l: the only pin of link {id}")]);
    std::fs::hard_link(link, "/sys/fs/bpf/d/second").unwrap();
    assert_eq!(check(&lab, 0), Vec::<String>::new());
}

#[test]
fn map_that_a_reloaded_program_does_not_use_is_found() {
    let lab = own_root();
    // The first load pins its maps; the second makes maps of its own.
    std::fs::create_dir("/sys/fs/bpf/x").unwrap();
    let object = fixture("percpu.bpf.o");
    bpftool(&["prog", "loadall", &object, "/sys/fs/bpf/x/1", "pinmaps", "/sys/fs/bpf/d"]);
    let (map, name) = (Path::new("/sys/fs/bpf/d/cpu_hits"), "cpu_hits");
    // Other tests may have loaded the same object.
    let first = run(&mut lab.map(["pins", "--check", "/sys/fs/bpf/d"]));
    assert!(!first.stdout.contains("no program uses"), "{}", first.stdout);
    bpftool(&["prog", "loadall", &object, "/sys/fs/bpf/x/2"]);
    let found = check(&lab, 1);
    let begin = format!("/{name}: program ");
    let other = found.iter().find(|line| line.starts_with(&begin)).expect("a finding");
    assert!(other.contains(" uses another map of this name, "), "{other}");
    std::fs::remove_dir_all("/sys/fs/bpf/x/1").unwrap();
    let unused = format!("/{name}: no program uses map {}", map_id(map));
    eventually("the first program is gone", || {
        let done = run(&mut lab.map(["pins", "--check", "/sys/fs/bpf/d"]));
        done.stdout.contains(&unused)
    });
}
