//! Reads a counter in a map that was inherited, or adds to it:
//!
//! ```text
//! # bpf-exec --create hits=array,value=8,entries=4 -- sh -c 'counter hits 2 40; counter hits 2 2'
//! 40
//! 42
//! ```
//!
//! `counter MAP [KEY [ADD]]`: MAP is a name, or the n of `BPF_MAP<n>`; keys are
//! of 32 bits, values of 64; KEY is 0 unless given. Exit status: 0, 1 where the
//! key is absent, 2 on failure.

use bpf_exec::InheritedMap;
use std::error::Error;
use std::io;
use std::os::fd::AsRawFd;
use std::process::ExitCode;

// `enum bpf_cmd` of linux/bpf.h.
const BPF_MAP_LOOKUP_ELEM: libc::c_long = 1;
const BPF_MAP_UPDATE_ELEM: libc::c_long = 2;

fn main() -> ExitCode {
    match count() {
        Ok(Some(value)) => {
            println!("{value}");
            ExitCode::SUCCESS
        }
        Ok(None) => ExitCode::from(1),
        Err(error) => {
            eprintln!("counter: {error}");
            ExitCode::from(2)
        }
    }
}

/// Does what the arguments say; the value at the end, or None where the key is absent.
fn count() -> Result<Option<u64>, Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (name, numbers) = arguments.split_first().ok_or("usage: counter MAP [KEY [ADD]]")?;
    let key: u32 = numbers.first().map_or(Ok(0), |key| key.parse())?;
    let add: u64 = numbers.get(1).map_or(Ok(0), |add| add.parse())?;

    let mut maps = bpf_exec::take()?;
    for warning in maps.warnings() {
        eprintln!("counter: warning: {warning}");
    }
    let map = match name.parse() {
        Ok(n) => maps.by_index(n)?,
        Err(_) => maps.by_name(name)?,
    };
    // A lookup writes value_size bytes, whatever our buffer has: check before asking.
    if (map.key_size, map.value_size, map.is_per_cpu()) != (4, 8, false) {
        return Err(format!("{name}: not a map of 32-bit keys and 64-bit values").into());
    }
    let Some(value) = lookup(&map, key)? else {
        return Ok(None);
    };
    // Not atomic: of two that add at once, one may be lost. A BPF program can do better.
    let value = value.wrapping_add(add);
    if add != 0 {
        update(&map, key, value)?;
    }
    Ok(Some(value))
}

/// `union bpf_attr`, as the commands on elements read it.
#[repr(C)]
struct Element {
    map_fd: u32,
    key: u64,
    value: u64,
    flags: u64,
}

fn lookup(map: &InheritedMap, key: u32) -> io::Result<Option<u64>> {
    let mut value = 0u64;
    match bpf(BPF_MAP_LOOKUP_ELEM, map, &key, &mut value) {
        Ok(()) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn update(map: &InheritedMap, key: u32, mut value: u64) -> io::Result<()> {
    bpf(BPF_MAP_UPDATE_ELEM, map, &key, &mut value)
}

fn bpf(command: libc::c_long, map: &InheritedMap, key: &u32, value: &mut u64) -> io::Result<()> {
    let element = Element {
        map_fd: map.fd.as_raw_fd() as u32,
        key: key as *const u32 as u64,
        value: value as *mut u64 as u64,
        flags: 0,
    };
    // SAFETY: key and value have the sizes of the map's, which `count` compared,
    // and the kernel keeps none of the pointers.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &element, size_of_val(&element)) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
