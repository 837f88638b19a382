//! Loads programs, generated ones and those of object files: the only place that loads.

use super::assembler::Code;
use crate::object::POISON;
use crate::text::escape;
use bpf_inherit::map::Map;
use bpf_inherit::privilege::{CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON, CAP_SYS_ADMIN, has_capability};
use bpf_inherit::program::{self, ProgramSpec};
use bpf_inherit::{Errno, MapType, bpf, describe};
use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// The license of generated programs: the helpers that print are for programs with one that the kernel
/// takes for compatible with the GPL.
const LICENSE: &CStr = c"Dual MIT/GPL";
/// BPF_F_RDONLY_PROG.
const READ_ONLY: u32 = 1 << 7;
/// Before Linux 6.4 a log that is too long has its beginning, not the message at its end.
const LOG: usize = 16 << 20;

/// Why a program is not loaded, in one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// EPERM before an instruction was verified, and without the privilege, which the text names.
    #[error("{0}")]
    Privilege(&'static str),
    /// EPERM before an instruction was verified.
    #[error("the kernel refuses to load {0}, as hardened kernels do")]
    Type(String),
    /// The last message of the verifier, escaped, and its whole log.
    #[error("the kernel refuses the program: {message}")]
    Verifier { message: String, log: String },
    /// Another call, or no message.
    #[error("load program: {}", describe(*.0))]
    Errno(Errno),
}

/// Loads an iterator: a program that is attached to the kernel's function with the id `function`.
pub fn load_iterator(function: u32, name: &str, code: Code) -> Result<OwnedFd, LoadError> {
    let Code { mut instructions, constants, references, .. } = code;
    // The program keeps the array.
    let array = store(&constants).map_err(|errno| ITERATOR.explain(errno, &[]))?;
    refer(&mut instructions, &references, &array);
    let spec = ProgramSpec {
        program_type: program::TRACING,
        attach_type: program::TRACE_ITER,
        attach_btf_id: function,
        flags: 0,
        name: name.as_bytes(),
        license: LICENSE,
        instructions: &instructions,
        ..ProgramSpec::default()
    };
    load(&spec, &ITERATOR)
}

/// Loads a program that `bpf_inherit::program::run` runs, and that refers to `map`.
pub fn load_for_map(name: &str, code: Code, map: &Map) -> Result<OwnedFd, LoadError> {
    let Code { mut instructions, map_references, .. } = code;
    refer(&mut instructions, &map_references, map);
    let spec = ProgramSpec {
        program_type: program::SYSCALL,
        flags: program::F_SLEEPABLE,
        name: name.as_bytes(),
        license: LICENSE,
        instructions: &instructions,
        ..ProgramSpec::default()
    };
    load(&spec, &SYSTEM_CALL)
}

/// Loads a program of an object file. `program_type` is the name of its type.
pub fn load_program(spec: &ProgramSpec, program_type: &str) -> Result<OwnedFd, LoadError> {
    let purpose = Purpose {
        what: &format!("a program of the type {program_type}"),
        privilege: "CAP_BPF is needed, and CAP_NET_ADMIN or CAP_PERFMON for most types",
        capabilities: &[CAP_NET_ADMIN, CAP_PERFMON],
    };
    load(spec, &purpose)
}

/// Makes instructions refer to a map.
fn refer(instructions: &mut [u64], references: &[usize], map: &Map) {
    for &at in references {
        // The immediate is in the last four bytes, whatever the byte order.
        let mut bytes = instructions[at].to_ne_bytes();
        bytes[4..].copy_from_slice(&map.as_fd().as_raw_fd().to_ne_bytes());
        instructions[at] = u64::from_ne_bytes(bytes);
    }
}

fn load(spec: &ProgramSpec, purpose: &Purpose) -> Result<OwnedFd, LoadError> {
    // The log takes time, and is read only after a refusal.
    let refused = match program::load(spec, &mut []) {
        Ok(program) => return Ok(program),
        Err(errno) => errno,
    };
    if refused == Errno::EPERM && !purpose.is_privileged() {
        return Err(purpose.explain(refused, &[]));
    }
    let mut log = vec![0; LOG];
    match program::load(spec, &mut log) {
        Ok(program) => Ok(program),
        Err(_) => Err(purpose.explain(refused, &log)),
    }
}

/// A kind of program, and the privilege that loading it needs.
struct Purpose<'a> {
    what: &'a str,
    /// The message if this process does not have the privilege.
    privilege: &'static str,
    /// One of these is needed in addition to CAP_BPF; none is if it is empty.
    capabilities: &'static [u32],
}

const ITERATOR: Purpose = Purpose {
    what: "such an iterator",
    privilege: "CAP_BPF and CAP_PERFMON are needed",
    capabilities: &[CAP_PERFMON],
};

/// A program that is run by a system call.
const SYSTEM_CALL: Purpose =
    Purpose { what: "such a program", privilege: "CAP_BPF is needed", capabilities: &[] };

impl Purpose<'_> {
    fn is_privileged(&self) -> bool {
        let has = |capability| has_capability(capability) == Ok(true);
        let capabilities = self.capabilities;
        has(CAP_SYS_ADMIN)
            || has(CAP_BPF) && (capabilities.is_empty() || capabilities.iter().any(|one| has(*one)))
    }

    fn explain(&self, errno: Errno, log: &[u8]) -> LoadError {
        explain(errno, log, self, || self.is_privileged())
    }
}

/// A frozen array that has `constants` as its only value.
fn store(constants: &[u8]) -> Result<Map, Errno> {
    let spec = bpf::MapSpec {
        map_type: MapType::ARRAY,
        key_size: 4,
        value_size: u32::try_from(constants.len()).map_err(|_| Errno::E2BIG)?,
        max_entries: 1,
        flags: READ_ONLY,
        name: b"bpf_map.rodata",
        ..bpf::MapSpec::default()
    };
    let map = Map::new(bpf::map_create(&spec)?)?;
    map.update(&[0; 4], constants, 0)?;
    map.freeze()?;
    Ok(map)
}

/// Why a program was refused, by the verifier's log.
fn explain(
    errno: Errno,
    log: &[u8],
    purpose: &Purpose,
    is_privileged: impl Fn() -> bool,
) -> LoadError {
    let log = log.split(|&byte| byte == 0).next().unwrap_or_default();
    // The log may contain lines of the program's source.
    let log: String = log.split(|&byte| byte == b'\n').fold(String::new(), |mut all, line| {
        all.push_str(&escape(line));
        all.push('\n');
        all
    });
    // The last line is a statistic.
    let mut messages = log.lines().rev().filter(|line| {
        let line = line.trim();
        !line.is_empty() && !line.starts_with("processed ")
    });
    match (messages.next(), errno) {
        (Some(message), _) => {
            let message = match message.trim() {
                message if message.ends_with(&format!("unknown#{POISON}")) => {
                    "it reaches a type, field or enumerator that this kernel does not have".into()
                }
                message => message.to_owned(),
            };
            LoadError::Verifier { message, log: log.trim_end().to_owned() }
        }
        (None, Errno::EPERM) if !is_privileged() => LoadError::Privilege(purpose.privilege),
        (None, Errno::EPERM) => LoadError::Type(purpose.what.into()),
        (None, errno) => LoadError::Errno(errno),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusal_is_the_last_message_of_the_verifier() {
        let log = b"0: (79) r6 = *(u64 *)(r1 +0)\n1: (95) exit\nR0 !read_ok\nprocessed 2 insns (limit 1000000)\n\0\0";
        for (errno, log, privileged, want) in [
            (Errno::EACCES, &log[..], true, "the kernel refuses the program: R0 !read_ok"),
            (Errno::EINVAL, b"\0\0", true, "load program: invalid argument"),
            (Errno::EPERM, b"\0", false, "CAP_BPF and CAP_PERFMON are needed"),
            (
                Errno::EPERM,
                b"\0",
                true,
                "the kernel refuses to load such an iterator, as hardened kernels do",
            ),
        ] {
            assert_eq!(explain(errno, log, &ITERATOR, || privileged).to_string(), want);
        }
    }
}
