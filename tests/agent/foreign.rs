//! Clients that send an agent fds that do not refer to BPF objects: the agent reports what they
//! refer to, and closes them.

use crate::common::agent::*;
use crate::common::fds::*;
use crate::common::*;
use crate::support::peers::*;
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, poll};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// File descriptors that do not refer to BPF objects, with the description in the agent's reply.
fn other_things(lab: &Lab) -> Vec<(OwnedFd, &'static str)> {
    use std::fs::File;
    let bpf = |command: libc::c_long, number: u32| {
        let attr = [number, 0, 0, 0];
        // SAFETY: no pointers.
        let fd =
            unsafe { libc::syscall(libc::SYS_bpf, command, &raw const attr, size_of_val(&attr)) };
        made(fd)
    };
    let link = open_pin(&pin_link("link"));
    let pipe = std::io::pipe().expect("a pipe");
    // A software event that never happens: PERF_COUNT_SW_DUMMY.
    let mut event = [0u64; 16];
    (event[0], event[1]) = (1 | 128 << 32, 9);
    const PERF_FLAG_FD_CLOEXEC: libc::c_long = 8;
    // SAFETY: an attribute of the size that it contains.
    let event = unsafe {
        libc::syscall(libc::SYS_perf_event_open, &raw const event, 0, -1, -1, PERF_FLAG_FD_CLOEXEC)
    };
    let path_only = OFlag::O_PATH | OFlag::O_CLOEXEC;
    let path_only = open(&lab.array("pin", 1), path_only, nix::sys::stat::Mode::empty());
    // SAFETY: no pointers but a name that ends with a NUL.
    let (memory, count) = unsafe {
        let memory = libc::memfd_create(c"bpf-map".as_ptr(), libc::MFD_CLOEXEC);
        (memory, libc::eventfd(0, libc::EFD_CLOEXEC))
    };
    const BTF_GET_FD_BY_ID: libc::c_long = 19;
    const ITER_CREATE: libc::c_long = 33;
    vec![
        (pipe.0.into(), "a pipe"),
        (pipe.1.into(), "a pipe"),
        (std::net::TcpListener::bind("127.0.0.1:0").expect("a socket").into(), "a socket"),
        (File::open("/dev/null").expect("a file").into(), "a file"),
        (File::open(lab.dir.path()).expect("a directory").into(), "a file"),
        (path_only.expect("a file"), "a file"),
        (made(memory.into()), "a file"),
        (made(count.into()), "something else"),
        (made(event), "a perf event"),
        (bpf(BTF_GET_FD_BY_ID, 1), "a BTF object"),
        (bpf(ITER_CREATE, link.as_raw_fd() as u32), "a BPF iterator"),
    ]
}

/// What a system call has returned.
#[track_caller]
fn made(fd: libc::c_long) -> OwnedFd {
    assert!(fd >= 0, "{}", std::io::Error::last_os_error());
    // SAFETY: the kernel has just made it for us.
    unsafe { OwnedFd::from_raw_fd(fd as i32) }
}

#[test]
fn one_descriptor_of_an_object_is_put_and_nothing_else() {
    let lab = Lab::new();
    let (agent, path) = serve(&lab);
    let client = Client::connect(&path);
    client.list();
    let before = agent.fds();
    let map = new_map("one");
    let put = |fds: &[BorrowedFd]| refusal(client.ask(PUT, 0, &strings(&["hits", ""]), fds));
    let unfit = |reason: &str| (5, reason.to_owned());
    assert_eq!(put(&[]), unfit("no file descriptor was attached"));
    for count in [2, 3, 253] {
        let fds = vec![map.as_fd(); count];
        assert_eq!(put(&fds), unfit("more than one file descriptor was attached"), "{count}");
    }
    for (fd, what) in &other_things(&lab) {
        assert_eq!(put(&[fd.as_fd()]), unfit(&format!("{what}, not a BPF object")));
        assert_eq!(put(&[fd.as_fd(), map.as_fd()]).0, 5);
    }
    // The connection itself, which would keep itself open.
    // SAFETY: open as long as the client.
    let own = unsafe { BorrowedFd::borrow_raw(client.fd()) };
    assert_eq!(put(&[own]), unfit("a socket, not a BPF object"));
    assert_eq!(client.list(), []);
    // Such fds are closed on another thread.
    agent.await_fds(0, &before);
}

#[test]
fn unexpected_fd_is_closed() {
    let lab = Lab::new();
    let (agent, path) =
        serve_all(&lab, &[], &["*:uid=1001:list,read", "*:uid=1002:list,put", "x:uid=65534:list"]);
    let root = Client::connect(&path);
    done(root.put("hits", new_map("asked").as_fd()));
    let before = agent.fds();
    let hits = string("hits");
    let wait = [&0u32.to_ne_bytes()[..], &hits].concat();
    for uid in [1001, 1002, 65534, 0] {
        let requests = [(LIST, &string("")), (GET, &hits), (REMOVE, &hits), (INFO, &hits)];
        for (operation, body) in requests.into_iter().chain([(WAIT, &wait)]) {
            for count in [1, 5, 253] {
                // The read end reports when no process holds the write end any more.
                let (end, given) = std::io::pipe().expect("a pipe");
                // The connection ends unless the peer is trusted.
                let client = Client::connect_as(&path, &User::new(uid));
                // The reply to this request allows fds to the client that may put.
                client.ask(INFO, 0, &string("any"), &[]);
                let fds = vec![given.as_fd(); count];
                let number = 0x0102_0304 + u32::from(operation);
                if let Err(e) = client.send(&packet(operation, 0, number, body), &fds) {
                    assert_eq!(
                        (uid == 1001 || uid == 65534, e.raw_os_error()),
                        (true, Some(libc::EPERM))
                    );
                    continue;
                }
                let answer = client.answer(number, false);
                let want = "this operation takes no file descriptor, and one was attached";
                assert_eq!(refusal(answer), (1, want.into()), "{operation}");
                drop(given);
                let mut gone = [PollFd::new(end.as_fd(), PollFlags::POLLIN)];
                assert_eq!(poll(&mut gone, HANG.as_millis() as u16), Ok(1), "it is open somewhere");
            }
        }
    }
    assert_eq!(root.list().len(), 1);
    agent.await_fds(0, &before);
}

/// Whether the kernel has SO_PASSRIGHTS, since Linux 6.16.
fn has_pass_rights() -> bool {
    let socket = std::os::unix::net::UnixDatagram::unbound().expect("a socket");
    let (mut on, mut length) = (0i32, size_of::<i32>() as libc::socklen_t);
    // SAFETY: on is an integer of length bytes.
    let got = unsafe {
        let on = (&raw mut on).cast();
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, 83, on, &raw mut length)
    };
    got == 0
}

#[test]
fn fds_are_accepted_from_clients_that_may_put() {
    let lab = Lab::new();
    let (_agent, path) = serve_all(&lab, &[], &["mine:uid=1001:put", "*:uid=1002:list"]);
    let map = new_map("sent");
    let put = |client: &Client, name: &str| {
        let sent = client.send(&packet(PUT, 0, 1, &strings(&[name, ""])), &[map.as_fd()]);
        sent.map(drop).map_err(|e| e.raw_os_error())
    };
    // Before Linux 6.16 every client may attach fds.
    let refused = if has_pass_rights() { Err(Some(libc::EPERM)) } else { Ok(()) };
    // No rule matches the first.
    for uid in [65534, 1002] {
        let client = Client::connect_as(&path, &User::new(uid));
        let sent = put(&client, "mine");
        assert!(sent == refused || sent == Err(Some(libc::EPIPE)), "{uid}: {sent:?}");
        drop(client);
    }
    let reader = Client::connect_as(&path, &User::new(1002));
    assert_eq!(reader.ask(INFO, 0, &string("mine"), &[]).status, 3);
    assert_eq!(put(&reader, "mine"), refused);
    let client = Client::connect_as(&path, &User::new(1001));
    assert_eq!(client.ask(INFO, 0, &string("other"), &[]).status, 2);
    assert_eq!(put(&client, "mine"), refused);
    if refused.is_err() {
        // It may put, although it may not list.
        assert_eq!(client.ask(INFO, 0, &string("mine"), &[]).status, 2);
        assert_eq!(put(&client, "mine"), Ok(()));
    }
    done(client.answer(1, false));
    // Root and the agent's own user may, at a socket that no other user can connect to.
    let root = Client::connect(&lab.path("agent.root"));
    assert_eq!(put(&root, "root"), Ok(()));
    done(root.answer(1, false));
}
