//! Programs that change values in place, so that nothing is lost that others write: whether there can be
//! one for a map and an operation, decided once, and running it.

use super::add::Addend;
use super::assembler::{Code, TooLong};
use super::element::{CONTENDED, MAX_KEY, MapShape, RunOutcome, TRIES};
use super::load::{self, LoadError};
use super::store::Store;
use super::take::Take;
use bpf_inherit::affinity::PinnedThread;
use bpf_inherit::cpus::is_online;
use bpf_inherit::program::run;
use bpf_inherit::{Errno, Map, MapType, describe};
use bpf_layout::Type;
use std::cell::RefCell;
use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

/// BPF_F_RDONLY_PROG and BPF_F_WRONLY_PROG.
const NOT_FOR_PROGRAMS: u32 = 1 << 7 | 1 << 8;

/// How often a program is run for one change, if other writers keep it from exchanging a word.
const RUNS: usize = 10_000;

/// The types of maps whose values programs change in place.
const TYPES: [MapType; 6] = [
    MapType::ARRAY,
    MapType::HASH,
    MapType::LRU_HASH,
    MapType::PERCPU_ARRAY,
    MapType::PERCPU_HASH,
    MapType::LRU_PERCPU_HASH,
];

/// Why values cannot be changed without losing what others write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAtomic {
    #[error("programs do not change the values of {0} in place")]
    Type(String),
    #[error("the map has keys of more than {MAX_KEY} bytes")]
    Key,
    #[error("programs may not read and write the map (RDONLY_PROG or WRONLY_PROG)")]
    Flags,
    #[error("the field is not inside of an aligned word of 4 or 8 bytes of the value")]
    Field,
    #[error(
        "the fields are not inside of one aligned word of 4 or 8 bytes of the value, and it has no lock"
    )]
    Fields,
    #[error("the layout does not show where the value has its spin lock")]
    Lock,
    #[error("{0}")]
    Load(LoadError),
    #[error("run program: {}", describe(*.0))]
    Run(Errno),
    #[error("other writers changed the value at each of {} attempts", TRIES * RUNS)]
    Contended,
    #[error("the program would be too long")]
    TooLong,
    #[error("CPU {0} came online: changes that programs made on it may be lost")]
    Online(u32),
    #[error("this process may not run on CPU {number}: {}", describe(*.errno))]
    Cpu { number: u32, errno: Errno },
}

/// A change of values for which a program can be made.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    Add(Addend),
    Take(Take),
    Store(Store),
}

impl Operation {
    fn name(&self) -> &'static str {
        match self {
            Operation::Add(_) => "add",
            Operation::Take(_) => "take",
            Operation::Store(_) => "store",
        }
    }

    fn generate(&self, elements: &MapShape) -> Result<Code, TooLong> {
        match self {
            Operation::Add(addend) => addend.generate(elements),
            Operation::Take(take) => take.generate(elements),
            Operation::Store(store) => store.generate(elements),
        }
    }
}

/// A program, or why there is none.
type Loaded = Result<Rc<ChangeProgram>, Rc<NotAtomic>>;

/// The programs of one map. They are loaded once, and exist as long as this. None until the first,
/// because most commands need none, and a hash table asks the kernel for random numbers.
#[derive(Debug, Default)]
pub struct ChangePrograms(RefCell<Option<HashMap<(Operation, bool), Loaded>>>);

impl ChangePrograms {
    /// The program for an operation on `map`, whose values have the type `value`.
    pub fn program(
        &self,
        map: &Map,
        value: &Type,
        operation: &Operation,
        processor: Processor,
    ) -> Loaded {
        let key = (operation.clone(), matches!(processor, Processor::Offline(_)));
        if let Some(known) = self.0.borrow().as_ref().and_then(|programs| programs.get(&key)) {
            return known.clone();
        }
        let loaded =
            ChangeProgram::load(map, value, operation, key.1).map(Rc::new).map_err(Rc::new);
        self.0.borrow_mut().get_or_insert_default().insert(key, loaded.clone());
        loaded
    }
}

/// Where a program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Processor {
    /// On whatever CPU this thread is: the map has one value for all.
    Any,
    /// On this CPU, whose value it changes: programs that run there do not run at the same time.
    Pinned(u32),
    /// On any CPU, for the value of this one, on which nothing runs.
    Offline(u32),
}

impl Processor {
    /// The place for the value of CPU `number` in a per-CPU map.
    pub fn for_value_of(number: u32) -> Result<Processor, NotAtomic> {
        match PinnedThread::new(number) {
            Ok(_) => Ok(Processor::Pinned(number)),
            Err(_) if is_online(number) == Some(false) => Ok(Processor::Offline(number)),
            Err(errno) => Err(NotAtomic::Cpu { number, errno }),
        }
    }

    /// Moves this thread to where the program is to run, until the result is dropped.
    pub fn enter(self) -> Result<Option<PinnedThread>, NotAtomic> {
        match self {
            Processor::Pinned(number) => match PinnedThread::new(number) {
                Ok(pinned) => Ok(Some(pinned)),
                Err(errno) => Err(NotAtomic::Cpu { number, errno }),
            },
            Processor::Any | Processor::Offline(_) => Ok(None),
        }
    }

    /// An error if programs may have run on a CPU that was offline before; to be called after a run.
    pub fn check_offline(self) -> Result<(), NotAtomic> {
        match self {
            Processor::Offline(number) if is_online(number) != Some(false) => {
                Err(NotAtomic::Online(number))
            }
            _ => Ok(()),
        }
    }

    /// What a program finds in its context at `element::CPU`.
    pub fn argument(self) -> u32 {
        match self {
            Processor::Any => 0,
            Processor::Pinned(number) | Processor::Offline(number) => number,
        }
    }
}

/// A program that changes values of one map.
#[derive(Debug)]
pub struct ChangeProgram(OwnedFd);

impl ChangeProgram {
    fn load(
        map: &Map,
        value: &Type,
        operation: &Operation,
        other_cpu: bool,
    ) -> Result<ChangeProgram, NotAtomic> {
        let info = map.info();
        if !TYPES.contains(&info.map_type) {
            return Err(NotAtomic::Type(info.map_type.with_article()));
        }
        if map.key_len() > MAX_KEY {
            return Err(NotAtomic::Key);
        }
        if info.flags & NOT_FOR_PROGRAMS != 0 {
            return Err(NotAtomic::Flags);
        }
        let value_size = info.value_size as usize;
        let elements = MapShape { key_size: map.key_len(), value_size, lock: None, other_cpu };
        let load = |elements: MapShape| {
            let code = operation.generate(&elements).map_err(|TooLong| NotAtomic::TooLong)?;
            load::load_for_map(operation.name(), code, map)
                .map(ChangeProgram)
                .map_err(NotAtomic::Load)
        };
        if !map.has_spin_lock().map_err(NotAtomic::Run)? {
            return load(elements);
        }
        // The verifier accepts only the offset of the lock. Other fields of the kernel may have its
        // size.
        let mut refused = NotAtomic::Lock;
        for bytes in value.kernel_bytes().into_iter().filter(|bytes| bytes.len() == 4) {
            match load(MapShape { lock: Some(bytes.start), ..elements }) {
                Ok(program) => return Ok(program),
                Err(cause) => refused = cause,
            }
        }
        Err(refused)
    }

    /// Runs the program, after [`Processor::enter`]; `context` is what it reads and writes.
    pub fn run(&self, context: &mut [u8]) -> Result<RunOutcome, NotAtomic> {
        repeat(|| run(self.0.as_fd(), context))
    }
}

/// Runs a program until it ends, by `run`, which returns what the program returns.
fn repeat(mut run: impl FnMut() -> Result<u32, Errno>) -> Result<RunOutcome, NotAtomic> {
    for _ in 0..RUNS {
        let returned = run().map_err(NotAtomic::Run)?;
        if returned != CONTENDED {
            return RunOutcome::new(returned).ok_or(NotAtomic::Run(Errno::EIO));
        }
    }
    Err(NotAtomic::Contended)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_that_came_online_is_reported() {
        assert_eq!(is_online(0), Some(true));
        assert_eq!(Processor::Offline(0).check_offline(), Err(NotAtomic::Online(0)));
        assert_eq!(Processor::Pinned(0).check_offline(), Ok(()));
        // No kernel of the tests has that many CPUs.
        assert_eq!(Processor::Offline(8191).check_offline(), Ok(()));
    }

    #[test]
    fn contended_program_is_run_again_with_a_limit() {
        for (contended, last, want, runs) in [
            (0, 0, Ok(RunOutcome::Done), 1),
            (RUNS - 1, 2, Ok(RunOutcome::Refused), RUNS),
            (RUNS, 0, Err(NotAtomic::Contended), RUNS),
            (1, 7, Err(NotAtomic::Run(Errno::EIO)), 2),
        ] {
            let mut count = 0;
            let result = repeat(|| {
                count += 1;
                Ok(if count > contended { last } else { CONTENDED })
            });
            assert_eq!((result, count), (want, runs), "{contended}");
        }
    }
}
