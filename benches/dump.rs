//! The time of `bpf-map dump`, compared with bpftool and with a loop that only reads. The results
//! are ratios of medians within one run, not milliseconds: the compared programs take turns, so
//! that a slow moment of the machine affects all of them.
//!
//! Needs root: it mounts a bpffs in a mount namespace of its own, and both end with it.

mod common;

use bpf_inherit::batch::Cursor;
use bpf_inherit::bpf::{MapSpec, btf_load, map_create, obj_pin};
use bpf_inherit::{Map, MapType};
use common::{Options, Result, start};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use std::ffi::{CString, OsString};
use std::mem;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

const BPFFS: &str = "/sys/fs/bpf";
const ENTRIES: u32 = 1_000_000;
/// Fewer entries, because bpftool is slow for structs.
const STRUCTS: u32 = 200_000;
const BATCH: usize = 4096;
const HASH: u32 = 1;
const ARRAY: u32 = 2;
const MMAPABLE: u32 = 1 << 10;

fn main() -> ExitCode {
    start("dump", "--rounds", 7, run)
}

/// Prints all measurements; true if any is over its bound.
fn run(options: &Options) -> Result<bool> {
    unshare(CloneFlags::CLONE_NEWNS).map_err(|e| format!("unshare (needs root): {e}"))?;
    let (none, private) = (None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE);
    mount(none, "/", none, private, none)?;
    mount(Some("bpf"), BPFFS, Some("bpf"), MsFlags::empty(), none)?;
    let ours = options.bin_dir.join("bpf-map");
    let mut over = false;
    let mut verdict = |title: &str, value: f64, bound: f64, at_least: bool| {
        let fails = if at_least { value < bound } else { value > bound };
        over |= fails;
        let (words, verdict) =
            (if at_least { "at least" } else { "at most" }, if fails { "over" } else { "ok" });
        println!("{title:<44}{value:>9.2}  {words} {bound:<7}{verdict}");
    };

    let hash = Pinned::new("hash", HASH, 8, ENTRIES, 0, None)?;
    let runs = measure(
        options.rounds,
        &[
            Contender::Loop(&hash.map),
            Contender::ours(&ours, &["dump", &hash.pin]),
            Contender::bpftool(&["map", "dump", "pinned", &hash.pin]),
        ],
    )?;
    verdict("bpftool / bpf-map dump, hash", runs[2].ms / runs[1].ms, 5.0, true);
    verdict("bpf-map dump, hash / LOOKUP_BATCH alone", runs[1].ms / runs[0].ms, 1.6, false);
    #[allow(clippy::cast_precision_loss)]
    verdict("KiB at the peak, hash", runs[1].peak_kib as f64, 16384.0, false);
    println!();
    drop(hash);

    let structs = Pinned::new("structs", HASH, 32, STRUCTS, 0, Some((btf_load(&btf())?, 3)))?;
    let runs = measure(
        options.rounds,
        &[
            Contender::ours(&ours, &["dump", "--json", &structs.pin]),
            Contender::bpftool(&["-j", "map", "dump", "pinned", &structs.pin]),
        ],
    )?;
    verdict("bpftool -j / bpf-map dump --json, structs", runs[1].ms / runs[0].ms, 4.0, true);
    println!();
    drop(structs);

    let array = Pinned::new("array", ARRAY, 8, ENTRIES, MMAPABLE, None)?;
    let runs = measure(
        options.rounds,
        &[
            Contender::ours(&ours, &["dump", &array.pin]),
            Contender::bpftool(&["map", "dump", "pinned", &array.pin]),
        ],
    )?;
    verdict("bpftool / bpf-map dump, mappable array", runs[1].ms / runs[0].ms, 20.0, true);
    println!();
    drop(array);

    let counters = Pinned::new("counters", HASH, 8, ENTRIES, 0, Some((btf_load(&btf())?, 2)))?;
    let text = format!("{BPFFS}/text");
    let exposed = Command::new(&ours).args(["expose", &counters.pin, &text]).output()?;
    if !exposed.status.success() {
        let reason = String::from_utf8_lossy(&exposed.stderr).into_owned();
        println!("not measured: {}", reason.trim_end());
        return Ok(over);
    }
    let runs = measure(
        options.rounds,
        &[
            Contender::program("cat", &[&text]),
            Contender::program("cat", &[&counters.pin]),
            Contender::ours(&ours, &["dump", &counters.pin]),
        ],
    )?;
    verdict("cat, exposed map / BTF pin", runs[0].ms / runs[1].ms, 0.75, false);
    Ok(over)
}

/// A full map, pinned.
struct Pinned {
    map: Map,
    pin: String,
}

impl Pinned {
    fn new(
        name: &str,
        kind: u32,
        value_size: u32,
        max_entries: u32,
        flags: u32,
        btf: Option<(OwnedFd, u32)>,
    ) -> Result<Pinned> {
        let btf = btf.as_ref().map(|(fd, value)| (fd.as_fd(), 1, *value));
        let name_bytes = name.as_bytes();
        let spec = MapSpec {
            map_type: MapType(kind),
            key_size: 4,
            value_size,
            max_entries,
            flags,
            name: name_bytes,
            btf,
            ..MapSpec::default()
        };
        let map = Map::new(map_create(&spec)?)?;
        let pin = format!("{BPFFS}/{name}");
        obj_pin(map.as_fd(), &CString::new(pin.as_str())?)?;
        let all: Vec<u32> = (0..max_entries).collect();
        for keys in all.chunks(BATCH) {
            let values = keys.iter().flat_map(|key| {
                let words = u64::from(*key).wrapping_mul(2_654_435_761).to_ne_bytes();
                words.into_iter().cycle().take(value_size as usize)
            });
            let values: Vec<u8> = values.collect();
            let keys: Vec<u8> = keys.iter().flat_map(|key| key.to_ne_bytes()).collect();
            map.update_batch(&keys, &values, 0).map_err(|(_, errno)| errno)?;
        }
        Ok(Pinned { map, pin })
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // Frees the memory for the next map.
        let _ = std::fs::remove_file(&self.pin);
    }
}

/// u32 -> struct { u64 packets; u64 bytes; u64 seen; u32 mark; }, by Documentation/bpf/btf.rst.
fn btf() -> Vec<u8> {
    let names = b"\0u32\0u64\0flow\0packets\0bytes\0seen\0mark\0";
    let types: [u32; 23] = [
        1,
        1 << 24,
        4,
        32, // 1: int u32
        5,
        1 << 24,
        8,
        64, // 2: int u64
        9,
        4 << 24 | 4,
        32, // 3: struct flow
        14,
        2,
        0,
        22,
        2,
        64,
        28,
        2,
        128,
        33,
        1,
        192,
    ];
    let types: Vec<u8> = types.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let (types_len, names_len) = (types.len() as u32, names.len() as u32);
    let mut blob = 0xeb9f_u16.to_ne_bytes().to_vec();
    blob.extend([1, 0]);
    for word in [24, 0, types_len, types_len, names_len] {
        blob.extend(word.to_ne_bytes());
    }
    blob.extend(types);
    blob.extend(names);
    blob
}

enum Contender<'a> {
    Program(String, OsString, Vec<&'a str>),
    /// Only LOOKUP_BATCH, in this process.
    Loop(&'a Map),
}

#[derive(Clone, Copy)]
struct Run {
    ms: f64,
    peak_kib: i64,
}

impl<'a> Contender<'a> {
    fn ours(program: &Path, args: &[&'a str]) -> Contender<'a> {
        Contender::Program(format!("bpf-map {}", args.join(" ")), program.into(), args.to_vec())
    }

    fn bpftool(args: &[&'a str]) -> Contender<'a> {
        Contender::program("bpftool", args)
    }

    fn program(name: &str, args: &[&'a str]) -> Contender<'a> {
        Contender::Program(format!("{name} {}", args.join(" ")), name.into(), args.to_vec())
    }

    fn title(&self) -> &str {
        match self {
            Contender::Program(title, ..) => title,
            Contender::Loop(_) => "LOOKUP_BATCH of 4096, nothing else",
        }
    }

    /// Runs the program to its end. A status other than 0 is an error, because a failure may be
    /// fast.
    fn once(&self) -> Result<Run> {
        let start = Instant::now();
        match self {
            Contender::Program(title, program, args) => {
                let mut command = Command::new(program);
                command.args(args).stdin(Stdio::null()).stdout(Stdio::null());
                let child = command.spawn().map_err(|error| format!("{title}: {error}"))?;
                let mut status = 0;
                // SAFETY: all zeros is a valid rusage.
                let mut usage: libc::rusage = unsafe { mem::zeroed() };
                let id = child.id().cast_signed();
                // SAFETY: both pointers are to live, writable values; `child` was not waited for.
                let waited = unsafe { libc::wait4(id, &mut status, 0, &mut usage) };
                let ms = start.elapsed().as_secs_f64() * 1e3;
                if waited < 0 || status != 0 {
                    return Err(format!("{title}: wait status {status:#x}").into());
                }
                Ok(Run { ms, peak_kib: usage.ru_maxrss })
            }
            Contender::Loop(map) => {
                let mut keys = vec![0; BATCH * map.key_len()];
                let mut values = vec![0; BATCH * map.value_len()];
                let mut cursor = Cursor::new(map);
                let mut count = 0;
                loop {
                    let batch = cursor.lookup(&mut keys, &mut values, false)?;
                    count += batch.count;
                    if batch.end {
                        break;
                    }
                }
                let ms = start.elapsed().as_secs_f64() * 1e3;
                if count != map.info().max_entries as usize {
                    return Err(format!("the loop read {count} elements").into());
                }
                Ok(Run { ms, peak_kib: 0 })
            }
        }
    }
}

/// Prints and returns the median time and the highest peak of each contender. Every other round
/// runs them in reverse order, so that none always follows the same one.
fn measure(rounds: usize, contenders: &[Contender]) -> Result<Vec<Run>> {
    let mut times = vec![Vec::with_capacity(rounds); contenders.len()];
    let mut peaks = vec![0; contenders.len()];
    for round in 0..rounds {
        for turn in 0..contenders.len() {
            let i = if round % 2 == 0 { turn } else { contenders.len() - 1 - turn };
            let run = contenders[i].once()?;
            times[i].push(run.ms);
            peaks[i] = run.peak_kib.max(peaks[i]);
        }
    }
    println!("{:<44}{:>9}{:>10}", "median of spawn to exit; peak", "ms", "KiB");
    let mut runs = Vec::new();
    for ((contender, mut times), peak_kib) in contenders.iter().zip(times).zip(peaks) {
        times.sort_by(f64::total_cmp);
        let ms = times[times.len() / 2];
        println!("{:<44}{ms:>9.0}{peak_kib:>10}", contender.title());
        runs.push(Run { ms, peak_kib });
    }
    Ok(runs)
}
