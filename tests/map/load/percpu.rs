//! `bpf-map load` into per-CPU maps: values of all CPUs, of one CPU, and sums.

use super::*;
use crate::common::features::Feature;
use crate::common::*;
use crate::needs;
use std::path::Path;

#[test]
fn values_of_all_cpus_are_loaded_beside_single_zeros() {
    let lab = Lab::new();
    let pin = map("p", "type percpu_hash key 4 value 12 entries 4");
    let json = bpftool(&[
        "-j",
        "map",
        "lookup",
        "pinned",
        lab.array("n", 1).to_str().unwrap(),
        "key",
        "0",
        "0",
        "0",
        "0",
    ]);
    assert!(json.contains("value"));
    let cpus = cpus();
    let one = |n: usize| format!("{{\"a\":{n},\"b\":1,\"c\":2}}");
    let each: Vec<String> = (0..cpus).map(one).collect();
    let zero = "{\"a\":0,\"b\":0,\"c\":0}";
    // The single value first: what follows it makes the room for the others.
    let input = format!(
        "{{\"key\":1,\"value\":{zero}}}\n{{\"key\":2,\"values\":[{}]}}\n{{\"key\":3,\"value\":{zero}}}\n",
        each.join(","),
    );
    let options = "--value struct{a:u32,b:u32,c:u32}";
    for more in ["", " --stream"] {
        assert_eq!(stdout_of(&mut load(&lab, &format!("{options}{more}"), &pin, &input)), "");
        for (key, want) in [
            (1, vec![[0; 3]; cpus]),
            (2, (0..cpus).map(|cpu| [cpu as u8, 1, 2]).collect()),
            (3, vec![[0; 3]; cpus]),
        ] {
            assert_eq!(of_cpus(&pin, key), want, "{key}");
            bpftool(&[
                "map",
                "delete",
                "pinned",
                "/sys/fs/bpf/p",
                "key",
                &key.to_string(),
                "0",
                "0",
                "0",
            ]);
        }
    }
    let expected = |found| format!("expected {cpus}, one for each possible CPU, found {found}");
    for (values, why) in [
        (each[1..].join(","), expected(cpus - 1)),
        (format!("{0},{0},{1}", each.join(","), one(1)), expected(2 * cpus + 1)),
        (String::new(), expected(0)),
    ] {
        let input = format!("{{\"key\":1,\"values\":[{values}]}}");
        let error = format!("bpf-map: /sys/fs/bpf/p: standard input: line 1: values: {why}");
        fails(&mut load(&lab, options, &pin, input), 2, &error);
    }
    let both = format!("{{\"key\":1,\"value\":{},\"values\":[{}]}}", one(1), each.join(","));
    let error = "bpf-map: /sys/fs/bpf/p: standard input: line 1: value and values are both given";
    fails(&mut load(&lab, options, &pin, both), 2, error);
}

#[test]
fn single_values_need_an_option_for_the_cpus() {
    let lab = Lab::new();
    let pin = map("p", "type percpu_hash key 4 value 12 entries 4");
    let last = cpus() - 1;
    let value = "--value struct{a:u32,b:u32,c:u32}";
    let (json, csv) = ("{\"key\":1,\"value\":{\"a\":7,\"b\":0,\"c\":2}}\n", "key,a,b,c\n1,7,0,2\n");
    let zero = "{\"key\":9,\"value\":{\"a\":0,\"b\":0,\"c\":0}}\n";
    let formats =
        [("", format!("{zero}{json}")), ("--csv", csv.into()), ("--tsv", csv.replace(',', "\t"))];
    for (format, input) in &formats {
        let error = "bpf-map: /sys/fs/bpf/p: standard input: line 2: value: a per-CPU map needs \
                     --all-cpus (every CPU gets the value), --cpu N (only CPU N) \
                     or --sum (the first CPU, and zero on the others)";
        fails(&mut load(&lab, &format!("{format} {value}"), &pin, input), 2, error);
        let dump = stdout_of(&mut lab.map(["dump".as_ref(), pin.as_path()]));
        assert_eq!(dump, "", "{format}");
        let given = [7, 0, 2];
        for (option, want) in [
            ("--all-cpus".to_owned(), vec![given; last + 1]),
            ("--sum".into(), [vec![given], vec![[0; 3]; last]].concat()),
            (format!("--cpu {last}"), [vec![[5, 6, 7]; last], vec![given]].concat()),
        ] {
            for more in ["", "--stream", "--replace"] {
                stdout_of(&mut lab.map([
                    "set",
                    "--all-cpus",
                    "--value",
                    &value[8..],
                    "/sys/fs/bpf/p",
                    "1",
                    "a=5 b=6 c=7",
                ]));
                let options = format!("{format} {value} {option} {more}");
                assert_eq!(stdout_of(&mut load(&lab, &options, &pin, input)), "");
                assert_eq!(of_cpus(&pin, 1), want, "{options}");
            }
        }
        stdout_of(&mut lab.map(["clear".as_ref(), pin.as_path()]));
    }
    // Zero needs none of them, and a key that is missing is created with zeros for the others.
    assert_eq!(stdout_of(&mut load(&lab, value, &pin, zero)), "");
    assert_eq!(of_cpus(&pin, 9), vec![[0; 3]; last + 1]);
    let options = format!("{value} --cpu {last} --if-absent");
    let kept = Run {
        status: 1,
        stdout: String::new(),
        stderr: "bpf-map: /sys/fs/bpf/p: 1 of 2 keys exist already\n".into(),
    };
    assert_eq!(run(&mut load(&lab, &options, &pin, &formats[0].1)), kept);
    assert_eq!(of_cpus(&pin, 1), [vec![[0; 3]; last], vec![[7, 0, 2]]].concat());
}

#[test]
fn sums_that_dump_marks_are_loaded_into_any_map() {
    let lab = Lab::new();
    let (pin, hash) = (map("p", "type percpu_hash key 4 value 8 entries 4"), lab.hash("h"));
    let line = "{\"key\":1,\"value\":9,\"sum\":true}\n";
    assert_eq!(stdout_of(&mut load(&lab, "--sum", &pin, line)), "");
    assert_eq!(stdout_of(&mut lab.map(["dump", "--jsonl", "/sys/fs/bpf/p"])), line);
    assert_eq!(stdout_of(&mut load(&lab, "", &hash, line)), "");
    assert_eq!(held(&hash), [(1, 9)]);
    let count = cpus();
    let values = format!("{{\"key\":1,\"values\":[1{}],\"sum\":true}}", ",1".repeat(count - 1));
    assert_eq!(stdout_of(&mut load(&lab, "", &pin, values)), "");
    assert_eq!(stdout_of(&mut lab.map(["get", "/sys/fs/bpf/p", "1"])), format!("{count}\n"));
    for (line, why) in [
        ("{\"key\":1,\"value\":9,\"sum\":1}", "sum: invalid type: integer `1`, expected a boolean"),
        ("{\"key\":1,\"sum\":true}", "value: missing"),
    ] {
        let error = format!("bpf-map: /sys/fs/bpf/p: standard input: line 1: {why}");
        fails(&mut load(&lab, "", &pin, line), 2, &error);
    }
}

#[test]
fn values_of_all_cpus_exclude_options_for_one_value() {
    let lab = Lab::new();
    let pin = map("p", "type percpu_hash key 4 value 8 entries 4");
    let count = cpus();
    let json = format!("{{\"key\":1,\"values\":[1{}]}}\n", ",1".repeat(count - 1));
    let csv =
        (0..count).fold("key,cpu,value\n".to_owned(), |rows, cpu| format!("{rows}1,{cpu},1\n"));
    for (options, input, line) in [("", json, 1), ("--csv", csv, 1 + count)] {
        let error = format!(
            "bpf-map: /sys/fs/bpf/p: standard input: line {line}: \
             values for every CPU cannot be combined with --all-cpus, --cpu or --sum"
        );
        for more in ["--cpu 0", "--sum", "--all-cpus"] {
            fails(&mut load(&lab, &format!("{options} {more}"), &pin, &input), 2, &error);
        }
        assert_eq!(stdout_of(&mut load(&lab, options, &pin, &input)), "");
    }
    for option in ["--sum", "--all-cpus", "--cpu 0"] {
        let hash = lab.hash(&unique("h"));
        let name = option.split(' ').next().unwrap();
        let error =
            format!("bpf-map: {}: {name}: a hash has one value for all CPUs", hash.display());
        fails(&mut load(&lab, option, &hash, "{\"key\":1,\"value\":1}\n"), 2, &error);
    }
}

#[test]
fn values_on_which_cpus_differ_are_refused_with_a_hint() {
    needs!(Feature::SeveralCpus);
    let lab = Lab::new();
    let pin = map("p", "type percpu_hash key 4 value 8 entries 4");
    let value = "--value=struct{text:char[4],on:bool,b:u8,c:u16}";
    let pin_text = pin.to_str().unwrap();
    for (cpus, new) in
        [("--all-cpus", "text=a on=false b=1 c=0"), ("--cpu=0", "text=b on=true b=2 c=0")]
    {
        stdout_of(&mut lab.map(["set", cpus, value, pin_text, "1", new]));
    }
    let why = "the CPUs' values differ (see dump --per-cpu)";
    for (format, line, why) in [
        ("--csv", 2, format!("text: {why}")),
        ("--tsv", 2, format!("text: {why}")),
        ("--jsonl", 1, format!("text: expected text of at most 4 bytes, found null: {why}")),
    ] {
        let dump = stdout_of(&mut lab.map(["dump", format, value, pin_text]));
        let error = format!("bpf-map: {pin_text}: standard input: line {line}: value: {why}");
        let options = format!("--sum {value} {}", format.replace("--jsonl", ""));
        fails(&mut load(&lab, &options, &pin, dump), 2, &error);
        let each = stdout_of(&mut lab.map(["dump", "--per-cpu", format, value, pin_text]));
        let options = format!("{value} {}", format.replace("--jsonl", ""));
        assert_eq!(stdout_of(&mut load(&lab, &options, &pin, &each)), "");
        let again = stdout_of(&mut lab.map(["dump", "--per-cpu", format, value, pin_text]));
        assert_eq!(again, each);
    }
    // One CPU's value is not a sum.
    stdout_of(&mut lab.map(["set", "--cpu=0", value, pin_text, "1", "text=\"-\" on=true b=1 c=0"]));
    let dump = stdout_of(&mut lab.map(["dump", "--csv", "--cpu=0", value, pin_text]));
    assert_eq!(dump, "key,text,on,b,c\n1,-,true,1,0\n");
    assert_eq!(stdout_of(&mut load(&lab, &format!("--cpu 0 --csv {value}"), &pin, dump)), "");
    // Text that is a hyphen is printed in quotes, and loaded.
    stdout_of(&mut lab.map([
        "set",
        "--all-cpus",
        value,
        pin_text,
        "1",
        "text=\"-\" on=true b=1 c=0",
    ]));
    for format in ["--csv", "--tsv"] {
        let dump = stdout_of(&mut lab.map(["dump", format, value, pin_text]));
        let options = format!("--all-cpus {value} {format}");
        assert_eq!(stdout_of(&mut load(&lab, &options, &pin, dump)), "");
        let text = stdout_of(&mut lab.map(["get", value, pin_text, "1", ".text"]));
        assert_eq!(text, "\"-\"\n", "{format}");
    }
}

#[test]
fn rows_of_single_cpus_are_put_together() {
    let lab = Lab::new();
    let pin = map("p", "type percpu_array key 4 value 12 entries 4");
    let numbers: Vec<usize> = (0..cpus()).collect();
    for options in ["--csv", "--csv --stream"] {
        let rows = |key: u32, cpus: &mut dyn Iterator<Item = &usize>| -> String {
            cpus.map(|cpu| format!("{},{cpu},{key},2\n", cpu + 3)).collect()
        };
        let input = "a,cpu,key,b\n".to_owned()
            + &rows(1, &mut numbers.iter())
            + &rows(3, &mut numbers.iter().rev());
        let mut command = load(&lab, options, &pin, input);
        assert_eq!(stdout_of(command.args(["--value", "packed struct{a:u32,b:u64}"])), "");
        for (key, want) in [(0, None), (1, Some(3)), (3, Some(3))] {
            let values =
                numbers.iter().map(|cpu| want.map_or([0; 3], |base| [*cpu as u8 + base, 2, 0]));
            assert_eq!(of_cpus(&pin, key), values.collect::<Vec<_>>(), "{key}");
        }
    }
}

#[test]
fn dump_of_a_field_named_cpu_is_loaded_unchanged() {
    let lab = Lab::new();
    let script = r#"
        V='struct{cpu: u64, a: u64}'; P=/sys/fs/bpf/pc
        bpf-map create pc=percpu_array,value=16,entries=1 --pin $P
        bpf-map set --all-cpus --value "$V" $P 0 'cpu=5 a=7'
        bpf-map set --cpu 0 --value "$V" $P 0 'cpu=1 a=9'
        for options in --per-cpu ''; do
            for format in csv tsv; do
                bpf-map dump $options --$format --value "$V" $P >was
                head -n 1 was | tr '\t' ,
                bpf-map clear $P
                cpus=$([ -n "$options" ] || echo --sum)
                bpf-map load $cpus --$format --value "$V" $P was || exit
                bpf-map dump $options --$format --value "$V" $P | cmp was - || exit
            done
        done"#;
    let header = "key,cpu,value.cpu,a\nkey,cpu,value.cpu,a\nkey,value.cpu,a\nkey,value.cpu,a\n";
    assert_eq!(stdout_of(&mut lab.program("sh", ["-c", script])), header);
}

#[test]
fn cpu_column_must_name_a_possible_cpu() {
    malformed_rows(&[
        ("key,cpu,value\n1,x,1\n", "line 2: cpu: \"x\" is not a possible CPU"),
        ("key,cpu,value\n1,99999,1\n", "line 2: cpu: \"99999\" is not a possible CPU"),
        ("key,cpu,value,cpu\n1,0,1\n", "line 1: column cpu: given twice"),
    ]);
}

#[test]
fn rows_of_a_key_must_name_every_cpu_once() {
    needs!(Feature::SeveralCpus);
    malformed_rows(&[
        ("key,cpu,value\n1,0,1\n", "line 2: cpu: 1 is missing in the rows up to here"),
        ("key,cpu,value\n1,0,1\n\n\n", "line 2: cpu: 1 is missing in the rows up to here"),
        ("key,cpu,value\n1,1,1\n2,1,1\n", "line 3: cpu: 0 is missing in the rows before"),
        ("key,cpu,value\n1,1,1\n1,1,1\n", "line 3: cpu: 1 is given twice for this key"),
    ]);
}

/// Loads tables that are refused, each with an error.
#[track_caller]
fn malformed_rows(tables: &[(&str, &str)]) {
    let lab = Lab::new();
    let pin = map("p", "type percpu_hash key 4 value 8 entries 4");
    for (input, why) in tables {
        let error = format!("bpf-map: /sys/fs/bpf/p: standard input: {why}");
        fails(&mut load(&lab, "--csv", &pin, input), 2, &error);
    }
    assert_eq!(stdout_of(&mut lab.map(["dump", "/sys/fs/bpf/p"])), "");
}

/// How many CPUs are possible, as bpftool shows them.
fn cpus() -> usize {
    let pin = map("cpus", "type percpu_array key 4 value 8 entries 1");
    let json = bpftool(&["-j", "map", "dump", "pinned", pin.to_str().unwrap()]);
    json.matches("\"cpu\":").count()
}

/// The low bytes of three u32, of each CPU.
fn of_cpus(pin: &Path, key: u32) -> Vec<[u8; 3]> {
    let key = key.to_string();
    let json = bpftool(&[
        "-j",
        "map",
        "lookup",
        "pinned",
        pin.to_str().unwrap(),
        "key",
        &key,
        "0",
        "0",
        "0",
    ]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let byte = |value: &serde_json::Value, at: usize| {
        u8::from_str_radix(value["value"][at].as_str().unwrap().trim_start_matches("0x"), 16)
            .unwrap()
    };
    json["values"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| [byte(v, 0), byte(v, 4), byte(v, 8)])
        .collect()
}
