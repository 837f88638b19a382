//! How maps reach the command, and that nothing else about it changes.

use crate::common::child::{Running, Start};
use crate::common::sender::Datagram;
use crate::common::*;
use nix::sys::signal::Signal;
use std::ffi::{CString, OsStr};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

const NOTHING: Run = Run { status: 0, stdout: String::new(), stderr: String::new() };

/// N `--create` options, for maps named `m0`, `m1` and so on.
fn create(count: usize) -> Vec<String> {
    let option = |i| format!("--create=m{i}=array,value=4,entries=1");
    (0..count).map(option).collect()
}

/// The contract's variables for unnamed layouts: an index, a descriptor and a name each.
fn variables(maps: &[(u32, i32, &str)]) -> Vec<String> {
    let count = format!("BPF_NUM_MAPS={}", maps.len());
    let each = maps
        .iter()
        .flat_map(|(n, fd, name)| [format!("BPF_MAP{n}={fd}"), format!("BPF_MAP{n}_NAME={name}")]);
    std::iter::once(count).chain(each).collect()
}

/// The target of a map's fd.
const MAP: Option<&str> = Some("anon_inode:bpf-map");

#[test]
fn command_inherits_exactly_the_announced_fds() {
    let lab = Lab::new();
    let pin = lab.array("pinned", 1);
    let pin = pin.to_str().unwrap();
    let sources: &[&[&str]] = &[&["--pin", pin], &["--pin", BPFFS], &[]];
    // What the caller has open, the base, and where three maps go then.
    for (open, base, want) in [
        (&[][..], None, [64, 65, 66]),
        (&[64, 66], None, [65, 67, 68]),
        (&[3, 5, 64], None, [65, 66, 67]),
        (&[4, 900], Some("3"), [3, 5, 6]),
        (&[], Some("3"), [3, 4, 5]),
        (&[10, 11], Some("10"), [12, 13, 14]),
        (&[64], Some("100"), [100, 101, 102]),
        (&[64], Some("4000"), [4000, 4001, 4002]),
    ] {
        for source in sources {
            let mut command = lab.exec(base.map(|base| format!("--fd-base={base}")));
            command.args(create(2)).args(*source);
            if source.is_empty() {
                command.arg("--create=m2=ringbuf,entries=4k");
            }
            let start = Start { open: open.to_vec(), ..Start::default() };
            let running = Running::cat(&start, command.args(["--", "cat"]));
            let fds = running.fds();
            let mut numbers = [&[0, 1, 2], open, &want].concat();
            numbers.sort_unstable();
            running.fds().assert_numbers(&numbers, &format!("{open:?} {base:?}"));
            assert!(open.iter().all(|number| fds.target(*number) == Some("/dev/null")), "{open:?}");
            assert!(want.iter().all(|number| fds.target(*number) == MAP), "{open:?}");
            let last = if source.is_empty() { "m2" } else { "pinned" };
            let [a, b, c] = want;
            let maps = [(0, a, "m0"), (1, b, "m1"), (2, c, last)];
            assert_eq!(running.contract(), variables(&maps));
            for (number, kind) in [(a, "2"), (b, "2"), (c, if last == "m2" { "27" } else { "2" })] {
                assert_eq!(running.fdinfo(number, "map_type"), kind);
            }
            assert_eq!(running.end(), NOTHING);
        }
    }
}

#[test]
fn maps_above_the_soft_limit_are_placed_and_it_is_restored() {
    let lab = Lab::new();
    let start = |hard| Start { open_files: Some((128, hard)), ..Start::default() };
    let names: Vec<String> = (0..300).map(|i| format!("m{i}")).collect();
    let maps: Vec<_> = (0..300).map(|i| (i, 64 + i as i32, names[i as usize].as_str())).collect();
    let numbers: Vec<i32> = (0..3).chain(64..364).collect();
    // This also works if inherited fds take all but a few of the numbers below the limit.
    for (hard, inner) in [(1024, &[][..]), (1024, &["bpf-exec", "--"]), (400, &["bpf-exec", "--"])]
    {
        let mut command = lab.exec(create(300));
        let running = Running::cat(&start(hard), command.arg("--").args(inner).arg("cat"));
        running.fds().assert_numbers(&numbers, &format!("{inner:?}"));
        assert_eq!(running.open_files(), (128, hard));
        assert_eq!(running.contract(), variables(&maps));
        assert_eq!(running.end(), NOTHING);
    }

    for (count, base, last) in [(100, "64", "163"), (1, "2147483647", "2147483647")] {
        let mut command = lab.exec(create(count));
        command.args(["--fd-base", base, "--", "touch", "ran"]);
        let line = format!(
            "bpf-exec: descriptors: place: \
             numbers up to {last} are needed, and the hard limit on open files is 160"
        );
        fails(start(160).apply(&mut command), 125, &line);
    }
    assert!(!lab.path("ran").exists());
}

#[test]
fn environment_differs_in_contract_variables_only() {
    let lab = Lab::new();
    let before = ["A=1", "no equals", "B==x=", "A=2", "=", "", "C=\u{e9}\n", "BPF_MAPS=x"];
    let after = ["BPF_MAP_X=1", "BPF_MAP1_SIZE=2", "XBPF_MAP0=3", "BPF_MAP0_NAMES=4", "Z="];
    let stale = [
        "BPF_NUM_MAPS=2",
        "BPF_MAP3_NAME=stale",
        "BPF_MAP3=1",
        "BPF_MAP3_LAYOUT=u8 -> u8",
        "BPF_MAP3_ID=7",
        "BPF_NUM_MAPS=9",
        "BPF_MAP3=999",
        "BPF_MAP0=998",
        "BPF_MAP5_NAME=stale",
        "BPF_MAP007=64",
    ];
    let path = format!("PATH={}", std::env::var("PATH").unwrap());
    let mut entries: Vec<CString> = [&before[..], &stale, &after, &[&path]]
        .concat()
        .into_iter()
        .map(|entry| CString::new(entry).unwrap())
        .collect();
    entries.insert(3, CString::new(&b"D=\xff\xfe"[..]).unwrap());
    let start = Start { environment: Some(entries.clone()), ..Start::default() };
    let running = Running::cat(&start, lab.exec(create(2)).args(["--", "cat"]));
    let mut want: Vec<Vec<u8>> = entries.into_iter().map(CString::into_bytes).collect();
    want.retain(|entry| !stale.iter().any(|stale| stale.as_bytes() == entry));
    let ours = variables(&[(0, 64, "m0"), (1, 65, "m1")]);
    want.extend(ours.into_iter().map(String::into_bytes));
    // Ids differ from run to run; a stale one would have the number of no map.
    let (ids, rest): (Vec<Vec<u8>>, Vec<Vec<u8>>) =
        running.environment().into_iter().partition(|entry| {
            entry.starts_with(b"BPF_MAP")
                && entry.split(|&b| b == b'=').next().unwrap().ends_with(b"_ID")
        });
    assert_eq!((ids.len(), rest), (2, want));
    let run = running.end();
    assert_eq!((run.status, run.stdout.as_str()), (0, ""));
    assert_eq!(
        run.stderr.lines().collect::<Vec<_>>(),
        [
            "bpf-exec: warning: BPF_MAP3: set more than once, the first one is used",
            "bpf-exec: warning: BPF_MAP007: not a number for a map, dropped",
            "bpf-exec: warning: BPF_MAP0: descriptor 998 is closed, dropped",
            "bpf-exec: warning: BPF_MAP3: descriptor 1 is a pipe, not a map, dropped",
        ]
    );
}

#[test]
fn names_arguments_and_paths_are_bytes() {
    let lab = Lab::new();
    let directory = Path::new(BPFFS).join(OsStr::from_bytes(b"d\xff"));
    std::fs::create_dir(&directory).unwrap();
    let original = lab.array("plain", 1);
    let names = ["größe".as_bytes(), b"two words", b"\xff\xfe", b"a=b", b"line\nbreak"];
    // The last two could be taken for something else: the kernel's name replaces them.
    for (at, name) in names.into_iter().enumerate() {
        let (used, warnings) = if at < 3 { (name, 0) } else { (&b"plain"[..], 2) };
        let pin = directory.join(OsStr::from_bytes(name));
        std::fs::rename(&original, &pin).unwrap();
        let given = [b"na\xc3=".as_slice(), pin.as_os_str().as_bytes()].concat();
        let (option, path) = (OsStr::new("--pin"), pin.as_os_str());
        let words =
            [option, path, option, directory.as_os_str(), option, OsStr::from_bytes(&given)];
        let running = Running::cat(&Start::default(), lab.exec(words).args(["--", "cat", "-"]));
        let environment = running.environment();
        for (variable, name) in [("0", used), ("1", used), ("2", b"na\xc3")] {
            let entry = [b"BPF_MAP", variable.as_bytes(), b"_NAME=", name].concat();
            assert!(environment.contains(&entry), "{environment:?}");
        }
        let end = running.end();
        assert_eq!((end.status, end.stdout.as_str()), (0, ""));
        assert_eq!(end.stderr.lines().count(), warnings, "{}", end.stderr);
        let mut command = lab.exec(["--create", "m=array,value=4,entries=1", "printf", "%s"]);
        let output = command.arg(OsStr::from_bytes(name)).output().unwrap();
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), name));
        assert_eq!(output.stderr, b"");
        std::fs::rename(&pin, &original).unwrap();
    }
}

/// Runs bpf-exec with options inside of another bpf-exec, which hands over `m0`, `m1` and `m2`.
/// Between the two, the variables are changed to declare m0 as 0, and m2 as both 2 and 9. The inner
/// command gets the variables `want`, and only `numbers` are open above the standard streams.
#[test]
fn inherited_maps_keep_their_numbers_and_others_fill_the_gaps() {
    let lab = Lab::new();
    lab.array("pinned", 1);
    let kept = [(0, 64, "m0"), (2, 66, "m2"), (9, 66, "twice")];
    for (options, want, numbers) in [
        // 65 is open, though no variable names it.
        (&[][..], &kept[..], &[64, 65, 66][..]),
        (
            &["--create=a=array,value=4,entries=1", "--create=b=array,value=4,entries=1"],
            &[kept[0], (1, 67, "a"), kept[1], (3, 68, "b"), kept[2]],
            &[64, 65, 66, 67, 68],
        ),
        (
            &["--pin", "/sys/fs/bpf", "--fd-base=3"],
            &[kept[0], (1, 3, "pinned"), kept[1], kept[2]],
            &[3, 64, 65, 66],
        ),
        // All that were inherited are closed, declared or not; and a number counts as free
        // if it was free at the start.
        (&["--clean", "--pin", "x=/sys/fs/bpf/pinned"], &[(0, 67, "x")], &[67]),
    ] {
        let mut command = lab.exec(create(3));
        command.args(["--", "env", "-u", "BPF_MAP1", "-u", "BPF_MAP1_NAME", "BPF_NUM_MAPS=3"]);
        command.args(["BPF_MAP9=66", "BPF_MAP9_NAME=twice", "bpf-exec"]).args(options);
        let running = Running::cat(&Start::default(), command.args(["--", "cat"]));
        assert_eq!(running.contract(), variables(want), "{options:?}");
        running.fds().assert_numbers(&[&[0, 1, 2], numbers].concat(), &format!("{options:?}"));
        assert_eq!(running.end(), NOTHING, "{options:?}");
    }
}

#[test]
fn inherited_maps_are_handed_over_again() {
    let lab = Lab::new();
    let pin = lab.array("hits", 1);
    let words = ["--pin", pin.to_str().unwrap(), "--", "bpf-exec", "--", "bpf-exec"];
    let mut command = lab.exec(words);
    let running = Running::cat(&Start::default(), command.args(create(1)).args(["--", "cat"]));
    assert_eq!(running.contract(), variables(&[(0, 64, "hits"), (1, 65, "m0")]));
    running.fds().assert_numbers(&[0, 1, 2, 64, 65], "the command's fds");
    assert_eq!(running.fdinfo(64, "map_id"), map_id(&pin).to_string());
    // In place: the process that was started is the command now.
    assert_eq!(running.status("Name"), "cat");
    assert_eq!(running.end(), NOTHING);
}

#[test]
fn command_is_found_by_path_and_defaults_to_a_shell() {
    let lab = Lab::new();
    let script = |name: &str, mode: u32, text: &str| {
        let path = lab.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    script("one/tool", 0o644, "#!/bin/sh\necho one\n");
    let tool = script("two/tool", 0o755, "#!/bin/sh\necho two $BPF_MAP0\n");
    script("one/dull", 0o644, "");
    script("two/orphan", 0o755, "#!/no/such/interpreter\n");
    script("two/plain", 0o755, "echo plain");
    std::fs::create_dir(lab.path("two/folder")).unwrap();
    let directory = lab.dir.path().to_str().unwrap().to_owned();
    let path = format!("{directory}/one:{directory}/two:/usr/bin:/bin");
    let not_found = |name| format!("bpf-exec: {name}: execute: command not found\n");
    let denied = |name| format!("bpf-exec: {name}: execute: permission denied\n");
    for (shell, words, status, stdout, stderr) in [
        (None, &["tool"][..], 0, "two 64\n", String::new()),
        (None, &["./two/tool"], 0, "two 64\n", String::new()),
        (None, &["plain"], 0, "plain\n", String::new()),
        (None, &["none"], 127, "", not_found("none")),
        (None, &["./none"], 127, "", not_found("./none")),
        (None, &[""], 127, "", not_found("\"\"")),
        (None, &["dull"], 126, "", denied("dull")),
        (None, &["folder"], 126, "", denied("folder")),
        (None, &["./two"], 126, "", "bpf-exec: ./two: execute: a directory\n".into()),
        (None, &["two/tool/x"], 126, "", "bpf-exec: two/tool/x: execute: not a directory\n".into()),
        (
            None,
            &["./two/orphan"],
            126,
            "",
            "bpf-exec: ./two/orphan: execute: its interpreter was not found\n".into(),
        ),
        (Some(tool.as_str()), &[], 0, "two 64\n", String::new()),
        (Some("tool"), &[], 0, "two 64\n", String::new()),
        (Some(""), &[], 0, "/bin/sh\n", String::new()),
        (None, &[], 0, "/bin/sh\n", String::new()),
        (Some("/none"), &[], 127, "", not_found("/none")),
    ] {
        let mut command = lab.exec(create(1));
        command.arg("--").args(words).env("PATH", &path).env_remove("SHELL");
        command.envs(shell.map(|shell| ("SHELL", shell)));
        // What the default shell reads.
        std::fs::write(lab.path("stdin"), "echo $0").unwrap();
        command.stdin(std::fs::File::open(lab.path("stdin")).unwrap());
        let want = Run { status, stdout: stdout.into(), stderr };
        assert_eq!(run(&mut command), want, "{shell:?} {words:?}");
    }
}

#[test]
fn status_is_that_of_the_command() {
    let lab = Lab::new();
    for (script, status) in [
        ("exit 0", 0),
        ("exit 1", 1),
        ("exit 125", 125),
        ("exit 126", 126),
        ("exit 127", 127),
        ("exit 255", 255),
        ("kill -TERM $$", 128 + 15),
        ("kill -KILL $$", 128 + 9),
        ("kill -PIPE $$", 128 + 13),
    ] {
        let run = run(lab.exec(create(1)).args(["--", "sh", "-c", script]));
        assert_eq!(run, Run { status, ..NOTHING }, "{script}");
    }
}

#[test]
fn signal_dispositions_are_inherited_unchanged() {
    let lab = Lab::new();
    let pin = lab.array("sent", 1);
    let fd = open_pin(&pin);
    let socket = lab.path("socket");
    for (ignored, blocked) in [
        (&[][..], &[][..]),
        (&[Signal::SIGPIPE], &[]),
        (&[], &[Signal::SIGUSR1, Signal::SIGTERM]),
        (&[Signal::SIGPIPE, Signal::SIGINT, Signal::SIGTERM], &[Signal::SIGINT, Signal::SIGPIPE]),
        (&[Signal::SIGHUP], &[Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGCHLD]),
    ] {
        let start =
            Start { ignored: ignored.to_vec(), blocked: blocked.to_vec(), ..Start::default() };
        let fields = ["SigIgn", "SigBlk", "SigPnd", "ShdPnd", "SigCgt"];
        let state = |running: Running| {
            let state = fields.map(|field| running.status(field));
            assert_eq!(running.end(), NOTHING);
            state
        };
        let want = state(Running::cat(&start, &mut Command::new("/bin/cat")));
        let got = state(Running::cat(&start, lab.exec(create(1)).args(["--", "cat"])));
        assert_eq!(got, want, "{ignored:?} {blocked:?}");
        // Waiting for a sender holds signals back; that is over, too.
        let sender = std::thread::spawn({
            let (socket, fd) = (socket.clone(), fd.try_clone().unwrap());
            move || {
                eventually("the socket", || socket.exists());
                Datagram::of(vec![[2, 4, 8, 1, 0, 0, 0, 0, 0]]).send(&socket, &[fd.as_fd()]);
            }
        });
        let words = ["--import", socket.to_str().unwrap(), "--", "cat"];
        let got = state(Running::cat(&start, &mut lab.exec(words)));
        sender.join().unwrap();
        assert_eq!(got, want, "{ignored:?} {blocked:?}");
    }
}

#[test]
fn closed_standard_streams_stay_closed() {
    let lab = Lab::new();
    lab.array("pinned", 1);
    for closed in [&[0][..], &[1], &[2], &[0, 1], &[0, 2], &[1, 2], &[0, 1, 2]] {
        for options in [&[][..], &["-v"], &["--fd-base", "3"], &["-r"]] {
            let start = Start { closed: closed.to_vec(), ..Start::default() };
            let mut command =
                lab.exec([&["--pin", BPFFS], options, &["--", "sleep", "1000"]].concat());
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let running = Running::until(&start, &mut command, "sleep");
            let map = if options.contains(&"3") { 3 } else { 64 };
            let mut want: Vec<i32> = (0..3).filter(|number| !closed.contains(number)).collect();
            want.push(map);
            running.fds().assert_numbers(&want, &format!("{closed:?} {options:?}"));
            assert_eq!(running.fds().target(map), MAP);
            running.kill();
        }
    }
    // Output that cannot be written is a failure if it is data, otherwise not.
    for (closed, words, status) in [
        (1, &["--dry-run"][..], 125),
        (1, &["--help"], 125),
        (2, &["-v", "true"], 0),
        (2, &["--pin", "/none", "true"], 125),
    ] {
        let start = Start { closed: vec![closed], ..Start::default() };
        let run = run(start.apply(&mut lab.exec(words)));
        let stderr = if closed == 1 {
            "bpf-exec: standard output: write: bad file descriptor\n"
        } else {
            ""
        };
        assert_eq!(run, Run { status, stderr: stderr.into(), ..NOTHING }, "{words:?}");
    }
}

#[test]
fn dry_run_prints_the_plan_and_runs_nothing() {
    let lab = Lab::new();
    let hits = lab.array("hits", 4);
    let id = map_id(&hits);
    let create = "--create=seen=hash,key=ip4,value=u32[2],entries=1k";
    let words = ["-r", "--pin", "/sys/fs/bpf/hits", "--fd-base=100"];
    let run_it = ["--", "touch", "ran"];
    let before = lab.files();

    let dry = stdout_of(&mut lab.exec([&words[..], &["--dry-run"], &run_it[..]].concat()));
    let width = id.to_string().len().max(2);
    let table = format!(
        "INDEX  NAME   FD  {:>width$}  TYPE   KEY  VALUE  MAX  ACCESS  LAYOUT\n    \
         0  hits  100  {id:>width$}  array    4      8    4  r       -\n",
        "ID"
    );
    assert_eq!(dry, table);
    assert_eq!(lab.files(), before);

    let verbose = run(&mut lab.exec([&words[..], &["-v"], &run_it[..]].concat()));
    assert_eq!(verbose, Run { stderr: table, ..NOTHING });
    std::fs::remove_file(lab.path("ran")).expect("it ran");

    let words = ["--pin=a=/sys/fs/bpf/hits", create, "--dry-run", "--json"];
    let json = stdout_of(&mut lab.exec([&words, &run_it[..]].concat()));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(lab.files(), before);
    let new = json[1]["id"].as_u64().expect("an id");
    let want = serde_json::json!([
        {
            "kind": "map", "index": 0, "name": "a", "fd": 64, "id": id, "type": "array", "key_size": 4,
            "value_size": 8, "max_entries": 4, "access": "rw", "layout": null, "layout_source": "size",
        },
        {
            "kind": "map", "index": 1, "name": "seen", "fd": 65, "id": new, "type": "hash", "key_size": 4,
            "value_size": 8, "max_entries": 1024, "access": "rw",
            "layout": "ip4 -> u32[2]", "layout_source": "option",
        },
    ]);
    assert_eq!(json, want);
    eventually("the end of the created map", || !map_exists(new as u32));

    // There is nothing to hand over; and --json needs --dry-run.
    let json = ["--dry-run", "--json"];
    std::fs::remove_file(&hits).unwrap();
    for (words, stdout) in [(&json[..], "[]\n"), (&json[..1], "")] {
        let warning = "bpf-exec: warning: /sys/fs/bpf: no map is pinned there\n";
        let want = Run { stdout: stdout.into(), stderr: warning.into(), ..NOTHING };
        assert_eq!(run(&mut lab.exec(words)), want);
    }
    let line = "bpf-exec: the following required arguments were not provided: --dry-run \
                (see bpf-exec --help)";
    fails(&mut lab.exec(["--json", "true"]), 125, line);
}
