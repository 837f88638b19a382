//! What the command may do with the maps it is handed: `--read-only` and `--lock`.

use crate::common::child::{Running, Start};
use crate::common::features::Feature;
use crate::common::sender::Datagram;
use crate::common::*;
use crate::needs;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

const LOOKUPS: [&str; 3] = ["lookup", "lookup_batch", "info"];
const WRITES: [&str; 6] = [
    "update",
    "delete",
    "lookup_and_delete",
    "update_batch",
    "delete_batch",
    "lookup_and_delete_batch",
];
const IDS: [&str; 2] = ["next_id", "get_by_id"];
const MAKING: [&str; 2] = ["create", "load_program"];
const PINNING: [&str; 1] = ["pin"];
const REOPENING: [&str; 2] = ["reopen", "write_reopened"];
const FREEZING: [&str; 1] = ["freeze"];

/// Asserts how each of the probe's attempts ended: groups of them, and the answer to all of a group.
#[track_caller]
fn attempts(output: &str, want: &[(&[&str], &str)]) {
    let mut got: Vec<(&str, &str)> =
        output.lines().map(|line| line.split_once('\t').expect("a tab")).collect();
    let mut want: Vec<(&str, &str)> =
        want.iter().flat_map(|(names, answer)| names.iter().map(|name| (*name, *answer))).collect();
    got.sort_unstable();
    want.sort_unstable();
    assert_eq!(got, want);
}

/// As root, with a descriptor that is read-only.
const READ_ONLY: [(&[&str], &str); 5] =
    [(&LOOKUPS, "ok"), (&WRITES, "EPERM"), (&IDS, "ok"), (&MAKING, "ok"), (&FREEZING, "EPERM")];

/// The same with one that is not.
const WRITABLE: [(&[&str], &str); 5] =
    [(&LOOKUPS, "ok"), (&WRITES, "ok"), (&IDS, "ok"), (&MAKING, "ok"), (&FREEZING, "ok")];

/// Prints the flags of the fd in /proc, then the probe's output.
const PROBE_SCRIPT: &str = "grep ^flags: /proc/$$/fdinfo/$BPF_MAP0; exec \"$0\"";

#[track_caller]
fn check_probe(command: &mut Command, flags: &str, want: &[(&[&str], &str)]) {
    let output = stdout_of(command);
    let (first, rest) = output.split_once('\n').expect("lines");
    assert_eq!(first, format!("flags:\t{flags}"), "{command:?}");
    attempts(rest, want);
}

#[test]
fn every_source_gives_read_only_fds() {
    needs!(Feature::FreezeNeedsWriteAccess);
    let lab = Lab::new();
    let probe = lab.reachable("probe");
    std::fs::create_dir(format!("{BPFFS}/dir")).unwrap();
    let name = unique("ro");
    // Each attempt on a map of its own: it is frozen at the end.
    for (access, flags, want) in [(&["-r"][..], "00", &READ_ONLY), (&[], "02", &WRITABLE)] {
        for source in ["pin", "directory", "id", "name", "pid"] {
            let pin = match source {
                "directory" => lab.hash("dir/probed"),
                _ => lab.hash(&name),
            };
            let id = map_id(&pin).to_string();
            let holder = Running::cat(&Start::default(), &mut lab.exec(["--id", &id, "--", "cat"]));
            let pid = holder.pid().to_string();
            let source = match source {
                "pin" => ["--pin", pin.to_str().unwrap()],
                "directory" => ["--pin", "/sys/fs/bpf/dir"],
                "id" => ["--id", &id],
                "name" => ["--name", &name],
                _ => ["--pid", &pid],
            };
            let words = [access, &source, &["--", "sh", "-c", PROBE_SCRIPT, &probe]].concat();
            check_probe(&mut lab.exec(words), flags, want);
            assert_eq!(holder.end().status, 0);
            std::fs::remove_file(&pin).unwrap();
        }
        // A new map is empty, except for the slots of an array, which cannot be deleted.
        let create =
            ["--create", "new=array,value=8,entries=4", "--", "sh", "-c", PROBE_SCRIPT, &probe];
        let output = stdout_of(&mut lab.exec([access, &create].concat()));
        assert!(output.starts_with(&format!("flags:\t{flags}\nlookup\tok\n")), "{output}");
        let update = if flags == "00" { "EPERM" } else { "ok" };
        assert!(output.contains(&format!("\nupdate\t{update}\n")), "{output}");
        assert!(output.contains(&format!("\nfreeze\t{update}\n")), "{output}");
    }
}

#[test]
fn sender_gives_read_only_fds() {
    needs!(Feature::FreezeNeedsWriteAccess);
    let lab = Lab::new();
    for (access, flags, want) in [("-r", "00", &READ_ONLY), ("--clean", "02", &WRITABLE)] {
        let pin = lab.hash("sent");
        let fd = open_pin(&pin);
        let socket = lab.path("socket");
        let words = ["--import", socket.to_str().unwrap(), "--", "sh", "-c", PROBE_SCRIPT];
        let mut command = lab.exec([access].iter().chain(&words));
        command.arg(lab.reachable("probe")).stdout(Stdio::piped()).stderr(Stdio::piped());
        let receiver = command.spawn().unwrap();
        eventually("the socket", || socket.exists());
        Datagram::of(vec![[1, 4, 8, 4, 0, 0, 0, 0, 0]]).send(&socket, &[fd.as_fd()]);
        let run = Run::from(receiver.wait_with_output().unwrap());
        assert_eq!((run.status, run.stderr.as_str()), (0, ""), "{access}");
        let (first, rest) = run.stdout.split_once('\n').unwrap();
        assert_eq!(first, format!("flags:\t{flags}"));
        attempts(rest, want);
        std::fs::remove_file(&pin).unwrap();
    }
}

#[test]
fn inherited_descriptors_are_replaced_in_place() {
    let lab = Lab::new();
    let (a, b) = (lab.hash("a"), lab.hash("b"));
    let (pin_a, pin_b) = (a.to_str().unwrap(), b.to_str().unwrap());
    // The first of the two is read-only from the start.
    let two = ["-r", "--pin", pin_a, "--", "bpf-exec", "--pin", pin_b, "--", "bpf-exec"];
    for (access, flags) in [(&["-r"][..], ["00", "00"]), (&[], ["00", "02"])] {
        let running =
            Running::cat(&Start::default(), &mut lab.exec([&two, access, &["--", "cat"]].concat()));
        running.fds().assert_numbers(&[0, 1, 2, 64, 65], &format!("{access:?}"));
        assert_eq!(
            running.contract(),
            ["BPF_NUM_MAPS=2", "BPF_MAP0=64", "BPF_MAP0_NAME=a", "BPF_MAP1=65", "BPF_MAP1_NAME=b",],
            "{access:?}"
        );
        for (number, pin, flags) in [(64, &a, flags[0]), (65, &b, flags[1])] {
            assert_eq!(running.fdinfo(number, "flags"), flags, "{access:?}");
            assert_eq!(running.fdinfo(number, "map_id"), map_id(pin).to_string());
        }
        assert_eq!(running.end(), Run { status: 0, stdout: "".into(), stderr: "".into() });
    }
}

#[test]
fn command_does_not_run_without_a_read_only_fd() {
    let lab = Lab::new();
    let exec = lab.reachable("bpf-exec");
    let directory = Path::new(BPFFS).join("sub");
    std::fs::create_dir(&directory).unwrap();
    let pin = lab.hash("sub/probed");
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let before = lab.files();
    // A pin's permissions and its directory's, and whether they are enough.
    for (of_pin, of_directory, enough) in [
        (0o600, 0o755, false),
        (0o222, 0o755, false),
        (0o444, 0o700, false),
        (0o444, 0o755, true),
        (0o004, 0o755, true),
    ] {
        mode(&pin, of_pin);
        mode(&directory, of_directory);
        let words = ["--pin", pin.to_str().unwrap(), "--"];
        let inner = [&exec, "-r", "--", "touch", "ran"];
        let mut command = lab.exec([&words, &NOBODY[..], &inner].concat());
        if enough {
            assert_eq!(stdout_of(&mut command), "");
            std::fs::remove_file(lab.path("ran")).expect("the command ran");
        } else {
            let cause = "CAP_SYS_ADMIN or a readable pin of the map is needed";
            fails(&mut command, 125, &format!("bpf-exec: probed: open read-only: {cause}"));
        }
        assert_eq!(lab.files(), before, "{of_pin:o} {of_directory:o}");
    }
}

#[test]
fn readable_pin_gives_a_read_only_fd() {
    let lab = Lab::new();
    let pin = lab.hash("probed");
    std::fs::set_permissions(&pin, std::fs::Permissions::from_mode(0o444)).unwrap();
    let (exec, probe) = (lab.reachable("bpf-exec"), lab.reachable("probe"));
    let path = pin.to_str().unwrap();
    let want: [(&[&str], &str); 5] = [
        (&LOOKUPS, "ok"),
        (&WRITES, "EPERM"),
        (&IDS, "EPERM"),
        (&MAKING, "EPERM"),
        (&FREEZING, "EPERM"),
    ];
    // In place of a writable one that was inherited, and by the pin itself.
    let outer = ["--pin", path, "--"];
    for source in [&[][..], &["--clean", "--pin", path]] {
        let inner =
            [&[exec.as_str(), "-r"], source, &["--", "sh", "-c", PROBE_SCRIPT, &probe]].concat();
        check_probe(&mut lab.exec([&outer, &NOBODY[..], &inner].concat()), "00", &want);
    }
    let inner = [&exec, "--clean", "--pin", path, "--", "touch", "ran"];
    let cause = "permission denied (only reading is allowed)";
    let line = format!("bpf-exec: {path}: open pin: {cause}");
    fails(&mut lab.exec([&outer, &NOBODY[..], &inner].concat()), 125, &line);
    assert!(!lab.path("ran").exists());
}

const ROOT_WARNING: &str =
    "bpf-exec: warning: --lock: the command runs as root, which the filter does not restrict\n";

/// Runs the probe `way` on a map pinned for it, below `options`, as a user without
/// privileges but for CAP_BPF, so that no operation is refused for lack of it.
/// It is the child of a child, after which the lines of its status are given.
fn probe_unprivileged(lab: &Lab, options: &[&str], way: &[&str]) -> Run {
    let pin = lab.hash("probed");
    let probe = lab.reachable("probe");
    let source = ["--pin", pin.to_str().unwrap(), "--"];
    let capable = ["--inh-caps=+bpf", "--ambient-caps=+bpf"];
    let script = "sh -c '\"$@\"' sh \"$@\" && grep -e ^CapEff -e ^NoNewPrivs /proc/self/status";
    let shell = ["sh", "-c", script, "sh", &probe];
    let map = ["probed", BPFFS];
    let run = run(&mut lab.exec([options, &source, &NOBODY, &capable, &shell, way, &map].concat()));
    std::fs::remove_file(pin).unwrap();
    run
}

/// Takes the lines that follow the probe's from the output.
#[track_caller]
fn split_status(run: &Run, locked: bool) -> &str {
    assert_eq!(run.status, 0, "{run:?}");
    assert_eq!(run.stderr, if locked { ROOT_WARNING } else { "" });
    // With CAP_BPF alone, only the filter refuses operations.
    let status = format!("CapEff:\t0000008000000000\nNoNewPrivs:\t{}\n", i32::from(locked));
    run.stdout.strip_suffix(&status).unwrap_or_else(|| panic!("{run:?}"))
}

#[test]
fn lock_permits_element_operations_only() {
    needs!(Feature::FreezeNeedsWriteAccess);
    let lab = Lab::new();
    for way in [&[][..], &["--high-bits"]] {
        // Whether it is locked, and the answers to writing, freezing, making and pinning, reopening.
        for (options, locked, [writes, freezing, making, reopening]) in [
            (&[][..], false, ["ok", "ok", "ok", "ok"]),
            // A read-only descriptor alone can be pinned and reopened for writing.
            (&["-r"], false, ["EPERM", "EPERM", "ok", "ok"]),
            (&["--lock"], true, ["ok", "EPERM", "EPERM", "ENOENT"]),
            (&["-r", "--lock"], true, ["EPERM", "EPERM", "EPERM", "ENOENT"]),
        ] {
            let run = probe_unprivileged(&lab, options, way);
            let want: [(&[&str], &str); 7] = [
                (&LOOKUPS, "ok"),
                (&WRITES, writes),
                (&IDS, "EPERM"),
                (&MAKING, making),
                (&PINNING, making),
                (&REOPENING, reopening),
                (&FREEZING, freezing),
            ];
            attempts(split_status(&run, locked), &want);
        }
    }
}

/// The second number that x86_64 has for bpf(2), where its x32 is built in.
#[cfg(target_arch = "x86_64")]
#[test]
fn lock_refuses_the_x32_number() {
    let lab = Lab::new();
    let free = probe_unprivileged(&lab, &[], &["--x32"]);
    for line in split_status(&free, false).lines() {
        let (name, answer) = line.split_once('\t').unwrap();
        let built_in = answer == "ok" || IDS.contains(&name);
        assert!(built_in || answer == "ENOSYS", "{line}");
    }
    let locked = probe_unprivileged(&lab, &["--lock"], &["--x32"]);
    let answers = split_status(&locked, true).lines().map(|line| line.split_once('\t').unwrap().1);
    assert_eq!(answers.collect::<Vec<_>>(), ["EPERM"; 17]);
}

#[test]
fn lock_warns_if_it_is_incomplete() {
    let lab = Lab::new();
    let exec = lab.reachable("bpf-exec");
    let create = ["--create", "m=hash,key=4,value=8,entries=1", "--"];
    let admin = ["--inh-caps=+sys_admin", "--ambient-caps=+sys_admin"];
    let bpf = ["--inh-caps=+bpf", "--ambient-caps=+bpf"];
    let admin_warning = "bpf-exec: warning: --lock: the command runs with CAP_SYS_ADMIN, \
                         which the filter does not restrict\n";
    for (before, stderr) in [
        (vec![], ROOT_WARNING),
        ([&NOBODY[..], &admin].concat(), admin_warning),
        ([&NOBODY[..], &bpf].concat(), ""),
        (NOBODY.to_vec(), ""),
    ] {
        let inner = [&exec, "--lock", "--", "grep", "NoNewPrivs", "/proc/self/status"];
        let run = run(&mut lab.exec([&create, &before[..], &inner].concat()));
        let want = Run { status: 0, stdout: "NoNewPrivs:\t1\n".into(), stderr: stderr.into() };
        assert_eq!(run, want, "{before:?}");
    }
}
