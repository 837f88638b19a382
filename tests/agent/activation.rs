//! Sockets that the agent inherits: what comes while no agent runs is for the next one.

use crate::common::agent::*;
use crate::common::fds::*;
use crate::common::traced::Traced;
use crate::common::*;
use crate::support::supervisor::Supervisor;
use nix::sys::signal::Signal;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket,
};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const STATE: [&str; 2] = ["--state", "/sys/fs/bpf/agent"];

/// A socket as a supervisor makes it.
fn bound(path: &Path, kind: SockType) -> OwnedFd {
    let socket = socket(AddressFamily::Unix, kind, SockFlag::SOCK_CLOEXEC, None).unwrap();
    bind(socket.as_raw_fd(), &UnixAddr::new(path).unwrap()).unwrap();
    socket
}

fn listening(path: &Path, kind: SockType) -> OwnedFd {
    let socket = bound(path, kind);
    listen(&socket, Backlog::MAXCONN).unwrap();
    socket
}

#[test]
fn inherited_sockets_are_served_and_left_where_they_are() {
    let lab = Lab::new();
    let supervisor = Supervisor::new(&lab);
    let requests = listening(&lab.path("agent"), SockType::SeqPacket);
    let second = listening(&lab.path("second"), SockType::SeqPacket);
    let sockets = [("agent", &requests), ("another one", &second)];
    let before = lab.files();
    // The first agent receives the requests that were sent before it was started.
    let early = Client::connect(&lab.path("agent"));
    let maps = ["early", "late"].map(new_map);
    let body = strings(&["early", ""]);
    early.send(&packet(PUT, 0, 7, &body), &[maps[0].as_fd()]).unwrap();
    let agent = supervisor.start(&lab, &STATE, &sockets);
    assert_eq!(agent.log, ["bpf-agent: serves on 2 sockets, holds 0 objects"]);
    done(early.answer(7, false));
    assert_eq!(names(&Client::connect(&lab.path("second")).list()), ["early"]);
    // One of its own besides.
    assert_eq!(agent.stop().status, 0);
    let both = [&STATE[..], &["--socket", "own"]].concat();
    let agent = supervisor.start(&lab, &both, &sockets);
    assert_eq!(agent.log, ["bpf-agent: serves on 3 sockets, holds 1 object"]);
    Client::connect(&lab.path("own")).put("late", maps[1].as_fd());
    let listed = Client::connect(&lab.path("agent")).list();
    assert_eq!(names(&listed), ["early", "late"]);
    assert_eq!(agent.stop().status, 0);
    let left: Vec<_> = lab.files().difference(&before).cloned().collect();
    assert!(left.iter().all(|path| path.starts_with("/sys/fs/bpf/agent")), "{left:?}");
    assert!(lab.path("agent").exists() && lab.path("second").exists());
}

#[test]
fn unusable_inherited_fd_is_an_error() {
    let lab = Lab::new();
    let file = std::fs::File::create(lab.path("file")).unwrap();
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let (sock, unix) = ("not a socket", "not a unix socket");
    let kind = "not a listening SEQPACKET socket";
    let table: [(OwnedFd, &str); 8] = [
        (std::io::pipe().unwrap().0.into(), sock),
        (file.into(), sock),
        (new_map("map"), sock),
        (udp.into(), unix),
        (listening(&lab.path("stream"), SockType::Stream), kind),
        (bound(&lab.path("deaf"), SockType::SeqPacket), kind),
        (bound(&lab.path("datagrams"), SockType::Datagram), kind),
        (
            socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap(),
            kind,
        ),
    ];
    let before = lab.files();
    for (fd, cause) in table {
        let supervisor = Supervisor::new(&lab);
        let mut agent = supervisor.spawn(&lab, &["--socket", "agent"], &[("it's\u{1b}", &fd)]);
        let line = format!("bpf-agent: it's\\x1b: serve inherited fd: {cause}");
        agent.line(&line);
        assert_eq!(agent.log, [line]);
        assert_eq!(agent.wait(), Run { status: 2, stdout: String::new(), stderr: String::new() });
        drop(supervisor);
        assert_eq!(lab.files(), before);
    }
}

#[test]
fn missing_inherited_fd_is_named() {
    let lab = Lab::new();
    let socket = listening(&lab.path("agent"), SockType::SeqPacket);
    let map = new_map("unlisted");
    let start = |count: &str, given: Vec<i32>| {
        let mut command = after("export LISTEN_PID=$$", &lab.agent(STATE));
        command.env("LISTEN_FDS", count);
        let start = crate::common::child::Start { given, ..Default::default() };
        let mut agent = Agent::spawn_with(&start, &mut command);
        let line = agent.line("LISTEN_FDS: ");
        assert_eq!(agent.wait(), Run { status: 2, stdout: String::new(), stderr: String::new() });
        line
    };
    let given = vec![socket.as_raw_fd(), map.as_raw_fd()];
    let missing = "bpf-agent: LISTEN_FDS: fd 5: use: bad file descriptor";
    assert_eq!(start("3", given.clone()), missing);
    assert_eq!(start("2147483647", given.clone()), missing);
    for count in ["", "-1", "x", "2147483648"] {
        let wrong = "bpf-agent: LISTEN_FDS: read: not a number";
        assert_eq!(start(count, given.clone()), wrong, "{count}");
    }
}

#[test]
fn requests_sent_before_the_end_are_answered() {
    // Few enough for the time limit on the slowest machine.
    const REQUESTS: u32 = 5;
    let lab = Lab::new();
    let agent = Agent::start(&mut lab.agent(["--socket", "agent", STATE[0], STATE[1]]));
    let clients: Vec<Client> = (0..3).map(|_| Client::connect(&lab.path("agent"))).collect();
    let map = new_map("map");
    for client in &clients {
        assert!(client.list().is_empty());
    }
    // The requests and the signal to terminate reach it at the same time.
    agent.signal(Signal::SIGSTOP);
    for (at, client) in clients.iter().enumerate() {
        for number in 0..REQUESTS {
            let body = strings(&[&format!("map {at} {number}"), ""]);
            client.send(&packet(PUT, 0, number, &body), &[map.as_fd()]).unwrap();
        }
    }
    agent.signal(Signal::SIGTERM);
    agent.signal(Signal::SIGCONT);
    for client in &clients {
        for number in 0..REQUESTS {
            done(client.answer(number, false));
        }
        assert!(client.receive().expect("the end, in order").bytes.is_empty());
        let late = client.send(&packet(LIST, 0, 1, &string("")), &[]);
        assert_eq!(late.unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
    }
    assert_eq!(agent.wait().status, 0);
    let agent = Agent::start(&mut lab.agent(["--socket", "agent", STATE[0], STATE[1]]));
    assert_eq!(agent.log, ["bpf-agent: serves on 1 socket, holds 15 objects"]);
}

#[test]
fn late_send_fails_and_earlier_replies_arrive() {
    let lab = Lab::new();
    let agent = Agent::start(&mut lab.agent(["--quiet", "--socket", "agent", STATE[0], STATE[1]]));
    let client = Client::connect(&lab.path("agent"));
    assert!(client.list().is_empty());
    let traced = Traced::seize(agent.pid());
    client.send(&packet(LIST, 0, 1, &string("")), &[]).unwrap();
    agent.signal(Signal::SIGTERM);
    // The last that it does before it closes everything is to say so.
    while !traced.step().is(libc::SYS_write) {}
    let late = client.send(&packet(LIST, 0, 2, &string("")), &[]);
    assert_eq!(late.unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
    traced.release();
    assert!(done(client.answer(1, false)).is_empty());
    assert!(client.receive().expect("the end, in order").bytes.is_empty());
    assert_eq!(agent.wait().status, 0);
}

/// Sends requests until it is stopped. Returns the names that were stored, with the ids of maps.
fn client(
    path: &Path,
    which: usize,
    ends: &AtomicBool,
    answered: &AtomicUsize,
) -> BTreeMap<String, u32> {
    use std::io::ErrorKind::*;
    let mut stored = BTreeMap::new();
    let mut connection = Client::connect(path);
    for number in 0.. {
        if ends.load(Ordering::SeqCst) {
            break;
        }
        let (name, map) = (format!("map {which} {number}"), new_map("map"));
        let request = packet(PUT, 0, number, &strings(&[&name, ""]));
        loop {
            let mut sent = connection.send(&request, &[map.as_fd()]);
            if sent.as_ref().is_err_and(|e| e.kind() == PermissionDenied) {
                // The agent accepts fds once it has accepted the connection.
                let info = packet(INFO, 0, number, &string(&name));
                sent = connection.send(&info, &[]).and_then(|_| connection.receive()).and_then(
                    |reply| match reply.bytes.is_empty() {
                        true => Err(BrokenPipe.into()),
                        false => connection.send(&request, &[map.as_fd()]),
                    },
                );
            }
            // Without a reply it was not done, or it does no harm to ask again.
            match sent.and_then(|_| connection.receive()) {
                Ok(reply) if !reply.bytes.is_empty() => {
                    assert_eq!(reply.bytes[..4], [VERSION, 0, 0, 0], "{:?}", reply.bytes);
                    break;
                }
                Ok(_) => {}
                Err(e) => {
                    assert!(matches!(e.kind(), BrokenPipe | ConnectionReset), "{e}");
                }
            }
            // No client is refused, whether an agent runs or not.
            connection = Client::connect(path);
        }
        stored.insert(name, id_of(&map));
        answered.fetch_add(1, Ordering::SeqCst);
        // Some clients keep their connection, others connect again.
        if number % 3 == which as u32 {
            connection = Client::connect(path);
        }
    }
    stored
}

/// Restarts an agent five times while clients ask.
fn restarts_unnoticed(lab: &Lab, arguments: &[&str]) {
    let supervisor = Supervisor::new(lab);
    let path = lab.path("agent");
    let socket = listening(&path, SockType::SeqPacket);
    let sockets = [("agent", &socket)];
    let (ends, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut stored = BTreeMap::new();
    std::thread::scope(|scope| {
        let asks = |which| client(&path, which, &ends, &answered);
        let clients: Vec<_> = (0..3).map(|n| scope.spawn(move || asks(n))).collect();
        for _ in 0..5 {
            let agent = supervisor.start(lab, arguments, &sockets);
            let enough = answered.load(Ordering::SeqCst) + 60;
            eventually("answers", || answered.load(Ordering::SeqCst) >= enough);
            let end = agent.stop();
            assert_eq!(end.status, 0, "{}", end.stderr);
        }
        ends.store(true, Ordering::SeqCst);
        let agent = supervisor.start(lab, arguments, &sockets);
        clients.into_iter().for_each(|client| stored.extend(client.join().expect("its answers")));
        drop(agent);
    });
    let agent = supervisor.start(lab, arguments, &sockets);
    let listed = Client::connect(&path).list();
    let listed: BTreeMap<String, u32> = listed.into_iter().map(|r| (r.name, r.id)).collect();
    assert!(stored.len() >= 300);
    for (name, id) in &stored {
        assert_eq!(listed.get(name), Some(id), "{name}");
    }
    assert_eq!(agent.stop().status, 0);
}

#[test]
fn restarts_are_not_noticed_by_clients_where_maps_are_pinned() {
    restarts_unnoticed(&Lab::new(), &STATE);
}
