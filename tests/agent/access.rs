//! The rules of an agent: what each client may do, and what clients without permissions learn.

use crate::common::agent::*;
use crate::common::fds::*;
use crate::common::*;
use crate::support::peers::*;
use nix::fcntl::OFlag;
use std::os::fd::{AsFd, OwnedFd};

const RW: OFlag = OFlag::O_RDWR;
const RO: OFlag = OFlag::O_RDONLY;
const WO: OFlag = OFlag::O_WRONLY;

/// One request of every kind about `name`.
fn every_request(name: &str) -> Vec<(u8, u16, Vec<u8>)> {
    let one = string(name);
    let wait = [&0u32.to_ne_bytes()[..], &one].concat();
    let put = strings(&[name, ""]);
    vec![
        (INFO, 0, one.clone()),
        (WAIT, 0, wait),
        (WAIT, CHANGE, [&[0; 8][..], &one].concat()),
        (GET, READ, one.clone()),
        (GET, WRITE, one.clone()),
        (GET, 0, one.clone()),
        (PUT, 0, put.clone()),
        (PUT, REPLACE, put),
        (REMOVE, 0, one),
    ]
}

#[test]
fn other_users_have_no_access_by_default() {
    let lab = Lab::new();
    // Rules for others change nothing, nor does one for other names.
    let rules = ["*:uid=1:all", "*:gid=2:all", "other*:uid=65534:all"];
    let map = new_map("hidden");
    let missing = ["list", "list", "list", "read", "write", "read", "put", "put,remove", "remove"];
    for rules in [&["x:uid=65534:list"][..], &rules] {
        let (agent, path) = serve_all(&lab, &[], rules);
        let (root, nobody) = (Client::connect(&path), Client::connect_as(&path, &User::new(65534)));
        done(root.put("hidden", map.as_fd()));
        for name in ["hidden", "absent"] {
            for ((operation, flags, body), missing) in every_request(name).iter().zip(missing) {
                // A name that is there is refused as one is that is not.
                let want = format!("{missing} of \"{name}\": no rule for uid 65534 matches");
                let answer = nobody.ask(*operation, *flags, body, &[]);
                assert_eq!((answer.packets, answer.fds.len()), (1, 0));
                assert_eq!(refusal(answer), (2, want));
            }
        }
        assert_eq!(nobody.list(), []);
        assert_eq!(names(&root.list()), ["hidden"]);
        assert_eq!(agent.stop().status, 0);
    }
}

/// The packets of a list are the same, however many hidden names are between the visible ones.
#[test]
fn list_does_not_reveal_the_number_of_hidden_names() {
    let lab = Lab::new();
    let (_agent, path) = serve_all(&lab, &[], &["a:uid=1001:list", "z:uid=1001:list"]);
    let (root, user) = (Client::connect(&path), Client::connect_as(&path, &User::new(1001)));
    let map = new_map("hidden");
    let put = |name: &str| done(root.put(name, map.as_fd()));
    let look = || {
        let answer = user.ask(LIST, 0, &string("*"), &[]);
        (answer.packets, answer.records)
    };
    put("a");
    put("z");
    let alone = look();
    assert_eq!((alone.0, names(&alone.1)), (1, vec!["a", "z"]));
    (0..1500).for_each(|n| drop(put(&format!("n{n}"))));
    put("zz");
    assert_eq!(look(), alone);
}

#[test]
fn each_right_is_good_for_its_own_requests_alone() {
    let lab = Lab::new();
    let (map, prog) = (new_map("map"), open_pin(&pin_program("prog")));
    let listed = [0; 3];
    let none = [2; 3];
    // The statuses for each: INFO and WAIT, for the name and for a change; read, write and both; a
    // program; put of a new name, of a name that is taken, and with REPLACE; and removal.
    #[rustfmt::skip]
    let table = [
        ("list", listed, [2, 2, 2], 2, [2, 2, 2], 2),
        ("read", none, [0, 2, 0], 2, [2, 2, 2], 2),
        ("write", none, [2, 0, 0], 2, [2, 2, 2], 2),
        ("read,write", none, [0, 0, 0], 0, [2, 2, 2], 2),
        ("put", none, [2, 2, 2], 2, [0, 4, 2], 2),
        ("remove", none, [2, 2, 2], 2, [2, 2, 2], 0),
        ("remove,put", none, [2, 2, 2], 2, [0, 4, 0], 0),
        ("write,list", listed, [2, 0, 0], 2, [2, 2, 2], 2),
        ("all", listed, [0, 0, 0], 0, [0, 4, 0], 0),
        ("list,all", listed, [0, 0, 0], 0, [0, 4, 0], 0),
    ];
    let rules: Vec<String> =
        table.iter().zip(1001..).map(|(row, uid)| format!("m*:uid={uid}:{}", row.0)).collect();
    let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
    let (_agent, path) = serve_all(&lab, &[], &rules);
    let root = Client::connect(&path);
    for ((right, listed, got, program, put, removed), uid) in table.into_iter().zip(1001..) {
        let user = Client::connect_as(&path, &User::new(uid));
        done(root.ask(PUT, REPLACE, &strings(&["map", ""]), &[map.as_fd()]));
        done(root.ask(PUT, REPLACE, &strings(&["mprog", ""]), &[prog.as_fd()]));
        let may_list = listed == [0; 3];
        assert_eq!(names(&user.list()), if may_list { &["map", "mprog"][..] } else { &[] });
        let other = new_map("other");
        let status_of = |(operation, flags, body): &(u8, u16, Vec<u8>)| {
            let fds = [other.as_fd()];
            // A connection ends if an fd is attached to a request that is refused.
            let user = Client::connect_as(&path, &User::new(uid));
            user.ask(*operation, *flags, body, if *operation == PUT { &fds } else { &[] }).status
        };
        let requests = every_request("map");
        assert_eq!(requests[..3].iter().map(status_of).collect::<Vec<_>>(), listed, "{right}");
        assert_eq!(requests[3..6].iter().map(status_of).collect::<Vec<_>>(), got, "{right}");
        assert_eq!(user.get(&["mprog"], 0).status, program, "{right}");
        let new = (PUT, 0, strings(&["mnew", ""]));
        let puts = [new, requests[6].clone(), requests[7].clone()];
        assert_eq!(puts.iter().map(status_of).collect::<Vec<_>>(), put, "{right}");
        assert_eq!(status_of(&requests[8]), removed, "{right}");
        // The rule covers no other name.
        for request in every_request("x").iter() {
            assert_eq!(status_of(request), 2, "{right}");
        }
        if put[0] == 0 {
            done(root.ask(REMOVE, 0, &string("mnew"), &[]));
        }
    }
}

#[test]
fn access_mode_is_the_requested_one_if_permitted() {
    let lab = Lab::new();
    let rules = ["*:uid=1001:read", "*:uid=1002:write", "*:uid=1003:read,write"];
    let state = format!("{BPFFS}/agent");
    // By a pin, and by the map's id.
    for options in [&["--state", &state][..], &[]] {
        let (agent, path) = serve_all(&lab, options, &rules);
        let root = Client::connect(&path);
        let map = new_map("modes");
        done(root.put("map", map.as_fd()));
        let before = agent.fds();
        for (uid, read, write, both) in [
            (1001, Some(RO), None, Some(RO)),
            (1002, None, Some(WO), Some(WO)),
            (1003, Some(RO), Some(WO), Some(RW)),
        ] {
            let user = Client::connect_as(&path, &User::new(uid));
            for (asked, want) in [(READ, read), (WRITE, write), (READ | WRITE, both), (0, both)] {
                let got = user.get(&["map"], asked);
                let modes: Vec<OFlag> = got.fds.iter().map(mode_of).collect();
                assert_eq!(modes, want.into_iter().collect::<Vec<_>>(), "{uid} {asked}");
                let access = [(RO, 1), (WO, 2), (RW, 3)];
                if let Some(mode) = want {
                    let access = access.iter().find(|(one, _)| *one == mode).unwrap().1;
                    assert_eq!((got.records[0].access, got.records[0].bound), (access, 3));
                    check_elements(&got.fds[0], mode);
                }
            }
        }
        drop(root);
        // Instead of the connection, the agent has a read-only fd that it keeps.
        agent.await_fds(0, &before);
        assert_eq!(agent.stop().status, 0);
    }
}

/// What the kernel says of a descriptor with this mode.
#[track_caller]
fn check_elements(map: &OwnedFd, mode: OFlag) {
    let refused = Err(nix::errno::Errno::EPERM);
    assert_eq!(update(map, 42), if mode == RO { refused } else { Ok(()) });
    assert_eq!(lookup(map).map(drop), if mode == WO { refused } else { Ok(()) });
}

#[test]
fn rules_are_about_the_user_and_all_groups_and_add_up() {
    let lab = Lab::new();
    let rules = [
        "h*:uid=1001:list",
        "filter.o#*:uid=1001:list",
        "h?:gid=2000:list",
        "x:gid=3000:list",
        "hits:gid=3000:read",
        "hits:uid=1001:write",
        "many:gid=4299:list",
    ];
    let (_agent, path) = serve_all(&lab, &[], &rules);
    let root = Client::connect(&path);
    let map = new_map("named");
    for name in ["filter.o#12", "hi", "hits", "many", "x"] {
        done(root.put(name, map.as_fd()));
    }
    let user = |uid, gid, groups: &[u32]| User { uid, gid, groups: groups.to_vec(), apart: false };
    let many: Vec<u32> = (4000..4300).collect();
    for (user, seen, access) in [
        (user(1001, 1001, &[]), &["filter.o#12", "hi", "hits"][..], Some(WO)),
        (user(1001, 3000, &[]), &["filter.o#12", "hi", "hits", "x"], Some(RW)),
        (user(1001, 7, &[5, 3000]), &["filter.o#12", "hi", "hits", "x"], Some(RW)),
        (user(5, 2000, &[]), &["hi"], None),
        (user(5, 6, &[2000, 3000]), &["hi", "x"], Some(RO)),
        (user(5, 6, &many), &["many"], None),
        (user(5, 6, &many[..299]), &[], None),
        // The number of a user is not that of a group, and the group of root is not root.
        (user(2000, 1001, &[1001]), &[], None),
        (user(5, 0, &[0]), &[], None),
    ] {
        let client = Client::connect_as(&path, &user);
        if seen.is_empty() {
            assert_eq!(client.receive().expect("the end").bytes, b"", "{user:?}");
            continue;
        }
        assert_eq!(names(&client.list()), seen, "{user:?}");
        let got = client.get(&["hits"], 0);
        assert_eq!(got.fds.iter().map(mode_of).next(), access, "{user:?}");
    }
    // Root has whatever group it likes.
    let root = Client::connect_as(&path, &user(0, 9, &[]));
    assert_eq!(root.list().len(), 5);
}
