//! The access of the descriptor that was put bounds what is handed out, for root too and after
//! a restart; and agents that cannot make a descriptor with less.

use crate::common::agent::*;
use crate::common::fds::*;
use crate::common::*;
use crate::support::peers::*;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use std::os::fd::AsFd;
use std::os::unix::fs::{PermissionsExt, chown};

const RW: OFlag = OFlag::O_RDWR;
const RO: OFlag = OFlag::O_RDONLY;
const WO: OFlag = OFlag::O_WRONLY;

/// What each of three maps, put with less access or with both, is handed out with to `client`,
/// who may do all, whatever is asked.
#[track_caller]
fn check_bounds(client: &Client) {
    for (name, bound, modes) in [
        ("both", 3, [Some(RO), Some(WO), Some(RW)]),
        ("ro", 1, [Some(RO), None, Some(RO)]),
        ("wo", 2, [None, Some(WO), Some(WO)]),
    ] {
        let records = done(client.ask(INFO, 0, &string(name), &[]));
        assert_eq!((records[0].bound, records[0].access), (bound, bound), "{name}");
        for (asked, want) in [READ, WRITE, 0].into_iter().zip(modes) {
            let got = client.get(&[name], asked);
            assert_eq!(got.fds.iter().map(mode_of).next(), want, "{name} {asked}");
            let Some(mode) = want else {
                let (bound, asked) =
                    (["r", "w"][bound as usize - 1], ["r", "w"][asked as usize - 1]);
                let reason = format!("\"{name}\" was put with access {bound}, not {asked}");
                assert_eq!(refusal(got), (2, reason));
                continue;
            };
            let refused = Err(Errno::EPERM);
            assert_eq!(update(&got.fds[0], 7), if mode == RO { refused } else { Ok(()) });
            let found = lookup(&got.fds[0]).map(drop);
            assert_eq!(found, if mode == WO { refused } else { Ok(()) });
        }
    }
    // All together: each with as much as it has.
    let got = client.get(&["ro", "both", "wo"], 0);
    assert_eq!(got.fds.iter().map(mode_of).collect::<Vec<_>>(), [RO, RW, WO]);
}

#[track_caller]
fn put_with_less(lab: &Lab, client: &Client) {
    let pin = lab.array("bounded", 1);
    for (name, flags, bound) in [("both", 0, 3), ("ro", 8, 1), ("wo", 16, 2)] {
        let put = done(client.put(name, open_pin_with(&pin, flags).as_fd()));
        assert_eq!((put[0].bound, put[0].access), (bound, bound), "{name}");
    }
    // The same map with another access is not the same.
    assert_eq!(client.put("ro", open_pin(&pin).as_fd()).status, 4);
    std::fs::remove_file(pin).unwrap();
}

#[test]
fn access_never_exceeds_that_of_the_stored_fd() {
    let lab = Lab::new();
    let state = format!("{BPFFS}/agent");
    for options in [&[][..], &["--state", &state]] {
        let (mut agent, path) = serve_all(&lab, options, &["*:uid=1001:all"]);
        let root = Client::connect(&path);
        put_with_less(&lab, &root);
        check_bounds(&root);
        check_bounds(&Client::connect_as(&path, &User::new(1001)));
        if options.is_empty() {
            continue;
        }
        for _ in 0..2 {
            assert_eq!(agent.kill().status, 137);
            agent = serve_all(&lab, options, &["*:uid=1001:all"]).0;
            check_bounds(&Client::connect(&path));
            check_bounds(&Client::connect_as(&path, &User::new(1001)));
        }
        // For more access, the map must be put again.
        let client = Client::connect(&path);
        let more = open_pin(&lab.array("more", 1));
        done(client.ask(PUT, REPLACE, &strings(&["ro", ""]), &[more.as_fd()]));
        assert_eq!(mode_of(&client.get(&["ro"], 0).fds[0]), RW);
        assert_eq!(agent.stop().status, 0);
    }
}

#[test]
fn programs_and_links_need_read_and_write_permission() {
    let lab = Lab::new();
    let pin = lab.array("map", 1);
    let (prog, link) = (open_pin(&pin_program("prog")), open_pin(&pin_link("link")));
    let rules = ["*:uid=1001:read", "*:uid=1002:write", "*:uid=1003:read,write"];
    let (_agent, path) = serve_all(&lab, &[], &rules);
    let root = Client::connect(&path);
    done(root.put("prog", prog.as_fd()));
    done(root.put("link", link.as_fd()));
    done(root.put("map", open_pin(&pin).as_fd()));
    for (uid, status) in [(1001, 2), (1002, 2), (1003, 0)] {
        let user = Client::connect_as(&path, &User::new(uid));
        for name in ["prog", "link"] {
            let got = user.get(&[name], 0);
            assert_eq!((got.status, got.fds.len()), (status, usize::from(status == 0)));
            if status != 0 {
                let mode = if uid == 1001 { "r" } else { "w" };
                let why = "which has no file descriptor with access";
                assert_eq!(got.reason, format!("\"{name}\" is a {name}, {why} {mode} alone"));
            }
        }
        // One that is refused, and none is handed out.
        let all = user.get(&["map", "prog"], 0);
        assert_eq!((all.status, all.fds.len()), (status, if status == 0 { 2 } else { 0 }));
        assert_eq!(user.get(&["map"], 0).fds.len(), 1);
    }
}

#[test]
fn reduced_access_needs_a_pin_or_a_privilege() {
    let lab = Lab::new();
    let words = ["--socket", "agent", "--socket-mode", "0666", "--allow", "*:uid=1001:read"];
    let without = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"];
    let mut agent = Agent::spawn(&mut wrapped(
        &without,
        &lab.program(binary("bpf-agent").to_str().unwrap(), words),
    ));
    let warning = agent.line("CAP_SYS_ADMIN");
    let want = "warning: neither pins nor CAP_SYS_ADMIN: no fd can be opened with less access";
    assert_eq!(warning, format!("bpf-agent: {want}"));
    agent.line("serves on");
    let path = lab.path("agent");
    let (root, user) = (Client::connect(&path), Client::connect_as(&path, &User::new(1001)));
    let pin = lab.array("held", 1);
    done(root.put("both", open_pin(&pin).as_fd()));
    done(root.put("ro", open_pin_with(&pin, 8).as_fd()));
    let before = agent.fds();
    let reason = "\"both\": an fd with less access needs a pin (--state), or CAP_SYS_ADMIN";
    assert_eq!(refusal(user.get(&["both"], 0)), (9, reason.into()));
    assert_eq!(refusal(root.get(&["both"], READ)), (9, reason.into()));
    assert_eq!(refusal(user.get(&["ro", "both"], 0)), (9, reason.into()));
    agent.line(&format!("refused: {reason}"));
    // What it has it can hand on.
    assert_eq!(mode_of(&user.get(&["ro"], 0).fds[0]), RO);
    assert_eq!(mode_of(&root.get(&["both"], 0).fds[0]), RW);
    agent.fds().assert_more(0, &before);
}

#[test]
fn ordinary_user_runs_its_own_agent() {
    let lab = Lab::new();
    let program = lab.reachable("bpf-agent");
    let state = format!("{BPFFS}/own");
    std::fs::create_dir(&state).unwrap();
    std::fs::set_permissions(&state, PermissionsExt::from_mode(0o700)).unwrap();
    chown(&state, Some(1001), Some(1001)).unwrap();
    let words = ["--socket", "agent", "--socket-mode", "0666", "--state", &state];
    let words = words.into_iter().chain(["--allow", "*:uid=1002:read"]);
    let mut command = wrapped(
        &["setpriv", "--reuid=1001", "--regid=1001", "--clear-groups"],
        &lab.program(&program, words),
    );
    let mut agent = Agent::start(&mut command);
    let path = lab.path("agent");
    // No warning: it needs no privileges.
    assert_eq!(agent.log.len(), 1);
    let own = Client::connect_as(&path, &User::new(1001));
    put_with_less(&lab, &own);
    check_bounds(&own);
    done(own.put("prog", open_pin(&pin_program("prog")).as_fd()));
    done(own.put("link", open_pin(&pin_link("link")).as_fd()));
    for _ in 0..2 {
        assert_eq!(agent.kill().status, 137);
        agent = Agent::start(&mut command);
        // Root may do all here too.
        for user in [User::new(1001), User::new(0)] {
            let client = Client::connect_as(&path, &user);
            check_bounds(&client);
            let listed = client.list();
            assert_eq!(names(&listed), ["both", "link", "prog", "ro", "wo"]);
            assert!(listed.iter().all(|r| (r.state, r.uid, r.pin_id) == (1, 1001, r.id)));
            assert_eq!(client.get(&["prog", "link"], 0).fds.len(), 2);
        }
        let other = Client::connect_as(&path, &User::new(1002));
        assert_eq!(mode_of(&other.get(&["both"], 0).fds[0]), RO);
        assert_eq!(other.get(&["both"], WRITE).status, 2);
        let refused = Client::connect_as(&path, &User::new(1003));
        assert_eq!(refused.receive().expect("the end").bytes, b"");
    }
    let client = Client::connect(&path);
    client.remove(&["both", "link", "prog", "ro", "wo"]);
    assert_eq!(agent.stop().status, 0);
    assert_eq!(std::fs::read_dir(&state).unwrap().count(), 0);
}
