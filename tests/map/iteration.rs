//! Walks over maps with concurrent writers: each key once, no stable key missing, and an end.

use crate::common::{BPFFS, Lab, run, stdout_of, unique};
use bpf_inherit::AccessMode;
use bpf_inherit::bpf::{MapSpec, map_create, obj_get, obj_pin};
use bpf_inherit::mmap::Mapped;
use bpf_inherit::{Errno, Map, MapError, MapResult, MapType};
use std::collections::BTreeSet;
use std::ffi::CString;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const NO_PREALLOC: u32 = 1;
const MMAPABLE: u32 = 1 << 10;

/// A new map, pinned under a name of its own.
fn create(
    kind: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
) -> (Map, PathBuf) {
    let spec = MapSpec {
        map_type: MapType(kind),
        key_size,
        value_size,
        max_entries,
        flags,
        ..MapSpec::default()
    };
    let fd = map_create(&spec).unwrap_or_else(|e| panic!("a map of type {kind}: {e}"));
    let pin = Path::new(BPFFS).join(unique("map"));
    obj_pin(fd.as_fd(), &CString::new(pin.to_str().unwrap()).unwrap()).expect("a pin");
    (Map::new(fd).expect("a map"), pin)
}

/// The key of number `n`: a prefix of 32 bits in a trie, else the number.
fn key(kind: u32, n: u32) -> Vec<u8> {
    match kind {
        11 => [32u32.to_ne_bytes(), n.to_be_bytes()].concat(),
        _ => n.to_ne_bytes().to_vec(),
    }
}

/// Deletes keys and writes them again until `stop` is set; returns how often it did so.
fn churn(map: &Map, keys: &[Vec<u8>], value: &[u8], stop: &AtomicBool, rounds: &AtomicU64) {
    while !stop.load(Ordering::Relaxed) {
        for key in keys {
            let _ = map.delete(key).expect("a delete");
            // An LRU map may drop others, but has room here; so has a trie.
            map.update(key, value, 0).expect("an update");
        }
        rounds.fetch_add(1, Ordering::Relaxed);
    }
}

/// Type, size of a key, size of a value, flags. A devmap_hash has no batches, and its walk starts
/// over if the current key was deleted; its values are interfaces: 1 is lo.
const CHURNED: [(u32, u32, u32, u32); 5] =
    [(1, 4, 8, 0), (9, 4, 8, 0), (5, 4, 12, 0), (11, 8, 8, NO_PREALLOC), (25, 4, 4, 0)];

/// A subcommand on a map of these.
fn ours(lab: &Lab, subcommand: &str, kind: u32, pin: &Path) -> std::process::Command {
    let mut command = lab.map([subcommand.as_ref(), pin]);
    command.args((kind == 11).then_some("--key=lpm{ip4}"));
    command
}

/// Calls `check` repeatedly with a map whose even keys stay while odd ones are added and removed.
fn under_churn(stable: u32, churned: u32, mut check: impl FnMut(u32, &Path)) {
    for (kind, key_size, value_size, flags) in CHURNED {
        let (map, pin) = create(kind, key_size, value_size, 4 * (stable + churned), flags);
        let mut value = vec![0; map.value_len()];
        value[0] = 1;
        let steady = (0..stable).map(|n| key(kind, 2 * n));
        let fleeting: Vec<Vec<u8>> = (0..churned).map(|n| key(kind, 2 * n + 1)).collect();
        for key in steady.chain(fleeting.iter().cloned()) {
            map.update(&key, &value, 0).expect("an update");
        }
        let (stop, rounds) = (AtomicBool::new(false), AtomicU64::new(0));
        std::thread::scope(|scope| {
            // Ended on a panic too, or the scope would never end.
            struct Stop<'s>(&'s AtomicBool);
            impl Drop for Stop<'_> {
                fn drop(&mut self) {
                    self.0.store(true, Ordering::Relaxed);
                }
            }
            let _stop = Stop(&stop);
            scope.spawn(|| churn(&map, &fleeting, &value, &stop, &rounds));
            while rounds.load(Ordering::Relaxed) == 0 {
                std::thread::yield_now();
            }
            let before = rounds.load(Ordering::Relaxed);
            let mut calls = 0;
            // At least as long as it takes the other thread to be seen at work.
            while calls < 12 || rounds.load(Ordering::Relaxed) < before + 3 {
                check(kind, &pin);
                calls += 1;
            }
        });
    }
}

fn number(kind: u32, text: &str) -> u32 {
    match kind {
        11 => {
            let address = text.strip_suffix("/32").expect("a prefix of 32");
            u32::from(address.parse::<std::net::Ipv4Addr>().expect("an address"))
        }
        _ => text.parse().expect("a number"),
    }
}

/// Checks keys, a line each, against what [`under_churn`] put into the map.
#[track_caller]
fn whole(kind: u32, stable: u32, churned: u32, keys: &[&str]) {
    let numbers: BTreeSet<u32> = keys.iter().map(|key| number(kind, key)).collect();
    assert_eq!(numbers.len(), keys.len(), "type {kind}: a key came twice");
    let missing = (0..stable).map(|n| 2 * n).find(|n| !numbers.contains(n));
    assert_eq!(missing, None, "type {kind}: a key that stayed is missing");
    let strange = numbers
        .iter()
        .find(|n| **n >= 2 * stable && **n % 2 == 0 || **n > 2 * churned && **n % 2 == 1);
    assert_eq!(strange, None, "type {kind}: a key that never was");
}

#[test]
fn dump_prints_each_key_once_and_misses_no_lasting_key() {
    let lab = Lab::new();
    under_churn(300, 300, |kind, pin| {
        let text = stdout_of(&mut ours(&lab, "dump", kind, pin));
        let keys: Vec<&str> =
            text.lines().map(|line| line.split_once('\t').expect("a tab").0).collect();
        whole(kind, 300, 300, &keys);
    });
}

#[test]
fn stable_keys_are_found_among_many_changing_ones() {
    let lab = Lab::new();
    under_churn(4, 2000, |kind, pin| {
        let text = stdout_of(&mut ours(&lab, "keys", kind, pin));
        whole(kind, 4, 2000, &text.lines().collect::<Vec<_>>());
    });
}

#[test]
fn replaced_key_does_not_hide_other_keys() {
    let lab = Lab::new();
    under_churn(60, 1, |kind, pin| {
        let text = stdout_of(&mut ours(&lab, "keys", kind, pin));
        whole(kind, 60, 1, &text.lines().collect::<Vec<_>>());
        let count: u32 = stdout_of(&mut ours(&lab, "count", kind, pin)).trim().parse().unwrap();
        assert!((60..=61).contains(&count), "type {kind}: {count}");
    });
}

#[test]
fn clear_ends_and_deletes_all_initial_entries() {
    let lab = Lab::new();
    under_churn(300, 50, |kind, pin| {
        assert_eq!(stdout_of(&mut ours(&lab, "clear", kind, pin)), "");
        let text = stdout_of(&mut ours(&lab, "keys", kind, pin));
        let left = text.lines().find(|key| number(kind, key).is_multiple_of(2));
        assert_eq!(left, None, "type {kind}: a key that was not written again");
    });
}

#[test]
fn queue_is_cleared_while_it_is_filled() {
    let lab = Lab::new();
    for kind in [22, 23] {
        let (map, pin) = create(kind, 0, 4, 64, 0);
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let _ = map.update(&[], &7u32.to_ne_bytes(), 0); // full, now and then
                }
            });
            let runs: Vec<_> =
                (0..10).map(|_| run(&mut lab.map(["clear".as_ref(), pin.as_path()]))).collect();
            stop.store(true, Ordering::Relaxed);
            runs.iter().for_each(|run| assert_eq!((run.status, run.stderr.as_str()), (0, "")));
        });
        stdout_of(&mut lab.map(["clear".as_ref(), pin.as_path()]));
        assert!(!map.take(&[], &mut [0; 4]).expect("a pop"), "type {kind}: something is left");
    }
}

/// Type, bytes of a key, of a value, entries, flags.
const SHAPES: [(u32, u32, u32, u32, u32); 18] = [
    (1, 1, 1, 200, 0), // the kernel's cursor is longer than the key
    (1, 3, 5, 5000, 0),
    (1, 4, 8, 20_000, NO_PREALLOC),
    (1, 64, 12, 3000, 0),
    (1, 4, 1 << 20, 24, NO_PREALLOC), // a bucket does not fit at first
    (5, 4, 1, 500, 0),
    (5, 4, 12, 5000, 0),
    (9, 4, 7, 5000, 0),
    (10, 4, 20, 2000, 0),
    (2, 4, 1, 10_000, 0),
    (2, 4, 12, 10_000, 0),
    (2, 4, 1, 10_000, MMAPABLE),
    (2, 4, 12, 10_000, MMAPABLE),
    (2, 4, 5000, 700, MMAPABLE),
    (2, 4, 1 << 20, 5, MMAPABLE),
    (6, 4, 12, 3000, 0),
    (11, 8, 3, 9000, NO_PREALLOC),
    (11, 20, 8, 100, NO_PREALLOC),
];

#[test]
fn every_shape_of_map_is_read_whole() {
    let lab = Lab::new();
    for (kind, key_size, value_size, entries, flags) in SHAPES {
        let (map, pin) = create(kind, key_size, value_size, entries, flags);
        let indexed = matches!(kind, 2 | 6);
        // An LRU map drops elements before it is full.
        let count = if matches!(kind, 9 | 10) { entries / 4 } else { entries };
        let dump = || {
            let types = [format!("--key=hex[{key_size}]"), format!("--value=hex[{value_size}]")];
            let mut command = lab.map(["dump".as_ref(), pin.as_path()]);
            // The first CPU has the value; sums of raw bytes would show the same.
            let cpu = matches!(kind, 5 | 6 | 10).then_some("--cpu=0");
            let text = stdout_of(command.args(types).args(cpu));
            let mut lines: Vec<String> = text.lines().map(String::from).collect();
            lines.sort();
            lines
        };
        let shape = format!("type {kind}, {key_size} and {value_size} bytes, flags {flags:#x}");
        assert_eq!(dump().len(), if indexed { entries as usize } else { 0 }, "{shape}, empty");
        let mut want = Vec::new();
        for n in 0..count {
            let mut key = vec![0; key_size as usize];
            let place = if kind == 11 { 4 } else { 0 };
            let bytes = if indexed { n.to_ne_bytes() } else { n.to_le_bytes() };
            let length = bytes.len().min(key.len() - place);
            key[place..place + length].copy_from_slice(&bytes[..length]);
            if kind == 11 {
                key[..4].copy_from_slice(&((key_size - 4) * 8).to_ne_bytes());
            }
            let mut value: Vec<u8> = (0..value_size).map(|at| (at + n) as u8 | 1).collect();
            want.push(format!("{}\t{}", hex(&key), hex(&value)));
            value.resize(map.value_len(), 0);
            update(&map, &key, &value).unwrap_or_else(|e| panic!("{shape}: {e}"));
        }
        want.sort();
        assert!(dump() == want, "{shape}: not what was written");
    }
}

/// Writes an entry. The kernel allocates it in one piece of memory, of which there may be none while
/// other processes use much: memory is then compacted (`Documentation/admin-guide/sysctl/vm.rst`).
fn update(map: &Map, key: &[u8], value: &[u8]) -> MapResult<()> {
    for _ in 0..10 {
        match map.update(key, value, 0) {
            Err(MapError::Other(Errno::ENOMEM)) => {
                std::fs::write("/proc/sys/vm/compact_memory", "1").expect("root")
            }
            result => return result,
        }
    }
    map.update(key, value, 0)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn mapping_needs_a_read_write_fd_and_checks_bounds() {
    let _lab = Lab::new();
    let (map, pin) = create(2, 4, 12, 1000, MMAPABLE);
    map.update(&999u32.to_ne_bytes(), &[7; 12], 0).expect("an update");
    let path = CString::new(pin.to_str().unwrap()).unwrap();
    let read_only =
        Map::new(obj_get(&path, AccessMode::ReadOnly).expect("a descriptor")).expect("a map");
    assert_eq!(Mapped::part(&read_only, 0, 1, false).err(), Some(nix::errno::Errno::EINVAL));
    for (first, count, fits) in [
        (0, 1000, true),
        (999, 1, true),
        (1000, 1, false),
        (0, 1001, false),
        (0, 0, false),
        (usize::MAX, 2, false),
    ] {
        assert_eq!(Mapped::part(&map, first, count, false).is_ok(), fits, "{first} {count}");
    }
    let last = Mapped::part(&map, 999, 1, false).expect("a mapping");
    let mut value = [0; 16];
    last.read(0, &mut value).expect("a read");
    assert_eq!(value[..12], [7; 12]);
    assert!(last.read(8, &mut value).is_err() && last.read(4, &mut value[..8]).is_err());
    let change = last.change(0, 8, |_| Ok::<(), ()>(()));
    assert!(change.is_err(), "not mapped for writing");
}
