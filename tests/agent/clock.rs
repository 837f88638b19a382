//! Time limits follow the monotonic clock: setting the wall clock neither shortens nor
//! prolongs them.

use crate::common::agent::*;
use crate::common::fds::new_map;
use crate::common::traced::Clocks;
use crate::common::*;
use crate::support::clocks::with_clocks;
use nix::sys::signal::Signal;
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
    let options = ["--client-timeout", &IDLE_LIMIT.to_string()];
    let readings = with_clocks(&options, |_, path, clocks| check_limits(path, clocks));
    // The agent reads the wall clock only to record the time of each put.
    assert_eq!(readings, 4);
}

/// Lists that are longer together than what a connection's buffer takes.
const LISTS: u32 = 12;

/// A client that has asked for `LISTS` lists and read none of them; another client's connection
/// ends after SIGTERM.
fn terminate_before_replies_are_read(agent: &Agent, path: &Path) -> Client {
    let [slow, other] = [0; 2].map(|_| Client::connect(path));
    let map = new_map("map");
    for number in 0..240 {
        done(other.put(&format!("{number:0>199}x"), map.as_fd()));
    }
    for number in 0..LISTS {
        slow.send(&packet(LIST, 0, number, &string("")), &[]).expect("sent");
    }
    other.list();
    agent.signal(Signal::SIGTERM);
    assert!(other.receive().expect("the end").bytes.is_empty());
    slow
}

#[test]
fn queued_requests_are_answered_after_sigterm() {
    with_clocks(&[], |agent, path, _| {
        let slow = terminate_before_replies_are_read(agent, path);
        for number in 0..LISTS {
            assert_eq!(done(slow.answer(number, false)).len(), 240);
        }
        assert!(slow.receive().expect("the end").bytes.is_empty());
    });
}

#[test]
fn client_that_never_reads_has_one_second_after_sigterm() {
    with_clocks(&[], |agent, path, clocks| {
        let slow = terminate_before_replies_are_read(agent, path);
        // No time has passed: the socket is removed at the end.
        assert!(path.exists());
        clocks.passed.store(1, Ordering::SeqCst);
        eventually("the end", || !path.exists());
        assert_eq!(done(slow.answer(0, false)).len(), 240);
    });
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
