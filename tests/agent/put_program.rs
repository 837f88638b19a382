//! `bpf-map put prog:FILE#PROGRAM`: a program of an object file is loaded and stored.

use crate::common::agent::*;
use crate::common::*;

#[test]
fn program_of_an_object_file_is_put_with_its_maps() {
    let lab = Lab::new();
    let (_agent, _) = serve(&lab);
    let file = fixture("count.bpf.o");
    let put = |words: &[&str]| run(&mut lab.map([&["put", "--socket", "agent"], words].concat()));
    let nothing = Run { status: 0, stdout: String::new(), stderr: String::new() };
    assert_eq!(put(&[&format!("x=prog:{file}#count"), &format!("prog:{file}#count")]), nothing);
    let held = Client::connect(&lab.path("agent")).list();
    assert_eq!(names(&held), ["count", "x"]);
    for name in ["packets", "proto"] {
        assert!(std::path::Path::new(BPFFS).join(name).exists(), "{name}");
        std::fs::remove_file(format!("{BPFFS}/{name}")).unwrap();
    }
    // What the agent refuses leaves no pins, and what the verifier refuses is not sent.
    let refused = fixture("refused.bpf.o");
    let failed = put(&[
        &format!("x=prog:{file}#count"),
        &format!("prog:{refused}#refused"),
        "--verbose",
        &format!("y=prog:{refused}#good"),
    ]);
    let lines: Vec<_> = failed.stderr.lines().collect();
    assert_eq!((failed.status, failed.stdout.as_str()), (2, ""));
    let taken = "bpf-map: agent#x: put: \"x\" is the name of prog ";
    assert!(lines[0].starts_with(taken), "{}", failed.stderr);
    let refused = format!("bpf-map: {refused}: refused: load program: R1 invalid mem access");
    assert!(lines[1].starts_with(&refused), "{}", failed.stderr);
    assert!(lines.last().unwrap().starts_with("processed 2 insns"), "{}", failed.stderr);
    let held = Client::connect(&lab.path("agent")).list();
    assert_eq!(names(&held), ["count", "x", "y"]);
    assert!(!std::path::Path::new("/sys/fs/bpf/packets").exists());
}
