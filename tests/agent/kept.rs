//! Read-only fds that the agent keeps for clients that may only read.

use crate::common::agent::*;
use crate::common::fds::*;
use crate::common::*;
use crate::support::peers::{User, serve_all};
use nix::fcntl::OFlag;
use std::fs::remove_file;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

const STATE: &str = "/sys/fs/bpf/agent";
/// The status of an object whose pin does not refer to it.
const CHANGED: u8 = 8;

fn start(lab: &Lab) -> (Agent, PathBuf) {
    serve_all(lab, &["-q", "--state", STATE], &["*:uid=1001:read", "*:uid=1002:read"])
}

#[test]
fn read_only_fd_is_kept_until_its_object_changes() {
    let lab = Lab::new();
    let (agent, path) = start(&lab);
    let root = Client::connect(&path);
    let users = [1001, 1002].map(|uid| Client::connect_as(&path, &User::new(uid)));
    let pins = ["first", "second"].map(|name| lab.array(name, 1));
    let replace = |fd: OwnedFd| {
        done(root.ask(PUT, REPLACE, &strings(&["hits", ""]), &[fd.as_fd()]));
    };
    done(root.put("hits", open_pin(&pins[0]).as_fd()));
    users.iter().for_each(|user| drop(user.list()));
    let before = agent.fds();
    let check = |pin: &PathBuf, kept| {
        for user in users.iter().chain(&users) {
            let got = user.get(&["hits"], 0);
            assert_eq!((got.status, got.reason.as_str()), (0, ""));
            assert_eq!((id_of(&got.fds[0]), mode_of(&got.fds[0])), (map_id(pin), OFlag::O_RDONLY));
            assert!(update(&got.fds[0], 7).is_err());
        }
        agent.fds().assert_more(kept, &before);
    };
    check(&pins[0], 1);
    replace(open_pin(&pins[1]));
    agent.fds().assert_more(0, &before);
    check(&pins[1], 1);
    // The same map with other access: the fd that was put is handed out.
    replace(open_pin_with(&pins[1], 8));
    check(&pins[1], 0);
    replace(open_pin(&pins[1]));
    check(&pins[1], 1);
    root.remove(&["hits"]);
    agent.fds().assert_more(-1, &before);
}

#[test]
fn least_recently_used_read_only_fd_is_closed() {
    let lab = Lab::new();
    let (agent, path) = start(&lab);
    let (root, user) = (Client::connect(&path), Client::connect_as(&path, &User::new(1001)));
    let all: Vec<String> = (0..80).map(|n| format!("n{n}")).collect();
    all.iter().for_each(|name| drop(done(root.put(name, new_map(name).as_fd()))));
    let get = |name: &str| user.get(&[name], READ);
    user.list();
    get("n0");
    let before = agent.fds();
    for name in &all[1..64] {
        assert_eq!(get(name).fds.len(), 1);
    }
    agent.fds().assert_more(63, &before);
    assert_eq!((get("n0").fds.len(), get("n64").fds.len()), (1, 1));
    agent.fds().assert_more(63, &before);
    // Without its pin, a read-only fd that is not kept cannot be opened.
    for name in ["n0", "n1", "n2"] {
        remove_file(format!("{STATE}/{name}/map")).unwrap();
    }
    assert_eq!(["n0", "n1", "n2"].map(|name| get(name).status), [0, CHANGED, 0]);
    // One packet can have more than are kept.
    let rest: Vec<&str> = all[3..].iter().map(String::as_str).collect();
    let got = user.get(&rest, READ);
    assert_eq!((got.status, got.packets), (0, 1));
    let ids: Vec<u32> = got.records.iter().map(|record| record.id).collect();
    assert_eq!(got.fds.iter().map(id_of).collect::<Vec<_>>(), ids);
    // The agent closes the others after it has sent them.
    agent.await_fds(63, &before);
}
