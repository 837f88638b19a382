//! The received maps: their numbers, access modes, and the bytes of the datagrams.

use super::*;
use crate::common::fds::*;
use crate::common::receiver::{receive, receiver};
use crate::common::waiting::Waiting;
use crate::common::*;
use nix::fcntl::OFlag;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

#[test]
fn tc_and_bpf_exec_receive_maps_with_btf() {
    let lab = Lab::new();
    let (plain, socket) = (lab.array("plain", 1), lab.path("uds"));
    let object = fixture("types.bpf.o");
    let load = ["prog", "loadall", &object, "/sys/fs/bpf/progs", "type", "tc", "pinmaps"];
    bpftool(&[&load[..], &["/sys/fs/bpf/maps"]].concat());
    let typed = Path::new("/sys/fs/bpf/maps/t_task");
    let json = stdout_of(&mut lab.map(["show", "--json", text(typed)]));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert!(json["btf_id"].as_u64().unwrap() > 0, "a map with BTF");
    let before = lab.files();
    let want = format!("7 {}\n8 {}\n2 maps\n", map_id(&plain), map_id(typed));
    for mut command in receivers(&lab, &socket, REPORT) {
        let waiting = Waiting::start(&mut command, &[&socket]);
        let mut send = lab.map(["send", "--first-id", "7"]);
        assert_eq!(stdout_of(send.args([&plain, typed]).arg(&socket)), "");
        assert_eq!(waiting.stdout(), want, "{command:?}");
        assert_eq!(lab.files(), before, "{command:?}");
    }
}

#[test]
fn all_maps_arrive_with_their_numbers_and_values() {
    let lab = Lab::new();
    let (socket, before) = (lab.path("uds"), lab.files());
    for count in [1, 64, 65, 300] {
        let maps: Vec<OwnedFd> = (0..count).map(|_| new_map("sent")).collect();
        let references = by_ids(&maps);
        let set = |(i, map): (usize, &String)| format!("set {map} 0 {}\n", 1000 + i);
        let lines: String = references.iter().enumerate().map(set).collect();
        std::fs::write(lab.path("lines"), lines).unwrap();
        stdout_of(&mut lab.map(["batch", "lines"]));
        // The values of map 5 and of the maps after it, up to the first number without a map.
        let script = "i=5; while eval fd=\\${BPF_MAP$i-}; [ \"$fd\" ]; do echo get $fd 0; i=$((i+1)); done \
                      | bpf-map batch; echo $BPF_NUM_MAPS maps";
        std::fs::remove_file(lab.path("lines")).unwrap();
        let [_, mut command] = receivers(&lab, &socket, script);
        let waiting = Waiting::start(&mut command, &[&socket]);
        let mut send = lab.map(["send", "--first-id=5"]);
        // The soft limit is raised.
        let mut send = wrapped(&["prlimit", "--nofile=32:"], send.args(&references).arg("uds"));
        let sent = run(&mut send);
        let stderr = match count > 64 {
            true => {
                format!("bpf-map: warning: uds: {count} maps, but tc receives only the first 64\n")
            }
            false => String::new(),
        };
        assert_eq!(sent, Run { status: 0, stdout: String::new(), stderr });
        let values: String = (0..count).map(|i| format!("{}\n", 1000 + i)).collect();
        assert_eq!(waiting.stdout(), format!("{values}{count} maps\n"));
        assert_eq!(lab.files(), before);
        let ids: Vec<u32> = maps.iter().map(id_of).collect();
        drop(maps);
        for id in ids {
            eventually(&format!("the end of map {id}"), || !map_exists(id));
        }
    }
}

/// The datagram of the manual: its bytes, put together from their offsets.
fn datagram(total: u16, object: &str, process: u32, entries: &[[u32; 6]]) -> Vec<u8> {
    let mut bytes = vec![0; 88 + 36 * entries.len()];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(0, &1u16.to_ne_bytes());
    put(2, &total.to_ne_bytes());
    put(4, object.as_bytes());
    put(80, &u64::from(process).to_ne_bytes());
    for (i, entry) in entries.iter().enumerate() {
        for (j, word) in entry.iter().enumerate() {
            put(88 + 36 * i + 4 * j, &word.to_ne_bytes());
        }
    }
    bytes
}

#[test]
fn datagram_has_the_format_of_tc() {
    let lab = Lab::new();
    let path = lab.path("uds");
    let socket = receiver(&path);
    // Type, key size, value size, max entries, flags: as enum bpf_map_type and BPF_F_* have them.
    let kinds = [
        ("a=array,value=u64,entries=3,flags=MMAPABLE", [2, 4, 8, 3, 1024]),
        ("h=hash,key=char[16],value=u32,entries=100,flags=NO_PREALLOC", [1, 16, 4, 100, 1]),
        ("l=lpm_trie,key=lpm{ip4},value=u8,entries=7", [11, 8, 1, 7, 1]),
        ("q=queue,value=hex[12],entries=5", [22, 0, 12, 5, 0]),
    ];
    let longest = "n".repeat(63);
    for (name, first) in
        [("", 0), ("flows=", 9), (&format!("{longest}="), u32::MAX - 3), ("ähm=", 1 << 31)]
    {
        let mut command = lab.exec(kinds.iter().flat_map(|(spec, _)| ["--create", spec]));
        command.args(["--", "bpf-map", "send", "--first-id", &first.to_string()]);
        command.args(["a", &format!("{name}h"), "l", &format!("{name}q"), "uds"]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // bpf-exec becomes bpf-map.
        let process = child.id();
        assert_eq!(
            Run::from(child.wait_with_output().unwrap()),
            Run { status: 0, stdout: String::new(), stderr: String::new() }
        );
        let entries: Vec<[u32; 6]> = (first..=u32::MAX)
            .zip(&kinds)
            .map(|(id, (_, [kind, key, value, entries, flags]))| {
                [*kind, *key, *value, *entries, *flags, id]
            })
            .collect();
        let object = if name.is_empty() { "bpf-map" } else { name.trim_end_matches('=') };
        let (bytes, fds) = receive(&socket).expect("a datagram");
        assert_eq!(bytes, datagram(4, object, process, &entries), "{name}");
        assert_eq!(fds.len(), 4, "{name}");
        for (fd, (spec, [kind, ..])) in fds.iter().zip(&kinds) {
            let info = format!("/proc/self/fdinfo/{}", fd.as_raw_fd());
            let info = std::fs::read_to_string(info).unwrap();
            assert!(info.contains(&format!("map_type:\t{kind}\n")), "{spec}: {info}");
            assert_eq!(access(fd), OFlag::O_RDWR, "{spec}");
        }
        assert!(receive(&socket).is_none(), "one datagram alone");
    }
}

#[test]
fn each_datagram_has_the_header_and_at_most_64_maps() {
    let lab = Lab::new();
    let path = lab.path("uds");
    let socket = receiver(&path);
    let map = new_map("sent");
    let references = vec![format!("id:{}", id_of(&map)); 129];
    let mut command = lab.map(["send"]);
    command.args(&references).arg(&path);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let process = child.id();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    for ids in [0..64, 64..128, 128..129] {
        let entries: Vec<[u32; 6]> = ids.map(|id| [ARRAY, 4, 8, 1, 0, id]).collect();
        let (bytes, fds) = receive(&socket).expect("a datagram");
        assert_eq!(bytes, datagram(129, "bpf-map", process, &entries));
        assert_eq!(fds.len(), entries.len());
        assert!(fds.iter().all(|fd| id_of(fd) == id_of(&map)));
    }
    assert!(receive(&socket).is_none(), "three datagrams");
}

#[test]
fn inherited_fds_keep_their_access_and_new_ones_can_write() {
    let lab = Lab::new();
    let path = lab.path("uds");
    let socket = receiver(&path);
    // Other tests have pins too, and the kernel's names of maps are those of the whole machine.
    let name = unique("send");
    let pin = lab.array(&name, 1);
    let id = format!("id:{}", map_id(&pin));
    let sent = |command: &mut Command| {
        assert_eq!(stdout_of(command), "");
        let (_, fds) = receive(&socket).expect("a datagram");
        fds.iter().map(access).collect::<Vec<OFlag>>()
    };
    let inherited = |option: &[&str], send: &[&str]| {
        let mut command = lab.exec(option);
        command.args(["--pin", text(&pin), "--create", "w=array,value=4,entries=1,flags=WRONLY"]);
        command.args(["--", "bpf-map", "send"]).args(send).arg("uds");
        command
    };
    let (rw, r, w) = (OFlag::O_RDWR, OFlag::O_RDONLY, OFlag::O_WRONLY);
    let (by_name, inherited_name) = (format!("name:{name}"), format!("env:{name}"));
    let opened = [text(&pin), &id, &by_name];
    assert_eq!(sent(lab.map(["send"]).args(opened).arg("uds")), [rw; 3]);
    assert_eq!(sent(lab.map(["send", "--read-only"]).args(opened).arg("uds")), [r; 3]);
    assert_eq!(sent(lab.map(["send"]).args(opened).args(["uds", "-r"])), [r; 3]);
    assert_eq!(sent(&mut inherited(&[], &[&name, "w", &inherited_name, "65"])), [rw, w, rw, w]);
    assert_eq!(sent(&mut inherited(&[], &[&name, "w", "-r"])), [r; 2]);
    let only = ["-r", "--pin", text(&pin), "--", "bpf-map", "send", &name, "uds"];
    assert_eq!(sent(&mut lab.exec(only)), [r]);
}

#[test]
fn map_sent_read_only_cannot_be_written() {
    let lab = Lab::new();
    let (pin, socket) = (lab.array("pinned", 1), lab.path("uds"));
    let script = "bpf-map get $BPF_MAP0 0; bpf-map set $BPF_MAP0 0 1 2>&1; echo $?";
    let [_, mut command] = receivers(&lab, &socket, script);
    let waiting = Waiting::start(&mut command, &[&socket]);
    stdout_of(&mut lab.map(["send", "--read-only", text(&pin), "uds"]));
    let refused = "0\nbpf-map: 64: set: operation not permitted (the descriptor is read-only)\n2\n";
    assert_eq!(waiting.stdout(), refused);
    let waiting = Waiting::start(&mut command, &[&socket]);
    stdout_of(&mut lab.map(["send", text(&pin), "uds"]));
    assert_eq!(waiting.stdout(), "0\n0\n");
}

#[test]
fn unprivileged_read_only_send_needs_a_readable_pin() {
    let lab = Lab::new();
    let path = lab.path("uds");
    let socket = receiver(&path);
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o666)).unwrap();
    let (pin, map) = (lab.array("pinned", 1), lab.reachable("bpf-map"));
    let mut command = lab.exec(["--pin", text(&pin), "--"]);
    command.args(NOBODY).args([&map, "send", "--read-only", "pinned", "uds"]);
    let line =
        "bpf-map: pinned: open read-only: CAP_SYS_ADMIN or a readable pin of the map is needed";
    fails(&mut command, 2, line);
    assert!(receive(&socket).is_none());
    std::fs::set_permissions("/sys/fs/bpf", PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::set_permissions(&pin, PermissionsExt::from_mode(0o644)).unwrap();
    stdout_of(&mut command);
    let (_, fds) = receive(&socket).expect("a datagram");
    assert_eq!(fds.iter().map(access).collect::<Vec<_>>(), [OFlag::O_RDONLY]);
}

#[test]
fn sending_leaves_no_descriptor_open() {
    let lab = Lab::new();
    let socket = receiver(&lab.path("uds"));
    let before = lab.files();
    let pin = lab.array("pinned", 1);
    let line = format!("send {0} {0} {0} {0} uds\nsend -r {0} 3 uds\n", text(&pin));
    let mut child = wrapped(&["prlimit", "--nofile=16"], &lab.map(["batch", "--keep-going", "-"]))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut answers = BufReader::new(child.stdout.take().unwrap());
    for _ in 0..20 {
        input.write_all(line.as_bytes()).unwrap();
        // An empty line answers each.
        for _ in 0..2 {
            let mut answer = String::new();
            answers.read_line(&mut answer).unwrap();
            assert_eq!(answer, "\n");
        }
        let (_, fds) = receive(&socket).expect("a datagram");
        assert_eq!(fds.len(), 4);
        assert!(receive(&socket).is_none(), "the second line fails");
    }
    drop(input);
    let run = Run::from(child.wait_with_output().unwrap());
    assert_eq!(run.status, 2);
    std::fs::remove_file(&pin).unwrap();
    assert_eq!(lab.files(), before);
}
