//! The number of possible CPUs, from which the length of a per-CPU element follows: files that
//! cover the kernel's own are not read, and the number is compared with the map.

use crate::common::*;
use bpf_inherit::bpf::{MapSpec, map_create};
use bpf_inherit::{Map, MapType};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::path::{Path, PathBuf};
use std::process::Command;

const SYSFS_DIRECTORY: &str = "/sys/devices/system/cpu";
const SYSFS_LIST: &str = "/sys/devices/system/cpu/possible";
const SOFTIRQS: &str = "/proc/softirqs";

/// Mounts `from` over `over`, in the mount namespace of this test.
fn cover(over: &str, from: impl AsRef<Path>) {
    let none = None::<&str>;
    mount(Some(from.as_ref()), over, none, MsFlags::MS_BIND, none).expect("a bind mount");
}

fn file(lab: &Lab, name: &str, text: &str) -> PathBuf {
    let path = lab.path(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// Reads and writes maps of every per-CPU type by every way to their elements.
const SCRIPT: &str = "
    for type in percpu_array percpu_hash lru_percpu_hash; do
        pin=/sys/fs/bpf/$type
        key=$([ $type = percpu_array ] || echo key=u32,)
        bpf-map create p=$type,${key}value=12,entries=64 --pin $pin
        set -- --value 'packed struct{a: u32, b: u64}' $pin
        bpf-map dump --jsonl \"$@\" | head -n 1
        bpf-map set --all-cpus \"$@\" 1 'a=1 b=2'
        bpf-map set --cpu 0 \"$@\" 1 'a=5 b=6'
        bpf-map get --per-cpu --json \"$@\" 1
        bpf-map dump --per-cpu --csv \"$@\" >table
        bpf-map clear $pin
        bpf-map load --csv \"$@\" table
        bpf-map dump --per-cpu --csv \"$@\" | cmp table -
        bpf-map watch --count 1 --json \"$@\" 1 | cut -d , -f 3-
        bpf-map unpin $pin
    done";

#[test]
fn covered_cpu_lists_do_not_change_results() {
    let lab = Lab::new();
    let want = stdout_of(&mut lab.program("sh", ["-euc", SCRIPT]));
    assert!(want.contains("{\"values\":[{\"a\":5,\"b\":6}"), "{want}");
    std::fs::create_dir(lab.path("empty")).unwrap();
    for (over, from) in [
        (SYSFS_DIRECTORY, lab.path("empty")),
        (SYSFS_LIST, file(&lab, "fewer", "0\n")),
        (SYSFS_LIST, file(&lab, "more", "0-1023\n")),
        // The kernel's own file, but another one.
        (SYSFS_LIST, "/sys/devices/system/cpu/kernel_max".into()),
        (SOFTIRQS, file(&lab, "lie", "CPU0\n")),
    ] {
        cover(over, &from);
        let got = stdout_of(&mut lab.program("sh", ["-euc", SCRIPT]));
        assert_eq!(got, want, "{} over {over}", from.display());
        umount2(over, MntFlags::MNT_DETACH).expect("an unmount");
    }
}

#[test]
fn per_cpu_maps_need_a_genuine_list_of_cpus() {
    let lab = Lab::new();
    cover(SYSFS_DIRECTORY, lab.dir.path());
    // A file of the same file system, with the same header, but for online CPUs.
    cover(SOFTIRQS, "/proc/interrupts");
    let create = |script: &str| {
        lab.exec(["--create", "p=percpu_array,value=u64,entries=1", "--", "sh", "-c", script])
    };
    let message = "bpf-map: p: the number of possible CPUs is unknown: both \
                   /sys/devices/system/cpu/possible and /proc/softirqs are hidden by mounts";
    for line in ["get p 0", "set p 0 1 --all-cpus", "add p 0 1", "dump p", "load p /dev/null"] {
        fails(&mut create(&format!("exec bpf-map {line}")), 2, message);
    }
    assert_eq!(stdout_of(&mut create("echo $BPF_NUM_MAPS")), "1\n");
    let mut other = lab.exec(["--create", "a=array,value=u64,entries=1", "--"]);
    assert_eq!(stdout_of(other.args(["bpf-map", "get", "a", "0"])), "0\n");
}

/// Runs a command under strace, whose lines it returns; `options` may make calls fail.
fn traced(lab: &Lab, options: &[&str], command: &Command) -> (Run, Vec<String>) {
    let trace = lab.path("trace");
    let file = ["-o", trace.to_str().unwrap()];
    let strace = [&["strace", "-f", "-e", "trace=bpf", "-e", "signal=none"], &file[..], options];
    let run = run(&mut wrapped(&strace.concat(), command));
    let lines = std::fs::read_to_string(&trace).unwrap().lines().map(String::from).collect();
    (run, lines)
}

#[test]
fn failure_to_compare_the_number_is_reported() {
    let lab = Lab::new();
    cover(SYSFS_DIRECTORY, lab.dir.path());
    let pin = Path::new(BPFFS).join("p");
    let pin = pin.to_str().unwrap();
    stdout_of(&mut lab.map(["create", "p=percpu_array,value=u64,entries=1", "--pin", pin]));
    let get = lab.map(["get", pin, "0"]);
    let (done, calls) = traced(&lab, &[], &get);
    assert_eq!((done.status, done.stdout.as_str()), (0, "0\n"), "{done:?}");
    // The calls by which the number is compared.
    for call in ["BPF_MAP_GET_NEXT_KEY", "BPF_MAP_LOOKUP_ELEM"] {
        let at = calls.iter().position(|line| line.contains(call)).expect("a call") + 1;
        let inject = format!("inject=bpf:error=ENOMEM:when={at}");
        let (failed, calls) = traced(&lab, &["-e", &inject], &get);
        let line = "the number of possible CPUs cannot be compared with an element: \
                    ENOMEM: Out of memory";
        let stderr = format!("bpf-map: {pin}: {line}\n");
        assert_eq!(failed, Run { status: 2, stdout: String::new(), stderr }, "{calls:#?}");
    }
}

#[test]
fn guard_page_shows_the_number_of_values() {
    let cpus = std::fs::read_to_string(SOFTIRQS).unwrap();
    let cpus = cpus.lines().next().unwrap().split_whitespace().count();
    for (kind, value_size) in [(5, 4), (6, 4), (10, 4), (5, 12), (6, 8), (6, 4096), (6, 20_000)] {
        let spec = MapSpec {
            map_type: MapType(kind),
            key_size: 4,
            value_size,
            max_entries: 8,
            ..MapSpec::default()
        };
        let map = Map::new(map_create(&spec).expect("a map")).expect("a map");
        if kind != 6 {
            assert_eq!(map.has_values_for(cpus), Ok(None), "type {kind} without an element");
            map.update(&[1, 0, 0, 0], &vec![7; map.value_len()], 0).expect("an update");
        }
        for (count, want) in
            [(0, false), (1, cpus == 1), (cpus - 1, false), (cpus, true), (cpus + 1, false)]
        {
            let fits = map.has_values_for(count);
            assert_eq!(fits, Ok(Some(want)), "type {kind}, {value_size} bytes, {count} CPUs");
        }
        assert_eq!(map.has_values_for(usize::MAX), Err(Errno::EOVERFLOW));
    }
}
