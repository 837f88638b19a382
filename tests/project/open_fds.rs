//! The check for leaked file descriptors itself.

use crate::common::child::{Running, Start};
use crate::common::fds::{id_of, new_map};
use crate::common::open_fds::OpenFds;
use crate::common::*;
use std::os::fd::AsRawFd;

#[test]
fn leaked_fd_is_described_by_number_target_and_fdinfo() {
    let lab = Lab::new();
    let cat = |start: &Start| Running::cat(start, &mut lab.program("/usr/bin/cat", [""; 0]));
    let (clean, map) = (cat(&Start::default()), new_map("leaked"));
    let leaking = cat(&Start { given: vec![map.as_raw_fd()], ..Start::default() });
    let text = leaking.fds().describe_new(&clean.fds());
    let (leak, id) = ("fd 3: anon_inode:bpf-map\n    pos:\t0\n", id_of(&map));
    assert!(text.contains(leak) && text.contains(&format!("    map_id:\t{id}\n")), "{text}");
    clean.fds().assert_numbers(&[0, 1, 2], "clean");
    let failure = |check: &dyn Fn(&OpenFds)| {
        let check = std::panic::AssertUnwindSafe(|| check(&leaking.fds()));
        *std::panic::catch_unwind(check).unwrap_err().downcast::<String>().unwrap()
    };
    let numbers = failure(&|fds| fds.assert_numbers(&[0, 1, 2, 4], "leaking"));
    let want = "leaking: closed: [4], unexpected:\nfd 3: anon_inode:bpf-map\n";
    assert!(numbers.starts_with(want), "{numbers}");
    let count = failure(&|fds| fds.assert_more(0, &clean.fds()));
    assert!(count.contains(&format!("map_id:\t{id}\n")), "{count}");
}
