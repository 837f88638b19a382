//! Tries all operations on inherited BPF maps, and reports which ones this process may use:
//!
//! ```text
//! # bpf-exec -r --lock --pin /sys/fs/bpf/hits -- setpriv --reuid=nobody probe hits /sys/fs/bpf
//! lookup   ok
//! update   EPERM
//! …
//! ```
//!
//! `probe [--high-bits | --x32] [MAP [DIRECTORY [BYTE]]]` tries one map, or every inherited map,
//! and prints a line for each attempt: its name, a tab, and `ok` or the error. With DIRECTORY, on a
//! bpf file system, it also pins the map there and opens the pin for writing. `--high-bits` sets
//! bits in the upper half of each command's number, which the kernel ignores but an incorrect
//! filter compares; `--x32` uses the number of the system call in the x32 ABI of x86_64.
//!
//! **It changes the map**: updates write the old value, or BYTE in all bytes; deleted entries are
//! added again; but a map that can be frozen stays frozen, and the pin is not removed. Use a map
//! that was created for this purpose.

use bpf_inherit::Map;
use nix::errno::Errno;
use std::error::Error;
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

type Attempt<T> = Result<T, Errno>;

/// The commands of `enum bpf_cmd` (linux/bpf.h) that are tried.
#[derive(Clone, Copy)]
#[rustfmt::skip]
enum Command {
    MapCreate = 0, Lookup = 1, Update = 2, Delete = 3, NextKey = 4, ProgLoad = 5, ObjPin = 6,
    ObjGet = 7, MapNextId = 12, MapById = 14, Info = 15, LookupAndDelete = 21, Freeze = 22,
    LookupBatch = 24, LookupAndDeleteBatch = 25, UpdateBatch = 26, DeleteBatch = 27,
}

/// How bpf(2) is called: the number of the system call, and the bits that are set in each command.
#[derive(Clone, Copy)]
struct Way {
    number: libc::c_long,
    high: libc::c_long,
}

/// `union bpf_attr` in words of 32 bits.
type Words = [u32; 32];

impl Way {
    /// Calls bpf(2).
    ///
    /// # Safety
    /// Every pointer in `words` must be valid for the bytes that `command` reads and writes.
    unsafe fn call(self, command: Command, words: &mut Words) -> Attempt<i32> {
        let command = self.high | command as libc::c_long;
        // SAFETY: words are live and of the size that is passed; the caller guarantees the rest.
        let result =
            unsafe { libc::syscall(self.number, command, words.as_mut_ptr(), size_of::<Words>()) };
        Errno::result(result).map(|result| result as i32)
    }

    /// Calls a command without pointers that does not return a file descriptor.
    fn plain(self, command: Command, first: u32) -> Attempt<()> {
        // SAFETY: no pointers.
        unsafe { self.call(command, &mut attr(&[(0, first)], &[])) }.map(drop)
    }

    /// Calls a command that returns a new file descriptor.
    ///
    /// # Safety
    /// As for [`Way::call`].
    unsafe fn open(self, command: Command, mut words: Words) -> Attempt<OwnedFd> {
        // SAFETY: passed on to the caller.
        let fd = unsafe { self.call(command, &mut words)? };
        // SAFETY: the kernel has just made it for us.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}

/// Returns zeroes, except for these words and addresses, given with their indices. An address has
/// two words.
fn attr(words: &[(usize, u32)], addresses: &[(usize, *const u8)]) -> Words {
    let mut all = [0; 32];
    for &(place, word) in words {
        all[place] = word;
    }
    for &(place, address) in addresses {
        let address = (address as u64).to_ne_bytes();
        let half = |at: usize| u32::from_ne_bytes(std::array::from_fn(|i| address[at + i]));
        (all[place], all[place + 1]) = (half(0), half(4));
    }
    all
}

/// An entry of a map, in buffers that are large enough for the map.
struct Element {
    fd: i32,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Element {
    /// An entry with the first key of the map, or with zeroes if the map is empty or unreadable.
    fn first(way: Way, map: &Map) -> Element {
        // Each CPU's value is rounded up to 8 bytes; no kernel is built for more than 8192 CPUs.
        let cpus = if map.info().map_type.is_per_cpu() { 8192 } else { 1 };
        let mut element = Element {
            fd: map.as_fd().as_raw_fd(),
            key: vec![0; map.key_len()],
            value: vec![0; map.info().value_size.next_multiple_of(8) as usize * cpus],
        };
        let mut key = element.key.clone();
        let mut words = attr(&[(0, element.fd as u32)], &[(4, key.as_mut_ptr())]);
        // SAFETY: a null key requests the first key, which is written to key_size bytes.
        if unsafe { way.call(Command::NextKey, &mut words) }.is_ok() {
            element.key = key;
        }
        element
    }

    fn run(&mut self, way: Way, command: Command) -> Attempt<()> {
        let mut addresses = vec![(2, self.key.as_ptr())];
        // The kernel requires fields that a command does not use to be zero.
        if !matches!(command, Command::Delete) {
            addresses.push((4, self.value.as_mut_ptr()));
        }
        let mut words = attr(&[(0, self.fd as u32)], &addresses);
        // SAFETY: both buffers are at least as large as the map's key and value.
        unsafe { way.call(command, &mut words) }.map(drop)
    }

    /// Runs a batch command on one entry. A lookup returns the first entry in the order of the map.
    fn batch(&mut self, way: Way, command: Command) -> Attempt<()> {
        // The kernel's cursor is a key, or 32 bits if keys are shorter.
        let mut cursor = vec![0; self.key.len().max(4)];
        let mut words = attr(
            &[(8, 1), (9, self.fd as u32)],
            &[
                (2, cursor.as_mut_ptr() as _),
                (4, self.key.as_mut_ptr() as _),
                (6, self.value.as_mut_ptr() as _),
            ],
        );
        // SAFETY: a count of 1, so one key, one value and a cursor, each large enough.
        match unsafe { way.call(command, &mut words) } {
            Err(Errno::ENOENT) if words[8] == 1 => Ok(()), // the end of the map, after one entry
            result => result.map(drop),
        }
    }
}

/// Tries all operations on one map, and prints the results.
fn probe(way: Way, map: &Map, directory: Option<&Path>, byte: Option<u8>) {
    use Command::*;
    let mut one = Element::first(way, map);
    report("lookup", one.run(way, Lookup));
    one.value.iter_mut().for_each(|b| *b = byte.unwrap_or(*b));
    report("update", one.run(way, Update));
    report("delete", one.run(way, Delete));
    let _ = one.run(way, Update); // adds the entry again, except in an array
    report("lookup_and_delete", one.run(way, LookupAndDelete));
    let _ = one.run(way, Update);
    report("lookup_batch", one.batch(way, LookupBatch));
    report("update_batch", one.batch(way, UpdateBatch));
    report("delete_batch", one.batch(way, DeleteBatch));
    let _ = one.run(way, Update);
    report("lookup_and_delete_batch", one.batch(way, LookupAndDeleteBatch));
    let _ = one.run(way, Update);

    let info = info(way, one.fd);
    report("info", info);
    report("next_id", way.plain(MapNextId, 0));
    report("get_by_id", by_id(way, info.unwrap_or_default()));
    report("create", create(way));
    report("load_program", load_program(way));
    if let Some(directory) = directory {
        let pin = directory.join(format!("probe_{}", std::process::id()));
        report("pin", pin_at(way, one.fd, &pin));
        let reopened = reopen(way, &pin);
        report("reopen", reopened.as_ref().map_err(|errno| *errno));
        let write = reopened.and_then(|fd| {
            one.fd = fd.as_raw_fd();
            one.run(way, Update)
        });
        report("write_reopened", write);
    }
    report("freeze", way.plain(Freeze, map.as_fd().as_raw_fd() as u32));
}

fn report<T>(name: &str, result: Attempt<T>) {
    let word = result.map_or_else(|errno| format!("{errno:?}"), |_| "ok".into());
    println!("{name}\t{word}");
}

/// The map's id.
fn info(way: Way, fd: i32) -> Attempt<u32> {
    // struct bpf_map_info: type, then id.
    let mut info = [0u32; 2];
    let mut words = attr(&[(0, fd as u32), (1, 8)], &[(2, info.as_mut_ptr().cast())]);
    // SAFETY: the kernel writes at most 8 bytes, as passed in info_len.
    unsafe { way.call(Command::Info, &mut words)? };
    Ok(info[1])
}

fn by_id(way: Way, id: u32) -> Attempt<OwnedFd> {
    // SAFETY: no pointers.
    unsafe { way.open(Command::MapById, attr(&[(0, id)], &[])) }
}

/// An array of one 32-bit value.
fn create(way: Way) -> Attempt<OwnedFd> {
    const ARRAY: u32 = 2;
    let words = attr(&[(0, ARRAY), (1, 4), (2, 4), (3, 1)], &[]);
    // SAFETY: no pointers.
    unsafe { way.open(Command::MapCreate, words) }
}

/// A socket filter of two instructions: `r0 = 0; exit`.
fn load_program(way: Way) -> Attempt<OwnedFd> {
    const SOCKET_FILTER: u32 = 1;
    let instructions: [[u8; 8]; 2] = [[0xb7, 0, 0, 0, 0, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]];
    let license = c"MIT";
    let words = attr(
        &[(0, SOCKET_FILTER), (1, 2)],
        &[(2, instructions.as_ptr().cast()), (4, license.as_ptr().cast())],
    );
    // SAFETY: two instructions and a string, which the kernel only reads.
    unsafe { way.open(Command::ProgLoad, words) }
}

fn pin_at(way: Way, fd: i32, pin: &Path) -> Attempt<()> {
    let path = CString::new(pin.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)?;
    let mut words = attr(&[(2, fd as u32)], &[(0, path.as_ptr().cast())]);
    // SAFETY: the path ends with a NUL, and outlives the call.
    unsafe { way.call(Command::ObjPin, &mut words) }.map(drop)
}

/// Opens the pin for reading and writing.
fn reopen(way: Way, pin: &Path) -> Attempt<OwnedFd> {
    let path = CString::new(pin.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)?;
    // SAFETY: the path ends with a NUL, and outlives the call.
    unsafe { way.open(Command::ObjGet, attr(&[], &[(0, path.as_ptr().cast())])) }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let mut way = Way { number: libc::SYS_bpf, high: 0 };
    match arguments.first().and_then(|first| first.to_str()) {
        Some("--high-bits") => way.high = 0x5eed << 32,
        #[cfg(target_arch = "x86_64")]
        Some("--x32") => way.number |= 0x4000_0000,
        Some(option) if option.starts_with("--") => return Err(format!("{option}: unknown").into()),
        _ => {}
    }
    if way.high != 0 || way.number != libc::SYS_bpf {
        arguments.remove(0);
    }
    let directory = arguments.get(1).map(PathBuf::from);
    let byte = arguments.get(2).map(|byte| byte.to_string_lossy().parse()).transpose()?;
    let mut maps = bpf_inherit::open_inherited()?.maps;
    let chosen: Vec<Map> = match arguments.first() {
        Some(name) => vec![maps.by_name(name.as_bytes())?.object],
        None => maps.into_iter().map(|map| map.object).collect(),
    };
    for map in &chosen {
        probe(way, map, directory.as_deref(), byte);
    }
    Ok(())
}
