//! `bpf-map pin`, `unpin`, `freeze` and `create`.

use crate::common::features::Feature;
use crate::common::*;
use crate::needs;
use std::path::Path;

#[test]
fn pin_needs_a_free_path_on_bpffs() {
    let lab = Lab::new();
    let pin = lab.array("m", 1);
    let pin = pin.to_str().unwrap();
    std::os::unix::fs::symlink("nowhere", "/sys/fs/bpf/link").unwrap();
    let off = lab.path("x");
    let off = off.to_str().unwrap();
    let long = format!("/sys/fs/bpf/{}", "x".repeat(256));
    let files = lab.files();
    for (path, cause) in [
        (pin, "already exists"),
        ("/sys/fs/bpf/link", "already exists"),
        ("/sys/fs/bpf/a.b", "the name of a pin cannot contain a dot"),
        ("/sys/fs/bpf/none/x", "no such directory"),
        (off, "not on a bpf file system"),
        ("x", "not on a bpf file system"),
        ("/sys/fs/bpf/m/x", "not a directory"),
        (&long, "file name too long"),
    ] {
        let line = format!("bpf-map: {path}: pin: {cause}");
        fails(&mut lab.map(["pin", pin, path]), 2, &line);
        let spec = "new=array,value=4,entries=1";
        fails(&mut lab.map(["create", spec, "--pin", path]), 2, &line);
    }
    let line = "bpf-map: a\\nb: no inherited map has this name";
    fails(&mut lab.map(["pin", "a\nb", "/sys/fs/bpf/x"]), 2, line);
    assert_eq!(lab.files(), files);
}

#[test]
fn any_reference_can_be_pinned_and_the_pin_is_the_same_map() {
    let lab = Lab::new();
    let name = unique("pin");
    let pin = lab.hash(&name);
    let id = map_id(&pin);
    let given = format!("m={}", pin.to_str().unwrap());
    for (n, reference) in
        [pin.to_str().unwrap(), &format!("id:{id}"), &format!("name:{name}"), "m", "64"]
            .into_iter()
            .enumerate()
    {
        let path = format!("/sys/fs/bpf/pin{n}");
        let words = ["--pin", &given, "--", "bpf-map", "pin", reference, &path];
        assert_eq!(stdout_of(&mut lab.exec(words)), "", "{reference}");
        assert_eq!(map_id(path.as_ref()), id, "{reference}");
    }
    // Also through a read-only descriptor.
    let words = ["-r", "--pin", &given, "--", "bpf-map", "pin", "m", "/sys/fs/bpf/read"];
    assert_eq!(stdout_of(&mut lab.exec(words)), "");
    // Below a relative path.
    let mut command = lab.map(["pin", pin.to_str().unwrap(), "relative"]);
    assert_eq!(stdout_of(command.current_dir(BPFFS)), "");
    assert_eq!(map_id(Path::new("/sys/fs/bpf/relative")), id);
}

#[test]
fn unpin_removes_other_pins_only_with_force() {
    let lab = Lab::new();
    let pin = lab.hash("m");
    let program = fds::pin_program("prog");
    let link = fds::pin_link("link");
    std::os::unix::fs::symlink("m", "/sys/fs/bpf/symlink").unwrap();
    std::fs::create_dir("/sys/fs/bpf/dir").unwrap();
    std::fs::write(lab.path("file"), "").unwrap();
    let file = lab.path("file");
    let before = lab.files();
    for (path, forced, plain) in [
        ("/sys/fs/bpf/none", "no such file or directory", None),
        ("/sys/fs/bpf/symlink", "a symbolic link, not a pin", None),
        ("/sys/fs/bpf/dir", "a directory, not a pin", None),
        (file.to_str().unwrap(), "not on a bpf file system", None),
        (
            program.to_str().unwrap(),
            "",
            Some("a BPF program, not a map (prog:PATH or --force removes it)"),
        ),
        (
            link.to_str().unwrap(),
            "",
            Some("a BPF link, not a map (link:PATH or --force removes it)"),
        ),
    ] {
        let line = |cause| format!("bpf-map: {path}: unpin: {cause}");
        fails(&mut lab.map(["unpin", path]), 2, &line(plain.unwrap_or(forced)));
        if plain.is_none() {
            fails(&mut lab.map(["unpin", "--force", path]), 2, &line(forced));
        }
    }
    assert_eq!(lab.files(), before);
    for path in [&program, &link] {
        assert_eq!(stdout_of(&mut lab.map(["unpin", "--force", path.to_str().unwrap()])), "");
        assert!(!path.exists());
    }
    let id = map_id(&pin);
    assert_eq!(stdout_of(&mut lab.map(["unpin", pin.to_str().unwrap()])), "");
    assert!(!pin.exists());
    eventually("the map's end", || !map_exists(id));
}

#[test]
fn freeze_through_a_read_only_fd_is_refused() {
    needs!(Feature::FreezeNeedsWriteAccess);
    let lab = Lab::new();
    let pin = lab.hash("m");
    let pin = pin.to_str().unwrap();
    let words = ["-r", "--pin", pin, "--", "bpf-map", "freeze", "m"];
    let line = "bpf-map: m: freeze: operation not permitted (the descriptor is read-only)";
    fails(&mut lab.exec(words), 2, line);
    stdout_of(&mut lab.map(["set", pin, "1", "43"]));
}

#[test]
fn refusal_by_a_seccomp_filter_is_explained() {
    let lab = Lab::new();
    let (pin, map) = (lab.hash("m"), lab.reachable("bpf-map"));
    let locked = ["--lock", "--pin", pin.to_str().unwrap(), "--"];
    let filter = "and a seccomp filter such as --lock may refuse it";
    let create = ["create", "x=array,value=u8,entries=1", "--pin", "/sys/fs/bpf/x"];
    for (words, operation, needed) in [
        (&["freeze", "m"][..], "m: freeze", "CAP_BPF is needed"),
        (&["pin", "m", "/sys/fs/bpf/n"], "/sys/fs/bpf/n: pin", "CAP_BPF may be needed"),
        (&create, "x: create map", "CAP_BPF is needed, and CAP_NET_ADMIN for some types"),
        (&["get", "id:1", "1"], "id 1: open map by id", "CAP_SYS_ADMIN is needed"),
    ] {
        let command = [&locked, &NOBODY[..], &[&map], words].concat();
        let run = run(&mut lab.exec(command));
        let last = run.stderr.lines().last().unwrap();
        let line = format!("bpf-map: {operation}: operation not permitted ({needed}, {filter})");
        assert_eq!((run.status, run.stdout.as_str(), last), (2, "", line.as_str()));
    }
}

#[test]
fn frozen_map_refuses_writes_and_may_be_frozen_again() {
    let lab = Lab::new();
    let pin = lab.hash("m");
    let pin = pin.to_str().unwrap();
    stdout_of(&mut lab.map(["set", pin, "1", "43"]));
    assert_eq!(stdout_of(&mut lab.map(["freeze", pin])), "");
    assert_eq!(stdout_of(&mut lab.map(["freeze", pin])), "");
    let line = format!("bpf-map: {pin}: set: operation not permitted (the map is frozen)");
    fails(&mut lab.map(["set", pin, "1", "44"]), 2, &line);
    assert_eq!(stdout_of(&mut lab.map(["get", pin, "1"])), "43\n");
    let shown = stdout_of(&mut lab.map(["show", pin]));
    assert!(shown.contains("\nfrozen: true\n"), "{shown}");
}

#[test]
fn writably_mapped_map_cannot_be_frozen() {
    let lab = Lab::new();
    let pin = "/sys/fs/bpf/m";
    let spec = "m=array,value=8,entries=1,flags=MMAPABLE";
    stdout_of(&mut lab.map(["create", spec, "--pin", pin]));
    let fd = open_pin(pin.as_ref());
    let (length, protection) = (4096, libc::PROT_READ | libc::PROT_WRITE);
    // SAFETY: a new mapping, at an address of the kernel's choice.
    let mapped = unsafe {
        use std::os::fd::AsRawFd;
        let flags = libc::MAP_SHARED;
        libc::mmap(std::ptr::null_mut(), length, protection, flags, fd.as_raw_fd(), 0)
    };
    assert_ne!(mapped, libc::MAP_FAILED);
    let line = "bpf-map: /sys/fs/bpf/m: freeze: device or resource busy (it is mapped for writing, or being written)";
    fails(&mut lab.map(["freeze", pin]), 2, line);
    // SAFETY: mapped above, and not used since.
    assert_eq!(unsafe { libc::munmap(mapped, length) }, 0);
    assert_eq!(stdout_of(&mut lab.map(["freeze", pin])), "");
}

#[test]
fn created_map_is_pinned_as_specified() {
    let lab = Lab::new();
    for (spec, line) in [
        ("m=hush", "bpf-map: m=hush: \"hush\" is not a map type"),
        ("m\n=hash", "bpf-map: m\\n=hash: a hash needs key="),
    ] {
        fails(&mut lab.map(["create", spec, "--pin", "/sys/fs/bpf/m"]), 2, line);
    }
    let spec = "m=hash,key=u16,value=u32[3],entries=1k";
    let run = run(&mut lab.map(["create", spec]));
    assert_eq!((run.status, run.stdout.as_str()), (2, ""), "{}", run.stderr);
    assert_eq!(stdout_of(&mut lab.map(["create", spec, "--pin", "/sys/fs/bpf/m"])), "");
    let json: serde_json::Value =
        serde_json::from_str(&bpftool(&["-j", "map", "show", "pinned", "/sys/fs/bpf/m"])).unwrap();
    assert_eq!(json["type"], "hash");
    assert_eq!((&json["bytes_key"], &json["bytes_value"]), (&2.into(), &12.into()));
    assert_eq!((&json["max_entries"], &json["name"]), (&1024.into(), &"m".into()));
}

#[test]
fn unpin_without_a_slash_is_refused() {
    let lab = Lab::new();
    let pin = lab.hash("full");
    for force in [&[][..], &["--force"]] {
        let mut command = lab.map([&["unpin", "full"], force].concat());
        let message = "bpf-map: full: unpin: not a path (write ./full for a pin in this directory)";
        fails(command.current_dir(BPFFS), 2, message);
        assert!(pin.exists());
    }
    assert_eq!(stdout_of(lab.map(["unpin", "./full"]).current_dir(BPFFS)), "");
    assert!(!pin.exists());
    fails(&mut lab.map(["unpin", ""]), 2, "bpf-map: unpin: the path is empty");
}

#[test]
fn create_with_rdonly_warns_that_the_pin_is_writable() {
    let lab = Lab::new();
    for (flag, access) in [("RDONLY", "writable"), ("WRONLY", "readable")] {
        let pin = format!("{BPFFS}/{flag}");
        let spec = format!("m=array,value=8,entries=1,flags={flag}");
        let run = run(&mut lab.map(["create", &spec, "--pin", &pin]));
        assert_eq!((run.status, run.stdout.as_str()), (0, ""));
        let warning = format!(
            "bpf-map: warning: {pin}: {flag} restricts the descriptor that creates the map: the pin stays {access}\n"
        );
        assert_eq!(run.stderr, warning);
        // As it says.
        stdout_of(&mut lab.map(["set", &pin, "0", "5"]));
        assert_eq!(stdout_of(&mut lab.map(["get", &pin, "0"])), "5\n");
    }
}

#[test]
fn prefix_of_a_reference_precedes_a_slash() {
    let lab = Lab::new();
    std::fs::create_dir("/sys/fs/bpf/id:7").unwrap();
    lab.array("array", 1);
    stdout_of(&mut lab.map(["pin", "/sys/fs/bpf/array", "/sys/fs/bpf/id:7/map"]));
    let mut get = lab.map(["get", "./id:7/map", "0"]);
    assert_eq!(stdout_of(get.current_dir("/sys/fs/bpf")), "0\n");
    let mut get = lab.map(["get", "id:7/map", "0"]);
    fails(get.current_dir("/sys/fs/bpf"), 2, "bpf-map: id:7/map: not a map id");
    let mut get = lab.map(["get", "prog:/sys/fs/bpf/array", "0"]);
    fails(&mut get, 2, "bpf-map: prog:/sys/fs/bpf/array: a BPF program, not a map");
}
