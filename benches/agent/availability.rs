//! What 16 attackers change for root and for a user with equal permissions, in ratios to the same
//! agent without attackers.

use crate::attacks::{self, ATTACKS, LONG_NAMES, Scene};
use crate::bench::report::{line, median};
use crate::bench::{Options, Result};
use crate::common::agent::*;
use crate::common::fds::new_map;
use crate::common::fuse::Held;
use crate::common::{BPFFS, Lab, run as run_command};
use crate::shared::Shared;
use crate::support::attacker::Attacker;
use crate::support::peers::User;
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::Signal;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// How long delays are measured, in each round.
const WINDOW: Duration = Duration::from_secs(2);
/// Users with equal permissions. All but the last one have several processes.
const EQUAL: [u32; 4] = [1001, 1002, 1003, 1004];
const PROCESSES: usize = 5;
/// Connections of each process.
const CONNECTIONS: usize = 32;
/// Ends of an agent that are measured.
const ENDS: usize = 3;

/// Prints all measurements; true if any is over its bound.
pub fn run(options: &Options) -> Result<bool> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    run_command(Command::new("ip").args(["link", "set", "lo", "up"]));
    let lab = Lab::new();
    std::fs::create_dir(lab.path("fuse"))?;
    let rules = EQUAL.map(|uid| format!("hits:uid={uid}:list\n")).concat();
    std::fs::write(lab.path("rules"), attacks::rules() + &rules)?;

    let agent = start(options, &lab)?;
    let mut times: [Vec<f64>; 6] = Default::default();
    for _ in 0..options.rounds {
        let [quiet, quiet_new, _] = delays(&lab)?;
        let [root, new, bare] = attacked(&lab, || delays(&lab))?;
        times[0].push(middle(&quiet));
        times[1].push(longest(&root));
        times[2].push(longest(&new));
        times[3].push(longest(&bare));
        times[4].push(fair_share(&lab)?);
        times[5].push(middle(&quiet_new));
    }
    drop(agent);
    let worst = times[1].iter().chain(&times[2]).copied().fold(0.0, f64::max);
    let mut ends = Vec::new();
    for _ in 0..ENDS {
        let agent = start(options, &lab)?;
        ends.push(attacked(&lab, || {
            std::thread::sleep(Duration::from_millis(500));
            let begun = Instant::now();
            agent.signal(Signal::SIGTERM);
            agent.wait();
            Ok(begun.elapsed().as_secs_f64())
        })?);
    }
    let [quiet, root, new, bare, share, quiet_new] = times.map(median);
    println!();
    show("ms to answer root, median", quiet * 1e3);
    show("ms for a new connection, median", quiet_new * 1e3);
    show("ms at most under attack, root", root * 1e3);
    show("ms at most, new connection of root", new * 1e3);
    show("ms at most, an echo of two sockets", bare * 1e3);
    println!();
    let over = [
        line("longest under attack / median", root / quiet, 500.0),
        line("likewise, new connections", new / quiet_new, 500.0),
        line("ms at most, in all rounds", worst * 1e3, 50.0),
        line("s to end under attack", ends.iter().copied().fold(0.0, f64::max), 2.0),
        line("fair share / share of an equal peer", 1.0 / share, 2.0),
    ];
    Ok(over.contains(&true))
}

fn show(title: &str, value: f64) {
    println!("{title:<40}{value:>10.2}");
}

fn middle(times: &[f64]) -> f64 {
    median(times.to_vec())
}

fn longest(times: &[f64]) -> f64 {
    times.iter().copied().fold(0.0, f64::max)
}

/// An agent with the names that attackers ask for.
fn start(options: &Options, lab: &Lab) -> Result<Agent> {
    let program = options.bin_dir.join("bpf-agent");
    let state = format!("{BPFFS}/attacked");
    let words = ["-q", "--socket", "agent", "--socket-mode", "0666", "--state", &state];
    let mut command = lab.program(&program.to_string_lossy(), words);
    let agent = Agent::start(command.args(["--rules", "rules"]));
    let (root, map) = (Client::connect(&lab.path("agent.root")), new_map("held"));
    // An agent before may have stored them.
    let put = |name: &str| done(root.ask(PUT, REPLACE, &strings(&[name, ""]), &[map.as_fd()]));
    for n in 0..LONG_NAMES {
        put(&attacks::name_of_long(n));
    }
    put("hits");
    Ok(agent)
}

/// Measures under attack.
fn attacked<T>(lab: &Lab, measure: impl FnOnce() -> Result<T>) -> Result<T> {
    let directory = lab.path("fuse");
    let held = Held::serve(&directory);
    let (agent, slow_file) = (lab.path("agent"), directory.join("file"));
    let scene = Scene { agent, slow_file, map: new_map("attack") };
    let attackers = attacks::start(&scene, Shared::new(ATTACKS.len()));
    let result = measure();
    // First the server: processes that received its file cannot end.
    drop(held);
    drop(attackers);
    result
}

/// The times in seconds to answer root on an old and on a new connection, and those of an echo
/// between two sockets of this process, which shows what the scheduler adds.
fn delays(lab: &Lab) -> Result<[Vec<f64>; 3]> {
    let path = lab.path("agent.root");
    let root = Client::connect(&path);
    let (ours, theirs) = UnixDatagram::pair()?;
    let echo = theirs.try_clone()?;
    let thread = std::thread::spawn(move || {
        let mut buffer = [0; 64];
        while echo.recv(&mut buffer).is_ok_and(|length| length > 1) {
            let _ = echo.send(&buffer);
        }
    });
    let mut times: [Vec<f64>; 3] = Default::default();
    let begun = Instant::now();
    while begun.elapsed() < WINDOW {
        times[0].push(timed(|| root.ask(INFO, 0, &string("hits"), &[]).status == 0)?);
        times[1]
            .push(timed(|| Client::connect(&path).ask(INFO, 0, &string("hits"), &[]).status == 0)?);
        times[2].push(timed(|| ours.send(&[0; 64]).is_ok() && ours.recv(&mut [0; 64]).is_ok())?);
    }
    ours.send(&[0])?;
    thread.join().map_err(|_| "the echo failed")?;
    Ok(times)
}

fn timed(action: impl FnOnce() -> bool) -> Result<f64> {
    let begun = Instant::now();
    if action() { Ok(begun.elapsed().as_secs_f64()) } else { Err("not answered".into()) }
}

/// The share of the last of the equal users, in fair shares, if the others send what they can.
fn fair_share(lab: &Lab) -> Result<f64> {
    let counts = Shared::new(EQUAL.len());
    let path = lab.path("agent");
    let start = |at: usize| {
        let mut clients: Vec<Client> = Vec::new();
        let path = &path;
        Attacker::start(&User::new(EQUAL[at]), move || {
            while clients.len() < CONNECTIONS {
                clients.push(Client::connect(path));
            }
            let request = packet(INFO, 0, 1, &string("hits"));
            clients.retain(|client| client.send(&request, &[]).is_ok());
            clients.retain(|client| client.receive().is_ok_and(|p| !p.bytes.is_empty()));
            counts[at].fetch_add(clients.len() as u64, Relaxed);
        })
    };
    let last = EQUAL.len() - 1;
    let mut processes: Vec<Attacker> = (0..last * PROCESSES).map(|n| start(n % last)).collect();
    processes.push(start(last));
    std::thread::sleep(WINDOW / 4);
    let before: Vec<u64> = counts.iter().map(|count| count.load(Relaxed)).collect();
    std::thread::sleep(WINDOW);
    let done: Vec<f64> =
        counts.iter().zip(before).map(|(now, then)| (now.load(Relaxed) - then) as f64).collect();
    let fair = done.iter().sum::<f64>() / EQUAL.len() as f64;
    Ok(done[last] / fair)
}
