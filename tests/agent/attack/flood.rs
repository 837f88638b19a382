//! More fds than an agent could close, from users without any permission.

use crate::common::agent::*;
use crate::common::fds::new_map;
use crate::common::*;
use crate::support::attacker::*;
use crate::support::peers::*;
use crate::support::supervisor::Supervisor;
use crate::{alone, await_end, lingering, listening};
use std::os::fd::AsFd;

/// Connections that are yet to be dropped, at most, and the fds of the children that hold others.
const MAX_DISCARDED: usize = 128 + 16;
const MAX_CHILD_FDS: usize = 2 * (16 + 16);

#[test]
fn flood_of_fds_neither_fills_the_table_nor_delays_puts() {
    let _alone = alone();
    let lab = Lab::new();
    let supervisor = Supervisor::new(&lab);
    let path = lab.path("agent");
    let listener = listening(&path);
    let rules = ["-q", "--allow", "*:uid=1001:list,put,remove", "--allow", "*:gid=50:list"];
    let agent = supervisor.start(&lab, &rules, &[("agent", &listener)]);
    pass_rights(&listener);
    let root = Client::connect(&path);
    let user = Client::connect_as(&path, &User::new(1001));
    assert_eq!((root.list(), user.list()), (vec![], vec![]));
    let before = agent.fds();
    let marker = std::fs::File::open("/dev/full").expect("a device");
    let fds = vec![marker.as_fd(); 200];
    let flood = |uid, gid| {
        Attacker::start(&User { gid, ..User::new(uid) }, || {
            let Ok(client) = Client::try_connect(&path) else { return };
            let request = packet(LIST, 0, 3, &string(""));
            while client.send(&request, &fds).is_ok() {}
        })
    };
    // No rule names some of them; others may list, but not attach fds.
    let attackers: Vec<Attacker> =
        (0..8).map(|n| flood(3000 + n, if n % 2 == 0 { 50 } else { 51 })).collect();
    for round in 0..100 {
        let map = new_map("root");
        done(root.put("root", map.as_fd()));
        done(user.put("user", map.as_fd()));
        user.remove(&["user"]);
        done(Client::connect(&path).ask(REMOVE, 0, &string("root"), &[]));
        let open = agent.fds();
        let more = open.difference(&before);
        assert!(more <= (MAX_DISCARDED + MAX_CHILD_FDS) as isize, "{round}: {more}");
        assert!(!open.describe_new(&before).contains("/dev/full"), "{round}");
        assert_eq!(threads(agent.pid()), 1);
    }
    drop(attackers);
    agent.await_fds(0, &before);
    await_end(&agent);
    assert_eq!(stop(agent).status, 0);
}

#[test]
fn lingering_fds_with_a_full_fd_table_delay_no_client() {
    let _alone = alone();
    let lab = Lab::new();
    let (agent, path) = serve_all(&lab, &[], &["*:uid=1002:put"]);
    let client = Client::connect_as(&path, &User::new(1002));
    client.ask(INFO, 0, &string("x"), &[]);
    let root = Client::connect(&path);
    root.list();
    // No number below it is free.
    let limit = libc::rlimit { rlim_cur: 3, rlim_max: 3 };
    let pid = agent.pid() as i32;
    // SAFETY: a limit to read, and none to write.
    let done =
        unsafe { libc::prlimit(pid, libc::RLIMIT_NOFILE, &raw const limit, std::ptr::null_mut()) };
    assert_eq!(done, 0);
    let (ours, _theirs) = lingering();
    let put = packet(PUT, 0, 3, &strings(&["x", ""]));
    for fds in [&[ours.as_fd(), ours.as_fd()][..], &[ours.as_fd()]] {
        // The agent may have ended the connection.
        let _ = client.send(&put, fds);
    }
    drop(ours);
    assert_eq!(refusal(client.answer(3, false)), (9, "too many open files".into()));
    for _ in 0..5 {
        assert_eq!(root.list(), []);
    }
    assert_eq!(stop(agent).status, 0);
    assert!(!path.exists());
}
