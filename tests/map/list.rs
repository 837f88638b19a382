//! `bpf-map list`: inherited objects, and all maps that the caller may see.

use crate::common::*;
use serde_json::Value;

fn rows(json: &str) -> Vec<Value> {
    serde_json::from_str::<Vec<Value>>(json).expect("an array")
}

#[test]
fn empty_list_is_one_line_and_exit_2() {
    let lab = Lab::new();
    lab.array("mine", 1);
    let program = lab.reachable("bpf-map");
    for words in [&[][..], &["list"], &["list", "--all", "--json"]] {
        let command = [&NOBODY[1..], &[program.as_str()], words].concat();
        fails(
            &mut lab.program(NOBODY[0], command),
            2,
            "bpf-map: list: nothing is inherited, no pin below /sys/fs/bpf may be read, and other maps need CAP_SYS_ADMIN",
        );
    }
}

#[test]
fn unprivileged_list_has_the_readable_pins() {
    let lab = Lab::new();
    let pin = lab.array("open", 3);
    lab.array("closed", 1);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(&pin, mode).unwrap();
    let program = lab.reachable("bpf-map");
    let command = [&NOBODY[1..], &[program.as_str(), "list", "--json"]].concat();
    let rows = rows(&stdout_of(&mut lab.program(NOBODY[0], command)));
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["pins"], serde_json::json!(["/sys/fs/bpf/open"]));
    assert_eq!((&rows[0]["id"], &rows[0]["fd"]), (&map_id(&pin).into(), &Value::Null));
}

#[test]
fn all_maps_are_those_of_bpftool_with_their_pins_and_flags() {
    let lab = Lab::new();
    let name = unique("two");
    let pin = lab.array(&name, 1);
    let id = map_id(&pin);
    // A second pin, whose name could break a line.
    let other = "/sys/fs/bpf/d/a\nb";
    std::fs::create_dir("/sys/fs/bpf/d").unwrap();
    let held = open_pin(&pin);
    stdout_of(&mut lab.map(["pin", pin.to_str().unwrap(), other]));
    let flags = unique("flags");
    let spec = format!("{flags}=hash,key=4,value=4,entries=1,flags=NO_PREALLOC|RDONLY_PROG");
    let path = format!("/sys/fs/bpf/{flags}");
    stdout_of(&mut lab.map(["create", &spec, "--pin", &path]));
    let all = rows(&stdout_of(&mut lab.map(["list", "--all", "--json"])));
    let of = |id: u32| all.iter().find(|row| row["id"] == id).expect("a row");
    assert_eq!(of(id)["pins"], serde_json::json!([other, pin.to_str().unwrap()]));
    assert_eq!(of(id)["index"], Value::Null);
    let flagged = of(map_id(path.as_ref()));
    assert_eq!(flagged["flags"], serde_json::json!(["NO_PREALLOC", "RDONLY_PROG"]));
    assert_eq!(flagged["name"], flags[..flags.len().min(15)]);
    // Other tests create maps concurrently: maps that bpftool lists before and after must be listed.
    let ids = |json: String| -> Vec<u64> {
        rows(&json).iter().map(|row| row["id"].as_u64().unwrap()).collect()
    };
    let before = ids(bpftool(&["-j", "map", "show"]));
    let ours = ids(stdout_of(&mut lab.map(["list", "--json"])));
    let after = ids(bpftool(&["-j", "map", "show"]));
    let missing = before.iter().filter(|id| after.contains(id) && !ours.contains(id));
    assert_eq!(missing.count(), 0, "{before:?} {ours:?} {after:?}");
    // A table has a line for each.
    let table = stdout_of(&mut lab.map(["list"]));
    let line = table.lines().find(|line| line.contains(&format!(" {id} "))).expect("a line");
    assert!(line.contains("/sys/fs/bpf/d/a\\nb,/sys/fs/bpf/two"), "{line}");
    assert!(table.starts_with("NAME "), "{table}");
    drop(held);
}

#[test]
fn inherited_maps_are_listed_alone_without_all() {
    let lab = Lab::new();
    let pin = lab.array("mine", 1);
    let other = lab.array("other", 1);
    let list = |words: &[&str]| {
        let words = [&["--pin", pin.to_str().unwrap(), "bpf-map"], words].concat();
        stdout_of(&mut lab.exec(words))
    };
    assert_eq!(list(&[]), list(&["list"]));
    let table = list(&[]);
    assert!(table.starts_with("INDEX  NAME  FD "), "{table}");
    assert_eq!(table.lines().count(), 2, "{table}");
    let alone = rows(&list(&["list", "--json"]));
    assert_eq!(alone.len(), 1);
    assert_eq!(alone[0]["pins"], serde_json::json!(["/sys/fs/bpf/mine"]));
    let all = rows(&list(&["list", "--all", "--json"]));
    assert_eq!((&all[0]["index"], &all[0]["fd"]), (&0.into(), &64.into()));
    let id = map_id(&pin);
    assert_eq!(all.iter().filter(|row| row["id"] == id).count(), 1);
    assert!(all.iter().any(|row| row["id"] == map_id(&other)));
}

#[test]
fn bpffs_root_is_an_option_a_variable_or_the_usual_path() {
    let lab = Lab::new();
    lab.array("usual", 1);
    let [one, two] = ["one", "two"].map(|name| {
        let root = lab.path(name);
        std::fs::create_dir(&root).unwrap();
        let (source, flags) = (Some("bpf"), nix::mount::MsFlags::empty());
        nix::mount::mount(source, &root, Some("bpf"), flags, None::<&str>).unwrap();
        lab.array(root.join(name).to_str().unwrap(), 1);
        root.to_str().unwrap().to_owned()
    });
    for (options, variable, want) in [
        (&[][..], None, "/sys/fs/bpf/usual".to_owned()),
        (&[], Some(""), "/sys/fs/bpf/usual".into()),
        (&[], Some(one.as_str()), format!("{one}/one")),
        (&["--bpffs", &two], Some(&one), format!("{two}/two")),
    ] {
        let pin = |words: &[&str]| {
            let mut command = lab.map([options, words].concat());
            command.envs(variable.map(|root| ("TC_BPF_MNT", root)));
            stdout_of(&mut command)
        };
        let listed = pin(&["list", "--all", "--json"]);
        let pins = listed.matches("\"pins\": [\"").count();
        assert!(pins == 1 && listed.contains(&format!("\"pins\": [\"{want}\"]")), "{listed}");
        assert!(pin(&["show", &want]).contains(&format!("\npin: {want}\n")), "{want}");
    }
    let none = "no bpf file system is mounted there";
    for (root, cause) in [("/none", "no such file or directory"), ("/tmp", none)] {
        let line = format!("bpf-map: {root}: read directory: {cause}");
        for words in [&["list"][..], &["list", "--all", "--json"], &["show", "/sys/fs/bpf/usual"]] {
            fails(&mut lab.map([&["--bpffs", root], words].concat()), 2, &line);
            fails(lab.map(words).env("TC_BPF_MNT", root), 2, &line);
        }
    }
    let file = lab.path("lines");
    std::fs::write(&file, "--bpffs / list\n").unwrap();
    let line = "bpf-map: line 1: --bpffs: not possible within a batch: give it to bpf-map itself";
    let run = run(&mut lab.map(["batch".as_ref(), file.as_os_str()]));
    let want = (2, "\n", format!("{line}\n"));
    assert_eq!((run.status, run.stdout.as_str(), run.stderr), want);
    for root in [one, two] {
        nix::mount::umount(root.as_str()).unwrap();
    }
}
