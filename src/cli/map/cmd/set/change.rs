//! The new content of a value, or of fields of it, and how it is written.

use super::assignment::Assignment;
use crate::cli::map::target::cpus::Placement;
use crate::cli::map::target::method::ChangeMethod;
use crate::cli::map::target::origin::LayoutPart;
use crate::cli::map::target::values::Values;
use crate::cli::map::target::{Condition, Target};
use crate::program::element::RunOutcome;
use crate::program::operation::{NotAtomic, Operation};
use crate::program::store::Store;
use crate::text::escape_argument;
use anyhow::{Context, anyhow, bail};
use bpf_inherit::mmap::Mapped;
use bpf_layout::{Slot, parse};
use std::os::unix::ffi::OsStrExt;

/// The new content of the value of a key.
pub struct Change<'a> {
    target: &'a Target,
    fields: Vec<NewField<'a>>,
    placement: Placement,
    /// The new content, with zeros elsewhere: in a per-CPU map, of all CPUs.
    element: Vec<u8>,
    /// The field that must have some content, and a value that has it.
    expected: Option<(Slot<'a>, Vec<u8>)>,
}

impl<'a> Change<'a> {
    /// Errors in the given text are reported before anything is read.
    pub fn new(
        target: &'a Target,
        values: &[Assignment<'a>],
        expected: Option<Assignment<'a>>,
        placement: Placement,
    ) -> anyhow::Result<Change<'a>> {
        let fields = values.iter().map(|given| NewField::new(target, *given));
        let fields = fields.collect::<anyhow::Result<Vec<_>>>()?;
        let mut element = vec![0; target.map.value_len()];
        for field in &fields {
            field.write_to(target, placement, &mut element)?;
        }
        let expected = expected.map(|given| {
            let field = NewField::new(target, given)?;
            let mut value = vec![0; target.map.info().value_size as usize];
            parse::slot(field.slot, field.text, &mut value).with_context(|| field.label.clone())?;
            anyhow::Ok((field.slot, value))
        });
        Ok(Change { target, fields, placement, element, expected: expected.transpose()? })
    }

    /// Replaces the whole value.
    pub fn write_all(&self, key: &[u8], condition: Condition) -> anyhow::Result<RunOutcome> {
        Ok(outcome(self.target.write("set", key, &self.element, condition)?))
    }

    /// Chooses how the fields are written.
    pub fn choose_method(&self, key: &[u8]) -> anyhow::Result<ChangeMethod> {
        let target = self.target;
        target.check_changeable("set")?;
        let size = target.map.info().value_size as usize;
        if self.store(size.next_multiple_of(8)).is_some()
            && let Some(mapped) = target.map_value(key)
        {
            return Ok(ChangeMethod::Memory(mapped));
        }
        let method = match self.store(size) {
            Some(store) => target.find_programs(&Operation::Store(store), &self.cpus()?),
            None if self.expected.is_some() => ChangeMethod::ReadAndWrite(NotAtomic::Fields.into()),
            None => ChangeMethod::ReadAndWrite(NotAtomic::Field.into()),
        };
        match (&method, &self.expected) {
            (ChangeMethod::ReadAndWrite(cause), Some(_)) => {
                bail!("{}: set: --if: not possible atomically: {cause}", target.label)
            }
            _ => Ok(method),
        }
    }

    /// The fields as words of values of `size` bytes.
    fn store(&self, size: usize) -> Option<Store> {
        let fields: Vec<Slot> = self.fields.iter().map(|field| field.slot).collect();
        let test = self.expected.as_ref().map(|(slot, _)| *slot);
        let is_locked = self.target.map.has_spin_lock().unwrap_or_default();
        Store::new(&fields, test, size, is_locked)
    }

    /// The CPUs whose values are written: their places among the values, and their numbers.
    fn cpus(&self) -> anyhow::Result<Vec<(usize, u32)>> {
        if !self.target.is_per_cpu() {
            return Ok(Vec::new());
        }
        let numbers = self.target.cpus()?.numbers().iter().copied().enumerate();
        Ok(numbers.filter(|(place, _)| self.placement.writes(*place)).collect())
    }

    /// Writes the fields.
    pub fn write(
        &self,
        key: &[u8],
        condition: Condition,
        method: &ChangeMethod,
    ) -> anyhow::Result<RunOutcome> {
        let target = self.target;
        let size = target.map.info().value_size as usize;
        let expected = self.expected.as_ref().map_or(&[][..], |(_, value)| value);
        match method {
            // The kernel creates the key only if it is missing.
            _ if condition == Condition::Absent => self.read_and_write(key, condition),
            ChangeMethod::Memory(mapped)
                if let Some(store) = self.store(size.next_multiple_of(8)) =>
            {
                let expected = self.expected.as_ref().map(|(slot, value)| (*slot, &value[..]));
                self.write_to_memory(mapped, &store, expected)
            }
            ChangeMethod::Program(runs) if let Some(store) = self.store(size) => {
                for run in runs {
                    let failed = |cause| anyhow!("{}: set: {cause}", target.label);
                    let value = &self.element[target.map.slot(run.place)];
                    let argument = run.processor.argument();
                    let mut context = store.context(argument, key, value, expected);
                    let _pinned = run.processor.enter().map_err(failed)?;
                    let outcome = run.program.run(&mut context).map_err(failed)?;
                    run.processor.check_offline().map_err(failed)?;
                    match outcome {
                        RunOutcome::Done => {}
                        // The whole value of one CPU: the key is created.
                        RunOutcome::Missing if condition != Condition::Present => {
                            return self.read_and_write(key, condition);
                        }
                        other => return Ok(other),
                    }
                }
                Ok(RunOutcome::Done)
            }
            _ => self.read_and_write(key, condition),
        }
    }

    fn read_and_write(&self, key: &[u8], condition: Condition) -> anyhow::Result<RunOutcome> {
        let changed = self.target.change("set", key, condition, |element| {
            self.fields
                .iter()
                .try_for_each(|field| field.write_to(self.target, self.placement, element))
        })?;
        Ok(outcome(changed))
    }

    fn write_to_memory(
        &self,
        mapped: &Mapped,
        store: &Store,
        expected: Option<(Slot, &[u8])>,
    ) -> anyhow::Result<RunOutcome> {
        let mut new = self.element.clone();
        new.resize(mapped.stride(), 0);
        for write in store.writes() {
            let mask = write.mask_bytes();
            let mut found = vec![0; mapped.stride()];
            let changed = mapped.change(write.offset, write.width.bytes(), |bytes| {
                found[write.range()].copy_from_slice(bytes);
                if expected.is_some_and(|(slot, value)| !slot.compare(&found, value).is_eq()) {
                    return Err(());
                }
                for ((byte, mask), new) in bytes.iter_mut().zip(&mask).zip(&new[write.range()]) {
                    *byte = *byte & !mask | new & mask;
                }
                Ok(())
            });
            match changed.map_err(|errno| self.target.cannot_write("set", errno.into()))? {
                Ok(()) => {}
                Err(()) => return Ok(RunOutcome::Refused),
            }
        }
        Ok(RunOutcome::Done)
    }
}

fn outcome(written: bool) -> RunOutcome {
    if written { RunOutcome::Done } else { RunOutcome::Missing }
}

/// The new content of a field, or of a whole value, as text.
struct NewField<'a> {
    slot: Slot<'a>,
    text: &'a str,
    /// What an error names.
    label: String,
}

impl<'a> NewField<'a> {
    fn new(target: &'a Target, given: Assignment<'a>) -> anyhow::Result<NewField<'a>> {
        let label = format!("{}: value {}", target.label, escape_argument(given.text.as_bytes()));
        let slot = target.field(given.field)?;
        let values = given.text.to_str().filter(|text| has_all_values(target, slot, text));
        if !values.is_some_and(Values::are_hex) {
            target.refuse_guess(LayoutPart::Value, given.text)?;
        }
        let text = given.text.to_str().ok_or_else(|| anyhow!("not UTF-8"));
        Ok(NewField { slot, text: text.with_context(|| label.clone())?, label })
    }

    /// Writes it into an element, for the CPUs that get it.
    fn write_to(
        &self,
        target: &Target,
        placement: Placement,
        element: &mut [u8],
    ) -> anyhow::Result<()> {
        let written = if has_all_values(target, self.slot, self.text) {
            placement
                .check_each()
                .and_then(|()| Values::new(&target.map, self.slot, element).parse(self.text))
        } else {
            placement.each(&target.map, element, |value, given| {
                if !given {
                    return Ok(clear_field(self.slot, value)?);
                }
                parse::slot(self.slot, self.text, value)?;
                placement.check(self.slot.is_zero(value))
            })
        };
        written.with_context(|| self.label.clone())
    }
}

/// Whether a value is an array with a value for every CPU.
fn has_all_values(target: &Target, slot: Slot, text: &str) -> bool {
    target.is_per_cpu() && Values::are_given(slot, text)
}

fn clear_field(field: Slot, value: &mut [u8]) -> Result<(), parse::ValueError> {
    match field.width() {
        // The bytes of a bit-field belong to its neighbours, too.
        Some(_) => parse::store_number(field, 0u128, value),
        None => {
            value[field.offset()..][..field.len()].fill(0);
            Ok(())
        }
    }
}
