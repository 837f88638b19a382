//! How many objects one user may store: no more than half, so that others can store theirs.

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

fn may_store(uid: u32, what: &str) -> (u8, String) {
    (FULL, format!("uid {uid} may store {what} at most"))
}

#[test]
fn one_user_stores_half_of_what_may_be_stored() {
    let lab = Lab::new();
    let (mut agent, path) = serve_all(&lab, &["--max-objects", "5", "--state", STATE], &RULES);
    let root = Client::connect(&path);
    // Of one group.
    let [first, second] =
        [1001, 1002].map(|uid| Client::connect_as(&path, &User { gid: 1001, ..User::new(uid) }));
    let (map, other) = (new_map("one"), new_map("other"));
    done(put(&root, 0, "root", &map));
    done(put(&first, 0, "a", &map));
    done(put(&first, 0, "b", &map));
    let before = agent.fds();
    let why = may_store(1001, "2 objects");
    assert_eq!(refusal(put(&first, 0, "c", &map)), why);
    let line = agent.line("put \"c\": uid 1001 gid 1001 pid ");
    assert!(line.ends_with(&format!(": refused: {}", why.1)), "{line}");
    // What is another's becomes its own when it is replaced.
    assert_eq!(refusal(put(&first, REPLACE, "root", &other)), why);
    assert_eq!(root.get(&["root"], 0).records[0].uid, 0);
    agent.fds().assert_more(0, &before);
    // What is its own already it may put again, and replace.
    done(put(&first, 0, "a", &map));
    done(put(&first, REPLACE, "a", &other));
    // It is the user that counts, however often it connects; others have shares of their own.
    let again = Client::connect_as(&path, &User { gid: 7, ..User::new(1001) });
    assert_eq!(refusal(put(&again, 0, "c", &map)), why);
    done(put(&second, 0, "c", &map));
    done(put(&second, 0, "d", &map));
    assert_eq!(names(&root.list()), ["a", "b", "c", "d", "root"]);
    let all = (FULL, "5 objects are stored, as many as may be".to_owned());
    for client in [&root, &first, &second] {
        assert_eq!(refusal(put(client, 0, "e", &map)), all);
    }
    // Root is bound by the limit alone.
    done(put(&root, REPLACE, "a", &map));
    done(put(&first, 0, "b", &map));
    done(first.ask(REMOVE, 0, &string("d"), &[]));
    done(put(&first, 0, "e", &map));
    assert_eq!(refusal(put(&first, REPLACE, "a", &other)), why);
    done(first.ask(REMOVE, 0, &string("e"), &[]));
    done(put(&root, 0, "e", &map));
    assert_eq!(refusal(put(&root, 0, "f", &map)), all);
}

#[test]
fn whose_what_is_stored_is_known_after_a_restart() {
    let lab = Lab::new();
    let options = |limit| ["--state", STATE, "--max-objects", limit];
    let (agent, path) = serve_all(&lab, &options("8"), &RULES);
    let user = || Client::connect_as(&path, &User::new(1001));
    let map = new_map("kept");
    for name in ["a", "b", "c", "d"] {
        done(put(&user(), 0, name, &map));
    }
    agent.kill();
    let (agent, _) = serve_all(&lab, &options("8"), &RULES);
    assert_eq!(refusal(put(&user(), 0, "e", &map)), may_store(1001, "4 objects"));
    agent.kill();
    // It keeps what it has, also where it would not get it any more.
    let (agent, _) = serve_all(&lab, &options("6"), &RULES);
    assert_eq!(refusal(put(&user(), 0, "e", &map)), may_store(1001, "3 objects"));
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
    assert_eq!(refusal(put(&other, 0, "b", &map)), may_store(1002, "1 object"));

    let lab = Lab::new();
    let (_agent, path) = serve_all(&lab, &["--max-objects", "1"], &RULES);
    done(put(&Client::connect_as(&path, &User::new(1001)), 0, "a", &map));
}
