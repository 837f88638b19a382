//! Changes of values that lose nothing, while programs write to the same values on every CPU.

mod add;
mod refusals;
mod set;
mod take;

use crate::common::features::Feature;
use crate::common::*;
use crate::needs;
use std::process::{Child, Command, Stdio};

/// The maps of writers.bpf.o with one value for all CPUs, which programs change by atomic operations.
const SHARED: [&str; 4] = ["array", "mapped", "hash", "lru"];
/// Those with a value for each CPU, which programs change by a plain +=.
const PER_CPU: [&str; 3] = ["cpu_array", "cpu_hash", "cpu_lru"];
/// How often each writer writes.
const WRITES: u64 = 200_000;

/// The pin of a map of writers.bpf.o.
fn pin(map: &str) -> String {
    format!("{BPFFS}/maps/{map}")
}

/// A lab with writers.bpf.o, and key 0 in each of its maps.
fn lab() -> Lab {
    let lab = Lab::new();
    let (object, programs, maps) =
        (fixture("writers.bpf.o"), format!("{BPFFS}/programs"), format!("{BPFFS}/maps"));
    bpftool(&["prog", "loadall", &object, &programs, "pinmaps", &maps]);
    std::fs::write(lab.path("packet"), [0; 64]).expect("a file");
    let value = "hits=0 wide=0 name=name down=0 flag=true level=0 narrow=0 last=0";
    for map in SHARED {
        stdout_of(&mut lab.map(["set", &pin(map), "0", value]));
    }
    for map in PER_CPU {
        stdout_of(&mut lab.map(["set", "--all-cpus", &pin(map), "0", value]));
    }
    stdout_of(&mut lab.map(["set", &pin("locked"), "0", "wide=0 hits=0 narrow=0"]));
    lab
}

/// The CPUs that a process of the test may run on.
fn usable_cpus() -> Vec<usize> {
    let allowed = nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0)).expect("a mask");
    (0..nix::sched::CpuSet::count()).filter(|cpu| allowed.is_set(*cpu) == Ok(true)).collect()
}

/// Processes that run a program of writers.bpf.o [`WRITES`] times on each CPU.
struct Writers(Vec<Child>);

impl Writers {
    fn start(lab: &Lab, program: &str) -> Writers {
        let start = |cpu: usize| {
            Command::new("taskset")
                .args(["--cpu-list", &cpu.to_string(), "bpftool", "prog", "run", "pinned"])
                .args([&format!("{BPFFS}/programs/{program}"), "repeat", &WRITES.to_string()])
                .arg("data_in")
                .arg(lab.path("packet"))
                .stdout(Stdio::null())
                .spawn()
                .expect("taskset")
        };
        Writers(usable_cpus().into_iter().map(start).collect())
    }

    /// Whether one of them runs still.
    fn are_running(&mut self) -> bool {
        self.0.iter_mut().any(|child| child.try_wait().expect("a child").is_none())
    }

    /// Waits until all have ended; how often they wrote, together.
    fn finish(self) -> u64 {
        let count = self.0.len() as u64;
        for mut child in self.0 {
            assert!(child.wait().expect("a child").success());
        }
        count * WRITES
    }
}

/// A field of the value of key 0 of a map.
fn read(lab: &Lab, map: &str, field: &str) -> i64 {
    let text = stdout_of(&mut lab.map(["get", &pin(map), "0", field]));
    text.trim_end().parse().expect("a number")
}
