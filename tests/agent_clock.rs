//! Time limits follow the monotonic clock: setting the wall clock neither shortens nor
//! prolongs them.
//!
//! No clock of the machine is changed. The agent runs under ptrace and reads clocks that the
//! test controls, so that no result depends on how fast the machine is.

mod common;

use common::agent::*;
use common::fds::new_map;
use common::traced::{Clocks, Traced};
use common::*;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

/// The time limits in seconds: of a wait, and of an idle client.
const WAIT_LIMIT: i64 = 100;
const IDLE_LIMIT: i64 = 200;
const HOUR: i64 = 3600;

#[test]
fn setting_the_wall_clock_changes_no_time_limit() {
    let lab = Lab::new();
    let limit = IDLE_LIMIT.to_string();
    let mut command = lab.agent(["--socket", "agent", "--client-timeout", &limit]);
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
            check_limits(path, clocks);
        });
        let readings = traced.run_with_clocks(clocks);
        if let Err(panic) = client.join() {
            std::panic::resume_unwind(panic);
        }
        // The agent reads the wall clock only to record the time of each put.
        assert_eq!(readings, 4);
    });
}

/// Sends SIGTERM to a process when dropped.
struct Terminate(Pid);

impl Drop for Terminate {
    fn drop(&mut self) {
        let _ = kill(self.0, Signal::SIGTERM); // the process may have ended
    }
}

fn check_limits(path: &Path, clocks: &Clocks) {
    let [waiter, idle, busy] = [0; 3].map(|_| Client::connect(path));
    let put = |name: &str| {
        let record = done(busy.put(name, new_map("map").as_fd())).remove(0);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").as_secs();
        record.time as i64 - now as i64
    };
    let mut stored = 1;
    assert!(put("first").abs() < HOUR / 2);
    assert_eq!(waiter.list().len(), stored);
    assert_eq!(idle.list().len(), stored);
    let limit = (WAIT_LIMIT * 1000) as u32;
    let body = [&limit.to_ne_bytes()[..], &string("never")].concat();
    waiter.send(&packet(WAIT, 0, 1, &body), &[]).expect("sent");
    for (ahead, passed) in [(HOUR, 0), (-HOUR, 0), (0, WAIT_LIMIT - 1)] {
        clocks.ahead.store(ahead, Ordering::SeqCst);
        clocks.passed.store(passed, Ordering::SeqCst);
        stored += 1;
        // The agent does read the other time.
        assert!((put(&format!("put {stored}")) - ahead).abs() < HOUR / 2);
        // Each request makes the agent check all time limits, perhaps more than once.
        for _ in 0..3 {
            assert_eq!(busy.list().len(), stored);
        }
        assert!(!waiter.has_something(), "{ahead} s ahead, {passed} s passed");
        assert!(!idle.has_something(), "{ahead} s ahead, {passed} s passed");
    }
    clocks.passed.store(WAIT_LIMIT, Ordering::SeqCst);
    assert_eq!(refusal(waiter.answer(1, false)), (7, "the time to wait is over".into()));
    assert!(!idle.has_something());
    clocks.passed.store(IDLE_LIMIT - 1, Ordering::SeqCst);
    for _ in 0..3 {
        assert_eq!(busy.list().len(), stored);
    }
    assert!(!idle.has_something());
    clocks.passed.store(IDLE_LIMIT, Ordering::SeqCst);
    assert!(idle.receive().expect("the end").bytes.is_empty());
}
