//! Maps of maps and program arrays: values that are maps and programs.

use crate::common::fds::*;
use crate::common::*;
use std::process::Command;

/// An array and a trie as inner maps, pinned; and a script below a bpf-exec that has created the
/// outer maps `o` (array), `h` (hash with text keys) and the program array `j`.
fn with(lab: &Lab, script: &str) -> Command {
    if !std::path::Path::new("/sys/fs/bpf/inner").exists() {
        lab.array("inner", 4);
        lab.array("other", 4);
        let trie =
            "map create /sys/fs/bpf/trie type lpm_trie key 8 value 4 entries 4 name t flags 1";
        bpftool(&trie.split(' ').collect::<Vec<_>>());
    }
    let mut command = lab.exec([
        "--create",
        "o=array_of_maps,entries=3,inner=/sys/fs/bpf/inner",
        "--create",
        "h=hash_of_maps,key=char[8],value=u32,entries=2,inner=/sys/fs/bpf/trie",
        "--create",
        "j=prog_array,entries=2",
        "--",
        "sh",
        "-c",
    ]);
    command.arg(script.replace("I/", "/sys/fs/bpf/"));
    command
}

#[test]
fn missing_key_exits_1_and_wrong_argument_2() {
    let lab = Lab::new();
    for (line, status, message) in [
        ("get o 0", 1, "o: no key 0"),
        ("get o 3", 1, "o: no key 3"),
        ("get o 0/1", 1, "o: no key 0"),
        ("get o /1", 2, "o: key \"\": expected a whole number (u32), found \"\""),
        ("get o x/1", 2, "o: key x: expected a whole number (u32), found \"x\""),
        ("get o -1", 2, "o: key -1: -1 is out of range for u32 (0 to 4294967295)"),
        ("get h 123456789", 2, "h: key 123456789: text of 9 bytes is too long for char[8]"),
        ("set o 0/1 5", 1, "o: no key 0"),
        ("add o 0/1 5", 1, "o: no key 0"),
        ("add o 0 5", 2, "o: add: the values of an array_of_maps are not numbers"),
        ("set o 0 .x 5", 2, "o: an array_of_maps has no field .x"),
        ("set o 0 nothing", 2, "nothing: no inherited map has this name"),
        ("set o 0 I/nothing", 2, "/sys/fs/bpf/nothing: open pin: no such file or directory"),
        ("set o 3 I/inner", 2, "o: set: no room: the key is past its end (3 entries)"),
        ("set o 0 I/inner --if-absent", 2, "o: set: an array_of_maps takes no condition"),
        (
            "set o 0 I/trie",
            2,
            "o: set: invalid argument (an array_of_maps: a value is a map of the type, the sizes \
             and the flags that it was made for)",
        ),
        ("set h a I/trie --if-present", 1, "h: no key a"),
    ] {
        let mut command = with(&lab, &format!("bpf-map {line}"));
        fails(&mut command, status, &format!("bpf-map: {message}"));
    }
}

#[test]
fn get_prints_the_inner_id_and_reads_through() {
    let lab = Lab::new();
    let script = "bpf-map set I/inner 2 42; bpf-map set I/other 2 43
        bpf-map set o 0 I/inner; bpf-map set o 1 I/other; bpf-map get o 0 1
        bpf-map get o 0/2 1/2 1/2 --json; bpf-map get o 2/0 0/9 --default none";
    let stdout = stdout_of(&mut with(&lab, script));
    let ids = [map_id("/sys/fs/bpf/inner".as_ref()), map_id("/sys/fs/bpf/other".as_ref())];
    assert_eq!(stdout, format!("{}\n{}\n42\n43\n43\nnone\nnone\n", ids[0], ids[1]));
}

#[test]
fn set_and_add_write_through() {
    let lab = Lab::new();
    let script = "bpf-map set o 0 I/inner && bpf-map set o 0/3 5 && bpf-map add o 0/3 -2
        bpf-map get I/inner 3; bpf-map set o 0/4 1";
    let run = run(&mut with(&lab, script));
    let id = map_id("/sys/fs/bpf/inner".as_ref());
    let message =
        format!("bpf-map: o: id {id}: set: no room: the key is past its end (4 entries)\n");
    assert_eq!((run.status, run.stdout.as_str(), run.stderr), (2, "3\n3\n", message));
}

#[test]
fn keys_with_slashes_work_on_both_sides() {
    let lab = Lab::new();
    let script = r#"bpf-map set h a I/trie --if-absent; bpf-map set h '"x/y"' I/trie --if-present
        bpf-map set h '"x/y"' I/trie
        bpf-map set h a/10.0.0.0/8 1; bpf-map set h '"x/y"/10.1.0.0/16' 2
        bpf-map get h a/10.1.2.3 a/10.2.2.3 '"x/y"/10.1.0.0/16' '"x/y"/8:0a000000'
        bpf-map get h --inner 'lpm{hex[4]} -> hex[4]' a/8:0a000000"#;
    let run = run(&mut with(&lab, script));
    assert_eq!(run.stderr, "bpf-map: h: no key \"x/y\"\n");
    assert_eq!((run.status, run.stdout.as_str()), (0, "2\n1\n2\n1\n01000000\n"));
    let ids = "bpf-map set h '\"x/y\"' I/trie; bpf-map get h '\"x/y\"'";
    let id = map_id("/sys/fs/bpf/trie".as_ref());
    assert_eq!(stdout_of(&mut with(&lab, ids)), format!("{id}\n"));
}

#[test]
fn missing_key_is_reported_with_its_map() {
    let lab = Lab::new();
    let script = "bpf-map set h a I/trie && bpf-map set o 0 I/inner
        bpf-map get h a/192.0.2.1; echo $?; bpf-map get h b/192.0.2.1; echo $?
        bpf-map add h a/192.0.2.1 1; echo $?; bpf-map set --if-present h b/192.0.2.1 1; echo $?
        bpf-map get o 0/9 1/9; echo $?";
    let run = run(&mut with(&lab, script));
    let trie = map_id("/sys/fs/bpf/trie".as_ref());
    let inner = map_id("/sys/fs/bpf/inner".as_ref());
    let lines = [
        format!("h: id {trie}: no key 192.0.2.1"),
        "h: no key b".into(),
        format!("h: id {trie}: no key 192.0.2.1"),
        "h: no key b".into(),
        format!("o: id {inner}: no key 9"),
        "o: no key 1".into(),
    ];
    let stderr: String = lines.iter().map(|line| format!("bpf-map: {line}\n")).collect();
    assert_eq!((run.status, run.stdout.as_str()), (0, "1\n1\n1\n1\n1\n"));
    assert_eq!(run.stderr, stderr);
}

#[test]
fn unprivileged_user_reads_the_id_only() {
    let lab = Lab::new();
    let map = lab.reachable("bpf-map");
    let nobody = NOBODY.join(" ");
    let script =
        format!("bpf-map set o 0 I/inner; {nobody} {map} get o 0; {nobody} {map} get o 0/1");
    let run = run(&mut with(&lab, &script));
    let id = map_id("/sys/fs/bpf/inner".as_ref());
    let message = format!(
        "bpf-map: o: id {id}: open map by id: operation not permitted (CAP_SYS_ADMIN is needed)\n"
    );
    assert_eq!((run.status, run.stdout, run.stderr), (2, format!("{id}\n"), message));
}

#[test]
fn program_is_given_by_pin_id_or_fd() {
    let lab = Lab::new();
    let pin = pin_program("prog");
    pin_link("link");
    let shown = bpftool(&["-j", "prog", "show", "pinned", pin.to_str().unwrap()]);
    let id = serde_json::from_str::<serde_json::Value>(&shown).unwrap()["id"].to_string();
    for program in ["prog:I/prog".to_owned(), format!("prog:id:{id}")] {
        let script =
            format!("bpf-map set j 1 {program} && bpf-map get j 1 && bpf-map get j 0 --default no");
        assert_eq!(stdout_of(&mut with(&lab, &script)), format!("{id}\nno\n"), "{program}");
    }
    let huge = "bpf-map: j: prog:fd:4294967295: not a descriptor number";
    for (program, message) in [
        (
            "5",
            "bpf-map: j: 5: expected prog:PATH, prog:NAME, prog:id:N, prog:fd:N or prog:FILE#NAME",
        ),
        (
            "I/prog",
            "bpf-map: j: /sys/fs/bpf/prog: expected prog:PATH, prog:NAME, prog:id:N, prog:fd:N or prog:FILE#NAME",
        ),
        (
            "prog:",
            "bpf-map: j: prog:: expected prog:PATH, prog:NAME, prog:id:N, prog:fd:N or prog:FILE#NAME",
        ),
        ("prog:id:", "bpf-map: j: prog:id:: not a program id"),
        ("prog:id:+1", "bpf-map: j: prog:id:+1: not a program id"),
        ("prog:id:4294967295", "bpf-map: j: id 4294967295: open program by id: no such program"),
        ("prog:fd:4294967295", huge),
        ("prog:none", "bpf-map: j: prog:none: no inherited program has this name"),
        ("prog:fd:3", "bpf-map: j: prog:fd:3: descriptor 3 is closed"),
        ("prog:fd:64", "bpf-map: j: prog:fd:64: descriptor 64 is a BPF map, not a program"),
        ("prog:I/none", "bpf-map: j: /sys/fs/bpf/none: open pin: no such file or directory"),
        ("prog:I/inner", "bpf-map: j: /sys/fs/bpf/inner: open pin: a BPF map, not a program"),
        ("prog:I/link", "bpf-map: j: /sys/fs/bpf/link: open pin: a BPF link, not a program"),
    ] {
        fails(&mut with(&lab, &format!("bpf-map set j 1 {program}")), 2, message);
    }
    let message = "bpf-map: j: set: a prog_array takes no condition";
    fails(&mut with(&lab, "bpf-map set j 1 prog:I/prog --if-absent"), 2, message);
}

#[test]
fn set_in_an_unheld_program_array_warns_of_the_loss() {
    let lab = Lab::new();
    pin_program("prog");
    let pin = "/sys/fs/bpf/jumps";
    bpftool(
        &"map create /sys/fs/bpf/jumps type prog_array key 4 value 4 entries 2 name jumps"
            .split(' ')
            .collect::<Vec<_>>(),
    );
    let set = ["set", pin, "0", "prog:/sys/fs/bpf/prog"];
    stdout_of(&mut lab.map(set));
    // By id, and pinned: the pin holds it.
    let by_id = format!("id:{}", map_id(pin.as_ref()));
    stdout_of(&mut lab.map(["set", &by_id, "1", "prog:/sys/fs/bpf/prog"]));
    // The shell holds it.
    let create = ["--create", "j=prog_array,entries=2", "--"];
    let script = "bpf-map set j 1 prog:/sys/fs/bpf/prog; bpf-map get j 1 >/dev/null";
    stdout_of(lab.exec(create).args(["sh", "-c", script]));
    // No process holds it.
    let run = run(lab.exec(create).args(["bpf-map", "set", "j", "1", "prog:/sys/fs/bpf/prog"]));
    let warning = "bpf-map: warning: j: no pin and no other process was found that holds the map: \
                   the kernel clears its entries when bpf-map ends\n";
    assert_eq!((run.status, run.stdout.as_str(), run.stderr.as_str()), (0, "", warning));
}
