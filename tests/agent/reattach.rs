//! A tool that is killed while its classifier processes packets: as long as another process holds
//! its program array, the packets are still processed, and the tool that is started again finds its
//! maps and programs unchanged.

use crate::common::agent::*;
use crate::common::child::{Running, Start};
use crate::common::fds::{lookup_at, what_is};
use crate::common::*;
use nix::sched::{CloneFlags, unshare};
use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const MAPS: &str = "/sys/fs/bpf/maps";
const PROGRAMS: &str = "/sys/fs/bpf/programs";
/// Slots of the map `seen`.
const CAME: u32 = 0;
const CALLED: u32 = 1;
const LEFT: u32 = 2;

fn succeeds(line: &str) {
    let mut words = line.split(' ');
    let run = run(Command::new(words.next().expect("a program")).args(words));
    assert_eq!(run.status, 0, "{line}: {}", run.stderr);
}

/// A classifier that is attached and gets packets, and that nothing holds but the pins and, of what
/// it uses, the kernel.
struct Network {
    /// The map that says what became of each packet.
    seen: Arc<OwnedFd>,
    ends: Arc<AtomicBool>,
    sender: Option<std::thread::JoinHandle<()>>,
}

impl Network {
    /// Uses a network namespace that is removed with the test's thread.
    fn new() -> Network {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace (are you root?)");
        let object = fixture("tail.bpf.o");
        succeeds(&format!(
            "bpftool prog loadall {object} {PROGRAMS} type classifier pinmaps {MAPS}"
        ));
        let (next, tail) = (format!("{MAPS}/next"), format!("{PROGRAMS}/tail"));
        succeeds(&format!("bpftool map update pinned {next} key 0 0 0 0 value pinned {tail}"));
        succeeds("ip link add near type veth peer name far");
        for device in ["near", "far"] {
            // So that the kernel sends nothing of its own.
            succeeds(&format!("ip link set {device} addrgenmode none arp off multicast off up"));
        }
        succeeds("tc qdisc add dev near clsact");
        let filter = "tc filter add dev near ingress bpf direct-action object-pinned";
        succeeds(&format!("{filter} {PROGRAMS}/entry"));
        let seen = Arc::new(open_pin(format!("{MAPS}/seen").as_ref()));
        let ends = Arc::new(AtomicBool::new(false));
        let far = packets_to("far");
        let sender = std::thread::spawn({
            let (seen, ends) = (seen.clone(), ends.clone());
            move || send(&far, &seen, &ends)
        });
        Network { seen, ends, sender: Some(sender) }
    }

    fn count(&self, slot: u32) -> u64 {
        lookup_at(&self.seen, slot).expect("an element")
    }

    /// That more packets go through the tail call, and that each one has.
    #[track_caller]
    fn works(&self) {
        let before = self.count(CALLED);
        eventually("packets through the tail call", || self.count(CALLED) > before + 20);
        assert_eq!(self.count(LEFT), 0, "packets without a tail call");
    }

    /// That packets are left alone.
    #[track_caller]
    fn is_broken(&self) {
        let before = self.count(LEFT);
        eventually("packets without a tail call", || self.count(LEFT) > before + 20);
    }

    /// Stops the packets. Returns the numbers of packets that arrived, and that each slot counted.
    fn end(mut self) -> [u64; 3] {
        self.ends.store(true, Ordering::SeqCst);
        self.sender.take().expect("a sender").join().expect("its end");
        let counts = || [CAME, CALLED, LEFT].map(|slot| self.count(slot));
        // It has come before it is counted elsewhere.
        eventually("the last packet's way", || {
            let [came, called, left] = counts();
            came == called + left
        });
        counts()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
    }
}

/// A socket for whole frames on a device (packet(7)).
fn packets_to(device: &str) -> OwnedFd {
    let name = CString::new(device).expect("no NUL");
    // SAFETY: system calls with a string and an address that live long enough.
    unsafe {
        let number = libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0);
        assert!(number >= 0, "{}", std::io::Error::last_os_error());
        let socket = OwnedFd::from_raw_fd(number);
        let mut address: libc::sockaddr_ll = std::mem::zeroed();
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_ifindex = libc::if_nametoindex(name.as_ptr()) as i32;
        let size = size_of_val(&address) as u32;
        let bound = libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size);
        assert_eq!(bound, 0, "{}", std::io::Error::last_os_error());
        socket
    }
}

/// Sends one frame after the other, each when the one before has come.
fn send(far: &OwnedFd, seen: &OwnedFd, ends: &AtomicBool) {
    // A broadcast frame of an experimental protocol.
    let frame = [&[0xff; 6][..], &[2, 0, 0, 0, 0, 1], &[0x88, 0xb5], &[0; 46]].concat();
    for sent in 1.. {
        // SAFETY: the length is that of frame.
        let written = unsafe { libc::write(far.as_raw_fd(), frame.as_ptr().cast(), frame.len()) };
        assert_eq!(written, frame.len() as isize, "{}", std::io::Error::last_os_error());
        eventually("a packet", || lookup_at(seen, CAME).expect("an element") >= sent);
        if ends.load(Ordering::SeqCst) {
            return;
        }
    }
}

/// What a tool holds, by name: kind and id.
fn held(tool: &Running) -> BTreeMap<String, (String, u32)> {
    let contract = tool.contract();
    let value =
        |name: &str| contract.iter().find_map(|line| line.strip_prefix(&format!("{name}=")));
    let mut held = BTreeMap::new();
    for (variable, field) in [("BPF_MAP", "map"), ("BPF_PROG", "prog")] {
        for n in 0..8 {
            let Some(name) = value(&format!("{variable}{n}_NAME")) else { continue };
            let number = value(&format!("{variable}{n}")).expect("a number").parse().expect("one");
            let id = tool.fdinfo(number, &format!("{field}_id")).parse().expect("an id");
            held.insert(name.to_owned(), (field.to_owned(), id));
        }
    }
    held
}

/// The pinned objects, in the same form, without the attached program.
fn pinned() -> BTreeMap<String, (String, u32)> {
    let pins = [(MAPS, "next"), (MAPS, "seen"), (PROGRAMS, "tail")];
    let id = |(directory, name): (&str, &str)| {
        let (kind, id, _) = what_is(open_pin(format!("{directory}/{name}").as_ref()));
        (name.to_owned(), (kind, id))
    };
    pins.map(id).into()
}

/// The tool: it takes what `sources` say, does something with it, and waits.
fn tool(lab: &Lab, sources: &[&str], script: &str) -> Running {
    let script = format!("{script} exec cat");
    let words = [sources, &["--", "sh", "-c", &script]].concat();
    Running::cat(&Start::default(), &mut lab.exec(words))
}

/// The first run of the tool, which leaves no pin behind.
fn first_tool(lab: &Lab, script: &str) -> Running {
    let tail = format!("{PROGRAMS}/tail");
    let tool = tool(lab, &["--pin", MAPS, "--prog", &tail], script);
    for directory in [MAPS, PROGRAMS] {
        std::fs::remove_dir_all(directory).expect("removed");
    }
    tool
}

#[test]
fn program_array_without_a_holder_is_emptied() {
    let lab = Lab::new();
    let network = Network::new();
    let tool = first_tool(&lab, "");
    network.works();
    tool.kill();
    network.is_broken();
    network.end();
}

const LEAVE: &str =
    "for what in next seen prog:tail; do bpf-map put $what --socket agent || exit; done;";

/// What the second run of the tool finds, and what it can do with it.
#[track_caller]
fn finds(
    lab: &Lab,
    network: &Network,
    sources: &[&str],
    want: &BTreeMap<String, (String, u32)>,
) -> Running {
    let tool = tool(lab, sources, "");
    let mut found = held(&tool);
    // A process is not asked for its programs.
    found.entry("tail".into()).or_insert_with(|| want["tail"].clone());
    assert_eq!(&found, want);
    let before = network.count(CALLED);
    let get = ["--", "sh", "-c", "bpf-map get seen 1; bpf-map get next 0"];
    let values = stdout_of(&mut lab.exec([sources, &get].concat()));
    let (called, next) = values.trim_end().split_once('\n').expect("two values");
    let called: u64 = called.parse().expect("a number");
    assert!((before..=network.count(CALLED)).contains(&called), "{called}");
    assert_eq!(next, want["tail"].1.to_string());
    tool
}

#[test]
fn agent_keeps_packets_passing_while_the_tool_restarts() {
    let lab = Lab::new();
    let network = Network::new();
    let mut agent = Agent::start(&mut lab.agent(["--socket", "agent"]));
    let want = pinned();
    let first = first_tool(&lab, LEAVE);
    assert_eq!(held(&first), want);
    agent.line("put \"tail\"");
    network.works();
    first.kill();
    network.works();
    let second = finds(&lab, &network, &["--agent", "agent#next,seen,tail"], &want);
    network.works();
    second.kill();
    network.works();
    let third = finds(&lab, &network, &["--agent", "agent"], &want);
    network.works();
    // It was the agent that kept it, and then the tool.
    agent.kill();
    network.works();
    third.kill();
    network.is_broken();
    network.end();
}

#[test]
fn agent_with_a_state_may_be_killed() {
    let lab = Lab::new();
    let network = Network::new();
    let arguments = ["--socket", "agent", "--state", "/sys/fs/bpf/agent"];
    let agent = Agent::start(&mut lab.agent(arguments));
    let want = pinned();
    let first = first_tool(&lab, LEAVE);
    first.kill();
    network.works();
    agent.kill();
    network.works();
    let _agent = Agent::start(&mut lab.agent(arguments));
    network.works();
    let second = finds(&lab, &network, &["--agent", "agent"], &want);
    network.works();
    second.kill();
    network.works();
    let [came, called, left] = network.end();
    assert_eq!((came, left), (called, 0), "every packet went through the tail call");
}

#[test]
fn process_that_copies_the_maps_keeps_packets_passing() {
    let lab = Lab::new();
    let network = Network::new();
    let want = pinned();
    let first = first_tool(&lab, "");
    let take = |tool: &Running| {
        let pid = tool.pid().to_string();
        finds(&lab, &network, &["--pid", &pid], &want)
    };
    let second = take(&first);
    first.kill();
    network.works();
    let third = take(&second);
    second.kill();
    network.works();
    third.kill();
    network.is_broken();
    network.end();
}
