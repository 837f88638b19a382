//! Many values: `bpf-map batch` compared with the system call alone, and `bpf-map load` compared
//! with `bpftool batch file`. The commands run in turns within one run, and medians are compared.
//!
//! Needs root: it mounts a bpffs in a mount namespace of its own, and both end with it.

mod common;

use common::kernel::{last_error, private_bpffs};
use common::report::{line, median};
use common::{Options, Result, start};
use std::ffi::CString;
use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

const PIN: &str = "/sys/fs/bpf/bulk";
const ENTRIES: u32 = 1_000_000;
const GETS: u32 = 100_000;

fn main() -> ExitCode {
    start("bulk", "--bulk-rounds", 5, run)
}

/// Prints all measurements; true if any is over its bound.
fn run(options: &Options) -> Result<bool> {
    private_bpffs()?;
    let files = Files::write()?;
    let mut bpf_map = Command::new(options.bin_dir.join("bpf-map"));
    bpf_map.args(["load", PIN]).arg(&files.jsonl);
    let mut batch = Command::new(options.bin_dir.join("bpf-map"));
    batch.arg("batch").arg(&files.gets);
    let mut bpftool = Command::new("bpftool");
    bpftool.args(["batch", "file"]).arg(&files.bpftool);

    let mut times: [Vec<f64>; 4] = Default::default();
    for _ in 0..options.rounds {
        // Each command fills a map of its own; the reading commands use the second one.
        let _ = fs::remove_file(PIN);
        create()?;
        times[0].push(timed(&mut bpftool)?);
        fs::remove_file(PIN)?;
        let map = create()?;
        times[1].push(timed(&mut bpf_map)?);
        times[2].push(lookups(map)?);
        times[3].push(timed(&mut batch)?);
        // SAFETY: `map` was opened above and is not used again.
        unsafe { libc::close(map) };
    }
    let [bpftool, load, calls, batch] = times.map(median);
    for (title, seconds) in [
        ("bpftool batch file, 1,000,000 updates", bpftool),
        ("bpf-map load, 1,000,000 JSON lines", load),
        ("100,000 lookups by bpf(2) alone", calls),
        ("bpf-map batch, 100,000 gets", batch),
    ] {
        println!("{title:<40}{:>10.1} ms", seconds * 1e3);
    }
    println!();
    let gets = f64::from(GETS);
    let over = [
        line("bpf-map load / bpftool batch file", load / bpftool, 0.2),
        line("us a get in a batch, over its bpf(2)", (batch - calls) * 1e6 / gets, 3.0),
    ];
    Ok(over.contains(&true))
}

/// Input files with the same updates in two formats, and with gets of some of the keys.
struct Files {
    _dir: tempfile::TempDir,
    jsonl: PathBuf,
    bpftool: PathBuf,
    gets: PathBuf,
}

impl Files {
    fn write() -> Result<Files> {
        let dir = tempfile::tempdir()?;
        let path = |name: &str| dir.path().join(name);
        let (jsonl, bpftool, gets) = (path("jsonl"), path("bpftool"), path("gets"));
        let open = |path: &Path| fs::File::create(path).map(BufWriter::new);
        let (mut a, mut b, mut c) = (open(&jsonl)?, open(&bpftool)?, open(&gets)?);
        for key in 0..ENTRIES {
            let value = u64::from(key) * 1_000_003;
            writeln!(a, "{{\"key\":{key},\"value\":{value}}}")?;
            write!(b, "map update pinned {PIN} key hex")?;
            key.to_ne_bytes().iter().try_for_each(|byte| write!(b, " {byte:02x}"))?;
            write!(b, " value hex")?;
            value.to_ne_bytes().iter().try_for_each(|byte| write!(b, " {byte:02x}"))?;
            writeln!(b)?;
        }
        for key in picked() {
            writeln!(c, "get {PIN} {key}")?;
        }
        [a, b, c].iter_mut().try_for_each(Write::flush)?;
        Ok(Files { _dir: dir, jsonl, bpftool, gets })
    }
}

/// Different keys, spread over the map.
fn picked() -> impl Iterator<Item = u32> {
    (0..GETS).map(|i| i * 7919 % ENTRIES)
}

/// The time of a command in seconds. Its output is discarded, and it must succeed.
fn timed(command: &mut Command) -> Result<f64> {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let start = Instant::now();
    let status = command.status()?;
    let seconds = start.elapsed().as_secs_f64();
    if status.success() { Ok(seconds) } else { Err(format!("{command:?}: {status}").into()) }
}

/// The time of the gets in seconds, by BPF_MAP_LOOKUP_ELEM alone.
fn lookups(map: i32) -> Result<f64> {
    const BPF_MAP_LOOKUP_ELEM: libc::c_long = 1;
    let start = Instant::now();
    for key in picked() {
        let mut value = 0u64;
        // map_fd and padding, key, value, flags.
        let attr =
            [u64::from(map.cast_unsigned()), &raw const key as u64, &raw mut value as u64, 0];
        // SAFETY: key and value are as long as the map's.
        let done = unsafe {
            libc::syscall(libc::SYS_bpf, BPF_MAP_LOOKUP_ELEM, &raw const attr, size_of_val(&attr))
        };
        if done < 0 || value != u64::from(key) * 1_000_003 {
            return Err(last_error("BPF_MAP_LOOKUP_ELEM"));
        }
    }
    Ok(start.elapsed().as_secs_f64())
}

/// Creates and pins a hash of u32 to u64, without BTF, and returns its file descriptor.
fn create() -> Result<i32> {
    const BPF_MAP_CREATE: libc::c_long = 0;
    const BPF_OBJ_PIN: libc::c_long = 6;
    const BPF_MAP_TYPE_HASH: u32 = 1;
    // map_type, key_size, value_size, max_entries: `union bpf_attr` in linux/bpf.h.
    let create = [BPF_MAP_TYPE_HASH, 4, 8, ENTRIES];
    // SAFETY: the kernel reads the given size, and no pointer is in it.
    let map = unsafe {
        libc::syscall(libc::SYS_bpf, BPF_MAP_CREATE, &raw const create, size_of_val(&create))
    };
    if map < 0 {
        return Err(last_error("BPF_MAP_CREATE"));
    }
    let path = CString::new(PIN)?;
    // pathname, then bpf_fd and file_flags: two u32 that share a u64.
    let pin = [path.as_ptr() as u64, u64::from(u32::try_from(map)?).to_le()];
    // SAFETY: the kernel reads the given size and the path, which outlives the call.
    let pinned =
        unsafe { libc::syscall(libc::SYS_bpf, BPF_OBJ_PIN, &raw const pin, size_of_val(&pin)) };
    if pinned < 0 { Err(last_error("BPF_OBJ_PIN")) } else { Ok(i32::try_from(map)?) }
}
