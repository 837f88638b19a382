//! Clients of root and of three users that put, get, list and remove objects, and remember what
//! the agent acknowledged.

use crate::common::Lab;
use crate::common::agent::*;
use crate::common::fds::{id_of, new_map};
use crate::shared::Shared;
use crate::support::peers::User;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

const USERS: [u32; 4] = [0, 1001, 1002, 1003];
/// Names of each user.
const NAMES: u64 = 20;
/// Maps that each user puts.
const MAPS: usize = 64;
/// Numbers that each client shares: operations, the longest time of one in microseconds.
const OPERATIONS: usize = 0;
const LONGEST: usize = 1;
const NUMBERS: usize = 2;

pub fn rules() -> String {
    USERS[1..].iter().map(|uid| format!("user{uid}-*:uid={uid}:all\n")).collect()
}

pub struct Clients {
    processes: Vec<Pid>,
    numbers: Shared,
    /// Not 0: the clients are to end.
    ends: Shared,
    directory: PathBuf,
}

pub struct Results {
    pub failures: Vec<String>,
    /// Names, and the ids of the objects that were stored last.
    pub objects: BTreeMap<String, u32>,
    numbers: Shared,
}

impl Clients {
    pub fn start(lab: &Lab) -> Clients {
        let (numbers, ends) = (Shared::new(USERS.len() * NUMBERS), Shared::new(1));
        let start = |(at, uid): (usize, &u32)| {
            // SAFETY: the child ends with _exit.
            match unsafe { fork() }.expect("a process") {
                ForkResult::Parent { child } => child,
                ForkResult::Child => {
                    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).expect("set");
                    let work = || work(lab, *uid, &numbers[at * NUMBERS..], &ends);
                    let done = catch_unwind(AssertUnwindSafe(work));
                    // SAFETY: ends the process.
                    unsafe { libc::_exit(done.map_or(1, |()| 0)) }
                }
            }
        };
        let processes = USERS.iter().enumerate().map(start).collect();
        Clients { processes, numbers, ends, directory: lab.path("") }
    }

    /// Whether a client has ended, which is a failure.
    pub fn has_failed(&self) -> bool {
        let flags = WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT | WaitPidFlag::WEXITED;
        self.processes.iter().any(|pid| {
            let id = nix::sys::wait::Id::Pid(*pid);
            nix::sys::wait::waitid(id, flags) != Ok(WaitStatus::StillAlive)
        })
    }

    /// Lets the clients end, and reads what they acknowledged.
    pub fn stop(self) -> Results {
        self.ends[0].store(1, Relaxed);
        let mut results =
            Results { failures: Vec::new(), objects: BTreeMap::new(), numbers: self.numbers };
        for (pid, uid) in self.processes.iter().zip(USERS) {
            match waitpid(*pid, None) {
                Ok(WaitStatus::Exited(_, 0)) => {
                    let text = std::fs::read_to_string(acknowledged(&self.directory, uid));
                    results.objects.extend(text.expect("a file").lines().map(|line| {
                        let (name, id) = line.split_once(' ').expect("a name and an id");
                        (name.to_owned(), id.parse().expect("a number"))
                    }));
                }
                end => results.failures.push(format!("client of uid {uid}: {end:?}")),
            }
        }
        results
    }
}

fn acknowledged(directory: &Path, uid: u32) -> PathBuf {
    directory.join(format!("acknowledged-{uid}"))
}

/// The process of one client.
fn work(lab: &Lab, uid: u32, numbers: &[std::sync::atomic::AtomicU64], ends: &Shared) {
    let path = lab.path("agent");
    // Users may not create maps.
    let maps: Vec<OwnedFd> = (0..MAPS).map(|_| new_map("honest")).collect();
    if uid != 0 {
        User::new(uid).become_it(&[], &[]).expect("another user");
    }
    let mut objects = BTreeMap::new();
    let mut random = u64::from(uid) + 1;
    let mut client = Client::connect(&path);
    for round in 0u64.. {
        if ends[0].load(Relaxed) != 0 {
            break;
        }
        if round % 50 == 49 {
            client = Client::connect(&path);
        }
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let name = format!("user{uid}-{}", (random >> 33) % NAMES);
        let begun = Instant::now();
        match (random >> 50) % 4 {
            0 => {
                let answer = client.ask(REMOVE, 0, &string(&name), &[]);
                let status = if objects.remove(&name).is_some() { 0 } else { 3 };
                assert_eq!(answer.status, status, "{}", answer.reason);
            }
            1 => {
                let map = &maps[(random >> 40) as usize % MAPS];
                client.put_with(REPLACE, &name, "u32 -> u64", map);
                objects.insert(name, id_of(map));
            }
            2 => {
                let glob = string(format!("user{uid}-*"));
                let records = done(client.ask(LIST, 0, &glob, &[]));
                let listed = records.into_iter().map(|record| (record.name, record.id));
                assert_eq!(listed.collect::<BTreeMap<_, _>>(), objects);
            }
            _ => {
                let answer = client.get(&[&name], 0);
                let id = answer.fds.first().map(|fd| id_of(fd.as_fd()));
                assert_eq!(id, objects.get(&name).copied(), "{}", answer.reason);
            }
        }
        numbers[OPERATIONS].fetch_add(1, Relaxed);
        numbers[LONGEST].fetch_max(begun.elapsed().as_micros() as u64, Relaxed);
        std::thread::sleep(Duration::from_millis(2));
    }
    let text: String = objects.iter().map(|(name, id)| format!("{name} {id}\n")).collect();
    std::fs::write(acknowledged(&lab.path(""), uid), text).expect("written");
}

impl Results {
    /// Compares what the agent holds with what it acknowledged; the failures.
    pub fn compare(&self, root: &Client) -> Vec<String> {
        let records = done(root.ask(LIST, 0, &string("user*"), &[]));
        let listed: BTreeMap<String, u32> =
            records.into_iter().map(|record| (record.name, record.id)).collect();
        let mut failures = Vec::new();
        for (name, id) in &self.objects {
            let answer = root.get(&[name], 0);
            let found = answer.fds.first().map(id_of);
            if listed.get(name) != Some(id) || found != Some(*id) {
                failures.push(format!("{name}: map {id} was acknowledged, {found:?} is stored"));
            }
        }
        let extra = listed.keys().filter(|name| !self.objects.contains_key(*name));
        failures.extend(extra.map(|name| format!("{name}: was removed, and is stored")));
        failures
    }

    pub fn print(&self) {
        println!("\n{:<24}{:>12}{:>14}", "clients", "operations", "longest, ms");
        for (uid, numbers) in USERS.iter().zip(self.numbers.chunks(NUMBERS)) {
            let [operations, longest] = [OPERATIONS, LONGEST].map(|at| numbers[at].load(Relaxed));
            println!("uid {uid:<20}{operations:>12}{:>14.1}", longest as f64 / 1000.0);
        }
        println!(
            "{} acknowledged objects are stored, before and after SIGKILL",
            self.objects.len()
        );
    }
}
