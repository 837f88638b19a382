//! Changes that are not possible without losing what others write, and those that are not permitted.

use super::*;

/// A command on a map that is created for it.
fn with(lab: &Lab, map: &str, script: &str) -> Command {
    lab.exec(["--create", map, "--", "sh", "-c", script])
}

/// The line of `--verbose` for a change that may lose what others write.
fn lossy(cause: &str) -> String {
    format!("bpf-map: m: read, changed and written back, not atomically: {cause}\n")
}

#[test]
fn add_that_may_lose_counts_says_why_or_is_refused() {
    let lab = Lab::new();
    let field = "the field is not inside of an aligned word of 4 or 8 bytes of the value";
    for (map, key, path, cause) in [
        ("m=hash,key=u32,value=u8,entries=1", "1", ".", field),
        ("m=hash,key=u32,value=packed struct{a: u64, b: u16},entries=1", "1", ".b", field),
        ("m=hash,key=u32,value=packed struct{a: u8, b: u64, c: u32},entries=1", "1", ".b", field),
        ("m=hash,key=u32,value=u128,entries=1", "1", ".", field),
        (
            "m=lpm_trie,key=lpm{ip4},value=u64,entries=1",
            "10.0.0.0/8",
            ".",
            "programs do not change the values of an lpm_trie in place",
        ),
        (
            "m=hash,key=u32,value=u64,entries=1,flags=RDONLY_PROG",
            "1",
            ".",
            "programs may not read and write the map (RDONLY_PROG or WRONLY_PROG)",
        ),
        (
            "m=hash,key=hex[456],value=u64,entries=1",
            &format!("hex:{}", "01".repeat(456)),
            ".",
            "the map has keys of more than 448 bytes",
        ),
    ] {
        let add = format!("bpf-map add --create --verbose m {key} {path} 5");
        let want = Run { status: 0, stdout: "5\n".into(), stderr: lossy(cause) };
        assert_eq!(run(&mut with(&lab, map, &add)), want, "{map}");
        let refused = format!("bpf-map: m: add: not possible atomically: {cause}");
        let add = format!("bpf-map add --create --atomic m {key} {path} 5");
        fails(&mut with(&lab, map, &add), 2, &refused);
    }
}

#[test]
fn add_without_cap_bpf_works_and_says_so() {
    let lab = Lab::new();
    for (map, is_atomic) in [
        ("m=hash,key=u32,value=u64,entries=1", false),
        ("m=percpu_array,value=u64,entries=1", false),
        ("m=array,value=u64,entries=1,flags=MMAPABLE", true),
    ] {
        let script = |options: &str| {
            let add = format!("{} add --create {options} m 0 5", lab.reachable("bpf-map"));
            let words = ["--create", map, "--"];
            lab.exec(words.into_iter().chain(NOBODY).chain(["sh", "-c", &add]))
        };
        let stderr = match is_atomic {
            true => "bpf-map: m: changed in memory, atomically\n".into(),
            false => lossy("CAP_BPF is needed"),
        };
        let want = Run { status: 0, stdout: "5\n".into(), stderr };
        assert_eq!(run(&mut script("--verbose")), want, "{map}");
        match is_atomic {
            true => assert_eq!(stdout_of(&mut script("--atomic")), "5\n"),
            false => fails(
                &mut script("--atomic"),
                2,
                "bpf-map: m: add: not possible atomically: CAP_BPF is needed",
            ),
        }
    }
}

#[test]
fn value_of_a_cpu_that_is_out_of_reach_is_written_back() {
    let lab = lab();
    let cpu = usable_cpus()[0].to_string();
    // As if a cpuset excluded the CPU, which is online.
    let trace = lab.path("trace");
    let strace = ["strace", "-f", "-e", "signal=none", "-e", "trace=sched_setaffinity", "-e"];
    let inject = ["inject=sched_setaffinity:error=EINVAL", "-o", trace.to_str().expect("UTF-8")];
    let label = pin("cpu_hash");
    let add = |option: &str| {
        let words = ["add", "--cpu", &cpu, option, &label, "0", ".hits", "5"];
        wrapped(&[&strace[..], &inject].concat(), &lab.map(words))
    };
    let cause = format!("this process may not run on CPU {cpu}: invalid argument");
    let refused = format!("bpf-map: {label}: add: not possible atomically: {cause}");
    fails(&mut add("--atomic"), 2, &refused);
    let stderr =
        format!("bpf-map: {label}: read, changed and written back, not atomically: {cause}\n");
    let want = Run { status: 0, stdout: "5\n".into(), stderr };
    assert_eq!(run(&mut add("--verbose")), want);
}

#[test]
fn take_that_would_lose_counts_is_refused() {
    let lab = Lab::new();
    let loses = "not possible without losing changes of others";
    let word = "the number is not inside of an aligned word of 4 or 8 bytes of the value";
    for (map, options, cause) in [
        ("m=hash,key=u32,value=u16,entries=1", "", format!("value: {word}")),
        ("m=hash,key=u32,value=struct{a: u64, b: u128},entries=1", "", format!("b: {word}")),
        (
            "m=lpm_trie,key=lpm{ip4},value=u64,entries=1",
            "",
            format!("{loses}: programs do not change the values of an lpm_trie in place"),
        ),
        (
            "m=hash,key=u32,value=u64,entries=1,flags=RDONLY_PROG",
            "",
            format!(
                "{loses}: programs may not read and write the map (RDONLY_PROG or WRONLY_PROG)"
            ),
        ),
        ("m=hash,key=u32,value=char[8],entries=1", "", "no number to reset in char[8]".into()),
        (
            "m=hash,key=u32,value=u64,entries=1",
            "--top 1 value",
            "--top: the numbers of other entries would be lost: use --sort".into(),
        ),
        (
            "m=hash,key=u32,value=u64,entries=1",
            "--prometheus",
            "--prometheus: its counters must not be reset: use dump".into(),
        ),
    ] {
        let label = if options.is_empty() { "m: " } else { "" };
        let line = format!("bpf-map: {label}take: {cause}");
        fails(&mut with(&lab, map, &format!("bpf-map take m {options}")), 2, &line);
    }
    let mut queue = with(&lab, "m=queue,value=u64,entries=1", "bpf-map take m");
    let run = run(&mut queue);
    assert_eq!((run.status, run.stdout.as_str()), (2, ""), "{}", run.stderr);
    assert!(run.stderr.starts_with("bpf-map: m: take: "), "{}", run.stderr);
}

#[test]
fn take_without_cap_bpf_needs_mapped_memory() {
    let lab = Lab::new();
    let take = |map: &'static str| {
        let script = format!(
            "bpf-map set m 0 5; exec {} {} take m",
            NOBODY.join(" "),
            lab.reachable("bpf-map")
        );
        lab.exec(["--create", map, "--", "sh", "-c", &script])
    };
    let line = "bpf-map: m: take: not possible without losing changes of others: CAP_BPF is needed";
    fails(&mut take("m=array,value=u64,entries=1"), 2, line);
    assert_eq!(stdout_of(&mut take("m=array,value=u64,entries=1,flags=MMAPABLE")), "0\t5\n");
}

#[test]
fn frozen_map_and_read_only_fd_are_not_written_by_programs() {
    let lab = lab();
    let map = pin("hash");
    stdout_of(&mut lab.map(["set", &map, "0", ".hits", "5"]));
    let why = |what: &str| format!("operation not permitted (the {what})");
    for words in [&["take", "hash"][..], &["add", "hash", "0", ".hits", "1"]] {
        let inherited = ["-r", "--pin", &map, "--", "bpf-map"];
        let line = format!("bpf-map: hash: {}: {}", words[0], why("descriptor is read-only"));
        fails(&mut lab.exec([&inherited, words].concat()), 2, &line);
    }
    bpftool(&["map", "freeze", "pinned", &map]);
    for words in [&["take", &map][..], &["add", &map, "0", ".hits", "1"]] {
        let line = format!("bpf-map: {map}: {}: {}", words[0], why("map is frozen"));
        fails(&mut lab.map(words), 2, &line);
    }
    assert_eq!(read(&lab, "hash", ".hits"), 5);
}

#[test]
fn take_is_refused_if_one_cpu_is_out_of_reach() {
    let lab = lab();
    let map = pin("cpu_array");
    stdout_of(&mut lab.map(["set", "--all-cpus", &map, "0", ".hits", "5"]));
    let before = stdout_of(&mut lab.map(["get", "--per-cpu", &map, "0"]));
    let cpu = usable_cpus()[0];
    let (trace, take) = (lab.path("trace"), lab.map(["take", &map]));
    let strace = ["strace", "-f", "-e", "signal=none", "-e", "trace=sched_setaffinity", "-e"];
    let inject = ["inject=sched_setaffinity:error=EINVAL", "-o", trace.to_str().expect("UTF-8")];
    let line = format!(
        "bpf-map: {map}: take: not possible without losing changes of others: this process may not \
         run on CPU {cpu}: invalid argument"
    );
    fails(&mut wrapped(&[&strace[..], &inject].concat(), &take), 2, &line);
    assert_eq!(stdout_of(&mut lab.map(["get", "--per-cpu", &map, "0"])), before);
}

#[test]
fn take_that_fails_midway_prints_what_it_took() {
    needs!(Feature::SeveralCpus);
    let lab = lab();
    let map = pin("cpu_array");
    let all = usable_cpus().len() as u64 * 5;
    let trace = lab.path("trace");
    let sum = |text: &str| text.trim().parse::<u64>().unwrap_or(0);
    let mut partial = 0;
    // One of the calls that move the thread to a CPU, or back, fails.
    for call in 1..=4 * usable_cpus().len() {
        stdout_of(&mut lab.map(["set", "--all-cpus", &map, "0", ".hits", "5"]));
        let inject = format!("inject=sched_setaffinity:error=EINVAL:when={call}");
        let strace = ["strace", "-f", "-e", "signal=none", "-e", "trace=sched_setaffinity", "-e"];
        let options = [&inject, "-o", trace.to_str().expect("UTF-8")];
        let take = lab.map(["take", "--csv", "--fields", "hits", &map, "0"]);
        let run = run(&mut wrapped(&[&strace[..], &options].concat(), &take));
        let taken = run.stdout.lines().last().and_then(|line| line.strip_prefix("0,"));
        let taken = taken.map_or(0, sum);
        let left = stdout_of(&mut lab.map(["get", &map, "0", ".hits"]));
        assert_eq!(taken + sum(&left), all, "call {call}: {run:?}");
        match run.status {
            0 => assert_eq!((taken, run.stderr.as_str()), (all, ""), "call {call}"),
            status => {
                assert_eq!(status, 2, "{run:?}");
                assert!(run.stderr.contains("may not run on CPU"), "{run:?}");
                partial += u64::from(taken > 0);
            }
        }
    }
    assert!(partial > 0);
}

#[test]
fn take_to_a_file_that_cannot_be_created_takes_nothing() {
    let lab = Lab::new();
    let map = "m=hash,key=u32,value=u64,entries=1";
    let script = |file: &str| {
        format!("bpf-map set m 1 5; bpf-map take -o {file} m; echo $?; bpf-map get m 1; ls -A")
    };
    for (file, cause) in [
        ("missing/file", "write: no such file or directory"),
        ("directory", "write: not a regular file"),
    ] {
        let script = format!("mkdir -p directory; {}", script(file));
        let run = run(&mut with(&lab, map, &script));
        assert_eq!((run.status, run.stdout.as_str()), (0, "2\n5\ndirectory\n"), "{file}");
        assert_eq!(run.stderr, format!("bpf-map: {file}: {cause}\n"));
    }
}
