//! Requests that are refused or granted: the answers to the client and the lines of the log; and
//! clients of other user namespaces.

use crate::common::agent::*;
use crate::common::fds::*;
use crate::common::features::{Feature, ROOT_OF_A_USER_NAMESPACE};
use crate::common::*;
use crate::needs;
use crate::support::peers::*;
use std::os::fd::AsFd;

#[test]
fn refusal_names_the_rules_that_do_not_permit() {
    let lab = Lab::new();
    let rules = ["h*:uid=1001:list,put", "*s:gid=1001:read", "q*:uid=1001:read,write"];
    let (mut agent, path) = serve_all(&lab, &[], &rules);
    let (root, user) = (Client::connect(&path), Client::connect_as(&path, &User::new(1001)));
    let (map, prog) = (new_map("map"), open_pin(&pin_program("prog")));
    done(root.put("hits", map.as_fd()));
    done(root.put("q", open_pin_with(&lab.array("ro", 1), 8).as_fd()));
    done(root.put("qp", prog.as_fd()));
    let both = "not allowed by rule h*:uid=1001:list,put and rule *s:gid=1001:read";
    let only = "not allowed by rule h*:uid=1001:list,put";
    for (operation, flags, body, logged, want) in [
        (GET, WRITE, string("hits"), "get \"hits\"", format!("write of \"hits\": {both}")),
        (GET, 0, string("help"), "get \"help\"", format!("read of \"help\": {only}")),
        (REMOVE, 0, string("hits"), "remove \"hits\"", format!("remove of \"hits\": {both}")),
        (
            PUT,
            REPLACE,
            strings(&["h\u{1b}", ""]),
            "",
            "a name holds '/', '=', ',' or a control byte".into(),
        ),
        (
            PUT,
            REPLACE,
            strings(&["help", ""]),
            "put \"help\"",
            format!("put,remove of \"help\": {only}"),
        ),
        (
            REMOVE,
            0,
            string("h\u{9b}"),
            "remove \"h\\u{9b}\"",
            format!("remove of \"h\\u{{9b}}\": {only}"),
        ),
        (GET, WRITE, string("q"), "get \"q\"", "\"q\" was put with access r, not w".into()),
        (
            GET,
            READ,
            string("qp"),
            "get \"qp\"",
            "\"qp\" is a prog, which has no file descriptor with access r alone".into(),
        ),
        (INFO, 0, string("x"), "info \"x\"", "list of \"x\": no rule for uid 1001 matches".into()),
        (
            WAIT,
            0,
            [&[0; 4][..], &strings(&["hits", "x"])].concat(),
            "wait for \"x\"",
            "list of \"x\": no rule for uid 1001 matches".into(),
        ),
    ] {
        let (status, reason) = refusal(user.ask(operation, flags, &body, &[]));
        let malformed = logged.is_empty();
        assert_eq!((status, &reason), (if malformed { 1 } else { 2 }, &want));
        let line = agent.line(&format!(": refused: {want}"));
        let logged = if malformed { "request" } else { logged };
        assert!(
            line.starts_with("bpf-agent: uid 1001 gid 1001 pid ")
                && line.contains(&format!(": {logged}: refused: ")),
            "{line}"
        );
    }
}

/// The kernel takes the credentials of the thread.
fn connect_in_thread(path: &std::path::Path, uid: u32) -> Client {
    let path = path.to_owned();
    let thread = std::thread::spawn(move || {
        // SAFETY: no pointers. The call itself, not the C library's, changes this thread alone.
        assert_eq!(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) }, 0);
        Client::connect(&path)
    });
    thread.join().expect("connected")
}

#[test]
fn log_has_the_client_the_operation_and_the_rule() {
    needs!(Feature::PeerPidfd);
    let lab = Lab::new();
    let (mut agent, path) = serve_all(&lab, &[], &["hits:uid=1001:read,list", "*:uid=1001:list"]);
    let map = new_map("map");
    let (id, pid) = (id_of(&map), std::process::id());
    let (root, user) = (Client::connect(&path), connect_in_thread(&path, 1001));
    done(root.put("hits", map.as_fd()));
    let line = agent.line("put");
    assert_eq!(line, format!("bpf-agent: uid 0 gid 0 pid {pid}: put \"hits\": stored map {id} rw"));
    assert_eq!(user.get(&["hits"], 0).fds.len(), 1);
    let by = "rule hits:uid=1001:list,read and rule *:uid=1001:list";
    let want = format!("bpf-agent: uid 1001 gid 0 pid {pid}: get \"hits\": granted r by {by}");
    assert_eq!(agent.line("get"), want);
    assert_eq!(root.get(&["hits"], 0).fds.len(), 1);
    let want =
        format!("bpf-agent: uid 0 gid 0 pid {pid}: get \"hits\": granted rw by the default rule");
    assert_eq!(agent.line("get"), want);
    // A refusal is logged with the name of the client's program, if the client still runs.
    let comm = std::fs::read_to_string("/proc/self/comm").unwrap();
    let refused = refusal(user.ask(REMOVE, 0, &string("hits"), &[])).1;
    let want = format!(
        "bpf-agent: uid 1001 gid 0 pid {pid} comm \"{}\": remove \"hits\": refused: {refused}",
        comm.trim_end()
    );
    assert_eq!(agent.line("remove"), want);
    user.list();
    let want = format!("bpf-agent: uid 1001 gid 0 pid {pid}: list \"*\": granted what it may see");
    assert_eq!(agent.line("list \"*\""), want);
    done(root.ask(REMOVE, 0, &string("hits"), &[]));
    let want = format!("bpf-agent: uid 0 gid 0 pid {pid}: remove \"hits\": removed");
    assert_eq!(agent.line("remove"), want);
    let end = agent.stop();
    assert_eq!((end.status, end.stderr.as_str()), (0, "bpf-agent: ends\n"));
}

#[test]
fn quiet_log_has_changes_and_refusals() {
    let lab = Lab::new();
    let (agent, path) = serve_all(&lab, &["-q"], &["other:uid=65534:list"]);
    let (root, nobody) = (Client::connect(&path), Client::connect_as(&path, &User::new(65534)));
    root.list();
    done(root.put("hits", new_map("quiet").as_fd()));
    assert_eq!(root.get(&["hits"], 0).fds.len(), 1);
    done(root.ask(INFO, 0, &string("hits"), &[]));
    assert_eq!(refusal(nobody.get(&["hits"], 0)).0, 2);
    done(root.ask(REMOVE, 0, &string("hits"), &[]));
    let log = agent.stop().stderr;
    let lines: Vec<&str> = log
        .lines()
        .map(|line| line.split(": ").nth(if line.contains(" uid ") { 2 } else { 1 }).unwrap())
        .collect();
    assert_eq!(lines, ["put \"hits\"", "get \"hits\"", "remove \"hits\"", "ends"]);
}

#[test]
fn root_of_another_user_namespace_is_an_ordinary_user() {
    needs!(Feature::UserNamespace);
    let lab = Lab::new();
    let (mut agent, path) =
        serve_all(&lab, &[], &["hits:uid=1001:list,read", "other:uid=1002:list"]);
    done(Client::connect(&path).put("hits", new_map("apart").as_fd()));
    for (uid, seen) in [(1001, &["hits"][..]), (1002, &[])] {
        let user = User { apart: true, ..User::new(uid) };
        let client = Client::connect_as(&path, &user);
        assert_eq!(names(&client.list()), seen);
        let (status, reason) = refusal(client.ask(REMOVE, 0, &string("hits"), &[]));
        assert_eq!(status, 2, "{reason}");
        let line = agent.line("remove \"hits\": refused");
        assert!(line.starts_with(&format!("bpf-agent: uid {uid} gid {uid} pid ")), "{line}");
    }
    assert_eq!(Client::connect(&path).list().len(), 1);
}

#[test]
fn outer_root_is_unmapped_in_a_user_namespace() {
    needs!(Feature::UserNamespace);
    let lab = Lab::new();
    let binary = lab.reachable("bpf-agent");
    let words = ["--socket", "agent", "--socket-mode", "0666", "--allow", "*:uid=65534:list"];
    let mut command = wrapped(&ROOT_OF_A_USER_NAMESPACE, &lab.program(&binary, words));
    let mut agent = Agent::start(&mut command);
    let path = lab.path("agent");
    // Its own user is root there.
    let own = Client::connect_as(&path, &User::new(1001));
    done(own.put("hits", new_map("within").as_fd()));
    assert!(agent.line("put \"hits\": ").starts_with("bpf-agent: uid 0 gid 0 pid "));
    let root = Client::connect(&path);
    assert_eq!(names(&root.list()), ["hits"]);
    assert_eq!(refusal(root.get(&["hits"], 0)).0, 2);
    assert!(agent.line("get \"hits\": ").starts_with("bpf-agent: uid 65534 gid 65534 pid "));
}
