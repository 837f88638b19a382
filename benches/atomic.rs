//! Changes of values in the kernel, and counts: `bpf-map add`, `take` and `count`, compared with bare
//! system calls and with the methods that lose updates. The commands run in turns within one run, and
//! medians are compared.
//!
//! Needs root: it mounts a bpffs in a mount namespace of its own, and both end with it.

mod common;

use bpf_inherit::batch::Cursor;
use bpf_inherit::bpf::{MapSpec, obj_pin};
use bpf_inherit::program::{self, ProgramSpec};
use bpf_inherit::{Map, MapType};
use common::kernel::private_bpffs;
use common::report::{line, median};
use common::{Options, Result, start};
use std::ffi::CString;
use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

/// Hashes with a million entries, with none, with 100,000 to take, and one to add to.
const FULL: &str = "/sys/fs/bpf/full";
const EMPTY: &str = "/sys/fs/bpf/empty";
const TAKEN: &str = "/sys/fs/bpf/taken";
const ADDED: &str = "/sys/fs/bpf/added";
/// A hash whose values no word holds, so that they are read and written back.
const WIDE: &str = "/sys/fs/bpf/wide";
const TAKES: u32 = 100_000;
/// Additions of the longer batch beyond those of the shorter one.
const ADDS: usize = 10_000;
const FEW: usize = 1_000;

fn main() -> ExitCode {
    start("atomic", "--atomic-rounds", 5, run)
}

/// Prints all measurements; true if any is over its bound.
fn run(options: &Options) -> Result<bool> {
    private_bpffs()?;
    let full = create(FULL, 8, 1_000_000)?;
    fill(&full, 1_000_000)?;
    create(EMPTY, 8, 1_000_000)?;
    let added = create(ADDED, 8, 4)?;
    added.update(&[0; 4], &[0; 8], 0)?;
    create(WIDE, 16, 4)?.update(&[0; 4], &[0; 16], 0)?;
    let taken = create(TAKEN, 8, TAKES)?;
    let program = load_adder(&added)?;

    let dir = tempfile::tempdir()?;
    let batch = |count: usize| -> Result<std::path::PathBuf> {
        let path = dir.path().join(count.to_string());
        fs::write(&path, format!("add {ADDED} 0 1\n").repeat(count))?;
        Ok(path)
    };
    let (few, many) = (batch(FEW)?, batch(FEW + ADDS)?);
    let bpf_map = |words: &[&Path]| {
        let mut command = Command::new(options.bin_dir.join("bpf-map"));
        command.args(words);
        command
    };
    let path = Path::new;
    let (count, add, take) = (path("count"), path("add"), path("take"));
    let (zero, one) = (path("0"), path("1"));
    let (value, wide) = (path("--value=u128"), path(WIDE));

    let mut times: [Vec<f64>; 10] = Default::default();
    for _ in 0..options.rounds {
        times[0].push(timed(&mut bpf_map(&[count, path(EMPTY)]))?);
        times[1].push(timed(&mut bpf_map(&[count, path(FULL)]))?);
        times[2].push(timed(&mut bpf_map(&[add, value, wide, zero, one]))?);
        times[3].push(timed(&mut bpf_map(&[add, path(ADDED), zero, one]))?);
        times[4].push(timed(&mut bpf_map(&[path("batch"), &few]))?);
        times[5].push(timed(&mut bpf_map(&[path("batch"), &many]))?);
        times[6].push(runs(&program)?);
        times[7].push(bpftool_update()?);
        fill(&taken, TAKES)?;
        times[8].push(timed(&mut bpf_map(&[take, path(TAKEN)]))?);
        times[9].push(delete(&taken)?);
    }
    let [empty, full, lossy, exact, few, many, runs, bpftool, take, deleted] = times.map(median);
    for (title, seconds) in [
        ("bpf-map count, no entries", empty),
        ("bpf-map count, 1,000,000 entries", full),
        ("bpf-map add, read and written back", lossy),
        ("bpf-map add, by a program", exact),
        ("bpf-map batch, 10,000 adds", many - few),
        ("10,000 runs of a program that adds", runs),
        ("bpftool map lookup and update", bpftool),
        ("bpf-map take, 100,000 entries", take),
        ("100,000 entries read and deleted in batches", deleted),
    ] {
        println!("{title:<44}{:>10.1} ms", seconds * 1e3);
    }
    println!();
    let over = [
        line("count, 1,000,000 entries / none", full / empty, 3.0),
        line("add, by a program / read and written back", exact / lossy, 1.5),
        line("adds in a batch / bare runs", (many - few) / runs, 5.0),
        line("take / read and deleted in batches", take / deleted, 4.0),
    ];
    Ok(over.contains(&true))
}

/// Creates a hash of u32 to values of this size, and pins it.
fn create(pin: &str, value_size: u32, max_entries: u32) -> Result<Map> {
    let map_type = MapType::HASH;
    let spec = MapSpec { map_type, key_size: 4, value_size, max_entries, ..MapSpec::default() };
    let map = Map::create(&spec)?;
    obj_pin(map.as_fd(), &CString::new(pin)?)?;
    Ok(map)
}

/// Writes entries of 8 bytes.
fn fill(map: &Map, entries: u32) -> Result<()> {
    let keys: Vec<u8> = (0..entries).flat_map(u32::to_ne_bytes).collect();
    let values: Vec<u8> = (0..entries).flat_map(|key| u64::from(key).to_ne_bytes()).collect();
    map.update_batch(&keys, &values, 0).map_err(|(_, error)| error.into())
}

/// Reads and deletes all entries by BPF_MAP_LOOKUP_AND_DELETE_BATCH alone; the time in seconds.
fn delete(map: &Map) -> Result<f64> {
    let (mut keys, mut values) = (vec![0; 4096 * 4], vec![0; 4096 * 8]);
    let start = Instant::now();
    let (mut cursor, mut count) = (Cursor::new(map), 0);
    loop {
        let batch = cursor.lookup(&mut keys, &mut values, true)?;
        count += batch.count;
        if batch.end {
            break;
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    if count == TAKES as usize { Ok(seconds) } else { Err(format!("{count} deleted").into()) }
}

/// A program that adds 1 to the value of key 0, and nothing else.
fn load_adder(map: &Map) -> Result<OwnedFd> {
    let instruction = |code: u8, to: u8, from: u8, offset: i16, immediate: i32| {
        let registers = if cfg!(target_endian = "big") { to << 4 | from } else { from << 4 | to };
        let ([o0, o1], [i0, i1, i2, i3]) = (offset.to_ne_bytes(), immediate.to_ne_bytes());
        u64::from_ne_bytes([code, registers, o0, o1, i0, i1, i2, i3])
    };
    let instructions = [
        instruction(0x62, 10, 0, -4, 0), // *(u32 *)(r10 - 4) = 0
        instruction(0x18, 1, 1, 0, map.as_fd().as_raw_fd()), // r1 = map
        0,
        instruction(0xbf, 2, 10, 0, 0), // r2 = r10
        instruction(0x07, 2, 0, 0, -4), // r2 += -4
        instruction(0x85, 0, 0, 0, 1),  // bpf_map_lookup_elem
        instruction(0x15, 0, 0, 2, 0),  // if r0 == 0 goto +2
        instruction(0xb7, 1, 0, 0, 1),  // r1 = 1
        instruction(0xdb, 0, 1, 0, 0),  // lock *(u64 *)r0 += r1
        instruction(0xb7, 0, 0, 0, 0),  // r0 = 0
        instruction(0x95, 0, 0, 0, 0),  // exit
    ];
    let spec = ProgramSpec {
        program_type: program::SYSCALL,
        flags: program::F_SLEEPABLE,
        name: b"bench_add",
        license: c"Dual MIT/GPL",
        instructions: &instructions,
        ..ProgramSpec::default()
    };
    Ok(program::load(&spec, &mut [])?)
}

/// The time of the additions by BPF_PROG_TEST_RUN alone, in seconds.
fn runs(program: &OwnedFd) -> Result<f64> {
    let start = Instant::now();
    for _ in 0..ADDS {
        program::run(program.as_fd(), &mut [0; 48])?;
    }
    Ok(start.elapsed().as_secs_f64())
}

/// The time of one addition by bpftool, a lookup and an update, in seconds.
fn bpftool_update() -> Result<f64> {
    let command = |words: &str| {
        let mut command = Command::new("bpftool");
        command.args(["map", words.split(' ').next().unwrap_or_default(), "pinned", ADDED]);
        command.args(words.split(' ').skip(1));
        command
    };
    let lookup = timed(&mut command("lookup key 0 0 0 0"))?;
    Ok(lookup + timed(&mut command("update key 0 0 0 0 value 1 0 0 0 0 0 0 0"))?)
}

/// The time of a command in seconds. Its output is discarded, and it must succeed.
fn timed(command: &mut Command) -> Result<f64> {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let start = Instant::now();
    let status = command.status()?;
    let seconds = start.elapsed().as_secs_f64();
    if status.success() { Ok(seconds) } else { Err(format!("{command:?}: {status}").into()) }
}
