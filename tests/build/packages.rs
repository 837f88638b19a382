//! The packages of this workspace, as others depend on them.

use std::process::Command;

/// The crates that a program with this dependency is built from, itself not counted.
fn tree(package: &str) -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--package", package, "--edges", "normal,build", "--prefix", "none"])
        .args(["--format", "{p}", "--locked", "--offline", "--no-dedupe"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut crates: Vec<String> =
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    crates.sort();
    crates.dedup();
    crates
}

#[test]
fn libraries_stay_small_and_do_not_depend_on_each_other() {
    let inherit = tree("bpf-inherit");
    assert!(inherit.len() <= 15, "{inherit:?}");
    let layout = tree("bpf-layout");
    for (crates, other) in [(&inherit, "bpf-layout "), (&layout, "bpf-inherit ")] {
        assert!(crates.len() > 1, "{crates:?}");
        assert!(!crates.iter().any(|name| name.starts_with(other)), "{crates:?}");
    }
}
