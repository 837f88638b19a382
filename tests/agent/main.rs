//! `bpf-agent`, its clients in the other programs, and `examples/agent.py`.

#[path = "../common/mod.rs"]
mod common;
mod support;

mod access;
mod activation;
mod apart;
mod attack;
mod bounds;
mod client;
mod clock;
mod crash;
mod exec;
mod faults;
mod foreign;
mod hostile;
mod idle;
mod kept;
mod many;
mod map;
mod pins;
mod private_socket;
mod protocol;
mod put_inherited;
mod put_program;
mod python;
mod reach;
mod reattach;
mod refusals;
mod rules;
mod several;
mod share;
mod socket;
mod sockets;
mod start;
mod state;
mod systemd;
mod wait;
mod wait_change;
