//! The agent over its protocol.

mod common;

use common::agent::*;
use common::fds::{id_of, new_map};
use common::*;
use std::os::fd::AsFd;

#[test]
fn what_was_put_is_listed_and_handed_out() {
    let lab = Lab::new();
    let socket = lab.path("agent");
    let state = format!("{BPFFS}/agent");
    let mut agent = Agent::start(&mut lab.agent(["--socket", "agent", "--state", &state]));
    let client = Client::connect(&socket);
    let map = new_map("held");
    let put = client.put("hits", map.as_fd());
    assert_eq!((put.status, put.reason.as_str()), (0, ""));
    agent.line("put \"hits\"");
    let listed = client.list();
    assert_eq!(listed.iter().map(|r| r.name.as_str()).collect::<Vec<_>>(), ["hits"]);
    let got = client.get(&["hits"], 0);
    assert_eq!(id_of(&got.fds[0]), id_of(&map));
    assert_eq!(agent.stop().status, 0);
}
