//! Lines that are refused, and lines that only look malformed.

use super::*;
use crate::common::*;

#[test]
fn malformed_line_is_reported_and_nothing_is_written() {
    let lab = Lab::new();
    let pin = lab.hash("h");
    let out_of_range = "out of range for u64 (0 to 18446744073709551615)";
    for (line, why) in [
        (r#"{"key":3,"value":-1}"#, format!("value: -1 is {out_of_range}")),
        (
            r#"{"key":4294967296,"value":1}"#,
            "key: 4294967296 is out of range for u32 (0 to 4294967295)".into(),
        ),
        (
            r#"{"key":1e3,"value":1}"#,
            "key: expected a whole number (u32), found 1000.0, with a fraction or an exponent"
                .into(),
        ),
        (r#"{"key":"","value":1}"#, "key: expected a whole number (u32), found \"\"".into()),
        (
            r#"{"key":3,"value":{"a":1}}"#,
            "value: expected a whole number (u64), found an object".into(),
        ),
        (r#"{"key":3,"value":null}"#, "value: expected a whole number (u64), found null".into()),
        (r#"{"key":3}"#, "value: missing".into()),
        (r#"{"value":3}"#, "key: missing".into()),
        ("{}", "key: missing".into()),
        (r#"{"key":3,"key":3,"value":1}"#, "key: given twice".into()),
        (r#"{"key":3,"value":1,"value":1}"#, "value: given twice".into()),
        (r#"{"key":3,"value":1,"values":[1]}"#, "values: a hash has one value per key".into()),
        (
            r#"{"key":3,"valu":1}"#,
            "unknown member \"valu\", expected key, value, values or sum".into(),
        ),
        (
            "{\"k\u{1b}[2J\":3}",
            "json: control character (\\u0000-\\u001F) found while parsing a string at column 4"
                .into(),
        ),
        (
            r#"{"\u001b[2J":3}"#,
            "unknown member \"\\x1b[2J\", expected key, value, values or sum".into(),
        ),
        (r#"{"key":3,"value":1}x"#, "json: trailing characters at column 20".into()),
        (r#"{"key":3,"value":1},"#, "json: trailing characters at column 20".into()),
        (r#"{"key":3,"val"#, "json: end of line while parsing a string at column 13".into()),
        (r#"{"key":3,"value":1"#, "json: end of line while parsing an object at column 18".into()),
        ("[", "a JSON array, expected one object per line (dump --jsonl)".into()),
        ("3", "not a JSON object".into()),
        ("\0", "not a JSON object".into()),
        ("{\"key\":3,\0\"value\":1}", "json: key must be a string at column 10".into()),
        ("key,value", "not a JSON object".into()),
    ] {
        // Lines are counted with those that are empty.
        let input =
            format!("{{\"key\":2,\"value\":1}}\n\n \t\n{line}\n{{\"key\":4,\"value\":1}}\n");
        let error = format!("bpf-map: {}: standard input: line 4: {why}", pin.display());
        fails(&mut load(&lab, "", &pin, input), 2, &error);
        assert_eq!(held(&pin), [(1, 42)], "{line}");
    }
    let invalid = b"{\"key\":2,\"value\":1}\n{\"key\":\"\xff\",\"value\":1}";
    let error =
        "/sys/fs/bpf/h: standard input: line 2: json: invalid unicode code point at column 9";
    fails(&mut load(&lab, "", &pin, invalid), 2, &format!("bpf-map: {error}"));
}

#[test]
fn endless_line_is_refused_and_long_value_is_loaded() {
    let lab = Lab::new();
    let pin = lab.hash("h");
    let blank = " ".repeat(10 << 20);
    let limit = (4 << 20) + 64 * 12;
    for options in ["", "--csv", "--stream"] {
        let input = format!("\n{{{blank}\"key\":1,\"value\":1}}\n");
        let error =
            format!("bpf-map: /sys/fs/bpf/h: standard input: line 2: longer than {limit} bytes");
        let written = if options == "--stream" { " (0 were written)" } else { "" };
        fails(&mut load(&lab, options, &pin, input), 2, &format!("{error}{written}"));
    }
    // A table's cell that goes on and on.
    let input = format!("key,value\n1,\"{}", "x\n".repeat(5 << 20));
    let error = "bpf-map: /sys/fs/bpf/h: standard input: line 2: unterminated quote";
    fails(&mut load(&lab, "--csv", &pin, input), 2, error);
    assert_eq!(held(&pin), [(1, 42)]);

    let large = map("large", "type array key 4 value 1048576 entries 2");
    let mut bytes = vec!["1"; 1 << 20];
    bytes[1 << 19] = "255";
    let input = format!("{{\"key\":1,\"value\":[{}]}}", bytes.join(",  "));
    assert_eq!(stdout_of(&mut load(&lab, "--value u8[1048576]", &large, input)), "");
    let hex = stdout_of(&mut lab.map(["get", "/sys/fs/bpf/large", "1"]));
    assert_eq!(hex.trim_end(), format!("{}ff{}", "01".repeat(1 << 19), "01".repeat((1 << 19) - 1)));
    let input = format!("{{\"key\":0,\"value\":\"{}\"}}", hex.trim_end());
    assert_eq!(stdout_of(&mut load(&lab, "", &large, input)), "");
    assert_eq!(stdout_of(&mut lab.map(["get", "/sys/fs/bpf/large", "0"])), hex);
}

#[test]
fn crlf_bom_and_empty_lines_are_accepted() {
    let lab = Lab::new();
    let want = [(1, 10), (2, 20), (3, 30)];
    for (n, (options, input)) in [
        ("", "{\"key\":1,\"value\":10}\n{\"key\":2,\"value\":20}\n{\"key\":3,\"value\":30}\n"),
        ("", "{\"value\":10,\"key\":1}\r\n\r\n  {\"key\":\"2\", \"value\":\"0x14\"} \r\n{\"key\":3,\"value\":30}"),
        ("", "\u{feff}{\"key\":1,\"value\":10}\n\n\n{\"key\":2,\"value\":20}\n{\"key\":3,\"value\":30}\n\n"),
        // The last of several lines with one key wins, as it would if they were set in turn.
        ("", "{\"key\":1,\"value\":9}\n{\"key\":2,\"value\":20}\n{\"key\":3,\"value\":30}\n{\"key\":1,\"value\":10}"),
        ("--csv", "key,value\n1,10\n2,20\n3,30\n"),
        ("--csv", "\u{feff}value,key\r\n10,\"1\"\r\n\r\n20,2\r\n30,3"),
        ("--csv", "\n\"key\",\"value\"\n1,10\n\"2\",20\n3,\"30\""),
        ("--tsv", "key\tvalue\n1\t10\n2\t20\n3\t30\n"),
        ("--stream", "{\"key\":1,\"value\":10}\n{\"key\":2,\"value\":20}\n{\"key\":3,\"value\":30}"),
        ("--stream --tsv", "value\tkey\n10\t1\n20\t2\n30\t3"),
    ]
    .into_iter()
    .enumerate()
    {
        let pin = map(&format!("h{n}"), HASH);
        assert_eq!(stdout_of(&mut load(&lab, options, &pin, input)), "", "{input:?}");
        assert_eq!(held(&pin), want, "{input:?}");
        let file = lab.path("input");
        let file = file.to_str().unwrap();
        let mut again = lab.map(["load"]);
        again.args(options.split_whitespace()).args([pin.to_str().unwrap(), file]);
        assert_eq!(stdout_of(&mut again), "", "{input:?}");
        assert_eq!(held(&pin), want, "{input:?}");
    }
    let pin = map("none", HASH);
    for (options, input) in [("", ""), ("", "\n\n"), ("--csv", "key,value")] {
        assert_eq!(stdout_of(&mut load(&lab, options, &pin, input)), "");
    }
    assert_eq!(held(&pin), []);
    fails(
        &mut lab.map(["load", "/sys/fs/bpf/none", "gone"]),
        2,
        "bpf-map: gone: open: no such file or directory",
    );
    fails(
        &mut lab.map(["load", "/sys/fs/bpf/none", "."]),
        2,
        "bpf-map: /sys/fs/bpf/none: .: read: is a directory",
    );
}
