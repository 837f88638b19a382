//! `bpf-map add`.

use super::*;

/// Runs four batches of 500 additions at the same time, to the fields of one map in turn.
fn add_concurrently(lab: &Lab, map: &str, fields: &[&str]) {
    let line = |at: usize| format!("add --atomic {} 0 {} 1\n", pin(map), fields[at % fields.len()]);
    std::fs::write(lab.path("lines"), (0..500).map(line).collect::<String>()).expect("a file");
    let start = |_| {
        let mut batch = lab.map(["batch", "lines"]);
        batch.stdout(Stdio::null()).spawn().expect("bpf-map")
    };
    let batches: Vec<Child> = (0..4).map(start).collect();
    for mut batch in batches {
        assert!(batch.wait().expect("a batch").success());
    }
}

/// Adds to fields of a map while a program counts in it, and compares the sums.
fn add_while_a_program_counts(lab: &Lab, program: &str, map: &str, fields: &[(&str, i64)]) {
    let names: Vec<&str> = fields.iter().map(|(field, _)| *field).collect();
    let mut writers = Writers::start(lab, program);
    let mut added = 0;
    // A field of two bytes has room for these, and an emulated machine the time.
    while added == 0 || added < 3_000 && writers.are_running() {
        add_concurrently(lab, map, &names);
        added += 2000 / names.len() as i64;
    }
    let written = writers.finish() as i64;
    for (field, factor) in fields {
        assert_eq!(read(lab, map, field), factor * written + added, "{map} {field}");
    }
}

#[test]
fn adds_and_atomic_counts_lose_nothing() {
    // The program leaves .narrow unchanged.
    let fields = [(".hits", 1), (".wide", 1), (".narrow", 0), (".down", -1)];
    for map in SHARED {
        add_while_a_program_counts(&lab(), "shared", map, &fields);
    }
}

#[test]
fn adds_and_plain_counts_per_cpu_lose_nothing() {
    let fields = [(".hits", 1), (".wide", 1), (".down", -1), (".last", 1)];
    for map in PER_CPU {
        add_while_a_program_counts(&lab(), "per_cpu", map, &fields);
    }
}

#[test]
fn adds_below_a_spin_lock_lose_nothing() {
    needs!(Feature::LockInSyscallProgram);
    add_while_a_program_counts(&lab(), "guarded", "locked", &[(".hits", 1), (".wide", 1)]);
}

#[test]
fn add_to_one_cpu_leaves_the_others() {
    let lab = lab();
    for map in PER_CPU {
        for (at, cpu) in usable_cpus().into_iter().enumerate() {
            let (cpu, number) = (cpu.to_string(), (at + 1).to_string());
            let words = ["add", "--atomic", "--cpu", &cpu, &pin(map), "0", ".wide", &number];
            assert_eq!(stdout_of(&mut lab.map(words)), format!("{number}\n"));
        }
        let all = stdout_of(&mut lab.map(["get", "--per-cpu", &pin(map), "0", ".wide"]));
        for (at, cpu) in usable_cpus().into_iter().enumerate() {
            assert!(all.contains(&format!("{cpu}\t{}\n", at + 1)), "{all}");
        }
    }
}

#[test]
fn programs_of_add_are_gone_when_it_ends() {
    let lab = lab();
    let before = bpftool(&["-j", "prog", "show"]);
    add_concurrently(&lab, "hash", &[".hits"]);
    let loaded = |text: &str| text.matches("\"name\":\"add\"").count();
    eventually("the end of the programs", || {
        loaded(&bpftool(&["-j", "prog", "show"])) <= loaded(&before)
    });
    assert_eq!(read(&lab, "hash", ".hits"), 2000);
}
