//! `--expect`: a map with another layout than the command expects is refused, from every source.

use crate::common::agent::serve;
use crate::common::child::{Running, Start};
use crate::common::fds::pin_program;
use crate::common::receiver::activated;
use crate::common::*;
use std::os::fd::AsRawFd;
use std::process::Command;

const PIN: &str = "/sys/fs/bpf/flows";
const SAME: &str = "flows=u32 -> struct{rx: u64, tx: u64}";
const OTHER: &str = "flows=u32 -> struct{rx: u64, bytes: u64}";
const DIFFERENCE: &str = "value: bytes: u64 at offset 8 expected, tx: u64 at offset 8 found";

/// Pins a map with BTF at [`PIN`].
fn create(lab: &Lab) {
    let spec = "flows=hash,key=u32,value=struct{rx: u64, tx: u64},entries=4";
    stdout_of(&mut lab.map(["create", spec, "--pin", PIN]));
}

fn exec(lab: &Lab, sources: &[&str], expected: &[&str]) -> Command {
    let expected = expected.iter().flat_map(|expected| ["--expect", expected]);
    lab.exec(sources.iter().copied().chain(expected).chain(["--", "echo", "ran"]))
}

fn ran(stderr: &str) -> Run {
    Run { status: 0, stdout: "ran\n".into(), stderr: stderr.into() }
}

fn refused(difference: &str) -> Run {
    let stderr = format!("bpf-exec: flows: compare with --expect: {difference}\n");
    Run { status: 125, stdout: String::new(), stderr }
}

#[test]
fn map_of_every_source_is_compared_before_the_command_runs() {
    let lab = Lab::new();
    create(&lab);
    let id = map_id(std::path::Path::new(PIN)).to_string();
    let name = unique("fl");
    let spec = format!("{name}=hash,key=u32,value=struct{{rx: u64, tx: u64}},entries=4");
    stdout_of(&mut lab.map(["create", &spec, "--pin", "/sys/fs/bpf/named"]));
    let (_agent, _) = serve(&lab);
    stdout_of(&mut lab.map(["put", PIN, "--socket=agent"]));
    let holder = Running::cat(&Start::default(), &mut lab.exec(["--pin", PIN, "--", "cat"]));
    let pid = holder.pid().to_string();
    let (by_id, by_name) = (format!("flows={id}"), format!("flows={name}"));
    let create = "flows=hash,key=u32,value=struct{rx: u64, tx: u64},entries=4";
    let before = lab.files();
    for source in [
        &["--pin", PIN][..],
        &["--pin", "/sys/fs/bpf"],
        &["--id", &by_id],
        &["--name", &by_name],
        &["--agent", "agent#flows"],
        &["--agent", "agent"],
        &["--pid", &pid],
        &["--create", create],
        &[],
    ] {
        assert_eq!(run(&mut exec(&lab, source, &[SAME])), ran(""), "{source:?}");
        let other = run(&mut exec(&lab, source, &[OTHER]));
        assert_eq!(other, refused(DIFFERENCE), "{source:?}");
        assert_eq!(lab.files(), before);
    }
    holder.end();
}

#[test]
fn map_of_an_import_is_compared() {
    let lab = Lab::new();
    create(&lab);
    let socket = activated(&lab.path("in"));
    for (expected, want) in [(SAME, ran("")), (OTHER, refused(DIFFERENCE))] {
        stdout_of(&mut lab.map(["send", PIN, "in"]));
        let mut command = exec(&lab, &["--timeout=20", "--import", "fd:3"], &[expected]);
        Start { given: vec![socket.as_raw_fd()], ..Start::default() }.apply(&mut command);
        assert_eq!(run(&mut command), want);
    }
}

#[test]
fn map_of_an_object_is_compared_and_its_pin_is_removed() {
    let lab = Lab::new();
    let source = format!("flows={}#proto", fixture("count.bpf.o"));
    let before = lab.files();
    let other = "flows=u8 -> struct{packets: u64, bytes: u32, errors: u32}";
    let difference = "value.bytes at offset 8: u32 expected, u64 found";
    let refusal = run(&mut exec(&lab, &["--object", &source], &[other]));
    assert_eq!(refusal, refused(difference));
    assert_eq!(lab.files(), before);
    let same = "flows=u8 -> struct{packets: u64, bytes: u64}";
    assert_eq!(run(&mut exec(&lab, &["--object", &source], &[same])), ran(""));
}

#[test]
fn inherited_map_is_compared() {
    let lab = Lab::new();
    create(&lab);
    for (expected, want) in [(SAME, ran("")), (OTHER, refused(DIFFERENCE))] {
        let words = ["--pin", PIN, "--", "bpf-exec", "--expect", expected, "--", "echo", "ran"];
        assert_eq!(run(&mut lab.exec(words)), want);
        // The layout of the environment precedes that of BTF.
        let foreign = "BPF_MAP0_LAYOUT=u32 -> struct{rx: u64, bytes: u64}";
        let words = [&["--pin", PIN, "--", "env", foreign][..], &words[3..]].concat();
        let status = if expected == OTHER { 0 } else { 125 };
        assert_eq!(run(&mut lab.exec(words)).status, status);
    }
}

#[test]
fn every_expectation_and_every_map_of_the_name_counts() {
    let lab = Lab::new();
    create(&lab);
    let two = ["--pin", PIN, "--create", "flows=array,value=u64,entries=1"];
    let different = "value at offset 0: struct{rx: u64, tx: u64} expected, u64 found";
    assert_eq!(run(&mut exec(&lab, &two, &[SAME])), refused(different));
    let others = ["--pin", PIN, "--create", "hits=array,value=u64,entries=1"];
    assert_eq!(run(&mut exec(&lab, &others, &[SAME, "hits=u32 -> u64", SAME])), ran(""));
    let expected = [SAME, "hits=u32 -> u64", OTHER];
    assert_eq!(run(&mut exec(&lab, &others, &expected)), refused(DIFFERENCE));
    let missing = "bpf-exec: none: compare with --expect: no map with this name is handed over";
    fails(&mut exec(&lab, &others, &[SAME, "none=u32 -> u64"]), 125, missing);
    let prog = format!("flows={}", pin_program("p").display());
    let not_map = refused("no map with this name is handed over");
    assert_eq!(run(&mut exec(&lab, &["--prog", &prog], &[SAME])), not_map);
    // Nothing is printed for a map that is refused.
    let mut dry_run = lab.exec(["--dry-run", "--json", "--pin", PIN, "--expect", OTHER]);
    assert_eq!(run(&mut dry_run), refused(DIFFERENCE));
}

#[test]
fn notation_of_the_same_bytes_is_accepted() {
    let lab = Lab::new();
    let spec =
        "flows=lpm_trie,key=lpm{ip4},value=struct{a: u8, verdict: enum{DROP, PASS}},entries=4";
    for expected in [
        "flows=lpm{ip4} -> packed struct{a: u8, pad[3], verdict: u32}",
        "flows=struct{prefixlen: u32, address: u32} -> struct{a: u8, verdict: enum{NO}}",
    ] {
        assert_eq!(run(&mut exec(&lab, &["--create", spec], &[expected])), ran(""), "{expected}");
    }
}

#[test]
fn only_sizes_are_compared_if_the_layout_is_unknown() {
    let lab = Lab::new();
    lab.hash("flows");
    let warning = |why: &str| {
        let what = "only the sizes of key and value are compared";
        format!("bpf-exec: warning: \"flows\": --expect: {what}: {why}\n")
    };
    let same_size = "flows=ip4 -> struct{a: u32, b: u32}";
    let no_btf = ran(&warning("it has no BTF"));
    assert_eq!(run(&mut exec(&lab, &["--pin", PIN], &[same_size])), no_btf);
    let longer = run(&mut exec(&lab, &["--pin", PIN], &["flows=ip4 -> u64[2]"]));
    assert_eq!(longer, refused("value: 16 bytes expected, 8 bytes found"));
    let keyless = run(&mut exec(&lab, &["--pin", PIN], &["flows=-> u64"]));
    assert_eq!(keyless, refused("key: 0 bytes expected, 4 bytes found"));
    // A user who may not read BTF.
    std::fs::remove_file(PIN).unwrap();
    create(&lab);
    std::fs::set_permissions(PIN, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    let program = lab.reachable("bpf-exec");
    let nobody = |expected: &str| {
        let words = ["--pin", PIN, "--expect", expected, "--", "echo", "ran"];
        run(&mut wrapped(&NOBODY, &lab.program(&program, words)))
    };
    assert_eq!(nobody(OTHER), ran(&warning("its BTF cannot be read")));
    let shorter = refused("value: 8 bytes expected, 16 bytes found");
    assert_eq!(nobody("flows=u32 -> u64"), shorter);
}

#[test]
fn malformed_expectation_is_a_usage_error() {
    let lab = Lab::new();
    create(&lab);
    for (expected, cause) in [
        ("u32 -> u64", "not NAME=LAYOUT"),
        ("=u32 -> u64", "the name is empty"),
        ("7=u32 -> u64", "the name is a number"),
        ("flows=u32", "column 4: expected \"->\" and the value's type, found the end"),
        ("flows=", "column 1: expected a type, found the end"),
    ] {
        let line = format!("bpf-exec: --expect {expected}: {cause}");
        fails(&mut exec(&lab, &["--pin", PIN], &[expected]), 125, &line);
    }
}
