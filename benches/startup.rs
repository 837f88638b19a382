//! How long bpf-exec and bpf-map take from spawn to exit, beside programs that do as
//! much or less. Ratios of medians within one run count, not the microseconds: commands
//! that are compared take turns, so that whatever slows the machine slows them all.
//!
//! Needs root: it mounts a bpffs in a mount namespace of its own, and both end with it.

mod common;

use common::report::median;
use common::{Options, Result, start};
use std::error::Error;
use std::ffi::{CStr, CString, OsString};
use std::io;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;
use std::{env, fs, mem, ptr};

const BPFFS: &str = "/sys/fs/bpf";
/// Numbers of pinned maps; the differences between them show whether the cost is linear.
const SIZES: [u32; 5] = [1, 250, 500, 750, 1000];

fn main() -> ExitCode {
    start("startup", "--rounds", 1000, run)
}

/// Prints all measurements; true if any is over its bound.
fn run(options: &Options) -> Result<bool> {
    private_bpffs()?;
    for n in SIZES {
        fs::create_dir(set_dir(n))?;
        for i in 0..n {
            pin_array(&format!("{}/m{i:04}", set_dir(n)))?;
        }
    }
    let slot = format!("{}/m0000", set_dir(1));
    let bpf_exec = options.bin_dir.join("bpf-exec").into_os_string();
    let bpf_map = options.bin_dir.join("bpf-map").into_os_string();
    let bpftool = find("bpftool")?;
    let lookup = ["map", "lookup", "pinned", &slot, "key", "0", "0", "0", "0"];

    let one = [
        Program::new("/bin/true", find("true")?, &[]),
        Program::new("env /bin/true", find("env")?, &["/bin/true"]),
        Program::new(
            "bpf-exec --pin MAP -- /bin/true",
            bpf_exec.clone(),
            &["--pin", &slot, "--", "/bin/true"],
        ),
        Program::new("bpf-map get MAP 0", bpf_map, &["get", &slot, "0"]),
        Program::new("bpftool map lookup pinned MAP key", bpftool, &lookup),
    ];
    one[3].prints(b"0\n")?;

    let mut report = Report::default();
    println!("{:<36}{:>10}{:>10}", "median of spawn to exit; peak", "us", "KiB");
    let runs = measure(&one, options.rounds)?;
    println!();
    report.line("bpf-exec / env", runs[2].us / runs[1].us, 1.1);
    report.line("bpf-map get / bpftool", runs[3].us / runs[4].us, 0.75);
    report.line("bpf-map get / true", runs[3].us / runs[0].us, 1.1);

    let sets = SIZES.map(|n| {
        let title = format!("bpf-exec --pin DIR, {n} maps");
        Program::new(&title, bpf_exec.clone(), &["--pin", &set_dir(n), "--", "/bin/true"])
    });
    // These take long enough for fewer rounds to give a steady median.
    println!();
    let runs = measure(&sets, options.rounds.div_ceil(5))?;
    println!();
    for i in 1..SIZES.len() {
        let title = format!("us a map, {} to {}", SIZES[i - 1], SIZES[i]);
        let maps = f64::from(SIZES[i] - SIZES[i - 1]);
        report.line(&title, (runs[i].us - runs[i - 1].us) / maps, 10.0);
    }
    #[allow(clippy::cast_precision_loss)]
    report.line("KiB at the peak, 1000 maps", runs[SIZES.len() - 1].peak_kib as f64, 4095.0);
    Ok(report.over)
}

fn set_dir(maps: u32) -> String {
    format!("{BPFFS}/{maps}")
}

#[derive(Default)]
struct Report {
    over: bool,
}

impl Report {
    fn line(&mut self, title: &str, value: f64, bound: f64) {
        let over = value > bound;
        self.over |= over;
        let verdict = if over { "over" } else { "ok" };
        println!("{title:<36}{value:>10.2}  at most {bound:<7}{verdict}");
    }
}

struct Program {
    title: String,
    path: OsString,
    args: Vec<String>,
}

struct Run {
    us: f64,
    /// The most of any image that the process was: exec keeps the mark, so a wrapper's
    /// own peak is in it. So is that of this program, whose memory a child shares until
    /// its first exec: no figure is below what this program takes.
    peak_kib: i64,
}

impl Program {
    fn new(title: &str, path: OsString, args: &[&str]) -> Self {
        let args = args.iter().map(|&arg| arg.to_owned()).collect();
        Self { title: title.to_owned(), path, args }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.args(&self.args).stdin(Stdio::null());
        command
    }

    /// Fails unless this writes `expected` to stdout, which no measured run looks at.
    fn prints(&self, expected: &[u8]) -> Result<()> {
        let output = self.command().stderr(Stdio::inherit()).output();
        let output = output.map_err(|error| format!("{}: {error}", self.title))?;
        if output.stdout == expected {
            return Ok(());
        }
        Err(format!("{}: printed {:?}", self.title, output.stdout).into())
    }

    /// Runs it to its end; a status other than 0 is an error, as a failure may be fast.
    fn once(&self) -> Result<Run> {
        let mut command = self.command();
        command.stdout(Stdio::null());
        let mut status = 0;
        let start = Instant::now();
        let child = command.spawn().map_err(|error| format!("{}: {error}", self.title))?;
        // SAFETY: all zeros is a valid rusage.
        let mut usage: libc::rusage = unsafe { mem::zeroed() };
        // SAFETY: both pointers are to live, writable values; `child` was not waited for.
        let waited = unsafe { libc::wait4(child.id().cast_signed(), &mut status, 0, &mut usage) };
        let us = start.elapsed().as_secs_f64() * 1e6;
        if waited < 0 {
            return Err(last_error("wait4"));
        }
        if status != 0 {
            return Err(format!("{}: wait status {status:#x}", self.title).into());
        }
        Ok(Run { us, peak_kib: usage.ru_maxrss })
    }
}

/// Prints and returns the median time and the highest peak of each. Every other round
/// goes backwards, so that none always follows the same one.
fn measure(programs: &[Program], rounds: usize) -> Result<Vec<Run>> {
    let warm_up = rounds.div_ceil(20);
    let mut times = vec![Vec::with_capacity(rounds); programs.len()];
    let mut peaks = vec![0; programs.len()];
    for round in 0..warm_up + rounds {
        for turn in 0..programs.len() {
            let i = if round % 2 == 0 { turn } else { programs.len() - 1 - turn };
            let run = programs[i].once()?;
            peaks[i] = run.peak_kib.max(peaks[i]);
            if round >= warm_up {
                times[i].push(run.us);
            }
        }
    }
    let medians = times.into_iter().map(median);
    let runs = medians.zip(peaks).map(|(us, peak_kib)| Run { us, peak_kib });
    let runs: Vec<Run> = runs.collect();
    for (program, run) in programs.iter().zip(&runs) {
        println!("{:<36}{:>10.0}{:>10}", program.title, run.us, run.peak_kib);
    }
    Ok(runs)
}

fn find(program: &str) -> Result<OsString> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
        .map(PathBuf::into_os_string)
        .ok_or_else(|| format!("{program}: not in PATH").into())
}

fn last_error(operation: &str) -> Box<dyn Error> {
    format!("{operation}: {}", io::Error::last_os_error()).into()
}

/// Mounts a bpffs that this process and its children alone see.
fn private_bpffs() -> Result<()> {
    // SAFETY: no memory is involved, and this process has one thread.
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } < 0 {
        return Err(last_error("unshare (needs root)"));
    }
    mount(c"none", "/", libc::MS_REC | libc::MS_PRIVATE)?;
    mount(c"bpf", BPFFS, 0)
}

fn mount(kind: &CStr, target: &str, flags: libc::c_ulong) -> Result<()> {
    let target = CString::new(target)?;
    // SAFETY: the strings end in NUL; a null `data` means no options.
    let done =
        unsafe { libc::mount(kind.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, ptr::null()) };
    if done < 0 { Err(last_error("mount")) } else { Ok(()) }
}

/// Makes and pins an array of one u64, without BTF.
fn pin_array(path: &str) -> Result<()> {
    const BPF_MAP_CREATE: libc::c_long = 0;
    const BPF_OBJ_PIN: libc::c_long = 6;
    const BPF_MAP_TYPE_ARRAY: u32 = 2;
    let path = CString::new(path)?;
    // map_type, key_size, value_size, max_entries: `union bpf_attr` in linux/bpf.h.
    let create = [BPF_MAP_TYPE_ARRAY, 4, 8, 1];
    // SAFETY: the kernel reads the given size, and no pointer is in it.
    let map = unsafe {
        libc::syscall(libc::SYS_bpf, BPF_MAP_CREATE, &raw const create, size_of_val(&create))
    };
    if map < 0 {
        return Err(last_error("BPF_MAP_CREATE"));
    }
    // pathname, then bpf_fd and file_flags: two u32 that share a u64.
    let pin = [path.as_ptr() as u64, u64::from(u32::try_from(map)?).to_le()];
    // SAFETY: the kernel reads the given size and the path, which outlives the call.
    let pinned =
        unsafe { libc::syscall(libc::SYS_bpf, BPF_OBJ_PIN, &raw const pin, size_of_val(&pin)) };
    let error = last_error("BPF_OBJ_PIN");
    // SAFETY: `map` was opened above and is not used again.
    unsafe { libc::close(i32::try_from(map)?) };
    if pinned < 0 { Err(error) } else { Ok(()) }
}
