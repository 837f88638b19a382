//! `bpf-map set` of fields.

use super::*;

/// Writes fields in the words of counters, 2,000 times, while a program counts in the same values, and
/// while `adds` numbers are added to a field in the same word.
fn set_while_a_program_counts(lab: &Lab, program: &str, map: &str, options: &str, adds: usize) {
    let map_pin = pin(map);
    let line = |at: usize| {
        // The line before has written this. The value of several CPUs has no condition.
        let condition = match at == 0 || !options.is_empty() {
            true => String::new(),
            false => format!("--if .flag={}", at % 2 == 1),
        };
        let (flag, level) = (at.is_multiple_of(2), at % 256);
        format!(
            "set --atomic {options} {condition} {map_pin} 0 .flag {flag} .level {level}\n\
             set --atomic {options} {map_pin} 0 .name n{level}\n"
        )
    };
    std::fs::write(lab.path("lines"), (0..2000).map(line).collect::<String>()).expect("a file");
    let add = format!("add --atomic {map_pin} 0 .narrow 1\n");
    std::fs::write(lab.path("adds"), add.repeat(adds)).expect("a file");
    let mut writers = Writers::start(lab, program);
    let adding = lab.map(["batch", "adds"]).stdout(Stdio::null()).spawn();
    let mut rounds = 0;
    while rounds < 1 || rounds < 3 && writers.are_running() {
        stdout_of(&mut lab.map(["batch", "lines"]));
        rounds += 1;
    }
    assert!(adding.expect("bpf-map").wait().expect("a batch").success());
    let cpus = usable_cpus().len() as i64;
    let written = writers.finish() as i64;
    // The program counts in .narrow of each CPU, or not at all.
    let narrow = if adds == 0 { cpus * (written / cpus % 65_536) } else { adds as i64 };
    for (field, want) in
        [(".hits", written), (".wide", written), (".down", -written), (".narrow", narrow)]
    {
        assert_eq!(read(lab, map, field), want, "{map} {field}");
    }
    let name = stdout_of(&mut lab.map(["get", &map_pin, "0", ".name"]));
    assert_eq!(name, format!("n{}\n", 1999 % 256), "{map}");
}

#[test]
fn field_writes_and_atomic_counts_lose_nothing() {
    for map in SHARED {
        set_while_a_program_counts(&lab(), "shared", map, "", 5_000);
    }
}

#[test]
fn field_writes_and_plain_counts_per_cpu_lose_nothing() {
    for map in PER_CPU {
        set_while_a_program_counts(&lab(), "per_cpu", map, "--all-cpus", 0);
    }
}

/// A command on a map that is created for it.
fn with(lab: &Lab, map: &str, script: &str) -> Command {
    lab.exec(["--create", map, "--", "sh", "-c", script])
}

#[test]
fn several_fields_are_written_and_others_kept() {
    let lab = Lab::new();
    let value = "struct{a: u32, b: u8:3, c: u8:5, d: mac, e: ip6, f: u64, g: char[5], h: i16[2]}";
    let set = "bpf-map set m 0 'a=1 b=2 c=3 d=00:00:00:00:00:04 e=::5 f=6 g=seven h=[8,9]'";
    for map in [
        format!("m=array,value={value},entries=2"),
        format!("m=array,value={value},entries=2,flags=MMAPABLE"),
        format!("m=hash,key=u32,value={value},entries=2"),
        format!("m=lru_hash,key=u32,value={value},entries=32"),
    ] {
        let script = format!(
            "{set}; bpf-map set m 0 .b 7 .f 60; bpf-map set --atomic m 0 .d 0a:00:00:00:00:0b .g x
            bpf-map get m 0; bpf-map set m 0 .e ::1 .h[1] -2 .a 4294967295; bpf-map get m 0
            bpf-map set --verbose m 7 .a 1; echo $?"
        );
        let run = run(&mut with(&lab, &map, &script));
        assert_eq!(
            run.stdout,
            "a=1 b=7 c=3 d=0a:00:00:00:00:0b e=::5 f=60 g=x h=[8,9]\n\
             a=4294967295 b=7 c=3 d=0a:00:00:00:00:0b e=::1 f=60 g=x h=[8,-2]\n1\n",
            "{map}"
        );
        assert_eq!(run.stderr, "bpf-map: m: no key 7\n", "{map}");
    }
}

#[test]
fn key_of_a_single_entry_can_be_omitted_before_several_fields() {
    let lab = Lab::new();
    let map = "m=array,value=struct{a: u32, b: u32},entries=1";
    let script = "bpf-map set m .a 1 .b 2; bpf-map get m 0; bpf-map set m .b 3; bpf-map get m .b";
    assert_eq!(stdout_of(&mut with(&lab, map, script)), "a=1 b=2\n3\n");
    for words in ["1 .a 1 .b", "1 .a 1 b 2", "1 x 2"] {
        let run = run(&mut with(&lab, map, &format!("bpf-map set m {words}")));
        assert_eq!((run.status, run.stdout.as_str()), (2, ""), "{words}: {}", run.stderr);
        assert!(run.stderr.contains("a field such as .NAME goes before the value"), "{words}");
    }
}

#[test]
fn condition_on_a_field_is_checked_with_the_write() {
    let lab = Lab::new();
    let value = "struct{a: u32, b: u16, c: u8, d: enum:u8{OFF=0, ON=1}}";
    for map in [
        format!("m=array,value={value},entries=1"),
        format!("m=array,value={value},entries=1,flags=MMAPABLE"),
        format!("m=percpu_array,value={value},entries=1"),
    ] {
        let cpu = if map.contains("percpu") { "--cpu 0" } else { "" };
        let script = format!(
            "bpf-map set m 0 .d ON {cpu} --if .d=OFF; echo $?; bpf-map set m 0 .d ON .c 5 {cpu} --if .d=OFF; echo $?
            bpf-map set m 0 .a 7 {cpu} --if .d=ON; echo $?; bpf-map get m 0 {cpu}"
        );
        let run = run(&mut with(&lab, &map, &script));
        assert_eq!(run.stdout, "0\n1\n0\na=7 b=0 c=0 d=ON\n", "{map}");
        assert_eq!(run.stderr, "bpf-map: m: .d has another value\n", "{map}");
    }
}

#[test]
fn condition_on_several_cpus_is_refused() {
    needs!(Feature::SeveralCpus);
    let lab = Lab::new();
    let cpu = usable_cpus()[1];
    for map in ["m=percpu_array,value=u64,entries=1", "m=percpu_hash,key=u32,value=u64,entries=1"] {
        for option in ["--all-cpus", "--sum", ""] {
            // Without the refusal, the first CPU would be written before the other one refuses.
            let script = format!(
                "bpf-map set m 0 0 --all-cpus; bpf-map set m 0 . 3 --cpu {cpu}
                bpf-map set m 0 . 1 {option} --if .=0; echo $?; bpf-map get m 0"
            );
            let want = Run {
                status: 0,
                stdout: "2\n3\n".into(),
                stderr: "bpf-map: m: --if: not possible for several CPUs at once: use --cpu\n"
                    .into(),
            };
            assert_eq!(run(&mut with(&lab, map, &script)), want, "{map} {option}");
        }
    }
}

#[test]
fn one_of_several_conditional_writers_succeeds() {
    let lab = lab();
    for map in SHARED {
        let map = pin(map);
        let start = |number: usize| {
            let mut set = lab.map(["set", "--if", ".wide=0", &map, "0", ".wide"]);
            set.arg((number + 1).to_string()).stderr(Stdio::null()).spawn().expect("bpf-map")
        };
        let writers: Vec<Child> = (0..8).map(start).collect();
        let statuses = writers.into_iter().map(|mut child| child.wait().expect("a child").code());
        let statuses: Vec<Option<i32>> = statuses.collect();
        let winners: Vec<usize> = (0..8).filter(|at| statuses[*at] == Some(0)).collect();
        assert_eq!(winners.len(), 1, "{statuses:?}");
        assert!(statuses.iter().all(|status| matches!(status, Some(0 | 1))), "{statuses:?}");
        let wide = stdout_of(&mut lab.map(["get", &map, "0", ".wide"]));
        assert_eq!(wide, format!("{}\n", winners[0] + 1), "{map}");
    }
}

#[test]
fn condition_below_a_lock_may_be_on_another_field() {
    needs!(Feature::LockInSyscallProgram);
    let lab = lab();
    let map = pin("locked");
    let set = |words: &[&str]| run(&mut lab.map([&["set", &map, "0"], words].concat())).status;
    assert_eq!(set(&[".hits", "5", ".narrow", "6", "--if", ".wide=0"]), 0);
    assert_eq!(set(&[".hits", "7", "--if", ".wide=1"]), 1);
    assert_eq!(stdout_of(&mut lab.map(["get", &map, "0"])), "wide=0 hits=5 narrow=6\n");
}

#[test]
fn condition_that_cannot_be_checked_with_the_write_is_refused() {
    let lab = Lab::new();
    let atomic = "m: set: --if: not possible atomically";
    for (map, words, cause) in [
        (
            "m=array,value=struct{a: u64, b: u64},entries=1",
            "0 .a 1 --if .b=0",
            format!(
                "{atomic}: the fields are not inside of one aligned word of 4 or 8 bytes of the value, \
                 and it has no lock"
            ),
        ),
        (
            "m=lpm_trie,key=lpm{ip4},value=struct{a: u64},entries=1",
            "10.0.0.0/8 .a 1 --if .a=0",
            format!("{atomic}: programs do not change the values of an lpm_trie in place"),
        ),
        (
            "m=array,value=u64,entries=1",
            "0 1 --if .=0",
            "m: --if: only fields can be written on this condition".into(),
        ),
        ("m=array,value=u64,entries=1", "0 . 1 --if x=0", "--if x=0: expected .FIELD=OLD".into()),
        ("m=array,value=u64,entries=1", "0 . 1 --if .x", "--if .x: expected .FIELD=OLD".into()),
    ] {
        fails(
            &mut with(&lab, map, &format!("bpf-map set m {words}")),
            2,
            &format!("bpf-map: {cause}"),
        );
    }
}
