//! `bpf-map dump`, `keys`, `count`, `del` and `clear`: output, deletion and refusals.

mod formats;
mod refused;
mod remove;
mod sort;

use crate::common::{BPFFS, Lab, bpftool, stdout_of};
use std::process::Command;

/// Makes a map pinned at NAME, by bpftool.
fn create(name: &str, words: &str) -> String {
    let pin = format!("{BPFFS}/{name}");
    let mut arguments = vec!["map", "create", &pin, "name", name, "type"];
    arguments.extend(words.split(' '));
    bpftool(&arguments);
    pin
}

fn hash(name: &str) -> String {
    create(name, "hash key 4 value 8 entries 10")
}

fn set(lab: &Lab, arguments: &[&str]) {
    assert_eq!(stdout_of(&mut lab.map([&["set"], arguments].concat())), "");
}

/// What `dump` prints of a map, with further arguments.
fn dump(lab: &Lab, arguments: &[&str]) -> String {
    stdout_of(&mut lab.map([&["dump"], arguments].concat()))
}

/// Flows with a key and a value of several fields, in no order.
const FLOW: [&str; 2] = [
    "--key=struct{ip: ip4, port: u16, pad[2]}",
    "--value=struct{packets: u64, bytes: u64, name: char[8]}",
];

fn flows(lab: &Lab) -> String {
    let pin = create("flows", "hash key 8 value 24 entries 8");
    for (key, value) in [
        ("ip=10.0.0.1 port=80", r#"packets=3 bytes=300 name=web"#),
        ("ip=10.0.0.2 port=53", r#"packets=9 bytes=90 name="a,b \"c\"""#),
        ("ip=10.0.0.3 port=22", r#"packets=1 bytes=1000 name=ssh"#),
    ] {
        set(lab, &[&pin, key, value, FLOW[0], FLOW[1]]);
    }
    pin
}

/// `command`, with a duplicate of one of our descriptors as 70.
fn inheriting(fd: i32, command: &mut Command) -> Command {
    let mut wrapped = crate::common::wrapped(&["env"], command);
    use std::os::unix::process::CommandExt;
    // SAFETY: a system call without pointers.
    unsafe {
        wrapped.pre_exec(move || match libc::dup2(fd, 70) {
            -1 => Err(std::io::Error::last_os_error()),
            _ => Ok(()),
        });
    }
    wrapped
}

fn map_id_of(fd: &std::os::fd::OwnedFd) -> u32 {
    use std::os::fd::AsFd;
    bpf_inherit::bpf::map_info(fd.as_fd()).unwrap().id
}
