//! Numbers of entries: by the kernel's counter, or by a walk.

use crate::common::features::Feature;
use crate::common::*;
use crate::needs;
use serde_json::Value;

/// Maps that are larger than those which are walked in any case, with 300 entries. A map of maps needs
/// another map, and an LPM trie has no counter.
const MAPS: [(&str, &str); 5] = [
    ("hash", "hash,key=u32,value=u32,entries=10000"),
    ("percpu", "percpu_hash,key=u32,value=u32,entries=10000"),
    ("lru", "lru_hash,key=u32,value=u32,entries=10000"),
    ("lru_percpu", "lru_percpu_hash,key=u32,value=u32,entries=10000"),
    ("trie", "lpm_trie,key=8,value=u32,entries=10000"),
];

/// A lab with these maps, pinned.
fn lab() -> Lab {
    let lab = Lab::new();
    for (name, map) in MAPS {
        let pin = format!("{BPFFS}/{name}");
        stdout_of(&mut lab.map(["create", &format!("{name}={map}"), "--pin", &pin]));
        let lines: String = (1..=300)
            .map(|number: u32| {
                let key = match name {
                    "trie" => format!("hex:20000000{}", hex(number)),
                    _ => format!("hex:{}", hex(number)),
                };
                format!("set {pin} {key} 0\n")
            })
            .collect();
        std::fs::write(lab.path("lines"), lines).expect("a file");
        stdout_of(&mut lab.map(["batch", "lines"]));
    }
    lab
}

fn hex(number: u32) -> String {
    number.to_ne_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether `bpf-map count` of a map reads entries.
fn walks(lab: &Lab, words: &[&str]) -> (String, bool) {
    let trace = lab.path("trace");
    let strace = ["strace", "-f", "-e", "trace=bpf", "-e", "signal=none", "-o"];
    let words = [&strace[..], &[trace.to_str().expect("UTF-8")], words].concat();
    let (command, arguments) = words.split_first().expect("strace");
    let out = stdout_of(lab.program(command, arguments).env_remove("BPF_NUM_MAPS"));
    let text = std::fs::read_to_string(&trace).expect("strace's output");
    (out, text.contains("BPF_MAP_LOOKUP_BATCH"))
}

#[test]
fn count_asks_the_kernel_and_is_that_of_a_walk() {
    needs!(Feature::EntryCounter);
    let lab = lab();
    for (name, _) in MAPS {
        let pin = format!("{BPFFS}/{name}");
        let counted = walks(&lab, &["bpf-map", "count", &pin]);
        assert_eq!(counted, ("300\n".into(), name == "trie"), "{name}");
        assert_eq!(stdout_of(&mut lab.map(["keys", &pin])).lines().count(), 300, "{name}");
    }
    stdout_of(&mut lab.map(["del", &format!("{BPFFS}/hash"), "1", "2"]));
    assert_eq!(stdout_of(&mut lab.map(["count", &format!("{BPFFS}/hash")])), "298\n");
    stdout_of(&mut lab.map(["clear", &format!("{BPFFS}/hash")]));
    assert_eq!(stdout_of(&mut lab.map(["count", &format!("{BPFFS}/hash")])), "0\n");
}

#[test]
fn count_without_cap_bpf_walks() {
    let lab = lab();
    let (map, mut count) =
        (lab.reachable("bpf-map"), lab.exec(["--pin", &format!("{BPFFS}/lru"), "--"]));
    count.args(NOBODY).args([&map, "count", "lru"]);
    assert_eq!(stdout_of(&mut count), "300\n");
}

#[test]
fn count_of_a_small_map_walks() {
    let lab = Lab::new();
    let pin = lab.hash("small");
    let counted = walks(&lab, &["bpf-map", "count", pin.to_str().expect("UTF-8")]);
    assert_eq!(counted, ("1\n".into(), true));
}

#[test]
fn list_and_show_have_the_counts() {
    needs!(Feature::EntryCounter);
    let lab = lab();
    lab.array("array", 4);
    let json = stdout_of(&mut lab.map(["list", "--all", "--json"]));
    let rows: Vec<Value> = serde_json::from_str(&json).expect("JSON");
    let pinned = |name: &str| {
        let pins = serde_json::json!([format!("{BPFFS}/{name}")]);
        rows.iter().find(|row| row["pins"] == pins).expect("a row")
    };
    let table = stdout_of(&mut lab.map(["list", "--all"]));
    assert!(table.lines().next().is_some_and(|head| head.contains("MAX  USED  ")), "{table}");
    for (name, _) in MAPS {
        let known = if name == "trie" { Value::Null } else { 300.into() };
        assert_eq!(pinned(name)["entries"], known, "{name}");
        assert_eq!(pinned(name)["max_entries"], 10_000, "{name}");
        let used = if name == "trie" { "-" } else { "300" };
        let line = table.lines().find(|line| line.contains(&format!("{BPFFS}/{name} ")));
        let words: Vec<&str> = line.expect("a line").split_whitespace().collect();
        assert_eq!(words[5..7], ["10000", used], "{name}: {words:?}");
        let show = stdout_of(&mut lab.map(["show", &format!("{BPFFS}/{name}")]));
        assert!(show.contains("max_entries: 10000\n"), "{show}");
        assert!(show.contains("entries: 300 (3 %)\n"), "{show}");
    }
    assert_eq!(pinned("array")["entries"], Value::Null);
    // The list of inherited maps has them, too.
    let lru = format!("{BPFFS}/lru");
    let inherited = stdout_of(&mut lab.exec(["--pin", &lru, "--", "bpf-map", "list"]));
    let words: Vec<&str> = inherited.lines().nth(1).expect("a row").split_whitespace().collect();
    assert_eq!(words[7..9], ["10000", "300"], "{inherited}");
}

#[test]
fn list_prints_metrics_of_entries() {
    needs!(Feature::EntryCounter);
    let lab = lab();
    let metrics = stdout_of(&mut lab.map(["list", "--all", "--prometheus"]));
    for help in [
        "# HELP bpf_map_entries Entries of the map.\n# TYPE bpf_map_entries gauge\n",
        "# HELP bpf_map_max_entries Entries that the map has room for.\n\
         # TYPE bpf_map_max_entries gauge\n",
    ] {
        assert_eq!(metrics.matches(help).count(), 1, "{metrics}");
    }
    for (name, map) in MAPS {
        let kind = map.split(',').next().expect("a type");
        let pin = format!("{BPFFS}/{name}");
        let id = map_id(pin.as_ref());
        let labels = format!("{{id=\"{id}\",name=\"{name}\",type=\"{kind}\",pin=\"{pin}\"}}");
        let entries = format!("\nbpf_map_entries{labels} 300\n");
        assert_eq!(metrics.contains(&entries), name != "trie", "{entries}{metrics}");
        let max = format!("\nbpf_map_max_entries{labels} 10000\n");
        assert!(metrics.contains(&max), "{max}{metrics}");
    }
    fails_with_usage(&lab);
}

fn fails_with_usage(lab: &Lab) {
    let run = run(&mut lab.map(["list", "--json", "--prometheus"]));
    assert_eq!((run.status, run.stdout.as_str()), (2, ""), "{}", run.stderr);
}

#[test]
fn list_without_privileges_has_no_counts() {
    let lab = lab();
    let (map, pin) = (lab.reachable("bpf-map"), format!("{BPFFS}/lru"));
    let mut list = lab.exec(["--pin", &pin, "--"]);
    list.args(NOBODY).args([&map, "list", "--json"]);
    let rows: Value = serde_json::from_str(&stdout_of(&mut list)).expect("JSON");
    assert_eq!((&rows[0]["entries"], &rows[0]["max_entries"]), (&Value::Null, &10_000.into()));
}
