//! The packages of this workspace, as others depend on them.

use crate::common::*;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The program of a package that depends on bpf-inherit alone: adds 42 to element 1 of `hits`.
const MAIN: &str = r#"
fn main() {
    let mut inherited = bpf_inherit::open_inherited().unwrap();
    assert_eq!(inherited.warnings, [""; 0]);
    let map = inherited.maps.by_name("hits").unwrap().object;
    let (key, mut value) = (1u32.to_ne_bytes(), [0; 8]);
    assert_eq!(map.lookup(&key, &mut value), Ok(true));
    let sum = u64::from_ne_bytes(value) + 42;
    map.update(&key, &sum.to_ne_bytes(), 0).unwrap();
}
"#;

/// Writes the package `child` below the target directory, where a second build finds the results
/// of the first one. The lock file is the workspace's, so that the versions are the same.
fn write_child() -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("child");
    fs::create_dir_all(directory.join("src")).unwrap();
    let manifest = format!(
        "[package]\nname = \"child\"\nedition = \"2024\"\n\n\
         [dependencies]\nbpf-inherit = {{ path = \"{ROOT}/crates/bpf-inherit\" }}\n\n\
         # Not a member of the workspace above.\n[workspace]\n"
    );
    fs::write(directory.join("Cargo.toml"), manifest).unwrap();
    fs::write(directory.join("src/main.rs"), MAIN).unwrap();
    fs::copy(format!("{ROOT}/Cargo.lock"), directory.join("Cargo.lock")).unwrap();
    directory
}

/// The stdout of cargo, which must succeed.
fn cargo(directory: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO"));
    // What it prints on stderr is its progress.
    let run = run(command.args(arguments).arg("--offline").current_dir(directory));
    assert_eq!(run.status, 0, "{}", run.stderr);
    run.stdout
}

/// The crates that a package depends on, and the package.
fn tree(package: &str) -> BTreeSet<String> {
    let words = ["--edges", "normal,build", "--prefix", "none", "--format", "{p}", "--locked"];
    let words = [&["tree", "--no-dedupe", "--package", package], &words[..]].concat();
    cargo(Path::new(ROOT), &words).lines().map(str::to_owned).collect()
}

#[test]
fn child_needs_at_most_15_packages_and_updates_a_map() {
    let messages = cargo(&write_child(), &["build", "--message-format=json"]);
    let messages = messages.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let (mut packages, mut program) = (BTreeSet::new(), None);
    for message in messages.filter(|message| message["reason"] == "compiler-artifact") {
        let package = message["package_id"].as_str().unwrap().to_owned();
        match message["executable"].as_str().filter(|_| message["target"]["name"] == "child") {
            Some(path) => program = Some(path.to_owned()),
            None => drop(packages.insert(package)),
        }
    }
    assert!(packages.iter().any(|id| id.contains("bpf-inherit")), "{packages:?}");
    assert!(packages.len() <= 15, "{packages:?}");

    let lab = Lab::new();
    let mut command = lab.exec(["--create", "hits=array,value=8,entries=2", "--", "sh", "-c"]);
    command.arg("\"$0\" && \"$0\" && bpf-map get hits 1").arg(program.expect("a program"));
    assert_eq!(stdout_of(&mut command), "84\n");
}

#[test]
fn libraries_do_not_depend_on_each_other() {
    for (package, other) in [("bpf-inherit", "bpf-layout "), ("bpf-layout", "bpf-inherit ")] {
        let crates = tree(package);
        assert!(crates.len() > 1, "{crates:?}");
        assert!(!crates.iter().any(|name| name.starts_with(other)), "{crates:?}");
    }
}
