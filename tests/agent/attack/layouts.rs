//! Long layouts: they are stored in canonical text, and their bytes are limited.

use crate::common::agent::*;
use crate::common::fds::new_map;
use crate::common::*;
use crate::support::peers::*;
use std::os::fd::AsFd;

const LAYOUT: &str = "u32 -> u64";
/// The limit of all users; trusted peers have 2 MiB more.
const MAX_BYTES: usize = 14 << 20;

#[test]
fn blanks_of_a_layout_are_not_stored() {
    let lab = Lab::new();
    let (_agent, path) = serve_all(&lab, &["-q"], &["*:uid=1002:put,list"]);
    let client = Client::connect_as(&path, &User::new(1002));
    let map = new_map("blank");
    let layout = format!("{LAYOUT}{}", " ".repeat(65536 - LAYOUT.len()));
    for n in 0..1100 {
        let name = format!("n{n:04}");
        let put = client.ask(PUT, 0, &strings(&[&name, &layout]), &[map.as_fd()]);
        assert_eq!(done(put)[0].layout, LAYOUT);
    }
    let answer = Client::connect(&path).ask(LIST, LAYOUTS, &string(""), &[]);
    assert!(answer.records.iter().all(|record| record.layout == LAYOUT));
    assert!(answer.packets < 16, "{}", answer.packets);
    let listed = stdout_of(&mut lab.map(["agent", "--socket", "agent"]));
    assert_eq!(listed.lines().filter(|line| line.contains("n1099")).count(), 1, "{listed}");
}

#[test]
fn layouts_of_users_leave_bytes_for_root() {
    let lab = Lab::new();
    let rules = ["*:uid=1002:put,list", "*:uid=1003:put,list"];
    let (agent, path) = serve_all(&lab, &["-q"], &rules);
    let map = new_map("long");
    let layout = format!("u32 -> struct {{ {}: u64 }}", "x".repeat(65000));
    let put = |client: &Client, name: &str| {
        client.ask(PUT, 0, &strings(&[name, &layout]), &[map.as_fd()])
    };
    let before = kilobytes(&agent, "VmHWM:");
    let mut shares = Vec::new();
    for uid in [1002, 1003] {
        let client = Client::connect_as(&path, &User::new(uid));
        let full = (0..500).find_map(|n| {
            let answer = put(&client, &format!("{uid}-{n:03}"));
            (answer.status != 0).then(|| (n, refusal(answer)))
        });
        let (count, (status, reason)) = full.expect("an end");
        assert_eq!(status, 6, "{reason}");
        assert!(reason.starts_with(&format!("uid {uid} has its share of {MAX_BYTES} bytes")));
        shares.push(count * layout.len());
    }
    // The second user has half of what the first one left.
    assert!(shares[0] <= MAX_BYTES / 2 && shares[1] <= MAX_BYTES / 4, "{shares:?}");
    assert!(shares[1] + layout.len() >= MAX_BYTES / 4, "{shares:?}");
    let root = Client::connect(&path);
    assert_eq!(put(&root, "root").status, 0);
    // With all layouts, and without them.
    assert_eq!(root.list().len(), (shares[0] + shares[1]) / layout.len() + 1);
    let short = root.ask(LIST, 0, &string(""), &[]);
    assert!(short.records.iter().all(|record| record.layout.is_empty()));
    let listed = stdout_of(&mut lab.map(["agent", "--socket", "agent"]));
    assert_eq!(listed.lines().filter(|line| line.contains("root")).count(), 1);
    // No copy of the whole list is made, and layouts have no spare capacity.
    let more = kilobytes(&agent, "VmHWM:") - before;
    assert!(more < 2 * MAX_BYTES / 1024, "{more} kB");
}

/// A field of the status of an agent, in kB.
fn kilobytes(agent: &Agent, field: &str) -> usize {
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", agent.pid())).expect("a process");
    let value = status.lines().find_map(|line| line.strip_prefix(field)).expect("a field");
    value.trim().trim_end_matches(" kB").parse().expect("a number")
}
