//! An agent with clocks that the test controls, so that no result depends on how fast the machine is.
//! No clock of the machine is changed: the agent runs under ptrace.

use crate::common::Lab;
use crate::common::agent::Agent;
use crate::common::traced::{Clocks, Traced};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::path::Path;

/// Runs an agent, and a test of it, on clocks that only the test moves. Returns how often the agent
/// read the wall clock.
pub fn with_clocks(
    options: &[&str],
    test: impl FnOnce(&mut Agent, &Path, &Clocks) + Send,
) -> usize {
    let lab = Lab::new();
    let mut command = lab.agent(["--socket", "agent"].iter().chain(options));
    let mut agent = Agent::spawn(Traced::prepare(&mut command));
    let traced = Traced::executed(agent.pid());
    traced.hide_vdso();
    let (clocks, pid) = (Clocks::default(), Pid::from_raw(agent.pid() as i32));
    let path = lab.path("agent");
    std::thread::scope(|scope| {
        let (clocks, agent, path) = (&clocks, &mut agent, &path);
        let client = scope.spawn(move || {
            agent.line("serves on");
            // A failed assertion ends the agent too, and so the tracer below.
            let _end = Terminate(pid);
            test(agent, path, clocks);
        });
        let readings = traced.run_with_clocks(clocks);
        if let Err(panic) = client.join() {
            std::panic::resume_unwind(panic);
        }
        readings
    })
}

/// Ends a process when dropped: with SIGKILL if the test has failed.
struct Terminate(Pid);

impl Drop for Terminate {
    fn drop(&mut self) {
        let signal = if std::thread::panicking() { Signal::SIGKILL } else { Signal::SIGTERM };
        let _ = kill(self.0, signal); // the process may have ended
    }
}
