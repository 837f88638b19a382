//! The memory, file descriptors, threads and children of an agent, and their bounds.

use super::OWN_NAMES;
use crate::common::open_fds::OpenFds;
use crate::support::attacker::{children, threads};
use std::time::Duration;

/// Connections, discarded ones, and two fds of each of 32 children.
const MAX_FDS: usize = 1024 + 16 + 144 + 64;
/// In kB: names and layouts of attackers up to their limits.
const MAX_MEMORY: usize = 64 << 10;
/// In kB: what the allocator may keep.
const SLACK: usize = 2 << 10;

#[derive(Clone, Debug)]
pub struct Usage {
    fds: usize,
    /// In kB.
    memory: usize,
    threads: usize,
    children: usize,
}

impl Usage {
    pub fn of(pid: u32) -> Usage {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a field");
        let memory = memory.trim().trim_end_matches(" kB").parse().expect("a number");
        let fds = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("a process").count();
        Usage { fds, memory, threads: threads(pid), children: children(pid) }
    }

    /// The usage once no connection is open. The sockets of the process are its own.
    pub fn settled(pid: u32) -> Usage {
        let mut last = Usage::of(pid);
        // Idle connections are ended after 5 s.
        for _ in 0..20 {
            std::thread::sleep(Duration::from_secs(1));
            let now = Usage::of(pid);
            if now.fds == last.fds && now.children == 0 {
                return now;
            }
            last = now;
        }
        panic!("the agent does not settle: {}", OpenFds::of(pid).count());
    }

    pub fn max(&self, other: &Usage) -> Usage {
        Usage {
            fds: self.fds.max(other.fds),
            memory: self.memory.max(other.memory),
            threads: self.threads.max(other.threads),
            children: self.children.max(other.children),
        }
    }
}

/// What the agent may use at any time.
pub struct Bounds(Usage);

impl Bounds {
    pub fn new(begun: &Usage, names: usize) -> Bounds {
        // The attacker that puts has names for as many layouts as there is room for.
        let fds = begun.fds + OWN_NAMES + names + MAX_FDS + 300;
        Bounds(Usage { fds, memory: begun.memory + MAX_MEMORY, threads: 1, children: 32 })
    }

    /// Prints all numbers; the failures.
    pub fn compare(&self, begun: &Usage, most: &Usage, ended: &Usage, names: usize) -> Vec<String> {
        let mut failures = Vec::new();
        let mut line = |title: &str, of: fn(&Usage) -> usize, allowed: usize| {
            let [first, peak, last, bound] = [begun, most, ended, &self.0].map(of);
            println!("{title:<24}{first:>10}{peak:>10}{last:>10}{bound:>10}");
            if peak > bound {
                failures.push(format!("{title}: {peak} of at most {bound}"));
            }
            if last > first + allowed {
                failures.push(format!("{title}: {last} at the end, {first} at the beginning"));
            }
        };
        line("fds", |usage| usage.fds, names);
        line("memory, kB", |usage| usage.memory, SLACK);
        line("threads", |usage| usage.threads, 0);
        line("children", |usage| usage.children, 0);
        failures
    }
}
