//! `bpf-map load --csv` and `--tsv`: columns and cells.

use super::*;
use crate::common::*;

#[test]
fn malformed_table_is_refused_with_the_line() {
    let lab = Lab::new();
    let pin = lab.hash("h");
    let two = "--csv --value struct{a:u32,b:u32}";
    for (options, input, why) in [
        ("--csv", "key,value\n2,1\n3\n", "line 3: 1 cells, but the header has 2"),
        ("--csv", "key,value\n2,1\n\n3,1,1", "line 4: 3 cells, but the header has 2"),
        ("--tsv", "key\tvalue\n2\t1\n3\n", "line 3: 1 cells, but the header has 2"),
        (
            "--csv",
            "key,value\n2,1\n3,x\n",
            "line 3: value: expected a whole number (u64), found \"x\"",
        ),
        ("--csv", "key,value\n,1\n", "line 2: key: expected a whole number (u32), found \"\""),
        ("--csv", "key,value\n2,1\n3,\"1\n4,1\n", "line 3: unterminated quote"),
        (
            "--csv",
            "key,value\n2,1\n3,1\0\n",
            "line 3: value: expected a whole number (u64), found \"1\\u0000\"",
        ),
        ("--csv", "key\tvalue\n2\t1\n", "line 1: column key\\tvalue: no such column in the layout"),
        ("--csv", "key\n2\n", "line 1: the columns of the value: missing"),
        ("--csv", "value\n2\n", "line 1: the columns of the key: missing"),
        ("--csv", "key,value,key\n2,1,2\n", "line 1: column key: given twice"),
        ("--csv", "2,1\n", "line 1: column 2: no such column in the layout"),
        (two, "key,a\n2,1\n", "line 1: the columns of the value: b: missing"),
        (two, "key,a,b,value.a\n2,1,1,1\n", "line 1: column value.a: given twice"),
        (
            two,
            "key,a,b\n2,1,-1\n",
            "line 2: value: b: -1 is out of range for u32 (0 to 4294967295)",
        ),
        (two, "key,value\n2,1\n", "line 1: column value: no such column in the layout"),
        (two, "key.,a,b\n2,1,1\n", "line 1: column key.: no such column in the layout"),
    ] {
        let error = format!("bpf-map: /sys/fs/bpf/h: standard input: {why}");
        fails(&mut load(&lab, options, &pin, input), 2, &error);
        assert_eq!(held(&pin), [(1, 42)], "{input}");
    }
    let error =
        "bpf-map: /sys/fs/bpf/h: standard input: line 1: column cpu: no such column in the layout";
    fails(&mut load(&lab, "--csv", &pin, "key,cpu,value\n1,0,1\n"), 2, error);
    let invalid = b"key,value\n\xff,1\n";
    let error = "bpf-map: /sys/fs/bpf/h: standard input: line 2: not UTF-8";
    fails(&mut load(&lab, "--csv", &pin, invalid), 2, error);
}

#[test]
fn table_without_a_header_is_refused() {
    let lab = Lab::new();
    let pin = lab.hash("h");
    for format in ["--csv", "--tsv"] {
        for mode in ["", "--replace", "--replace --dry-run", "--stream", "--if-absent"] {
            for input in ["", "\n", " \n\n"] {
                let mut command = load(&lab, &format!("{format} {mode}"), &pin, input);
                let written = if mode == "--stream" { " (0 were written)" } else { "" };
                let error = "bpf-map: /sys/fs/bpf/h: standard input: no line names the columns";
                fails(&mut command, 2, &format!("{error}{written}"));
                assert_eq!(held(&pin), [(1, 42)], "{format} {mode}");
            }
        }
    }
    assert_eq!(stdout_of(&mut load(&lab, "--csv --replace", &pin, "key,value\n")), "");
    assert_eq!(held(&pin), []);
}

#[test]
fn columns_are_matched_by_path() {
    let lab = Lab::new();
    let pin = map("s", "type hash key 8 value 8 entries 4");
    let key = "struct{a: u32, b: u32}";
    for (n, (value, header, row)) in [
        ("struct{c: u32, d: struct{e: u32}}", "d.e,a,c,b", "4,1,3,2"),
        ("struct{b: u32, a: u32}", "key.b,value.a,key.a,value.b", "2,4,1,3"),
        ("struct{key: struct{a: u32}, value: u32}", "a,b,value.key.a,value.value", "1,2,3,4"),
        ("u32[2]", "a,b,value", "1,2,\"[3,4]\""),
    ]
    .into_iter()
    .enumerate()
    {
        let input = format!("{header}\n{row}\n");
        let mut command = load(&lab, "--csv", &pin, input);
        assert_eq!(stdout_of(command.args(["--key", key, "--value", value])), "", "{header}");
        let get = ["get", "--key", key, "--value", "u32[2]", "/sys/fs/bpf/s", "a=1 b=2"];
        assert_eq!(stdout_of(&mut lab.map(get)), "[3,4]\n", "{header}");
        let clear = [
            "map",
            "delete",
            "pinned",
            "/sys/fs/bpf/s",
            "key",
            "hex",
            "1",
            "0",
            "0",
            "0",
            "2",
            "0",
            "0",
            "0",
        ];
        bpftool(&clear);
        assert!(n < 4);
    }
    let scalar = map("k", HASH);
    let options = "--csv --value struct{key:u32,x:u32}";
    assert_eq!(stdout_of(&mut load(&lab, options, &scalar, "key.key,value.key,x\n1,2,3\n")), "");
    assert_eq!(held(&scalar), [(1, 3 << 32 | 2)]);
}

#[test]
fn column_that_key_and_value_have_is_refused_without_a_prefix() {
    let lab = Lab::new();
    let pin = map("s", "type hash key 8 value 8 entries 4");
    let layout = "struct{a: u32, b: u8}";
    for (header, column) in [
        ("a,key.b,value.a,value.b", "a"),
        ("key.a,key.b,value.a,value.b,@5", "@5"),
        ("key.a,key.b,key.@5,value.a,value.b,@5", "@5"),
        ("a,b,b,a", "a"),
    ] {
        let input = format!("{header}\n");
        let error = format!(
            "bpf-map: /sys/fs/bpf/s: standard input: line 1: column {column}: \
             key and value both have it: name it key.{column} or value.{column}"
        );
        let mut command = load(&lab, "--csv", &pin, input);
        fails(command.args(["--key", layout, "--value", layout]), 2, &error);
    }
    // The output of dump is loaded into the same map.
    let both = ["--key", layout, "--value", layout, "/sys/fs/bpf/s"];
    for value in ["a=3 b=4", "a=3 b=4 @5=hex:010203"] {
        for key in ["a=1 b=2 @5=hex:040506", "a=1 b=2"] {
            stdout_of(lab.map(["set"]).args(both).args([key, value]));
        }
        let table = stdout_of(lab.map(["dump", "--csv"]).args(both));
        let lines = stdout_of(lab.map(["dump", "--sort", "key"]).args(both));
        stdout_of(lab.map(["clear"]).args(["/sys/fs/bpf/s"]));
        let mut command = load(&lab, "--csv", &pin, table);
        assert_eq!(stdout_of(command.args(&both[..4])), "");
        assert_eq!(stdout_of(lab.map(["dump", "--sort", "key"]).args(both)), lines);
    }
}

#[test]
fn cell_in_double_quotes_is_a_json_string() {
    let lab = Lab::new();
    let pin = map("s", "type hash key 8 value 4 entries 4");
    let layout = ["--key=char[8]", "--value=u32"];
    let input = "key\tvalue\n\"a\\tb\"\t\"1\"\nplain\t2\n\"\"\t3\n";
    assert_eq!(stdout_of(load(&lab, "--tsv", &pin, input).args(layout)), "");
    let dump = |format| {
        let words = ["dump", "--sort", "value", format, layout[0], layout[1], "/sys/fs/bpf/s"];
        stdout_of(&mut lab.map(words))
    };
    assert_eq!(dump("--tsv"), "key\tvalue\n\"a\\tb\"\t1\nplain\t2\n\t3\n");
    let csv = dump("--csv");
    assert_eq!(csv, "key,value\n\"\"\"a\\tb\"\"\",1\nplain,2\n\"\",3\n");
    stdout_of(&mut lab.map(["clear", "/sys/fs/bpf/s"]));
    assert_eq!(stdout_of(load(&lab, "--csv", &pin, &csv).args(layout)), "");
    assert_eq!(dump("--csv"), csv);
    // It is not quoted as CSV is.
    let error = "bpf-map: /sys/fs/bpf/s: standard input: line 2: key: expected text in double quotes, found \"\\\"a\\\"\\\"b\\\"\"";
    let input = "key\tvalue\n\"a\"\"b\"\t1\n";
    fails(load(&lab, "--tsv", &pin, input).args(layout), 2, error);
}
