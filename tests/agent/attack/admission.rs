//! Users that no rule names get no connection, and so leave all of them to others.

use crate::common::agent::*;
use crate::common::*;
use crate::support::attacker::*;
use crate::support::peers::*;

#[test]
fn users_without_a_rule_hold_no_connection() {
    let lab = Lab::new();
    let (mut agent, path) = serve_all(&lab, &["--max-clients", "4"], &["*:uid=1001:list"]);
    let root = Client::connect(&path);
    root.list();
    let before = agent.fds();
    let mut refused = Vec::new();
    for n in 0..60 {
        let uid = 3001 + n % 3;
        refused.push(Client::connect_as(&path, &User::new(uid)));
        let line = agent.line("connect: refused");
        assert!(line.starts_with(&format!("bpf-agent: uid {uid} gid {uid} pid ")), "{line}");
        assert!(line.ends_with(": connect: refused: no rule matches"), "{line}");
    }
    agent.await_fds(0, &before);
    let named = Client::connect_as(&path, &User::new(1001));
    assert_eq!((named.list(), root.list()), (vec![], vec![]));
    assert_eq!(Client::connect(&path).list(), []);
    for client in refused {
        assert!(client.receive().map_or(true, |end| end.bytes.is_empty()));
    }
}

#[test]
fn users_without_a_rule_that_connect_delay_no_connection() {
    let lab = Lab::new();
    let (agent, path) = serve_all(&lab, &["--max-clients", "4"], &["*:uid=1001:list"]);
    let root = Client::connect(&path);
    root.list();
    let before = agent.fds();
    let connect = || drop(Client::try_connect(&path));
    let attackers: Vec<Attacker> =
        (0..8).map(|n| Attacker::start(&User::new(3001 + n), connect)).collect();
    for _ in 0..50 {
        assert_eq!(Client::connect_as(&path, &User::new(1001)).list(), []);
        assert_eq!(Client::connect(&path).list(), []);
        // Those that are accepted at a time are dropped before the next ones.
        let more = agent.fds().difference(&before);
        assert!(more <= 20, "{}", agent.fds().describe_new(&before));
    }
    drop(attackers);
    await_backlog(&path);
    agent.await_fds(0, &before);
    assert_eq!(root.list(), []);
    assert_eq!(stop(agent).status, 0);
}
