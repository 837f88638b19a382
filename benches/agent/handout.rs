//! The cost of `bpf-agent`: a file descriptor that is handed out, compared with a bare SCM_RIGHTS
//! round trip of the same sizes; clients in sequence and at once; and the memory for many objects
//! and for a million file descriptors that were handed out.

use crate::bench::kernel::{BPFFS, create, last_error};
use crate::bench::report::{line, median};
use crate::bench::{Options, Result};
use crate::common::agent::Client;
use crate::common::make_accessible;
use crate::support::peers::User;
use bpf_inherit::scm;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket, socketpair};
use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// `BPF_MAP_TYPE_ARRAY`.
const ARRAY: u32 = 2;
/// A user that may read.
const READER: u32 = 1001;
/// Round trips of one measurement.
const TRIPS: usize = 20_000;
const CLIENTS: usize = 10_000;
const AT_ONCE: usize = 256;
const OBJECTS: usize = 10_000;
const HANDOUTS: usize = 1_000_000;

/// Prints all measurements; true if any is over its bound.
pub fn run(options: &Options) -> Result<bool> {
    let dir = tempfile::tempdir()?;
    make_accessible(dir.path());
    let agent = Agent::start(options, dir.path().join("agent"))?;
    let client = agent.connect()?;
    // Until the agent has accepted the connection, the kernel refuses fds on it (SO_PASSRIGHTS).
    reply_length(&client)?;
    agent.put(&client, "one", create(ARRAY, 4, 8, 1)?.as_fd())?;

    let bare = Bare::start(create(ARRAY, 4, 8, 1)?, get("one").len(), reply_length(&client)?)?;
    let reader = Client::connect_as(&agent.path, &User::new(READER)).into_socket();
    let mut times: [Vec<f64>; 3] = Default::default();
    for _ in 0..options.rounds {
        times[0].push(trips(&bare.socket, TRIPS)?);
        times[1].push(trips(&client, TRIPS)?);
        times[2].push(trips(&reader, TRIPS)?);
    }
    bare.stop()?;
    let [bare, handout, read_only] = times.map(median);
    show("us a bare SCM_RIGHTS round trip", bare * 1e6);
    show("us a descriptor handed out", handout * 1e6);
    show("us a descriptor for a reader", read_only * 1e6);

    let one = Instant::now();
    for _ in 0..CLIENTS {
        trips(&agent.connect()?, 1)?;
    }
    show(
        "us a client, 10,000 one after another",
        one.elapsed().as_secs_f64() * 1e6 / CLIENTS as f64,
    );
    let many = Instant::now();
    for _ in 0..CLIENTS / AT_ONCE {
        at_once(&agent)?;
    }
    let clients = CLIENTS / AT_ONCE * AT_ONCE;
    show("us a client, 256 at once", many.elapsed().as_secs_f64() * 1e6 / clients as f64);

    let before = agent.size()?;
    let all = Instant::now();
    trips(&client, HANDOUTS)?;
    show("s for a million descriptors", all.elapsed().as_secs_f64());
    let after = agent.size()?;
    for at in 1..OBJECTS {
        agent.put(&client, &format!("object{at}"), create(ARRAY, 4, 8, 1)?.as_fd())?;
    }
    let full = agent.size()?;
    println!();
    let over = [
        line("handed out / bare round trip", handout / bare, 1.3),
        line("handed out to a reader / bare", read_only / bare, 1.3),
        line("MiB at most with 10,000 objects", full.peak as f64 / 1024.0, 32.0),
        line("kB more after a million", after.resident as f64 - before.resident as f64, 64.0),
        line("descriptors more after a million", after.fds as f64 - before.fds as f64, 0.0),
    ];
    Ok(over.contains(&true))
}

fn show(title: &str, value: f64) {
    println!("{title:<40}{value:>10.2}");
}

/// A running agent, with its state in a bpffs. Its log is discarded.
struct Agent {
    child: Child,
    path: PathBuf,
}

/// The resources of an agent: memory in kB, now and at the peak, and open file descriptors.
struct Size {
    resident: u64,
    peak: u64,
    fds: usize,
}

impl Agent {
    fn start(options: &Options, path: PathBuf) -> Result<Agent> {
        let mut command = Command::new(options.bin_dir.join("bpf-agent"));
        command.arg("--socket").arg(&path).args(["--state", &format!("{BPFFS}/agent")]);
        let rule = format!("*:uid={READER}:read");
        command.args(["-q", "--socket-mode", "0666", "--allow", &rule]);
        command.stdin(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        while !path.exists() {
            if let Some(status) = child.try_wait()? {
                return Err(format!("{command:?}: {status}").into());
            }
            std::thread::yield_now();
        }
        Ok(Agent { child, path })
    }

    fn connect(&self) -> Result<OwnedFd> {
        let socket =
            socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None)?;
        connect(socket.as_raw_fd(), &UnixAddr::new(&self.path)?)?;
        Ok(socket)
    }

    fn put(&self, client: &OwnedFd, name: &str, map: BorrowedFd) -> Result<()> {
        scm::send(client.as_fd(), &packet(3, &[name, ""]), &[map])?;
        let (length, _) = receive(client)?;
        if length > 60 { Ok(()) } else { Err(format!("put {name}: refused").into()) }
    }

    fn size(&self) -> Result<Size> {
        let proc = Path::new("/proc").join(self.child.id().to_string());
        let status = fs::read_to_string(proc.join("status"))?;
        let kilobytes = |field: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(field));
            line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()).ok_or("no status")
        };
        let fds = fs::read_dir(proc.join("fd"))?.count();
        Ok(Size { resident: kilobytes("VmRSS:")?, peak: kilobytes("VmHWM:")?, fds })
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A request of bpf-agent(7): version 2, no flags, number 0.
fn packet(operation: u8, names: &[&str]) -> Vec<u8> {
    let mut bytes = vec![2, operation, 0, 0, 0, 0, 0, 0];
    for name in names {
        bytes.extend((name.len() as u32).to_ne_bytes());
        bytes.extend(name.as_bytes());
    }
    bytes
}

fn get(name: &str) -> Vec<u8> {
    packet(2, &[name])
}

/// The numbers of bytes and file descriptors of the next packet. The file descriptors are closed.
fn receive(socket: &OwnedFd) -> Result<(usize, usize)> {
    let mut buffer = [0; 4096];
    let received = scm::receive_at_most(socket.as_fd(), &mut buffer, scm::MAX_FDS)?;
    Ok((received.length, received.fds.len()))
}

fn reply_length(client: &OwnedFd) -> Result<usize> {
    scm::send(client.as_fd(), &get("one"), &[])?;
    Ok(receive(client)?.0)
}

/// The mean time in seconds of a round trip: a request, and a reply with one file descriptor.
fn trips(socket: &OwnedFd, count: usize) -> Result<f64> {
    let request = get("one");
    let start = Instant::now();
    for _ in 0..count {
        scm::send(socket.as_fd(), &request, &[])?;
        if receive(socket)?.1 != 1 {
            return Err("refused".into());
        }
    }
    Ok(start.elapsed().as_secs_f64() / count as f64)
}

/// [`AT_ONCE`] clients: all connect, all send a request, and all receive a reply.
fn at_once(agent: &Agent) -> Result<()> {
    let clients = (0..AT_ONCE).map(|_| agent.connect()).collect::<Result<Vec<_>>>()?;
    for client in &clients {
        scm::send(client.as_fd(), &get("one"), &[])?;
    }
    for client in &clients {
        if receive(client)?.1 != 1 {
            return Err("refused".into());
        }
    }
    Ok(())
}

/// A process that only replies to each packet with a packet and a file descriptor.
struct Bare {
    socket: OwnedFd,
    pid: libc::pid_t,
}

impl Bare {
    fn start(map: OwnedFd, request: usize, reply: usize) -> Result<Bare> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        // SAFETY: this process has one thread.
        match unsafe { libc::fork() } {
            -1 => Err(last_error("fork")),
            0 => {
                drop(ours);
                let (mut buffer, reply) = (vec![0; request], vec![0; reply]);
                while scm::receive_at_most(theirs.as_fd(), &mut buffer, 0)
                    .is_ok_and(|r| r.length > 0)
                    && scm::send(theirs.as_fd(), &reply, &[map.as_fd()]).is_ok()
                {}
                // SAFETY: exits without running the parent's destructors.
                unsafe { libc::_exit(0) }
            }
            pid => Ok(Bare { socket: ours, pid }),
        }
    }

    fn stop(self) -> Result<()> {
        drop(self.socket);
        // SAFETY: a child of this process, whose status is not requested.
        match unsafe { libc::waitpid(self.pid, std::ptr::null_mut(), 0) } {
            -1 => Err(last_error("waitpid")),
            _ => Ok(()),
        }
    }
}
