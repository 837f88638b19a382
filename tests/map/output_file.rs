//! `bpf-map dump -o FILE`: the file has its old content until everything has been read.

use crate::common::{BPFFS, Lab, NOBODY, after, fails, run, stdout_of, wrapped};
use std::fs::{File, Permissions, create_dir, metadata, read_dir, read_to_string, set_permissions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::Command;

/// An array of u32 to u64, all zeros, pinned at NAME; returns the path of the pin.
fn array(lab: &Lab, name: &str, entries: u32) -> String {
    lab.array(name, entries).to_str().expect("UTF-8").to_owned()
}

/// `bpf-map dump -o FILE PIN` with further arguments.
fn dump(lab: &Lab, file: &str, pin: &str, options: &[&str]) -> Command {
    lab.map([&["dump", "-o", file, pin], options].concat())
}

#[test]
fn every_format_is_written_to_the_file_alone() {
    let lab = Lab::new();
    let pin = array(&lab, "m", 2);
    for format in [&[][..], &["--json"], &["--csv", "--sort=key"], &["--prometheus"]] {
        let printed = stdout_of(&mut lab.map([&["dump", &pin], format].concat()));
        assert_eq!(stdout_of(&mut dump(&lab, "out", &pin, format)), "");
        assert_eq!(read_to_string(lab.path("out")).unwrap(), printed, "{format:?}");
    }
    assert_eq!(stdout_of(&mut dump(&lab, "-", &pin, &[])), "0\t0\n1\t0\n");
    let script = format!("dump -o out {pin}\nget {pin} 0\n");
    std::fs::write(lab.path("batch"), script).unwrap();
    assert_eq!(stdout_of(&mut lab.map(["batch", "batch"])), "0\n");
    assert_eq!(read_to_string(lab.path("out")).unwrap(), "0\t0\n1\t0\n");
    assert_eq!(read_dir(lab.dir.path()).unwrap().count(), 2);
}

#[test]
fn new_file_has_the_owner_and_the_permissions_of_the_old_one() {
    let lab = Lab::new();
    let (pin, file) = (array(&lab, "m", 1), lab.path("out"));
    std::fs::write(&file, "old").unwrap();
    chown(&file, Some(1001), Some(1002)).unwrap();
    // Set-id bits are not for another content.
    set_permissions(&file, Permissions::from_mode(0o6640)).unwrap();
    let mut reader = File::open(&file).unwrap();
    assert_eq!(stdout_of(&mut dump(&lab, "out", &pin, &[])), "");
    let new = metadata(&file).unwrap();
    assert_eq!((new.uid(), new.gid(), new.mode() & 0o7777), (1001, 1002, 0o640));
    assert_eq!(read_to_string(&file).unwrap(), "0\t0\n");
    let mut old = String::new();
    reader.read_to_string(&mut old).unwrap();
    assert_eq!(old, "old");
    // A user who cannot keep the owner does not replace the file.
    set_permissions(&pin, Permissions::from_mode(0o666)).unwrap();
    set_permissions(BPFFS, Permissions::from_mode(0o755)).unwrap();
    let map = lab.reachable("bpf-map");
    let command = lab.program(&map, ["dump", "-o", "out", &pin]);
    let line = "bpf-map: out: write: operation not permitted";
    fails(&mut wrapped(&NOBODY, &command), 2, line);
    assert_eq!(read_dir(lab.dir.path()).unwrap().count(), 1);
}

#[test]
fn file_of_a_killed_process_does_not_prevent_output() {
    let lab = Lab::new();
    let pin = array(&lab, "m", 1);
    // The shell becomes bpf-map, with the same process id.
    let mut command = after("echo stale > .bpf-map.$$.0", &dump(&lab, "out", &pin, &[]));
    assert_eq!(stdout_of(&mut command), "");
    assert_eq!(read_to_string(lab.path("out")).unwrap(), "0\t0\n");
    assert_eq!(read_dir(lab.dir.path()).unwrap().count(), 2);
}

#[test]
fn name_may_be_as_long_as_names_can_be() {
    let lab = Lab::new();
    let pin = array(&lab, "m", 1);
    let longest = "n".repeat(255);
    assert_eq!(stdout_of(&mut dump(&lab, &longest, &pin, &[])), "");
    assert_eq!(read_to_string(lab.path(&longest)).unwrap(), "0\t0\n");
    let line = format!("bpf-map: {longest}n: write: file name too long");
    fails(&mut dump(&lab, &format!("{longest}n"), &pin, &[]), 2, &line);
}

#[test]
fn file_that_cannot_be_replaced_is_unchanged() {
    let lab = Lab::new();
    let pin = array(&lab, "m", 1);
    std::fs::write(lab.path("file"), "old").unwrap();
    symlink("file", lab.path("link")).unwrap();
    for (file, cause) in [
        ("link", "not a regular file"),
        (".", "not a regular file"),
        ("..", "not a regular file"),
        ("/dev/null", "not a regular file"),
        ("none/file", "no such file or directory"),
        ("file/", "not a directory"),
        ("", "not a file name"),
    ] {
        let shown = if file.is_empty() { "\"\"" } else { file };
        let line = format!("bpf-map: {shown}: write: {cause}");
        fails(&mut dump(&lab, file, &pin, &[]), 2, &line);
    }
    assert_eq!(read_to_string(lab.path("file")).unwrap(), "old");
    assert_eq!(read_dir(lab.dir.path()).unwrap().count(), 2);
}

#[test]
fn signal_leaves_only_the_old_file() {
    let lab = Lab::new();
    let pin = array(&lab, "m", 60_000);
    std::fs::write(lab.path("out"), "old").unwrap();
    let mut command = after("ulimit -f 8", &dump(&lab, "out", &pin, &[]));
    let run = run(&mut command);
    let killed = 128 + nix::libc::SIGXFSZ;
    assert_eq!((run.status, run.stdout.as_str(), run.stderr.as_str()), (killed, "", ""));
    assert_eq!(read_to_string(lab.path("out")).unwrap(), "old");
    assert_eq!(read_dir(lab.dir.path()).unwrap().count(), 1);
}

#[test]
fn full_file_system_leaves_the_old_file() {
    let lab = Lab::new();
    let pin = array(&lab, "m", 60_000);
    let small = lab.path("small");
    create_dir(&small).unwrap();
    // A page of 64 KiB at most holds the old file, and the dump is longer than what is left.
    let (none, options) = (nix::mount::MsFlags::empty(), Some("size=128k"));
    nix::mount::mount(Some("none"), &small, Some("tmpfs"), none, options).unwrap();
    std::fs::write(small.join("file"), "old").unwrap();
    let line = "bpf-map: small/file: write: no space left on device";
    fails(&mut dump(&lab, "small/file", &pin, &[]), 2, line);
    assert_eq!(read_to_string(small.join("file")).unwrap(), "old");
    assert_eq!(read_dir(Path::new(&small)).unwrap().count(), 1);
}
