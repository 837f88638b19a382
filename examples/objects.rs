//! Uses a program or a link that was inherited:
//!
//! ```text
//! # bpf-exec --prog /sys/fs/bpf/filter -- objects run filter
//! 0
//! # bpf-exec --link /sys/fs/bpf/flows -- objects read flows
//! …
//! ```
//!
//! `objects run PROGRAM` runs a program once, on an empty Ethernet frame, and prints what it
//! returned (a type that the kernel can run in a test: socket_filter, sched_cls, xdp and others).
//! `objects read LINK` copies what an iterator writes to stdout. Each is named by its name, or
//! by the n of `BPF_PROG<n>` or `BPF_LINK<n>`. Exit status: 0, or 2 on failure.

use bpf_inherit::object::Object;
use bpf_inherit::{InheritError, Objects};
use std::error::Error;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::process::ExitCode;

// `enum bpf_cmd` of linux/bpf.h.
const BPF_PROG_TEST_RUN: libc::c_long = 10;
const BPF_ITER_CREATE: libc::c_long = 33;

fn main() -> ExitCode {
    match act() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("objects: {error}");
            ExitCode::from(2)
        }
    }
}

fn act() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let mut inherited = bpf_inherit::open_inherited()?;
    for warning in &inherited.warnings {
        eprintln!("objects: warning: {warning}");
    }
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["run", name] => println!("{}", run(&find(&mut inherited.programs, name)?)?),
        ["read", name] => {
            let mut text = read(&find(&mut inherited.links, name)?)?;
            io::copy(&mut text, &mut io::stdout())?;
        }
        _ => return Err("usage: objects run PROGRAM | objects read LINK".into()),
    }
    Ok(())
}

fn find(objects: &mut Objects<Object>, name: &str) -> Result<Object, InheritError> {
    let found = match name.parse() {
        Ok(n) => objects.by_index(n),
        Err(_) => objects.by_name(name),
    };
    Ok(found?.object)
}

/// `union bpf_attr`, as far as the two commands read it.
#[repr(C)]
#[derive(Default)]
struct Attr {
    fd: u32,
    /// The returned value; of BPF_ITER_CREATE the flags.
    value: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    rest: [u64; 6],
}

/// What the program returns for a frame of nothing but zeroes.
fn run(program: &Object) -> io::Result<u32> {
    let frame = [0u8; 14];
    let mut attr = Attr {
        fd: program.as_fd().as_raw_fd() as u32,
        data_size_in: frame.len() as u32,
        data_in: frame.as_ptr() as u64,
        ..Attr::default()
    };
    // SAFETY: the kernel reads the frame's 14 bytes, and writes nothing but the attr.
    unsafe { bpf(BPF_PROG_TEST_RUN, &mut attr)? };
    Ok(attr.value)
}

/// A new run of an iterator.
fn read(link: &Object) -> io::Result<File> {
    let mut attr = Attr { fd: link.as_fd().as_raw_fd() as u32, ..Attr::default() };
    // SAFETY: no pointers, and what is returned is a new descriptor, which is ours.
    Ok(unsafe { OwnedFd::from_raw_fd(bpf(BPF_ITER_CREATE, &mut attr)?) }.into())
}

/// # Safety
/// Every pointer in `attr` must be good for what the command reads and writes there.
unsafe fn bpf(command: libc::c_long, attr: &mut Attr) -> io::Result<i32> {
    // SAFETY: attr is as long as is said; the rest is the caller's promise.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attr, size_of::<Attr>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as i32) }
}
