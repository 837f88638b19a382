//! The wall clock that is set while the agent runs: nobody waits longer or shorter for it.
//!
//! Nobody else's clock is touched: the agent alone is told another time.

mod common;

use common::agent::*;
use common::fds::new_map;
use common::traced::Traced;
use common::*;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const HOUR: i64 = 3600;
const TIME_TO_WAIT: Duration = Duration::from_millis(900);
const PATIENCE: Duration = Duration::from_millis(1500);

#[test]
fn the_clock_is_set_by_an_hour_and_back_and_nobody_notices() {
    let lab = Lab::new();
    let patience = PATIENCE.as_secs_f64().to_string();
    let mut command = lab.agent(["--socket", "agent", "--client-timeout", &patience]);
    let mut agent = Agent::spawn(Traced::prepare(&mut command));
    let traced = Traced::executed(agent.pid());
    traced.hide_vdso();
    let (ahead, pid) = (AtomicI64::new(0), Pid::from_raw(agent.pid() as i32));
    let path = lab.path("agent");
    std::thread::scope(|scope| {
        let (ahead, agent, path) = (&ahead, &mut agent, &path);
        let client = scope.spawn(move || {
            agent.line("serves on");
            // However this ends, so does the agent, and with it who waits for its end.
            let _end = End(pid);
            waits(path, ahead);
        });
        let looks = traced.run_ahead(ahead);
        if let Err(panic) = client.join() {
            std::panic::resume_unwind(panic);
        }
        // Only to say when something was put.
        assert_eq!(looks, 4);
    });
}

struct End(Pid);

impl Drop for End {
    fn drop(&mut self) {
        let _ = kill(self.0, Signal::SIGTERM); // it may have ended
    }
}

fn waits(path: &Path, ahead: &AtomicI64) {
    let [waiter, idle, busy] = [0; 3].map(|_| Client::connect(path));
    let put = |name: &str| {
        let record = done(busy.put(name, new_map("map").as_fd())).remove(0);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").as_secs();
        record.time as i64 - now as i64
    };
    assert!(put("at first").abs() < 60);
    let begin = Instant::now();
    let body = [&(TIME_TO_WAIT.as_millis() as u32).to_ne_bytes()[..], &string("never")].concat();
    waiter.send(&packet(WAIT, 0, 1, &body), &[]).expect("sent");
    for (seconds, name) in [(HOUR, "ahead"), (-HOUR, "behind"), (0, "at last")] {
        ahead.store(seconds, Ordering::SeqCst);
        // It does see another time.
        assert!((put(name) - seconds).abs() < 60);
        // A look at what has been asked and at what has been idle, perhaps more than one.
        for _ in 0..3 {
            assert_eq!(busy.list().len(), names_so_far(name));
        }
        assert!(begin.elapsed() >= TIME_TO_WAIT || !waiter.has_something());
        assert!(begin.elapsed() >= PATIENCE || !idle.has_something());
    }
    let late = waiter.answer(1, false);
    assert_eq!(refusal(late), (7, "the time to wait is over".into()));
    let waited = begin.elapsed();
    assert!((TIME_TO_WAIT..TIME_TO_WAIT * 10).contains(&waited), "{waited:?}");
    assert!(idle.receive().expect("the end").bytes.is_empty());
    let idled = begin.elapsed();
    assert!((PATIENCE..PATIENCE * 10).contains(&idled), "{idled:?}");
}

fn names_so_far(name: &str) -> usize {
    ["at first", "ahead", "behind", "at last"].iter().position(|n| *n == name).unwrap() + 1
}
