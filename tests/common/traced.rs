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

/// Where it stops: before a system call, with its number and arguments, or behind one, with
/// what it returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    Entry { number: libc::c_long, arguments: [u64; 6] },
    Exit { returned: i64 },
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

    /// Lets it run on by itself.
    pub fn release(self) {
        ptrace::detach(self.pid, None).expect("a process");
    }

    /// Hides the kernel's shared page of functions from a process that has just been executed:
    /// then it asks for the time by a system call, where it can be told another one.
    pub fn hide_vdso(&self) {
        const IGNORE: libc::c_long = 1;
        let info = ptrace::syscall_info(self.pid).expect("a stop");
        let word = |at: u64| ptrace::read(self.pid, at as ptrace::AddressType).expect("memory");
        // The number of arguments, they and the environment, each ended by a null, then pairs.
        let mut at = info.stack_pointer + 8 * (word(info.stack_pointer) as u64 + 2);
        while word(at) != 0 {
            at += 8;
        }
        at += 8;
        while word(at) != libc::AT_SYSINFO_EHDR as libc::c_long {
            assert_ne!(word(at), libc::AT_NULL as libc::c_long, "no vDSO");
            at += 16;
        }
        ptrace::write(self.pid, at as ptrace::AddressType, IGNORE).expect("memory");
    }

    /// Lets it run to its end, with a wall clock that is ahead by so many seconds as of now.
    /// Returns how often it has looked at that.
    pub fn run_ahead(&self, seconds: &AtomicI64) -> usize {
        let (mut looks, mut result) = (0, None);
        loop {
            match self.next() {
                Some(Stop::Entry {
                    number: libc::SYS_clock_gettime,
                    arguments: [clock, time, ..],
                }) => {
                    result = (clock == libc::CLOCK_REALTIME as u64).then_some(time);
                }
                Some(Stop::Exit { returned: 0 }) if result.is_some() => {
                    let time = result.take().expect("an address") as ptrace::AddressType;
                    let now = ptrace::read(self.pid, time).expect("memory");
                    let now = now + seconds.load(Ordering::SeqCst) as libc::c_long;
                    ptrace::write(self.pid, time, now).expect("memory");
                    looks += 1;
                }
                Some(_) => result = None,
                None => return looks,
            }
        }
    }

    /// The next stop, or None at its end.
    fn next(&self) -> Option<Stop> {
        loop {
            ptrace::syscall(self.pid, None).expect("a process");
            match waitpid(self.pid, Some(WaitPidFlag::__WALL)).expect("a stop") {
                WaitStatus::PtraceSyscall(_) => break,
                // What it was stopped with.
                WaitStatus::PtraceEvent(..) | WaitStatus::Stopped(_, Signal::SIGTRAP) => {}
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
