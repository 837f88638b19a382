//! How many objects one user may store: as many as are left for others.

use crate::common::agent::*;
use crate::common::fds::*;
use crate::common::*;
use crate::support::peers::*;
use std::os::fd::{AsFd, OwnedFd};

const STATE: &str = "/sys/fs/bpf/agent";
const FULL: u8 = 6;
const RULES: [&str; 2] = ["*:uid=1001:all", "*:uid=1002:all"];

fn put(client: &Client, flags: u16, name: &str, map: &OwnedFd) -> Answer {
    client.ask(PUT, flags, &strings(&[name, ""]), &[map.as_fd()])
}

/// The refusal of another name for a user that stores `own` of `limit` names.
fn share(uid: u32, own: usize, limit: usize) -> (u8, String) {
    (FULL, format!("uid {uid} has its share of {limit} names: {own}"))
}

#[test]
fn user_stores_at_most_as_many_names_as_are_free() {
    let lab = Lab::new();
    let (mut agent, path) = serve_all(&lab, &["--max-objects", "6", "--state", STATE], &RULES);
    let root = Client::connect(&path);
    let [first, second] = [1001, 1002].map(|uid| Client::connect_as(&path, &User::new(uid)));
    let (map, other) = (new_map("one"), new_map("other"));
    for name in ["a", "b", "c"] {
        done(put(&first, 0, name, &map));
    }
    assert_eq!(refusal(put(&first, 0, "d", &map)), share(1001, 3, 6));
    let line = agent.line("put \"d\": refused: ");
    assert!(line.starts_with("bpf-agent: uid 1001 gid 1001 pid "), "{line}");
    assert!(line.ends_with(&share(1001, 3, 6).1), "{line}");
    // A user may put its own objects again, and replace them, on any connection.
    done(put(&first, 0, "a", &map));
    let again = Client::connect_as(&path, &User { gid: 7, ..User::new(1001) });
    done(put(&again, REPLACE, "a", &other));
    // Another user has half of what is left, and root the rest.
    done(put(&second, 0, "e", &map));
    done(put(&second, 0, "f", &map));
    assert_eq!(refusal(put(&second, 0, "g", &map)), share(1002, 2, 6));
    done(put(&root, 0, "g", &map));
    let all = (FULL, "the limit of 6 names is reached".to_owned());
    for client in [&root, &first, &second] {
        assert_eq!(refusal(put(client, 0, "h", &map)), all);
    }
    // Its own objects stay replaceable, and an object that root replaces becomes root's.
    done(put(&first, REPLACE, "b", &other));
    done(put(&root, REPLACE, "a", &map));
    done(root.ask(REMOVE, 0, &string("g"), &[]));
    assert_eq!(refusal(put(&first, 0, "d", &map)), share(1001, 2, 6));
}

#[test]
fn owners_are_restored_after_a_restart() {
    let lab = Lab::new();
    let options = |limit| ["--state", STATE, "--max-objects", limit];
    let (agent, path) = serve_all(&lab, &options("7"), &RULES);
    let user = || Client::connect_as(&path, &User::new(1001));
    let map = new_map("kept");
    for name in ["a", "b", "c", "d"] {
        done(put(&user(), 0, name, &map));
    }
    agent.kill();
    let (agent, _) = serve_all(&lab, &options("7"), &RULES);
    assert_eq!(refusal(put(&user(), 0, "e", &map)), share(1001, 4, 7));
    agent.kill();
    // All objects are kept below a lower limit.
    let (agent, _) = serve_all(&lab, &options("5"), &RULES);
    assert_eq!(refusal(put(&user(), 0, "e", &map)), share(1001, 4, 5));
    done(put(&user(), REPLACE, "a", &new_map("new")));
    assert_eq!(user().list().len(), 4);
    user().remove(&["a", "b"]);
    done(put(&user(), 0, "e", &map));
    agent.kill();
    let (_agent, path) = serve_all(&lab, &options("2"), &RULES);
    done(put(&Client::connect(&path), REPLACE, "e", &new_map("new")));
}

#[test]
fn own_user_has_no_quota_and_others_may_store_one() {
    let lab = Lab::new();
    let words = ["--socket", "agent", "--socket-mode", "0666", "--max-objects", "2"];
    let words = words.into_iter().chain(["--allow", "*:uid=1002:all"]);
    let program = lab.program(&lab.reachable("bpf-agent"), words);
    let user = ["setpriv", "--reuid=1001", "--regid=1001", "--clear-groups"];
    let _agent = Agent::start(&mut wrapped(&user, &program));
    let path = lab.path("agent");
    let [own, other] = [1001, 1002].map(|uid| Client::connect_as(&path, &User::new(uid)));
    let map = new_map("own");
    done(put(&own, 0, "a", &map));
    done(put(&own, 0, "b", &map));
    own.remove(&["a", "b"]);
    done(put(&other, 0, "a", &map));
    assert_eq!(refusal(put(&other, 0, "b", &map)), share(1002, 1, 2));

    let lab = Lab::new();
    let (_agent, path) = serve_all(&lab, &["--max-objects", "1"], &RULES);
    done(put(&Client::connect_as(&path, &User::new(1001)), 0, "a", &map));
}
