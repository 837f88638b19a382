//! All attacks on an agent at once, with clients of root and of three users: `--minutes N`.
//!
//! Fails if an acknowledged object is lost, if a client is refused or not answered, if the agent
//! exceeds a bound, or if its memory and file descriptors do not return to where they began.
//! Needs root; it has mount and network namespaces of its own.

#[path = "../agent/attacks.rs"]
mod attacks;
#[path = "../../tests/common/mod.rs"]
mod common;
mod honest;
#[path = "../agent/shared.rs"]
mod shared;
#[path = "../../tests/agent/support/mod.rs"]
mod support;
mod usage;

use attacks::{ATTACKS, LONG_NAMES, Scene};
use common::agent::*;
use common::fds::new_map;
use common::fuse::Held;
use common::{BPFFS, Lab, eventually, run};
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use shared::Shared;
use std::os::fd::AsFd;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use support::attacker::*;
use usage::{Bounds, Usage};

/// Names that an agent of the soak holds from the beginning to the end.
const OWN_NAMES: usize = LONG_NAMES + 1;
/// Attacks before memory is measured for the first time.
const WARM_UP: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let minutes = match &arguments[..] {
        [flag, minutes] if flag == "--minutes" => minutes.parse().ok().filter(|m| *m > 0.0),
        _ => None,
    };
    let Some(minutes) = minutes.filter(|minutes: &f64| *minutes < 1e5) else {
        eprintln!("soak: usage: --minutes N");
        return ExitCode::from(2);
    };
    let failures = soak(Duration::from_secs_f64(minutes * 60.0));
    for failure in &failures {
        println!("FAILED: {failure}");
    }
    println!("{}", if failures.is_empty() { "passed" } else { "failed" });
    ExitCode::from(u8::from(!failures.is_empty()))
}

/// A running agent. Its log is a file.
struct Soaked {
    lab: Lab,
    agent: Option<std::process::Child>,
}

impl Soaked {
    fn start(&mut self) {
        let state = format!("{BPFFS}/agent");
        let words = ["-q", "--socket", "agent", "--socket-mode", "0666", "--state", &state];
        let mut command = self.lab.agent(words);
        command.args(["--rules", "rules", "--client-timeout", "5"]);
        let log = std::fs::File::options().append(true).create(true).open(self.lab.path("log"));
        command.stdout(Stdio::null()).stderr(log.expect("a file"));
        self.agent = Some(command.spawn().expect("started"));
        let path = self.lab.path("agent");
        eventually("the start", || Client::try_connect(&path).is_ok());
    }

    fn pid(&self) -> u32 {
        self.agent.as_ref().expect("running").id()
    }

    /// Sends a signal, and waits for the end; the exit status if no signal ended it.
    fn end(&mut self, signal: i32) -> Option<i32> {
        let mut agent = self.agent.take().expect("running");
        // SAFETY: no pointers; the process is not reaped.
        unsafe { libc::kill(agent.id() as i32, signal) };
        agent.wait().expect("an end").code()
    }

    fn root(&self) -> Client {
        Client::connect(&self.lab.path("agent"))
    }
}

impl Drop for Soaked {
    fn drop(&mut self) {
        if self.agent.is_some() {
            self.end(libc::SIGKILL);
        }
    }
}

/// Attackers, which end before this returns, and something else at the same time.
fn attacked<T>(soaked: &Soaked, counts: Shared, action: impl FnOnce(&[Attacker]) -> T) -> T {
    let directory = soaked.lab.path("fuse");
    let held = Held::serve(&directory);
    let scene = Scene {
        agent: soaked.lab.path("agent"),
        slow_file: directory.join("file"),
        map: new_map("attack"),
    };
    let attackers = attacks::start(&scene, counts);
    let result = action(&attackers);
    // First the server: processes that received its file cannot end.
    drop(held);
    drop(attackers);
    result
}

/// Waits until the agent has done everything, and removes what attackers stored.
fn settle(soaked: &Soaked) {
    eventually("the end of the children", || children(soaked.pid()) == 0);
    let root = soaked.root();
    for record in root.ask(LIST, 0, &string("attack*"), &[]).records {
        root.remove(&[record.name]);
    }
}

fn soak(time: Duration) -> Vec<String> {
    unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace (are you root?)");
    let up = run(Command::new("ip").args(["link", "set", "lo", "up"]));
    assert_eq!(up.status, 0, "{}", up.stderr);
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, hard.min(65536), hard).expect("raised");
    let mut soaked = Soaked { lab: Lab::new(), agent: None };
    std::fs::create_dir(soaked.lab.path("fuse")).expect("a directory");
    std::fs::write(soaked.lab.path("rules"), attacks::rules() + &honest::rules()).expect("rules");
    soaked.start();
    let map = new_map("held");
    for n in 0..LONG_NAMES {
        done(soaked.root().put(&attacks::name_of_long(n), map.as_fd()));
    }
    done(soaked.root().put("hits", map.as_fd()));

    let counts = Shared::new(ATTACKS.len());
    attacked(&soaked, counts, |_| std::thread::sleep(WARM_UP));
    settle(&soaked);
    counts.iter().for_each(|count| count.store(0, Relaxed));
    let begun = Usage::settled(soaked.pid());
    let log_begun = log_lines(&soaked);

    let mut failures = Vec::new();
    let mut most = begun.clone();
    let honest = honest::Clients::start(&soaked.lab);
    let started = Instant::now();
    attacked(&soaked, counts, |attackers| {
        while started.elapsed() < time {
            std::thread::sleep(Duration::from_millis(200));
            most = most.max(&Usage::of(soaked.pid()));
            let ended = attackers.iter().position(|attacker| !attacker.is_running());
            if let Some(ended) = ended {
                failures.push(format!("attacker ended: {}", ATTACKS[ended].0));
                return;
            }
            if honest.has_failed() {
                return;
            }
        }
    });
    let results = honest.stop();
    let seconds = started.elapsed().as_secs();
    settle(&soaked);
    failures.extend(results.failures.iter().cloned());
    failures.extend(results.compare(&soaked.root()));
    let names = results.objects.len();
    let ended = Usage::settled(soaked.pid());
    let bounds = Bounds::new(&begun, names);
    println!("{seconds} s, {} attacks", ATTACKS.len());
    for ((title, ..), count) in ATTACKS.iter().zip(counts.iter()) {
        println!("{title:<44}{:>12}", count.load(Relaxed));
        if count.load(Relaxed) == 0 {
            failures.push(format!("{title}: never done"));
        }
    }
    println!("\n{:<24}{:>10}{:>10}{:>10}{:>10}", "the agent", "before", "most", "after", "bound");
    failures.extend(bounds.compare(&begun, &most, &ended, names));
    let lines = log_lines(&soaked) - log_begun;
    let most_lines = (seconds as usize + 2) * 270;
    println!("{:<24}{:>10}{lines:>10}{:>10}{most_lines:>10}", "log lines", "", "");
    if lines > most_lines {
        failures.push("log lines".into());
    }
    results.print();

    if soaked.end(libc::SIGKILL).is_some() {
        failures.push("the agent was not running".into());
    }
    soaked.start();
    failures.extend(results.compare(&soaked.root()));
    if soaked.end(libc::SIGTERM) != Some(0) {
        failures.push("the exit status of the agent".into());
    }
    failures
}

/// Lines of the log about users other than root.
fn log_lines(soaked: &Soaked) -> usize {
    let log = std::fs::read(soaked.lab.path("log")).expect("a log");
    let log = String::from_utf8_lossy(&log).into_owned();
    log.lines().filter(|line| !line.starts_with("bpf-agent: uid 0 ")).count()
}
