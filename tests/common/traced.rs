//! A process that is led from one system call to the next (ptrace(2)), and so can be killed
//! between any two of them. It is to be led by the thread that took hold of it.

use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicI64, Ordering};

pub struct Traced {
    pid: Pid,
}

/// A stop of the process: before a system call, with its number and arguments, or after it, with its
/// result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    Entry { number: libc::c_long, arguments: [u64; 6] },
    Exit { returned: i64 },
}

/// What a traced process reads from its clocks, in seconds.
#[derive(Default)]
pub struct Clocks {
    /// How far its wall clock is ahead of ours.
    pub ahead: AtomicI64,
    /// How much time has passed on its monotonic clock, which stands still otherwise.
    pub passed: AtomicI64,
}

impl Stop {
    /// Whether a system call of this number is about to be made.
    pub fn is(&self, wanted: libc::c_long) -> bool {
        matches!(self, Stop::Entry { number, .. } if *number == wanted)
    }
}

impl Traced {
    /// Takes hold of a process, which stops.
    #[track_caller]
    pub fn seize(pid: u32) -> Traced {
        let pid = Pid::from_raw(pid as i32);
        ptrace::seize(pid, options()).expect("ptrace (are you root?)");
        ptrace::interrupt(pid).expect("a process");
        let stop = waitpid(pid, Some(WaitPidFlag::__WALL)).expect("a stop");
        assert!(matches!(stop, WaitStatus::PtraceEvent(..)), "{stop:?}");
        Traced { pid }
    }

    /// Has a command stop before its first instruction.
    pub fn prepare(command: &mut Command) -> &mut Command {
        // SAFETY: one system call.
        unsafe { command.pre_exec(|| Ok(ptrace::traceme()?)) }
    }

    /// Takes hold of a process that was prepared so.
    #[track_caller]
    pub fn executed(pid: u32) -> Traced {
        let pid = Pid::from_raw(pid as i32);
        let stop = waitpid(pid, Some(WaitPidFlag::__WALL)).expect("a stop");
        assert_eq!(stop, WaitStatus::Stopped(pid, Signal::SIGTRAP));
        ptrace::setoptions(pid, options()).expect("a process");
        Traced { pid }
    }

    /// Lets it run to the next stop.
    #[track_caller]
    pub fn step(&self) -> Stop {
        self.next().expect("a stop, not its end")
    }

    /// As [`Traced::step`]; None at its end.
    pub fn step_or_end(&self) -> Option<Stop> {
        self.next()
    }

    /// Lets the process continue without the tracer.
    pub fn release(self) {
        ptrace::detach(self.pid, None).expect("a process");
    }

    /// Hides the kernel's shared page of functions from a process that has just been executed:
    /// then it reads the time by a system call, whose result can be changed.
    pub fn hide_vdso(&self) {
        const IGNORE: i64 = 1;
        let info = ptrace::syscall_info(self.pid).expect("a stop");
        // The number of arguments, they and the environment, each ended by a null, then pairs.
        let mut at = info.stack_pointer + 8 * (self.word(info.stack_pointer) as u64 + 2);
        while self.word(at) != 0 {
            at += 8;
        }
        at += 8;
        while self.word(at) != libc::AT_SYSINFO_EHDR as i64 {
            assert_ne!(self.word(at), libc::AT_NULL as i64, "no vDSO");
            at += 16;
        }
        self.set_word(at, IGNORE);
    }

    /// Runs the process to its end with clocks of its own, and returns how often it read the
    /// wall clock.
    pub fn run_with_clocks(&self, clocks: &Clocks) -> usize {
        let (mut readings, mut started, mut result) = (0, None, None);
        loop {
            match self.next() {
                Some(Stop::Entry {
                    number: libc::SYS_clock_gettime,
                    arguments: [clock, time, ..],
                }) => result = Some((clock as libc::clockid_t, time)),
                Some(Stop::Exit { returned: 0 }) => match result.take() {
                    Some((libc::CLOCK_REALTIME, time)) => {
                        let now = self.word(time) + clocks.ahead.load(Ordering::SeqCst);
                        self.set_word(time, now);
                        readings += 1;
                    }
                    Some((libc::CLOCK_MONOTONIC, time)) => {
                        let (seconds, nanoseconds) =
                            *started.get_or_insert_with(|| (self.word(time), self.word(time + 8)));
                        let passed = clocks.passed.load(Ordering::SeqCst);
                        self.set_word(time, seconds + passed);
                        self.set_word(time + 8, nanoseconds);
                    }
                    _ => {}
                },
                Some(_) => result = None,
                None => return readings,
            }
        }
    }

    fn word(&self, address: u64) -> i64 {
        ptrace::read(self.pid, address as ptrace::AddressType).expect("memory")
    }

    fn set_word(&self, address: u64, word: i64) {
        ptrace::write(self.pid, address as ptrace::AddressType, word).expect("memory");
    }

    /// The next stop, or None at its end.
    fn next(&self) -> Option<Stop> {
        loop {
            ptrace::syscall(self.pid, None).expect("a process");
            match waitpid(self.pid, Some(WaitPidFlag::__WALL)).expect("a stop") {
                WaitStatus::PtraceSyscall(_) => break,
                // What it was stopped with.
                WaitStatus::PtraceEvent(..)
                | WaitStatus::Stopped(_, Signal::SIGTRAP | Signal::SIGCHLD) => {}
                WaitStatus::Exited(..) => return None,
                stop => panic!("{stop:?}"),
            }
        }
        let info = ptrace::syscall_info(self.pid).expect("a stop at a system call");
        // SAFETY: the kernel says which of the two it wrote.
        Some(unsafe {
            match info.op {
                libc::PTRACE_SYSCALL_INFO_ENTRY => {
                    let libc::__c_anonymous_ptrace_syscall_info_entry { nr, args } = info.u.entry;
                    Stop::Entry { number: nr as libc::c_long, arguments: args }
                }
                _ => Stop::Exit { returned: info.u.exit.sval },
            }
        })
    }
}

fn options() -> Options {
    Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_EXITKILL
}
