//! The file of rules: what is read at the start and on SIGHUP, and what is refused.

use crate::common::agent::*;
use crate::common::fds::*;
use crate::common::*;
use crate::support::peers::*;
use nix::sys::signal::Signal;
use std::os::fd::AsFd;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;

fn write(lab: &Lab, text: impl AsRef<[u8]>) -> PathBuf {
    let path = lab.path("rules");
    std::fs::write(&path, text).unwrap();
    chmod(&path, 0o644);
    path
}

fn chmod(path: &PathBuf, mode: u32) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

const FORM: &str = "not of the form GLOB:uid=N:PERMISSIONS or GLOB:gid=N:PERMISSIONS";

#[test]
fn rules_of_the_file_are_added_to_those_of_the_command_line() {
    let lab = Lab::new();
    write(
        &lab,
        "# who may see what\n\n  hits:uid=1001:list  \r\n#x:uid=1001:list\n\tfilter.o#*:gid=1001:list\n\nlast:uid=1001:list",
    );
    let (mut agent, path) = serve_all(&lab, &["--rules", "rules"], &["given:uid=1001:list"]);
    let (root, user) = (Client::connect(&path), Client::connect_as(&path, &User::new(1001)));
    let map = new_map("ruled");
    for name in ["filter.o#1", "given", "hits", "last", "new", "x"] {
        done(root.put(name, map.as_fd()));
    }
    assert_eq!(names(&user.list()), ["filter.o#1", "given", "hits", "last"]);
    // The file is read again on SIGHUP only.
    write(&lab, "new:uid=1001:list\n");
    assert_eq!(user.list().len(), 4);
    agent.signal(Signal::SIGHUP);
    assert_eq!(agent.line("rules"), "bpf-agent: rules reloaded");
    assert_eq!(names(&user.list()), ["given", "new"]);
    // An empty file takes away all but those of the command line.
    write(&lab, "");
    agent.signal(Signal::SIGHUP);
    agent.line("rules reloaded");
    assert_eq!(names(&user.list()), ["given"]);
}

#[test]
fn unreadable_rules_on_sighup_change_nothing() {
    let lab = Lab::new();
    let file = write(&lab, "hits:uid=1001:list\n");
    let (mut agent, path) = serve_all(&lab, &["--rules", "rules"], &[]);
    let (root, user) = (Client::connect(&path), Client::connect_as(&path, &User::new(1001)));
    done(root.put("hits", new_map("ruled").as_fd()));
    root.list();
    let before = agent.fds();
    let mut refused = |why: &str| {
        agent.signal(Signal::SIGHUP);
        let want = format!("bpf-agent: rules unchanged: rules: {why}");
        assert_eq!(agent.line("rules "), want);
        assert_eq!(names(&user.list()), ["hits"]);
        agent.fds().assert_more(0, &before);
    };
    write(&lab, "*:uid=1001:all\nx:uid=1001\n");
    refused(&format!("line 2: {FORM}"));
    write(&lab, "*:uid=1001:all\n");
    chmod(&file, 0o664);
    refused("read rules: others may write it: mode 0664");
    chmod(&file, 0o646);
    refused("read rules: others may write it: mode 0646");
    chmod(&file, 0o644);
    chown(&file, Some(1001), None).unwrap();
    refused("read rules: it belongs to uid 1001");
    std::fs::remove_file(&file).unwrap();
    refused("read rules: no such file or directory");
    std::fs::create_dir(&file).unwrap();
    refused("read rules: not a regular file");
    std::fs::remove_dir(&file).unwrap();
    // Reading it would not end.
    nix::unistd::mkfifo(&file, nix::sys::stat::Mode::from_bits_truncate(0o644)).unwrap();
    refused("read rules: not a regular file");
    std::fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &file).unwrap();
    refused("read rules: not a regular file");
    std::fs::remove_file(&file).unwrap();
    write(&lab, vec![b'#'; (1 << 20) + 1]);
    refused("read rules: longer than a mebibyte");
    write(&lab, b"\xff\x1b[2J:uid=x:all");
    refused("line 1: \"uid=x\": not uid=N or gid=N with a number N");
    write(&lab, "#");
    agent.signal(Signal::SIGHUP);
    agent.line("rules reloaded");
    assert_eq!(user.list(), []);
}

#[test]
fn sighup_without_a_file_changes_nothing() {
    let lab = Lab::new();
    let (mut agent, path) = serve_all(&lab, &[], &["hits:uid=1001:list"]);
    let (root, user) = (Client::connect(&path), Client::connect_as(&path, &User::new(1001)));
    done(root.put("hits", new_map("ruled").as_fd()));
    for _ in 0..3 {
        agent.signal(Signal::SIGHUP);
        agent.line("rules reloaded");
        assert_eq!(names(&user.list()), ["hits"]);
    }
    assert_eq!(agent.stop().status, 0);
}

#[test]
fn rules_that_are_wrong_at_the_start_are_one_line_and_status_2() {
    let lab = Lab::new();
    let refused = |options: &[&str], why: &str| {
        let words = ["--socket", "agent"].iter().chain(options);
        fails(&mut lab.agent(words), 2, &format!("bpf-agent: {why}"));
        assert!(!lab.path("agent").exists());
    };
    let file = write(&lab, "# one\n*:uid=1001:all\nhits:uid=1001:raed\n*:uid=1:all\n");
    let words = "not one of list, read, write, put, remove, all";
    refused(&["--rules", "rules"], &format!("rules: line 3: \"raed\": {words}"));
    refused(&["--rules", "none"], "none: read rules: no such file or directory");
    refused(&["--rules", "/dev/null"], "/dev/null: read rules: not a regular file");
    chmod(&file, 0o666);
    refused(&["--rules", "rules"], "rules: read rules: others may write it: mode 0666");
    refused(&["--allow", "x"], &format!("--allow x: {FORM}"));
    refused(
        &["--allow", "*:uid=1:list", "--allow", "a\n:uid=1:x"],
        &format!("--allow a\\n:uid=1:x: \"x\": {words}"),
    );
}

#[test]
fn waiting_client_is_refused_when_the_rules_change() {
    let lab = Lab::new();
    write(&lab, "*:uid=1001:list\n");
    let (mut agent, path) = serve_all(&lab, &["--rules", "rules"], &[]);
    let (root, user) = (Client::connect(&path), Client::connect_as(&path, &User::new(1001)));
    let wait = [&0u32.to_ne_bytes()[..], &string("late")].concat();
    user.list();
    user.send(&packet(WAIT, 0, 5, &wait), &[]).unwrap();
    // Requests of accepted clients are answered in the order in which they arrive.
    root.list();
    root.list();
    write(&lab, "*:uid=1001:read\n");
    agent.signal(Signal::SIGHUP);
    agent.line("rules reloaded");
    let refused = "list of \"late\": not allowed by rule *:uid=1001:read";
    assert_eq!(refusal(user.answer(5, false)), (2, refused.into()));
    done(root.put("late", new_map("late").as_fd()));
    assert_eq!(user.get(&["late"], READ).fds.len(), 1);
}

#[test]
fn get_follows_the_rules_at_the_time_of_each_packet() {
    let lab = Lab::new();
    write(&lab, "*:uid=1001:read\n");
    let (mut agent, path) = serve_all(&lab, &["--rules", "rules"], &[]);
    let (root, user) = (Client::connect(&path), Client::connect_as(&path, &User::new(1001)));
    done(root.put("hits", new_map("hits").as_fd()));
    user.send(&packet(GET, 0, 5, &strings(&["hits"; 254])), &[]).unwrap();
    agent.line("get \"hits\": granted");
    write(&lab, "");
    agent.signal(Signal::SIGHUP);
    agent.line("rules reloaded");
    let got = user.answer(5, true);
    assert_eq!((got.status, got.packets), (2, 2));
    // The time to make a packet is limited.
    assert!((1..=253).contains(&got.fds.len()), "{}", got.fds.len());
    assert_eq!(got.reason, "read of \"hits\": no rule for uid 1001 matches");
}
