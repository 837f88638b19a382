//! The manual pages, compared with the programs: the examples here, the options in `options`.
//!
//! In EXAMPLES, each block between .EX and .EE has commands after `# `, and below each the lines
//! that it prints.

mod help;
mod options;

use crate::common::agent::Agent;
use crate::common::fds::pin_program;
use crate::common::sender::Datagram;
use crate::common::waiting::Waiting;
use crate::common::*;
use nix::mount::{MsFlags, mount};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A command, and what it prints to stdout.
#[derive(Debug)]
struct Example {
    command: String,
    output: String,
}

/// The file names of all pages.
fn pages() -> Vec<String> {
    let directory = std::fs::read_dir(format!("{}/man", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let names = directory.map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut pages: Vec<String> = names.collect();
    pages.sort();
    pages
}

/// The text of a page, with roff's escapes for characters undone.
fn text(page: &str) -> String {
    let path = format!("{}/man/{page}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap().replace("\\-", "-").replace("\\e", "\\")
}

/// A section of a page; empty if the page does not have it.
fn section<'t>(text: &'t str, name: &str) -> &'t str {
    let mut sections = text.split("\n.SH ");
    let section = sections.find_map(|section| section.strip_prefix(name)?.strip_prefix('\n'));
    section.unwrap_or_default()
}

/// The examples of a page.
fn examples(page: &str) -> Vec<Example> {
    let text = text(page);
    let mut examples: Vec<Example> = Vec::new();
    let mut in_block = false;
    for line in section(&text, "EXAMPLES").lines() {
        let open_quote = |e: &Example| e.command.matches('\'').count() % 2 == 1;
        match (line, examples.last_mut()) {
            (".EX", _) => in_block = true,
            (".EE", _) => in_block = false,
            _ if !in_block => {}
            (line, Some(last)) if open_quote(last) => last.command += &format!("\n{line}"),
            (line, _) if line.starts_with("# ") => {
                examples.push(Example { command: line[2..].into(), output: String::new() });
            }
            (line, last) => last.expect("a command first").output += &format!("{line}\n"),
        }
    }
    examples
}

/// What the examples use: a pinned counter with the value 42, a daemon that holds it, a pinned
/// program, and an object file.
fn surroundings(lab: &Lab) -> Daemon {
    let pin = Path::new(BPFFS).join("hits");
    // All processes of the machine share the kernel's names, so this one must be unusual.
    let spec = "nic0_hits=array,key=4,value=8,entries=4";
    stdout_of(&mut lab.map(["create", spec, "--pin", pin.to_str().unwrap()]));
    stdout_of(&mut lab.map(["set", pin.to_str().unwrap(), "0", "42"]));
    pin_program("filter");
    std::fs::copy(fixture("tail.bpf.o"), lab.path("tail.bpf.o")).unwrap();
    mount(Some("run"), "/run", Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
    let mut command = lab.exec(["--pin", pin.to_str().unwrap(), "sleep", "600"]);
    let daemon = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::fs::write(lab.path("daemon.pid"), daemon.id().to_string()).unwrap();
    let environ = format!("/proc/{}/environ", daemon.id());
    eventually("the daemon", || {
        std::fs::read(&environ).is_ok_and(|bytes| bytes.windows(8).any(|w| w == b"BPF_MAP0"))
    });
    Daemon(daemon)
}

/// A process that is killed when the test ends, also by a panic.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sends hits, declared as map 7, as soon as the socket exists.
fn send_hits(pin: &Path) -> std::thread::JoinHandle<()> {
    let map = open_pin(pin);
    std::thread::spawn(move || {
        let socket = Path::new("/run/maps.sock");
        eventually("a socket to send to", || socket.exists());
        Datagram::of(vec![[2, 4, 8, 4, 0, 7, 0, 0, 0]]).send(socket, &[map.as_fd()]);
    })
}

/// Receives a map through tc, and prints the value in map 7.
fn receiver(lab: &Lab) -> Waiting {
    let words = ["exec", "bpf", "import", "/run/maps.sock", "run"];
    let mut tc = lab.program("tc", words);
    tc.args(["sh", "-c", "bpf-map get $BPF_MAP7 0"]);
    Waiting::start(&mut tc, &[Path::new("/run/maps.sock")])
}

#[test]
fn examples_print_what_the_page_shows() {
    let mut examples_run = 0;
    for page in pages() {
        let lab = Lab::new();
        let _daemon = surroundings(&lab);
        let mut agents = Vec::new();
        for Example { command, output } in examples(&page) {
            // Runs until all examples of the page have run.
            if let Some(command) = command.strip_suffix(" &") {
                assert_eq!(output, "", "{page}: {command}");
                let command = format!("exec {command}");
                agents.push(Agent::start(&mut lab.program("/bin/sh", ["-c", &command])));
                continue;
            }
            let sender =
                command.contains("--import").then(|| send_hits(&Path::new(BPFFS).join("hits")));
            let receiver = command.contains("bpf-map send").then(|| receiver(&lab));
            let mut shell: Command = lab.program("sh", ["-c", &command]);
            // The test runs as root, which --lock warns about.
            let warning = "bpf-exec: warning: --lock: the command runs as root, which the filter does not restrict\n";
            let stderr = if command.contains("--lock") { warning } else { "" };
            let want = Run { status: 0, stdout: output, stderr: stderr.into() };
            assert_eq!(run(&mut shell), want, "{page}: {command}");
            receiver.into_iter().for_each(|tc| assert_eq!(tc.stdout(), "42\n", "{command}"));
            sender.into_iter().for_each(|sender| sender.join().unwrap());
            examples_run += 1;
        }
        for agent in agents {
            assert_eq!(agent.stop().status, 0, "{page}");
        }
    }
    assert!(examples_run >= 30, "only {examples_run} examples were found");
}
