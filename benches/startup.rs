//! The time of bpf-exec and bpf-map from spawn to exit, compared with programs that do the same or
//! less. Only ratios of medians within one run are bounded, not times: the commands that are
//! compared run in turns, so that load on the machine affects all of them.
//!
//! Needs root: it mounts a bpffs in a mount namespace of its own, and both end with it.

mod common;

use bpf_inherit::AccessMode;
use bpf_inherit::bpf::{map_info, obj_get, obj_pin};
use common::kernel::{BPFFS, create, last_error, private_bpffs};
use common::report::median;
use common::{Options, Result, start};
use std::ffi::{CString, OsString};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;
use std::{env, fs, mem};

/// `BPF_MAP_TYPE_ARRAY`.
const ARRAY: u32 = 2;
/// Numbers of pinned maps. The differences show whether the cost is linear.
const SIZES: [u32; 5] = [1, 250, 500, 750, 1000];
/// The upper bound of the cost of a map in bpf-exec, as a multiple of opening it and reading its
/// info.
const BOUND: f64 = 6.0;

fn main() -> ExitCode {
    start("startup", "--rounds", 1000, run)
}

/// Prints all measurements; true if any is over its bound.
fn run(options: &Options) -> Result<bool> {
    private_bpffs()?;
    for n in SIZES {
        fs::create_dir(set_dir(n))?;
        for i in 0..n {
            obj_pin(create(ARRAY, 4, 8, 1)?.as_fd(), &pin(n, i)?)?;
        }
    }
    let slot = format!("{}/m0000", set_dir(1));
    let bpf_exec = options.bin_dir.join("bpf-exec").into_os_string();
    let bpf_map = options.bin_dir.join("bpf-map").into_os_string();
    let bpftool = find("bpftool")?;
    let get = ["get", &slot, "0"];
    let lookup = ["map", "lookup", "pinned", &slot, "key", "0", "0", "0", "0"];

    let one = [
        Program::new("/bin/true", find("true")?, &[]),
        Program::new("env /bin/true", find("env")?, &["/bin/true"]),
        Program::new(
            "bpf-exec --pin MAP -- /bin/true",
            bpf_exec.clone(),
            &["--pin", &slot, "--", "/bin/true"],
        ),
        Program::new("bpf-map get MAP 0", bpf_map.clone(), &get),
        Program::new("bpftool map lookup pinned MAP key", bpftool, &lookup),
    ];
    // No measured run checks the output.
    let output = command(&bpf_map, &get).stderr(Stdio::inherit()).output()?;
    if output.stdout != b"0\n" {
        return Err(format!("bpf-map get: printed {:?}", output.stdout).into());
    }

    let mut report = Report::default();
    println!("{:<36}{:>10}{:>10}", "median of spawn to exit; peak", "us", "KiB");
    let runs = measure(&one, options.rounds)?;
    println!();
    report.line("bpf-exec / env", runs[2].us / runs[1].us, 1.1);
    report.line("bpf-map get / bpftool", runs[3].us / runs[4].us, 0.75);
    report.line("bpf-map get / true", runs[3].us / runs[0].us, 1.1);

    let mut sets = Vec::from(SIZES.map(|n| {
        let title = format!("bpf-exec --pin DIR, {n} maps");
        Program::new(&title, bpf_exec.clone(), &["--pin", &set_dir(n), "--", "/bin/true"])
    }));
    let most = SIZES[SIZES.len() - 1];
    let pins = (0..most).map(|i| pin(most, i)).collect::<Result<_>>()?;
    sets.push(Program::Loop(format!("open and info alone, {most} maps"), pins));
    // These take longer, so fewer rounds are sufficient for a stable median.
    println!();
    let runs = measure(&sets, options.rounds.div_ceil(5))?;
    println!();
    let open = runs[SIZES.len()].us / f64::from(most);
    for i in 1..SIZES.len() {
        let title = format!("a map / open and info, {} to {}", SIZES[i - 1], SIZES[i]);
        let maps = f64::from(SIZES[i] - SIZES[i - 1]);
        report.line(&title, (runs[i].us - runs[i - 1].us) / maps / open, BOUND);
    }
    #[allow(clippy::cast_precision_loss)]
    report.line("KiB at the peak, 1000 maps", runs[SIZES.len() - 1].peak_kib as f64, 4095.0);
    Ok(report.over)
}

fn set_dir(maps: u32) -> String {
    format!("{BPFFS}/{maps}")
}

/// The path of pin `index` in the set of `maps` maps.
fn pin(maps: u32, index: u32) -> Result<CString> {
    Ok(CString::new(format!("{}/m{index:04}", set_dir(maps)))?)
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

enum Program {
    /// A title, a path and arguments.
    Command(String, OsString, Vec<String>),
    /// A title, and pins that this process opens and describes one after the other.
    Loop(String, Vec<CString>),
}

struct Run {
    us: f64,
    /// The highest peak of all programs that the process executed, because exec keeps the maximum.
    /// It is not lower than the memory of this bench, which a child shares until its first exec.
    peak_kib: i64,
}

impl Program {
    fn new(title: &str, path: OsString, args: &[&str]) -> Self {
        let args = args.iter().map(|&arg| arg.to_owned()).collect();
        Self::Command(title.to_owned(), path, args)
    }

    fn title(&self) -> &str {
        match self {
            Program::Command(title, ..) | Program::Loop(title, _) => title,
        }
    }

    /// Runs the program to its end. A status other than 0 is an error, because a failure may be
    /// fast.
    fn once(&self) -> Result<Run> {
        let (title, path, args) = match self {
            Program::Command(title, path, args) => (title, path, args),
            Program::Loop(_, pins) => return open_all(pins),
        };
        let mut command = command(path, args);
        command.stdout(Stdio::null());
        let mut status = 0;
        let start = Instant::now();
        let child = command.spawn().map_err(|error| format!("{title}: {error}"))?;
        // SAFETY: all zeros is a valid rusage.
        let mut usage: libc::rusage = unsafe { mem::zeroed() };
        // SAFETY: both pointers are to live, writable values; `child` was not waited for.
        let waited = unsafe { libc::wait4(child.id().cast_signed(), &mut status, 0, &mut usage) };
        let us = start.elapsed().as_secs_f64() * 1e6;
        if waited < 0 {
            return Err(last_error("wait4"));
        }
        if status != 0 {
            return Err(format!("{title}: wait status {status:#x}").into());
        }
        Ok(Run { us, peak_kib: usage.ru_maxrss })
    }
}

fn command(path: &OsString, args: &[impl AsRef<std::ffi::OsStr>]) -> Command {
    let mut command = Command::new(path);
    command.args(args).stdin(Stdio::null());
    command
}

/// BPF_OBJ_GET and BPF_OBJ_GET_INFO_BY_FD for each pin, and no other work.
fn open_all(pins: &[CString]) -> Result<Run> {
    let start = Instant::now();
    for pin in pins {
        map_info(obj_get(pin, AccessMode::ReadWrite)?.as_fd())?;
    }
    Ok(Run { us: start.elapsed().as_secs_f64() * 1e6, peak_kib: 0 })
}

/// Prints and returns the median time and the highest peak of each program. Every other round runs
/// them in reverse order, so that no program always follows the same one.
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
        println!("{:<36}{:>10.0}{:>10}", program.title(), run.us, run.peak_kib);
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
