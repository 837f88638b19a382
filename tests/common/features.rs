//! Features that not every kernel or machine has, and the record of tests that could not run.
//!
//! A test that needs one says so in its first line: `needs!(Feature::ElementIterator);`. If the
//! running kernel refuses the feature, the test adds `BINARY TEST FEATURE` to the file that
//! `$BPF_TEST_REFUSED` names, and ends. `scripts/test` prints that file, and the virtual machine
//! runs the tests in it. Without the variable the test fails: no test is skipped in silence.

use super::*;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

#[derive(Clone, Copy, Debug)]
pub enum Feature {
    /// Iterators over the elements of a map (Linux 5.9); hardened kernels refuse to load them.
    ElementIterator,
    /// Freezing a map needs write access to it; Linux 6.1 freezes through a read-only fd.
    FreezeNeedsWriteAccess,
    /// The socket option that identifies a peer for good, SO_PEERPIDFD (Linux 6.5).
    PeerPidfd,
    /// FUSE file systems, which a kernel may have in a module that is not there.
    Fuse,
    /// User namespaces that a user without privileges makes, and has all capabilities in: AppArmor
    /// and containers may forbid them.
    UserNamespace,
    /// Maps of type arena (Linux 6.9).
    Arena,
    /// Maps of type cgrp_storage (Linux 6.2).
    CgroupStorage,
    /// The kernel's counter of entries, `bpf_map_sum_elem_count` (Linux 6.6).
    EntryCounter,
    /// SYSCALL programs that take a spin lock (Linux 6.2).
    LockInSyscallProgram,
    /// More than one possible CPU, so that values can differ or be missing; the virtual machine has
    /// two.
    SeveralCpus,
}

/// Starts a command as uid 1001 in a user namespace of its own, in which it is root and no other
/// user has a number.
pub const ROOT_OF_A_USER_NAMESPACE: [&str; 7] = [
    "setpriv",
    "--reuid=1001",
    "--regid=1001",
    "--clear-groups",
    "unshare",
    "--user",
    "--map-root-user",
];

impl Feature {
    /// Whether the running kernel has it, by trying it. Pins are removed with `lab`.
    fn is_supported(self, lab: &Lab) -> bool {
        match self {
            Feature::FreezeNeedsWriteAccess => {
                const BPF_MAP_FREEZE: libc::c_long = 22;
                const READ_ONLY: u32 = 8;
                let map = open_pin_with(&lab.array("probed", 1), READ_ONLY);
                let attr = [map.as_raw_fd() as u32];
                let (attr, size) = (attr.as_ptr(), size_of_val(&attr));
                // SAFETY: attr is as long as size says, and has no pointers.
                unsafe { libc::syscall(libc::SYS_bpf, BPF_MAP_FREEZE, attr, size) != 0 }
            }
            Feature::PeerPidfd => {
                const SO_PEERPIDFD: libc::c_int = 77;
                let (socket, _peer) = UnixStream::pair().expect("sockets");
                let (mut pidfd, mut size) = (-1i32, size_of::<i32>() as libc::socklen_t);
                let value = (&raw mut pidfd).cast();
                let (socket, level) = (socket.as_raw_fd(), libc::SOL_SOCKET);
                // SAFETY: value has room for size bytes.
                let found =
                    unsafe { libc::getsockopt(socket, level, SO_PEERPIDFD, value, &mut size) };
                // SAFETY: the kernel has just made the fd for this test.
                found == 0 && unsafe { OwnedFd::from_raw_fd(pidfd) }.as_raw_fd() >= 0
            }
            Feature::Fuse => std::fs::File::open("/dev/fuse").is_ok(),
            Feature::UserNamespace => {
                let words = [&ROOT_OF_A_USER_NAMESPACE[1..], &["true"]].concat();
                let made = Command::new(ROOT_OF_A_USER_NAMESPACE[0]).args(words).output();
                made.expect("setpriv").status.success()
            }
            Feature::EntryCounter => {
                let symbols = std::fs::read_to_string("/proc/kallsyms").expect("symbols");
                symbols.contains(" bpf_map_sum_elem_count")
            }
            Feature::LockInSyscallProgram => {
                let (object, maps) = (fixture("writers.bpf.o"), format!("{BPFFS}/probed"));
                let programs = format!("{BPFFS}/programs_probed");
                bpftool(&["prog", "loadall", &object, &programs, "pinmaps", &maps]);
                let map = format!("{maps}/locked");
                stdout_of(&mut lab.map(["set", &map, "0", "wide=0 hits=0 narrow=0"]));
                let run = run(&mut lab.map(["add", "--atomic", &map, "0", ".hits", "1"]));
                assert!(run.status == 0 || run.stderr.contains("the kernel refuses"), "{run:?}");
                run.status == 0
            }
            Feature::Arena => can_create(lab, "arena,entries=1"),
            Feature::CgroupStorage => can_create(lab, "cgrp_storage,value=8"),
            Feature::SeveralCpus => {
                let create = ["--create", "probed=percpu_array,value=4,entries=1", "--"];
                let get = ["bpf-map", "get", "--per-cpu", "probed", "0"];
                stdout_of(lab.exec(create).args(get)).lines().count() > 1
            }
            Feature::ElementIterator => {
                let pin = Path::new(BPFFS).join("probe");
                let run = run(&mut element_iterator(&pin, &lab.array("probed", 1)));
                // How libbpf writes EPERM depends on its version. Other failures are not a refusal.
                let refused = ["Operation not permitted", "-EPERM"]
                    .iter()
                    .any(|errno| run.stderr.contains(&format!("program load failed: {errno}")));
                assert!(refused || run.status == 0, "{}", run.stderr);
                !refused
            }
        }
    }
}

fn can_create(lab: &Lab, map: &str) -> bool {
    run(&mut lab.exec(["--create", &format!("probed={map}"), "--", "true"])).status == 0
}

/// `bpftool iter pin` of the fixture that iterates over the elements of the map at `map`.
pub fn element_iterator(pin: &Path, map: &Path) -> Command {
    let mut command = Command::new("bpftool");
    command.args(["iter", "pin", &fixture("elem_iter.bpf.o")]).arg(pin);
    command.args(["map", "pinned"]).arg(map);
    command
}

/// Ends the calling test, and records it, if the running kernel refuses the feature.
#[macro_export]
macro_rules! needs {
    ($feature:expr) => {
        if !$crate::common::features::has($feature, std::any::type_name_of_val(&|| ())) {
            return;
        }
    };
}

/// Whether the kernel has `feature`; if it has not, records the test that `closure` is part of:
/// `BINARY::TEST::{{closure}}`.
#[track_caller]
pub fn has(feature: Feature, closure: &str) -> bool {
    if feature.is_supported(&Lab::new()) {
        return true;
    }
    record(closure, feature, std::env::var_os("BPF_TEST_REFUSED").as_deref());
    false
}

/// Adds a test to the list of those that the kernel refused.
#[track_caller]
pub fn record(closure: &str, feature: Feature, list: Option<&OsStr>) {
    let path = closure.strip_suffix("::{{closure}}").expect("a closure of a test");
    let (binary, test) = path.split_once("::").expect("a test");
    let list = list.unwrap_or_else(|| {
        panic!("the kernel refuses {feature:?}: run scripts/test, or this test in scripts/vm-test")
    });
    let mut file = std::fs::File::options().append(true).create(true).open(list).expect("the list");
    file.write_all(format!("{binary} {test} {feature:?}\n").as_bytes()).expect("written");
}
