//! Uses a program or a link that was inherited:
//!
//! ```text
//! # bpf-exec --prog /sys/fs/bpf/filter -- objects run filter
//! 0
//! # bpf-exec --link /sys/fs/bpf/flows -- objects read flows
//! …
//! ```
//!
//! `objects run PROGRAM` runs a program once, on an Ethernet frame of zeroes, and prints the return
//! value. The program has a type that the kernel can test: socket_filter, sched_cls, xdp and
//! others. `objects read LINK` copies the output of an iterator to stdout. PROGRAM and LINK are
//! names, or the n of `BPF_PROG<n>` or `BPF_LINK<n>`. Exit status: 0, or 2 on failure.

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

/// The fields of `union bpf_attr` that the two commands read.
#[repr(C)]
#[derive(Default)]
struct Attr {
    fd: u32,
    /// The return value; the flags for BPF_ITER_CREATE.
    value: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    rest: [u64; 6],
}

/// Runs the program on a frame of zeroes, and returns its return value.
fn run(program: &Object) -> io::Result<u32> {
    let frame = [0u8; 14];
    let mut attr = Attr {
        fd: program.as_fd().as_raw_fd() as u32,
        data_size_in: frame.len() as u32,
        data_in: frame.as_ptr() as u64,
        ..Attr::default()
    };
    // SAFETY: the kernel reads the 14 bytes of the frame, and writes only to attr.
    unsafe { bpf(BPF_PROG_TEST_RUN, &mut attr)? };
    Ok(attr.value)
}

/// Starts an iterator. Its output is read from the file.
fn read(link: &Object) -> io::Result<File> {
    let mut attr = Attr { fd: link.as_fd().as_raw_fd() as u32, ..Attr::default() };
    // SAFETY: no pointers, and the result is a new file descriptor without an owner.
    Ok(unsafe { OwnedFd::from_raw_fd(bpf(BPF_ITER_CREATE, &mut attr)?) }.into())
}

/// # Safety
/// Every pointer in `attr` must be valid for the bytes that the command reads and writes.
unsafe fn bpf(command: libc::c_long, attr: &mut Attr) -> io::Result<i32> {
    // SAFETY: attr is live and of the size that is passed; the caller guarantees the rest.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attr, size_of::<Attr>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as i32) }
}
