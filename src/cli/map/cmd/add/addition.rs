//! An addition to an integer in a value: by a program in the kernel, in memory, or by reading the value
//! and writing it back.

use crate::cli::map::target::cpus::CpuSelection;
use crate::cli::map::target::method::{ChangeMethod, Run};
use crate::cli::map::target::{Condition, Target};
use crate::program::add::Addend;
use crate::program::element::RunOutcome;
use crate::program::operation::{NotAtomic, Operation};
use crate::program::word::Word;
use anyhow::{anyhow, bail};
use bpf_layout::parse;
use bpf_layout::print::{self, PerCpu, Values};
use bpf_layout::{Integer, Number, Slot};

/// What to add, and where in the values of a map.
pub struct Addition<'t> {
    target: &'t Target,
    slot: Slot<'t>,
    amount: Integer,
    /// The CPU whose value is added to, and its position among the values, in a per-CPU map.
    cpu: Option<(u32, usize)>,
    /// Whether the sum over all CPUs is printed.
    prints_sum: bool,
}

impl<'t> Addition<'t> {
    /// In a per-CPU map, to the value of the first possible CPU unless `cpus` is one.
    pub fn new(
        target: &'t Target,
        slot: Slot<'t>,
        amount: Integer,
        cpus: CpuSelection,
    ) -> anyhow::Result<Addition<'t>> {
        let (cpu, prints_sum) = match cpus {
            CpuSelection::One { number, place } => (Some((number, place)), false),
            _ if target.is_per_cpu() => {
                let first = target.cpus()?.numbers().first().copied();
                (Some((first.unwrap_or_default(), 0)), true)
            }
            _ => (None, false),
        };
        Ok(Addition { target, slot, amount, cpu, prints_sum })
    }

    /// Chooses how to add to the value of `key`.
    pub fn choose_method(&self, key: &[u8]) -> ChangeMethod {
        let size = self.target.map.info().value_size as usize;
        if self.word_in_memory().is_some()
            && let Some(mapped) = self.target.map_value(key)
        {
            return ChangeMethod::Memory(mapped);
        }
        let Some(addend) = Addend::new(self.slot, size) else {
            return ChangeMethod::ReadAndWrite(NotAtomic::Field.into());
        };
        let cpu = self.cpu.map(|(number, place)| (place, number));
        self.target.find_programs(&Operation::Add(addend), cpu.as_slice())
    }

    /// The word of the number in memory, where values are padded to 8 bytes.
    fn word_in_memory(&self) -> Option<Word> {
        let bytes = self.slot.offset()..self.slot.offset() + self.slot.len();
        let size = self.target.map.info().value_size as usize;
        Word::around(&bytes, size.next_multiple_of(8))
    }

    /// Adds; the new number as text. None if the key is missing, unless `create`.
    pub fn add(
        &self,
        key: &[u8],
        method: &ChangeMethod,
        create: bool,
    ) -> anyhow::Result<Option<Vec<u8>>> {
        match method {
            ChangeMethod::Memory(mapped) if let Some(word) = self.word_in_memory() => {
                let mut value = vec![0; mapped.stride()];
                let changed = mapped.change(word.offset, word.width.bytes(), |bytes| {
                    value[word.range()].copy_from_slice(bytes);
                    self.apply(&mut value)?;
                    bytes.copy_from_slice(&value[word.range()]);
                    anyhow::Ok(())
                });
                changed.map_err(|errno| self.target.cannot_write("add", errno.into()))??;
                Ok(Some(self.text(&value[..])))
            }
            ChangeMethod::Program(runs)
                if let Ok(amount) = u64::try_from(self.amount.magnitude())
                    && let [run] = &runs[..] =>
            {
                self.run(key, run, amount, create)
            }
            // No word can hold a larger amount: it is refused, and nothing is written.
            _ => {
                let condition = if create { Condition::Any } else { Condition::Present };
                let mut text = Vec::new();
                let changed = self.target.change("add", key, condition, |element| {
                    text = self.apply_to_element(element)?;
                    Ok(())
                })?;
                Ok(changed.then_some(text))
            }
        }
    }

    fn run(
        &self,
        key: &[u8],
        Run { program, processor, .. }: &Run,
        amount: u64,
        create: bool,
    ) -> anyhow::Result<Option<Vec<u8>>> {
        let target = self.target;
        let failed = |cause: NotAtomic| anyhow!("{}: add: {cause}", target.label);
        let info = target.map.info();
        let mut value = vec![0; info.value_size as usize];
        let Some(addend) = Addend::new(self.slot, value.len()) else {
            return Err(failed(NotAtomic::Field)); // not chosen
        };
        let argument = processor.argument();
        let mut context = Addend::context(argument, key, amount, self.amount.is_negative());
        let _pinned = processor.enter().map_err(failed)?;
        loop {
            let outcome = program.run(&mut context).map_err(failed)?;
            processor.check_offline().map_err(failed)?;
            addend.place.word.store(Addend::word(&context), &mut value);
            match outcome {
                RunOutcome::Done if self.prints_sum => return self.sum(key),
                RunOutcome::Done => return Ok(Some(self.text(&value[..]))),
                RunOutcome::Missing if create => {
                    let mut element = vec![0; target.map.value_len()];
                    let text = self.apply_to_element(&mut element)?;
                    if target.write("add", key, &element, Condition::Absent)? {
                        return Ok(Some(text));
                    }
                }
                RunOutcome::Missing => return Ok(None),
                RunOutcome::Refused => {
                    self.apply(&mut value)?;
                    bail!("{}: add: the kernel refused a sum that fits", target.label);
                }
            }
        }
    }

    /// The sum over all CPUs, after the addition; None if the key was removed since.
    fn sum(&self, key: &[u8]) -> anyhow::Result<Option<Vec<u8>>> {
        let found = self.target.lookup("add", key)?;
        Ok(found.map(|element| self.text(&PerCpu::new(&element, self.target.map.stride()))))
    }

    /// Adds to the number in an element; the new number, or the sum over all CPUs, as text.
    fn apply_to_element(&self, element: &mut [u8]) -> anyhow::Result<Vec<u8>> {
        let Some((_, place)) = self.cpu else {
            self.apply(element)?;
            return Ok(self.text(&*element));
        };
        let value = &mut element[self.target.map.slot(place)];
        self.apply(value)?;
        Ok(match self.prints_sum {
            true => self.text(&PerCpu::new(element, self.target.map.stride())),
            false => self.text(&*value),
        })
    }

    /// Adds to the number in one value, which is unchanged if the sum does not fit.
    fn apply(&self, value: &mut [u8]) -> anyhow::Result<()> {
        let label = &self.target.label;
        let (old, shown) = match self.slot.number(value) {
            Some(Number::Unsigned(n)) => (Integer::from(n), n.to_string()),
            Some(Number::Signed(n)) => (Integer::from(n), n.to_string()),
            _ => bail!("{label}: add: no integer"), // refused before
        };
        let of_cpu = self.cpu.map(|(cpu, _)| format!(" of CPU {cpu}")).unwrap_or_default();
        let wrong =
            |cause: &dyn std::fmt::Display| anyhow!("{label}: add to {shown}{of_cpu}: {cause}");
        let new =
            old.checked_add(self.amount).ok_or_else(|| wrong(&"the sum has more than 128 bits"))?;
        parse::store_number(self.slot, new, value).map_err(|error| wrong(&error))
    }

    fn text(&self, values: &(impl Values + ?Sized)) -> Vec<u8> {
        let mut text = Vec::new();
        print::plain(self.slot, values, &mut text);
        text
    }
}
