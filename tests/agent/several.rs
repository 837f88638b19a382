//! Several objects of one `bpf-map put`, and several names of one `bpf-map agent`: each by itself.

use crate::common::agent::*;
use crate::common::fds::*;
use crate::common::*;
use crate::support::played::*;

/// Puts `name=pin` for each name.
fn put_all(lab: &Lab, pin: &std::path::Path, names: &[&str]) {
    let objects = names.iter().map(|name| format!("{name}={}", pin.display()));
    stdout_of(lab.map(["put", "--socket=agent"]).args(objects));
}

/// The names and ids of what is held.
fn held(lab: &Lab) -> Vec<(String, u32)> {
    let records = Client::connect(&lab.path("agent")).list();
    records.into_iter().map(|record| (record.name, record.id)).collect()
}

#[test]
fn several_objects_are_put_and_each_failure_is_reported() {
    let lab = Lab::new();
    let _agent = serve(&lab);
    let ids = ["a", "b", "c"].map(|name| map_id(&lab.array(name, 1)));
    pin_program("prog");
    let put = |words: &[&str]| {
        let mut command = lab.map([&["put", "--socket=agent"], words].concat());
        (run(&mut command), held(&lab))
    };
    let done = Run { status: 0, stdout: String::new(), stderr: String::new() };
    let (ran, now) = put(&["/sys/fs/bpf/a", "x=/sys/fs/bpf/b", "prog:/sys/fs/bpf/prog"]);
    assert_eq!(ran, done);
    assert_eq!(now.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["a", "prog", "x"]);
    assert_eq!((now[0].1, now[2].1), (ids[0], ids[1]));
    // Objects that cannot be opened, named or stored.
    let words = [
        "/sys/fs/bpf/none",
        "7=/sys/fs/bpf/c",
        "x=/sys/fs/bpf/c",
        "y=/sys/fs/bpf/c",
        "y=/sys/fs/bpf/b",
        "/sys/fs/bpf/c",
    ];
    let (ran, now) = put(&words);
    let same = "y=/sys/fs/bpf/c and y=/sys/fs/bpf/b have the same name, \"y\"";
    assert_eq!((ran.status, ran.stdout.as_str()), (2, ""));
    let lines: Vec<&str> = ran.stderr.lines().collect();
    assert_eq!(lines[0], "bpf-map: /sys/fs/bpf/none: open pin: no such file or directory");
    assert_eq!(lines[1], "bpf-map: 7=/sys/fs/bpf/c: a name is a number");
    assert!(lines[2].starts_with("bpf-map: agent#x: put: "), "{ran:?}");
    assert_eq!(lines[3..], [format!("bpf-map: {same}")]);
    let id = |name: &str| now.iter().find(|(held, _)| held == name).map(|(_, id)| *id);
    assert_eq!((id("x"), id("y"), id("c")), (Some(ids[1]), Some(ids[2]), Some(ids[2])));
    assert_eq!(now.len(), 5);
    // With --replace the last of two would win, and the first be lost.
    let (ran, _) = put(&["--replace", "y=/sys/fs/bpf/c", "y=/sys/fs/bpf/b"]);
    let stderr = format!("bpf-map: {same}\n");
    assert_eq!(ran, Run { status: 2, stdout: String::new(), stderr });
}

#[test]
fn objects_without_a_connection_are_reported() {
    let lab = Lab::new();
    let pins = ["a", "b", "c", "d"].map(|name| lab.array(name, 1).display().to_string());
    let words = ["put", "--socket=agent", "/sys/fs/bpf/none", &pins[0], &pins[1]];
    let stderr = "bpf-map: /sys/fs/bpf/none: open pin: no such file or directory\n\
                  bpf-map: agent: connect: no such file or directory: \
                  none of the 3 objects was stored\n";
    let want = Run { status: 2, stdout: String::new(), stderr: stderr.into() };
    assert_eq!(run(&mut lab.map(words)), want);
    // The first is stored, of the second it is not known.
    let path = lab.path("agent");
    let words = ["put", "--socket=agent", &pins[0], &pins[1], &pins[2], &pins[3]];
    let run = play(&path, &mut lab.map(words), |played| {
        let client = played.accept();
        let id = id_of(&client.receive().unwrap().fds[0]);
        client.send(&reply(0, 1, &[record("a", id)]), &[]).unwrap();
        client.receive().unwrap();
        std::fs::remove_file(&path).unwrap();
    });
    let stderr = "bpf-map: agent#b: put: connect again: no such file or directory: \
                  whether it was done is not known\n\
                  bpf-map: /sys/fs/bpf/c: not sent to the agent\n\
                  bpf-map: /sys/fs/bpf/d: not sent to the agent\n";
    assert_eq!(run, Run { status: 2, stdout: String::new(), stderr: stderr.into() });
}

#[test]
fn refused_name_does_not_stop_the_others() {
    let lab = Lab::new();
    let program = lab.reachable("bpf-map");
    let rules = ["*:uid=65534:list", "b:uid=65534:remove"].map(|rule| format!("--allow={rule}"));
    let options = ["--socket", "agent", "--socket-mode=0666", &rules[0], &rules[1]];
    let _agent = Agent::start(&mut lab.agent(options));
    let pin = lab.array("pinned", 1);
    put_all(&lab, &pin, &["a", "b"]);
    let mut command = lab.program(NOBODY[0], &NOBODY[1..]);
    command.args([&program, "agent", "--socket=agent", "--remove", "none", "a", "b"]);
    let run = run(&mut command);
    assert_eq!((run.status, run.stdout.as_str()), (2, ""), "{run:?}");
    let lines: Vec<&str> = run.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{run:?}");
    assert!(lines[0].starts_with("bpf-map: agent#none: remove: "), "{run:?}");
    assert!(lines[1].starts_with("bpf-map: agent#a: remove: "), "{run:?}");
    assert_eq!(held(&lab).iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["a"]);
}

#[test]
fn names_without_a_connection_are_reported() {
    let lab = Lab::new();
    let path = lab.path("agent");
    for (options, what, unsure) in [
        (&["--json"][..], "look up", ""),
        (&["--remove"], "remove", ": whether it was done is not known"),
    ] {
        let words = [&["agent", "--socket=agent"], options, &["a", "b", "c"]].concat();
        let run = play(&path, &mut lab.map(words), |played| {
            let client = played.accept();
            client.receive().unwrap();
            let records: &[Record] = if unsure.is_empty() { &[record("a", 1)] } else { &[] };
            client.send(&reply(0, 1, records), &[]).unwrap();
            client.receive().unwrap();
            client.send(b"no reply", &[]).unwrap();
        });
        let lines: Vec<&str> = run.stderr.lines().collect();
        assert_eq!((run.status, lines.len()), (2, 2), "{run:?}");
        let start = format!("bpf-map: agent#b: {what}: a reply not understood: ");
        assert!(lines[0].starts_with(&start) && lines[0].ends_with(unsure), "{run:?}");
        assert_eq!(lines[1], "bpf-map: \"c\": not sent to the agent");
        // The records of the list are printed.
        assert_eq!(run.stdout.contains("\"name\": \"a\""), unsure.is_empty(), "{run:?}");
    }
}

#[test]
fn globs_are_listed_and_never_removed() {
    let lab = Lab::new();
    let _agent = serve(&lab);
    let pin = lab.array("pinned", 1);
    put_all(&lab, &pin, &["b1", "a2", "a1", "a*"]);
    let list = |words: &[&str]| {
        let words = [&["agent", "--socket=agent", "--json"], words].concat();
        let run = run(&mut lab.map(words));
        let json: Vec<serde_json::Value> = serde_json::from_str(&run.stdout).unwrap();
        let names: Vec<String> = json.iter().map(|o| o["name"].as_str().unwrap().into()).collect();
        (names.join(" "), run.status, run.stderr)
    };
    let done = |names: &str| (names.to_owned(), 0, String::new());
    assert_eq!(list(&["a*"]), done("a* a1 a2"));
    assert_eq!(list(&["b1", "a?", "?1"]), done("b1 a* a1 a2 a1 b1"));
    let missing = "bpf-map: agent: list: no name matches \"c*\"\n".to_owned();
    assert_eq!(list(&["c*", "b?"]), ("b1".to_owned(), 1, missing));
    let remove = |name| run(&mut lab.map(["agent", "--socket=agent", "--remove", name]));
    assert_eq!(remove("a*"), Run { status: 0, stdout: String::new(), stderr: String::new() });
    assert_eq!(list(&[]), done("a1 a2 b1"));
    let stderr = "bpf-map: agent#a?: remove: nothing is stored as \"a?\"\n".into();
    assert_eq!(remove("a?"), Run { status: 1, stdout: String::new(), stderr });
}
