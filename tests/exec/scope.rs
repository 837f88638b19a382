//! A scope that the environment declares, even an empty one, is never widened to all maps.

use crate::common::*;

const EMPTY: &str = "the environment declares no map, program or link";
const GONE: &str = "the objects that the environment declares are not open";

#[test]
fn bpf_exec_hands_over_nothing_if_nothing_is_declared() {
    let lab = Lab::new();
    lab.array("map", 1);
    let stderr = |reason: &str| {
        format!(
            "bpf-exec: warning: nothing is handed over: {reason} (use --pin /sys/fs/bpf for every pinned map)\n"
        )
    };
    for counter in ["BPF_NUM_MAPS", "BPF_NUM_PROGS", "BPF_NUM_LINKS"] {
        let run = run(lab.exec(["env"]).env(counter, "0"));
        assert_eq!((run.status, run.stderr), (0, stderr(EMPTY)), "{counter}");
        assert_eq!(contract(&run.stdout), ["BPF_NUM_MAPS=0"], "{counter}");
    }
    // What an outer bpf-exec found empty stays so, whatever is pinned since.
    let script = "bpf-map create late=array,value=8,entries=1 --pin /sys/fs/bpf/d/late
        exec bpf-exec --dry-run --json";
    std::fs::create_dir("/sys/fs/bpf/d").unwrap();
    let run = run(&mut lab.exec(["--pin", "/sys/fs/bpf/d", "sh", "-c", script]));
    let empty = "bpf-exec: warning: /sys/fs/bpf/d: no map is pinned there\n";
    assert_eq!((run.status, run.stdout.as_str()), (0, "[]\n"));
    assert_eq!(run.stderr, empty.to_owned() + &stderr(EMPTY));
}

#[test]
fn clean_hands_over_nothing_if_a_scope_is_declared() {
    let lab = Lab::new();
    let pin = lab.array("map", 1);
    lab.array("other", 1);
    let stderr = "bpf-exec: warning: nothing is handed over: --clean closes the inherited objects \
                  (use --pin /sys/fs/bpf for every pinned map)\n";
    let outer = ["--pin", pin.to_str().unwrap(), "--", "bpf-exec", "--clean", "--", "env"];
    let inherited = run(&mut lab.exec(outer));
    let empty = run(lab.exec(["--clean", "--", "env"]).env("BPF_NUM_MAPS", "0"));
    for run in [inherited, empty] {
        assert_eq!((run.status, run.stderr.as_str()), (0, stderr));
        assert_eq!(contract(&run.stdout), ["BPF_NUM_MAPS=0"]);
    }
    // Without a scope, --clean changes nothing.
    let environment = stdout_of(&mut lab.exec(["--clean", "--", "env"]));
    assert_eq!(contract(&environment)[0], "BPF_NUM_MAPS=2");
}

#[test]
fn bpf_exec_with_a_source_adds_to_a_declared_scope() {
    let lab = Lab::new();
    let pin = lab.array("map", 1);
    lab.array("other", 1);
    let mut command = lab.exec(["--pin", pin.to_str().unwrap(), "env"]);
    let environment = stdout_of(command.env("BPF_NUM_MAPS", "0"));
    let want = ["BPF_NUM_MAPS=1", "BPF_MAP0=64", "BPF_MAP0_NAME=map"];
    assert_eq!(contract(&environment), want);
}

#[test]
fn list_of_an_empty_scope_is_empty_with_a_reason() {
    let lab = Lab::new();
    let pin = lab.array("map", 1);
    let id = map_id(&pin);
    let line = |reason: &str| {
        format!("bpf-map: list: nothing to list: {reason} (--all lists every map)\n")
    };
    let closed = "bpf-map: warning: BPF_MAP0: descriptor 900 is closed, dropped\n";
    let gone = [("BPF_NUM_MAPS", "1"), ("BPF_MAP0", "900")];
    let cases = [
        (&[("BPF_NUM_MAPS", "0")][..], line(EMPTY)),
        (&[("BPF_NUM_LINKS", "0")], line(EMPTY)),
        (&gone, closed.to_owned() + &line(GONE)),
    ];
    for (variables, stderr) in cases {
        for (words, stdout) in [(&[][..], ""), (&["list"], ""), (&["list", "--json"], "[]\n")] {
            let mut command = lab.map(words);
            let want = Run { status: 0, stdout: stdout.into(), stderr: stderr.clone() };
            assert_eq!(run(command.envs(variables.iter().copied())), want, "{words:?}");
        }
        let mut command = lab.map(["list", "--all", "--json"]);
        let all = run(command.envs(variables.iter().copied()));
        let rows: Vec<serde_json::Value> = serde_json::from_str(&all.stdout).unwrap();
        assert!(rows.iter().any(|row| row["id"] == id), "{all:?}");
    }
}
