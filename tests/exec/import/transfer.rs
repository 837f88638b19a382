//! What the command gets, in which order and under which numbers.

use super::*;
use crate::common::fds::*;
use crate::common::sender::Datagram;
use crate::common::waiting::Waiting;
use crate::common::*;
use std::process::Command;

#[test]
fn tc_and_bpf_exec_pass_the_same_variables_and_maps() {
    let lab = Lab::new();
    let socket = lab.path("uds");
    let child = r#"
        env | grep -E '^BPF_(NUM_MAPS|MAP[0-9]+)=' | sort | while IFS='=' read -r name value; do
            case $name in
            BPF_NUM_MAPS) echo "$name=$value" ;;
            *) echo "$name" $(grep ^map_id: /proc/self/fdinfo/$value) ;;
            esac
        done"#;
    let sent = maps(2);
    let want = format!(
        "BPF_MAP3 map_id: {}\nBPF_MAP7 map_id: {}\nBPF_NUM_MAPS=2\n",
        id_of(&sent[0]),
        id_of(&sent[1])
    );
    let mut tc = Command::new("tc");
    tc.args(["exec", "bpf", "import"]).arg(&socket).args(["run", "sh", "-c", child]);
    let ours = import(&lab, &[], &socket, &["--", "sh", "-c", child]);
    for mut command in [tc, ours] {
        let waiting = Waiting::start(&mut command, &[&socket]);
        transfer(&socket, &sent, &[3, 7]);
        assert_eq!(waiting.stdout(), want, "{command:?}");
        assert!(!socket.exists(), "{command:?}");
    }
}

#[test]
fn hundred_maps_arrive_in_three_datagrams_in_order_of_ids() {
    let lab = Lab::new();
    let (socket, before) = (lab.path("uds"), lab.files());
    let sent = maps(100);
    let ids: Vec<u32> = (0..100).map(|i| 5000 - 7 * i).collect();
    let mut command = import(&lab, &[], &socket, &["--", "sh", "-c", REPORT]);
    let waiting = Waiting::start(&mut command, &[&socket]);
    for range in [0..40, 40..41, 41..100] {
        let entries = ids[range.clone()].iter().map(|&id| entry(id)).collect();
        Datagram { total: 100, ..Datagram::of(entries) }.send(&socket, &borrowed(&sent[range]));
    }
    let lines: Vec<_> = (0..100).rev().map(|i| (ids[i], 64 + i as i32, i)).collect();
    assert_eq!(waiting.stdout(), report(&sent, &lines));
    assert_eq!(lab.files(), before);
    maps_are_released("a hundred maps", sent);
}

#[test]
fn duplicate_or_taken_ids_are_renumbered_with_a_warning() {
    let lab = Lab::new();
    let (pin, socket) = (lab.array("pinned", 1), lab.path("uds"));
    let (pin, id) = (pin.to_str().unwrap(), map_id(&pin));
    let outer = ["--pin", pin, "--", "bpf-exec"];
    // Options before --import, the ids sent, the number and descriptor of each, those warned of.
    type Case<'a> = (&'a [&'a str], &'a [u32], &'a [(u32, i32)], &'a str);
    let cases: [Case; 5] = [
        (&[], &[5, 5], &[(0, 64), (1, 65)], "5"),
        (&[], &[0, 0, 0], &[(0, 64), (1, 65), (2, 66)], "0"),
        (&outer, &[7, 0], &[(1, 65), (2, 66)], "0"),
        (&outer, &[7, 1], &[(7, 65), (1, 66)], ""),
        (&[], &[u32::MAX], &[(u32::MAX, 64)], ""),
    ];
    for (before, ids, want, warned) in cases {
        let sent = maps(ids.len());
        let mut command = import(&lab, before, &socket, &["--", "sh", "-c", REPORT]);
        let waiting = Waiting::start(&mut command, &[&socket]);
        transfer(&socket, &sent, ids);
        let mut lines: Vec<_> = want.iter().enumerate().map(|(at, &(n, fd))| (n, fd, at)).collect();
        lines.sort();
        let mut stdout = report(&sent, &lines);
        if !before.is_empty() {
            let count = lines.len();
            stdout = format!("0 64 {id} pinned\n{stdout}");
            stdout = stdout.replace(&format!("{count} maps"), &format!("{} maps", count + 1));
        }
        let stderr = match warned {
            "" => String::new(),
            ids => format!(
                "bpf-exec: warning: {}: declared ids are duplicate or in use, so all maps get other numbers: {ids}\n",
                socket.display()
            ),
        };
        assert_eq!(waiting.run(), Run { status: 0, stdout, stderr }, "{ids:?}");
    }
}

#[test]
fn name_is_given_to_one_map_and_refused_for_two() {
    let lab = Lab::new();
    let (socket, before) = (lab.path("uds"), lab.files());
    let (path, argument) = (socket.display(), format!("hits={}", socket.display()));
    let mut command = lab.exec(["--import", &argument, "--", "sh", "-c", REPORT]);
    let one = maps(1);
    let waiting = Waiting::start(&mut command, &[&socket]);
    transfer(&socket, &one, &[4]);
    assert_eq!(waiting.stdout(), format!("4 64 {} hits\n1 maps\n", id_of(&one[0])));
    let two = maps(2);
    let waiting = Waiting::start(&mut command, &[&socket]);
    transfer(&socket, &two, &[4, 5]);
    waiting.fails(
        "two maps",
        &format!("hits: assign name: {path}: 2 maps found, NAME= needs exactly one"),
    );
    assert_eq!(lab.files(), before);
    maps_are_released("two maps", two);
}

#[test]
fn imports_and_pins_keep_the_order_of_the_command_line() {
    let lab = Lab::new();
    let (first, second) = (lab.path("first"), lab.path("second"));
    let ids = [lab.array("a", 1), lab.array("b", 1)].map(|pin| map_id(&pin));
    let before = lab.files();
    let sent = maps(3);
    let mut command = lab.exec(["--pin", "/sys/fs/bpf/a", "--import", "first"]);
    command.args(["--pin", "/sys/fs/bpf/b", "--import", "second", "--", "sh", "-c", REPORT]);
    let waiting = Waiting::start(&mut command, &[&first, &second]);
    transfer(&second, &sent[2..], &[1]);
    transfer(&first, &sent[..2], &[5, 0]);
    let [zero, five, one] = [1, 0, 2].map(|at| id_of(&sent[at]));
    let lines = [
        format!("0 66 {zero} sent"),
        format!("1 68 {one} sent"),
        format!("2 64 {} a", ids[0]),
        format!("3 67 {} b", ids[1]),
        format!("5 65 {five} sent"),
        "5 maps\n".into(),
    ];
    assert_eq!(waiting.stdout(), lines.join("\n"));
    assert_eq!(lab.files(), before);
}

#[test]
fn dry_run_waits_and_leaves_no_socket() {
    let lab = Lab::new();
    let (socket, before) = (lab.path("uds"), lab.files());
    let mut command = import(&lab, &["--dry-run", "--json"], &socket, &["--", "echo", "ran"]);
    let waiting = Waiting::start(&mut command, &[&socket]);
    let sent = maps(1);
    transfer(&socket, &sent, &[3]);
    let json: serde_json::Value = serde_json::from_str(&waiting.stdout()).unwrap();
    assert_eq!(json[0]["index"], 3);
    assert_eq!(json[0]["id"], id_of(&sent[0]));
    assert_eq!(json.as_array().map(Vec::len), Some(1));
    assert_eq!(lab.files(), before);
    maps_are_released("a dry run", sent);
}
