//! Without a usable /proc, pins and file descriptors cannot be identified: that is an error, and
//! not the same as finding none.

use crate::common::*;

const MAP: &str = "/sys/fs/bpf/map";
/// How /proc becomes unusable, and the reason that is reported.
const WAYS: [(&str, &str); 2] = [
    ("umount -l /proc", "/proc is not mounted"),
    // The PID namespace is a child that has ended: its /proc shows no process from outside.
    (
        "unshare --pid --fork mount -t proc proc /proc",
        "/proc does not show this process: it is that of another PID namespace",
    ),
];

#[test]
fn missing_proc_is_one_error_and_not_an_empty_result() {
    let lab = Lab::new();
    lab.array("map", 1);
    let walk = "/sys/fs/bpf: read directory";
    let cases = [
        ("bpf-map list", 2, walk),
        ("bpf-map list --all", 2, walk),
        ("bpf-map list --json", 2, walk),
        ("bpf-map pins", 2, walk),
        ("bpf-map pins --json", 2, walk),
        ("bpf-map pins --check", 2, walk),
        ("bpf-map get /sys/fs/bpf/map 0", 2, "/sys/fs/bpf/map: open pin"),
        ("bpf-map show /sys/fs/bpf/map", 2, "/sys/fs/bpf/map: open pin"),
        ("bpf-map unpin /sys/fs/bpf/map", 2, "/sys/fs/bpf/map: unpin"),
        ("bpf-exec -- true", 125, walk),
        ("bpf-exec --pin /sys/fs/bpf -- true", 125, walk),
        ("bpf-exec --prog /sys/fs/bpf -- true", 125, walk),
        ("bpf-exec --pin /sys/fs/bpf/map -- true", 125, "/sys/fs/bpf/map: open pin"),
        ("bpf-exec --clean -- true", 125, "inherited descriptors: list"),
    ];
    for (way, reason) in WAYS {
        for (words, status, object) in cases {
            let program = words.split(' ').next().unwrap();
            let script = format!("{way} && exec {words}");
            let mut command = lab.program("unshare", ["--mount", "sh", "-c", &script]);
            let line = format!("{program}: {object}: /proc/self is missing ({reason})");
            fails(&mut command, status, &line);
        }
    }
    assert!(std::path::Path::new(MAP).exists());
}

#[test]
fn put_without_proc_reports_why_the_pin_is_not_identified() {
    let lab = Lab::new();
    lab.array("map", 1);
    let script = "umount -l /proc && exec bpf-map put /sys/fs/bpf/map";
    let mut command = lab.program("unshare", ["--mount", "sh", "-c", script]);
    let run = run(&mut command);
    assert_eq!((run.status, run.stdout.as_str()), (2, ""), "{run:?}");
    assert!(run.stderr.contains("/proc/self is missing"), "{run:?}");
}
