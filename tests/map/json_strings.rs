//! `--json-strings`: integers that readers of JSON would round are strings, and are read back.

use crate::common::{BPFFS, Lab, fails, run, stdout_of};
use serde_json::{Value, json};

const BIG: &str = "9007199254740993"; // 2^53 + 1, which an f64 does not hold

fn map(lab: &Lab) -> String {
    let pin = format!("{BPFFS}/m");
    stdout_of(&mut lab.map(["create", "m=hash,key=8,value=16,entries=4", "--pin", &pin]));
    let value = format!("n={BIG} s=7 flag=1");
    stdout_of(&mut lab.map(["set", &pin, BIG, &value, LAYOUT]));
    pin
}

const LAYOUT: &str = "--value=struct{n: u64, s: u32, flag: u32}";

fn object() -> Value {
    json!({"n": BIG, "s": 7, "flag": 1})
}

#[test]
fn wide_integers_are_strings_in_every_command() {
    let lab = Lab::new();
    let pin = map(&lab);
    let parsed = |words: &[&str]| -> Value {
        let text = stdout_of(&mut lab.map([words, &[LAYOUT]].concat()));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"))
    };
    let element = json!({"key": BIG, "value": object()});
    for json in [&["--json-strings"][..], &["--json", "--json-strings"]] {
        assert_eq!(parsed(&[&["get", &pin, BIG], json].concat()), object());
        assert_eq!(parsed(&[&["get", &pin, BIG, ".n"], json].concat()), json!(BIG));
        assert_eq!(parsed(&[&["dump", &pin], json].concat()), json!([element]));
        assert_eq!(parsed(&[&["keys", &pin], json].concat()), json!([BIG]));
        let frame = parsed(&[&["watch", "--count", "1", &pin], json].concat());
        assert_eq!(frame["elements"][0]["key"], BIG);
        assert_eq!(frame["elements"][0]["value"], object());
    }
    assert_eq!(parsed(&["dump", "--jsonl", "--json-strings", &pin]), element);
    // Without the option they are numbers.
    let number = BIG.parse::<u64>().expect("a number");
    assert_eq!(parsed(&["get", "--json", &pin, BIG])["n"], json!(number));
}

#[test]
fn load_takes_the_strings() {
    let lab = Lab::new();
    let pin = map(&lab);
    let dump = ["dump", "--jsonl", "--json-strings", &pin, LAYOUT];
    let text = stdout_of(&mut lab.map(dump));
    std::fs::write(lab.path("file"), &text).expect("a file");
    stdout_of(&mut lab.map(["clear", &pin]));
    assert_eq!(stdout_of(&mut lab.map(["load", &pin, "file", LAYOUT])), "");
    assert_eq!(stdout_of(&mut lab.map(dump)), text);
    // And set, and numbers of 128 bits, which were refused as strings before.
    let value = object().to_string();
    assert_eq!(stdout_of(&mut lab.map(["set", &pin, BIG, &value, LAYOUT])), "");
    let wide = "--value=struct{w: u128}";
    let value = r#"{"w":"340282366920938463463374607431768211455"}"#;
    stdout_of(&mut lab.map(["set", &pin, "1", value, wide]));
    let read = stdout_of(&mut lab.map(["get", "--json-strings", &pin, "1", wide]));
    assert_eq!(read.trim_end(), value);
}

#[test]
fn queues_print_strings_and_tables_refuse_the_option() {
    let lab = Lab::new();
    let pin = format!("{BPFFS}/q");
    stdout_of(&mut lab.map(["create", "q=queue,value=8,entries=4", "--pin", &pin]));
    stdout_of(&mut lab.map(["push", &pin, BIG]));
    for operation in ["peek", "pop"] {
        let text = stdout_of(&mut lab.map([operation, "--json-strings", &pin]));
        assert_eq!(text, format!("\"{BIG}\"\n"));
    }
    fails(&mut lab.map(["pop", "--json-strings", &pin]), 1, &format!("bpf-map: {pin}: empty"));
    let pin = map(&lab);
    for format in ["--csv", "--tsv", "--prometheus"] {
        let run = run(&mut lab.map(["dump", format, "--json-strings", &pin]));
        assert_eq!((run.status, run.stdout.as_str()), (2, ""), "{format}");
        assert!(run.stderr.contains("cannot be used with"), "{}", run.stderr);
    }
}
