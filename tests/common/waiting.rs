//! A command that waits for datagrams on sockets that it has bound.

use super::{Run, eventually, with_default_signals};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

/// A command that waits on sockets; killed if the test ends before it does.
pub struct Waiting(Option<Child>);

impl Waiting {
    /// Starts `command`, and returns when all `sockets` can be sent to.
    #[track_caller]
    pub fn start(command: &mut Command, sockets: &[&Path]) -> Waiting {
        let command = with_default_signals(command);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut waiting = Waiting(Some(child.expect("started")));
        for socket in sockets {
            eventually(&format!("{command:?}: a socket at {}", socket.display()), || {
                let ended = waiting.child().try_wait().expect("a child").is_some();
                assert!(!ended, "{command:?}: {:?}", waiting.0.take().unwrap().wait_with_output());
                UnixDatagram::unbound().expect("a socket").connect(socket).is_ok()
            });
        }
        waiting
    }

    pub fn child(&mut self) -> &mut Child {
        self.0.as_mut().expect("running")
    }

    pub fn signal(&mut self, signal: Signal) {
        kill(Pid::from_raw(self.child().id() as i32), signal).expect("a signal sent");
    }

    /// Waits for its end, without a signal to it.
    #[track_caller]
    pub fn output(mut self) -> Output {
        eventually("the end", || self.child().try_wait().expect("a child").is_some());
        self.0.take().expect("a child").wait_with_output().expect("output")
    }

    #[track_caller]
    pub fn run(self) -> Run {
        self.output().into()
    }

    /// Its end, which must be a success without messages; returns its stdout.
    #[track_caller]
    pub fn stdout(self) -> String {
        let run = self.run();
        assert_eq!((run.status, run.stderr.as_str()), (0, ""), "{}", run.stdout);
        run.stdout
    }

    /// Its end, which must be a failure of bpf-exec with this message, before the command.
    #[track_caller]
    pub fn fails(self, what: &str, stderr: &str) {
        let want =
            Run { status: 125, stdout: String::new(), stderr: format!("bpf-exec: {stderr}\n") };
        assert_eq!(self.run(), want, "{what}");
    }
}

/// Whether the process sleeps in one of these system calls. /proc/PID/wchan would give the name
/// of a kernel function, which differs between kernels.
pub fn sleeps_in(pid: u32, calls: &[libc::c_long]) -> bool {
    let call = std::fs::read_to_string(format!("/proc/{pid}/syscall"));
    let number = call.ok().and_then(|call| call.split(' ').next()?.parse().ok());
    number.is_some_and(|number| calls.contains(&number))
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
