//! How bpffs behaves: symbolic and hard links, mounts of their own, renames, and pins that go while
//! they are in use.

use crate::common::*;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

/// What a map's only value is, through a pin.
fn read(lab: &Lab, pin: &str) -> String {
    stdout_of(&mut lab.map(["get", pin, "0"]))
}

#[test]
fn symbolic_links_to_directories_are_followed() {
    let lab = Lab::new();
    let map = lab.array("m", 1);
    std::fs::create_dir("/sys/fs/bpf/d").unwrap();
    symlink("d", "/sys/fs/bpf/s").unwrap();
    let pinned = "/sys/fs/bpf/s/m";
    assert_eq!(stdout_of(&mut lab.map(["pin", map.to_str().unwrap(), pinned])), "");
    assert_eq!(map_id(Path::new("/sys/fs/bpf/d/m")), map_id(&map));
    bpftool(&["prog", "load", &fixture("noop.bpf.o"), "/sys/fs/bpf/s/p", "type", "socket"]);
    let words = ["--prog", "/sys/fs/bpf/s/p", "--pin", pinned, "--", "sh", "-c"];
    let script = "echo $BPF_NUM_PROGS $BPF_NUM_MAPS";
    assert_eq!(stdout_of(lab.exec(words).arg(script)), "1 1\n");
    // Through a link to a pin, too; but a walk does not follow links.
    symlink("d/m", "/sys/fs/bpf/t").unwrap();
    assert_eq!(read(&lab, "/sys/fs/bpf/t"), "0\n");
    let words = ["--pin", "/sys/fs/bpf", "--", "sh", "-c", "echo $BPF_NUM_MAPS"];
    assert_eq!(stdout_of(&mut lab.exec(words)), "2\n");
    // A new pin does not replace a link.
    let line = "bpf-map: /sys/fs/bpf/t: pin: already exists";
    fails(&mut lab.map(["pin", pinned, "/sys/fs/bpf/t"]), 2, line);
}

#[test]
fn separate_mount_has_its_own_pins_and_mode() {
    let lab = Lab::new();
    let map = lab.array("m", 1);
    let other = lab.path("other");
    std::fs::create_dir(&other).unwrap();
    mount(Some("bpf"), &other, Some("bpf"), MsFlags::empty(), Some("mode=0700")).unwrap();
    let pin = other.join("m");
    let pin = pin.to_str().unwrap();
    assert_eq!(stdout_of(&mut lab.map(["pin", map.to_str().unwrap(), pin])), "");
    let root = other.to_str().unwrap();
    let count = ["--pin", root, "--", "sh", "-c", "echo $BPF_NUM_MAPS"];
    assert_eq!(stdout_of(&mut lab.exec(count)), "1\n");
    let listed = stdout_of(&mut lab.map(["pins", root]));
    // The kernel adds the sticky bit.
    let mode = listed.lines().nth(1).unwrap().split_whitespace().nth(4);
    assert_eq!(mode, Some("1700"), "{listed}");
    // The map exists as long as the mount has a pin of it.
    let id = map_id(&map);
    std::fs::remove_file(&map).unwrap();
    assert!(map_exists(id));
    umount2(&other, MntFlags::empty()).unwrap();
    eventually("the map is gone", || !map_exists(id));
}

#[test]
fn names_with_dots_are_refused_with_the_reason() {
    let lab = Lab::new();
    let map = lab.array("m", 1);
    let files = lab.files();
    for path in ["/sys/fs/bpf/a.b", "/sys/fs/bpf/.a", "/sys/fs/bpf/a."] {
        let line = format!("bpf-map: {path}: pin: the name of a pin cannot contain a dot");
        fails(&mut lab.map(["pin", map.to_str().unwrap(), path]), 2, &line);
    }
    assert_eq!(lab.files(), files);
}

#[test]
fn hard_link_is_a_pin_of_the_same_map() {
    let lab = Lab::new();
    let map = lab.array("m", 1);
    let id = map_id(&map);
    std::fs::hard_link(&map, "/sys/fs/bpf/n").unwrap();
    std::fs::remove_file(&map).unwrap();
    assert_eq!(map_id(Path::new("/sys/fs/bpf/n")), id);
    assert_eq!(stdout_of(&mut lab.map(["unpin", "/sys/fs/bpf/n"])), "");
    eventually("the map is gone", || !map_exists(id));
}

/// Runs a script in bpf-exec that has the map at /sys/fs/bpf/m as `m`.
fn with_map(lab: &Lab, script: &str) -> Command {
    let mut command = lab.exec(["--pin", "/sys/fs/bpf/m", "--", "sh", "-c"]);
    command.arg(script);
    command
}

#[test]
fn rename_over_a_pin_swaps_the_map_for_new_readers_only() {
    let lab = Lab::new();
    lab.array("m", 1);
    lab.array("new", 1);
    assert_eq!(stdout_of(&mut lab.map(["set", "/sys/fs/bpf/new", "0", "7"])), "");
    let script = "bpf-map set m 0 5; mv /sys/fs/bpf/new /sys/fs/bpf/m; \
                  bpf-map get m 0; bpf-map get /sys/fs/bpf/m 0";
    assert_eq!(stdout_of(&mut with_map(&lab, script)), "5\n7\n");
}

#[test]
fn map_is_used_after_its_pin_is_removed() {
    let lab = Lab::new();
    let id = map_id(&lab.array("m", 1));
    let script =
        "rm /sys/fs/bpf/m; bpf-map add m 0 3; bpf-map get m 0; bpf-map pin m /sys/fs/bpf/n";
    assert_eq!(stdout_of(&mut with_map(&lab, script)), "3\n3\n");
    assert_eq!(map_id(Path::new("/sys/fs/bpf/n")), id);
    assert_eq!(read(&lab, "/sys/fs/bpf/n"), "3\n");
}

#[test]
fn map_is_used_after_its_file_system_is_unmounted() {
    let lab = Lab::new();
    let id = map_id(&lab.array("m", 1));
    let script = "umount /sys/fs/bpf && bpf-map add m 0 4 && bpf-map get m 0";
    let mut command = wrapped(&["unshare", "--mount"], &with_map(&lab, script));
    assert_eq!(stdout_of(&mut command), "4\n4\n");
    let script = "umount -l /sys/fs/bpf; bpf-map add m 0 4; bpf-map get m 0";
    assert_eq!(stdout_of(&mut with_map(&lab, script)), "8\n8\n");
    eventually("the map is gone", || !map_exists(id));
}
