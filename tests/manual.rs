//! The EXAMPLES of the manual pages, executed: each block between .EX and .EE, where
//! `# ` begins a command and the lines below it are what it prints.

mod common;

use common::agent::Agent;
use common::fds::pin_program;
use common::sender::Datagram;
use common::waiting::Waiting;
use common::*;
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

/// The examples of a page, with roff's escapes undone.
fn examples(page: &str) -> Vec<Example> {
    let path = format!("{}/man/{page}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap().replace("\\-", "-").replace("\\e", "\\");
    let section = text.split("\n.SH ").find(|section| section.starts_with("EXAMPLES")).unwrap();
    let mut examples: Vec<Example> = Vec::new();
    let mut in_block = false;
    for line in section.lines() {
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

/// What the pages speak of: a pinned counter that stands at 42, a daemon that holds it, and a
/// pinned program.
fn surroundings(lab: &Lab) -> Daemon {
    let pin = Path::new(BPFFS).join("hits");
    // The kernel's names are of the whole machine, so this one is of nobody else.
    let spec = "nic0_hits=array,key=4,value=8,entries=4";
    stdout_of(&mut lab.map(["create", spec, "--pin", pin.to_str().unwrap()]));
    stdout_of(&mut lab.map(["set", pin.to_str().unwrap(), "0", "42"]));
    pin_program("filter");
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

/// A process that ends with the test, however that ends.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sends hits, declared as map 7, as soon as somebody listens at the socket.
fn send_hits(pin: &Path) -> std::thread::JoinHandle<()> {
    let map = open_pin(pin);
    std::thread::spawn(move || {
        let socket = Path::new("/run/maps.sock");
        eventually("a socket to send to", || socket.exists());
        Datagram::of(vec![[2, 4, 8, 4, 0, 7, 0, 0, 0]]).send(socket, &[map.as_fd()]);
    })
}

/// Waits as an agent below tc does, which prints what it finds in map 7.
fn agent(lab: &Lab) -> Waiting {
    let words = ["exec", "bpf", "import", "/run/maps.sock", "run"];
    let mut tc = lab.program("tc", words);
    tc.args(["sh", "-c", "bpf-map get $BPF_MAP7 0"]);
    Waiting::start(&mut tc, &[Path::new("/run/maps.sock")])
}

#[test]
fn every_example_of_the_manual_pages_prints_what_the_page_says() {
    let mut run_in_all = 0;
    for page in ["bpf-exec.1", "bpf-map.1", "bpf-agent.1", "bpf-layout.7"] {
        let lab = Lab::new();
        let _daemon = surroundings(&lab);
        let mut agents = Vec::new();
        for Example { command, output } in examples(page) {
            // Runs until the page ends.
            if let Some(command) = command.strip_suffix(" &") {
                assert_eq!(output, "", "{page}: {command}");
                let command = format!("exec {command}");
                agents.push(Agent::start(&mut lab.program("/bin/sh", ["-c", &command])));
                continue;
            }
            let sender =
                command.contains("--import").then(|| send_hits(&Path::new(BPFFS).join("hits")));
            let agent = command.contains("bpf-map send").then(|| agent(&lab));
            let mut shell: Command = lab.program("sh", ["-c", &command]);
            // The lab is root's, of which --lock warns.
            let warning = "bpf-exec: warning: --lock: the command starts as root, which the filter does not hold back\n";
            let stderr = if command.contains("--lock") { warning } else { "" };
            let want = Run { status: 0, stdout: output, stderr: stderr.into() };
            assert_eq!(run(&mut shell), want, "{page}: {command}");
            agent.into_iter().for_each(|agent| assert_eq!(agent.stdout(), "42\n", "{command}"));
            sender.into_iter().for_each(|sender| sender.join().unwrap());
            run_in_all += 1;
        }
        for agent in agents {
            assert_eq!(agent.stop().status, 0, "{page}");
        }
    }
    assert!(run_in_all >= 10, "the pages have lost their examples: {run_in_all}");
}

#[test]
fn the_help_of_each_program_names_every_option_that_its_page_does() {
    let lab = Lab::new();
    for (program, page) in [("bpf-exec", "bpf-exec.1"), ("bpf-agent", "bpf-agent.1")] {
        let help = stdout_of(&mut lab.program(program, ["--help"]));
        let path = format!("{}/man/{page}", env!("CARGO_MANIFEST_DIR"));
        let page = std::fs::read_to_string(path).unwrap().replace("\\-", "-");
        let options =
            help.split_whitespace().filter(|word| word.starts_with("--") && word.len() > 2);
        for option in options {
            let is_part = |c: char| c == '-' || c.is_ascii_alphabetic();
            let option = option.split(|c| !is_part(c)).next().unwrap_or_default();
            assert!(page.contains(option), "{program}: {option} is in --help and not in the page");
        }
    }
}
