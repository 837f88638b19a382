//! Entries that the kernel removes when the process that set them ends are refused.

use crate::common::child::Start;
use crate::common::*;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// A software event that never happens, PERF_COUNT_SW_DUMMY.
fn perf_event() -> OwnedFd {
    let mut event = [0u64; 16];
    (event[0], event[1]) = (1 | 128 << 32, 9);
    const PERF_FLAG_FD_CLOEXEC: libc::c_long = 8;
    // SAFETY: an attribute of the size that it contains.
    let fd = unsafe {
        libc::syscall(libc::SYS_perf_event_open, &raw const event, 0, -1, -1, PERF_FLAG_FD_CLOEXEC)
    };
    assert!(fd >= 0, "{}", std::io::Error::last_os_error());
    // SAFETY: the kernel has just made it for us.
    unsafe { OwnedFd::from_raw_fd(fd as i32) }
}

#[test]
fn perf_event_that_would_vanish_is_refused() {
    let lab = Lab::new();
    let event = perf_event();
    // At 3 in the command.
    let start = Start { given: vec![event.as_raw_fd()], ..Start::default() };
    let (plain, kept) = ("/sys/fs/bpf/plain", "/sys/fs/bpf/kept");
    let spec = |name: &str, rest: &str| format!("{name}=perf_event_array,entries=4{rest}");
    stdout_of(&mut lab.map(["create", &spec("plain", ""), "--pin", plain]));
    let flags = ",flags=PRESERVE_ELEMS";
    stdout_of(&mut lab.map(["create", &spec("kept", flags), "--pin", kept]));
    let id = format!("id:{}", map_id(plain.as_ref()));
    for reference in [plain, &id] {
        let line = format!(
            "bpf-map: {reference}: set: the entry would vanish when bpf-map ends: \
             use an inherited descriptor of the map, or a map with PRESERVE_ELEMS"
        );
        fails(start.apply(&mut lab.map(["set", reference, "0", "3"])), 2, &line);
    }
    stdout_of(start.apply(&mut lab.map(["set", kept, "0", "3"])));
    stdout_of(&mut lab.map(["del", kept, "0"]));
    // The shell has the open file of the map, too, and keeps the entry.
    let script = "bpf-map set plain 0 3 && bpf-map del plain 0";
    let mut command = lab.exec(["--pin", plain, "--", "sh", "-c", script]);
    stdout_of(start.apply(&mut command));
}

#[test]
fn devmap_and_cpumap_keep_entries_without_the_descriptor() {
    let lab = Lab::new();
    for (spec, key, value) in [
        ("d=devmap,entries=4", "2", "1"),
        ("h=devmap_hash,entries=4", "2", "1"),
        ("c=cpumap,entries=1", "0", "64"),
    ] {
        let pin = format!("{BPFFS}/{}", &spec[..1]);
        stdout_of(&mut lab.map(["create", spec, "--pin", &pin]));
        stdout_of(&mut lab.map(["set", &pin, key, value]));
        assert_eq!(stdout_of(&mut lab.map(["get", &pin, key])), format!("{value}\n"), "{spec}");
    }
}
